"""Every variable that the settings read is in .env.example and in the reference; and nothing else is."""

import ast
import re
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

from xyzsite.settings.regions import REGIONS, variable

ROOT = Path(__file__).resolve().parents[3]


def names_read(source: str) -> Iterator[str]:
    """Yield the variables that a settings module reads: env.str("NAME"), os.environ.get("NAME"), variable("X", …)."""
    for node in ast.walk(ast.parse(source)):
        if not isinstance(node, ast.Call) or not node.args or not isinstance(node.args[0], ast.Constant):
            continue
        name, called = node.args[0].value, ast.unparse(node.func)
        if called == "variable":
            yield from (variable(name, region) for region in REGIONS)
        elif called.startswith(("env.", "os.environ.")):
            yield name


def names_in_settings() -> set[str]:
    modules = (ROOT / "xyzsite" / "settings").glob("*.py")
    return {name for module in modules for name in names_read(module.read_text())}


def test_the_reader_of_settings_sees_all_forms() -> None:
    source = 'A = env.int("A", default=1); os.environ.setdefault("B", ""); env.str(variable("C", region))'
    assert {"A", "B", "C_US_WEST_2"} <= set(names_read(source))


def test_env_example_lists_what_settings_read() -> None:
    lines = (ROOT / ".env.example").read_text().splitlines()
    listed = [match[1] for line in lines if (match := re.match(r"#([A-Z][A-Z0-9_]*)=", line))]
    assert set(listed) == names_in_settings()
    assert len(set(listed)) == len(listed)


def test_env_example_explains_each_variable_in_one_line() -> None:
    lines = (ROOT / ".env.example").read_text().splitlines()
    for before, line in pairwise(lines):
        if re.match(r"#[A-Z]", line):
            assert re.fullmatch(r"# .+\.", before), line
            assert len(before) <= 150


def test_the_reference_lists_what_settings_read() -> None:
    page = (ROOT / "docs" / "reference" / "settings.md").read_text()
    assert set(re.findall(r"^\| `([A-Z][A-Z0-9_]*)` \|", page, re.MULTILINE)) == names_in_settings()


def test_nothing_else_reads_the_environment_of_the_settings() -> None:
    """No other module of the platform reads these variables past the settings."""
    for package in ("analytics", "cacheops", "devices", "locations"):
        for module in (ROOT / package).rglob("*.py"):
            assert "os.environ" not in module.read_text(), module
