"""The test suite. tests/servers.py starts the servers and names them in the environment before this is read."""

from xyzsite.settings.base import *  # noqa: F403

SECRET_KEY = "only-for-tests"
ALLOWED_HOSTS = ["*"]
PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]  # fast: the suite makes many users
STORAGES = {
    "default": {"BACKEND": "django.core.files.storage.FileSystemStorage"},
    "staticfiles": {"BACKEND": "django.contrib.staticfiles.storage.StaticFilesStorage"},
}
# Static files come from the apps' own folders, looked up when asked for: nothing is collected for tests.
WHITENOISE_USE_FINDERS = True
WHITENOISE_AUTOREFRESH = True

CACHEOPS_TIMEOUT = 0.25  # seconds: the suite's machine is busier than one that serves pages

CACHEOPS_METRICS_SECONDS = 0  # counts are sent when a test says so

# The suite's own application, with a model for every shape (tests/testapp), in two databases of different kinds.
INSTALLED_APPS += ["django.contrib.postgres", "tests.testapp"]  # noqa: F405
DATABASE_ROUTERS = ["tests.testapp.router.TestAppRouter", *DATABASE_ROUTERS]  # noqa: F405
DATABASES["other"] = {"ENGINE": "cacheops.db.backends.sqlite3", "NAME": ":memory:"}  # noqa: F405
CACHEOPS = {**CACHEOPS, "testapp.*": {"ops": "all", "timeout": 300}}  # noqa: F405
for _database in DATABASES.values():  # noqa: F405
    if _database["ENGINE"].endswith("sqlite3"):  # said, as pytest-django knows it of Django's own engine only
        _database["TEST"] = {"NAME": ":memory:"}

# E-mails stay in this process. Django before 6.1 has a setting of its own, which test runners set.
MAILERS = {"default": {"BACKEND": "django.core.mail.backends.locmem.EmailBackend"}}
