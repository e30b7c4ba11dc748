"""The smallest project with the panel: Django's own admin, an embedded store. Run as a program, it opens every page."""

import sys

import django
from django.conf import settings
from django.urls import path

APPS = ["django.contrib.admin", "django.contrib.auth", "django.contrib.contenttypes", "django.contrib.sessions",
        "django.contrib.messages", "django.contrib.staticfiles", "django_htmx", "cacheops"]  # fmt: skip
MIDDLEWARE = ["django.contrib.sessions.middleware.SessionMiddleware", "django.middleware.csrf.CsrfViewMiddleware",
              "django.contrib.auth.middleware.AuthenticationMiddleware",
              "django.contrib.messages.middleware.MessageMiddleware"]  # fmt: skip
CONTEXT = ["django.template.context_processors.request", "django.contrib.auth.context_processors.auth",
           "django.contrib.messages.context_processors.messages"]  # fmt: skip
PAGES = ["", "regions/default/", "models/", "look-up/?model=auth.user&pk=1", "actions/",
         "actions/invalidate-model/?model=auth.user", "actions/pause/"]  # fmt: skip

settings.configure(
    SECRET_KEY="plain",
    ALLOWED_HOSTS=["*"],
    ROOT_URLCONF=__name__,
    INSTALLED_APPS=APPS,
    MIDDLEWARE=MIDDLEWARE,
    TEMPLATES=[
        {
            "BACKEND": "django.template.backends.django.DjangoTemplates",
            "APP_DIRS": True,
            "OPTIONS": {"context_processors": CONTEXT},
        }
    ],
    CACHES={"default": {"BACKEND": "cacheops.backends.MemoryCache", "LOCATION": "plain"}},
    CACHEOPS={"auth.*": {"ops": "all", "timeout": 60}},
    CACHEOPS_METRICS_SECONDS=0,
    DATABASES={"default": {"ENGINE": "cacheops.db.backends.sqlite3", "NAME": ":memory:"}},
    STATIC_URL="static/",
    USE_TZ=True,
)
django.setup()

from django.contrib import admin  # noqa: E402
from django.contrib.auth import get_user_model  # noqa: E402
from django.core.management import call_command  # noqa: E402
from django.test import Client  # noqa: E402

urlpatterns = [path("admin/", admin.site.urls)]


def main() -> None:
    call_command("migrate", verbosity=0)
    user = get_user_model().objects.create_superuser("root", "root@example.org", "x")
    client = Client()
    client.force_login(user)
    for page in PAGES:
        response = client.get(f"/admin/cacheops/panel/{page}")
        live = "htmx" in response.content.decode()
        sys.stdout.write(f"{response.status_code} {live} /{page}\n")
    paused = client.post("/admin/cacheops/panel/actions/pause/", {"model": "auth.user", "seconds": 60}, follow=True)
    sys.stdout.write(f"paused {'auth.user is not cached until' in paused.content.decode()}\n")


if __name__ == "__main__":
    main()
