"""The formats, by the name that the command takes."""

from devices.imports.formats import Format
from devices.imports.long import Long
from devices.imports.prsa import Prsa

FORMATS: dict[str, type[Format]] = {kind.name: kind for kind in (Long, Prsa)}
