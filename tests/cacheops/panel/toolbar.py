"""A project with django-debug-toolbar and the engine's panel. As a program: open its page twice, print what it shows.

`toolbar.py serve PORT` serves it instead.
"""

import json
import re
import sys
import tempfile

import django
from django.conf import settings

settings.configure(
    DEBUG=True,
    SECRET_KEY="toolbar",
    ALLOWED_HOSTS=["*"],
    INTERNAL_IPS=["127.0.0.1"],
    ROOT_URLCONF=__name__,
    INSTALLED_APPS=[
        "django.contrib.auth",
        "django.contrib.contenttypes",
        "django.contrib.staticfiles",
        "debug_toolbar",
        "cacheops",
        "cacheops.fastpath",
    ],
    MIDDLEWARE=["debug_toolbar.middleware.DebugToolbarMiddleware"],
    DEBUG_TOOLBAR_PANELS=["debug_toolbar.panels.sql.SQLPanel", "cacheops.toolbar.CacheopsPanel"],
    TEMPLATES=[{"BACKEND": "django.template.backends.django.DjangoTemplates", "APP_DIRS": True}],
    CACHES={"default": {"BACKEND": "cacheops.backends.MemoryCache", "LOCATION": "toolbar"}},
    CACHEOPS={"auth.*": {"ops": ("get", "fetch", "count"), "timeout": 60}},
    CACHEOPS_METRICS_SECONDS=0,
    DATABASES={"default": {"ENGINE": "cacheops.db.backends.sqlite3", "NAME": f"{tempfile.mkdtemp()}/db"}},
    STATIC_URL="static/",
    USE_TZ=True,
)
django.setup()

from debug_toolbar.toolbar import debug_toolbar_urls  # noqa: E402
from django.contrib.auth.models import Group, User  # noqa: E402
from django.core.management import call_command  # noqa: E402
from django.db import connections  # noqa: E402
from django.http import HttpRequest, HttpResponse  # noqa: E402
from django.template import engines  # noqa: E402
from django.test import Client  # noqa: E402
from django.urls import path  # noqa: E402

from cacheops import bypassed, cached_as  # noqa: E402
from cacheops.monitoring import collect_request_stats  # noqa: E402

PAGE = "<html><body>{{ user.username }}: {% for group in groups %}{{ group.name }} {% endfor %}</body></html>"


@cached_as(Group)
def largest() -> int:
    return max(User.objects.filter(groups=group).count() for group in Group.objects.order_by("pk"))


def page(request: HttpRequest) -> HttpResponse:
    with collect_request_stats() as stats:
        user = User.objects.get(username="ann")
        User.objects.count()
        largest()
        Group.objects.filter(pk=1).exists()
        with bypassed():
            list(Group.objects.all())
    text = engines["django"].from_string(PAGE).render({"user": user, "groups": Group.objects.order_by("name")})
    return HttpResponse(text, headers={"Counted": f"{stats.hits} {stats.misses} {stats.bypasses}"})


urlpatterns = [path("", page), *debug_toolbar_urls()]


def main() -> None:
    call_command("migrate", verbosity=0)
    User.objects.create(username="ann").groups.add(Group.objects.create(name="readers"))
    if sys.argv[1:2] == ["serve"]:
        call_command("runserver", f"127.0.0.1:{sys.argv[2]}", use_reloader=False)
    told = []
    for _ in range(2):
        response = Client().get("/")
        (request_id,) = re.findall(r'data-request-id="(\w+)"', response.content.decode())
        query = {"request_id": request_id, "panel_id": "CacheopsPanel"}
        panel = Client().get("/__debug__/render_panel/", query).json()["content"]
        told.append({"counted": response.headers["Counted"], "panel": panel})
    sys.stdout.write(json.dumps(told))
    connections.close_all()


if __name__ == "__main__":
    main()
