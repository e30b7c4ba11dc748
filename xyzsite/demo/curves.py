"""What the demo's sensors measure: a value for each place, metric and moment, always the same.

Each curve is a day, a season and slow weather, which is noise that depends on the moment alone: so readings that are
added later go on where the earlier ones stopped.
"""

import math
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import cached_property
from random import Random
from zoneinfo import ZoneInfo

from devices.humidity import relative_humidity
from devices.metrics import METRICS
from xyzsite.demo.places import Place

WARMEST_DAY = 200  # of the year, in July
WARMEST_HOUR = 15


@dataclass(frozen=True)
class Moment:
    """A moment at a place."""

    place: Place
    at: datetime

    @cached_property
    def local(self) -> datetime:
        return self.at.astimezone(ZoneInfo(self.place.timezone))

    @cached_property
    def hour(self) -> float:
        return self.local.hour + self.local.minute / 60

    def season(self) -> float:
        """Return -1 in the middle of winter to 1 in the middle of summer."""
        return math.cos(2 * math.pi * (self.local.timetuple().tm_yday - WARMEST_DAY) / 365.25)

    def warmth(self) -> float:
        """Return -1 before dawn to 1 in the afternoon."""
        return math.cos(2 * math.pi * (self.hour - WARMEST_HOUR) / 24)

    def traffic(self) -> float:
        """Return 0 at night to 1 in the rush hours of a working day."""
        share = 1.0 if self.local.weekday() < 5 else 0.4
        return share * max(math.exp(-(((self.hour - rush) / 1.8) ** 2)) for rush in (8, 17.5))

    def noise(self, name: str, hours: float) -> float:
        """Return smooth noise from -1 to 1, which changes over some `hours`."""
        position = self.at.timestamp() / 3600 / hours
        step = math.floor(position)
        way = position - step
        ease = way * way * (3 - 2 * way)
        return self.random(name, step) * (1 - ease) + self.random(name, step + 1) * ease

    def random(self, name: str, step: int) -> float:
        return zlib.crc32(f"{self.place.code} {name} {step}".encode()) / 2**31 - 1

    def jitter(self, name: str) -> float:
        """Return noise from -1 to 1 that differs from one reading to the next."""
        return self.random(f"{name} jitter", int(self.at.timestamp()))


def temperature(moment: Moment) -> float:
    place = moment.place
    weather = 5 * moment.noise("front", 60) + 1.5 * moment.noise("cloud", 5)
    return place.mean + place.season * moment.season() + place.day * moment.warmth() + weather


def humidity(moment: Moment) -> float:
    place = moment.place
    dew_point = place.mean + place.season * moment.season() - place.dryness + 4 * moment.noise("air mass", 40)
    return max(4.0, relative_humidity(temperature(moment), dew_point))


def pressure(moment: Moment) -> float:
    tide = math.cos(4 * math.pi * (moment.hour - 10) / 24)  # the atmosphere's, highest at 10 and 22 o'clock
    return 1015 + 11 * moment.noise("pressure", 72) + 1.1 * tide + 0.1 * moment.jitter("pressure")


def rain(moment: Moment) -> float:
    """Return millimetres an hour."""
    shower = moment.noise("rain", 9) - 0.4 - moment.place.dryness / 70
    return max(0.0, 6 * shower * (1 + 0.5 * moment.jitter("rain")))


def wind_speed(moment: Moment) -> float:
    return max(0.0, 3 + moment.warmth() + 2.5 * moment.noise("wind", 8) + 0.8 * moment.jitter("wind"))


def particles(moment: Moment) -> float:
    stagnation = math.exp(0.8 * moment.noise("stagnation", 30))
    return moment.place.particles * (1 + 0.9 * moment.traffic()) * stagnation * (1 + 0.1 * moment.jitter("pm25"))


def nitrogen_dioxide(moment: Moment) -> float:
    return max(1.0, 12 + 38 * moment.traffic() + 8 * moment.noise("no2", 12) + 2 * moment.jitter("no2"))


def ozone(moment: Moment) -> float:
    sun = max(0.0, moment.warmth()) * (1.4 + moment.season())
    return max(2.0, 38 + 34 * sun - 12 * moment.traffic() + 8 * moment.noise("o3", 20))


CURVES: dict[str, Callable[[Moment], float]] = {
    "temperature": temperature,
    "humidity": humidity,
    "pressure": pressure,
    "rain": rain,
    "wind_speed": wind_speed,
    "pm25": particles,
    "no2": nitrogen_dioxide,
    "o3": ozone,
}


def value_at(metric: str, moment: Moment, since: timedelta = timedelta(hours=1)) -> float:
    """Return what a sensor of a metric measures, rounded as its display is; of an amount, what came `since` the last.

    An amount is rounded up or down by chance, as a gauge's bucket tips or not, so that many small ones sum up right.
    """
    shown, value = METRICS[metric], CURVES[metric](moment)
    if not shown.summed:
        return round(value, shown.decimals)
    chance = Random(f"{moment.place.code} {metric} {moment.at.timestamp()}").random()
    tips = math.floor(value * (since / timedelta(hours=1)) * 10**shown.decimals + chance)
    return tips / 10**shown.decimals
