"""Types that the API's addresses and bodies share: pages, moments, choices."""

import json
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from typing import Annotated, Any, Generic, Self, TypeVar

from django.core.cache import caches
from django.db import Error
from django.http import HttpResponse
from ninja import Field, Schema
from ninja.responses import NinjaJSONEncoder
from ninja.schema import DjangoGetter
from pydantic import (
    AfterValidator,
    AwareDatetime,
    BeforeValidator,
    GetCoreSchemaHandler,
    GetJsonSchemaHandler,
    ModelWrapValidatorHandler,
    ValidationError,
    ValidationInfo,
    model_validator,
)
from pydantic_core import CoreSchema, ErrorDetails, InitErrorDetails, PydanticCustomError, core_schema

from xyzsite.api.errors import ApiError
from xyzsite.api.sentences import Unstorable
from xyzsite.paging import MAX_ROWS, PAGE_SIZE, Page
from xyzsite.parts import ALIAS, state

Item = TypeVar("Item")

CODE = r"^[-a-zA-Z0-9_]{1,32}$"  # of a location

# What SQLite's, PostgreSQL's and Python's calendars all hold in any time zone, with room to spare.
EARLIEST = datetime(1900, 1, 1, tzinfo=UTC)
LATEST = datetime(2200, 1, 1, tzinfo=UTC)


def written_out(value: object) -> object:
    """Refuse numbers: seconds and milliseconds cannot be distinguished."""
    if not isinstance(value, str) or value.strip().lstrip("+-").replace(".", "", 1).isdecimal():
        raise ValueError("Write the time in ISO 8601 with an offset, such as 2026-03-01T12:00:00Z.")
    return value


def within_calendar(moment: datetime) -> datetime:
    if not EARLIEST <= moment <= LATEST:
        raise ValueError(f"Send a time between the years {EARLIEST.year} and {LATEST.year}.")
    return moment


Moment = Annotated[AwareDatetime, BeforeValidator(written_out), AfterValidator(within_calendar)]


class OneOf:
    """An annotation that narrows a string to some values, which the OpenAPI document then lists."""

    def __init__(self, values: Iterable[str]) -> None:
        self.values = tuple(values)

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        return core_schema.no_info_after_validator_function(self.check, handler(source))

    def __get_pydantic_json_schema__(self, schema: CoreSchema, handler: GetJsonSchemaHandler) -> dict[str, Any]:
        return handler(schema) | {"enum": list(self.values)}

    def check(self, value: str) -> str:
        if value not in self.values:
            raise ValueError(f"Choose one of {', '.join(self.values)}.")
        return value


def either_way(sorts: Iterable[str]) -> list[str]:
    """Return each sort and its reverse: name -> name, -name."""
    return [f"{sign}{sort}" for sort in sorts for sign in ("", "-")]


class Getter(DjangoGetter):
    """Reads a document's values, and remembers the database's error."""

    error_: Error | None = None  # a name that no field has

    def __getattr__(self, name: str) -> Any:
        try:
            return super().__getattr__(name)
        except Error as error:
            self.error_ = error
            raise


class Answer(Schema):
    """What is answered. A value that the database does not give is the database's error, not the document's."""

    @model_validator(mode="wrap")
    @classmethod
    def _run_root_validator(cls, values: Any, handler: ModelWrapValidatorHandler[Self], info: ValidationInfo) -> Self:
        """Do what django-ninja's method of this name does."""
        getter = Getter(values, cls, info.context)
        try:
            return handler(getter)
        except ValidationError:
            if getter.error_ is not None:
                raise getter.error_  # noqa: B904 - with its own cause
            raise


class QueryString(Schema):
    """Parameters of an address. A name that is none of them is an error: `?knd=rain` must not list every kind."""

    @model_validator(mode="wrap")
    @classmethod
    def refuse_unknown(cls, data: Any, handler: ModelWrapValidatorHandler[Self], info: ValidationInfo) -> Self:
        known = {field.alias or name for name, field in cls.model_fields.items()}
        unknown = [name for name in (info.context or {})["request"].GET if name not in known]
        fault = PydanticCustomError("unknown", f"There is no such parameter: use {', '.join(sorted(known))}")
        faults = [InitErrorDetails(type=fault, loc=(name.replace("\0", ""),), input=name) for name in unknown]
        try:
            found = handler(data)
        except ValidationError as error:
            faults += [detail_of(item) for item in error.errors(include_url=False)]
        if faults:
            raise ValidationError.from_exception_data(cls.__name__, faults)
        return found


def detail_of(item: ErrorDetails) -> InitErrorDetails:
    """Return one of pydantic's errors as what makes it anew, with what an unstorable value says of itself."""
    kind: str | PydanticCustomError = item["type"]
    if isinstance(item["input"], Unstorable):
        kind = PydanticCustomError("unstorable", item["input"].sentence.rstrip("."))
    return InitErrorDetails(type=kind, loc=item["loc"], input=item["input"], ctx=item.get("ctx", {}))


class PageQuery(QueryString):
    """Which page of a list."""

    page: int = Field(1, ge=1, le=1_000_000, description="Counted from 1.")
    page_size: int = Field(PAGE_SIZE, ge=1, le=MAX_ROWS, description="How many items a page holds.")


class PageOut(Answer, Generic[Item]):
    """One page of a list."""

    items: list[Item]
    page: int = Field(description="This page's number, counted from 1.", examples=[1])
    pages: int = Field(description="How many pages there are.", examples=[4])
    page_size: int = Field(examples=[PAGE_SIZE])
    total: int = Field(description="How many items all pages hold.", examples=[93])


def page_out(page: Page[Any], asked: PageQuery, items: Sequence[Any]) -> dict[str, Any]:
    """Return what PageOut[...] is made from; raise ApiError when the page that was asked for does not exist."""
    if page.number != asked.page:
        raise ApiError(422, fields={"page": [f"The last page is {page.number}: ask for that or an earlier one."]})
    return {
        "items": items,
        "page": page.number,
        "pages": page.pages,
        "page_size": page.size,
        "total": page.total,
    }


def kept_page(schema: type[PageOut[Any]], document: dict[str, Any], related: Iterable[Any]) -> HttpResponse:
    """Answer with what `page_out` has returned, as its schema writes it; kept under the name of all its rows.

    `related` are the rows of other tables that items show.
    """

    def written() -> str:
        return json.dumps(schema.model_validate(document).model_dump(), cls=NinjaJSONEncoder)

    name = f"{schema.__name__}:{state([document, related])}"
    return HttpResponse(caches[ALIAS].get_or_set(name, written), content_type="application/json; charset=utf-8")
