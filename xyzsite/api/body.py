"""Reading of the API's request bodies and query strings: what no database or clock could take is refused here, once."""

import json
import math
from typing import Any

from django.http import HttpRequest
from django.utils.datastructures import MultiValueDict
from ninja.parser import Parser

from xyzsite.api.errors import ApiError
from xyzsite.api.sentences import Unstorable

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
        if isinstance(data, dict | list):
            check_json(data)
        elif problem := problem_of(data):
            return Unstorable(problem)
        return data

    def parse_querydict(
        self, data: MultiValueDict[str, str], list_fields: list[str], request: HttpRequest
    ) -> dict[str, Any]:
        parsed = super().parse_querydict(data, list_fields, request)
        check_json(parsed)
        return parsed


def refuse_constant(name: str) -> None:
    raise ValueError(f"{name} is no JSON number: send a finite one, or leave the reading out")


def check_json(data: dict[str, Any] | list[Any], depth: int = 0) -> int:
    """Put Unstorable in the place of what a parsed document holds and nothing can store; return how many values it has.

    Raise ApiError for a document that is too large to be judged.
    """
    if depth > MAX_DEPTH:
        raise ApiError(400, f"The JSON is nested too deeply: at most {MAX_DEPTH} levels.")
    values = 1
    parts: list[tuple[Any, Any]] = list(data.items() if isinstance(data, dict) else enumerate(data))
    for key, value in parts:
        if isinstance(value, dict | list):
            values += check_json(value, depth + 1)
        else:
            values += 1
            if problem := problem_of(value):
                data[key] = Unstorable(problem)
        if problem := problem_of(key):
            del data[key]
            data[key.replace("\0", "?").encode(errors="replace").decode()] = Unstorable(problem)
    if values > MAX_VALUES:
        raise ApiError(413, f"The JSON holds too much: at most {MAX_VALUES:,} values.")
    return values


def problem_of(value: Any) -> str:
    """Return why no PostgreSQL text, UTF-8 or JSON number could hold a value, if so."""
    if isinstance(value, float) and not math.isfinite(value):
        return "This number is too large: send a finite number."
    if isinstance(value, str) and "\0" in value:
        return "NUL characters cannot be stored: remove them."
    if isinstance(value, str) and any("\ud800" <= character <= "\udfff" for character in value):
        return "Lone surrogates are no Unicode text: remove them."
    return ""


def check_head(request: HttpRequest) -> None:
    """Raise ApiError when a request's body is too large or not JSON; read it, so that later readers find it cached."""
    declared = request.META.get("CONTENT_LENGTH") or "0"
    if not declared.isdecimal() or int(declared[:20]) > MAX_BODY_BYTES or len(request.body) > MAX_BODY_BYTES:
        raise ApiError(413, f"The body is too large: at most {MAX_BODY_BYTES:,} bytes.")
    if request.body and request.content_type != "application/json":
        raise ApiError(415)
