"""What the documents show: blocks to type or copy, and the code that sentences name."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
# Decisions tell of their day: what they name may be gone since.
PAGES = [
    *(ROOT / f"{name}.md" for name in ("README", "CONTRIBUTING", "SECURITY")),
    *sorted(page for page in (ROOT / "docs").rglob("*.md") if page.parent.name != "decisions"),
]
SOURCES = "".join(path.read_text() for path in (ROOT / "cacheops").rglob("*.py"))
FENCED = re.compile(r"^( *)(`{3,})(\w*)\n(.*?)^\1\2`*$", re.DOTALL | re.MULTILINE)
SPAN = re.compile(r"(?<!`)`([^`\n]+)`(?!`)")
INDENTED = re.compile(r"\n\n {4}(?![-*\d ])[^\n]+")


@dataclass(frozen=True)
class Block:
    """A block of code. Its name is where it stands and how it begins."""

    page: str
    language: str
    text: str

    @property
    def name(self) -> str:
        return f"{self.page}: {self.text.splitlines()[0]}"


@cache
def blocks() -> tuple[Block, ...]:
    found = []
    for page in PAGES:
        for indent, _, language, text in FENCED.findall(page.read_text()):
            dedented = re.sub(f"^{indent}", "", text, flags=re.MULTILINE)
            found.append(Block(str(page.relative_to(ROOT)), language, dedented))
    return tuple(found)


def sentences(page: Path) -> str:
    """Return a page without its blocks."""
    return FENCED.sub("", page.read_text())


def spans() -> Iterator[tuple[str, str]]:
    """Yield the page and the text of each piece of code within sentences and tables."""
    for page in PAGES:
        for text in SPAN.findall(sentences(page)):
            yield str(page.relative_to(ROOT)), text


def commands(text: str) -> Iterator[str]:
    """Yield the commands of a block. Where some lines begin with "$ ", the others are what is printed."""
    lines = text.replace("\\\n", " ").splitlines()
    prompted = any(line.startswith("$ ") for line in lines)
    for line in lines:
        if not prompted or line.startswith("$ "):
            yield from re.split(r" (?:&&|\|) ", line.removeprefix("$ "))
