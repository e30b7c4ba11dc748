"""Request bodies whose values are judged one by one, so that one answer names all that is wrong with a body."""

from collections.abc import Mapping
from functools import cache
from typing import Annotated, Any, Generic, TypeVar, get_args

from ninja import Schema
from pydantic import GetCoreSchemaHandler, TypeAdapter, ValidationError, ValidationInfo, ValidatorFunctionWrapHandler
from pydantic_core import CoreSchema, core_schema

from xyzsite.api.errors import ApiError
from xyzsite.api.sentences import Unstorable, sentence_of

Document = TypeVar("Document", bound=Schema)


class Sent(Generic[Document]):
    """A document as it was sent: what is wrong with it, and those of its values that are right by themselves.

    A view notes what its values mean wrongly, then takes the document from `checked`.
    """

    def __init__(self, document: Document | None, right: Mapping[str, Any], faults: dict[str, list[str]]) -> None:
        self.right = right
        self.faults = faults  # by path in the document; that of the whole is ""
        self._document = document

    def note(self, path: str, sentence: str) -> None:
        """Note what is wrong with the value at `path`."""
        self.faults.setdefault(path, []).append(sentence)

    def note_all(self, path: str, part: "Sent[Any]") -> None:
        """Note what is wrong with a part of this document."""
        for name, sentences in part.faults.items():
            self.faults.setdefault(f"{path}.{name}".rstrip("."), []).extend(sentences)

    def checked(self) -> Document:
        """Return the document; raise ApiError with all faults where there are any."""
        if self.faults or self._document is None:
            raise ApiError(422, fields={path or "body": sentences for path, sentences in self.faults.items()})
        return self._document

    @classmethod
    def __get_pydantic_core_schema__(cls, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        (model,) = get_args(source)

        def judge(value: Any, inner: ValidatorFunctionWrapHandler, info: ValidationInfo) -> "Sent[Any]":
            if isinstance(value, Unstorable):
                return cls(None, {}, {"": [value.sentence]})
            try:
                document = inner(value)
            except ValidationError as error:
                faults = faults_of(error)
                return cls(None, right_of(model, value, {path.split(".")[0] for path in faults}), faults)
            return cls(document, {name: getattr(document, name) for name in document.model_fields_set}, {})

        return core_schema.with_info_wrap_validator_function(judge, handler(model))


def faults_of(error: ValidationError) -> dict[str, list[str]]:
    faults: dict[str, list[str]] = {}
    for item in error.errors():
        faults.setdefault(".".join(map(str, item["loc"])), []).append(sentence_of(item))
    return faults


def right_of(model: type[Schema], value: Any, wrong: set[str]) -> dict[str, Any]:
    """Return those values of a document that are right, as its model makes them of what was sent."""
    if not isinstance(value, dict):
        return {}
    adapters = adapters_of(model)
    return {name: adapters[name].validate_python(value[name]) for name in adapters.keys() & value.keys() - wrong}


@cache
def adapters_of(model: type[Schema]) -> dict[str, TypeAdapter[Any]]:
    typed: Any = Annotated
    return {name: TypeAdapter(typed[field.annotation, field]) for name, field in model.model_fields.items()}
