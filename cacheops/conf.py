"""The only reader of Django's settings: one typed property a setting, its default beside it."""

from collections.abc import Callable, Mapping
from functools import cached_property
from typing import Any

from django.conf import settings
from django.core.signals import setting_changed

from cacheops.exceptions import InvalidOption
from cacheops.ttl import TTLManager


class Conf:
    """The settings whose names begin with CACHEOPS. Values are read once; tests that override settings reset them."""

    def _get(self, name: str, default: Any) -> Any:
        return getattr(settings, name, default)

    def _count(self, name: str, default: int) -> int:
        value = self._get(name, default)
        if type(value) is not int or value < 1:
            raise InvalidOption(f"{name} is {value!r}: use a whole number, 1 or more.")
        return value

    def _seconds(self, name: str, default: float) -> float:
        value = self._get(name, default)
        if type(value) not in (int, float) or not value >= 0:
            raise InvalidOption(f"{name} is {value!r}: use seconds, 0 or more.")
        return value

    @cached_property
    def enabled(self) -> bool:
        """Whether reads are cached. Writes invalidate in any case: another process may still read."""
        return self._get("CACHEOPS_ENABLED", True)

    @cached_property
    def profiles(self) -> Mapping[str, Mapping[str, Any] | None]:
        """Profiles by model: "app.model", "app.*", "*.*"; None switches caching and invalidation off."""
        return self._get("CACHEOPS", {})

    @cached_property
    def defaults(self) -> Mapping[str, Any]:
        """What every profile starts from."""
        return self._get("CACHEOPS_DEFAULTS", {})

    @property
    def prefix(self) -> str:
        """The beginning of every key; a callable is asked each time (several tenants in one process)."""
        prefix: str | Callable[[], str] = self._prefix
        return prefix if isinstance(prefix, str) else prefix()

    @cached_property
    def _prefix(self) -> str | Callable[[], str]:
        return self._get("CACHEOPS_PREFIX", "co")

    @property
    def metrics_prefix(self) -> str:
        """The beginning of the keys of metrics, which are of all tenants: CACHEOPS_PREFIX, or "co" for a callable."""
        return self._prefix if isinstance(self._prefix, str) else "co"

    @cached_property
    def tracing(self) -> bool:
        """Whether look-ups are spans of OpenTelemetry, where it is installed."""
        return self._get("CACHEOPS_TRACING", True)

    @cached_property
    def metrics_seconds(self) -> float:
        """How often a process tells its region what it has counted; 0: only when asked to."""
        return self._get("CACHEOPS_METRICS_SECONDS", 5.0)

    @cached_property
    def metrics_token(self) -> str:
        """The bearer token that lets Prometheus read /metrics; "" lets nobody in by token."""
        return self._get("CACHEOPS_METRICS_TOKEN", "")

    @cached_property
    def metrics_networks(self) -> tuple[str, ...]:
        """The networks from which /metrics may be read without a token, as 10.0.0.0/8; none by default."""
        return tuple(self._get("CACHEOPS_METRICS_NETWORKS", ()))

    @cached_property
    def cloudwatch_clusters(self) -> Mapping[str, str]:
        """The names of the regions' clusters in CloudWatch; a region's own name where none is given."""
        return self._get("CACHEOPS_CLOUDWATCH_CLUSTERS", {})

    @cached_property
    def regions(self) -> tuple[str, ...]:
        """The CACHES aliases in which entries live; each is one region."""
        return tuple(self._get("CACHEOPS_REGIONS", ("default",)))

    @cached_property
    def local_region(self) -> str:
        """The region of this process: the only one it reads from."""
        return self._get("CACHEOPS_LOCAL_REGION", self.regions[0])

    @cached_property
    def wait_replicas(self) -> Mapping[str, int]:
        """How many replicas must hold a mark before a commit, by region; 0 where a region has none."""
        value = self._get("CACHEOPS_WAIT_REPLICAS", 0)
        return value if isinstance(value, Mapping) else dict.fromkeys(self.regions, value)

    @cached_property
    def wait_seconds(self) -> float:
        """How long to wait for them; replication in one region takes well under a millisecond."""
        return self._get("CACHEOPS_WAIT_SECONDS", 0.1)

    @cached_property
    def mark_seconds(self) -> float:
        """How long a mark stands. It must outlast any commit; a dead writer's mark is in the way for that long."""
        return self._get("CACHEOPS_MARK_SECONDS", 30.0)

    @cached_property
    def on_unreachable(self) -> str:
        """What a write does when a region cannot be told of it: "queue" (go on, tell it later) or "strict" (fail)."""
        value = self._get("CACHEOPS_ON_UNREACHABLE", "queue")
        if value not in ("queue", "strict"):
            raise InvalidOption(f"CACHEOPS_ON_UNREACHABLE is {value!r}: use 'queue' or 'strict'.")
        return value

    @cached_property
    def timeout(self) -> float:
        """How long to wait for the own region's servers, in seconds. A healthy one answers in under a millisecond."""
        return self._get("CACHEOPS_TIMEOUT", 0.05)

    @cached_property
    def remote_timeout(self) -> float:
        """How long a write waits for another region's servers, in seconds: a continent is 70 ms wide."""
        return self._get("CACHEOPS_REMOTE_TIMEOUT", 0.25)

    @cached_property
    def breaker_threshold(self) -> int:
        return self._get("CACHEOPS_BREAKER_THRESHOLD", 5)

    @cached_property
    def breaker_recovery(self) -> float:
        """Seconds until a region that did not answer is tried again."""
        return self._get("CACHEOPS_BREAKER_RECOVERY", 60.0)

    @cached_property
    def loader_seconds(self) -> float:
        """How long one reader may load while others wait for it; a dead one's waiters go on after it."""
        return self._get("CACHEOPS_LOADER_SECONDS", 2.0)

    @cached_property
    def max_entry_bytes(self) -> int:
        """A larger result is returned, but not cached."""
        return self._get("CACHEOPS_MAX_ENTRY_BYTES", 2**20)

    @cached_property
    def max_tags(self) -> int:
        """How many tags of one table a query may depend on; beyond, it depends on the whole table."""
        return self._get("CACHEOPS_MAX_TAGS", 100)

    @cached_property
    def max_marks(self) -> int:
        """How many row values of one table a transaction may mark; beyond, it marks the whole table."""
        return self._get("CACHEOPS_MAX_MARKS", 500)

    @cached_property
    def flush_batch(self) -> int:
        """How many buffered writes a worker brings to the database at a time."""
        return self._count("CACHEOPS_FLUSH_BATCH", 100)

    @cached_property
    def flush_seconds(self) -> float:
        """How long a buffered write waits for a batch to be full."""
        return self._seconds("CACHEOPS_FLUSH_SECONDS", 30.0)

    @cached_property
    def flush_retry_seconds(self) -> float:
        """After how long a write is tried again that was refused, or whose worker died; it doubles with each time."""
        return self._seconds("CACHEOPS_FLUSH_RETRY_SECONDS", 10.0)

    @cached_property
    def flush_attempts(self) -> int:
        """How often a write that the database refuses is tried until it becomes a dead letter."""
        return self._count("CACHEOPS_FLUSH_ATTEMPTS", 5)

    @cached_property
    def buffer_bound(self) -> int:
        """How many writes may wait; then BufferFull is raised. 50,000 of 200 bytes take some 15 MB."""
        return self._count("CACHEOPS_BUFFER_BOUND", 50_000)

    @cached_property
    def jitter(self) -> float:
        """The share of a TTL that is random."""
        return self._get("CACHEOPS_JITTER", 0.1)

    @cached_property
    def early_refresh(self) -> float:
        """XFetch's beta: above 1 refreshes earlier, 0 never."""
        return self._get("CACHEOPS_EARLY_REFRESH", 1.0)

    @cached_property
    def usage_sample(self) -> int:
        """One in so many look-ups is noted, so that warming knows what is used; 0 notes none."""
        return self._get("CACHEOPS_USAGE_SAMPLE", 16)

    @cached_property
    def ttl(self) -> TTLManager:
        return TTLManager(self._get("CACHEOPS_TTL_STRATEGIES", {}))

    def reset(self) -> None:
        """Forget what was read."""
        for name in [name for name in vars(self) if not name.startswith("__")]:
            delattr(self, name)


conf = Conf()
_resets: list[Callable[[], None]] = []


def on_change(reset: Callable[[], None]) -> None:
    """Call `reset` when a CACHEOPS setting, or CACHES, changes: what was made from the old one must go."""
    _resets.append(reset)


def _settings_changed(*, setting: str, **kwargs: Any) -> None:
    if setting.startswith("CACHEOPS") or setting == "CACHES":
        conf.reset()
        for reset in _resets:
            reset()


setting_changed.connect(_settings_changed, dispatch_uid="cacheops.conf")
