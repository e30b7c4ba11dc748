"""Which summaries are worth making before anybody asks."""

from collections import Counter
from collections.abc import Iterator, Sequence
from functools import partial
from typing import Any

from analytics.overview import overview_recipe
from analytics.selectors import DEVICE_COUNT, Selection
from analytics.summaries import Question, Recipe, analytics_recipe, stored
from analytics.windows import DEFAULT_SPAN, SPANS, common_zone
from cacheops.warming import Value, Values
from locations.models import Location, Membership

# The specification's common queries; and what the analytics page opens with.
COMMON = (("temperature", "1h"), ("humidity", "1h"), (DEVICE_COUNT, "24h"), ("temperature", DEFAULT_SPAN.code))
MOST_SCOPES = 50  # sets of locations that people see, the most usual first: what warming may cost has a bound

Scope = tuple[int, ...] | None


def scopes() -> list[Scope]:
    """Return what people can see: everything (staff), and each set of locations that members share."""
    seen: dict[int, list[int]] = {}
    members = Membership.objects.filter(user__is_active=True, user__is_staff=False)
    for user, location in members.order_by("location_id").values_list("user_id", "location_id"):
        seen.setdefault(user, []).append(location)
    usual = Counter(tuple(locations) for locations in seen.values()).most_common(MOST_SCOPES)
    return [None, *(scope for scope, _ in usual)]


def recipes() -> Iterator[Recipe[Any]]:
    """Yield the overview and the common analytics of every scope, and the common analytics of every location."""
    zones = dict(Location.objects.values_list("pk", "timezone"))
    for scope in scopes():
        yield overview_recipe(scope)
        zone = common_zone(zones[pk] for pk in (zones if scope is None else scope))
        for metric, span in COMMON:
            yield analytics_recipe(Question(Selection(metric, scope), SPANS[span], zone))
    for location in Location.objects.filter(active=True):
        for metric, span in COMMON:
            selection = Selection(metric, (location.pk,))
            yield analytics_recipe(Question(selection, SPANS[span], location.timezone))


def keys() -> list[str]:
    """Return the keys of all recipes, those for most people first."""
    return [recipe.key for recipe in recipes()]


def works(wanted: Sequence[str]) -> Iterator[Values]:
    """Yield what to fill for some of the keys."""
    chosen = frozenset(wanted)
    yield Values([Value(recipe.key, partial(made, recipe)) for recipe in recipes() if recipe.key in chosen])


def made(recipe: Recipe[Any]) -> tuple[str, float]:
    """Return a summary as it is stored, and its seconds to live."""
    summary = recipe.make()
    return stored(summary), recipe.ttl(summary)
