"""The engine as a distribution: its wheel in an empty environment, used by what the how-to says."""

import os
import re
import socket
import subprocess
import sys
import venv
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytest
from django.core.checks import run_checks

ROOT = Path(__file__).resolve().parents[2]
HOW_TO = ROOT / "docs" / "how-to" / "use-cacheops.md"
BLOCK = re.compile(r"^```(console|python)\n(.*?)^```$", re.DOTALL | re.MULTILINE)
PLACE = re.compile(r"# (\S+\.py)(, at its end)?\n")

PANEL = """
import django; django.setup()
from django.contrib.auth.models import User
from django.test import Client
User.objects.create_superuser("root", password="secret")
client = Client(headers={"host": "localhost"})
assert client.login(username="root", password="secret")
page = client.get("/admin/cacheops/panel/")
assert page.status_code == 200 and b"Hit rate" in page.content, page.content
assert b"Cache panel" in client.get("/admin/").content
"""
OPTIONAL = """
import importlib.util as find
print([name for name in "redis hiredis django_redis psycopg rich boto3 jinja2".split() if find.find_spec(name)])
"""


def run(*command: str, cwd: Path, **variables: str) -> str:
    """Run a command to its end and return what it printed; fail with all of it where it fails."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("DJANGO_", "PYTHON"))}
    done = subprocess.run(command, cwd=cwd, env=environment | variables, capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{' '.join(command)}\n{done.stdout}\n{done.stderr}"
    return done.stdout


@pytest.fixture(scope="session")
def package_index() -> None:
    """Skip where no packages can be had."""
    try:
        socket.create_connection(("pypi.org", 443), timeout=10).close()
    except OSError as error:
        if not any(name in os.environ for name in ("PIP_INDEX_URL", "PIP_PROXY", "HTTPS_PROXY", "https_proxy")):
            pytest.skip(f"PyPI is not reachable, so no environment can be made: {error}")


@pytest.fixture(scope="session")
def wheel(tmp_path_factory: pytest.TempPathFactory, package_index: None) -> Path:
    """Return the engine's wheel, built from this checkout."""
    folder = tmp_path_factory.mktemp("wheel")
    run(sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", f"--wheel-dir={folder}", ".", cwd=ROOT)
    (built,) = folder.iterdir()
    return built


class Project:
    """A folder and an empty virtual environment, in which blocks of the how-to are run."""

    def __init__(self, folder: Path, wheel: Path) -> None:
        self.folder = folder
        venv.create(folder / ".venv", with_pip=True)
        constraints = folder / "constraints.txt"  # the wheel that was built, and the Django under test
        constraints.write_text(f"xyz-cacheops @ {wheel.as_uri()}\nDjango=={version('Django')}\n")
        self.variables = {
            "PATH": f"{folder / '.venv' / 'bin'}:{os.environ['PATH']}",
            "PIP_CONSTRAINT": str(constraints),
            "PIP_DISABLE_PIP_VERSION_CHECK": "1",
        }

    def run(self, *command: str, **variables: str) -> str:
        return run(*command, cwd=self.folder, **self.variables, **variables)

    def follow(self, kind: str, text: str) -> None:
        """Do what a block says: run its commands, or write its file."""
        if kind == "console":
            for line in text.splitlines():
                self.run("sh", "-c", line)
            return
        place = PLACE.match(text)
        assert place, f"the block does not say which file it is: {text}"
        path = self.folder / place[1]
        before = path.read_text() if place[2] else ""
        path.write_text(before + text)


def blocks_under(heading: str) -> Iterator[tuple[str, str]]:
    """Yield the kind and text of each code block under a heading of the how-to."""
    section = HOW_TO.read_text().split(f"\n## {heading}\n")[1].split("\n## ")[0]
    for match in BLOCK.finditer(section):
        yield match[1], match[2]


@pytest.fixture(scope="session")
def project(tmp_path_factory: pytest.TempPathFactory, wheel: Path) -> Project:
    """Return a project that was made by the how-to's own text; its tests have passed, as the text runs them."""
    made = Project(tmp_path_factory.mktemp("project"), wheel)
    for kind, text in blocks_under("From nothing to the first hit"):
        made.follow(kind, text)
    return made


@pytest.mark.servers
def test_the_how_to_leads_to_hits_and_to_the_panel_in_the_stock_admin(project: Project) -> None:
    assert "from cacheops.testing import assert_hits" in (project.folder / "catalogue/tests.py").read_text()
    project.run("python", "-c", PANEL, DJANGO_SETTINGS_MODULE="shop.settings")


@pytest.mark.servers
def test_without_extras_django_and_msgspec_are_enough(project: Project) -> None:
    assert project.run("python", "-c", OPTIONAL).strip() == "[]"


@pytest.mark.servers
def test_the_wheel_says_that_it_is_typed_and_its_licence(project: Project) -> None:
    told = project.run("python", "-c", "import importlib.metadata as m; print(m.files('xyz-cacheops'))")
    assert "cacheops/py.typed" in told
    assert "licenses/LICENSE" in told
    assert "xyzsite" not in told


@pytest.mark.servers
def test_a_backend_whose_driver_is_missing_names_the_extra(project: Project) -> None:
    settings = project.folder / "shop" / "on_redis.py"
    settings.write_text(
        "from shop.settings import *\nCACHES = {'default': {'BACKEND': 'cacheops.backends.RegionCache'}}\n"
    )
    failed = subprocess.run(
        ["python", "manage.py", "check", "--settings=shop.on_redis"],
        cwd=project.folder,
        env=os.environ | project.variables | {"DJANGO_SETTINGS_MODULE": "shop.on_redis"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert failed.returncode == 1
    assert "No module named 'django_redis'; `pip install xyz-cacheops[redis]" in failed.stderr


def test_django_cacheops_beside_this_engine_is_an_error(tmp_path: Path, monkeypatch: Any) -> None:
    def found() -> list[str]:
        return [message.msg for message in run_checks(tags=["caches"]) if message.id == "cacheops.E023"]

    assert found() == []
    metadata = tmp_path / "django_cacheops-7.2.dist-info" / "METADATA"
    metadata.parent.mkdir()
    metadata.write_text("Metadata-Version: 2.1\nName: django-cacheops\nVersion: 7.2\n")
    monkeypatch.syspath_prepend(tmp_path)
    (message,) = found()
    assert "django-cacheops 7.2" in message
