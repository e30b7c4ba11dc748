"""OpenTelemetry spans around look-ups, where opentelemetry-api is installed (opentelemetry.io/docs/specs/otel/trace).

Without the package, or with CACHEOPS_TRACING = False, no span is made, and a read costs one look at that.
"""

from collections.abc import Callable, Sequence
from typing import Any

from django.utils.module_loading import import_string

from cacheops.conf import conf
from cacheops.engine import Component, register_component
from cacheops.exceptions import InvalidOption

NAME = "cacheops"
SPAN = "cacheops.look_up"
STARTER = "cacheops.instrumentation.opentelemetry.span_starter"


class Tracing(Component):
    """Makes spans; `start_span` is None where none are recorded, as an unrecorded span costs time, too."""

    def __init__(self) -> None:
        self.start_span: Any = None

    def install(self) -> None:
        """Find out whether spans are recorded. Called when Django is ready and at each flush: an SDK may come later."""
        try:
            wanted = conf.tracing
        except InvalidOption:  # `manage.py check` comes after this, and reports it
            wanted = False
        try:
            self.start_span = import_string(STARTER)(NAME, SPAN) if wanted else None
        except ImportError:
            self.start_span = None

    settings_changed = install

    def around(self, look_up: Callable[..., Sequence[Any] | None], region: Any, request: Any) -> Any:
        """Return what a look-up returns; its span has the model, the operation, and whether it was a hit."""
        model, _, operation = request.label.rpartition(":")
        attributes = {"cacheops.region": region.name, "cacheops.model": model, "cacheops.operation": operation}
        with self.start_span(attributes=attributes) as span:
            found = look_up(region, request)
            span.set_attribute("cacheops.hit", found is not None)
            return found


tracing = register_component(Tracing())
