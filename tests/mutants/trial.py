"""Try a mutant on servers, in a copy of the checkout."""

import os
import shutil
import signal
import subprocess
import sys
import time
from functools import cache
from pathlib import Path, PurePath

from tests.mutants.places import ROOT, Mutant

SECONDS = 600.0  # that the tests of one mutant have; one that hangs counts as killed
FAILED = {1, 2, 3, 4}  # pytest's: tests failed; could not be collected, or pytest not be started, as imports failed
# Where tests on servers are that do not stand in a file's own folder; without a folder of its own, those of queries.
QUERIES = "tests/cacheops/orm"
LUA = "cacheops/stores/lua"
BUFFERS = ("buffer_append", "buffer_done", "buffer_leave", "buffer_stats", "buffer_take", "policy")
ELSEWHERE = {
    **{f"{LUA}/{script}.lua": ("tests/cacheops/patterns/write_behind",) for script in BUFFERS},
    f"{LUA}/add_sums.lua": ("tests/cacheops/monitoring",),
    f"{LUA}/follow.lua": ("tests/cacheops/relay",),
    "cacheops/db": (QUERIES,),
    "cacheops/decorators": ("tests/cacheops/test_functions.py", "tests/cacheops/test_visitors.py"),
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
    """Return where the tests of a file stand."""
    for folder in (path, *path.parents):
        if str(folder) in ELSEWHERE:
            return ELSEWHERE[str(folder)]
        if folder.parent.parts and (ROOT / "tests" / folder).is_dir():
            return (f"tests/{folder}",)
    return (QUERIES,)


def run(command: list[str], copy: Path, seconds: float) -> int:
    """Run a command in a process group of its own; return its exit code, 1 where it has taken too long."""
    with subprocess.Popen(
        [sys.executable, *command],
        cwd=copy, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True,
    ) as process:  # fmt: skip
        try:
            return process.wait(seconds)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGTERM)
            time.sleep(1)
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)
            return 1


class Trial:
    """Mutants tried in a copy of the checkout by the tests of a folder, each time in a new process."""

    def __init__(self, copy: Path) -> None:
        self._copy = copy
        self._passes = cache(lambda folder: self._run(folder) == 0)  # whether they do where nothing is broken

    def _run(self, folder: str) -> int:
        return run(["-m", "pytest", "-q", "-x", "-n", "0", "-p", "no:cacheprovider", folder], self._copy, SECONDS)

    def outcome(self, mutant: Mutant) -> str:
        """Return killed or survived; "not tried" where its tests fail without it, too."""
        folders = [folder for folder in folders_of(mutant.path) if self._passes(folder)]
        file = self._copy / mutant.path
        text = file.read_text()
        file.write_text(mutant.apply(text))
        try:
            if any(self._run(folder) in FAILED for folder in folders):
                return "killed"
        finally:
            file.write_text(text)
        return "survived" if folders else "not tried"


def copied(folder: Path) -> Path:
    """Copy what git knows of the checkout, as it is now; git knows the copy, too."""
    names = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    for name in names.splitlines():
        if (ROOT / name).is_file():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / name, folder / name)
    return folder
