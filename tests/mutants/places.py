"""The mutants of Python code: one place of one function, and what may stand there instead."""

import ast
from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parents[2]
ACCESS = (
    "devices/changes.py",
    "devices/models.py",
    "devices/selectors.py",
    "devices/services.py",
    "devices/thresholds.py",
    "locations/models.py",
    "locations/selectors.py",
    "users/models.py",
    "xyzsite/api/auth.py",
)
SOURCES = ("cacheops", *ACCESS)
LEFT_OUT = {"migrations", "testing", "compat", "management"}  # schema; what tests run; names; tested as processes
# What a message says, or how an object shows itself, is for people: no test should hold each word.
FOR_PEOPLE = {"logger", "logging", "warnings"}
SHOWS = {"__repr__", "__str__"}

SWAPPED: dict[type[ast.AST], type[ast.AST]] = {
    ast.Eq: ast.NotEq,
    ast.NotEq: ast.Eq,
    ast.Lt: ast.LtE,
    ast.LtE: ast.Lt,
    ast.Gt: ast.GtE,
    ast.GtE: ast.Gt,
    ast.Is: ast.IsNot,
    ast.IsNot: ast.Is,
    ast.In: ast.NotIn,
    ast.NotIn: ast.In,
    ast.And: ast.Or,
    ast.Or: ast.And,
    ast.Add: ast.Sub,
    ast.Sub: ast.Add,
}


class Mutant(NamedTuple):
    """One place of one file: its lines, and what stands there instead. Columns are of the first and the last line."""

    path: Path
    line: int
    column: int
    end_line: int
    end_column: int
    function: str
    before: str
    after: str

    @property
    def name(self) -> str:
        """What stays the same when lines are added above it."""
        return f"{self.path} {self.function}: {self.before} -> {self.after}"

    def apply(self, text: str) -> str:
        """Return the text with the mutant in it, and as many lines as before."""
        lines = text.encode().splitlines(keepends=True)  # columns of the syntax tree are bytes
        head, tail = lines[self.line - 1][: self.column], lines[self.end_line - 1][self.end_column :]
        blank = "\n" * (self.end_line - self.line - self.after.count("\n"))
        after = f"{self.after[:-1]}{blank})" if self.after.endswith(")") else self.after + blank
        lines[self.line - 1 : self.end_line] = [head + after.encode() + tail]
        return b"".join(lines).decode()


def changed(node: ast.AST) -> Iterator[ast.expr | ast.stmt]:
    """Yield what may stand in the place of a node."""
    match node:
        case ast.Compare(left, [operator], others) if type(operator) in SWAPPED:
            yield ast.Compare(left, [SWAPPED[type(operator)]()], others)
        case ast.BoolOp(operator, values):
            yield ast.BoolOp(SWAPPED[type(operator)](), values)
        case ast.BinOp(left, operator, right) if type(operator) in SWAPPED:
            yield ast.BinOp(left, SWAPPED[type(operator)](), right)
        case ast.UnaryOp(ast.Not(), operand):
            yield operand
        case ast.Constant(bool(value)):
            yield ast.Constant(not value)
        case ast.Constant(int(value)):
            yield ast.Constant(value + 1)
        case ast.Expr(ast.Call()):
            yield ast.Pass()  # a call whose result is not used
        case ast.Return(value) if value is not None and not isinstance(value, ast.Constant):
            yield ast.Return(ast.Constant(None))


def is_left_out(node: ast.AST) -> bool:
    """Return whether a node is a message, or asserts what cannot be otherwise: a type, or equal lengths."""
    if isinstance(node, ast.Call):
        function = node.func.value if isinstance(node.func, ast.Attribute) else node.func
        return isinstance(function, ast.Name) and function.id in FOR_PEOPLE
    if isinstance(node, ast.keyword):
        return node.arg == "strict"
    return isinstance(node, ast.Assert | ast.JoinedStr)


def walk(node: ast.AST) -> Iterator[ast.AST]:
    """Yield what may be changed in a function: not annotations, messages, nor functions within it."""
    children = [node.value] if isinstance(node, ast.AnnAssign) else ast.iter_child_nodes(node)
    for child in children:
        if child is None or isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            continue
        if not is_left_out(child.value if isinstance(child, ast.Expr) else child):
            yield child
            yield from walk(child)


def mutants_of(path: Path) -> Iterator[Mutant]:
    for function in ast.walk(ast.parse((ROOT / path).read_text())):
        if not isinstance(function, ast.FunctionDef | ast.AsyncFunctionDef) or function.name in SHOWS:
            continue
        for node in walk(ast.Module(function.body, [])):  # not its defaults and annotations
            for other in changed(node):
                place = (node.lineno, node.col_offset, node.end_lineno, node.end_col_offset)  # type: ignore[attr-defined]
                before, after = ast.unparse(node), ast.unparse(ast.fix_missing_locations(other))
                # In brackets: an operator around it may bind more tightly.
                after = f"({after})" if isinstance(other, ast.expr) else after
                yield Mutant(path, *place, function.name, before, after)


def all_mutants(beginning: str = "") -> list[Mutant]:
    """Return every mutant of the files whose path begins so, in an order that is the same each time."""
    paths = sorted(
        path.relative_to(ROOT)
        for source in SOURCES
        for path in ([ROOT / source] if source.endswith(".py") else (ROOT / source).rglob("*.py"))
    )
    return [
        mutant
        for path in paths
        if not LEFT_OUT.intersection(path.parts) and str(path).startswith(beginning)
        for mutant in mutants_of(path)
    ]


def drawn(mutants: list[Mutant], sample: int, seed: int) -> list[Mutant]:
    """Return some that stay the same while other code changes."""
    return sorted(mutants, key=lambda mutant: sha256(f"{seed} {mutant.name}".encode()).digest())[:sample]
