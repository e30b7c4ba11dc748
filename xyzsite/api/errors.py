"""What the JSON API answers when it refuses: one shape for all errors, and the words in it."""

import logging
from collections.abc import Mapping
from http import HTTPStatus
from itertools import islice
from typing import Any, NamedTuple

from django.db import Error
from django.http import Http404, HttpRequest, HttpResponse, JsonResponse
from ninja import Field, NinjaAPI, Schema
from ninja.errors import AuthenticationError, HttpError, ValidationError

from cacheops.regions.database_away import is_away
from locations.selectors import RoleRequired
from xyzsite.api.sentences import sentence_of

logger = logging.getLogger(__name__)

Fields = Mapping[str, list[str]]

# RFC 6750, section 3: how a client learns which credentials are wanted.
BEARER_CHALLENGE = 'Bearer realm="api"'

# A body of a megabyte can hold a hundred thousand errors; nobody corrects more at a time.
MAX_FIELDS = 100
MAX_FIELD_LETTERS = 200  # of a path that a client made up

UNAVAILABLE_SECONDS = 5  # until what the database would have to answer is asked again: a restart takes 2 to 6


class Kind(NamedTuple):
    """One sort of refusal: its machine-readable code, and the message where no better one is known."""

    code: str
    message: str


KINDS = {
    400: Kind("bad_request", "The request cannot be read: send JSON as RFC 8259 defines it."),
    401: Kind("unauthorised", "Sign in, or send the header `Authorization: Bearer <token>`."),
    403: Kind("forbidden", "Your role does not allow this: ask a manager of the location."),
    404: Kind("not_found", "There is nothing here that you may see. The addresses are listed at /api/docs."),
    405: Kind("method_not_allowed", "This address does not take this method: see the Allow header."),
    409: Kind("conflict", "Something with the same identity exists: choose another, or change the existing one."),
    413: Kind("too_large", "The body is too large: send less at a time."),
    415: Kind("unsupported_media_type", "Send the body as JSON, with the header `Content-Type: application/json`."),
    422: Kind("invalid", "Some values are wrong: correct the fields named here and send it again."),
    429: Kind(
        "too_many_requests",
        "Too many calls, or readings that wait: call again after the seconds in Retry-After.",
    ),
    503: Kind("unavailable", "The database does not answer: send it again after the seconds in Retry-After."),
}


class Problem(Schema):
    """What is wrong with a request."""

    code: str = Field(description="Stable and machine-readable; one a status.", examples=["invalid"])
    message: str = Field(description="What is wrong and what to do, for a person.", examples=[KINDS[422].message])
    fields: dict[str, list[str]] = Field(
        default_factory=dict,
        description="By the path of the value at fault (`readings.3.value`): what is wrong with it, what to do.",
        examples=[{"readings.3.value": ["Send a finite number."]}],
    )


class ErrorOut(Schema):
    """What every answer holds that refuses: 4xx, and 503."""

    error: Problem


class ApiError(Exception):
    """Refuse the request with `status`, one of KINDS; `fields` tells which values are at fault, MAX_FIELDS at most."""

    def __init__(
        self, status: int, message: str = "", fields: Fields | None = None, headers: Mapping[str, str] | None = None
    ) -> None:
        self.status = status
        self.message = message or KINDS[status].message
        self.fields = {path[:MAX_FIELD_LETTERS]: each for path, each in islice((fields or {}).items(), MAX_FIELDS)}
        if fields and len(fields) > MAX_FIELDS:
            self.message += f" {len(fields):,} are wrong, of which the first {MAX_FIELDS} are named."
        self.headers = dict(headers or {})
        if status == HTTPStatus.SERVICE_UNAVAILABLE:
            self.headers.setdefault("Retry-After", str(UNAVAILABLE_SECONDS))
        super().__init__(self.message)


def responses(*statuses: int) -> dict[Any, type[ErrorOut]]:
    """Return what an operation declares of its errors, for django-ninja's `response`; any call may be one too many."""
    return dict.fromkeys((*statuses, 429), ErrorOut)


def error_response(error: ApiError) -> HttpResponse:
    """Return the answer to a refused request."""
    problem = {"code": KINDS[error.status].code, "message": error.message, "fields": error.fields}
    response = JsonResponse({"error": problem}, status=error.status, headers=error.headers)
    if error.status == HTTPStatus.UNAUTHORIZED and "WWW-Authenticate" not in response:
        response["WWW-Authenticate"] = BEARER_CHALLENGE
    return response


def install_handlers(api: NinjaAPI) -> None:
    """Make `api` answer every error that it raises itself in our shape."""
    api.add_exception_handler(ApiError, lambda request, error: error_response(error))  # type: ignore[arg-type]
    api.add_exception_handler(RoleRequired, lambda request, error: error_response(ApiError(403, str(error))))
    api.add_exception_handler(Http404, lambda request, error: error_response(ApiError(404)))
    api.add_exception_handler(Error, on_database_error)  # type: ignore[arg-type]
    api.add_exception_handler(ValidationError, on_validation_error)  # type: ignore[arg-type]
    api.add_exception_handler(HttpError, on_http_error)  # type: ignore[arg-type]


def on_database_error(request: HttpRequest, error: Error) -> HttpResponse:
    """Answer 503 while the database can't be reached; what is wrong with a statement is an error of ours."""
    if is_away(error):
        return error_response(ApiError(503))
    raise error


def on_http_error(request: HttpRequest, error: HttpError) -> HttpResponse:
    """Answer django-ninja's own refusals; it wraps what our body parser raises, so look underneath."""
    if isinstance(error.__cause__, ApiError):
        return error_response(error.__cause__)
    if isinstance(error, AuthenticationError):
        return error_response(ApiError(401))
    return error_response(ApiError(error.status_code))


def on_validation_error(request: HttpRequest, error: ValidationError) -> HttpResponse:
    """Answer values that do not fit: 404 for a path that can name nothing, else 422 with the fields."""
    if any(item["loc"][0] == "path" for item in error.errors):
        return error_response(ApiError(404))
    fields: dict[str, list[str]] = {}
    for item in error.errors:
        fields.setdefault(field_of(item["loc"]), []).append(sentence_of(item))
    return error_response(ApiError(422, fields=fields))


def field_of(location: tuple[str | int, ...]) -> str:
    """Return a value's path: ("body", "body", "readings", 3, "value") -> "readings.3.value".

    A body's path starts with the view's parameter, which no client knows; only a body that is no object ends there.
    """
    start = 2 if location[0] == "body" else -1  # an address's parameters have no parts
    return ".".join(str(part) for part in location[start:]) or str(location[0])
