"""Examples in the OpenAPI document: each value that a client sends or gets has one, so that whole documents do."""

from typing import Any

NOON, LATER = "2026-03-01T12:00:00Z", "2026-03-01T13:00:00Z"
READING_ID = "8f6d1d8e-3a63-5a5f-9d0c-0d8f3f1f5a52"
# By the name of a value, where its field gives none, nor a list to choose from.
EXAMPLES: dict[str, Any] = {
    **dict.fromkeys(("taken_at", "last_seen", "began_at", "start", "from", "next"), NOON),
    **dict.fromkeys(("end", "ended_at", "to", "until"), LATER),
    **dict.fromkeys(("is_staff",), False),
    **dict.fromkeys(("accepted", "known", "devices", "total", "offline", "retired", "maintenance"), 2),
    "active": 12,
    "average": 21.4,
    "code": "aotizhongxin",
    "count": 60,
    "email": "ada@example.org",
    "id": READING_ID,
    "ids": [READING_ID],
    "installed": "2025-06-01",
    "location": "aotizhongxin",
    "maximum": 24.1,
    "metric": "temperature",
    "minimum": 18.3,
    "name": "Roof thermometer",
    "window": "24h",
}


def add_examples(schema: dict[str, Any]) -> None:
    """Give an OpenAPI document's properties and parameters their examples."""
    for component in schema["components"]["schemas"].values():
        for name, value in component.get("properties", {}).items():
            add_example(name, value)
    for operations in schema["paths"].values():
        for operation in operations.values():
            for parameter in operation.get("parameters", []):
                if "$ref" not in parameter:
                    add_example(parameter["name"], parameter["schema"])


def add_example(name: str, value: dict[str, Any]) -> None:
    speaks = {"examples", "example", "enum", "const", "default", "$ref"} & value.keys()
    if speaks or name not in EXAMPLES:
        return
    example = True if value.get("type") == "boolean" and name == "active" else EXAMPLES[name]
    value["examples"] = [example]
