"""Names that projects import, and that documents and settings use: they stay where they are."""

import ast
import re
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest

import cacheops

ROOT = Path(cacheops.__file__).parents[1]
OURS = "cacheops|users|locations|devices|analytics|xyzsite"

PUBLIC = {
    "cacheops": [
        "CacheMiss",
        "CachedManager",
        "CachedQuerySet",
        "CacheopsError",
        "CacheopsLibrary",
        "ReadRecord",
        "RowsOf",
        "TimeBucket",
        "after",
        "bypassed",
        "cache",
        "cache_invalidated",
        "cache_read",
        "cached",
        "cached_as",
        "cached_view",
        "cached_view_as",
        "explain",
        "file_cache",
        "invalidate_all",
        "invalidate_fragment",
        "invalidate_model",
        "invalidate_obj",
        "is_bypassed",
        "keys_of",
        "near",
        "no_invalidation",
        "position",
        "record_reads",
        "rows_changed",
        "stale_ok",
    ],
    "cacheops.backends": ["ClusterClient", "MemoryCache", "PairClient", "RegionCache", "TypedSerializer"],
    "cacheops.monitoring": [
        "CacheMetrics",
        "CacheMonitor",
        "RequestStats",
        "collect_request_stats",
        "counters",
        "register_source",
        "states",
    ],
    "cacheops.patterns": [
        "Acknowledged",
        "AsideEntry",
        "BatchCacheOperations",
        "CacheAsideManager",
        "CacheCircuitBreaker",
        "CacheKeyBuilder",
        "CircuitState",
        "Flusher",
        "NewestItems",
        "WriteBehindCache",
        "WriteBehindState",
        "WriteThroughCache",
        "filter_digest",
    ],
    "cacheops.patterns.write_behind": ["state"],
    "cacheops.sessions": ["SessionStore", "end_sessions_of"],
    "cacheops.testing": ["CacheAssertions", "assert_hits", "assert_misses", "begin_empty"],
    "cacheops.warming": [
        "CacheWarmer",
        "Corrections",
        "Outcome",
        "Reads",
        "Rows",
        "Task",
        "Values",
        "Warmer",
        "WarmingRun",
        "recent_runs",
        "register_warmer",
        "rows_of",
        "sessions_of",
    ],
}

# Dotted, and no path: a span's name, a permission.
NO_PATHS = {"cacheops.look_up", "cacheops.view_panel"}
NEED_EXTRAS = {"cacheops.toolbar.CacheopsPanel"}  # tests/cacheops/panel/test_toolbar.py uses it


@pytest.mark.parametrize("package", PUBLIC)
def test_the_public_names_are_these(package: str) -> None:
    module = import_module(package)
    assert sorted(module.__all__) == PUBLIC[package]
    for name in module.__all__:
        assert getattr(module, name) is not None


def test_the_driver_s_package_offers_the_raw_client() -> None:
    assert "OptimizedRedisClient" in import_module("cacheops.redis").__all__


def test_the_specification_s_names_of_methods_work() -> None:
    """Those that its paper gives to classes; docs/reference/specification.md maps the rest."""
    named = {
        "cacheops.patterns.CacheAsideManager": "get_or_set invalidate invalidate_pattern",
        "cacheops.patterns.WriteThroughCache": "update_device_data",
        "cacheops.patterns.WriteBehindCache": "update_device_data",
        "cacheops.patterns.CacheKeyBuilder": "device_data_key device_summary_key location_devices_key user_session_key "
        "analytics_key get_invalidation_patterns",
        "cacheops.ttl.TTLManager": "get_ttl set_with_smart_ttl extend_ttl_on_access",
        "cacheops.redis.OptimizedRedisClient": "get_pool_stats",
        "cacheops.patterns.BatchCacheOperations": "batch_get batch_set batch_delete",
        "cacheops.monitoring.CacheMonitor": "get_cache_metrics get_key_distribution get_memory_analysis",
        "cacheops.monitoring.cloudwatch.CloudWatchCacheMetrics": "publish_metrics",
        "cacheops.patterns.CacheCircuitBreaker": "call",
        "cacheops.warming.CacheWarmer": "warm_device_cache warm_analytics_cache",
    }
    for path, methods in named.items():
        module, _, name = path.rpartition(".")
        for method in methods.split():
            assert callable(getattr(getattr(import_module(module), name), method)), f"{path}.{method}"


def test_type_checkers_see_the_names_that_are_imported_on_first_use() -> None:
    tree = ast.parse(Path(cacheops.__file__).read_text())
    (block,) = [node for node in tree.body if isinstance(node, ast.If)]
    seen = {(node.module, name.name) for node in block.body if isinstance(node, ast.ImportFrom) for name in node.names}
    assert seen == {(f"cacheops.{module}", name) for module, names in cacheops._NAMES.items() for name in names}
    assert sorted(name for _, name in seen) == sorted(cacheops.__all__)


def documents() -> Iterator[Path]:
    yield ROOT / "README.md"
    yield from sorted((ROOT / "docs").rglob("*.md"))


def files_named() -> set[str]:
    folders = f"{OURS}|tests|benchmarks|deploy|docs"
    texts = [file.read_text() for file in (ROOT / "CONTRIBUTING.md", *documents())]
    return {name for text in texts for name in re.findall(rf"(?<![\w./])((?:{folders})/[\w/.-]*\w/?)", text)}


def dotted_paths() -> dict[str, str]:
    """Return the dotted paths in documents and settings, each with a file that names it."""
    files = [*documents(), *(ROOT / "xyzsite" / "settings").glob("*.py")]
    found = {}
    for file in files:
        text = file.read_text()
        for path in re.findall(r"(?<![\w./{])cacheops(?:\.[A-Za-z_]\w*)+(?!/)", text):
            if not re.fullmatch(r"cacheops\.(md|py|[EW]\d+)", path) and path not in NO_PATHS | NEED_EXTRAS:
                found[path] = str(file.relative_to(ROOT))
    return found


def imports() -> dict[tuple[str, str], str]:
    """Return the (module, name) pairs that code in documents imports, each with a file that names it."""
    found = {}
    for file in documents():
        for module, names in re.findall(rf"from ((?:{OURS})\b[\w.]*) import ([^\n;]+)", file.read_text()):
            for name in names.split(","):
                found[module, name.split(" as ")[0].strip()] = str(file.relative_to(ROOT))
    return found


def resolved(path: str) -> Any:
    parts = path.split(".")
    for length in range(len(parts), 0, -1):
        try:
            found: Any = import_module(".".join(parts[:length]))
        except ModuleNotFoundError:
            continue
        for name in parts[length:]:
            found = getattr(found, name)
        return found
    raise ModuleNotFoundError(path)


@pytest.mark.parametrize("path", sorted(dotted_paths()))
def test_a_path_in_documents_and_settings_resolves(path: str) -> None:
    resolved(path)


@pytest.mark.parametrize(("module", "name"), sorted(imports()))
def test_an_import_in_documents_works(module: str, name: str) -> None:
    assert hasattr(import_module(module), name)


def test_documents_import_from_public_places_only() -> None:
    """What a document tells a project to import from a package that has public names is one of them."""
    for module, name in imports():
        package = next((one for one in sorted(PUBLIC, key=len, reverse=True) if module == one), None)
        if package is not None:
            assert name in PUBLIC[package], f"{module}.{name}"


@pytest.mark.parametrize("name", sorted(files_named()))
def test_a_file_that_documents_name_exists(name: str) -> None:
    assert (ROOT / name).exists()
