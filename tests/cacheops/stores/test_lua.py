"""What the Lua scripts and Python must agree on: sizes, bounds, refusals."""

import re
from pathlib import Path

import pytest

from cacheops.protocol import tags
from cacheops.stores import base, memory, scripts
from cacheops.stores.base import Refusal
from cacheops.stores.redis import TAG_MARGIN

LUA = Path(scripts.__file__).parent / "lua"
SOURCES = {path.stem: path.read_text() for path in LUA.glob("*.lua")}
CODE = {name: re.sub(r"--.*", "", source) for name, source in SOURCES.items()}
TAG_SCRIPTS = ["tag", "leasing", "lease", "lease_many", "mark", "clear", "invalidate"]

PYTHON = {
    "VERSION_BYTES": tags.VERSION_BYTES,
    "MARK_BYTES": base.MARK_BYTES,
    "MAX_SCHEMES": memory.MAX_SCHEMES,
    "SLACK": 500 * TAG_MARGIN,
}


@pytest.mark.parametrize("name", PYTHON)
def test_a_constant_has_one_value(name: str) -> None:
    found = [int(value) for code in CODE.values() for value in re.findall(rf"local {name} = (\d+)", code)]
    assert found == [PYTHON[name]]


def test_scripts_about_tags_write_no_size_as_a_number() -> None:
    sizes = "|".join(str(PYTHON[name]) for name in ("VERSION_BYTES", "MARK_BYTES", "MAX_SCHEMES"))
    for name in TAG_SCRIPTS:
        code = re.sub(r"local [A-Z_]+ = \d+", "", CODE[name])
        assert re.findall(rf"\b(?:{sizes})\b", code) == [], name


def test_a_mark_is_a_writers_name_and_a_deadline() -> None:
    digits = re.search(r"string\.format\('%0(\d+)d'", CODE["mark"])
    assert digits is not None
    assert tags.VERSION_BYTES + int(digits[1]) == base.MARK_BYTES


def test_half_of_a_new_version_is_random() -> None:
    """By that half a process knows the versions that its own call has made (`TagVersions.new`)."""
    random = re.search(r"string\.sub\(ARGV\[1\], 1, (\d+)\) \.\. struct\.pack\('>I(\d+)'", CODE["leasing"])
    assert random is not None
    assert [int(size) for size in random.groups()] == [tags.VERSION_BYTES // 2] * 2


def test_refusals_have_the_names_that_scripts_return() -> None:
    names = {name for code in ("lease", "leasing") for name in re.findall(r"return '(\w+)'", CODE[code])}
    assert names == {refusal.value for refusal in Refusal}
