"""How long functions and files may be. What is longer today is listed with its length: the lists may only shrink."""

import ast
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
FUNCTION, FILE = 40, 330  # lines

LONG_FUNCTIONS = {"reader_steps": 53, "writer_steps": 45, "region_cache": 41}
LONG_FILES = {
    "test_traps.py": 385,
    "test_kept.py": 379,
    "writing.py": 368,  # of the consistency harness
    "queries.py": 366,
    "test_contract.py": 359,
}


def sources() -> Iterator[Path]:
    for folder in ROOT.iterdir():
        if folder.is_dir() and not folder.name.startswith(".") and not (folder / "pyvenv.cfg").exists():
            yield from (path for path in folder.rglob("*.py") if "migrations" not in path.parts)


def lengths_of_functions(path: Path) -> Iterator[tuple[str, int]]:
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            assert node.end_lineno is not None
            yield node.name, node.end_lineno - node.lineno + 1


def longer(lengths: Iterator[tuple[str, int]], ceiling: int) -> dict[str, int]:
    """Return the longest of each name that is above the ceiling."""
    found: dict[str, int] = {}
    for name, length in lengths:
        if length > max(ceiling, found.get(name, 0)):
            found[name] = length
    return found


def test_functions_stay_short() -> None:
    assert longer((each for path in sources() for each in lengths_of_functions(path)), FUNCTION) == LONG_FUNCTIONS


def test_files_stay_short() -> None:
    lines = ((path.name, path.read_text().count("\n")) for path in sources())
    assert longer(lines, FILE) == LONG_FILES
