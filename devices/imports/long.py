"""What most loggers write: one reading a row, or one moment with a column for each metric."""

import re
import unicodedata
from collections.abc import Sequence
from datetime import datetime

from devices.imports.cells import moment
from devices.imports.errors import BadRow, ImportFailed
from devices.imports.formats import Format, Understood
from devices.imports.options import DEFAULTS, Options
from devices.metrics import METRICS
from devices.models import Device
from devices.services import kind_problem, metric_problem, unit_problem
from devices.units import conversion

SERIAL, METRIC, DATE, TIME, VALUE, UNIT = "serial", "metric", "date", "time", "value", "unit"
ROLES = (SERIAL, METRIC, DATE, TIME, VALUE, UNIT, *METRICS)  # what a column can hold
FIXED = (SERIAL, METRIC, UNIT)  # what all rows of a file can have in common
BY_NUMBER = re.compile(r"#([1-9]\d*)")
# A unit in a column's name: "Temp (°F)", "Luftdruck [kPa]", "Temp, °F (LGR S/N: 1)".
IN_NAME = re.compile(r"[\[(,]\s*([^\[\](),]+)")


class Long(Format):
    """Each role's column is found by its name, in any order and case, or by its number."""

    name = "long"
    description = "one reading a row, or a column a metric (see --columns); the devices exist; times in ISO 8601"
    header = (SERIAL, METRIC, TIME, VALUE, UNIT)
    takes_columns = True

    def __init__(self, options: Options = DEFAULTS) -> None:
        super().__init__(options)
        self.devices = {
            serial: (pk, kind) for serial, pk, kind in Device.objects.values_list("serial", "pk", "kind").iterator()
        }
        self.metrics = [role for role in options.columns if role in METRICS]  # with a column of their own
        given = options.columns.keys() | options.fixed.keys()
        if self.metrics and given & {METRIC, VALUE, UNIT}:
            raise ImportFailed(f"--columns: a file has a column a metric, or {METRIC}, {VALUE} and {UNIT}, not both.")
        roles = {SERIAL, TIME} if self.metrics else {SERIAL, METRIC, TIME, VALUE}
        names = {
            role: options.columns.get(role, role) for role in roles - options.fixed.keys() | options.columns.keys()
        }
        self.names = {role: names[role] for role in ROLES if role in names}
        self.has_header = not all(map(BY_NUMBER.fullmatch, self.names.values()))
        self.at: dict[str, int] = {}
        if not self.has_header:
            self.bind(())

    @property
    def wanted(self) -> Sequence[str]:
        return list(self.names.values())

    def bind(self, cells: Sequence[str]) -> bool:
        named = list(map(folded, cells))
        places = {name: index for index, name in reversed(list(enumerate(named)))}
        at: dict[str, int] = {}
        for role, name in self.names.items():
            by_number = BY_NUMBER.fullmatch(name)
            place = int(by_number[1]) - 1 if by_number else places.get(folded(name))
            if place is None or (cells and place >= len(cells)):
                return False
            at[role] = place
        for role in at:
            if named.count(folded(self.names[role])) > 1:
                raise BadRow(
                    f"more than one column is named {self.names[role]!r}: say which, as {role}=#{at[role] + 1}."
                )
        for metric in self.metrics:
            self.check_name(metric, cells[at[metric]] if cells else "")
        if UNIT not in at and UNIT not in self.options.fixed and UNIT in places:
            at[UNIT] = places[UNIT]
        self.at = at
        return True

    def check_name(self, metric: str, name: str) -> None:
        """Raise BadRow where a column's name says that its values are in a unit that must be converted."""
        for unit in IN_NAME.findall(name):
            how = conversion(unit, METRICS[metric].unit)
            if how:
                raise BadRow(f"the column {name!r} is in {unit.strip()}, {metric} in {METRICS[metric].unit}: {how}.")

    def fits(self, cells: Sequence[str]) -> bool:
        try:
            self.time_of(cells)
        except BadRow:
            return False
        return True

    def time_of(self, cells: Sequence[str]) -> datetime:
        """Return a row's moment, with a zone if it names one. Raises BadRow."""
        if len(cells) <= max(self.at.values()):
            raise BadRow(f"there are {len(cells)} cells, but column {max(self.at.values()) + 1} is wanted.")
        text = " ".join(cells[self.at[part]] for part in (DATE, TIME) if part in self.at)
        return self.moment(text)

    def understand(self, cells: Sequence[str]) -> Understood:
        taken_at = self.time_of(cells)
        if not self.metrics:
            metric = self.cell(METRIC, cells)
            problem = metric_problem(metric) or unit_problem(metric, self.cell(UNIT, cells))
            if problem:
                raise BadRow(problem)
            return self.measured([(self.device(metric, cells), metric, VALUE, cells[self.at[VALUE]])], taken_at)
        return self.measured(
            [(self.device(metric, cells), metric, metric, cells[self.at[metric]]) for metric in self.metrics], taken_at
        )

    def cell(self, role: str, cells: Sequence[str]) -> str:
        return cells[self.at[role]] if role in self.at else self.options.fixed.get(role, "")

    def device(self, metric: str, cells: Sequence[str]) -> int:
        serial = self.cell(SERIAL, cells)
        if SERIAL not in self.at:
            serial = serial.replace("{metric}", metric)
        if serial not in self.devices:
            raise BadRow(f"there is no device with the serial {serial!r}: create it, then import the file again.")
        pk, kind = self.devices[serial]
        problem = kind_problem(kind, metric)
        if problem:
            raise BadRow(problem)
        return pk

    def moment(self, text: str) -> datetime:
        taken_at = moment(text, self.options.time_format)
        if taken_at.tzinfo is None:
            if self.options.zone is None:
                raise BadRow(f"time is {text!r} without a zone: add one, such as Z, or give --timezone.")
            taken_at = taken_at.replace(tzinfo=self.options.zone)
        return self.check_time(taken_at)


def folded(name: str) -> str:
    """Return a column's name without what spellings differ in: capitals, blanks, compatibility forms."""
    return " ".join(unicodedata.normalize("NFKC", name).split()).casefold()
