"""The report of `python -m benchmarks.memory`: it says what was measured. Nothing is measured here."""

from benchmarks import memory
from cacheops.protocol.keys import BY_NAME, TableKeys

KEYS = TableKeys.of("", BY_NAME, "sensors_device")
ENTRY = {"keys": 1.0, "names": 90.0, "values": 180.0, "bytes": 310.0}
TAG = {"keys": 1.002, "names": 70.0, "values": 16.0, "bytes": 150.0}


def text(last: float) -> str:
    taken = {str(1000 * step): 100.0 + step for step in range(1, 10)} | {"10000": last}
    entry = {"tags": TAG, "entries": ENTRY}
    return memory.as_text({"entry": entry, "grown": 580.2, "process": taken, "machine": {"Redis": "7"}})


def test_the_report_says_where_the_bytes_are() -> None:
    rows = text(110.0).split("\n\n")[0].splitlines()[2:]
    assert rows == ["| entries | 1.00 | 90 | 180 | 310 |", "| tags | 1.00 | 70 | 16 | 150 |"]
    assert "460 bytes an entry (goal 300: not met); Redis as a whole, " in text(110.0)
    assert "grows by 580." in text(110.0)


def test_growth_is_that_of_the_second_half() -> None:
    assert memory.growth({"1": 50.0, "2": 100.0, "3": 150.0, "4": 101.0}) == 0.010000000000000009
    assert "at most 2%: met" in text(106.0)
    assert "grown by 4.8% over the second half of the requests (at most 2%: not met)" in text(110.0)


def test_keys_are_told_apart() -> None:
    kinds = [memory.kind_of(key.encode()) for key in (KEYS.entry("A" * 22), KEYS.tag("id=1"), KEYS.generation, "other")]
    assert kinds == ["entries", "tags", "tags", "the rest"]
