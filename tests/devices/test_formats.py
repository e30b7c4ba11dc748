"""What the formats make of a row. Their devices come from the database, so the tests hold a small one."""

from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import pytest

from devices.imports.cells import number
from devices.imports.errors import BadRow
from devices.imports.long import Long
from devices.imports.options import DEFAULTS, Options
from devices.imports.prsa import HEADER, STATIONS, Prsa, code_of, region_of
from devices.imports.registry import FORMATS
from devices.metrics import METRICS
from devices.models import Device, Kind
from locations.models import Location

ROW = [
    "1",
    "2013",
    "3",
    "1",
    "0",
    "4",
    "4",
    "4",
    "7",
    "300",
    "77",
    "-0.7",
    "1023",
    "-18.8",
    "0",
    "NNW",
    "4.4",
    "Dongsi",
]


def long(options: Options = DEFAULTS) -> Long:
    """Return the format, past a header of its own columns."""
    layout = Long(options)
    assert layout.bind(Long.header)
    return layout


def changed(**cells: str) -> list[str]:
    return [cells.get(name.replace(".", "_"), cell) for name, cell in zip(HEADER, ROW, strict=True)]


@pytest.mark.parametrize(("cell", "value"), [("1", 1.0), ("-0.7", -0.7), (" 2e3 ", 2000.0)])
def test_a_number_is_read(cell, value):
    assert number(cell, "TEMP") == value


@pytest.mark.parametrize("cell", ["", " ", "abc", "nan", "inf", "-Infinity", "1_000", "1,500", "1e999"])
def test_what_is_no_finite_number_is_refused_with_its_column(cell):
    with pytest.raises(BadRow, match="TEMP is"):
        number(cell, "TEMP")


@pytest.mark.parametrize("cell", ["1.7e308", "-1e13"])
def test_what_would_spoil_sums_is_refused_with_its_column(cell):
    with pytest.raises(BadRow, match=r"^TEMP: \S+ is not a number from -1e\+12 to 1e\+12\.$"):
        number(cell, "TEMP")


def test_every_format_is_named_by_itself_and_has_a_header():
    assert all(name == kind.name and kind.header and kind.description for name, kind in FORMATS.items())


def test_the_known_stations_are_spread_evenly_and_others_stay_where_they_are():
    regions = [region_of(station) for station in STATIONS]
    assert {region: regions.count(region) for region in regions} == {
        "us-east-1": 4,
        "us-west-2": 4,
        "us-east-2": 4,
    }
    assert region_of("Yizhuang") == region_of("Yizhuang")


@pytest.mark.django_db
class TestPrsa:
    def test_a_row_gives_a_reading_for_each_numeric_column_and_the_humidity(self):
        found = {metric: (value, taken_at) for _, metric, value, taken_at in Prsa().understand(ROW).readings}
        assert set(found) == set(METRICS)
        assert found["pm25"][0] == 4
        assert found["wind_speed"][0] == 4.4
        assert found["humidity"][0] == 24.0

    def test_an_empty_or_impossible_cell_costs_one_value(self):
        found = Prsa().understand(changed(SO2="", NO2="many", TEMP="-243.04"))
        assert set(METRICS) - {metric for _, metric, _, _ in found.readings} == {
            "so2",
            "no2",
            "temperature",
            "humidity",
        }
        assert found.missing == 1
        assert [problem.split()[0] for problem in found.problems] == ["NO2", "TEMP:"]

    @pytest.mark.parametrize(
        ("station", "code"),
        [("Dongsi", "dongsi"), ("Zürich West", "zurich-west"), ("东四", "b177eea8"), ("Нарва 2", "2-a65ee984")],
    )
    def test_a_station_may_have_any_name(self, station, code):
        assert code_of(station) == code
        Prsa().understand(changed(station=station))
        location = Location.objects.get(code=code)
        location.full_clean()
        assert location.name == station
        assert location.devices.count() == 12

    def test_long_names_are_told_apart(self):
        codes = {code_of(f"{'Station' * 20} {number}") for number in (1, 2)}
        assert len(codes) == 2
        assert {len(code) for code in codes} == {32}

    def test_times_are_beijings(self):
        taken_at = Prsa().understand(ROW).readings[0][3]
        assert taken_at == datetime(2013, 2, 28, 16, tzinfo=UTC)

    def test_a_station_is_a_location_with_twelve_devices(self):
        Prsa().understand(ROW)
        location = Location.objects.get(code="dongsi")
        assert (location.name, location.timezone) == ("Dongsi", "Asia/Shanghai")
        assert set(location.devices.values_list("metric", flat=True)) == set(METRICS)
        thermometer = Device.objects.get(serial="prsa-dongsi-temperature")
        thermometer.full_clean()
        assert (thermometer.kind, thermometer.metadata["column"]) == (Kind.THERMOMETER, "TEMP")

    def test_a_location_and_a_device_that_somebody_changed_stay_changed(self):
        Prsa().understand(ROW)
        Location.objects.update(name="East Four")
        Device.objects.filter(metric="temperature").update(name="Old faithful")
        Prsa().understand(ROW)
        assert Location.objects.get().name == "East Four"
        assert Device.objects.count() == 12
        assert Device.objects.filter(name="Old faithful").exists()

    def test_a_missing_reading_is_left_out(self):
        found = [metric for _, metric, _, _ in Prsa().understand(changed(PM2_5="NA", RAIN="NA")).readings]
        assert set(METRICS) - set(found) == {"pm25", "rain"}

    @pytest.mark.parametrize("column", ["TEMP", "DEWP"])
    def test_without_temperature_or_dew_point_there_is_no_humidity(self, column):
        found = [metric for _, metric, _, _ in Prsa().understand(changed(**{column: "NA"})).readings]
        assert "humidity" not in found

    @pytest.mark.parametrize(
        ("cells", "reason"),
        [
            ({"month": "13"}, "month must be in"),
            ({"day": "NA"}, "invalid literal"),
            ({"year": "1913"}, "before 1990"),
            ({"year": "2913"}, "in the future"),
            ({"station": ""}, "must have a name"),
        ],
    )
    def test_a_bad_row_is_refused_with_the_reason(self, cells, reason):
        with pytest.raises(BadRow, match=reason):
            Prsa().understand(changed(**cells))


@pytest.mark.django_db
class TestLong:
    @pytest.fixture(autouse=True)
    def device(self) -> Device:
        yard = Location.objects.create(code="yard", name="Yard")
        return Device.objects.create(location=yard, serial="t-1", name="T", kind="thermometer", metric="temperature")

    def test_a_row_is_a_reading(self, device):
        expected = (device.pk, "temperature", 21.5, datetime(2026, 5, 4, 12, tzinfo=UTC))
        assert long().understand(["t-1", "temperature", "2026-05-04T14:00:00+02:00", "21.5", "°C"]).readings == [
            expected
        ]

    def test_the_zone_given_is_that_of_times_without_one(self, device):
        chicago = long(Options(ZoneInfo("America/Chicago")))
        times = [
            chicago.understand(["t-1", "temperature", time, "1", "°C"]).readings[0][3]
            for time in ("2026-05-04 07:00", "2026-05-04T12:00Z")
        ]
        assert times == [datetime(2026, 5, 4, 12, tzinfo=UTC)] * 2

    @pytest.mark.parametrize("unit", ["ug/m3", "µg/m³", "μg/m³"])
    def test_units_may_be_spelt_in_several_ways(self, unit, device):
        Device.objects.update(kind=Kind.PARTICLE_COUNTER)
        assert long().understand(["t-1", "pm25", "2026-05-04T12:00Z", "1", unit]).readings

    @pytest.mark.parametrize(
        ("row", "reason"),
        [
            (["t-9", "temperature", "2026-05-04T12:00Z", "1", "°C"], "no device with the serial 't-9'"),
            (["t-1", "rain", "2026-05-04T12:00Z", "1", "mm"], "A thermometer does not measure rain"),
            (["t-1", "mood", "2026-05-04T12:00Z", "1", "°C"], "'mood' is no metric"),
            (["t-1", "temperature", "2026-05-04T12:00Z", "1", "°F"], "stored in °C, not °F"),
            (["t-1", "temperature", "2026-05-04T12:00", "1", "°C"], "without a zone"),
            (["t-1", "temperature", "4 May 2026", "1", "°C"], "not ISO 8601"),
            (["t-1", "temperature", "1970-01-01T00:00Z", "1", "°C"], "before 1990"),
            (["t-1", "temperature", "9999-01-01T00:00Z", "1", "°C"], "in the future"),
        ],
    )
    def test_a_bad_row_is_refused_with_the_reason(self, row, reason):
        with pytest.raises(BadRow, match=reason):
            long().understand(row)
