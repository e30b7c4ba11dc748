"""One table of units, for API and imports."""

import pytest

from devices.metrics import METRICS
from devices.services import unit_problem
from devices.units import CONVERSIONS, SPELLINGS, conversion, is_same_unit, plain


@pytest.mark.parametrize(
    ("unit", "spellings"),
    [
        ("°C", ["C", "degC", "deg C", "℃", "ºC", "° C", "Celsius", "oC", "˚C", "°C ", "Deg C"]),
        ("%", ["% RH", "%RH", "percent", "％", "pct"]),
        ("hPa", ["mbar", "mb", "hpa", "HPA", "㍱"]),
        ("mm", ["millimetres", "l/m²"]),
        ("m/s", ["m s-1", "m s⁻¹", "m·s⁻¹", "mps", "M/S"]),
        ("µg/m³", ["μg/m³", "ug/m3", "µg/m^3", "μg/m**3", "ugm-3", "µg m⁻³", "μg·m⁻³"]),
    ],
)
def test_equal_spellings_are_equal(unit, spellings):
    assert [spelling for spelling in [unit, *spellings] if not is_same_unit(spelling, unit)] == []


@pytest.mark.parametrize(
    ("metric", "unit", "how"),
    [
        ("temperature", "°F", "subtract 32, then divide by 1.8"),
        ("temperature", "℉", "subtract 32, then divide by 1.8"),
        ("pressure", "kPa", "multiply by 10"),
        ("pm25", "mg/m³", "multiply by 1000"),
        ("humidity", "g/kg", "convert the value"),
    ],
)
def test_another_unit_is_refused_with_what_to_do(metric, unit, how):
    assert unit_problem(metric, unit) == f"{metric} is stored in {METRICS[metric].unit}, not {unit}: {how}."


def test_the_tables_are_written_as_they_are_compared_and_know_the_metrics_units():
    equal = {unit: spellings.split() for unit, spellings in SPELLINGS.items()}
    others = {unit: " ".join(spellings).split() for unit, spellings in CONVERSIONS.items()}
    for table in (equal, others):
        assert [spelling for spellings in table.values() for spelling in spellings if plain(spelling) != spelling] == []
    assert {metric.unit for metric in METRICS.values()} <= equal.keys()
    assert [unit for unit in others if any(is_same_unit(spelling, unit) for spelling in others[unit])] == []
    assert conversion("°C", "°C") == ""
