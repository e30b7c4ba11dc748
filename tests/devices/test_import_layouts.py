"""Files as loggers and public archives write them, made here in their layouts, and read by options alone."""

import io
import re
import shlex
from pathlib import Path

import pytest
from django.conf import settings
from django.core.management import call_command

from devices.metrics import METRICS
from devices.models import Device, Kind, Reading
from locations.models import Location
from tests.documents.texts import ROOT

pytestmark = pytest.mark.django_db

DATA = Path(__file__).parents[1] / "data" / "imports"
SHARED = settings.BASE_DIR.parent / "shared" / "data" / "imports"
BERLIN = ("--timezone", "Europe/Berlin")


def add_devices(**kinds: str) -> None:
    yard = Location.objects.create(code="yard", name="Yard")
    for serial, metric in kinds.items():
        kind = next(kind for kind in Kind if metric in kind.metrics)
        Device.objects.create(location=yard, serial=serial, name=serial, kind=kind, metric=metric)


def run(file: Path, *options: str) -> list[str]:
    said = io.StringIO()
    call_command("import_readings", "long", str(file), *options, stdout=said)
    return said.getvalue().splitlines()[:-1]


def stored() -> list[tuple[str, str, str, float]]:
    rows = Reading.objects.order_by("taken_at", "metric").values_list("taken_at", "device__serial", "metric", "value")
    return [(f"{taken_at:%m-%d %H:%M}", serial, metric, value) for taken_at, serial, metric, value in rows]


# file -> the serial of its devices, the options that read it, its readings, what is said of it
LAYOUTS = {
    "hobo.csv": (
        "10342987",
        [
            *("--columns", '"time=Date Time, GMT+02:00",temperature=#3,humidity=#4', "--set", "serial=10342987"),
            *("--time-format", "%m/%d/%y %I:%M:%S %p", "--timezone", "+02:00"),
        ],
        [
            ("05-04 10:00", "humidity", 45.238),
            ("05-04 10:00", "temperature", 21.521),
            ("05-04 10:15", "temperature", 21.497),
            ("05-04 10:30", "humidity", 45.31),
        ],
        "3 rows, 4 readings (0 known), 1 bad row, 1 missing",
    ),
    "dwd.txt": (
        "3987",
        [
            *("--columns", "serial=STATIONS_ID,time=MESS_DATUM,temperature=TT_TU,humidity=RF_TU"),
            *("--time-format", "%Y%m%d%H", "--timezone", "UTC"),
        ],
        [
            ("03-01 00:00", "humidity", 81),
            ("03-01 00:00", "temperature", 5.2),
            ("03-01 01:00", "temperature", 4.9),
            ("03-01 02:00", "humidity", 84),
            ("03-01 02:00", "temperature", 4.7),
        ],
        "3 rows, 5 readings (0 known), 1 bad row",
    ),
    "sensor_community.csv": (
        "92130",
        ["--columns", "serial=sensor_id,time=timestamp,pm10=P1,pm25=P2", "--timezone", "UTC"],
        [
            ("03-01 00:02", "pm10", 5.2),
            ("03-01 00:02", "pm25", 2.93),
            ("03-01 00:04", "pm10", 1999.9),
            ("03-01 00:04", "pm25", 999.9),
            ("03-01 00:07", "pm10", 5.45),
        ],
        "3 rows, 5 readings (0 known), 0 bad rows, 1 missing",
    ),
    "german_excel.csv": (
        "testo-humidity testo-temperature",
        [
            *("--encoding", "cp1252", "--decimal", "comma", "--set", "serial=testo-{metric}", *BERLIN),
            *("--columns", "date=Datum,time=Uhrzeit,temperature=Temperatur [°C],humidity=Feuchte [%rF]"),
            *("--time-format", "%d.%m.%Y %H:%M:%S"),
        ],
        [
            ("05-04 10:00", "humidity", 45.2),
            ("05-04 10:00", "temperature", 21.5),
            ("05-04 10:10", "humidity", 45.125),
            ("05-04 10:10", "temperature", 21.62),
            ("05-04 10:20", "humidity", 45),
        ],
        "3 rows, 5 readings (0 known), 0 bad rows, 1 missing",
    ),
    "home_assistant.csv": (
        "sensor.roof_temperature",
        ["--columns", "serial=entity_id,value=state,time=last_changed", "--set", "metric=temperature,unit=°C"],
        [("03-01 00:03", "temperature", 21.5), ("03-01 00:13", "temperature", 21.7)],
        "3 rows, 2 readings (0 known), 0 bad rows, 1 missing",
    ),
    "meteostat.csv": (
        "10384",
        [
            *("--columns", "date=#1,time=#2,temperature=#3,dew_point=#4,humidity=#5,pressure=#11"),
            *("--set", "serial=10384", "--time-format", "%Y-%m-%d %H", "--timezone", "UTC"),
        ],
        [
            ("03-01 00:00", "dew_point", 1.1),
            ("03-01 00:00", "humidity", 75),
            ("03-01 00:00", "pressure", 1013.2),
            ("03-01 00:00", "temperature", 5.2),
            ("03-01 01:00", "dew_point", 1),
            ("03-01 01:00", "humidity", 76),
            ("03-01 01:00", "pressure", 1013),
            ("03-01 01:00", "temperature", 4.9),
        ],
        "3 rows, 8 readings (0 known), 0 bad rows, 4 missing",
    ),
    "campbell.dat": (
        "mast",
        [
            *("--columns", "time=TIMESTAMP,temperature=AirTC_Avg,humidity=RH,pressure=BP_mbar_Avg", "--skip", "2"),
            *("--set", "serial=mast", "--timezone", "Etc/GMT-1"),
        ],
        [
            ("02-28 23:10", "humidity", 81.3),
            ("02-28 23:10", "pressure", 1013.2),
            ("02-28 23:10", "temperature", 5.21),
            ("02-28 23:20", "humidity", 81.1),
            ("02-28 23:20", "pressure", 1013.1),
            ("02-28 23:30", "pressure", 1013.1),
            ("02-28 23:30", "temperature", 5.04),
        ],
        "3 rows, 7 readings (0 known), 1 bad row, 1 missing",
    ),
    "influxdb.csv": (
        "SHT-7",
        ["--columns", "serial=sensor,metric=_field,time=_time,value=_value"],
        [
            ("03-01 00:05", "humidity", 45.5),
            ("03-01 00:05", "temperature", 21.5),
            ("03-01 00:10", "temperature", 21.75),
        ],
        "3 rows, 3 readings (0 known), 0 bad rows",
    ),
    "openaq.csv": (
        "3917",
        ["--columns", "serial=sensors_id,metric=parameter,time=datetime,unit=units"],
        [("03-01 08:00", "pm25", 8)],
        "3 rows, 1 reading (0 known), 2 bad rows",
    ),
    "defra_aurn.csv": (
        "aurn-o3 aurn-no2",
        [
            *("--columns", "date=Date,time=time,o3=Ozone,no2=Nitrogen dioxide", "--set", "serial=aurn-{metric}"),
            *("--time-format", "%d-%m-%Y %H:%M", "--timezone", "UTC"),
        ],
        [("03-01 23:00", "no2", 12.4), ("03-01 23:00", "o3", 51.2), ("03-02 00:00", "o3", 48.9)],
        "2 rows, 3 readings (0 known), 0 bad rows, 1 missing",
    ),
    "davis.txt": (
        "vantage",
        [
            *("--columns", "date=#1,time=#2,temperature=#3,humidity=#6", "--skip", "2", "--set", "serial=vantage"),
            *("--time-format", "%d/%m/%y %I:%M%p", "--timezone", "UTC"),
        ],
        [
            ("03-01 00:00", "humidity", 81),
            ("03-01 00:00", "temperature", 5.2),
            ("03-01 13:00", "humidity", 76),
            ("03-01 23:59", "temperature", 4.9),
        ],
        "3 rows, 4 readings (0 known), 1 bad row, 1 missing",
    ),
}


def test_the_page_shows_the_options_that_are_tried_here() -> None:
    shown = re.findall(
        r"^\| [^|]+ \| `(--.+)` \|$", (ROOT / "docs/how-to/import-readings.md").read_text(), re.MULTILINE
    )
    tried = [options for _, options, _, _ in LAYOUTS.values()]
    assert sorted(sorted(shlex.split(each)) for each in shown) == sorted(sorted(options) for options in tried)


@pytest.mark.parametrize("name", LAYOUTS)
def test_a_layout_is_read_by_options_alone(name):
    serials, options, readings, summary = LAYOUTS[name]
    add_devices(**dict.fromkeys(serials.split(), readings[0][1]))
    said = run(DATA / name, *options)
    assert f"{name}: {summary}, " in "\n".join(said)
    assert [(moment, metric, value) for moment, _, metric, value in stored()] == readings


# file -> readings, rows that are bad, and options
OUTCOMES = {
    "a03_semicolon_comma.csv": (1, 0, []),
    "a04_decimal_comma_quoted.csv": (1, 0, []),
    "a10_quoted_newline.csv": (2, 0, []),
    "a11_cp1252.csv": (1, 0, ["--encoding", "cp1252"]),
    "a12_blank_lines.csv": (2, 0, []),
    "a13_trailing_comma_rows.csv": (1, 0, []),
    "a14_trailing_comma_all.csv": (1, 0, []),
    "a17_spaces_after_comma.csv": (1, 0, []),
    "a18_header_case.csv": (1, 0, []),
    "a20_sep_line.csv": (1, 0, []),
    "a21_comment.csv": (1, 0, []),
    "a23_tab.csv": (1, 0, []),
    "a27_nul_block.csv": (2, 1, []),
    "a35_UPPER.CSV": (1, 0, []),
    "a40_unbalanced_quote.csv": (11, 1, []),
    "a41_quote_in_middle.csv": (2, 1, []),
    "a42_quote_garbage.csv": (2, 1, []),
    "a43_sentinels.csv": (6, 19, []),
    "a44_units.csv": (40, 9, []),
    "a45_times.csv": (1, 43, ["--time-format", "%d.%m.%Y %H:%M", *BERLIN]),
    "b01_dst_autumn.csv": (8, 0, BERLIN),
    "b03_dst_two_devices.csv": (16, 0, BERLIN),
}


@pytest.mark.skipif(not SHARED.is_dir(), reason="there is no ../shared/data/imports beside the project")
@pytest.mark.parametrize("name", OUTCOMES)
def test_the_small_files_come_out_right(name):
    readings, bad, options = OUTCOMES[name]
    kinds = {
        "THERM-1": "temperature",
        "HYGRO-1": "humidity",
        "BARO-1": "pressure",
        "PM-1": "pm25",
        "WIND-1": "wind_speed",
    }
    add_devices(**kinds)
    said = run(SHARED / name, *options)
    assert f" {readings} reading{'s' * (readings != 1)} (0 known), {bad} bad row{'s' * (bad != 1)}" in "\n".join(said)
    assert all(
        METRICS[reading.metric].low <= reading.value <= METRICS[reading.metric].high
        for reading in Reading.objects.all()
    )
