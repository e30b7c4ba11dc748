"""Whatever the documents name is there: settings, checks, modules, files, addresses, figures."""

import re
from collections.abc import Callable, Iterator
from importlib import import_module
from importlib.util import find_spec

import pytest
from django.apps import apps
from django.core.exceptions import ImproperlyConfigured
from django.urls import Resolver404, resolve

from cacheops.checks import CHECKS
from cacheops.checks.django_cacheops import GONE, SERVERS
from cacheops.conf import SETTINGS
from tests.documents.texts import PAGES, ROOT, SOURCES, blocks, sentences, spans

OF_DJANGO_CACHEOPS = SERVERS.keys() | GONE.keys()
OF_MAKE = set(re.findall(r"CACHEOPS_[A-Z_]+", (ROOT / "Makefile").read_text()))
SETTING_NAMES = {setting.name for setting in SETTINGS} | OF_DJANGO_CACHEOPS | OF_MAKE
PACKAGES = "cacheops|users|locations|devices|analytics|xyzsite|tests|benchmarks"
FOLDERS = f"{PACKAGES}|docs|deploy|.ci"
FIGURES = (ROOT / "docs" / "reference" / "metrics.md").read_text()


def is_setting(name: str) -> bool:
    return name in SETTING_NAMES


def is_check(name: str) -> bool:
    return name.removeprefix("cacheops.") in CHECKS


def is_object(name: str) -> bool:
    """Return whether a dotted name is a module's, of something in one, a model's label, or a text of the engine's."""
    parts = name.split(".")
    if (
        is_check(name)
        or f'"{name}"' in SOURCES
        or f'"{parts[-1]}"' in SOURCES
        or parts[1].lower() in apps.all_models.get(parts[0], {})
    ):
        return True
    for length in range(len(parts), 0, -1):
        try:
            found = import_module(".".join(parts[:length]))
        except ModuleNotFoundError as error:
            if error.name == "debug_toolbar" and find_spec("debug_toolbar") is None:
                return True  # it is not installed here
            continue
        except ImproperlyConfigured:
            return True  # it is there, and refuses this environment
        for part in parts[length:]:
            found = getattr(found, part, None) or getattr(found, "__annotations__", {}).get(part)
        return found is not None
    return False


def is_file(name: str) -> bool:
    path, _, test = name.partition("::")
    found = list(ROOT.glob(path.rstrip("/")))
    return bool(found) and (not test or f"def {test}(" in found[0].read_text())


def is_address(name: str) -> bool:
    try:
        found = resolve(re.sub(r"\{\w+\}|<\w+>|…", "1", name.partition("?")[0]))
    except Resolver404:
        return False
    return found.url_name != "nothing-here"  # which answers for the rest of the API


def is_figure(name: str) -> bool:
    """Return whether a name is a figure's, another one of the sources, or a table's."""
    return name in FIGURES or name in SOURCES or name in {model._meta.db_table for model in apps.get_models()}


# How a name of each kind looks where it is code, and what it is to be.
KINDS: dict[str, tuple[str, Callable[[str], bool]]] = {
    "setting": (r"(CACHEOPS_[A-Z_]*[A-Z])\b.*", is_setting),
    "check": (r"((?:cacheops\.)?[EW]\d{3})", is_check),
    "object": (rf"((?:{PACKAGES})(?:\.[A-Za-z_]\w*)+)(?<!users\.acl)(?:\(.*\))?", is_object),
    "file": (rf"((?:{FOLDERS})/[\w.*/-]*(?:::\w+)?)", is_file),
    "address": (
        r"(/(?:api|admin|analytics|devices|healthz|locations|metrics|profile|sign-in|thresholds)\b\S*)",
        is_address,
    ),
    "figure": (r"(cacheops_[a-z_]+[a-z])\b.*", is_figure),
}


def names(kind: str) -> Iterator[tuple[str, str]]:
    """Yield the page and the name of each that is code in a sentence, or a string in a block."""
    pattern = KINDS[kind][0]
    for page, text in spans():
        if found := re.fullmatch(pattern, text):
            yield page, found[1]
    for block in blocks():
        for text in re.findall(r"""["']([^"'\n]+)["']|\b(CACHEOPS_[A-Z_]+)\b""", block.text):
            if found := re.fullmatch(pattern, "".join(text)):
                yield block.page, found[1]


@pytest.mark.parametrize("kind", KINDS)
def test_what_is_named_is_there(kind: str) -> None:
    found = set(names(kind))
    assert len(found) > 10  # else the pattern finds nothing
    assert sorted(each for each in found if not KINDS[kind][1](each[1])) == []


def test_settings_and_checks_in_plain_sentences_are_there() -> None:
    for page in PAGES:
        text = sentences(page)
        assert set(re.findall(r"\bCACHEOPS_[A-Z_]*[A-Z]\b", text)) <= SETTING_NAMES, page
        assert set(re.findall(r"\bcacheops\.([EW]\d{3})\b", text)) <= set(CHECKS), page


@pytest.mark.parametrize(
    ("kind", "name"),
    [
        *(
            ("setting", "CACHEOPS_TIMEOUTS"),
            ("check", "E999"),
            ("object", "cacheops.fastpaths"),
            ("object", "devices.nothings"),
        ),
        *(("object", "cacheops.conf.Nothing"), ("file", "docs/nothing.md"), ("address", "/api/nothing")),
        *(("file", "tests/documents/test_names.py::test_nothing"), ("figure", "cacheops_nothing_total")),
    ],
)
def test_what_is_not_there_is_found(kind: str, name: str) -> None:
    assert not KINDS[kind][1](name)
