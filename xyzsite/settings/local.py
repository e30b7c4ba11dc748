"""A developer's machine: the running local regions where there are any, else SQLite and in-process caches.

`manage.py regions up` writes the addresses of its servers to var/regions/<region>.env, `regions down` removes them.
What the environment or .env already names is left as it is.
"""

import os
from pathlib import Path

import environ

_base_dir = Path(__file__).resolve().parents[2]
environ.Env.read_env(_base_dir / ".env")
environ.Env.read_env(_base_dir / "var" / "regions" / f"{os.environ.get('XYZ_REGION', 'us-east-1')}.env")
os.environ.setdefault("DEBUG", "true")
os.environ.setdefault("SECRET_KEY", "only-for-this-machine")
(_base_dir / "var").mkdir(exist_ok=True)

from xyzsite.settings.base import *  # noqa: E402, F403

ALLOWED_HOSTS = ["*"]
STORAGES = {
    "default": {"BACKEND": "django.core.files.storage.FileSystemStorage"},
    "staticfiles": {"BACKEND": "django.contrib.staticfiles.storage.StaticFilesStorage"},
}
WHITENOISE_USE_FINDERS = True
