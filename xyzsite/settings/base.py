"""What every deployment shares. Each deployment setting comes from the environment; `.env.example` lists them."""

from pathlib import Path
from typing import Any

from django.templatetags.static import static

from xyzsite.settings.environment import Env, at_least, database_at, log_level, networks
from xyzsite.settings.mail import mail_settings
from xyzsite.settings.regions import (
    HOME_REGION,
    REGIONS,
    caches_from_environment,
    client_class,
    follower_regions,
    regions_by_database,
    regions_with_servers,
    replicas_from_environment,
)

BASE_DIR = Path(__file__).resolve().parents[2]

env = Env()
env.read_env(BASE_DIR / ".env")

SECRET_KEY = env.str("SECRET_KEY", default="")
SECRET_KEY_FALLBACKS = env.list("SECRET_KEY_FALLBACKS", default=[])
DEBUG = env.bool("DEBUG", default=False)
ALLOWED_HOSTS = env.list("ALLOWED_HOSTS", default=[])
CSRF_TRUSTED_ORIGINS = env.list("CSRF_TRUSTED_ORIGINS", default=[])

INSTALLED_APPS = [
    "unfold",
    "unfold.contrib.filters",
    "django.contrib.admin",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "django.contrib.staticfiles",
    "axes",
    "django_htmx",
    "ninja",  # for its Swagger files: /api/docs loads nothing from other hosts
    "cacheops",
    "users",
    "locations",
    "devices",
    "analytics",
    "xyzsite.web",
    "xyzsite",
]

MIDDLEWARE = [
    "django.middleware.security.SecurityMiddleware",
    "whitenoise.middleware.WhiteNoiseMiddleware",
    "xyzsite.middleware.PageFootMiddleware",
    "xyzsite.middleware.PageSecurityMiddleware",
    "xyzsite.middleware.PositionMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "xyzsite.middleware.SignInRequiredMiddleware",
    "xyzsite.middleware.DatabaseAwayMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
    "django_htmx.middleware.HtmxMiddleware",
    "axes.middleware.AxesMiddleware",
]

ROOT_URLCONF = "xyzsite.urls"
WSGI_APPLICATION = "xyzsite.wsgi.application"
ASGI_APPLICATION = "xyzsite.asgi.application"

TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
            ],
        },
    },
]

# The region in which this process runs, one of REGIONS.
XYZ_REGION = env.str("XYZ_REGION", default=HOME_REGION)
XYZ_REGIONS = REGIONS
XYZ_HOME_REGION = HOME_REGION

CACHES = caches_from_environment(env, XYZ_REGION)

# The ORM cache: entries in each region that has servers, or else in this process alone. Times are TTL strategies.
CACHEOPS_REGIONS: Any = regions_with_servers(CACHES, XYZ_REGION)
CACHEOPS_LOCAL_REGION = XYZ_REGION
CACHEOPS_WAIT_REPLICAS = replicas_from_environment(env, CACHES)
# While the database is away, pages show what the region holds; what it does not hold is answered 503.
CACHEOPS_WHEN_DATABASE_AWAY = env.str("WHEN_DATABASE_AWAY", default="serve")
# A server that is frozen, or behind a link that swallows everything, is away when it has been silent for so long.
CACHEOPS_DATABASE_SILENCE = env.float("DATABASE_SILENCE", default=3)
# A replica that lags by more is not read; the health check may have the balancer take another region then.
CACHEOPS_MAX_LAG = env.float("MAX_LAG", default=2)
XYZ_LAG_FAILS_HEALTH = env.bool("LAG_FAILS_HEALTH", default=False)
# Of one in so many entries it is kept how they were loaded: what `verify_cache` compares. 0: of none.
CACHEOPS_VERIFY_SAMPLE = env.int("VERIFY_SAMPLE", default=0)
# Readings wait in a buffer of the region, from which flush_writes brings them to the database.
CACHEOPS_FLUSH_BATCH = env.int("FLUSH_BATCH", default=100)
CACHEOPS_FLUSH_SECONDS = env.float("FLUSH_SECONDS", default=30)
CACHEOPS_FLUSH_RETRY_SECONDS = env.float("FLUSH_RETRY_SECONDS", default=10)
CACHEOPS_FLUSH_ATTEMPTS = env.int("FLUSH_ATTEMPTS", default=5)
CACHEOPS_BUFFER_BOUND = env.int("BUFFER_BOUND", default=50_000)
CACHEOPS = {
    "locations.*": {"ops": "all", "timeout": "static_data", "level": "near"},
    "devices.device": {"ops": "all", "timeout": "device_data"},
    "devices.threshold": {"ops": "all", "timeout": "static_data"},
    "devices.excursion": {"ops": "all", "timeout": "device_data"},
    "devices.reading": {"ops": "all", "timeout": "real_time"},
    "users.*": {"ops": "all", "timeout": "static_data", "level": "near"},
    "auth.*": {"ops": "all", "timeout": "static_data", "level": "near"},
    "contenttypes.*": {"ops": "all", "timeout": "long_term"},
    "admin.*": {"ops": ("fetch", "count"), "timeout": "real_time"},
}

# E-mails of excursions (docs/how-to/thresholds.md) are sent by flush_writes; none without a server.
EMAIL_URL = env.str("EMAIL_URL", default="")
XYZ_SENDS_EMAIL = bool(EMAIL_URL)
if EMAIL_URL:
    globals().update(mail_settings("EMAIL_URL", EMAIL_URL))
DEFAULT_FROM_EMAIL = env.str("EMAIL_FROM", default="") or "XYZ Sensors <sensors@localhost>"
XYZ_PUBLIC_URL = env.str("PUBLIC_URL", default="")

# Who may read /metrics besides staff: whoever has the token, or comes from these networks.
CACHEOPS_METRICS_TOKEN = env.str("METRICS_TOKEN", default="")
CACHEOPS_METRICS_NETWORKS = env.list("METRICS_NETWORKS", default=[])
CACHEOPS_CLOUDWATCH_CLUSTERS = {  # the replication groups of deploy/elasticache
    "us-east-1": "xyz-corp-redis-primary",
    "us-west-2": "xyz-corp-redis-west",
    "us-east-2": "xyz-corp-redis-central",
}

# Writes go to "default", the primary database; a second region may name a streaming replica of it for its reads.
DATABASES = {
    "default": database_at(
        "DATABASE_URL", env.str("DATABASE_URL", default="") or f"sqlite:///{BASE_DIR / 'var' / 'db.sqlite3'}"
    )
}
if replica := env.str("DATABASE_REPLICA_URL", default=""):
    DATABASES["replica"] = database_at("DATABASE_REPLICA_URL", replica) | {"TEST": {"MIRROR": "default"}}
for database in DATABASES.values():
    database.setdefault("CONN_MAX_AGE", env.int("DATABASE_CONN_MAX_AGE", default=60))
    database.setdefault("CONN_HEALTH_CHECKS", True)
    if database["ENGINE"].endswith("postgresql"):  # a server that is silent, or behind a cut line, is no server
        database.setdefault("OPTIONS", {}).setdefault("connect_timeout", env.int("DATABASE_CONNECT_TIMEOUT", default=2))
if "OPTIONS" in DATABASES["default"]:  # nor is a replica, to which a name may lead for a while after a fail-over
    DATABASES["default"]["OPTIONS"].setdefault("target_session_attrs", "primary")
# Reads and writes of the primary pass the ORM cache. So do reads of the replica in a follower region, where no writer
# marks anything: its relay tells it. Until one does, they go past the cache.
cached = ["default"]
if followers := follower_regions(env, XYZ_REGION, DATABASES):
    CACHEOPS_REGIONS = regions_by_database(CACHEOPS_REGIONS, followers)
    if XYZ_REGION in followers and "replica" in DATABASES and client_class(CACHES, XYZ_REGION):
        cached.append("replica")
    if "replica" in cached or XYZ_REGION not in followers:  # which tells how far the others are
        CACHEOPS_FOLLOWERS = {"replica": "default"} if DATABASES["default"]["ENGINE"].endswith("postgresql") else {}
for alias in cached:
    DATABASES[alias]["ENGINE"] = DATABASES[alias]["ENGINE"].replace("django.db.", "cacheops.db.")
for database in DATABASES.values():
    database["ENGINE"] = database["ENGINE"].replace("django.db.backends.postgresql", "xyzsite.databases.postgresql")
DATABASE_ROUTERS = ["xyzsite.router.RegionRouter"]
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"

AUTH_USER_MODEL = "users.User"
AUTH_PASSWORD_VALIDATORS = [
    {"NAME": f"django.contrib.auth.password_validation.{name}"}
    for name in (
        "UserAttributeSimilarityValidator",
        "MinimumLengthValidator",
        "CommonPasswordValidator",
        "NumericPasswordValidator",
    )
]
AUTHENTICATION_BACKENDS = [
    "xyzsite.throttling.sign_in.ThrottledBackend",
    "django.contrib.auth.backends.ModelBackend",
]
# Sign-in is refused after so many failures in so many seconds, of a name or of an address (0: never); the API after so
# many calls a minute, of a token or of a person signed in (0: never).
XYZ_SIGN_IN_FAILURES_PER_NAME = at_least(
    0, "SIGN_IN_FAILURES_PER_NAME", env.int("SIGN_IN_FAILURES_PER_NAME", default=10)
)
XYZ_SIGN_IN_FAILURES_PER_ADDRESS = at_least(
    0, "SIGN_IN_FAILURES_PER_ADDRESS", env.int("SIGN_IN_FAILURES_PER_ADDRESS", default=100)
)
XYZ_SIGN_IN_SECONDS = at_least(1, "SIGN_IN_SECONDS", env.int("SIGN_IN_SECONDS", default=900))
XYZ_API_CALLS_PER_MINUTE = at_least(0, "API_CALLS_PER_MINUTE", env.int("API_CALLS_PER_MINUTE", default=6000))
# The proxies whose X-Forwarded-For is believed.
XYZ_TRUSTED_PROXIES = networks("TRUSTED_PROXIES", env.list("TRUSTED_PROXIES", default=[]))
AXES_HANDLER = "xyzsite.throttling.sign_in.FailureHandler"
AXES_LOCKOUT_CALLABLE = "xyzsite.throttling.sign_in.refusal"
AXES_CLIENT_IP_CALLABLE = "xyzsite.throttling.addresses.client_address"
AXES_RESET_COOL_OFF_ON_FAILURE_DURING_LOCKOUT = False  # or `refusal` would not be asked
AXES_ENABLE_ADMIN = False
AXES_VERBOSE = False
MIGRATION_MODULES = {"axes": None}  # its tables are not made: nothing is written there

LOGIN_URL = "sign_in"
LOGIN_REDIRECT_URL = "overview"
LOGOUT_REDIRECT_URL = "sign_in"

# The region's cache answers; the database stands behind it, so that losing a cache signs no one out.
SESSION_ENGINE = "cacheops.sessions"
SESSION_CACHE_ALIAS = "default"
SESSION_COOKIE_AGE = env.int("SESSION_COOKIE_AGE", default=14 * 24 * 3600)

# No page takes files. What somebody sends all the same is not written to the disk, which it could fill: beyond 2.5 MB
# (FILE_UPLOAD_MAX_MEMORY_SIZE) this handler lets it pass by.
FILE_UPLOAD_HANDLERS = ["django.core.files.uploadhandler.MemoryFileUploadHandler"]

LANGUAGE_CODE = "en"
TIME_ZONE = env.str("TIME_ZONE", default="UTC")
USE_I18N = False
FORMAT_MODULE_PATH = "xyzsite.formats"
USE_TZ = True

STATIC_URL = "static/"
STATIC_ROOT = env.str("STATIC_ROOT", default=str(BASE_DIR / "staticfiles"))

# The site's accent (site.css) in the steps that django-unfold names: lightness, chroma and hue of OKLCH.
ADMIN_COLOURS = {
    "50": "oklch(97.5% .012 225)",
    "100": "oklch(95% .025 225)",
    "200": "oklch(90% .05 224)",
    "300": "oklch(84% .08 223)",
    "400": "oklch(77% .105 221)",
    "500": "oklch(58% .11 226)",
    "600": "oklch(49.5% .098 228)",
    "700": "oklch(44% .088 229)",
    "800": "oklch(38% .075 230)",
    "900": "oklch(32% .06 232)",
    "950": "oklch(24% .045 234)",
}
UNFOLD = {
    "SITE_TITLE": "XYZ administration",
    "SITE_HEADER": "XYZ administration",
    "SITE_SUBHEADER": XYZ_REGION,
    "SITE_SYMBOL": "sensors",
    "SITE_FAVICONS": [
        {"rel": "icon", "type": "image/svg+xml", "href": lambda request: static("xyzsite/icon.svg")},
    ],
    "STYLES": [lambda request: static("xyzsite/admin.css")],
    "COLORS": {"primary": ADMIN_COLOURS},
    "SHOW_HISTORY": True,
    "SIDEBAR": {"show_search": True, "show_all_applications": True},
}

LOGGING = {
    "version": 1,
    "disable_existing_loggers": False,
    "formatters": {"line": {"format": "{asctime} {levelname} {name}: {message}", "style": "{"}},
    "handlers": {"console": {"class": "logging.StreamHandler", "formatter": "line"}},
    "root": {"handlers": ["console"], "level": log_level("LOG_LEVEL", env.str("LOG_LEVEL", default="INFO"))},
}
