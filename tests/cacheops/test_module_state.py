"""Modules of cacheops hold no state: what a process remembers belongs to the engine (cacheops/engine.py)."""

import ast
from collections.abc import Iterator
from pathlib import Path

import cacheops

ROOT = Path(cacheops.__file__).parent
OF_THE_ENGINE = ["engine.py: components", "engine.py: memos"]  # which imports fill
CONTAINERS = {"dict", "list", "set", "Counter", "defaultdict", "deque", "OrderedDict", "UserDict", "local", "Lock"}
CONTAINERS |= {"RLock", "Event", "Condition", "WeakKeyDictionary", "WeakValueDictionary", "WeakSet", "count"}
CACHES = {"lru_cache", "cache"}
LITERALS = (ast.Dict, ast.List, ast.Set, ast.DictComp, ast.ListComp, ast.SetComp)
STATELESS = {"Encoder", "Decoder", "ContextVar", "TypeVar", "ParamSpec", "NamedTuple", "Signal"}
STATELESS |= {"Library", "CacheopsLibrary", "SimpleCache", "FileCache"}


def called(node: ast.expr) -> str:
    """Return the name of what an expression calls, "" where it calls nothing."""
    function = node.func if isinstance(node, ast.Call) else node
    return function.attr if isinstance(function, ast.Attribute) else getattr(function, "id", "")


def is_state(name: str, value: ast.expr) -> bool:
    """Return whether a name is bound to something that changes. Names in capitals are constants, unless it is empty."""
    if isinstance(value, LITERALS):
        return not name.isupper() or is_empty(value)
    if not isinstance(value, ast.Call):
        return False
    maker = called(value)
    if isinstance(value.func, ast.Call):  # lru_cache(…)(function)
        return called(value.func) in CACHES
    if maker in CONTAINERS:
        return not (name.isupper() and value.args)
    return maker[:1].isupper() and maker not in STATELESS and not name.isupper()


def is_empty(value: ast.expr) -> bool:
    """Return whether a container is made empty, or a lock."""
    if isinstance(value, LITERALS):
        return not (getattr(value, "elts", ()) or getattr(value, "keys", ()) or hasattr(value, "generators"))
    return called(value) in CONTAINERS


def bound(body: list[ast.stmt]) -> Iterator[tuple[str, ast.expr]]:
    for node in body:
        if isinstance(node, ast.Assign | ast.AnnAssign) and node.value is not None:
            for target in node.targets if isinstance(node, ast.Assign) else [node.target]:
                name = getattr(target, "id", "")
                if name and not name.startswith("__"):
                    yield name.lstrip("_"), node.value


def states_of(path: Path) -> Iterator[str]:
    """Yield the names of a module, and of its classes, that hold state."""
    tree = ast.parse(path.read_text())
    for name, value in bound(tree.body):
        if is_state(name, value):
            yield name
    for node in ast.walk(tree):
        if isinstance(node, ast.ClassDef) and "NamedTuple" not in map(called, node.bases):
            for name, value in bound(node.body):
                if is_empty(value) and is_state(name, value):  # what is filled in its class is declared there
                    yield f"{node.name}.{name}"
        if isinstance(node, ast.FunctionDef) and any(called(one) in CACHES for one in node.decorator_list):
            yield node.name
        if isinstance(node, ast.Global):
            yield from node.names


def test_modules_hold_no_state() -> None:
    files = sorted(path for path in ROOT.rglob("*.py") if "migrations" not in path.parts)
    found = [f"{path.relative_to(ROOT)}: {name}" for path in files for name in states_of(path)]
    assert found == OF_THE_ENGINE
