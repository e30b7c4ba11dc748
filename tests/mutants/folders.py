"""Where the tests of a file stand."""

from pathlib import PurePath

from tests.mutants.places import ROOT

# Where tests on servers are that do not stand in a file's own folder; without a folder of its own, those of queries.
QUERIES = "tests/cacheops/orm"
LUA = "cacheops/stores/lua"
BUFFERS = ("buffer_append", "buffer_done", "buffer_leave", "buffer_stats", "buffer_take", "policy")
ELSEWHERE = {
    **{
        f"{LUA}/{script}.lua": ("tests/cacheops/patterns/write_behind", "tests/traps/test_write_behind.py")
        for script in BUFFERS
    },
    f"{LUA}/add_sums.lua": ("tests/cacheops/monitoring",),
    f"{LUA}/follow.lua": ("tests/cacheops/relay",),
    "cacheops/checks": ("tests/cacheops/test_settings.py", "tests/cacheops/test_by_hand.py"),
    "cacheops/db": (QUERIES,),
    "cacheops/decorators": (
        "tests/cacheops/test_functions.py",
        "tests/cacheops/test_cached_views.py",
        "tests/cacheops/test_visitors.py",
        "tests/cacheops/orm/test_function_keys.py",
        "tests/cacheops/orm/test_function_names.py",
        "tests/cacheops/orm/test_function_results.py",
    ),
    "cacheops/engine.py": ("tests/cacheops/test_engine.py",),
    "cacheops/orm": (QUERIES, "tests/races"),
    "cacheops/orm/hydration.py": ("tests/cacheops/encoding", QUERIES),
    "cacheops/profiles.py": ("tests/cacheops/test_profiles.py", "tests/cacheops/test_settings.py"),
    "cacheops/reading": ("tests/cacheops/reading", "tests/races", "tests/cacheops/monitoring", QUERIES),
    "cacheops/redis": ("tests/cacheops/redis", "tests/recovery"),
    "cacheops/sessions.py": ("tests/cacheops/sessions",),
    "cacheops/stores": ("tests/cacheops/stores", "tests/races"),
    "cacheops/ttl.py": ("tests/cacheops/test_profiles.py",),
    "cacheops/writing": ("tests/races", QUERIES),
    "devices": ("tests/devices", "tests/xyzsite/test_visibility.py", "tests/xyzsite/api"),
    "locations": ("tests/xyzsite/test_visibility.py", "tests/xyzsite/api"),
    "users": ("tests/xyzsite/test_visibility.py", "tests/xyzsite/api"),
    "xyzsite/api": ("tests/xyzsite/api", "tests/xyzsite/test_visibility.py"),
}


def tests_without_servers(path: PurePath) -> tuple[str, ...]:
    """Return where the tests stand that need no servers and may run a file's lines: quick, so of more folders."""
    return ("tests/cacheops", "tests/traps") if path.parts[0] == "cacheops" else folders_of(path)


def folders_of(path: PurePath) -> tuple[str, ...]:
    for folder in (path, *path.parents):
        if str(folder) in ELSEWHERE:
            return ELSEWHERE[str(folder)]
        if folder.parent.parts and (ROOT / "tests" / folder).is_dir():
            return (f"tests/{folder}",)
    return (QUERIES,)
