"""Retries, and which errors pass by themselves."""

import time

import pytest
import redis
from redis.exceptions import (
    AskError,
    BusyLoadingError,
    ClusterDownError,
    MovedError,
    NoPermissionError,
    NoScriptError,
    OutOfMemoryError,
    ReadOnlyError,
    RedisClusterException,
    ResponseError,
    TryAgainError,
)

from cacheops.exceptions import CommandRefused, InvalidOption, ServerRefused, StoreUnavailable
from cacheops.redis import is_transient, translate
from cacheops.redis.clients import connection_settings
from cacheops.redis.errors import RetryPolicy, has_moved
from cacheops.redis.options import ServerOptions
from tests import clients

PASSING = [
    redis.ConnectionError(),
    redis.TimeoutError(),
    BusyLoadingError(),
    ReadOnlyError(),
    ClusterDownError("CLUSTERDOWN"),
    MovedError("1 127.0.0.1:1"),
    AskError("1 127.0.0.1:1"),
    TryAgainError(),
    NoScriptError(),
    RedisClusterException("no node"),
    ResponseError("UNBLOCKED force unblock from blocking operation, instance state changed (master -> replica?)"),
]
LASTING = [ResponseError(), redis.AuthenticationError(), NoPermissionError(), OutOfMemoryError(), redis.DataError()]


@pytest.mark.parametrize("error", PASSING, ids=lambda error: type(error).__name__)
def test_errors_that_pass(error):
    assert is_transient(error)
    assert isinstance(translate(error), StoreUnavailable)


def test_a_server_that_was_demoted_is_no_refusal(regions):
    """It says so to WAIT without a code; a mark that was sent with it must go to the primary of now."""
    with clients.node(clients.replica(regions, "us-west-2")) as node, pytest.raises(ResponseError) as raised:
        node.wait(1, 100)

    assert is_transient(raised.value)
    assert has_moved(raised.value)


@pytest.mark.parametrize("error", LASTING, ids=lambda error: type(error).__name__)
def test_errors_that_last(error):
    assert not is_transient(error)
    assert isinstance(translate(error), CommandRefused)


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (OutOfMemoryError("command not allowed", status_code="OOM"), "OOM"),
        (NoPermissionError("this user has no permissions", status_code="NOPERM"), "NOPERM"),
        (redis.AuthenticationError("invalid username-password pair", status_code="WRONGPASS"), "WRONGPASS"),
        (redis.AuthenticationError("AUTH called without any password configured"), "NOAUTH"),
        (ResponseError("MISCONF Redis is configured to save RDB snapshots"), "MISCONF"),
        (ResponseError("NOREPLICAS Not enough good replicas to write."), "NOREPLICAS"),
        (ResponseError("BUSY Redis is busy running a script."), "BUSY"),
        (ResponseError("Error running script (call to f_1): @user_script:1: -OOM command not allowed"), "OOM"),
        (ResponseError("The user executing the script can't run this command or subcommand"), "NOPERM"),
        (ResponseError("ACL failure in script: User app has no permissions"), "NOPERM"),
    ],
    ids=str,
)
def test_what_is_refused_to_whoever_asks(error, kind):
    translated = translate(error)

    assert isinstance(translated, ServerRefused)
    assert translated.kind == kind
    assert kind in str(translated)


@pytest.mark.parametrize(
    "text", ["WRONGTYPE Operation against a key", "BUSYGROUP Consumer Group name already exists", "no such key", "ROOM"]
)
def test_what_is_refused_to_one_command(text):
    assert type(translate(ResponseError(text))) is CommandRefused


class Failing:
    """Fails with the given errors, one a call, then answers."""

    def __init__(self, *errors: Exception) -> None:
        self.errors = list(errors)
        self.calls = self.recovered = self.recovered_soon = 0

    def __call__(self) -> str:
        self.calls += 1
        if self.errors:
            raise self.errors.pop(0)
        return "answer"

    def recover(self, error: Exception, failures: int) -> None:
        assert failures == self.recovered + 1
        self.recovered += 1

    def recover_soon(self) -> None:
        self.recovered_soon += 1


def policy(**options) -> RetryPolicy:
    quick = {"retry_backoff_base": 0.0, "retry_budget": 60.0}
    return RetryPolicy(ServerOptions(urls=("redis://localhost",), **(quick | options)))


def test_a_passing_error_is_tried_again():
    failing = Failing(redis.ConnectionError(), ReadOnlyError())

    assert now(policy(retries=3), failing) == "answer"
    assert (failing.calls, failing.recovered, failing.recovered_soon) == (3, 3, 0)


def test_tries_end():
    failing = Failing(*[redis.ConnectionError("gone")] * 10)

    with pytest.raises(StoreUnavailable, match="gone") as caught:
        now(policy(retries=3), failing)
    assert (failing.calls, failing.recovered, failing.recovered_soon) == (3, 3, 1)
    assert isinstance(caught.value.__cause__, redis.ConnectionError)


def test_time_ends_too_and_the_next_caller_finds_things_mended():
    failing = Failing()

    with pytest.raises(StoreUnavailable):
        now(policy(retries=100, retry_budget=0.0), failing)
    assert (failing.calls, failing.recovered, failing.recovered_soon) == (0, 0, 1)


def test_an_error_that_the_caller_answers_is_its_own():
    failing = Failing(NoScriptError())
    recovery = (failing.recover, failing.recover_soon, redis.ConnectionError("first"), time.monotonic())

    with pytest.raises(NoScriptError):
        policy(retries=3).call(failing, *recovery, unless=(NoScriptError,))
    assert failing.calls == 1


def test_a_lasting_error_is_not_tried_again():
    failing = Failing(ResponseError("WRONGTYPE"))

    with pytest.raises(CommandRefused, match="WRONGTYPE"):
        now(policy(retries=3), failing)
    assert failing.calls == 1


def test_secrets_stay_out_of_the_repr():
    options = ServerOptions(urls=("redis://:hidden@localhost",), password="hidden", username="me")

    assert "hidden" not in repr(options)


def test_no_address_is_an_error_with_a_name():
    with pytest.raises(InvalidOption, match="LOCATION is empty"):
        ServerOptions(urls=())


def now(tested: RetryPolicy, failing: Failing) -> str:
    return tested.call(failing, failing.recover, failing.recover_soon, redis.ConnectionError("first"), time.monotonic())


@pytest.mark.parametrize(
    ("scheme", "cert", "names"), [("rediss", "a", True), ("rediss", "", False), ("redis", "a", False)]
)
def test_a_certificate_of_its_own_is_for_tls(scheme: str, cert: str, names: int) -> None:
    options = ServerOptions(urls=(f"{scheme}://a:1",), ca_certs="ca", client_cert=cert, client_key=cert)
    found = connection_settings(options)
    shown = {name: found[name] for name in ("ssl_certfile", "ssl_keyfile") if name in found}
    assert shown == ({"ssl_certfile": "a", "ssl_keyfile": "a"} if names else {})
    assert ("ssl_ca_certs" in found) == (scheme == "rediss")
