"""Production: HTTPS only, secrets from the environment, no defaults for what must be decided."""

from django.core.exceptions import ImproperlyConfigured

from xyzsite.settings.base import *  # noqa: F403
from xyzsite.settings.base import ALLOWED_HOSTS, SECRET_KEY, XYZ_REGION, XYZ_TRUSTED_PROXIES, env
from xyzsite.settings.regions import variable

# Without DATABASE_URL this would be SQLite; without the region's cache, each process would keep one of its own.
REQUIRED = ("SECRET_KEY", "ALLOWED_HOSTS", "DATABASE_URL", variable("REDIS_URL", XYZ_REGION))
missing = [name for name in REQUIRED if not env.str(name, default="")]
if missing:
    raise ImproperlyConfigured(
        f"Production settings need {', '.join(missing)} in the environment; .env.example says what each one is."
    )

# Who knows the key signs sessions of anybody; with any host, a link in a mail leads where its sender likes.
KNOWN_KEYS = ("only-for-", "for-trying-out", "django-insecure-", "change")  # how those begin that stand in a repository
LOCAL_HOSTS = {"localhost", "127.0.0.1", "[::1]"}  # what deploy/compose.yaml serves, with a key that it holds itself
MIN_KEY_LETTERS, MIN_KEY_KINDS = 50, 5  # as `check --deploy` asks (security.W009)
is_known = SECRET_KEY.startswith(KNOWN_KEYS) and not LOCAL_HOSTS.issuperset(ALLOWED_HOSTS)
if len(SECRET_KEY) < MIN_KEY_LETTERS or len(set(SECRET_KEY)) < MIN_KEY_KINDS or is_known:
    raise ImproperlyConfigured(
        f"SECRET_KEY is short or known: use {MIN_KEY_LETTERS} random characters or more, as of `openssl rand -hex 32`."
    )
if "*" in ALLOWED_HOSTS:
    raise ImproperlyConfigured("ALLOWED_HOSTS must name the hosts under which the site is served: * allows any.")

BEHIND_PROXY = env.bool("BEHIND_PROXY", default=False)
if BEHIND_PROXY and not XYZ_TRUSTED_PROXIES:
    raise ImproperlyConfigured(
        "BEHIND_PROXY needs TRUSTED_PROXIES: all clients would have the proxy's address, and wrong passwords of one "
        "would keep everybody from signing in."
    )

DEBUG = False

SECURE_SSL_REDIRECT = env.bool("SECURE_SSL_REDIRECT", default=True)
SECURE_REDIRECT_EXEMPT = ["^healthz(/live)?$"]  # load balancers ask for it without TLS
SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https") if BEHIND_PROXY else None
SECURE_HSTS_SECONDS = env.int("SECURE_HSTS_SECONDS", default=31_536_000)  # a year, as browsers' preload lists ask for
SECURE_HSTS_INCLUDE_SUBDOMAINS = True
SECURE_HSTS_PRELOAD = True
SESSION_COOKIE_SECURE = True
CSRF_COOKIE_SECURE = True

STORAGES = {
    "default": {"BACKEND": "django.core.files.storage.FileSystemStorage"},
    "staticfiles": {"BACKEND": "whitenoise.storage.CompressedManifestStaticFilesStorage"},
}
