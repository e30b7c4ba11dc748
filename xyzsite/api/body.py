"""Reading of the API's request bodies and query strings: what no database or clock could take is refused here, once."""

import json
import math
from typing import Any

from django.http import HttpRequest
from django.utils.datastructures import MultiValueDict
from ninja.parser import Parser

from xyzsite.api.errors import ApiError

MAX_BODY_BYTES = 1024 * 1024  # 1,000 readings take some 150 kB
MAX_VALUES = 10_000  # objects and lists among them; 1,000 readings have some 6,000
MAX_DEPTH = 16  # levels of nesting; no document of ours has more than 4, metadata may add some


class StrictParser(Parser):
    """django-ninja's parser, but strict: RFC 8259 only (no NaN), no NUL, no lone surrogates, no infinite numbers."""

    def parse_body(self, request: HttpRequest) -> Any:
        try:
            data = json.loads(request.body, parse_constant=refuse_constant)
        except RecursionError:
            raise ApiError(400, f"The JSON is nested too deeply: at most {MAX_DEPTH} levels.") from None
        except ValueError as error:
            raise ApiError(400, f"The body is no valid JSON: {error}.") from error
        check_json(data)
        return data

    def parse_querydict(
        self, data: MultiValueDict[str, str], list_fields: list[str], request: HttpRequest
    ) -> dict[str, Any]:
        for name, values in data.lists():
            for value in values:
                check_text(value, name.replace("\0", ""))
        return super().parse_querydict(data, list_fields, request)


def refuse_constant(name: str) -> None:
    raise ValueError(f"{name} is no JSON number: send a finite one, or leave the reading out")


def check_json(data: Any, path: str = "", depth: int = 0) -> int:
    """Raise ApiError where a parsed document holds what cannot be stored, naming the place; return how many values."""
    values = 1
    if depth > MAX_DEPTH:
        raise ApiError(400, f"The JSON is nested too deeply: at most {MAX_DEPTH} levels.")
    match data:
        case str():
            check_text(data, path)
        case float() if not math.isfinite(data):
            raise refused(path, "This number is too large: send a finite number.")
        case dict():
            for key, value in data.items():
                check_text(key, path)
                values += check_json(value, f"{path}.{key}".lstrip("."), depth + 1)
        case list():
            for index, value in enumerate(data):
                values += check_json(value, f"{path}.{index}".lstrip("."), depth + 1)
    if values > MAX_VALUES:
        raise ApiError(413, f"The JSON holds too much: at most {MAX_VALUES:,} values.")
    return values


def check_text(text: str, path: str) -> None:
    """Raise ApiError when no PostgreSQL text or UTF-8 could hold `text`."""
    if "\0" in text:
        raise refused(path, "NUL characters cannot be stored: remove them.")
    if any("\ud800" <= character <= "\udfff" for character in text):
        raise refused(path, "Lone surrogates are no Unicode text: remove them.")


def refused(path: str, sentence: str) -> ApiError:
    return ApiError(422, fields={path or "body": [sentence]})


def check_head(request: HttpRequest) -> None:
    """Raise ApiError when a request's body is too large or not JSON; read it, so that later readers find it cached."""
    declared = request.META.get("CONTENT_LENGTH") or "0"
    if not declared.isdecimal() or int(declared[:20]) > MAX_BODY_BYTES or len(request.body) > MAX_BODY_BYTES:
        raise ApiError(413, f"The body is too large: at most {MAX_BODY_BYTES:,} bytes.")
    if request.body and request.content_type != "application/json":
        raise ApiError(415)
