"""`extra=`: a value, or a function of the call's arguments, that is part of the key."""

import uuid
from typing import Any

import pytest
from django.http import HttpRequest, HttpResponse

from cacheops import cached, cached_view
from cacheops.exceptions import InvalidKey, InvalidOption
from users.models import User

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def _prefix(settings: Any) -> None:
    settings.CACHEOPS_PREFIX = f"t-{uuid.uuid4().hex[:8]}"


def test_extra_gets_the_arguments_of_the_call() -> None:
    def choose(number: int, *, side: str = "left") -> str:
        return side

    calls = []

    @cached(timeout=60, extra=choose, key="chosen")
    def chosen(number: int, *, side: str = "left") -> tuple[int, str]:
        calls.append(side)
        return number, side

    assert [chosen(1), chosen(1, side="right"), chosen(1)] == [(1, "left"), (1, "right"), (1, "left")]
    assert calls == ["left", "right"]
    chosen.invalidate(1)
    chosen(1)
    assert calls == ["left", "right", "left"]


def test_extra_may_look_at_more_than_the_arguments() -> None:
    mode = {"now": "a"}
    told = cached(timeout=60, extra=lambda: mode["now"], key="told")(lambda: mode["now"])
    assert told() == "a"
    mode["now"] = "b"
    assert told() == "b"
    told.invalidate()  # of every extra


async def _later(request: HttpRequest) -> int:
    return 1


def _nothing() -> int:
    return 1


def _view(request: HttpRequest, number: int) -> HttpResponse:
    return HttpResponse()


@pytest.mark.parametrize(
    "extra", [_later, _nothing, lambda request: 1, lambda a, b, c: 1], ids=["async", "0", "1", "3"]
)
def test_extra_that_can_not_take_the_calls_arguments_is_refused_at_once(extra: Any) -> None:
    with pytest.raises(InvalidOption, match="extra"):
        cached_view(timeout=60, extra=extra)(_view)


@pytest.mark.parametrize(
    "extra",
    [lambda request, number: 1, lambda *a: 1, lambda request, **kw: 1, lambda request, number=0, more=1: 1, User, 7],
)
def test_other_extras_are_taken(extra: Any) -> None:
    cached_view(timeout=60, extra=extra)(_view)


def test_an_extra_without_a_key_is_named() -> None:
    made = cached(timeout=60, extra=lambda: object(), key="made")(lambda: 1)
    with pytest.raises(InvalidKey, match="'extra'"):
        made()
