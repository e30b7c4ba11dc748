"""The health checks of whoever starts this process, and of a load balancer."""

from typing import Any

from django.conf import settings
from django.contrib.auth.decorators import login_not_required
from django.db import DatabaseError, InterfaceError, connection, connections
from django.http import HttpRequest, JsonResponse
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_GET

from cacheops.regions import regions
from cacheops.stores.circuit_breaker import CircuitState
from xyzsite.replica import measure, too_far
from xyzsite.router import REPLICA


@login_not_required
@never_cache
@require_GET
def live(request: HttpRequest) -> JsonResponse:
    """Report that this process answers, whatever it needs is away: starting it again would not help."""
    return JsonResponse({"status": "ok", "region": settings.XYZ_REGION})


@login_not_required
@never_cache
@require_GET
def healthz(request: HttpRequest) -> JsonResponse:
    """Report to a load balancer whether to send requests here: 200, or 503 where pages can't be served.

    While the database is away, the cache serves ("degraded"), if the settings say so and its region answers. While the
    region's replica is too far behind ("lagging"), every read goes to the primary; while its relay is, past the cache:
    503 only if the settings say so. `behind` names them.
    """
    try:
        with connection.cursor() as cursor:
            cursor.execute("SELECT 1")
    except (DatabaseError, InterfaceError):
        connection.close_if_unusable_or_obsolete()
        serves = settings.CACHEOPS_WHEN_DATABASE_AWAY == "serve" and cache_answers()
        return report("degraded" if serves else "failing", "no answer", 200 if serves else 503)
    behind = too_far(measure()) if REPLICA in connections.settings else []
    if behind:
        return report("lagging", "ok", 503 if settings.XYZ_LAG_FAILS_HEALTH else 200, behind=behind)
    return report("ok", "ok", 200)


def cache_answers() -> bool:
    """Return whether the region has answered lately, as far as this process knows."""
    return regions.local.breaker.state is CircuitState.CLOSED


def report(status: str, database: str, code: int, **more: Any) -> JsonResponse:
    found = {"status": status, "live": True, "ready": code == 200, "database": database, "region": settings.XYZ_REGION}
    return JsonResponse({**found, **more}, status=code)
