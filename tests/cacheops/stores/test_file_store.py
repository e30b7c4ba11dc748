"""A store that is not the engine's own: it keeps the contract, in two processes too, and a region runs on it."""

import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from django.core.checks import run_checks

from cacheops.regions import regions
from cacheops.stores.base import Refusal
from cacheops.testing import assert_hits, assert_misses
from cacheops.testing.store_contract import TTL, Reader, StoreContract, new_table, new_writer, query, write
from tests.cacheops.stores.conftest import Clock
from tests.cacheops.stores.file_store import FileStore
from tests.testapp.models import Author

ROOT = Path(__file__).resolve().parents[3]

OTHER_PROCESS = """
import sys
from cacheops.protocol.keys import TableKeys
from cacheops.testing.store_contract import TTL, write
from tests.cacheops.stores.file_store import FileStore

path, base, act, writer = sys.argv[1:]
store = FileStore("file", {"LOCATION": path})
marked = [write(TableKeys(base, "t"), "a=1")]
more = [TTL] if act == "mark" else []
getattr(store, act)(marked, bytes.fromhex(writer), *more).result()
"""


@pytest.fixture
def path(tmp_path: Path) -> str:
    return str(tmp_path / "cache.sqlite3")


class TestFileStore(StoreContract):
    @pytest.fixture
    def store(self, path: str, clock: Clock) -> Iterator[FileStore]:
        found = FileStore("file", {"LOCATION": path}, clock)
        yield found
        found.close()

    @pytest.fixture
    def pass_time(self, clock: Clock) -> Callable[[float], None]:
        def advance(seconds: float) -> None:
            clock.now += seconds

        return advance


@pytest.mark.servers  # it starts processes
def test_two_processes_share_its_marks(path: str) -> None:
    store, own, other = FileStore("file", {"LOCATION": path}), new_writer(), new_writer()
    keys = new_table()
    reader = Reader(store, query(keys, "a=1"))

    def elsewhere(act: str) -> None:
        command = [sys.executable, "-c", OTHER_PROCESS, path, keys.base, act, other.hex()]
        subprocess.run(command, cwd=ROOT, check=True)

    reader.fill()
    assert reader.hits()
    elsewhere("mark")
    assert not reader.hits()
    store.mark([write(keys, "a=1")], own, TTL).result()
    assert store.clear([write(keys, "a=1")], own).result() == 0
    assert reader.lease() is Refusal.PENDING
    elsewhere("clear")
    reader.fill()
    assert reader.hits()
    store.close()


@pytest.fixture
def region_on_a_file(settings: Any, path: str) -> Iterator[None]:
    """Let this process run in a region whose store is a file's."""
    settings.CACHES = {
        "default": {
            "BACKEND": "django.core.cache.backends.locmem.LocMemCache",
            "LOCATION": path,
            "OPTIONS": {"STORE": "tests.cacheops.stores.file_store.FileStore"},
        }
    }
    settings.CACHEOPS_REGIONS, settings.CACHEOPS_LOCAL_REGION = ("default",), "default"
    settings.CACHEOPS_WAIT_REPLICAS, settings.CACHEOPS_CLOUDWATCH_CLUSTERS = {}, {}
    yield
    regions.reset()


@pytest.mark.django_db(transaction=True)
def test_a_region_runs_on_a_store_that_the_options_name(region_on_a_file: None) -> None:
    assert isinstance(regions.local.store, FileStore)
    author = Author.objects.create(name="Ada")
    with assert_misses(1):
        Author.objects.get(pk=author.pk)
    with assert_hits(1):
        Author.objects.get(pk=author.pk)
    author.name = "Grace"
    author.save()
    assert Author.objects.get(pk=author.pk).name == "Grace"
    assert run_checks(tags=["cacheops"], databases=["default"]) == []


def test_a_store_that_can_not_be_imported_is_an_error(region_on_a_file: None, settings: Any) -> None:
    settings.CACHES = {"default": settings.CACHES["default"] | {"OPTIONS": {"STORE": "nowhere.Store"}}}
    (message,) = [each for each in run_checks(tags=["cacheops"], databases=[]) if each.id == "cacheops.E006"]
    assert "nowhere.Store" in message.msg


def test_the_file_store_reports_a_file_that_can_not_be_opened(tmp_path: Path) -> None:
    from cacheops.exceptions import StoreUnavailable

    with pytest.raises(StoreUnavailable, match="unable to open"):
        FileStore("file", {"LOCATION": str(tmp_path / "nowhere" / "x")}, time.time).read(["key"])
