"""Which of the driver's errors pass by themselves, what they are called here, and how often to try again."""

import re
import time
from collections.abc import Callable
from typing import TypeVar

from redis.backoff import ExponentialWithJitterBackoff
from redis.exceptions import (
    AskError,
    AuthenticationError,
    AuthorizationError,
    ClusterDownError,
    ConnectionError,
    MovedError,
    NoScriptError,
    ReadOnlyError,
    RedisClusterException,
    RedisError,
    TimeoutError,
    TryAgainError,
)

from cacheops.exceptions import CommandRefused, ServerRefused, StoreError, StoreUnavailable
from cacheops.redis.options import ServerOptions

T = TypeVar("T")

UNANSWERED = (ConnectionError, TimeoutError)
DENIED = (AuthenticationError, AuthorizationError)  # connection errors by class, but no retry lets us in
REDIRECTED = (AskError, TryAgainError)  # also MOVED: another server has the key, or will have it soon
TIMED_OUT = (TimeoutError,)
MOVING = (ClusterDownError, ReadOnlyError)  # a failover under way
UNLOADED = (NoScriptError,)  # a script that each new connection loads
# What a server answers to whoever asks. (READONLY and MASTERDOWN say that another one is the primary by now.)
REFUSALS = frozenset({"OOM", "MISCONF", "NOREPLICAS", "NOPERM", "NOAUTH", "WRONGPASS", "BUSY"})
_REFUSAL = re.compile(rf"(?:^|(?<=-))(?:{'|'.join(sorted(REFUSALS))})\b")
_DENIED_IN_SCRIPT = re.compile("user executing the script|ACL failure in script")
_DEMOTED = re.compile("WAIT cannot be used with replica|UNBLOCKED force unblock")  # as READONLY: before, during WAIT
DRIVER_ERRORS = (RedisError, RedisClusterException)
FAILURES = (*DRIVER_ERRORS, StoreUnavailable)  # ours: a cluster whose layout is not known


def is_transient(error: Exception) -> bool:
    """Return whether the same command may succeed a little later."""
    if isinstance(error, DENIED):
        return False
    return has_moved(error) or isinstance(error, (*UNANSWERED, *REDIRECTED, *UNLOADED, RedisClusterException))


def has_moved(error: Exception) -> bool:
    """Return whether another server must be asked."""
    return isinstance(error, (MovedError, *MOVING)) or _DEMOTED.match(str(error)) is not None


def translate(error: Exception) -> StoreError:
    """Return our error for one of the driver's; raise it with `from error`."""
    if isinstance(error, StoreError):
        return error
    if is_transient(error):
        return StoreUnavailable(f"The region's servers do not answer: {error}")
    kind = refusal_in(error)
    if kind is None:
        return CommandRefused(f"The region's server refused: {error}")
    return ServerRefused(f"The region's server refused: {kind} {str(error).removeprefix(kind).lstrip()}", kind)


def refusal_in(error: Exception) -> str | None:
    """Return which of REFUSALS an answer is; None for another. A script's says it in its text."""
    code = getattr(error, "status_code", None)
    if code in REFUSALS:
        return str(code)
    found = _REFUSAL.search(str(error))
    if found is not None:
        return found[0]
    if _DENIED_IN_SCRIPT.search(str(error)):
        return "NOPERM"
    return "NOAUTH" if isinstance(error, DENIED) else None


class RetryPolicy:
    """Try again after a transient failure: a few times, with growing random pauses, within a budget of seconds."""

    def __init__(self, options: ServerOptions) -> None:
        self._retries = options.retries
        self._budget = options.retry_budget
        self._backoff = ExponentialWithJitterBackoff(cap=options.retry_backoff_cap, base=options.retry_backoff_base)

    def call(
        self,
        attempt: Callable[[], T],
        recover: Callable[[Exception, int], None],
        recover_soon: Callable[[], None],
        error: Exception,
        started: float,
        unless: tuple[type[Exception], ...] = (),
    ) -> T:
        """Return what `attempt` returns after the first `error`; `started` is that of the first try (monotonic).

        `recover` runs before each further try, with the error and how many there were. After the last one runs
        `recover_soon`: the next caller finds things mended, and this one does not wait for it. `unless`: errors of an
        attempt that the caller answers by itself. Raise StoreUnavailable when tries or time are used up, CommandRefused
        when trying again does not help.
        """
        failures = 1
        while is_transient(error):
            pause = self._backoff.compute(failures)
            if failures > self._retries or time.monotonic() + pause - started >= self._budget:
                recover_soon()
                break
            recover(error, failures)
            time.sleep(pause)
            try:
                return attempt()
            except unless:
                raise
            except FAILURES as again:
                error, failures = again, failures + 1
        raise translate(error) from error
