"""OpenTelemetry spans around look-ups, where opentelemetry-api is installed (opentelemetry.io/docs/specs/otel/trace).

Without the package, or with CACHEOPS_TRACING = False, there is no tracer, and a read costs one look at that.
"""

from collections.abc import Callable, Sequence
from typing import Any

from cacheops.conf import conf
from cacheops.engine import Component, register_component
from cacheops.exceptions import InvalidOption

NAME = "cacheops"
SPAN = "cacheops.look_up"


class Tracing(Component):
    """Makes spans; `tracer` is None where nobody records them, as a span that nobody sees costs time, too."""

    def __init__(self) -> None:
        self.tracer: Any = None
        self._kind: Any = None

    def install(self) -> None:
        """Find out whether spans are recorded. Called when Django is ready and at each flush: an SDK may come later."""
        try:
            from opentelemetry import trace
        except ImportError:
            return
        try:
            wanted = conf.tracing
        except InvalidOption:  # `manage.py check` comes after this, and tells of it
            wanted = False
        if not wanted:
            self.tracer = None
            return
        provider = trace.get_tracer_provider()
        if not isinstance(provider, trace.ProxyTracerProvider):  # which stands for a provider that was not set
            self._kind, self.tracer = trace.SpanKind.CLIENT, provider.get_tracer(NAME)

    settings_changed = install

    def around(self, look_up: Callable[..., Sequence[Any] | None], region: Any, request: Any) -> Any:
        """Return what a look-up returns; its span tells the model, the operation, and whether it was a hit."""
        model, _, operation = request.label.rpartition(":")
        attributes = {"cacheops.region": region.name, "cacheops.model": model, "cacheops.operation": operation}
        with self.tracer.start_as_current_span(SPAN, kind=self._kind, attributes=attributes) as span:
            found = look_up(region, request)
            span.set_attribute("cacheops.hit", found is not None)
            return found


tracing = register_component(Tracing())
