"""The Beijing multi-site air quality data: one CSV file a station, one row an hour (UCI, doi 10.24432/C5RK5G)."""

import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta, timezone

from django.db import transaction
from django.utils.text import slugify

from devices.humidity import relative_humidity
from devices.imports.errors import BadRow
from devices.imports.formats import Format, Understood
from devices.imports.options import DEFAULTS, Options
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
MAX_CODE = 32  # characters of a location's code, and of names
MAX_NAME = 120


@dataclass(frozen=True, slots=True)
class Station:
    """The devices of a station: (column, its name, device id, metric) of each column, and the derived humidity's id."""

    columns: Sequence[tuple[int, str, int, str]]
    humidity: int


class Prsa(Format):
    name = "prsa"
    description = "Beijing air quality: a location a station, a device a column, humidity derived; NA is missing"
    header = HEADER

    def __init__(self, options: Options = DEFAULTS) -> None:
        super().__init__(options)
        self.stations: dict[str, Station] = {}

    def understand(self, cells: Sequence[str]) -> Understood:
        try:
            taken_at = self.check_time(datetime(*map(int, cells[YEAR : HOUR + 1]), tzinfo=BEIJING))  # type: ignore[misc, arg-type]
        except ValueError as error:
            raise BadRow(f"year, month, day, hour {' '.join(cells[YEAR : HOUR + 1])}: {error}") from error
        station = self.stations.get(cells[STATION]) or self.add_station(cells[STATION], taken_at.date())
        found = self.measured(
            ((device, metric, name, cells[column]) for column, name, device, metric in station.columns), taken_at
        )
        values = {metric: value for _, metric, value, _ in found.readings}
        if {"temperature", "dew_point"} <= values.keys():
            humidity = relative_humidity(values["temperature"], values["dew_point"])
            found.readings.append((station.humidity, "humidity", humidity, taken_at))
        return found

    def add_station(self, name: str, installed: date) -> Station:
        """Find or make a station's location and devices; existing ones stay as they are."""
        code = code_of(name)
        if not name:
            raise BadRow(f"station is {name!r}: it must have a name.")
        with transaction.atomic():
            location, _ = Location.objects.get_or_create(
                code=code, defaults={"name": name[:MAX_NAME], "region": region_of(name), "timezone": "Asia/Shanghai"}
            )
            columns = [
                (HEADER.index(column), column, add_device(location, column, metric, kind, installed), metric)
                for column, (metric, kind) in COLUMNS.items()
            ]
            humidity = add_device(location, DERIVED, "humidity", Kind.HYGROMETER, installed)
        self.stations[name] = Station(columns, humidity)
        return self.stations[name]


def code_of(station: str) -> str:
    """Return the code of a station's location: its name in ASCII, with a checksum where that loses letters."""
    code = slugify(station)
    letters, held = (sum(map(str.isalnum, text)) for text in (station, code))
    if held == letters and len(code) <= MAX_CODE:
        return code
    return f"{code[: MAX_CODE - 9]}-{zlib.crc32(station.encode()):08x}".lstrip("-")


def add_device(location: Location, column: str, metric: str, kind: Kind, installed: date) -> int:
    device, _ = Device.objects.get_or_create(
        serial=f"prsa-{location.code}-{metric}",
        defaults={
            "location": location,
            "name": f"{location.name[: MAX_NAME - 20]} {METRICS[metric].label}",
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
