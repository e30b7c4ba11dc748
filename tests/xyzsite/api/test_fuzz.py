"""Requests made up from the API's own description, and beyond it: no answer is one that it does not declare."""

import json
import re
from typing import Any
from urllib.parse import quote, urlencode

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from devices.models import Device
from tests.xyzsite.api.conftest import NOON, Caller
from xyzsite.api.application import api

pytestmark = pytest.mark.django_db

SCHEMA: Any = api.get_openapi_schema(path_prefix="/")
COMPONENTS = SCHEMA["components"]["schemas"]
OPERATIONS = [(method, path) for path, methods in SCHEMA["paths"].items() for method in methods]

# A fitting value of each name, so that most of a request is right and the checks behind the first are reached too.
FITTING = {
    "from": "2026-01-01T00:00:00Z",
    "high": 30.0,
    "installed": "2026-02-03",
    "kind": "thermometer",
    "limit": 5,
    "location": "harbour",
    "low": -10.0,
    "metadata": {},
    "metric": "temperature",
    "name": "Quay",
    "notes": "Behind the hut",
    "notify": "operator",
    "page": 1,
    "page_size": 5,
    "percentiles": "true",
    "region": "us-east-1",
    "search": "quay",
    "serial": "THERM-1",
    "sort": "name",
    "status": "active",
    "taken_at": NOON.isoformat(),
    "to": "2026-04-01T00:00:00Z",
    "unit": "°C",
    "until": NOON.isoformat(),
    "value": 21.5,
    "window": "1h",
}
TEXT = st.text(st.characters(), max_size=20)
NASTY = st.sampled_from(
    ["\0", "\ud800", "", " ", -1, 10**400, 2**63, 1e308, float("inf"), [], {}, "9999-12-31T23:59:59Z"]
)
JUNK = st.recursive(
    NASTY | st.none() | st.booleans() | st.integers() | st.floats() | TEXT,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3),
    max_leaves=6,
)


def body_of(schema: Any) -> st.SearchStrategy[Any]:
    """Return documents with the schema's names and fitting values, of which some are left out, replaced or added."""
    schema = COMPONENTS[schema["$ref"].rsplit("/", 1)[-1]] if "$ref" in schema else schema
    fitting = {name: value_of(name, value) for name, value in schema["properties"].items()}
    required = {name: fitting.pop(name) for name in schema.get("required", [])}
    right = st.fixed_dictionaries(required, optional=fitting)
    wrong = st.dictionaries(st.sampled_from([*required, *fitting, "other"]), JUNK, max_size=1)
    return st.builds(lambda one, other: one | other, right, wrong) | right | JUNK


def value_of(name: str, schema: Any) -> st.SearchStrategy[Any]:
    if name == "readings":
        return st.lists(body_of(schema["items"]), min_size=1, max_size=3)
    if name == "metadata":
        return st.dictionaries(TEXT, NASTY | JUNK, min_size=1, max_size=2)
    return st.just(FITTING[name]) | st.just("NEW-1") if name == "serial" else st.just(FITTING[name])


def query_of(operation: Any) -> st.SearchStrategy[dict[str, Any]]:
    names = [item["name"] for item in operation["parameters"] if item.get("in") == "query"]
    right = st.lists(st.sampled_from(names), unique=True, max_size=4) if names else st.just([])
    wrong = st.dictionaries(
        st.sampled_from([*names, "other"]), (NASTY | st.integers() | TEXT).map(str).map(writable), max_size=1
    )
    return st.builds(lambda chosen, other: {name: FITTING[name] for name in chosen} | other, right, wrong | st.just({}))


def writable(text: str) -> str:
    """Return text as an address can hold it: surrogates have no percent encoding."""
    return text.encode(errors="replace").decode()


@pytest.mark.parametrize(("method", "path"), OPERATIONS)
@settings(
    max_examples=30,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(data=st.data())
def test_every_answer_is_declared(manager: Caller, thermometer: Device, data: Any, method: str, path: str) -> None:
    operation = SCHEMA["paths"][path][method]
    fitting = "harbour" if "{code}" in path else "1" if "{id}" in path else "THERM-1"
    name = data.draw(st.sampled_from([fitting] * 4 + [""])) or data.draw(TEXT.map(writable).filter(bool))
    address = re.sub(r"{\w+}", "{}", path).format(quote(name, safe=""))
    query = data.draw(query_of(operation))
    body = None
    if "requestBody" in operation:
        body = json.dumps(
            data.draw(body_of(operation["requestBody"]["content"]["application/json"]["schema"]))
        ).encode()
    response = manager.call(method.upper(), f"{address}?{urlencode(query)}", body)
    # A name that holds a slash is another address.
    assert response.status_code in operation["responses"] or (response.status_code in (404, 405) and "/" in name)
    if response.status_code >= 400:
        assert set(response.document["error"]) == {"code", "message", "fields"}
