"""explain(queryset): whether a query is cached, why, and what would invalidate it."""

from dataclasses import dataclass
from typing import Any

from django.db import models

from cacheops.exceptions import StoreError
from cacheops.orm.plan import Plan
from cacheops.orm.read_compiler import CachingCompiler, operation_of
from cacheops.panel.entry_page import look_up
from cacheops.protocol.tags import WHOLE_TABLE
from cacheops.reading.policy import Bypass
from cacheops.reading.request import Request
from cacheops.regions import regions


@dataclass(frozen=True, slots=True)
class Explanation:
    """What the cache does with a query. Printed, it is the same as text."""

    model: str
    operation: str  # get, fetch, count, aggregate or exists
    verdict: str  # hit, miss, bypass; unknown where the region does not answer
    why: str
    key: str = ""  # of its entry; "" where it is not cached
    timeout: float = 0.0  # seconds that an entry lives
    tags: tuple[str, ...] = ()  # keys of all that it depends on
    invalidated_by: tuple[str, ...] = ()  # writes, in words

    @property
    def is_cached(self) -> bool:
        return bool(self.key)

    def __str__(self) -> str:
        lines = [f"{self.model}, {self.operation}: {self.verdict}. {self.why}"]
        if self.is_cached:
            lines += [f"entry  {self.key}", f"lives  {self.timeout:g} s", *(f"tag    {tag}" for tag in self.tags)]
            lines += [f"ends with {write}" for write in self.invalidated_by]
        return "\n".join(lines)


def explain(queryset: models.QuerySet[Any]) -> Explanation:
    """Explain what the cache does with the rows of a queryset now; nothing is read from the database, or changed.

    For another operation give what Django makes of it: `queryset[:21]` is what `get()` asks for.
    """
    compiler = queryset.query.get_compiler(using=queryset.db)
    model, operation = queryset.model._meta.label, operation_of(compiler, "multi")
    found = plan_of(queryset)
    if isinstance(found, Bypass):
        return Explanation(model, operation, "bypass", found)
    request, _ = found
    verdict, why = state_of(request)
    key, *tags = request.key_list()
    return Explanation(
        model, operation, verdict, why, key, request.profile.timeout, tuple(tags), writes_against(request)
    )


def plan_of(queryset: models.QuerySet[Any]) -> tuple[Request, Plan] | Bypass:
    """Return what a queryset's rows are asked for by, or why they go to the database."""
    compiler = queryset.query.get_compiler(using=queryset.db)
    return compiler.planned() if isinstance(compiler, CachingCompiler) else Bypass.ENGINE


def state_of(request: Request) -> tuple[str, str]:
    """Return what a read would be now in this process's region, and why."""
    try:
        state = look_up(regions.local, request, None)
    except StoreError as error:
        return "unknown", str(error)
    return state.verdict, state.why


def writes_against(request: Request) -> tuple[str, ...]:
    """Return in words which writes invalidate a request's entry."""
    return tuple(
        f"any write to {table.keys.table}"
        if tag == WHOLE_TABLE
        else f"a write to a row of {table.keys.table} with {tag}"
        for table in request.tables
        for tag in table.tags
    )


__all__ = ["Explanation", "explain"]
