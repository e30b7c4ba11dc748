"""A command on a lifeline ends with the process that wants it, however that one ends."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator

import pytest

from tests.waiting import LIMIT, until
from tests.xyzsite.localregions.test_serve import is_alive
from xyzsite.localregions.manager import CHECKOUT

PARENT = """
import subprocess, sys
from xyzsite.localregions.lifeline import tied
sys.exit(subprocess.Popen(tied(sys.argv[1:]), start_new_session=True).wait())
"""
CHILD = "import os, time; print(os.getpid(), flush=True); time.sleep(600)"


def start(program: str) -> "subprocess.Popen[str]":
    command = [sys.executable, "-c", PARENT, sys.executable, "-c", program]
    return subprocess.Popen(command, cwd=CHECKOUT, stdout=subprocess.PIPE, text=True)


@pytest.fixture
def parent() -> Iterator["subprocess.Popen[str]"]:
    with start(CHILD) as process:
        yield process


def child_of(parent: "subprocess.Popen[str]") -> int:
    assert parent.stdout is not None
    return int(parent.stdout.readline())


def lifeline_of(parent: "subprocess.Popen[str]") -> int:
    listed = ["ps", "-o", "pid=", "--ppid", str(parent.pid)]
    return int(subprocess.run(listed, capture_output=True, text=True, check=True).stdout)


def test_it_ends_where_the_other_is_killed(parent: "subprocess.Popen[str]") -> None:
    child = child_of(parent)
    parent.kill()
    until(lambda: not is_alive(child), "the command has ended")


def test_it_ends_when_asked(parent: "subprocess.Popen[str]") -> None:
    child = child_of(parent)
    os.kill(lifeline_of(parent), signal.SIGTERM)
    assert parent.wait(LIMIT) == 128 + signal.SIGTERM
    assert not is_alive(child)


def test_its_status_is_the_commands() -> None:
    with start("raise SystemExit(7)") as parent:
        assert parent.wait(LIMIT) == 7
