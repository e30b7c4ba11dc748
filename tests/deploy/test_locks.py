"""What is installed, here and in the image: the pinned versions and what they need, each with its hashes."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
LOCKS = {
    "requirements.txt": "requirements.lock",
    "requirements-local.txt": "requirements-local.lock",
    "requirements-aws.txt": "requirements-dev.lock",
    "requirements-dev.txt": "requirements-dev.lock",
    "requirements-docs.txt": "requirements-docs.lock",
}


def pins(text: str) -> set[tuple[str, str]]:
    """Return the names, as PyPI compares them (PEP 503), and versions of a file of requirements."""
    found = re.findall(r"^([\w.-]+)(?:\[[\w,]+\])?==([\w.]+)", text, re.MULTILINE)
    return {(re.sub(r"[-_.]+", "-", name).lower(), version) for name, version in found}


@pytest.mark.parametrize("source", LOCKS)
def test_a_lock_has_what_is_pinned(source: str) -> None:
    """Where it has not: `make lock`."""
    wanted = pins((ROOT / source).read_text())
    assert wanted
    assert wanted <= pins((ROOT / LOCKS[source]).read_text())


def test_locks_agree_and_name_no_host() -> None:
    texts = {name: (ROOT / name).read_text() for name in LOCKS.values()}
    assert not any("://" in text for text in texts.values())
    del texts["requirements-docs.lock"]  # of an environment of its own
    dev = pins(texts["requirements-dev.lock"])
    assert all(pins(text) <= dev for text in texts.values())


@pytest.mark.parametrize("lock", sorted(set(LOCKS.values())))
def test_each_version_has_hashes(lock: str) -> None:
    entries = re.split(r"^(?=\w)", (ROOT / lock).read_text(), flags=re.MULTILINE)[1:]
    assert entries
    assert [entry for entry in entries if "--hash=sha256:" not in entry] == []


def test_only_locks_are_installed() -> None:
    for name in ("Makefile", "deploy/Dockerfile"):
        installs = re.compile(r"(\$\(PIP\)|RUN pip|-m pip.*) install .*-r ")
        lines = [line for line in (ROOT / name).read_text().splitlines() if installs.search(line)]
        assert lines
        assert all("--require-hashes" in line and ".txt" not in line for line in lines), name
