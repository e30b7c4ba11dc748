"""Warming analytics: overviews, and the common questions of every scope."""

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from datetime import datetime
from functools import partial

from django.utils import timezone

from analytics.overview import overview
from analytics.selectors import DEVICE_COUNT, Selection
from analytics.summaries import Question, analytics_summary
from analytics.windows import common_zone
from cacheops.warming import Reads
from devices.excursions import excursions_at
from devices.spans import DEFAULT_SPAN, SPANS
from locations.models import Location, Membership

# The specification's common queries; and what the analytics page opens with.
COMMON = (("temperature", "1h"), ("humidity", "1h"), (DEVICE_COUNT, "24h"), ("temperature", DEFAULT_SPAN.code))
MAX_SCOPES = 50  # sets of locations that people see, the most usual first: what warming may cost has a bound

Scope = tuple[int, ...] | None


def scopes() -> list[Scope]:
    """Return what people can see: everything (staff), and each set of locations that members share."""
    seen: dict[int, list[int]] = {}
    members = Membership.objects.filter(user__is_active=True, user__is_staff=False)
    for user, location in members.order_by("location_id").values_list("user_id", "location_id"):
        seen.setdefault(user, []).append(location)
    usual = Counter(tuple(locations) for locations in seen.values()).most_common(MAX_SCOPES)
    return [None, *(scope for scope, _ in usual)]


def questions() -> dict[str, Question]:
    """Return the common questions of every scope and of every location by a name, those for most people first."""
    zones = dict(Location.objects.values_list("pk", "timezone"))
    asked = {scope: common_zone(zones[pk] for pk in (zones if scope is None else scope)) for scope in scopes()}
    asked |= {(pk,): zone for pk, zone in Location.objects.filter(active=True).values_list("pk", "timezone")}
    return {
        f"{metric} {span} {named(scope)}": Question(Selection(metric, scope), SPANS[span], zone)
        for scope, zone in asked.items()
        for metric, span in COMMON
    }


def named(scope: Scope) -> str:
    return "everywhere" if scope is None else ",".join(map(str, scope))


def keys() -> list[str]:
    """Return the names of all that can be warmed: overviews of scopes, and questions."""
    return [*(f"overview {named(scope)}" for scope in scopes()), *questions()]


def tasks(wanted: Sequence[str]) -> Iterator[Reads]:
    """Yield what to fill for some of the names."""
    chosen = frozenset(wanted)
    now = timezone.now()  # the same for all, so that they ask for the same units
    calls: dict[str, Callable[[], object]] = {
        f"overview {named(scope)}": partial(whole_overview, scope, now) for scope in scopes()
    }
    calls |= {name: partial(analytics_summary, question, now) for name, question in questions().items()}
    yield Reads([partial(primary, call) for name, call in calls.items() if name in chosen])


def whole_overview(scope: Scope, now: datetime) -> None:
    overview(scope)
    excursions_at(scope, now)


def primary(call: Callable[[], object]) -> None:
    call()
