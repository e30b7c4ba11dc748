"""Pages that keep themselves up to date: a browser asks for them every few seconds, with the tag of what it shows.

It gets 304 while that is what it would get (RFC 9110, If-None-Match). No connection stays open, as threads are few
(docs/decisions/0031-live-pages.md).
"""

import re
from collections.abc import Callable
from functools import wraps
from hashlib import blake2b

from django.http import HttpResponse, HttpResponseNotModified

from xyzsite.web.http import PageRequest

# What differs from one rendering to the next although the page is the same.
OWN = re.compile(rb'name="csrfmiddlewaretoken" value="\w+"')


def live(view: Callable[..., HttpResponse]) -> Callable[..., HttpResponse]:
    """Answer 304 to a browser whose tag is that of the page as it is now; else the page, with its tag.

    Only a script sends a tag, since nobody may keep our pages: that request is `is_poll`, and takes no messages away.
    """

    @wraps(view)
    def live_view(request: PageRequest, *args: object, **kwargs: object) -> HttpResponse:
        known = request.headers.get("If-None-Match")
        request.is_poll = known is not None
        response = view(request, *args, **kwargs)
        if known is None or response.status_code != 200:
            return response
        tag = f'"{blake2b(OWN.sub(b"", response.content), digest_size=16).hexdigest()}"'
        if known == tag:
            response = HttpResponseNotModified()
        response["ETag"] = tag
        return response

    return live_view
