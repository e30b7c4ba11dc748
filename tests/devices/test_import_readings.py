"""manage.py import_readings, in this process on the suite's database."""

import csv
import gzip
import io
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from django.conf import settings
from django.core.management import CommandError, call_command

from devices.imports.importer import FileImport
from devices.imports.prsa import HEADER as PRSA_HEADER
from devices.models import Device, ImportedFile, Reading
from devices.services import NewReading, record_readings
from locations.models import Location

pytestmark = pytest.mark.django_db

NOON = datetime(2026, 5, 4, 12, tzinfo=UTC)
HOUR = timedelta(hours=1)
LONG_HEADER = ["serial", "metric", "time", "value", "unit"]
REAL_DATA = settings.BASE_DIR.parent / "shared" / "data" / "prsa"


@pytest.fixture
def device() -> Device:
    yard = Location.objects.create(code="yard", name="Yard")
    return Device.objects.create(location=yard, serial="t-1", name="T", kind="thermometer", metric="temperature")


def write(path: Path, rows: Iterable[Iterable[object]], header: Iterable[str] = LONG_HEADER) -> Path:
    text = io.StringIO()
    csv.writer(text).writerows([header, *rows])
    content = text.getvalue().encode()
    path.write_bytes(gzip.compress(content) if path.suffix == ".gz" else content)
    return path


def hourly(count: int, start: int = 0) -> list[list[object]]:
    return [["t-1", "temperature", (NOON + n * HOUR).isoformat(), n % 50, "°C"] for n in range(start, start + count)]


def run(*arguments: object) -> list[str]:
    said = io.StringIO()
    call_command("import_readings", *map(str, arguments), stdout=said)
    return said.getvalue().splitlines()


@pytest.fixture
def batches(monkeypatch) -> list[int]:
    """The sizes of the batches that are stored."""
    sizes: list[int] = []
    store = FileImport.store

    def counted(self):
        sizes.append(len(self.batch.readings))
        return store(self)

    monkeypatch.setattr(FileImport, "store", counted)
    return sizes


class TestImport:
    def test_a_file_is_stored_in_batches_and_summed_up(self, tmp_path, device, batches):
        file = write(tmp_path / "a.csv", hourly(10))
        said = run("long", file, "--batch", 4)
        assert batches == [4, 4, 2]
        assert Reading.objects.count() == 10
        assert said[0].startswith("a.csv: 10 rows, 10 readings (0 known), 0 bad rows, ")
        assert said[1].startswith("1 file: 10 rows, 10 readings (0 known), 0 bad rows, ")
        assert said[1].endswith(" readings/s)")

    def test_values_units_and_moments_are_those_of_the_file(self, tmp_path, device):
        run("long", write(tmp_path / "a.csv", [["t-1", "temperature", "2026-05-04T14:00:00.25+02:00", -1.5e-3, "°C"]]))
        stored = Reading.objects.get()
        assert (stored.device, stored.metric, stored.value, stored.unit, stored.taken_at) == (
            device,
            "temperature",
            -0.0015,
            "°C",
            NOON + timedelta(milliseconds=250),
        )

    def test_the_device_shows_the_newest_reading_whatever_the_order(self, tmp_path, device):
        run("long", write(tmp_path / "a.csv", hourly(9)[::-1]), "--batch", 2)
        device.refresh_from_db()
        assert (device.last_seen, device.current_value) == (NOON + 8 * HOUR, 8)

    def test_a_folder_is_read_in_order_with_those_below_and_other_files_are_named(self, tmp_path, device):
        write(tmp_path / "b.csv.gz", hourly(3, 3))
        write(tmp_path / "a.csv", hourly(3))
        (tmp_path / "README.md").write_text("not data")
        (tmp_path / "more").mkdir()
        write(tmp_path / "more" / "A.CSV", hourly(3, 6))
        (tmp_path / "more" / "notes.xlsx").write_bytes(b"PK")
        said = run("long", tmp_path)
        assert said[0].startswith("Left out, as their names end otherwise: ")
        assert [name.split("/")[-1] for name in said[0].rstrip(".").split(", ")[-2:]] == ["README.md", "notes.xlsx"]
        assert [line.split(":")[0] for line in said[1:]] == ["a.csv", "b.csv.gz", "A.CSV", "3 files"]
        assert Reading.objects.count() == 9

    def test_quotes_blank_lines_and_a_byte_order_mark_are_no_trouble(self, tmp_path, device):
        file = tmp_path / "a.csv"
        file.write_text('\ufeffserial,metric,time,value,unit\r\n\r\n"t-1","temperature",2026-05-04T12:00Z,"1",°C\r\n')
        assert run("long", file)[0].startswith("a.csv: 1 row, 1 reading (0 known), 0 bad rows")


class TestAgain:
    def test_a_finished_file_is_passed_over_under_any_name(self, tmp_path, device, batches):
        run("long", write(tmp_path / "a.csv", hourly(3)))
        del batches[:]
        assert "was finished on" in run("long", write(tmp_path / "b.csv", hourly(3)))[0]
        assert not batches

    def test_read_again_all_readings_are_known(self, tmp_path, device):
        file = write(tmp_path / "a.csv", hourly(5))
        run("long", file)
        assert "5 readings (5 known)" in run("long", file, "--again")[0]
        assert Reading.objects.count() == 5

    def test_readings_recorded_otherwise_are_known_and_stay(self, tmp_path, device):
        record_readings([NewReading(device.pk, "temperature", 99, NOON + HOUR)])
        assert "3 readings (1 known)" in run("long", write(tmp_path / "a.csv", hourly(3)))[0]
        assert Reading.objects.get(taken_at=NOON + HOUR).value == 99

    def test_of_two_alike_in_a_file_the_first_is_stored(self, tmp_path, device):
        rows = hourly(2)
        rows.insert(1, [*rows[0][:3], 7, "°C"])
        assert "3 readings (1 known)" in run("long", write(tmp_path / "a.csv", rows))[0]
        assert Reading.objects.get(taken_at=NOON).value == 0

    def test_another_zone_is_another_import(self, tmp_path, device):
        file = write(tmp_path / "a.csv", [["t-1", "temperature", "2026-05-04 12:00", 1, "°C"]])
        run("long", file, "--timezone", "America/Chicago")
        run("long", file, "--timezone", "UTC")
        assert set(Reading.objects.values_list("taken_at", flat=True)) == {NOON, NOON + 5 * HOUR}

    def test_a_file_with_bad_rows_is_read_again_as_its_devices_may_be_there_by_now(self, tmp_path, device):
        rows = [*hourly(1), ["t-2", "temperature", NOON.isoformat(), 5, "°C"]]
        file = write(tmp_path / "a.csv", rows)
        run("long", file)
        device.pk, device.serial = None, "t-2"
        device.save()
        assert "2 readings (1 known), 0 bad rows" in run("long", file)[0]
        assert "was finished on" in run("long", file)[0]


class TestInterrupted:
    @pytest.fixture
    def stop_at(self, monkeypatch):
        """Press Ctrl-C, as it were, when a batch of this number is about to be stored; 0: never."""

        def choose(number: int) -> None:
            store, calls = FileImport.store, []

            def stopping(self, *arguments):
                calls.append(1)
                if len(calls) == number:
                    raise KeyboardInterrupt
                return store(self, *arguments)

            monkeypatch.setattr(FileImport, "store", stopping)

        yield choose
        monkeypatch.undo()

    def test_the_next_run_goes_on_after_the_last_batch(self, tmp_path, device, stop_at, monkeypatch):
        file = write(tmp_path / "a.csv", hourly(10))
        stop_at(3)
        with pytest.raises(CommandError, match="same command again") as caught:
            run("long", file, "--batch", 4)
        assert caught.value.returncode == 130
        assert Reading.objects.count() == 8
        monkeypatch.undo()
        assert run("long", file)[0].startswith("a.csv: resumed after line 9: 2 rows, 2 readings (0 known)")
        assert Reading.objects.count() == 10

    def test_a_batch_that_fails_leaves_nothing_behind(self, tmp_path, device, monkeypatch):
        file = write(tmp_path / "a.csv", hourly(10))

        def failing(newest):
            raise KeyboardInterrupt

        monkeypatch.setattr("devices.imports.importer.advance_devices", failing)
        with pytest.raises(CommandError):
            run("long", file, "--batch", 4)
        assert not Reading.objects.exists()
        assert ImportedFile.objects.get().line == 0


class TestBadRows:
    ROWS = (
        ["t-9", "temperature", "2026-05-04T12:00Z", 1, "°C"],
        ["t-1", "temperature", "2026-05-04T13:00Z", "warm", "°C"],
        ["t-1", "temperature", "2026-05-04T14:00Z", 1],
        ["t-1", "temperature", "2026-05-04T15:00Z", 1, "°C", "more"],
    )

    def test_each_is_told_with_file_line_and_reason_and_the_rest_is_stored(self, tmp_path, device):
        file = write(tmp_path / "a.csv", [*hourly(2), *self.ROWS, *hourly(2, 9)])
        said = run("long", file)
        assert said[0].startswith(f"{file}, line 4: there is no device with the serial 't-9'")
        assert said[1].startswith(f"{file}, line 5: value is 'warm'")
        assert said[2:4] == [
            f"{file}, line {n}: there are {cells} cells, but 5 columns." for n, cells in ((6, 4), (7, 6))
        ]
        assert said[4].startswith("a.csv: 8 rows, 4 readings (0 known), 4 bad rows")
        assert Reading.objects.count() == 4

    def test_the_first_are_shown_and_all_are_counted_and_written(self, tmp_path, device):
        file = write(tmp_path / "a.csv", self.ROWS)
        assert "… and 3 more bad rows: --errors FILE gets all of them." in run("long", file, "--show", 1)
        errors = tmp_path / "bad.csv"
        run("long", file, "--show", 0, "--errors", errors)
        with errors.open(newline="") as stream:
            assert [(name, line) for name, line, _ in csv.reader(stream)] == [(str(file), str(n)) for n in (2, 3, 4, 5)]

    def test_a_line_is_that_of_the_file_where_cells_span_lines(self, tmp_path, device):
        file = write(tmp_path / "a.csv", [["t\n1", "temperature", "2026-05-04T12:00Z", 1, "°C"], self.ROWS[1]])
        assert [line.split(":")[0].split()[-1] for line in run("long", file)[:2]] == ["3", "4"]

    def test_strict_stops_at_the_first_and_stores_nothing_of_its_batch(self, tmp_path, device):
        file = write(tmp_path / "a.csv", [*hourly(5), *self.ROWS, *hourly(5, 9)])
        with pytest.raises(CommandError, match=r"a\.csv, line 7: there is no device") as caught:
            run("long", file, "--strict", "--batch", 3)
        assert caught.value.returncode == 1
        assert Reading.objects.count() == 3
        # Without --strict it goes on from there.
        assert "resumed after line 4: 11 rows, 7 readings (0 known), 4 bad rows" in run("long", file)[4]


class TestRefused:
    def test_an_unknown_format(self, tmp_path):
        with pytest.raises(CommandError, match=r"invalid choice: 'excel' \(choose from"):
            run("excel", tmp_path)

    def test_an_unknown_zone(self, tmp_path):
        with pytest.raises(CommandError, match=r"argument --timezone: 'Mars/Base' is no IANA time zone"):
            run("long", tmp_path, "--timezone", "Mars/Base")

    @pytest.mark.parametrize(
        ("option", "value", "reason"),
        [
            ("--batch", "0", "0 is less than 1"),
            ("--batch", "-5", "-5 is less than 1"),
            ("--batch", "many", "'many' is no whole number"),
            ("--show", "-1", "-1 is less than 0"),
        ],
    )
    def test_a_number_that_makes_no_sense(self, tmp_path, option, value, reason):
        with pytest.raises(CommandError, match=f"argument {option}: {reason}"):
            run("long", tmp_path, option, value)

    def test_a_path_that_does_not_exist(self, tmp_path):
        with pytest.raises(CommandError, match="does not exist"):
            run("long", tmp_path / "none.csv")

    def test_a_folder_without_files(self, tmp_path):
        with pytest.raises(CommandError, match=r"holds no file that ends with \.csv"):
            run("long", tmp_path)

    def test_another_kind_of_file(self, tmp_path):
        (tmp_path / "a.xlsx").write_bytes(b"PK")
        with pytest.raises(CommandError, match="only such files are imported"):
            run("long", tmp_path / "a.xlsx")

    @pytest.mark.parametrize("header", [["serial", "metric"], list(PRSA_HEADER), []])
    def test_a_wrong_header(self, tmp_path, header):
        with pytest.raises(CommandError, match="Is it another format"):
            run("long", write(tmp_path / "a.csv", [], header))

    def test_an_empty_file(self, tmp_path):
        (tmp_path / "a.csv").touch()
        with pytest.raises(CommandError, match="the first is ''"):
            run("long", tmp_path / "a.csv")

    def test_a_file_that_is_cut_off_keeps_its_whole_batches(self, tmp_path, device):
        whole = write(tmp_path / "a.csv.gz", hourly(5000)).read_bytes()
        (tmp_path / "a.csv.gz").write_bytes(whole[: len(whole) // 2])
        with pytest.raises(CommandError, match="damaged or not complete"):
            run("long", tmp_path / "a.csv.gz", "--batch", 100)
        assert Reading.objects.count() % 100 == 0
        assert Reading.objects.exists()

    def test_what_only_says_that_it_is_gzipped(self, tmp_path):
        (tmp_path / "a.csv.gz").write_text("serial,metric,time,value,unit\n")
        with pytest.raises(CommandError, match="damaged or not complete"):
            run("long", tmp_path / "a.csv.gz")

    def test_an_errors_file_that_can_not_be_written(self, tmp_path, device):
        file = write(tmp_path / "a.csv", hourly(1))
        with pytest.raises(CommandError, match=r"--errors: .* can not be written"):
            run("long", file, "--errors", tmp_path / "none" / "bad.csv")


@pytest.mark.skipif(not REAL_DATA.is_dir(), reason="there is no ../shared/data/prsa beside the project")
def test_a_slice_of_the_real_data(tmp_path):
    with gzip.open(REAL_DATA / "Aotizhongxin.csv.gz", "rt", newline="") as lines:
        (tmp_path / "slice.csv").write_text(
            "".join(line for _, line in zip(range(1001), lines, strict=False)), newline=""
        )
    said = run("prsa", tmp_path)
    # Line 76 has a blank for SO2: it costs that value.
    assert said[0].startswith("slice.csv: 1,000 rows, 11,891 readings (0 known), 0 bad rows, 109 missing")
    newest = Device.objects.get(serial="prsa-aotizhongxin-temperature")
    assert newest.last_seen == datetime(2013, 4, 11, 7, tzinfo=UTC)
    assert newest.current_value == Reading.objects.filter(device=newest).first().value
    assert Location.objects.get().devices.count() == 12
