"""Blocks that are neither commands nor Python: each language is tried by a test, here or where it is named."""

import yaml
from django.template import engines

from tests.documents.texts import INDENTED, PAGES, SOURCES, blocks, sentences

# By language: the test that tries all of its blocks.
TRIED = {
    "console": "tests/documents/test_commands.py",
    "python": "tests/documents/test_python.py",
    "json": "tests/xyzsite/api/test_readings.py",
    "sql": "tests/devices/test_readings_table.py",
    "django": "here",
    "yaml": "here",
    "text": "here",
}


def texts(language: str) -> list[str]:
    return [block.text for block in blocks() if block.language == language]


def test_each_block_is_of_a_language_that_a_test_tries() -> None:
    assert {block.language for block in blocks()} == set(TRIED)
    assert [page.name for page in PAGES if INDENTED.search(sentences(page)) or "```" in sentences(page)] == []


def test_templates_compile_with_the_tags_that_they_load() -> None:
    for text in texts("django"):
        engines["django"].from_string(text)


def test_yaml_can_be_read() -> None:
    for text in texts("yaml"):
        assert yaml.safe_load(text)


def test_a_line_of_a_log_is_one_that_the_engine_writes() -> None:
    line, drawing = texts("text")
    parts = "The server ", " was started from older data, or is new: ", " were purged, and nothing"
    assert all(part in line and part in SOURCES for part in parts)
    assert "Redis" in drawing  # to be looked at
