"""Relative humidity from temperature and dew point."""

import math


def relative_humidity(temperature: float, dew_point: float) -> float:
    """Return the relative humidity, % with one decimal, from temperature and dew point, both in °C.

    Magnus formula: the ratio of the vapour pressures at the dew point and at the temperature, where the one at t is
    proportional to exp(17.625 t / (243.04 + t)).
    The constants are those of O. A. Alduchov and R. E. Eskridge, "Improved Magnus Form Approximation of Saturation
    Vapor Pressure", J. Appl. Meteor. 35 (1996) 601-609, equation 21: error below 0.4 % from -40 to 50 °C.
    A dew point above the temperature, which rounding brings about in fog, is 100 %.
    """
    exponent = 17.625 * dew_point / (243.04 + dew_point) - 17.625 * temperature / (243.04 + temperature)
    return min(100.0, round(100 * math.exp(exponent), 1))
