"""Where a request comes from, as far as it can be believed."""

from ipaddress import IPv4Address, IPv6Address, IPv6Network, ip_address

from django.conf import settings
from django.http import HttpRequest

CUSTOMER_PREFIX = 64  # bits of an IPv6 address that one customer can not choose: he has at least a /64 (RFC 6177)


def client_address(request: HttpRequest) -> str:
    """Return the address of a client, of IPv6 its /64; "" where there is none, as on a Unix socket.

    A proxy adds the address that called it to the right of X-Forwarded-For. So much of it is believed as trusted
    proxies have added (XYZ_TRUSTED_PROXIES); what stands left of that, the client may have made up.
    """
    believed = None
    forwarded = request.headers.get("X-Forwarded-For", "").split(",")
    for hop in (request.META.get("REMOTE_ADDR", ""), *reversed(forwarded)):
        address = _parsed(hop.strip())
        if address is None:
            break
        believed = address
        if not any(address in network for network in settings.XYZ_TRUSTED_PROXIES):
            break
    if isinstance(believed, IPv6Address):
        return str(IPv6Network((believed, CUSTOMER_PREFIX), strict=False))
    return str(believed or "")


def _parsed(text: str) -> IPv4Address | IPv6Address | None:
    """Return the address that a text is, of IPv4 also where it is written as IPv6; None for another text."""
    try:
        address = ip_address(text)
    except ValueError:
        return None
    return getattr(address, "ipv4_mapped", None) or address
