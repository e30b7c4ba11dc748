"""The protocol's rules: the page names where each is kept, and code cites rules that are there."""

import re
from pathlib import Path

ROOT = Path(__file__).resolve().parents[3]
PAGE = (ROOT / "docs" / "design" / "invalidation.md").read_text()
RULES = set(re.findall(r"^\| (R\d+) \|", PAGE, re.MULTILINE))


def test_the_modules_that_keep_rules_are_there() -> None:
    named = set(re.findall(r"`((?:[a-z_]+/)*[a-z_]+\.(?:py|lua))`", PAGE[PAGE.index("## Rules") :]))
    assert len(named) > 20
    missing = [name for name in named if not (ROOT / "cacheops" / name).exists()]
    assert [name for name in missing if name != "protocol_model.py"] == []


def test_each_rule_is_cited_where_the_page_says_it_is_kept() -> None:
    for rule, row in re.findall(r"^\| (R\d+) \|(.*)$", PAGE, re.MULTILINE):
        named = [ROOT / "cacheops" / name for name in re.findall(r"`((?:[a-z_]+/)*[a-z_]+\.(?:py|lua))`", row)]
        assert any(re.search(rf"\b{rule}\b", path.read_text()) for path in named if path.exists()), rule


def test_code_cites_rules_that_the_page_has() -> None:
    files = [path for kind in ("*.py", "*.lua") for path in (ROOT / "cacheops").rglob(kind)]
    cited = {rule for path in files for rule in re.findall(r"\bR\d+\b", path.read_text())}
    assert {f"R{number}" for number in range(1, 36)} == RULES
    assert cited
    assert cited <= RULES
