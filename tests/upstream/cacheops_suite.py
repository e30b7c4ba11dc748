"""Run django-cacheops' own suite on this engine in this process: `python tests/upstream/cacheops_suite.py FOLDER`.

As it is, none of it can be imported: it imports its own insides. What is missing here is put in its place, and raises
where it is used. The tests commit, as their trick that makes Django's TestCase look committed is one of these insides.
"""

import json
import os
import sys
from importlib import import_module, util
from itertools import count
from pathlib import Path
from types import ModuleType
from typing import Any, NoReturn

CONTRIB = ("django.contrib.contenttypes", "django.contrib.auth")
ROOT = Path(__file__).parents[2]
# What the suite imports of django-cacheops that is none of its documented names.
INSIDES = {
    "cacheops.conf": ("settings",),
    "cacheops.query": ("invalidate_m2o", "invalidate_dict"),
    "cacheops.invalidation": ("invalidate_dict",),
    "cacheops.transaction": ("queue_when_in_transaction", "transaction_states"),
    "cacheops.utils": ("model_family",),
    "cacheops.redis": ("redis_client",),
}


NUMBERS = count()


class NotHere(Exception):
    """Something of django-cacheops that this engine has not."""


class Missing:
    """Stands for a missing name: importing it is fine, using it is not."""

    def __init__(self, name: str) -> None:
        self.__dict__["_name"] = name

    def _refuse(self, *args: Any, **kwargs: Any) -> NoReturn:
        raise NotHere(self._name)

    __call__ = __getattr__ = __enter__ = _refuse


def add_missing() -> None:
    """Add what the suite imports and is not here; `cacheops.conf.settings` are Django's."""
    from django.conf import settings

    for path, names in INSIDES.items():
        if util.find_spec(path) is None:
            sys.modules[path] = ModuleType(path)
        module = import_module(path)
        for name in names:
            if not hasattr(module, name):
                setattr(module, name, settings if name == "settings" else Missing(f"{path}.{name}"))


def settings_of(databases: dict[str, Any], engine: str) -> dict[str, Any]:
    return {
        "SECRET_KEY": "django_tests_secret_key",
        "INSTALLED_APPS": [*CONTRIB, "cacheops", "cacheops.compat", "tests"],
        "DATABASES": {
            alias: {"ENGINE": f"cacheops.db.backends.{engine}", **options} for alias, options in databases.items()
        },
        "CACHES": {"default": {"BACKEND": "cacheops.backends.MemoryCache"}},
        "CACHEOPS_DEFAULTS": {"timeout": 3600},
        "CACHEOPS": {
            "tests.local": {"local_get": True},
            "tests.cacheonsavemodel": {"cache_on_save": True},
            "tests.dbbinded": {"db_agnostic": False},
            "tests.*": {},
            "auth.*": {},
            **dict.fromkeys(("tests.noncachedvideoproxy", "tests.noncachedmedia", "tests.noprofile")),
        },
        "MIGRATION_MODULES": dict.fromkeys(("auth", "contenttypes", "cacheops")),
        "CACHEOPS_ENABLED": True,
        "CACHEOPS_METRICS_SECONDS": 0,
        "ROOT_URLCONF": "tests.urls",
        "TEMPLATES": [{"BACKEND": "django.template.backends.django.DjangoTemplates"}],
        "USE_TZ": True,
        "DEFAULT_AUTO_FIELD": "django.db.models.AutoField",
        "ALLOWED_HOSTS": ["testserver"],
        "TEST_RUNNER": "recording.RecordingRunner",
    }


def make_inc(decorate: Any = lambda function: function) -> Any:
    """Do what the suite's function of this name does, and name each function that it makes: two are two entries."""
    calls = [0]

    def inc(_: Any = None, **kwargs: Any) -> int:
        calls[0] += 1
        return calls[0]

    inc.__qualname__ = f"inc_{next(NUMBERS)}"
    made = decorate(inc)
    made.get = lambda: calls[0]
    return made


def make_lost_tables() -> None:
    """Make the tables anew that a test has dropped: the suite's own tests roll that back."""
    from django.apps import apps
    from django.db import connection

    found = connection.introspection.table_names()
    for model in apps.get_app_config("tests").get_models():
        if model._meta.db_table not in found and model._meta.managed and not model._meta.proxy:
            with connection.schema_editor() as editor:
                editor.create_model(model)


class CommittedCase:
    """Mixed into TransactionTestCase in the place of the suite's BaseTestCase: begins with an empty cache."""

    databases = "__all__"

    def setUp(self) -> None:
        from cacheops import invalidate_all

        super().setUp()  # type: ignore[misc]
        make_lost_tables()
        invalidate_all()


def main(folder: str, *labels: str) -> int:
    sys.path.insert(0, folder)  # its package is named `tests`, as ours is
    sys.path.append(str(ROOT))
    import django
    from django.conf import settings
    from django.test import TransactionTestCase
    from django.test.utils import get_runner

    settings.configure(**settings_of(json.loads(os.environ["UPSTREAM_DATABASES"]), os.environ["UPSTREAM_ENGINE"]))
    os.environ["CACHEOPS_DB"] = os.environ["UPSTREAM_ENGINE"]
    django.setup()
    add_missing()
    utilities: Any = import_module("tests.utils")
    utilities.make_inc = make_inc
    utilities.BaseTestCase = type("BaseTestCase", (CommittedCase, TransactionTestCase), {})
    modules = [f"tests.{path.stem}" for path in sorted(Path(folder, "tests").glob("test*.py"))]
    return bool(get_runner(settings)(verbosity=1, interactive=False).run_tests(labels or modules))


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
