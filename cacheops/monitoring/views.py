"""The metrics' address, `/metrics`: for Prometheus by token or network, for staff by their session. Never public."""

from ipaddress import ip_address, ip_network

from django.contrib.auth.decorators import login_not_required
from django.http import HttpRequest, HttpResponse, HttpResponseForbidden
from django.utils.crypto import constant_time_compare
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_safe

from cacheops.conf import conf
from cacheops.monitoring.prometheus import exposition
from cacheops.monitoring.recorder import flusher

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"  # Prometheus's text format


@login_not_required
@never_cache
@require_safe
def metrics(request: HttpRequest) -> HttpResponse:
    """Return the local region's metrics; `?region=all`, or a region's name, for others. 403 for those not let in."""
    if not may_scrape(request):
        return HttpResponseForbidden(
            "Send CACHEOPS_METRICS_TOKEN as bearer token, come from CACHEOPS_METRICS_NETWORKS, or sign in.\n",
            content_type="text/plain; charset=utf-8",
        )
    wanted = request.GET.get("region", conf.local_region)
    names = conf.regions if wanted == "all" else (wanted,)
    if not set(names) <= set(conf.regions):
        return HttpResponse("No such region.\n", status=404, content_type="text/plain; charset=utf-8")
    flusher.flush()  # what this process has counted since
    return HttpResponse(exposition(names), content_type=CONTENT_TYPE)


def may_scrape(request: HttpRequest) -> bool:
    """Return whether a request may see the metrics."""
    scheme, _, given = request.headers.get("Authorization", "").partition(" ")
    if conf.metrics_token and scheme.lower() == "bearer" and constant_time_compare(given.strip(), conf.metrics_token):
        return True
    if comes_from(request.META.get("REMOTE_ADDR", ""), conf.metrics_networks):
        return True
    user = getattr(request, "user", None)
    return bool(user is not None and user.is_active and user.is_staff)


def comes_from(address: str, networks: tuple[str, ...]) -> bool:
    """Return whether an address lies in a network. Behind a proxy it is the proxy's: leave the networks empty there."""
    try:
        parsed = ip_address(address)
    except ValueError:
        return False
    return any(parsed in ip_network(network, strict=False) for network in networks)
