"""What is wrong with a file's text costs as little as it can, and is told with its line."""

import gzip
import io
import tracemalloc
from pathlib import Path

import pytest
from django.core.management import CommandError, call_command

from devices.models import Device, ImportedFile, Reading
from locations.models import Location

pytestmark = pytest.mark.django_db

HEADER = "serial,metric,time,value,unit"


@pytest.fixture(autouse=True)
def device() -> Device:
    yard = Location.objects.create(code="yard", name="Yard")
    return Device.objects.create(location=yard, serial="t-1", name="T", kind="thermometer", metric="temperature")


def rows(count: int, start: int = 0) -> list[str]:
    return [f"t-1,temperature,2026-05-04T12:{n // 60:02}:{n % 60:02}Z,{n % 50},°C" for n in range(start, start + count)]


def run(path: Path, *options: str, failing: bool = False) -> str:
    said = io.StringIO()
    if failing:
        with pytest.raises(CommandError) as caught:
            call_command("import_readings", "long", str(path), *options, stdout=said)
        assert caught.value.returncode == 1
        said.write(str(caught.value))
    else:
        call_command("import_readings", "long", str(path), *options, stdout=said)
    return said.getvalue()


def write(path: Path, *lines: str, header: str = HEADER, encoding: str = "utf-8") -> Path:
    content = "".join(f"{line}\n" for line in (header, *lines)).encode(encoding, "surrogateescape")
    path.write_bytes(gzip.compress(content) if path.suffix == ".gz" else content)
    return path


@pytest.mark.parametrize(
    ("damaged", "reason"),
    [
        ("\0" * 400, "the line holds zero bytes, as after a power cut."),
        ("x" * 70_000, "the line is longer than 65,536 characters."),
        ("x" * 200_000, "the line is longer than 65,536 characters."),
        ("t-1,temperature,2026-05-04T13:00Z,5,\udcb0C", "the line is not UTF-8: give --encoding, such as cp1252"),
        ('t-1,temperature,2026-05-04T13:00Z,"5,°C', "a quote does not belong"),
        ('t-1,temperature,2026-05-04T13:00Z,5",°C', "value is '5\"', which is no finite number."),
        ('"t-1"x,temperature,2026-05-04T13:00Z,5,°C', "a quote does not belong"),
        ("t-1,temperature,2026-05-04T13:00Z,5", "there are 4 cells, but 5 columns."),
        ("t-1,temperature,2026-05-04T13:00Z,5,°C,more", "there are 6 cells, but 5 columns."),
        ("t-1,temperature,2026-05-04T13:00Z,85,°C", "value: 85 is outside -90 to 60 °C, the physical range"),
        ("t-1,temperature,2026-05-04T13:00Z,5,°F", "temperature is stored in °C, not °F: subtract 32, then"),
    ],
)
@pytest.mark.parametrize("name", ["a.csv", "a.csv.gz"])
def test_a_damaged_row_costs_itself_and_is_told_with_its_line(tmp_path, name, damaged, reason):
    file = write(tmp_path / name, *rows(3), damaged, *rows(3, 3))
    said = run(file)
    assert f"{file}, line 5: {reason}" in said
    assert f"{name}: 7 rows, 6 readings (0 known), 1 bad row, " in said
    assert Reading.objects.count() == 6


def test_two_stray_quotes_do_not_join_what_is_between_them(tmp_path):
    stray = 't-1,temperature,2026-05-04T13:00Z,"5,°C', 't-1,temperature,2026-05-04T13:00Z,5",°C'
    said = run(write(tmp_path / "a.csv", stray[0], *rows(3), stray[1], *rows(3, 3)))
    assert "8 rows, 6 readings (0 known), 2 bad rows" in said


def test_a_cell_in_quotes_may_span_lines(tmp_path):
    note = 't-1,temperature,2026-05-04T13:00Z,5,°C,"cleaned,\nthen\nput back"'
    said = run(write(tmp_path / "a.csv", f"{rows(1)[0]},", note, f"{rows(1, 1)[0]},", header=f"{HEADER},note"))
    assert "3 rows, 3 readings (0 known), 0 bad rows" in said
    assert ImportedFile.objects.get().line == 6


def test_a_long_line_takes_no_memory(tmp_path):
    file = tmp_path / "a.csv.gz"
    with gzip.open(file, "wb") as content:
        content.write(f"{HEADER}\n".encode())
        for _ in range(100):
            content.write(b"x" * 200_000)
        content.write(f"\n{rows(1)[0]}\n".encode())
    tracemalloc.start()
    try:
        assert "2 rows, 1 reading (0 known), 1 bad row" in run(file)
        assert tracemalloc.get_traced_memory()[1] < 5_000_000
    finally:
        tracemalloc.stop()


ENCODINGS = {encoding: [] for encoding in ("utf-8-sig", "utf-16", "utf-16-le", "utf-16-be")}


@pytest.mark.parametrize(
    ("encoding", "options"),
    [*ENCODINGS.items(), ("utf-8-sig", ["--encoding", "utf-8"]), ("cp1252", ["--encoding", "cp1252"])],
)
def test_encodings_are_recognised_or_given(tmp_path, encoding, options):
    assert "2 readings (0 known), 0 bad rows" in run(write(tmp_path / "a.csv", *rows(2), encoding=encoding), *options)


@pytest.mark.parametrize(("delimiter", "options"), [(";", []), ("\t", []), ("|", []), (" ", ["--delimiter", "space"])])
def test_delimiters_are_recognised_or_given(tmp_path, delimiter, options):
    lines = [row.replace(",", delimiter) for row in (HEADER, *rows(2))]
    assert "2 readings (0 known), 0 bad rows" in run(write(tmp_path / "a.txt", *lines[1:], header=lines[0]), *options)


@pytest.mark.parametrize(
    ("lines", "columns"),
    [
        (["2026-05-04 12:00;21,5;45,2", "2026-05-04 12:10;21,6;45,3"], "time=#1,temperature=#2,humidity=#3"),  # as many
        (["21,5;2026-05-04 12:00:00,000", "#", "21,6;2026-05-04 12:10:00,000"], "temperature=#1,time=#2"),
        (["12\0", "2026-05-04 12:00,a;b;c,21.5", "2026-05-04 12:10,a;b;c,21.6"], "time=#1,temperature=#3"),
    ],
)
def test_the_delimiter_of_a_file_without_a_header_is_the_one_that_leaves_times(tmp_path, lines, columns):
    file = write(tmp_path / "a.csv", *lines[1:], header=lines[0])
    run(file, "--columns", columns, "--set", "serial=t-1", "--timezone", "UTC")
    assert list(Reading.objects.filter(metric="temperature").order_by("taken_at").values_list("value", flat=True)) == [
        21.5,
        21.6,
    ]


@pytest.mark.parametrize(
    ("cell", "decimal", "value"),
    [
        ("21,5", "", 21.5),
        ("−0,25", "", -0.25),
        ("0,125", "", 0.125),
        ("20,125", "comma", 20.125),
        ("20,125", "", None),  # thousands?
        ("2,5", "point", None),
        ("2.5", "comma", None),
        ("1.002,5", "comma", None),
    ],
)
def test_a_decimal_comma_is_recognised_where_it_is_no_other(tmp_path, cell, decimal, value):
    file = write(tmp_path / "a.csv", f"t-1;temperature;2026-05-04T12:00Z;{cell};°C", header=HEADER.replace(",", ";"))
    said = run(file, *(("--decimal", decimal) if decimal else ()))
    assert list(Reading.objects.values_list("value", flat=True)) == ([] if value is None else [value])
    assert ("1 bad row" in said) is (value is None)


def test_a_dry_run_shows_the_first_rows_as_understood_and_stores_nothing(tmp_path):
    file = write(tmp_path / "a.csv", *rows(5), "t-1,temperature,2026-05-04T13:00Z,,°C", "t-9,x,x,x,x")
    said = run(file, "--dry-run", "--show", "2").splitlines()
    assert said[:2] == [f"{file}, line {n + 2}: t-1 temperature {n} °C at 2026-05-04 12:00:0{n} UTC" for n in range(2)]
    assert "7 rows, 5 readings (0 known), 1 bad row, 1 missing" in said[3]
    assert not Reading.objects.exists()
    assert not ImportedFile.objects.exists()
    call_command("import_readings", "prsa", "--dry-run", str(prsa_file(tmp_path)), stdout=io.StringIO())
    assert Device.objects.count() == 1


def prsa_file(folder: Path) -> Path:
    header = "No,year,month,day,hour,PM2.5,PM10,SO2,NO2,CO,O3,TEMP,PRES,DEWP,RAIN,wd,WSPM,station"
    return write(folder / "p.csv", "1,2020,3,1,0,4,4,,7,300,77,-0.7,1023,-18.8,0,NNW,4.4,Any", header=header)


@pytest.mark.parametrize(("limit", "stored"), [("2", 3), ("40%", 3), ("1", 0), ("39.9%", 0)])
def test_too_many_bad_rows_stop_a_file_before_they_are_stored(tmp_path, limit, stored):
    file = write(tmp_path / "a.csv", *rows(3), "t-1,x,x,x,x", "t-9,x,x,x,x")
    said = run(file, "--max-bad", limit, failing=not stored)
    assert Reading.objects.count() == stored
    assert ("2 of 5 rows are bad, more than --max-bad allows" in said) is not stored


def test_a_file_that_can_not_be_read_stops_no_other(tmp_path):
    (tmp_path / "README.txt").write_text("These are readings.\n")
    write(tmp_path / "b.csv", *rows(3))
    said = run(tmp_path, failing=True)
    assert "b.csv: 3 rows, 3 readings" in said
    assert f"{tmp_path / 'README.txt'}: no header with the columns serial,metric,time,value in the first 50" in said


def test_the_rows_of_a_night_are_resumed_with_their_order(tmp_path):
    times = ["01:00", "02:00", "02:00", "03:00", "04:00"]
    lines = [f"t-1,temperature,2025-10-26 {time},{n},°C" for n, time in enumerate(times)]
    said = run(write(tmp_path / "a.csv", *lines), "--timezone", "Europe/Berlin", "--batch", "1")
    assert "5 readings (0 known), 0 bad rows" in said
    assert [f"{at:%H}" for at in Reading.objects.order_by("value").values_list("taken_at", flat=True)] == [
        *("23", "00", "01", "02", "03")
    ]


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        (["--columns", "serial=Sensor,sereal=X"], "'sereal' is none of serial, metric, date, time"),
        (["--columns", "serial"], "'serial' is not key=value"),
        (["--columns", "temperature=T", "--set", "unit=°F"], "a column a metric, or metric, value and unit, not both"),
        (["--columns", "temperature=T"], "no header with the columns serial,time,T in the first 50 lines"),
        (["--encoding", "utf-9"], "'utf-9' is no encoding of text"),
        (["--encoding", "base64"], "'base64' is no encoding of text"),
        (["--delimiter", "ab"], "'ab' is no single character"),
        (["--decimal", ";"], "';' is neither point nor comma"),
        (["--time-format", "%d.%m.%Y %Z"], "%Z reads names of zones"),
        (["--time-format", "dd.mm.yyyy"], "'dd.mm.yyyy' has no directive such as %Y"),
        (["--timezone", "+25:00"], "is no offset"),
        (["--max-bad", "few"], "'few' is neither a number of rows, such as 20, nor a share, such as 1%"),
    ],
)
def test_an_option_that_makes_no_sense_is_refused(tmp_path, options, reason):
    assert reason in run(write(tmp_path / "a.csv"), *options, failing=True)


def test_a_column_whose_name_says_another_unit_is_refused(tmp_path):
    file = write(tmp_path / "a.csv", header='serial,time,"Temp, °F (LGR)"')
    said = run(file, "--columns", '"temperature=Temp, °F (LGR)"', failing=True)
    assert "the column 'Temp, °F (LGR)' is in °F, temperature in °C: subtract 32" in said


def test_a_name_that_two_columns_have_is_asked_for_by_number(tmp_path):
    file = write(tmp_path / "a.csv", "t-1,temperature,2026-05-04T12:00Z,5,6", header="serial,metric,time,Value,value")
    said = run(file, failing=True)
    assert "more than one column is named 'value': say which, as value=#4." in said
    run(file, "--columns", "value=#5")
    assert Reading.objects.get().value == 6
