"""Each command that the documents show exists, and takes what they give it. None is run here."""

import re
import shlex
import tomllib
from argparse import ArgumentParser, _SubParsersAction
from collections.abc import Callable, Iterator
from importlib.util import find_spec
from pathlib import Path
from urllib.parse import parse_qsl, urlsplit

import pytest
import yaml
from django.core.management import get_commands, load_command_class

from tests.documents.texts import ROOT, blocks, commands, spans
from xyzsite.api.application import api

MAKEFILE = (ROOT / "Makefile").read_text()
VARIABLES = set(re.findall(r"^#([A-Z][A-Z0-9_]*)=", (ROOT / ".env.example").read_text(), re.MULTILINE))
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
# Words that stand for others: FORMAT, PATH…, <name>, [--all].
PLACEHOLDER = re.compile(r"[A-Z_]+|.*[…<>[\]].*")


def parser_of(name: str) -> ArgumentParser:
    assert name in get_commands(), f"there is no command {name}"
    return load_command_class(get_commands()[name], name).create_parser("manage.py", name)


def options_of(parser: ArgumentParser) -> Iterator[str]:
    for action in parser._actions:
        yield from action.option_strings
        if isinstance(action, _SubParsersAction):
            for each in action.choices.values():
                yield from options_of(each)


def check_managed(arguments: list[str]) -> None:
    name, *rest = arguments
    known = set(options_of(parser_of(name)))
    for word in rest:
        option = word.strip("[]").partition("=")[0]
        assert not option.startswith("--") or option in known, f"{name} takes no {option}"


def check_python(arguments: list[str]) -> None:
    """A module that is run must have each option somewhere in its package."""
    if arguments[0] == "manage.py":
        return check_managed(arguments[1:])
    if arguments[0] != "-m":
        assert (ROOT / arguments[0]).is_file(), arguments[0]
        return None
    spec = find_spec(arguments[1])
    assert spec is not None, f"there is no module {arguments[1]}"
    if arguments[1] in ("pytest", "venv"):
        return None
    origin = Path(str(spec.origin))
    beside = origin.parent.rglob("*.py") if spec.submodule_search_locations else [origin]
    source = "".join(path.read_text() for path in beside)
    for word in arguments[2:]:
        assert not word.startswith("--") or f'"{word.partition("=")[0]}"' in source, f"{arguments[1]} takes no {word}"
    return None


def check_made(arguments: list[str]) -> None:
    for word in arguments:
        name, is_variable, _ = word.partition("=")
        assert re.search(rf"^{name} [?:]?=" if is_variable else rf"^{name}:", MAKEFILE, re.MULTILINE), f"make {word}"


def check_installed(arguments: list[str]) -> None:
    assert arguments[0] == "install"
    for extras in re.findall(rf"{PROJECT['name']}\[([a-z,]+)\]", " ".join(arguments)):
        assert set(extras.split(",")) <= set(PROJECT["optional-dependencies"]), extras
    check_files(arguments)


def check_files(arguments: list[str]) -> None:
    """Files are there; parameters are the template's."""
    for word in arguments:
        if re.fullmatch(r"(?:[\w-]+/)*[\w.-]+\.(?:txt|ya?ml|lock)", word):
            assert (ROOT / word).is_file() or (ROOT / "deploy" / "prometheus" / word).is_file(), word
    if "--template-file" in arguments:
        template = (ROOT / arguments[arguments.index("--template-file") + 1]).read_text()
        parameters = yaml.compose(template)
        (names,) = [value for key, value in parameters.value if key.value == "Parameters"]
        given = {word.partition("=")[0] for word in arguments if re.match(r"[A-Z]\w+=", word)}
        assert given <= {key.value for key, _ in names.value}, given


def check_asked(arguments: list[str]) -> None:
    (address,) = [urlsplit(word) for word in arguments if word.startswith("http")]
    method = arguments[arguments.index("-X") + 1] if "-X" in arguments else "GET"
    paths = api.get_openapi_schema(path_prefix="/api/")["paths"]
    (operations,) = [
        found for path, found in paths.items() if re.fullmatch(re.sub(r"\{\w+\}", "[^/]+", path), address.path)
    ]
    known = {parameter.get("name") for parameter in operations[method.lower()]["parameters"]}
    assert {name for name, _ in parse_qsl(address.query)} <= known


def check_other(arguments: list[str]) -> None:
    """Of another program, in its own right."""


PROGRAMS: dict[str, Callable[[list[str]], None]] = {
    "manage.py": check_managed, "python": check_python, "make": check_made, "pip": check_installed,
    "curl": check_asked, "aws": check_files, "promtool": check_files, "django-admin": check_other, "grep": check_other,
}  # fmt: skip


def check(command: str) -> list[str]:
    """Raise AssertionError where a command is wrong; return its words, without the variables before it."""
    words = shlex.split(command, comments=True)
    while words and (found := re.fullmatch(r"([A-Z][A-Z0-9_]*)=.*", words[0])):
        assert found[1] in VARIABLES, found[1]
        words = words[1:]
    if words:
        PROGRAMS[Path(words[0]).name](words[1:])
    return words


SHOWN = [(block.name, each) for block in blocks() if block.language == "console" for each in commands(block.text)]


@pytest.mark.parametrize(("where", "command"), SHOWN, ids=[command for _, command in SHOWN])
def test_a_command_to_type_is_taken_as_it_stands(where: str, command: str) -> None:
    words = check(command)
    managed = words[1:] if words and words[0] == "python" else words
    if managed and managed[0] == "manage.py" and not any(map(PLACEHOLDER.fullmatch, managed)):
        parser_of(managed[1]).parse_args(managed[2:])  # raises CommandError


NAMED = sorted(
    {text for _, text in spans() if re.match(r"(?:python )?manage\.py [a-z]|make [a-z]|python -m |pip install ", text)}
)


@pytest.mark.parametrize("text", NAMED)
def test_a_command_that_a_sentence_names_exists(text: str) -> None:
    check(text)


@pytest.mark.parametrize(
    "wrong",
    [
        *("manage.py relays", "manage.py relay --instal", "python -m tests.consistency --read 5", "make tests"),
        *("make run PORTS=1", "pip install xyz-cacheops[rediss]", "curl http://h/api/devices?stats=1", "rm -r var"),
        *("XYZ_REGIONS=a manage.py relay", "aws deploy --template-file deploy/elasticache/us-west-2.yaml Vpc=1"),
    ],
)
def test_what_is_wrong_is_found(wrong: str) -> None:
    with pytest.raises((AssertionError, KeyError)):
        check(wrong)
