"""Where the demo's sensors stand, and which sensors there are."""

from dataclasses import dataclass

from devices.models import Kind, Status
from users.models import Region


@dataclass(frozen=True)
class Place:
    """A location with its climate: temperatures in °C, fine particles in µg/m³."""

    code: str
    name: str
    region: Region
    timezone: str
    latitude: float
    longitude: float
    mean: float  # of the year
    season: float  # half the way from the coldest to the warmest month
    day: float  # half the way from the coldest to the warmest hour
    dryness: float  # mean temperature less mean dew point
    particles: float  # PM2.5 on a calm night
    gases: bool = True  # whether it has a gas analyser for ozone besides the one for nitrogen dioxide


EAST, WEST, OHIO = Region.US_EAST_1, Region.US_WEST_2, Region.US_EAST_2
PLACES = (
    Place(
        "new-york-battery-park", "New York, Battery Park", EAST, "America/New_York", 40.703, -74.017, 13, 12, 4, 6, 8
    ),
    Place("boston-seaport", "Boston, Seaport", EAST, "America/New_York", 42.352, -71.045, 11, 12, 4, 5, 7),
    Place("washington-navy-yard", "Washington, Navy Yard", EAST, "America/New_York", 38.875, -77.001, 15, 12, 5, 6, 9),
    Place("miami-brickell", "Miami, Brickell", EAST, "America/New_York", 25.762, -80.192, 25, 4, 4, 5, 7, gases=False),
    Place("seattle-ballard", "Seattle, Ballard", WEST, "America/Los_Angeles", 47.668, -122.384, 11, 7, 4, 4, 6),
    Place("denver-rino", "Denver, RiNo", WEST, "America/Denver", 39.769, -104.979, 10, 13, 8, 11, 8),
    Place(
        "phoenix-roosevelt-row", "Phoenix, Roosevelt Row", WEST, "America/Phoenix", 33.458, -112.069, 24, 11, 8, 20, 10
    ),
    Place("columbus-franklinton", "Columbus, Franklinton", OHIO, "America/New_York", 39.956, -83.013, 12, 13, 6, 5, 10),
    Place("chicago-pilsen", "Chicago, Pilsen", OHIO, "America/Chicago", 41.856, -87.656, 10, 14, 5, 5, 11),
    Place(
        "detroit-corktown", "Detroit, Corktown", OHIO, "America/Detroit", 42.331, -83.064, 10, 13, 5, 5, 10, gases=False
    ),
)


@dataclass(frozen=True)
class Sensor:
    """One of the devices that every place has, or most of them."""

    metric: str
    kind: Kind
    name: str
    model: str
    mount: str


SENSORS = (
    Sensor("temperature", Kind.THERMOMETER, "Roof thermometer", "TX-200", "roof"),
    Sensor("humidity", Kind.HYGROMETER, "Roof hygrometer", "HX-200", "roof"),
    Sensor("pressure", Kind.BAROMETER, "Barometer", "BX-10", "cabinet"),
    Sensor("rain", Kind.RAIN_GAUGE, "Rain gauge", "RG-4", "roof"),
    Sensor("wind_speed", Kind.ANEMOMETER, "Mast anemometer", "WM-31", "mast"),
    Sensor("pm25", Kind.PARTICLE_COUNTER, "Street particle counter", "PC-500", "street"),
    Sensor("no2", Kind.GAS_ANALYSER, "Street NO2 analyser", "GA-7", "street"),
    Sensor("o3", Kind.GAS_ANALYSER, "Roof ozone analyser", "GA-8", "roof"),
)

# Not all is well: (place, metric) -> the device's state, and for how many hours it has sent nothing.
TROUBLES = {
    ("boston-seaport", "rain"): (Status.MAINTENANCE, 7),
    ("denver-rino", "wind_speed"): (Status.OFFLINE, 75),
    ("phoenix-roosevelt-row", "no2"): (Status.MAINTENANCE, 20),
    ("chicago-pilsen", "pm25"): (Status.OFFLINE, 31),
    ("detroit-corktown", "pressure"): (Status.RETIRED, 400),
}


def serial_of(place: Place, sensor: Sensor) -> str:
    return f"demo-{place.code}-{sensor.metric}"


def sensors_of(place: Place) -> list[Sensor]:
    return [sensor for sensor in SENSORS if place.gases or sensor.metric != "o3"]
