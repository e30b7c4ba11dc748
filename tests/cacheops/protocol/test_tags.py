"""Tags, tokens and keys: equal values have one name, and no two different ones share it."""

import datetime as dt
import uuid
from decimal import Decimal
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from django.utils.safestring import mark_safe
from hypothesis import given
from hypothesis import strategies as st

from cacheops.protocol.keys import BY_NAME, METRICS, TableKeys, base_of, digest, parse, start_of
from cacheops.protocol.tags import MAX_NAME, NoToken, bucket, named, new_version, parts_of, scheme_of, tag_name, token
from tests.testapp.models import Status

TEXT = st.text(st.characters(exclude_categories=["Cs"]))
VALUES = st.one_of(TEXT, st.integers(), st.booleans(), st.uuids(), st.dates(), st.datetimes(timezones=st.just(dt.UTC)))
BERLIN = ZoneInfo("Europe/Berlin")


@given(TEXT, TEXT)
def test_different_texts_have_different_tokens(one: str, other: str) -> None:
    assert (token(one) == token(other)) == (one == other)


@given(st.integers(), st.integers())
def test_different_numbers_have_different_tokens(one: int, other: int) -> None:
    assert (token(one) == token(other)) == (one == other)


@pytest.mark.parametrize(
    ("one", "same"),
    [
        (Status.OUT, "out"),
        (mark_safe("out"), "out"),
        (True, 1),
        (dt.datetime(2026, 3, 1, 12, tzinfo=BERLIN), dt.datetime(2026, 3, 1, 11, tzinfo=dt.UTC)),
        (uuid.UUID(int=5), uuid.UUID(int=5)),
    ],
)
def test_what_a_database_holds_equal_has_one_token(one: Any, same: Any) -> None:
    assert token(one) == token(same)


@pytest.mark.parametrize(("one", "other"), [("1", 1), ("~", None), ("", None), ("a", "A"), ("é", "e\u0301")])
def test_what_is_not_equal_has_two_tags(one: Any, other: Any) -> None:
    assert tag_name("x", {"x": one}) != tag_name("x", {"x": other})


@pytest.mark.parametrize("value", [1.5, Decimal("1.0"), b"x", [1], object()])
def test_values_whose_equality_is_not_pythons_have_no_token(value: Any) -> None:
    with pytest.raises(NoToken):
        token(value)


@given(st.dictionaries(st.sampled_from("abcd"), VALUES, min_size=1), TEXT)
def test_a_tag_says_its_scheme_and_stays_short(values: dict[str, Any], text: str) -> None:
    scheme = scheme_of(dict.fromkeys(values))
    name = tag_name(scheme, values)
    assert len(name) <= MAX_NAME + len(scheme) + 30
    assert [part.column for part in parts_of(scheme)] == sorted(values)
    assert tag_name(scheme, values | {"other column": text}) == name


def test_a_value_can_not_pass_for_another_condition() -> None:
    assert named("a,b", [token("1&b=2"), token("3")]) != named("a,b", [token("1"), token("2&b=3")])


def test_a_row_without_the_column_has_no_tag() -> None:
    with pytest.raises(KeyError):
        tag_name("a,b", {"a": 1})


@given(st.datetimes(timezones=st.just(dt.UTC)), st.sampled_from([60, 3600, 86400]))
def test_a_moment_lies_in_one_bucket_in_every_zone(moment: dt.datetime, width: int) -> None:
    if dt.datetime.min.year < moment.year < dt.datetime.max.year:
        assert bucket(moment, width) == bucket(moment.astimezone(BERLIN), width)
    assert bucket(moment.date(), 86400) == bucket(moment, 86400)


def test_versions_differ() -> None:
    assert len({new_version() for _ in range(1000)}) == 1000


@given(TEXT, TEXT)
def test_tables_have_keys_of_their_own_and_one_hash_tag_each(one: str, other: str) -> None:
    first, second = TableKeys.of("co", "default", one), TableKeys.of("co", "default", other)
    assert (first.base == second.base) == (one == other)
    for key in (first.registry, first.generation, first.tag("a={1}"), first.entry("x"), first.loader("x")):
        assert key[key.index("{") : key.index("}")] == first.base[first.base.index("{") : first.base.index("}")]


@given(TEXT, TEXT)
def test_a_key_is_parsed_into_what_it_was_made_of(table: str, name: str) -> None:
    keys = TableKeys.of("co", "default", table)
    for key, kind, named_ in (
        (keys.entry(name), "e", name),
        (keys.tag(name), "t", name),
        (keys.loader(name), "l", name),
        (keys.generation, "t", "*"),
        (keys.registry, "r", ""),
        (keys.outdated, "o", ""),
    ):
        assert parse(key) == ("co", "default", keys.table, kind, named_)
        assert parse(key).keys == keys  # type: ignore[union-attr]
        assert key.startswith(start_of("co", "default"))


def test_keys_of_no_table_are_parsed_too() -> None:
    assert parse(base_of("co:x", METRICS, "m-29712345") + "b:a:b") == ("co:x", "metrics", "m-29712345", "b", "a:b")
    assert parse(TableKeys.of("co", BY_NAME, "device").entry("device:7")) == ("co", "+", "device", "e", "device:7")


@pytest.mark.parametrize("text", ["", "co", ":1:user:7", "co:{default}:e:x", "co:{a.b}", "co:{a.b}:", "co:{a.b}e:x"])
def test_other_texts_are_no_keys(text: str) -> None:
    assert parse(text) is None


def test_databases_and_prefixes_keep_apart() -> None:
    made = {TableKeys.of(prefix, database, "t").base for prefix in ("a", "b") for database in ("x", "y")}
    assert len(made) == 4


def test_a_digest_has_128_bits() -> None:
    assert len(digest(b"a")) == 22
    assert digest(b"a") != digest(b"b")
