"""Moments, choices, and the paths of fields."""

from datetime import UTC, datetime

import pytest
from pydantic import TypeAdapter, ValidationError

from xyzsite.api.errors import field_of
from xyzsite.api.fields import Moment, OneOf, either_way


@pytest.mark.parametrize("text", ["2026-03-01T12:00:00Z", "2026-03-01T13:00+01:00", "2026-03-01 12:00:00.000+00:00"])
def test_moments_with_an_offset(text: str) -> None:
    assert TypeAdapter(Moment).validate_python(text) == datetime(2026, 3, 1, 12, tzinfo=UTC)


@pytest.mark.parametrize("value", ["2026-03-01T12:00:00", "1772366400", "1772366400.5", "-1", 1772366400, None, "1899"])
def test_what_is_no_moment(value: object) -> None:
    with pytest.raises(ValidationError):
        TypeAdapter(Moment).validate_python(value)


def test_a_choice_names_the_others() -> None:
    with pytest.raises(ValueError, match="Choose one of name, -name"):
        OneOf(either_way(["name"])).check("id")


@pytest.mark.parametrize(
    ("location", "field"),
    [
        (("body", "body", "readings", 3, "value"), "readings.3.value"),
        (("body", "body"), "body"),
        (("query", "page"), "page"),
        (("query", "query", "pgae"), "pgae"),
    ],
)
def test_paths_of_fields(location: tuple[str | int, ...], field: str) -> None:
    assert field_of(location) == field
