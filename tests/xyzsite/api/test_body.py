"""What the parser of bodies lets through, and where it says a fault is."""

import copy
from typing import Any

import pytest
from django.test import RequestFactory

from xyzsite.api.body import MAX_BODY_BYTES, MAX_DEPTH, StrictParser, check_head, check_json
from xyzsite.api.errors import ApiError
from xyzsite.api.sentences import Unstorable

NUL = Unstorable("NUL characters cannot be stored: remove them.")
SURROGATE = Unstorable("Lone surrogates are no Unicode text: remove them.")
INFINITE = Unstorable("This number is too large: send a finite number.")


@pytest.mark.parametrize("data", [None, True, 0, 10**400, 1e308, "", "é\U0001f600", {"a": [{"b": []}]}])
def test_what_can_be_stored_passes(data: Any) -> None:
    document = [copy.deepcopy(data)]
    check_json(document)
    assert document == [data]


@pytest.mark.parametrize(
    ("data", "left"),
    [
        (["\0"], [NUL]),
        (["a", {"b": ["c", "\0"], "d": "\0"}], ["a", {"b": ["c", NUL], "d": NUL}]),
        ({"a": {"\ud800": 1}}, {"a": {"?": SURROGATE}}),
        ({"a": float("inf"), "b\0": 1}, {"a": INFINITE, "b?": NUL}),
        ({"a": [float("nan")]}, {"a": [INFINITE]}),
    ],
)
def test_what_cannot_be_stored_is_marked(data: Any, left: Any) -> None:
    check_json(data)
    assert data == left


@pytest.mark.parametrize("extra", [0, 1])
def test_the_bound_of_depth(extra: int) -> None:
    body = b"[" * (MAX_DEPTH + extra + 1) + b"]" * (MAX_DEPTH + extra + 1)
    request = RequestFactory().post("/", body, content_type="application/json")
    if extra:
        with pytest.raises(ApiError, match="nested too deeply"):
            StrictParser().parse_body(request)
    else:
        assert StrictParser().parse_body(request)


@pytest.mark.parametrize("declared", ["-1", "1e9", str(MAX_BODY_BYTES + 1), "9" * 5000])
def test_a_false_content_length_is_refused(declared: str) -> None:
    request = RequestFactory().post("/", b"{}", content_type="application/json")
    request.META["CONTENT_LENGTH"] = declared
    with pytest.raises(ApiError) as caught:
        check_head(request)
    assert caught.value.status == 413
