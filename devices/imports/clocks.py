"""Local times that a clock shows twice, when daylight saving ends, or never, when it begins.

Which of its two moments a time means, the order of its series tells: the times of rows of the same devices and metrics
rise (or fall) until the clock is put back, once. So the readings of such an hour wait for what comes after them.
"""

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta, timezone

from devices.imports.errors import BadRow
from devices.imports.formats import Reading, Series, Understood

Placed = tuple[int, Reading]  # the line that it comes from
# Two times further apart are of two autumns.
SAME_NIGHT = timedelta(days=1)


class Clock:
    """Gives the readings of an import their moments in UTC, in the order of the file."""

    def __init__(self) -> None:
        self.before: dict[Series, datetime] = {}  # each series' last time as the clock showed it
        self.waiting: dict[Series, list[tuple[int, Understood]]] = {}
        self.held = 0  # readings that wait
        self.ambiguous: dict[int, str] = {}  # by line: why it could not be placed

    def place(self, line: int, row: Understood) -> Iterator[Placed]:
        """Yield the readings of this line and earlier ones whose moment is known by now. Raises BadRow."""
        taken_at, series = row.taken_at, row.series
        if isinstance(taken_at.tzinfo, timezone):
            yield from ((line, reading) for reading in row.readings)
            return
        shown, step = taken_at.replace(tzinfo=None), time_step(taken_at)
        if step > timedelta():
            if row.readings:
                raise BadRow(f"the clock in {taken_at.tzinfo} never showed {shown}, when it was put forward.")
            return
        group = self.waiting.get(series)
        if group and (not step or shown - group[-1][1].taken_at.replace(tzinfo=None) > SAME_NIGHT):
            yield from self.settle(series, shown)
        if step:
            self.waiting.setdefault(series, []).append((line, row))
            self.held += len(row.readings)
            return
        self.before[series] = shown
        yield from placed(line, row, taken_at)

    def finish(self) -> Iterator[Placed]:
        """Yield what waits, as far as its own order tells its moments."""
        for series in list(self.waiting):
            yield from self.settle(series, None)

    def settle(self, series: Series, after: datetime | None) -> Iterator[Placed]:
        group = self.waiting.pop(series)
        self.held -= sum(len(row.readings) for _, row in group)
        times = [row.taken_at.replace(tzinfo=None) for _, row in group]
        first = turn_of(times, self.before.get(series), after)
        for index, (line, row) in enumerate(group):
            if first:
                rises, turn = first
                yield from placed(line, row, row.taken_at.replace(fold=int((index >= turn) == rises)))
            elif row.readings:
                self.ambiguous[line] = (
                    f"the clock in {row.taken_at.tzinfo} showed {times[index]} twice, and the order of the rows does "
                    "not tell which is meant: add its offset."
                )
        self.before[series] = times[-1]


def placed(line: int, row: Understood, taken_at: datetime) -> Iterator[Placed]:
    moment = taken_at.astimezone(UTC)
    return ((line, (device, metric, value, moment)) for device, metric, value, _ in row.readings)


def time_step(local: datetime) -> timedelta:
    """Return how far the clock is put at a local time: below 0 where it is shown twice, above 0 where never, else 0."""
    earlier, later = local.replace(fold=0).astimezone(UTC), local.replace(fold=1).astimezone(UTC)
    return earlier - later


def turn_of(times: Sequence[datetime], before: datetime | None, after: datetime | None) -> tuple[bool, int] | None:
    """Return whether a series' times rise, and the first index after the clock was put back (or, where they fall,
    before it was). None where the order does not tell.

    `times` can all be shown twice; `before` and `after` are the series' times around them, if there are any.
    """
    falls = [index for index in range(1, len(times)) if times[index] < times[index - 1]]
    climbs = [index for index in range(1, len(times)) if times[index] > times[index - 1]]
    if before is not None and before != times[0]:
        rises = before < times[0]
    elif after is not None and after != times[-1]:
        rises = times[-1] < after
    elif falls and climbs:
        rises = len(climbs) > len(falls)
    else:
        return None
    turns = falls if rises else climbs
    if not turns and len(times) == 2 and times[0] == times[1]:
        turns = [1]
    return (rises, turns[0]) if len(turns) == 1 else None
