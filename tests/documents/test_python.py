"""Each block of Python in the documents is run as it stands, in a project that has what it names."""

import ast
import doctest
import sys
from datetime import UTC, datetime
from hashlib import blake2b
from types import SimpleNamespace
from typing import Any

import pytest
from django import template
from django.core.cache import caches
from django.db import models
from django.test.utils import isolate_apps

import cacheops
from cacheops.engine import Engine
from cacheops.patterns import CacheKeyBuilder
from devices.models import Device, Kind, Reading
from locations.models import Location
from tests.cacheops.stores import file_store
from tests.documents.texts import Block, blocks
from tests.testapp.models import Author, Book, Shelf

# Blocks that other tests run, by how they begin.
ELSEWHERE = {
    "docs/how-to/signals.md": "tests/cacheops/orm/test_signals.py",
    "docs/how-to/use-cacheops.md: # catalogue/": "tests/cacheops/test_distribution.py",
    "docs/how-to/use-cacheops.md: # shop/": "tests/cacheops/test_distribution.py",
    # They start servers, or empty them: of these the imports are tried here, too.
    "docs/how-to/redis-restarts.md: from cacheops.testing": "tests/recovery/test_recovery.py",
    "docs/reference/regions.md: from xyzsite.localregions": "tests/xyzsite/localregions/test_up_and_down.py",
}
PYTHON = [block for block in blocks() if block.language == "python"]
RUN = [block for block in PYTHON if not block.name.startswith(tuple(ELSEWHERE))]


def make_rows() -> None:
    location = Location.objects.create(name="Harbor", code="harbor")
    Device.objects.create(pk=7, location=location, serial="T-1", name="T", kind=Kind.THERMOMETER, metric="temperature")
    Book.objects.create(pk=7, author=Author.objects.create(name="Ada"), shelf=Shelf.objects.create(pk=3))


def world() -> dict[str, Any]:
    """Return what blocks name and do not define: a shop whose products are books, and the platform's devices."""
    return {
        **dict.fromkeys(("Article", "Book", "Order", "Outbox", "Product"), Book),
        **{name: getattr(cacheops, name) for name in ("cached", "cached_as")},
        **{name: {} for name in ("primary", "replica")},
        "__name__": "tests.testapp.models",
        "Device": Device, "Reading": Reading, "noon": datetime(2026, 3, 1, 12, tzinfo=UTC),
        "CACHES": {"default": {}}, "DATABASES": {"default": {}}, "INSTALLED_APPS": [],
        "cache": caches["default"], "key": "device:7:current", "keys": CacheKeyBuilder, "value": 1, "compute": int,
        "cache_operation": int, "fallback": int, "article_page": str,
        "order": Author(name="Grace"), "send_receipt": SimpleNamespace(enqueue=print), "task": staticmethod,
        "models": models, "cacheops": cacheops, "store_visits": print, "InvalidVisit": ValueError,
        "register": template.Library(), "blake2b": blake2b, "_encode": repr,
    }  # fmt: skip


class Elided(doctest.OutputChecker):
    """What is printed, where "…" stands for anything, and the shop's products are books."""

    def check_output(self, want: str, got: str, optionflags: int) -> bool:
        want = want.replace("shop.Product", "testapp.Book").replace("shop_product", "testapp_book")
        return super().check_output(want.replace("…", "..."), got, doctest.ELLIPSIS)


def run(block: Block, names: dict[str, Any]) -> None:
    if block.text.startswith(">>>"):  # where nothing was written, or it would be read past the cache
        example = doctest.DocTestParser().get_doctest(block.text, names, block.name, block.page, 0)
        doctest.DebugRunner(Elided()).run(example)
    else:
        make_rows()
        exec(compile(block.text, block.page, "exec"), names)


@pytest.mark.servers
@pytest.mark.django_db
@pytest.mark.parametrize("block", RUN, ids=[block.name for block in RUN])
@isolate_apps("tests.testapp")
def test_a_block_runs(block: Block, settings: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    settings.CACHEOPS = settings.CACHEOPS | {"testapp.*": {"ops": "all", "timeout": 900}}
    monkeypatch.setitem(sys.modules, "shop.stores", file_store)
    with Engine().in_use():  # what it registers goes with it
        run(block, world())


def test_a_block_that_is_run_elsewhere_imports_what_is_there() -> None:
    left = [block for block in PYTHON if block not in RUN and "from shop" not in block.text]
    assert {start for start in ELSEWHERE if any(block.name.startswith(start) for block in left)} == set(ELSEWHERE)
    for block in left:
        imports = [node for node in ast.parse(block.text).body if isinstance(node, ast.Import | ast.ImportFrom)]
        outside = [node for node in imports if not ast.unparse(node).startswith("from catalogue")]
        exec(compile(ast.Module(outside, []), block.page, "exec"), {})
