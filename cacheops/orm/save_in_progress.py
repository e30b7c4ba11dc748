"""The save() of a connection that is under way."""

import weakref
from typing import Any


class SaveInProgress:
    """The instance whose save() is under way, held weakly, and whether its fields were named (`update_fields`)."""

    def __init__(self) -> None:
        self._reference: weakref.ref[Any] | None = None
        self.names_fields = False

    def begin(self, instance: Any, *, names_fields: bool) -> None:
        self._reference, self.names_fields = weakref.ref(instance), names_fields

    def end(self) -> None:
        self._reference, self.names_fields = None, False

    @property
    def instance(self) -> Any:
        """The instance; None where no save() is under way."""
        return self._reference() if self._reference else None
