"""CacheKeyBuilder: the specification's keys, without its mistakes."""

import re
from datetime import UTC, datetime, timedelta, timezone

import pytest

from cacheops.exceptions import CacheopsError, InvalidKey
from cacheops.patterns.keys import CacheKeyBuilder, filter_digest
from cacheops.protocol.keys import MAX_KEY_LENGTH, checked_key

keys = CacheKeyBuilder()


def test_the_keys_are_the_specifications() -> None:
    assert keys.device_data_key(123, "2024-01-15T10:00:00") == "device:123:data:2024-01-15T10:00:00"
    assert keys.device_summary_key(123, "24h") == "device:123:summary:24h"
    assert keys.device_current_key(123) == "device:123:current"
    assert keys.location_devices_key(45) == "location:45:devices"
    assert keys.user_session_key(7, "abc") == "user:7:session:abc"
    assert re.fullmatch(
        r"analytics:temperature:1h:[\w-]{22}",
        keys.analytics_key(metric="temperature", time_window="1h", filters='{"location_id": 45}'),
    )


def test_one_moment_has_one_key_whatever_its_zone() -> None:
    utc = datetime(2024, 1, 15, 10, tzinfo=UTC)
    same = utc.astimezone(timezone(timedelta(hours=8)))

    assert keys.device_data_key(1, utc) == keys.device_data_key(1, same)
    assert keys.device_data_key(1, utc) == keys.device_data_key(1, "2024-01-15T18:00:00+08:00")
    assert keys.device_data_key(1, utc, utc) != keys.device_data_key(1, utc)


def test_equal_filters_have_one_digest_and_others_another() -> None:
    given = {"location_id": 45, "device_type": "sensor", "since": datetime(2024, 1, 1, tzinfo=UTC)}
    turned = dict(reversed(given.items()))

    assert filter_digest(given) == filter_digest(turned)
    assert filter_digest('{"a": 1, "b": [2]}') == filter_digest({"b": [2], "a": 1}) == filter_digest('{"b":[2],"a":1}')
    assert filter_digest({"a": 1}) != filter_digest({"a": "1"})
    assert filter_digest("location") != filter_digest(["location"])


@pytest.mark.parametrize("number", [0, -1, True, "7", 7.0, None, "7:*"])
def test_ids_are_integers_above_0(number: object) -> None:
    with pytest.raises(InvalidKey, match="primary key"):
        keys.device_current_key(number)  # type: ignore[arg-type]


@pytest.mark.parametrize("part", ["", "two words", "a:b", "*", "new\nline", "x" * 10_000_000, None, "{slot}", "é"])
def test_other_parts_are_words(part: object) -> None:
    with pytest.raises(InvalidKey) as caught:
        keys.user_session_key(7, part)  # type: ignore[arg-type]
    assert len(str(caught.value)) < 300  # also of 10 MB
    assert isinstance(caught.value, CacheopsError)


@pytest.mark.parametrize("moment", ["yesterday", "", None, 7, "2024-01-15T10:00:00 *"])
def test_moments_are_moments(moment: object) -> None:
    with pytest.raises(InvalidKey, match="no moment"):
        keys.device_data_key(1, moment)  # type: ignore[arg-type]


def test_filters_without_a_canonical_form_are_refused() -> None:
    for filters in (object(), {"a": {1, object()}}):
        with pytest.raises(InvalidKey, match="canonical"):
            keys.analytics_key("temperature", "1h", filters)


def test_the_longest_key_is_allowed_and_no_longer_one() -> None:
    assert checked_key("k" * MAX_KEY_LENGTH)
    with pytest.raises(InvalidKey, match="201 characters"):
        checked_key("k" * (MAX_KEY_LENGTH + 1))


def test_patterns_name_one_entity_and_unknown_entities_are_refused() -> None:
    assert keys.get_invalidation_patterns("device", 1) == ["device:1:*"]
    assert keys.get_invalidation_patterns("user", 7) == ["user:7:*"]
    with pytest.raises(InvalidKey, match="device, location, user"):
        keys.get_invalidation_patterns("metric", 1)
