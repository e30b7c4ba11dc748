"""Units: which spellings mean the same, and how to convert from others. One table, for API and imports."""

import unicodedata
from functools import lru_cache

# Signs that keyboards and programs write for the degree sign, and that Unicode does not count as its equals.
DEGREE_SIGNS = str.maketrans({"º": "°", "˚": "°", "∘": "°", "ᵒ": "°"})
# What is left of powers and products: m^3, m**3, m⁻³, g·m.
POWERS = str.maketrans({"^": None, "*": None, "·": None, "⋅": None, "\N{MINUS SIGN}": "-"})

# Each unit's other spellings, in the form that `plain` gives.
SPELLINGS = {
    "°C": "c degc deg.c oc celsius degcelsius degreec degreesc degreecelsius degreescelsius cel gradc",
    "%": "%rh %r.h. %r.h rh% percent pct percentrh pctrh",
    "hPa": "mbar mb millibar millibars hectopascal hectopascals",
    "mm": "millimeter millimeters millimetre millimetres l/m2 lm-2 kg/m2 kgm-2",
    "m/s": "ms-1 m.s-1 mps m/sec meters/second metres/second meterspersecond metrespersecond",
    "µg/m³": "ug/m3 μgm-3 ugm-3 μg.m-3 ug.m-3 mcg/m3 microgram/m3 micrograms/m3 μg/cbm ug/cbm",
    "°": "deg degree degrees",
}
# What to do with a value in another unit, by the unit it is wanted in and the one it is in.
CONVERSIONS = {
    "°C": {
        "°f f degf deg.f fahrenheit degreesfahrenheit degreef": "subtract 32, then divide by 1.8",
        "k kelvin °k degk": "subtract 273.15",
    },
    "hPa": {
        "pa pascal pascals": "divide by 100",
        "kpa": "multiply by 10",
        "bar": "multiply by 1000",
        "inhg": "multiply by 33.8639",
        "mmhg torr": "multiply by 1.33322",
        "psi": "multiply by 68.9476",
        "atm": "multiply by 1013.25",
    },
    "mm": {"in inch inches": "multiply by 25.4", "cm": "multiply by 10"},
    "m/s": {
        "km/h kmh kph kmh-1": "divide by 3.6",
        "mph mi/h": "multiply by 0.44704",
        "kn kt kts knot knots": "multiply by 0.514444",
    },
    "µg/m³": {"mg/m3 mgm-3": "multiply by 1000", "ng/m3 ngm-3": "divide by 1000"},
}


@lru_cache(maxsize=1024)
def plain(unit: str) -> str:
    """Return a unit without what spellings differ in: capitals, blanks, forms of characters (NFKC), powers."""
    text = unicodedata.normalize("NFKC", unit.translate(DEGREE_SIGNS))
    return "".join(text.split()).translate(POWERS).casefold()


_EQUAL = {unit: {plain(unit), *spellings.split()} for unit, spellings in SPELLINGS.items()}
_FACTORS = {
    unit: {spelling: how for spellings, how in others.items() for spelling in spellings.split()}
    for unit, others in CONVERSIONS.items()
}


def is_same_unit(unit: str, stored: str) -> bool:
    """Return whether `unit` is a spelling of `stored`."""
    return unit == stored or plain(unit) in _EQUAL.get(stored, {plain(stored)})


def conversion(unit: str, stored: str) -> str:
    """Return how a value in `unit` becomes one in `stored`, "" where that is not known."""
    return _FACTORS.get(stored, {}).get(plain(unit), "")
