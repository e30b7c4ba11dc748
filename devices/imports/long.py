"""One reading a row: serial, metric, time, value, unit. What most loggers can write."""

from collections.abc import Sequence
from datetime import datetime, tzinfo

from devices.imports.errors import BadRow
from devices.imports.formats import Format, Row, number
from devices.models import Device
from devices.services import metric_problem, unit_problem

# Spellings of units that mean the same. Keyboards have no µ (U+00B5), and many write μ (U+03BC) for it.
SPELLINGS = {"ug/m3": "µg/m³", "µg/m3": "µg/m³", "μg/m3": "µg/m³", "μg/m³": "µg/m³", "C": "°C", "degC": "°C"}


class Long(Format):
    name = "long"
    description = "one reading a row; the devices exist; times in ISO 8601, with their zone unless --timezone gives it"
    header = ("serial", "metric", "time", "value", "unit")

    def __init__(self, zone: tzinfo | None = None) -> None:
        super().__init__(zone)
        self.devices = dict(Device.objects.values_list("serial", "pk").iterator())

    def readings(self, row: Sequence[str]) -> list[Row]:
        serial, metric, time, value, unit = row
        if serial not in self.devices:
            raise BadRow(f"there is no device with the serial {serial!r}: create it, then import the file again.")
        problem = metric_problem(metric) or unit_problem(metric, SPELLINGS.get(unit, unit))
        if problem:
            raise BadRow(problem)
        return [(self.devices[serial], metric, number(value, "value"), self.moment(time))]

    def moment(self, text: str) -> datetime:
        try:
            taken_at = datetime.fromisoformat(text)
        except ValueError as error:
            raise BadRow(f"time is {text!r}, which is not ISO 8601, such as 2026-05-04T12:00:00Z.") from error
        if taken_at.tzinfo is None and self.zone is None:
            raise BadRow(f"time is {text!r} without a zone: add one, such as Z, or give --timezone.")
        return self.check_time(taken_at if taken_at.tzinfo else taken_at.replace(tzinfo=self.zone))
