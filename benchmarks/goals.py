"""The goals: time as a ratio to plain Django, and what was measured for the others when the goals were set."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Goal:
    title: str
    ratio: float | None  # None: no goal was set


GOALS = {
    "get": Goal("`get(pk)` hit", 0.20),
    "foreign key": Goal("foreign key access, hit", 0.22),
    "list": Goal("list of 100 instances, hit", 0.24),
    "select_related": Goal("the same with `select_related`", 0.38),
    "count": Goal("`count()` hit", 0.22),
    "aggregate": Goal("`aggregate()` hit", 0.22),
    "values": Goal("`values()` of 100, hit", 0.20),
    "miss": Goal("`get(pk)` miss and fill", 1.4),
    "save": Goal("`save(update_fields=[…])`", 1.5),
    "save in atomic": Goal("the same in `atomic()`", 1.5),
    "save status": Goal("`save(update_fields=[…])`, of a column that cached queries filter by", None),
    "bulk_create": Goal("`bulk_create(1000)`", 1.04),
    "update one": Goal("`update()` of one row", 1.5),
    "update": Goal("`update()` of 100 rows", 1.2),
}
BYTES = 500
LOST = 0
