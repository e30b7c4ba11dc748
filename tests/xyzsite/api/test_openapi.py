"""The API's description of itself: complete, true, public, and without help from other hosts."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from django.contrib.staticfiles import finders
from django.test import Client

from xyzsite.api.application import api
from xyzsite.api.errors import KINDS

REFERENCE = Path(__file__).resolve().parents[3] / "docs" / "reference" / "api.md"
DOCUMENT = Path(__file__).with_name("openapi.json")  # as the last release gave it to clients
BODY_ERRORS = {400, 401, 403, 413, 415, 422}


@pytest.fixture(scope="module")
def schema() -> Any:
    return api.get_openapi_schema(path_prefix="/api/")


def operations(schema: Any) -> Iterator[tuple[str, str, Any]]:
    for path, methods in schema["paths"].items():
        for method, operation in methods.items():
            yield method, path, operation


def test_the_addresses_are_these(schema: Any) -> None:
    assert sorted(f"{method.upper()} {path}" for method, path, _ in operations(schema)) == [
        "DELETE /api/thresholds/{id}",
        "GET /api/analytics",
        "GET /api/devices",
        "GET /api/devices/{serial}",
        "GET /api/devices/{serial}/readings",
        "GET /api/excursions",
        "GET /api/locations",
        "GET /api/locations/{code}",
        "GET /api/me",
        "GET /api/thresholds",
        "GET /api/thresholds/{id}",
        "PATCH /api/devices/{serial}",
        "PATCH /api/thresholds/{id}",
        "POST /api/devices",
        "POST /api/devices/{serial}/readings",
        "POST /api/readings",
        "POST /api/thresholds",
    ]


def test_each_operation_documents_its_errors(schema: Any) -> None:
    for method, path, operation in operations(schema):
        expected = {401}
        if "{" in path:
            expected |= {404}
        if operation["parameters"] and any(item.get("in") == "query" for item in operation["parameters"]):
            expected |= {422}
        if "requestBody" in operation:
            expected |= BODY_ERRORS
        documented = {status for status in operation["responses"] if status >= 400}
        assert expected <= documented, f"{method} {path}"
        for status in documented:
            response = operation["responses"][status]
            content = response["content"]["application/json"]
            assert content["schema"]["$ref"] == "#/components/schemas/ErrorOut"
            assert content["example"]["error"]["message"] == response["description"]


def test_everything_is_described(schema: Any) -> None:
    for method, path, operation in operations(schema):
        assert operation["summary"], f"{method} {path}"
        assert operation["description"], f"{method} {path}"
        assert operation["security"] == [{"BearerToken": []}, {"Session": []}]
    for name, component in schema["components"]["schemas"].items():
        if "enum" in component or name == "JsonValue":
            continue  # the values say it; anything at all
        assert component.get("description"), name
        assert "django" not in component["description"].lower(), name


def test_every_value_has_an_example_or_a_choice(schema: Any) -> None:
    speaking = {"examples", "example", "enum", "const", "default", "$ref", "anyOf", "allOf"}
    for name, component in schema["components"]["schemas"].items():
        for field, value in component.get("properties", {}).items():
            is_composed = "$ref" in str(value) or "additionalProperties" in str(value)
            assert is_composed or speaking & value.keys() - {"anyOf"}, f"{name}.{field}"
    for method, path, operation in operations(schema):
        for parameter in operation["parameters"]:
            value = parameter.get("schema", {})
            assert "$ref" in str(parameter) or (speaking - {"anyOf"}) & (value.keys() | parameter.keys()), (
                f"{method} {path} {parameter['name']}"
            )


def test_every_reference_leads_somewhere(schema: Any) -> None:
    for name in set(re.findall(r"#/components/schemas/(\w+)", str(schema))):
        assert name in schema["components"]["schemas"], name


def test_the_reference_lists_every_address(schema: Any) -> None:
    listed = re.findall(r"^\| `([A-Z]+ /api/\S+)` \|", REFERENCE.read_text(), re.MULTILINE)
    assert sorted(listed) == sorted(f"{method.upper()} {path}" for method, path, _ in operations(schema))


def test_the_reference_lists_every_error() -> None:
    listed = re.findall(r"^\| ([45]\d\d) \| `(\w+)` \|", REFERENCE.read_text(), re.MULTILINE)
    assert listed == [(str(status), kind.code) for status, kind in KINDS.items()]


def test_names_of_operations_are_fit_for_clients(schema: Any) -> None:
    names = [operation["operationId"] for _, _, operation in operations(schema)]
    assert len(set(names)) == len(names)
    assert all(re.fullmatch("[a-z]+(_[a-z]+)*", name) for name in names), names


@pytest.mark.django_db
def test_the_document_is_the_one_that_clients_were_made_from() -> None:
    """A change that is meant: put the new document into openapi.json, and look at what differs."""
    document = Client().get("/api/openapi.json").json()
    assert document == json.loads(DOCUMENT.read_text())


@pytest.mark.django_db
def test_the_description_is_public() -> None:
    response = Client().get("/api/openapi.json")
    assert response.status_code == 200
    assert response.json()["openapi"].startswith("3.")


@pytest.mark.django_db
def test_the_documentation_loads_nothing_from_other_hosts() -> None:
    page = Client().get("/api/docs").content.decode()
    assert "http://" not in page
    assert "https://" not in page
    assert '"validatorUrl": null' in page
    files = re.findall(r'(?:src|href)="/static/([^"]+)"', page)
    assert "ninja/swagger-ui-bundle.js" in files
    assert all(finders.find(name) for name in files)
