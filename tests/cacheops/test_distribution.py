"""The engine as a distribution: its wheel in an empty environment, used by what the how-to says."""

import os
import re
import subprocess
import sys
import venv
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytest
from django.core.checks import run_checks

from xyzsite.localregions.manager import LocalRegions

ROOT = Path(__file__).resolve().parents[2]
HOW_TO = ROOT / "docs" / "how-to" / "use-cacheops.md"
BLOCK = re.compile(r"^```(console|python)\n(.*?)^```$", re.DOTALL | re.MULTILINE)
PLACE = re.compile(r"# (\S+\.py)(?:, at its end(?:: (.+))?)?\n")

SENTINEL = "a primary that Sentinel names"
SENTINELS = "redis+sentinel://one.example:26379,two.example:26379,three.example:26379/shop/0"

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
    return done.stdout + done.stderr


@pytest.fixture(scope="session")
def package_index(tmp_path_factory: pytest.TempPathFactory) -> None:
    """Skip where no packages can be had."""
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "hatchling"]
    tried = subprocess.run(command, cwd=tmp_path_factory.mktemp("index"), capture_output=True, text=True, check=False)
    if tried.returncode:
        pytest.skip(f"PyPI is not reachable, so no environment can be made: {tried.stderr.strip()}")


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
        self.djangos_settings = ""  # as startproject writes them
        venv.create(folder / ".venv", with_pip=True)
        self.wheel = wheel.as_uri()
        constraints = folder / "constraints.txt"  # the wheel that was built, and the Django under test
        constraints.write_text(f"xyz-cacheops @ {self.wheel}\nDjango=={version('Django')}\n")
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
        path.write_text((path.read_text() if "at its end" in place[0] else "") + text)


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
        if "django-admin startproject" in text:
            made.djangos_settings = (made.folder / "shop/settings.py").read_text()
    return made


@pytest.fixture(scope="session")
def project_with_redis(project: Project) -> Project:
    # (An extra can't be joined with a constraint that is an address.)
    project.run("env", "-u", "PIP_CONSTRAINT", "pip", "install", "--quiet", f"xyz-cacheops[redis] @ {project.wheel}")
    return project


def addresses(regions: LocalRegions) -> dict[str, str]:
    """Return the suite's servers for each address that the how-to names."""
    east, west = (regions.environment(name) for name in ("us-east-1", "us-west-2"))
    nodes = east["REDIS_URL_US_EAST_1"].split(",")
    primary, replica = west["REDIS_URL_US_WEST_2"], west["REDIS_READER_URL_US_WEST_2"]
    return {
        "redis://127.0.0.1:6379/0": primary,
        "redis://primary.example:6379/0": primary,
        "redis://replica.example:6379/0": replica,
        "redis://node-1.example:6379": nodes[0],
        "redis://node-2.example:6379": nodes[1],
        "redis://east.example:6379/0": nodes[0],
        "redis://west.example:6379/0": primary,
    }


def settings_of_stores() -> dict[str, str]:
    """Return the how-to's settings by the store that they are for."""
    blocks = (text for _, text in blocks_under("The settings, a store each"))
    return {found[2]: text for text in blocks if (found := PLACE.match(text))}


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


def test_the_how_to_has_settings_for_each_store() -> None:
    names = ["in memory", "one Redis", "a primary with a replica", SENTINEL, "a cluster", "several regions"]
    assert list(settings_of_stores()) == names


@pytest.mark.servers
@pytest.mark.parametrize("store", settings_of_stores())
def test_settings_of_the_how_to_lead_to_hits(
    store: str, project_with_redis: Project, regions: LocalRegions, request: pytest.FixtureRequest
) -> None:
    text = settings_of_stores()[store]
    known = {SENTINELS: request.getfixturevalue("sentinels").url} if store == SENTINEL else addresses(regions)
    for address, url in known.items():
        text = text.replace(f'"{address}"', f'"{url}"')
    assert ".example" not in text
    module = f"on_{store.replace(' ', '_')}"
    (project_with_redis.folder / "shop" / f"{module}.py").write_text(project_with_redis.djangos_settings + text)
    variables = {"DJANGO_SETTINGS_MODULE": f"shop.{module}"}
    check = project_with_redis.run("python", "manage.py", "check", "--database=default", "--tag=cacheops", **variables)
    warned = ["W001"] if store == "one Redis" else []  # it has a replica here
    assert re.findall("cacheops.([EW]...)", check) == warned, check
    project_with_redis.run("python", "manage.py", "test", **variables)


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
