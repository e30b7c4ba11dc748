"""Count the reads that go past the cache though no setting asks for it: which, why, and from which function."""

from cacheops.engine import Component, register_component
from cacheops.instrumentation.callers import innermost_frame
from cacheops.instrumentation.counters import counters
from cacheops.reading.policy import Bypass
from cacheops.reading.reader import current_reader

# As the settings, a query or a block of code ask: there is nothing to be found out.
AS_ASKED = frozenset(
    {Bypass.DISABLED, Bypass.BLOCK, Bypass.NO_PROFILE, Bypass.LEVEL, Bypass.NO_TIMEOUT, Bypass.REFUSED}
)
MAX_PLACES = 200  # of a process; reads of further functions are counted without a name
LIBRARIES = frozenset({"asgiref", "cacheops", "concurrent", "django", "jinja2", "threading"})
OWN = "cacheops."  # the engine's own tables
ONCE = {"reads": 1}


class Places(Component):
    """The functions that this process has named so far."""

    def __init__(self) -> None:
        self.known: set[str] = set()


places = register_component(Places())


def note_bypass(label: str, bypass: Bypass) -> None:
    """Count a read that went past the cache, by its label, the reason and the function that read.

    The function is not looked for where the profile leaves the operation out. Tell the reader in the
    region's place, if there is one.
    """
    reader = current_reader()
    if reader is not None:
        reader.passed(label, bypass)
    if bypass in AS_ASKED or label.startswith(OWN):
        return
    place = "" if bypass is Bypass.OPERATION else _place()  # that costs 15 us, and each such read is expected
    if place not in places.known:
        if len(places.known) >= MAX_PLACES:
            place = ""
        places.known.add(place)
    counters.add(f"b|{label}|{bypass.name}|{place}", ONCE)


def _place() -> str:
    """Return the function that reads: its name, as a line's number is another in each release."""
    frame = innermost_frame(LIBRARIES)
    return "" if frame is None else f"{frame.f_globals.get('__name__') or ''}.{frame.f_code.co_qualname}"
