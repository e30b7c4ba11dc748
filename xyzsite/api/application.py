"""The JSON API: what the pages show, and writing, for programs. Described by itself at /api/docs."""

from collections.abc import Callable
from functools import wraps
from typing import Any

from django.contrib.auth.decorators import login_not_required
from django.http import Http404, HttpRequest, HttpResponse
from django.urls import URLPattern, URLResolver, re_path
from ninja import Field, NinjaAPI, Swagger
from ninja.openapi.schema import OpenAPISchema
from ninja.operation import Operation

from users.models import Region
from xyzsite.api.analytics import router as analytics_router
from xyzsite.api.auth import ApiRequest, BearerToken, Session
from xyzsite.api.body import StrictParser, check_head
from xyzsite.api.devices import router as devices_router
from xyzsite.api.errors import KINDS, ApiError, error_response, install_handlers, responses
from xyzsite.api.examples import add_examples
from xyzsite.api.excursions import router as excursions_router
from xyzsite.api.fields import Answer
from xyzsite.api.locations import MembershipOut, memberships_of
from xyzsite.api.locations import router as locations_router
from xyzsite.api.readings import router as readings_router
from xyzsite.api.thresholds import router as thresholds_router
from xyzsite.positions import HEADER

View = Callable[..., HttpResponse]

FIELDS_AT_FAULT = {"readings.3.value": ["Send a finite number."], "readings.3.unit": ["Send text."]}

DESCRIPTION = """
Locations, their devices and readings, and analytics: what the pages show, under the same access rules.

**Who calls**: send `Authorization: Bearer <token>`, or the session cookie of a person who is signed in;
with a session, unsafe methods need the `X-CSRFToken` header too.

**Errors**: every 4xx answer, and 503 while the database is away, holds `{"error": {"code", "message", "fields"}}`.
`fields` names the values at fault.

**How often**: a token, or a person, that calls too often is answered 429; the header `Retry-After` says in how many
seconds to call again.

**Reads of what you have written**: an answer to a call that wrote something has the header `X-Position`. Send it, for
60 seconds, with the calls that must see the write, in whatever region they are answered.

**Times** are ISO 8601 with an offset, such as `2026-03-01T12:00:00Z`.
"""


POSITION: dict[str, Any] = {
    "parameters": {
        "Position": {
            "name": HEADER,
            "in": "header",
            "description": "The header of this name of an earlier answer, whose write must be seen; several by comma.",
            "schema": {"type": "string"},
        }
    },
    "headers": {
        "Position": {
            "description": "Where something was written: what to send, for 60 seconds, with calls that must see it.",
            "schema": {"type": "string"},
        }
    },
}


class PlatformAPI(NinjaAPI):
    """django-ninja, with every answer below /api/ in JSON, wherever the request fails."""

    @property
    def urls(self) -> tuple[list[URLPattern | URLResolver], str, str]:
        patterns, app_name, namespace = super().urls
        patterns.append(re_path("", nothing_here, name="nothing-here"))
        for pattern in patterns:
            pattern.callback = guarded(pattern.callback)  # type: ignore[arg-type]
        return patterns, app_name, namespace

    def get_openapi_operation_id(self, operation: Operation) -> str:
        """Name an operation as its view: a generated client's function is then `list_devices`."""
        return operation.view_func.__name__

    def get_openapi_schema(self, **options: Any) -> OpenAPISchema:
        schema = super().get_openapi_schema(**options)
        schema["components"] |= POSITION
        add_examples(schema)
        for operations in schema["paths"].values():
            for operation in operations.values():
                describe_errors(operation)
                describe_position(operation)
        return schema


def guarded(view: View) -> View:
    """Check the request's body before `view` sees it, and turn what fails outside of operations into our errors.

    The API authenticates its callers itself: a redirect to the sign-in page is no answer to a program.
    """

    @login_not_required
    @wraps(view)
    def guarded_view(request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        try:
            check_head(request)
            response = view(request, *args, **kwargs)
        except Http404:
            response = error_response(ApiError(404))
        except ApiError as error:
            response = error_response(error)
        if response.status_code == 405:
            response = error_response(ApiError(405, headers={"Allow": response["Allow"]}))
        response.setdefault("Cache-Control", "no-store")
        return response

    guarded_view.csrf_exempt = True  # type: ignore[attr-defined]  # Session checks it
    return guarded_view


def describe_position(operation: dict[str, Any]) -> None:
    """Name the header that carries a position, of an operation and of what it answers."""
    operation.setdefault("parameters", []).append({"$ref": "#/components/parameters/Position"})
    for status, response in operation["responses"].items():
        if status < 300:
            response.setdefault("headers", {})[HEADER] = {"$ref": "#/components/headers/Position"}


def nothing_here(request: HttpRequest) -> HttpResponse:
    raise Http404


def describe_errors(operation: dict[str, Any]) -> None:
    """Give an operation's error answers in the OpenAPI document a description and an example."""
    for status, response in operation["responses"].items():
        if status in KINDS:
            kind = KINDS[status]
            problem = {"code": kind.code, "message": kind.message, "fields": FIELDS_AT_FAULT if status == 422 else {}}
            response["description"] = kind.message
            response["content"]["application/json"]["example"] = {"error": problem}


api = PlatformAPI(
    title="XYZ platform",
    version="1",
    description=DESCRIPTION,
    urls_namespace="api",
    auth=[BearerToken(), Session()],
    parser=StrictParser(),
    # The validator is a service on another host; nothing is sent there.
    docs=Swagger(settings={"validatorUrl": None, "persistAuthorization": True}),
)
install_handlers(api)
for prefix, router in (
    ("/locations", locations_router),
    ("/devices", devices_router),
    ("", readings_router),
    ("/analytics", analytics_router),
    ("/thresholds", thresholds_router),
    ("/excursions", excursions_router),
):
    api.add_router(prefix, router)


class UserOut(Answer):
    """The caller."""

    username: str = Field(examples=["ada"])
    name: str = Field(examples=["Ada Lovelace"])
    email: str
    home_region: Region
    is_staff: bool = Field(description="Staff see and manage every location.")
    memberships: list[MembershipOut]


@api.get("/me", response={200: UserOut, **responses(401)}, summary="Show the caller", tags=["caller"])
def show_caller(request: ApiRequest) -> dict[str, Any]:
    """Whose token or session this is, and the roles at locations."""
    user = request.auth
    return {
        "username": user.username,
        "name": str(user),
        "email": user.email,
        "home_region": user.home_region,
        "is_staff": user.is_staff,
        "memberships": memberships_of(user),
    }
