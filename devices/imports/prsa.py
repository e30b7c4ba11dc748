"""The Beijing multi-site air quality data: one CSV file a station, one row an hour (UCI, doi 10.24432/C5RK5G)."""

import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta, timezone

from django.db import transaction
from django.utils.text import slugify

from devices.humidity import relative_humidity
from devices.imports.errors import BadRow
from devices.imports.formats import Format, Row, number
from devices.metrics import METRICS
from devices.models import Device, Kind
from locations.models import Location
from users.models import Region

# The data set gives local time; China has had no daylight saving time since 1991.
BEIJING = timezone(timedelta(hours=8))
MISSING = "NA"
# fmt: off
HEADER = (
    "No", "year", "month", "day", "hour",
    "PM2.5", "PM10", "SO2", "NO2", "CO", "O3", "TEMP", "PRES", "DEWP", "RAIN", "wd", "WSPM", "station",
)
# In this order the known stations go round the regions, four to each.
STATIONS = [
    "Aotizhongxin", "Changping", "Dingling", "Dongsi", "Guanyuan", "Gucheng",
    "Huairou", "Nongzhanguan", "Shunyi", "Tiantan", "Wanliu", "Wanshouxigong",
]
# fmt: on
YEAR, HOUR, STATION = HEADER.index("year"), HEADER.index("hour"), HEADER.index("station")
TEMPERATURE, DEW_POINT = HEADER.index("TEMP"), HEADER.index("DEWP")
# Each numeric column: its metric, and the kind of device that measures it. Their units are those of devices.metrics.
COLUMNS = {
    "PM2.5": ("pm25", Kind.PARTICLE_COUNTER),
    "PM10": ("pm10", Kind.PARTICLE_COUNTER),
    "SO2": ("so2", Kind.GAS_ANALYSER),
    "NO2": ("no2", Kind.GAS_ANALYSER),
    "CO": ("co", Kind.GAS_ANALYSER),
    "O3": ("o3", Kind.GAS_ANALYSER),
    "TEMP": ("temperature", Kind.THERMOMETER),
    "PRES": ("pressure", Kind.BAROMETER),
    "DEWP": ("dew_point", Kind.HYGROMETER),
    "RAIN": ("rain", Kind.RAIN_GAUGE),
    "WSPM": ("wind_speed", Kind.ANEMOMETER),
}
DERIVED = "TEMP, DEWP"  # what the humidity is derived from
REGIONS = list(Region)


@dataclass(frozen=True, slots=True)
class Station:
    """The devices of a station: (column, its name, device id, metric) of each column, and the derived humidity's id."""

    columns: Sequence[tuple[int, str, int, str]]
    humidity: int


class Prsa(Format):
    name = "prsa"
    description = "Beijing air quality: a location a station, a device a column, humidity derived; NA is missing"
    header = HEADER

    def __init__(self, *args: object) -> None:
        super().__init__()
        self.stations: dict[str, Station] = {}

    def readings(self, row: Sequence[str]) -> list[Row]:
        try:
            taken_at = self.check_time(datetime(*map(int, row[YEAR : HOUR + 1]), tzinfo=BEIJING))  # type: ignore[misc, arg-type]
        except ValueError as error:
            raise BadRow(f"year, month, day, hour {' '.join(row[YEAR : HOUR + 1])}: {error}") from error
        station = self.stations.get(row[STATION]) or self.add_station(row[STATION], taken_at.date())
        found = [
            (device, metric, number(row[column], name), taken_at)
            for column, name, device, metric in station.columns
            if row[column] != MISSING
        ]
        if MISSING not in (row[TEMPERATURE], row[DEW_POINT]):
            found.append((station.humidity, "humidity", derived_humidity(row), taken_at))
        return found

    def add_station(self, name: str, installed: date) -> Station:
        """Find or make a station's location and devices; existing ones stay as they are."""
        code = slugify(name)
        if not code:
            raise BadRow(f"station is {name!r}: it must have a name.")
        with transaction.atomic():
            location, _ = Location.objects.get_or_create(
                code=code, defaults={"name": name, "region": region_of(name), "timezone": "Asia/Shanghai"}
            )
            columns = [
                (HEADER.index(column), column, add_device(location, column, metric, kind, installed), metric)
                for column, (metric, kind) in COLUMNS.items()
            ]
            humidity = add_device(location, DERIVED, "humidity", Kind.HYGROMETER, installed)
        self.stations[name] = Station(columns, humidity)
        return self.stations[name]


def derived_humidity(row: Sequence[str]) -> float:
    try:
        return relative_humidity(float(row[TEMPERATURE]), float(row[DEW_POINT]))
    except ArithmeticError as error:  # near -243.04 °C, the formula's pole
        raise BadRow(f"{DERIVED} are {row[TEMPERATURE]}, {row[DEW_POINT]}: no humidity follows from them.") from error


def add_device(location: Location, column: str, metric: str, kind: Kind, installed: date) -> int:
    device, _ = Device.objects.get_or_create(
        serial=f"prsa-{location.code}-{metric}",
        defaults={
            "location": location,
            "name": f"{location.name} {METRICS[metric].label}",
            "kind": kind,
            "metric": metric,
            "installed": installed,
            "metadata": {"source": "doi:10.24432/C5RK5G", "column": column},
        },
    )
    return device.pk


def region_of(station: str) -> Region:
    """Return a station's region: always the same, the twelve known ones spread evenly."""
    turn = STATIONS.index(station) if station in STATIONS else zlib.crc32(station.encode())
    return REGIONS[turn % len(REGIONS)]
