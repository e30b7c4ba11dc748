"""The only reader of Django's settings: one declaration a setting, from which its check and its reference come."""

from collections.abc import Container, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Generic, Self, overload

from django.conf import settings
from django.core.signals import setting_changed
from django.db import DEFAULT_DB_ALIAS

from cacheops.conf import kinds
from cacheops.conf.kinds import Kind, T
from cacheops.engine import Component, register_component, settings_changed
from cacheops.exceptions import InvalidOption


@dataclass(eq=False)
class Setting(Generic[T]):
    """An attribute of Conf that is read once, and then is the instance's own: it costs later readers nothing."""

    name: str
    default: Any
    kind: Kind[T]
    meaning: str  # one line

    def __set_name__(self, owner: type, attribute: str) -> None:
        self._attribute = attribute

    @overload
    def __get__(self, conf: None, owner: type) -> Self: ...

    @overload
    def __get__(self, conf: object, owner: type) -> T: ...

    def __get__(self, conf: object | None, owner: type) -> Self | T:
        if conf is None:
            return self
        value = vars(conf)[self._attribute] = self.read()
        return value

    def read(self) -> T:
        """Return the project's value, or the default. Raise InvalidOption that names the setting."""
        if problem := self.problem():
            raise InvalidOption(f"{problem} {self.hint}")
        return self.kind.read(self._given)

    def problem(self) -> str:
        """Return what is wrong with the project's value; "" if nothing is."""
        try:
            self.kind.read(self._given)
        except ValueError as error:
            return f"{self.name} {str(error) or f'is {self._given!r}'}."
        return ""

    @property
    def hint(self) -> str:
        return f"Use {self.kind.expects}."

    @property
    def _given(self) -> Any:
        return getattr(settings, self.name, self.default)


class Conf(Component):
    """The settings whose names begin with CACHEOPS. Values are read once; tests that override settings reset them."""

    # --- What is cached ---------------------------------------------------------------------------------------------
    enabled = Setting(
        "CACHEOPS_ENABLED", True, kinds.FLAG, "Whether reads are cached. Writes always invalidate: others may read."
    )
    profiles = Setting(
        "CACHEOPS",
        {},
        kinds.PROFILES,
        'Profiles by model: "app.model", "app.*", "*.*". None switches caching and invalidation off.',
    )
    defaults = Setting("CACHEOPS_DEFAULTS", {}, kinds.OPTIONS, "The options that every profile starts from.")
    max_entry_bytes = Setting(
        "CACHEOPS_MAX_ENTRY_BYTES", 2**20, kinds.whole(1, "bytes"), "A larger result is returned, but not cached."
    )
    max_tags = Setting(
        "CACHEOPS_MAX_TAGS",
        100,
        kinds.whole(0),
        "How many tags of one table a query may depend on; beyond, it depends on the whole table.",
    )
    max_marks = Setting(
        "CACHEOPS_MAX_MARKS",
        500,
        kinds.whole(0),
        "How many row values of one table a transaction may mark; beyond, it marks the whole table.",
    )

    # --- For how long -----------------------------------------------------------------------------------------------
    ttl = Setting(
        "CACHEOPS_TTL_STRATEGIES",
        {},
        kinds.STRATEGIES,
        "TTLs by name, for profiles' timeouts; they are added to those that are built in, or replace them.",
    )
    jitter = Setting("CACHEOPS_JITTER", 0.1, kinds.SHARE, "The share of a TTL that is random.")
    early_refresh = Setting(
        "CACHEOPS_EARLY_REFRESH", 1.0, kinds.FACTOR, "XFetch's beta: above 1 refreshes earlier, 0 never."
    )

    # --- Where ------------------------------------------------------------------------------------------------------
    _prefix = Setting(
        "CACHEOPS_PREFIX",
        "co",
        kinds.PREFIX,
        "The beginning of every key. A function, or its path, is called at each read and write: for tenants.",
    )
    _regions = Setting(
        "CACHEOPS_REGIONS",
        ("default",),
        kinds.REGIONS,
        "The CACHES aliases in which entries live; each is one region. By database: the regions that cache it.",
    )
    _local_region = Setting(
        "CACHEOPS_LOCAL_REGION",
        "",
        kinds.REGION,
        'The region of this process, the only one that it reads from; "" is the first of CACHEOPS_REGIONS.',
    )
    all_followers = Setting("CACHEOPS_FOLLOWERS", {}, kinds.ALIASES, "Cached replicas, by alias: their primaries.")
    _wait_replicas = Setting(
        "CACHEOPS_WAIT_REPLICAS",
        0,
        kinds.REPLICAS,
        "How many replicas must hold a mark before a commit; 0 where a region has none.",
    )

    # --- How long to wait -------------------------------------------------------------------------------------------
    wait_seconds = Setting(
        "CACHEOPS_WAIT_SECONDS",
        0.1,
        kinds.seconds(kinds.MIN_WAIT),
        "How long to wait for these replicas; replication in one region takes well under a millisecond.",
    )
    mark_seconds = Setting(
        "CACHEOPS_MARK_SECONDS",
        30.0,
        kinds.seconds(kinds.MIN_WAIT),
        "How long a mark stands. It must outlast any commit; a dead writer's mark is in the way for that long.",
    )
    loader_seconds = Setting(
        "CACHEOPS_LOADER_SECONDS",
        2.0,
        kinds.seconds(kinds.MIN_WAIT),
        "How long one reader may load while others wait for it; after it, those who wait for a dead one go on.",
    )
    max_lag = Setting(
        "CACHEOPS_MAX_LAG",
        2.0,
        kinds.seconds(kinds.MIN_WAIT),
        "How old what a database replica shows may be. Where it is older, reads go to the primary.",
    )
    timeout = Setting(
        "CACHEOPS_TIMEOUT",
        0.05,
        kinds.seconds(kinds.MIN_WAIT),
        "How long to wait for the own region's servers. A healthy one answers in under a millisecond.",
    )
    remote_timeout = Setting(
        "CACHEOPS_REMOTE_TIMEOUT",
        0.25,
        kinds.seconds(kinds.MIN_WAIT),
        "How long a write waits for another region's servers: a continent is 70 ms wide.",
    )
    on_unreachable = Setting(
        "CACHEOPS_ON_UNREACHABLE",
        "queue",
        kinds.choice("E008", "queue", "strict"),
        'What a write does when a region cannot be told of it: "queue" (go on, tell it later) or "strict" (fail).',
    )
    when_database_away = Setting(
        "CACHEOPS_WHEN_DATABASE_AWAY",
        "fail",
        kinds.choice("E008", "serve", "fail"),
        'What a read does that finds its entry while the database is away: "serve" (take it) or "fail" (raise).',
    )
    database_silence = Setting(
        "CACHEOPS_DATABASE_SILENCE", 0.0, kinds.seconds(), "After how long PostgreSQL counts as frozen; 0: never."
    )
    breaker_threshold = Setting(
        "CACHEOPS_BREAKER_THRESHOLD", 5, kinds.whole(1), "Unanswered calls in a row after which a region is left alone."
    )
    breaker_recovery = Setting(
        "CACHEOPS_BREAKER_RECOVERY", 60.0, kinds.seconds(), "How long it is left alone until one call tries it again."
    )

    # --- Write-behind -----------------------------------------------------------------------------------------------
    flush_batch = Setting(
        "CACHEOPS_FLUSH_BATCH", 100, kinds.whole(1, check="E011"), "How many buffered writes a worker takes at a time."
    )
    flush_seconds = Setting(
        "CACHEOPS_FLUSH_SECONDS",
        30.0,
        kinds.seconds(check="E011"),
        "How long a buffered write waits for a batch to be full.",
    )
    flush_retry_seconds = Setting(
        "CACHEOPS_FLUSH_RETRY_SECONDS",
        10.0,
        kinds.seconds(check="E011"),
        "After how long a write is tried again that was refused, or whose worker died; it doubles with each time.",
    )
    flush_attempts = Setting(
        "CACHEOPS_FLUSH_ATTEMPTS",
        5,
        kinds.whole(1, check="E011"),
        "How often a write that the database refuses is tried until it becomes a dead letter.",
    )
    buffer_bound = Setting(
        "CACHEOPS_BUFFER_BOUND",
        50_000,
        kinds.whole(1, check="E011"),
        "How many writes may wait; then BufferFull is raised. 50,000 of 200 bytes take some 15 MB.",
    )

    # --- What is measured -------------------------------------------------------------------------------------------
    usage_sample = Setting(
        "CACHEOPS_USAGE_SAMPLE",
        16,
        kinds.whole(0),
        "One in so many look-ups is noted, so that warming knows what is used; 0 notes none.",
    )
    verify_sample = Setting(
        "CACHEOPS_VERIFY_SAMPLE", 0, kinds.whole(0), "One in so many entries can be verified; 0: none can."
    )
    metrics_seconds = Setting(
        "CACHEOPS_METRICS_SECONDS",
        5.0,
        kinds.seconds(),
        "How often a process tells its region what it has counted; 0: only when asked to.",
    )
    metrics_token = Setting(
        "CACHEOPS_METRICS_TOKEN",
        "",
        kinds.TOKEN,
        'The bearer token that lets Prometheus read /metrics; "" lets nobody in by token.',
    )
    metrics_networks = Setting(
        "CACHEOPS_METRICS_NETWORKS", (), kinds.NETWORKS, "The networks that may read /metrics without a token."
    )
    cloudwatch_clusters = Setting(
        "CACHEOPS_CLOUDWATCH_CLUSTERS",
        {},
        kinds.TEXTS,
        "The names of the regions' clusters in CloudWatch; a region's own name where none is given.",
    )
    tracing = Setting(
        "CACHEOPS_TRACING", True, kinds.FLAG, "Whether look-ups are spans of OpenTelemetry, where it is installed."
    )

    # --- What follows from them -------------------------------------------------------------------------------------

    @property
    def prefix(self) -> str:
        """The beginning of keys that belong to no table, or of every key where it is fixed."""
        return self.prefix_of(DEFAULT_DB_ALIAS)

    def prefix_of(self, database: str, *tables: str) -> str:
        """Return what the keys of a table begin with: its database's alias, and its name. Raise InvalidOption."""
        prefix = self._prefix
        return prefix if isinstance(prefix, str) else kinds.asked_prefix(prefix, kinds.Asked(database, tables))

    @property
    def has_fixed_prefix(self) -> bool:
        """Whether all keys begin alike; else the prefix is asked for at each read and write."""
        return isinstance(self._prefix, str)

    @property
    def metrics_prefix(self) -> str:
        """The beginning of the keys of metrics, which are of all tenants: CACHEOPS_PREFIX, or "co" for a callable."""
        return self._prefix if isinstance(self._prefix, str) else "co"

    @cached_property
    def regions(self) -> tuple[str, ...]:
        """All regions, whichever database they cache."""
        given = self._regions
        if not isinstance(given, Mapping):
            return given
        return tuple(dict.fromkeys(name for names in given.values() for name in names))

    def regions_of(self, database: str) -> tuple[str, ...]:
        """Return the regions that cache a database: those in which a write of it is marked."""
        given = self._regions
        return given.get(database, ()) if isinstance(given, Mapping) else given

    @cached_property
    def local_databases(self) -> Container[str] | None:
        """The databases that this process's region caches; None for all."""
        if not isinstance(self._regions, Mapping):
            return None
        return frozenset(database for database, names in self._regions.items() if self.local_region in names)

    @cached_property
    def followers(self) -> Mapping[str, str]:
        """The replicas that this process's region caches, by alias: their primaries."""
        return {alias: of for alias, of in self.all_followers.items() if self.local_region in self.regions_of(alias)}

    @cached_property
    def local_region(self) -> str:
        return self._local_region or self.regions[0]

    @cached_property
    def wait_replicas(self) -> Mapping[str, int]:
        """How many replicas must hold a mark, by region."""
        value = self._wait_replicas
        return value if isinstance(value, Mapping) else dict.fromkeys(self.regions, value)

    def settings_changed(self) -> None:
        """Forget what was read."""
        vars(self).clear()


SETTINGS: tuple[Setting[Any], ...] = tuple(one for one in vars(Conf).values() if isinstance(one, Setting))

conf = register_component(Conf())


def _settings_changed(*, setting: str, **kwargs: Any) -> None:
    if setting.startswith("CACHEOPS") or setting == "CACHES":
        settings_changed()


setting_changed.connect(_settings_changed, dispatch_uid="cacheops.conf")
