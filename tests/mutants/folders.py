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
    "cacheops/db": (QUERIES,),
    "cacheops/decorators": (
        "tests/cacheops/test_functions.py",
        "tests/cacheops/test_cached_views.py",
        "tests/cacheops/test_visitors.py",
    ),
    "cacheops/orm": (QUERIES, "tests/races"),
    "cacheops/reading": ("tests/races", QUERIES),
    "cacheops/redis": ("tests/cacheops/redis", "tests/recovery"),
    "cacheops/stores": ("tests/cacheops/stores", "tests/races"),
    "cacheops/writing": ("tests/races", QUERIES),
    "devices": ("tests/devices", "tests/xyzsite/test_visibility.py", "tests/xyzsite/api"),
    "locations": ("tests/xyzsite/test_visibility.py", "tests/xyzsite/api"),
    "users": ("tests/xyzsite/test_visibility.py", "tests/xyzsite/api"),
    "xyzsite/api": ("tests/xyzsite/api", "tests/xyzsite/test_visibility.py"),
}


def folders_of(path: PurePath) -> tuple[str, ...]:
    for folder in (path, *path.parents):
        if str(folder) in ELSEWHERE:
            return ELSEWHERE[str(folder)]
        if folder.parent.parts and (ROOT / "tests" / folder).is_dir():
            return (f"tests/{folder}",)
    return (QUERIES,)
