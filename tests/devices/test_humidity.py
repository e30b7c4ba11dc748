"""Relative humidity, against another formula for the vapour pressure."""

import math

import pytest

from devices.humidity import relative_humidity


def buck(t: float) -> float:
    """Return the saturation vapour pressure over water, hPa (A. L. Buck, 1981, as revised in 1996)."""
    return 6.1121 * math.exp((18.678 - t / 234.5) * t / (257.14 + t))


@pytest.mark.parametrize("temperature", [-20, -5, 0, 12.5, 25, 40])
@pytest.mark.parametrize("spread", [0.5, 3, 11, 24])
def test_humidity_agrees_with_bucks_formula_to_half_a_percent(temperature, spread):
    dew_point = temperature - spread
    expected = 100 * buck(dew_point) / buck(temperature)
    assert relative_humidity(temperature, dew_point) == pytest.approx(expected, abs=0.5)


def test_air_at_its_dew_point_is_saturated_and_never_more_than_that():
    assert relative_humidity(10, 10) == 100
    assert relative_humidity(10, 10.2) == 100


def test_it_has_one_decimal():
    value = relative_humidity(21.3, 4.7)
    assert value == round(value, 1)
