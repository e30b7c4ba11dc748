"""What is wrong with a value, as a sentence for the client: pydantic's own name Python's types."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

TIME = "Write the time in ISO 8601 with an offset, such as 2026-03-01T12:00:00Z."
DATE = "Write the date in ISO 8601, such as 2026-03-01."
NUMBER = "Send a finite number."
WHOLE = "Send a whole number."
TEXT = "Send text."
OBJECT = "Send an object: names and values in braces."
CHOICE = "Send true or false."
# By pydantic's type of error (docs.pydantic.dev, "Validation Errors"); in braces what it says of the bound.
SENTENCES = {
    "missing": "This is required: send it.",
    "extra_forbidden": "There is no such field: remove it.",
    "finite_number": NUMBER,
    "float_type": NUMBER,
    "float_parsing": NUMBER,
    "int_type": WHOLE,
    "int_parsing": WHOLE,
    "int_parsing_size": WHOLE,
    "int_from_float": WHOLE,
    "string_type": TEXT,
    "string_too_long": "Send at most {max_length} characters.",
    "string_too_short": "Send {min_length} or more characters.",
    "string_pattern_mismatch": "Send text that fits {pattern}.",
    "greater_than_equal": "Send at least {ge:g}.",
    "less_than_equal": "Send at most {le:g}.",
    "enum": "Choose one of {expected}.",
    "too_long": "Send at most {max_length}.",
    "too_short": "Send at least {min_length}.",
    "bool_type": CHOICE,
    "bool_parsing": CHOICE,
    "list_type": "Send a list.",
    "dict_type": OBJECT,
    "model_type": OBJECT,
    "model_attributes_type": OBJECT,
    "timezone_aware": TIME,
    "datetime_type": TIME,
    "datetime_parsing": TIME,
    "datetime_from_date_parsing": TIME,
    "datetime_object_invalid": TIME,
    "date_type": DATE,
    "date_parsing": DATE,
    "date_from_datetime_parsing": DATE,
    "date_from_datetime_inexact": DATE,
}


@dataclass(frozen=True)
class Unstorable:
    """Stands for a value that no database or clock could take, and says why. No type takes it."""

    sentence: str


def sentence_of(item: Mapping[str, Any]) -> str:
    """Return one of pydantic's errors as a sentence."""
    if isinstance(item.get("input"), Unstorable):  # django-ninja removes it
        return item["input"].sentence
    if item["type"] == "value_error":
        return str(item["ctx"]["error"])
    return SENTENCES.get(item["type"], "{msg}.").format(msg=item["msg"], **item.get("ctx", {}))
