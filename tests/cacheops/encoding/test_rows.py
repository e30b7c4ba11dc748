"""Rows come back from bytes as they went in: equal, of the same types, or not at all."""

import datetime as dt
import ipaddress
import math
import uuid
from decimal import Decimal
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import msgspec
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from psycopg.types.range import Range

from cacheops.encoding import rows
from cacheops.encoding.rows import Row, decode, encode
from cacheops.exceptions import CorruptEntry, UnencodableValue

GOLDEN = Path(__file__).parent / f"entry-format-{rows.FORMAT}.bin"
TEXT = st.text(st.characters(exclude_categories=["Cs"]))
ZONES = st.sampled_from([None, dt.UTC, ZoneInfo("Europe/Berlin"), dt.timezone(dt.timedelta(hours=5, minutes=45))])
NUMBERS = st.integers(-(2**63), 2**63) | st.integers(2**64, 2**80)
MOMENTS = st.datetimes(timezones=ZONES)
SCALARS: dict[str, st.SearchStrategy[Any]] = {
    "bool": st.booleans(),
    "int": NUMBERS,
    "float": st.floats(),
    "text": TEXT,
    "bytes": st.binary(),
    "uuid": st.uuids(),
    "decimal": st.decimals(),
    "date": st.dates(),
    "time": st.times(timezones=st.sampled_from([None, dt.UTC])),
    "datetime": MOMENTS,
    "timedelta": st.timedeltas(),
    "ip": st.ip_addresses(),
    "network": st.sampled_from([ipaddress.ip_network("10.0.0.0/8"), ipaddress.ip_interface("::1/64")]),
}
ORDERED = (st.integers(), st.dates(), st.decimals(allow_nan=False))
RANGES = st.one_of(
    [st.tuples(kind, kind).map(lambda pair: Range(min(pair), max(pair), "[)")) for kind in ORDERED]
) | st.just(Range(empty=True))
ANY = st.none() | st.one_of(list(SCALARS.values())) | RANGES
NESTED = st.recursive(
    ANY,
    lambda inner: (
        st.lists(inner, max_size=3) | st.tuples(inner, inner) | st.dictionaries(TEXT | st.integers(), inner, max_size=3)
    ),
    max_leaves=6,
)
COLUMNS = st.one_of([*[st.none() | kind for kind in SCALARS.values()], NESTED])


@st.composite
def tables(draw: Any) -> list[Row]:
    """Draw rows of one width; a column mostly holds values of one type."""
    columns = draw(st.lists(st.sampled_from([*SCALARS.values(), NESTED, ANY]), max_size=4))
    return draw(st.lists(st.tuples(*[st.none() | column for column in columns]), max_size=5))


def described(value: Any) -> Any:
    """Return a value with all that Python tells apart: types, zones, folds, signs of zero, digits."""
    if isinstance(value, list | tuple):
        return (type(value), [described(item) for item in value])
    if isinstance(value, dict):
        return (dict, [(described(key), described(item)) for key, item in value.items()])
    if isinstance(value, float) and math.isnan(value):
        return (float, "nan")
    if isinstance(value, Range):
        return (Range, described(value.lower), described(value.upper), value.bounds, value.isempty)
    return (type(value), repr(value), getattr(value, "fold", None))


def stored(table: list[Row]) -> list[Row]:
    return decode(encode(table, b"12345678", 1.0, 2.0, 0.5)).rows()


@given(tables())
@example([(Decimal("1.50"), -0.0, True)])
@example([(1,), (True,), (1.0,)])
@example([(dt.timedelta.max,), (dt.timedelta.min,)])
@example([(dt.datetime.max,), (dt.datetime.min,)])
@example([(dt.datetime(2026, 10, 25, 2, 30, fold=1, tzinfo=ZoneInfo("Europe/Berlin")),)])
@example([(Decimal("NaN"),), (Decimal("-Infinity"),), (Decimal("1E+5"),)])
def test_rows_come_back_as_they_went_in(table: list[Row]) -> None:
    try:
        found = stored(table)
    except UnencodableValue:
        return  # refused: test_nothing_that_drivers_return_is_refused says what must not be
    assert described(found) == described(table)


def test_nothing_that_drivers_return_is_refused() -> None:
    for table in (
        [(None, True, 2**64, 1.5, "ä", b"\x00", uuid.UUID(int=1), Decimal("1.10"), dt.date(2026, 1, 1))],
        [(dt.time(1, 2, 3, 4), dt.datetime(2026, 1, 1, tzinfo=dt.UTC), dt.timedelta(microseconds=-1))],
        [([1, [2, None]], {"a": [Decimal("1")]}, Range(1, 5), ipaddress.ip_address("::1"))],
    ):
        assert described(stored(table)) == described(table)


@pytest.mark.parametrize("value", [object(), {1, 2}, "\ud800", range(3), type("Own", (str,), {})("x"), 1j])
def test_what_would_not_come_back_is_refused(value: Any) -> None:
    with pytest.raises(UnencodableValue):
        encode([(value,)], b"", 0.0, 0.0, 0.0)


SAMPLE: list[Row] = [
    (1, "text", b"\x00\xff", 1.5, True, None, uuid.UUID(int=7), Decimal("1.20"), dt.date(2026, 1, 2)),
    (2, "ü", b"", -0.0, False, None, None, Decimal("-3"), None),
]
WIDE: list[Row] = [
    (
        dt.time(1, 2, 3, 4),
        dt.datetime(2026, 1, 2, 3, 4, 5, 6, tzinfo=dt.UTC),
        dt.datetime(2026, 1, 2, tzinfo=ZoneInfo("Europe/Berlin")),
        dt.timedelta(days=-1, microseconds=5),
        [1, "x", None],
        {"key": [Decimal("1.0")]},
        2**70,
        ipaddress.ip_address("10.0.0.1"),
        Range(1, 5, "[)"),
    )
]


@pytest.mark.parametrize("table", [SAMPLE, WIDE, []])
def test_a_flipped_bit_is_never_a_wrong_value(table: list[Row]) -> None:
    payload = encode(table, b"12345678", 1.0, 2.0, 0.5)
    for at in range(len(payload)):
        for bit in range(8):
            damaged = bytearray(payload)
            damaged[at] ^= 1 << bit
            with pytest.raises(CorruptEntry):
                decode(bytes(damaged)).rows()


@pytest.mark.parametrize("cut", [0, 1, 4, 5, 6, 30, -1])
def test_a_cut_entry_is_corrupt(cut: int) -> None:
    with pytest.raises(CorruptEntry):
        decode(encode(SAMPLE, b"12345678", 1.0, 2.0, 0.5)[:cut])


@given(st.binary())
def test_foreign_bytes_are_corrupt(payload: bytes) -> None:
    with pytest.raises(CorruptEntry):
        decode(payload).rows()


def test_what_the_reader_knew_comes_back() -> None:
    entry = decode(encode(SAMPLE, b"12345678", 1.0, 2.0, 0.5))
    assert (entry.versions, entry.made_at, entry.expires_at, entry.load_seconds) == (b"12345678", 1.0, 2.0, 0.5)


def test_moments_come_back_to_the_millisecond() -> None:
    """A life is kept to 7 digits: of an hour some 0.2 ms, and an entry ends on the servers by their own clock."""
    entry = decode(encode(SAMPLE, b"", 1795921987.4131615, 1795925443.0459359, 0.0017010681))
    assert entry.made_at == 1795921987.4131615
    assert entry.expires_at == pytest.approx(1795925443.0459359, abs=1e-3)
    assert entry.load_seconds == pytest.approx(0.0017010681)


@pytest.mark.parametrize(
    ("types", "stored"), [("", b""), ("n", b"n"), ("nnnnnnnndTn", b"8ndTn"), ("nUnU", b"nUnU"), ("n" * 120, b"120n")]
)
def test_types_are_stored_by_their_runs(types: str, stored: bytes) -> None:
    row = tuple(
        {"n": 1, "U": uuid.UUID(int=1), "d": dt.date(2026, 1, 2), "T": dt.datetime(2026, 1, 2)}[t] for t in types
    )
    table = [row] if types else []
    assert rows.encode_rows(table).types == stored
    found = decode(encode(table, b"", 1.0, 2.0, 0.5), columns=len(types))
    assert (found.layout.columns, found.rows()) == (len(types), table)


@pytest.mark.parametrize("types", [b"q", b"3", b"\xff", b"n9"])
def test_types_that_nobody_writes_are_corrupt(types: bytes) -> None:
    """A checksum says who has written, not that it was sound."""
    with pytest.raises(CorruptEntry):
        decode(rows.sealed(rows.EncodedRows(types, b"\x90"), b"", 1.0, 2.0, 0.5, "")).rows()


def test_an_entry_takes_little_beside_its_rows() -> None:
    """docs/performance.md counts the bytes of an entry: 27, the versions and the types."""
    payload = encode([(1, "text", None)], b"1" * 16, 1795921987.4, 1795925443.0, 0.002)
    assert len(payload) == 27 + 16 + len(b"3n") + len(msgspec.msgpack.encode([(1, "text", None)]))


def test_an_entry_may_depend_on_any_number_of_tags() -> None:
    versions = bytes(8 * 10_000)
    assert decode(encode(SAMPLE, versions, 1.0, 2.0, 0.5)).versions == versions


def test_the_stored_format_is_that_of_its_version() -> None:
    """Compare with bytes that were stored when the format got its number."""
    payload = encode(SAMPLE, b"12345678", 1.0, 2.0, 0.5) + b"\n" + encode(WIDE, b"12345678", 1.0, 2.0, 0.5)
    assert payload == GOLDEN.read_bytes(), (
        "The layout of stored entries has changed: raise the format version (cacheops.encoding.rows.FORMAT), and store "
        "these bytes under its number. Readers of the old version must never see the new layout."
    )


def test_an_entry_is_bound_to_its_key() -> None:
    payload = encode(SAMPLE, b"12345678", 1.0, 2.0, 0.5, "co:{default.a}:e:one")
    assert decode(payload, "co:{default.a}:e:one").rows() == SAMPLE
    for other in ("co:{default.a}:e:two", "co:{default.b}:e:one", ""):
        with pytest.raises(CorruptEntry):
            decode(payload, other)
