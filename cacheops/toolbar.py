"""A panel for django-debug-toolbar: what each read of a request met in the cache, why, and from where it was asked.

DEBUG_TOOLBAR_PANELS = [..., "cacheops.toolbar.CacheopsPanel"]
"""

import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from debug_toolbar.panels import Panel
from debug_toolbar.utils import get_template_info

from cacheops.instrumentation import request_stats
from cacheops.instrumentation.callers import innermost_frame
from cacheops.panel.explain import state_of
from cacheops.reading.fetch import fetch
from cacheops.reading.fetch_many import fetch_many
from cacheops.reading.policy import Bypass, region_bypass
from cacheops.reading.reader import Load, LoadMany, Rows, reading_by
from cacheops.reading.request import Request
from cacheops.regions import regions

NOT_THE_CALLER = frozenset({"cacheops", "django", "debug_toolbar", "asgiref"})  # packages
OTHERWISE = {
    "hit": "",
    "miss": "Its entry could not be used a moment later.",
    "bypass": "A writer changes what it depends on, another reader loads it, or the region did not answer.",
}


@dataclass(frozen=True)
class RecordedRead:
    """One read, or one of many that were asked for together. Plain values: the toolbar keeps it as JSON."""

    label: str  # model and operation
    verdict: str  # hit, miss, bypass
    why: str
    ms: float  # of those that were asked for together, each has its share
    caller: str  # file, line and function
    template: str  # whose rendering has asked; "" for none
    key: str = ""
    tags: Sequence[str] = ()


class RecordingReader:
    """Answers as the local region does, and records each read. Its own look-up, for the reason, is not timed."""

    def __init__(self) -> None:
        self.reads: list[RecordedRead] = []
        self.seconds = 0.0  # of all of them; those that a load made are part of another's
        self._loading = 0

    def read(self, request: Request, load: Load) -> Rows:
        return self.read_many([request], lambda places: [load()])[0]

    def read_many(self, requests: Sequence[Request], load: LoadMany) -> list[Rows]:
        states = [state(request) for request in requests]
        loaded: list[int] = []
        nested: list[request_stats.RequestStats] = []  # of what the loads have read themselves

        def loading(places: Sequence[int]) -> Sequence[Rows]:
            loaded.extend(places)
            self._loading += 1
            try:
                with reading_by(self), request_stats.collect_request_stats() as within:
                    nested.append(within)
                    return load(places)
            finally:
                self._loading -= 1

        started = time.perf_counter()
        with reading_by(None), request_stats.collect_request_stats() as stats:
            if len(requests) == 1:
                found = [fetch(requests[0], lambda: loading([0])[0])]
            else:
                found = fetch_many(requests, loading)
        seconds = time.perf_counter() - started
        self.seconds += 0.0 if self._loading else seconds
        for each in (stats, *nested):
            request_stats.count(**asdict(each))
        past = "bypass" if stats.bypasses else "miss"
        for place, (request, (expected, why)) in enumerate(zip(requests, states, strict=True)):
            verdict = past if place in loaded else "hit"
            key, *tags = request.key_list()
            reason = why if expected == verdict else OTHERWISE[verdict]
            self._record(request.label, verdict, reason, seconds * 1000 / len(requests), key, tags)
        return found

    def passed(self, label: str, reason: str) -> None:
        if not (self._loading and reason == Bypass.BLOCK):  # a load's own query is no read of the page's
            self._record(label, "bypass", reason, 0.0, "", ())

    def _record(self, label: str, verdict: str, why: str, ms: float, key: str, tags: Sequence[str]) -> None:
        template = get_template_info()
        name = template["name"] if template else ""
        self.reads.append(RecordedRead(label, verdict, str(why), ms, caller(), name, key, list(tags)))


def state(request: Request) -> tuple[str, str]:
    """Return what a read is about to be, and why, as far as it can be known; a region that is away is not asked."""
    bypass = region_bypass(regions.local, request.databases, request.tables)
    return state_of(request) if bypass is None else ("bypass", bypass)


def caller() -> str:
    """Return the innermost line of the project's own code."""
    frame = innermost_frame(NOT_THE_CALLER)
    return "" if frame is None else f"{frame.f_code.co_filename}:{frame.f_lineno} {frame.f_code.co_qualname}"


class CacheopsPanel(Panel):
    """Hits, misses and bypasses of a request, with reasons, keys, tags, times and the lines that asked."""

    title = nav_title = "ORM cache"
    template = "cacheops/toolbar.html"

    def process_request(self, request: Any) -> Any:
        self.reader = RecordingReader()
        with reading_by(self.reader):
            return super().process_request(request)

    def generate_stats(self, request: Any, response: Any) -> None:
        reads = self.reader.reads
        labels: dict[str, dict[str, float]] = {}
        for read in reads:
            sums = labels.setdefault(read.label, {})
            for name, value in ((read.verdict, 1), ("ms", read.ms)):
                sums[name] = sums.get(name, 0) + value
        self.record_stats(
            {
                "reads": [asdict(read) for read in reads],
                "totals": Counter(read.verdict for read in reads),
                "ms": self.reader.seconds * 1000,
                "labels": labels,
            }
        )

    @property
    def nav_subtitle(self) -> str:
        stats = self.get_stats()
        totals = stats.get("totals", {})
        return f"{totals.get('hit', 0)} hits, {totals.get('miss', 0)} misses, {totals.get('bypass', 0)} bypasses"
