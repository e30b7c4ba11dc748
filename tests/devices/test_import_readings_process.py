"""manage.py import_readings as people run it: in a process that can be killed, on PostgreSQL and on SQLite."""

import re
import signal
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

HOURS = 4_000
pytestmark = pytest.mark.django_db(transaction=True)

START = datetime(2020, 1, 1, tzinfo=UTC)
LAST = str(START + timedelta(hours=HOURS - 1 - 8))[:19]  # in UTC; the file has Beijing's time
HEADER = "No,year,month,day,hour,PM2.5,PM10,SO2,NO2,CO,O3,TEMP,PRES,DEWP,RAIN,wd,WSPM,station\n"


@pytest.fixture
def station(tmp_path: Path) -> Path:
    """A station's file, in which the wind is calm and two readings are missing in each row."""
    moments = (START + timedelta(hours=hour) for hour in range(HOURS))
    lines = (
        f"{number},{at.year},{at.month},{at.day},{at.hour},4,5,NA,7,300,77,{number % 30},1023,-2,NA,N,0,Testing\n"
        for number, at in enumerate(moments, 1)
    )
    file = tmp_path / "Testing.csv"
    file.write_text(HEADER + "".join(lines))
    return file


def reached(database) -> int:
    return (database.rows("SELECT coalesce(max(line), 0) FROM devices_importedfile") or [(0,)])[0][0]


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGINT])
def test_a_killed_import_goes_on_where_it_stopped(database, station, how):
    assert reached(database) == 0
    with database.start("import_readings", "prsa", station, "--batch", "100") as process:
        while reached(database) < HOURS // 20 and process.poll() is None:
            time.sleep(0.01)
        process.send_signal(how)
        said = process.communicate(timeout=60)
    assert process.returncode == (-how if how == signal.SIGKILL else 130), said
    # One statement, as PostgreSQL may still be ending a batch that was sent before the process died.
    [(line, stored)] = database.rows(
        "SELECT max(line), (SELECT count(*) FROM devices_reading) FROM devices_importedfile"
    )
    assert HOURS // 20 <= line <= HOURS
    assert stored == (line - 1) * 10

    said = database.manage("import_readings", "prsa", station)
    resumed = re.search(r"resumed after line ([\d,]+): ([\d,]+) rows", said)
    after, rows = (int(number.replace(",", "")) for number in resumed.groups())
    assert line <= after == HOURS + 1 - rows
    assert "(0 known)" in said
    assert database.rows("SELECT count(*) FROM devices_reading") == [(HOURS * 10,)]
    shown = database.rows("SELECT count(DISTINCT last_seen), count(last_seen) FROM devices_device")
    assert shown == [(1, 10)]


def test_sqlite_stores_what_postgresql_does(database, station):
    said = database.manage("import_readings", "prsa", station, "--again")
    assert f"{HOURS:,} rows, {HOURS * 10:,} readings (0 known), 0 bad rows" in said
    assert f"({HOURS * 10:,} known)" in database.manage("import_readings", "prsa", station, "--again")
    assert database.rows(
        "SELECT metric, unit, count(*), min(value), max(value) FROM devices_reading"
        " WHERE metric IN ('temperature', 'pm25') GROUP BY metric, unit ORDER BY metric"
    ) == [("pm25", "µg/m³", HOURS, 4, 4), ("temperature", "°C", HOURS, 0, 29)]
    moments = database.rows("SELECT CAST(min(taken_at) AS text), CAST(max(taken_at) AS text) FROM devices_reading")
    assert [moment[:19] for moment in moments[0]] == ["2019-12-31 16:00:00", LAST]


def test_the_command_tells_what_it_takes(sqlite):
    said = sqlite.manage("import_readings", "--help")
    assert "serial,metric,time,value,unit" in said
    assert "manage.py import_readings prsa data/prsa" in said
