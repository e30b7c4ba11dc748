"""How long functions and files may be. What is longer today is listed with its bound: the lists may only shrink."""

import ast
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
FUNCTION, FILE = 40, 330  # lines

LONG_FUNCTIONS = {"reader_steps": 56, "writer_steps": 45}
LONG_FILES = {
    "test_traps.py": 390,
    "queries.py": 366,
    "test_contract.py": 359,
}


def sources() -> Iterator[Path]:
    for folder in ROOT.iterdir():
        is_made = folder.name.startswith((".", "var")) or (folder / "pyvenv.cfg").exists()  # by `make`, no source
        if folder.is_dir() and not is_made:
            yield from (path for path in folder.rglob("*.py") if "migrations" not in path.parts)


def lengths_of_functions(path: Path) -> Iterator[tuple[str, int]]:
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            assert node.end_lineno is not None
            yield node.name, node.end_lineno - node.lineno + 1


def longest(lengths: Iterator[tuple[str, int]]) -> dict[str, int]:
    found: dict[str, int] = {}
    for name, length in lengths:
        found[name] = max(length, found.get(name, 0))
    return found


def assert_below(found: dict[str, int], ceiling: int, listed: dict[str, int]) -> None:
    """Fail where something is above its bound, or listed although it is short enough by now."""
    assert {name: length for name, length in found.items() if length > listed.get(name, ceiling)} == {}
    assert [name for name in listed if found.get(name, 0) <= ceiling] == []


def test_functions_stay_short() -> None:
    found = longest(each for path in sources() for each in lengths_of_functions(path))
    assert_below(found, FUNCTION, LONG_FUNCTIONS)


def test_files_stay_short() -> None:
    assert_below(longest((path.name, path.read_text().count("\n")) for path in sources()), FILE, LONG_FILES)
