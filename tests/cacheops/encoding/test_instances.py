"""Instances and JSON made quickly are those that Django makes."""

import datetime as dt
import json
import math
from typing import Any

import pytest
from django.db import models
from django.db.models.signals import post_init, pre_init
from django.test.utils import isolate_apps
from hypothesis import given
from hypothesis import strategies as st

from cacheops.orm.hydration import Maker, dict_maker, json_converter, maker_of
from devices.models import Device
from locations.models import Location

NAMES = [field.attname for field in Device._meta.concrete_fields]
ROW = (7, 3, "s-7", "Roof", "thermometer", "temperature", "active", {"floor": 1}, "", dt.date(2024, 1, 1), None, 20.5)


def test_an_instance_is_the_one_that_django_makes() -> None:
    ours, django = maker_of(Device).from_db("default", NAMES, ROW), Device.from_db("default", NAMES, ROW)
    assert type(maker_of(Device)) is Maker
    assert {**vars(ours), "_state": None} == {**vars(django), "_state": None}
    assert ours._state.fields_cache == {}  # made when first asked for
    assert vars(ours._state) == vars(django._state)
    assert list(vars(ours)) == list(vars(django))


def test_columns_left_out_are_deferred() -> None:
    some = maker_of(Device).from_db("default", ["id", "name"], (7, "Roof"))
    assert some.get_deferred_fields() == set(NAMES) - {"id", "name"}


@pytest.mark.parametrize("signal", [pre_init, post_init])
def test_who_listens_to_new_instances_hears_of_each(signal: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    heard: list[Any] = []

    def listen(sender: Any, **kwargs: Any) -> None:
        heard.append(sender)

    def made_by_django(*args: Any) -> None:
        raise AssertionError("nobody listens to this model")

    for model in (Device, Location):
        signal.connect(listen, sender=model)
        try:
            maker_of(Device).from_db("default", NAMES, ROW)
        finally:
            signal.disconnect(listen, sender=model)
        monkeypatch.setattr(Device, "from_db", made_by_django)
    assert heard == [Device]


@isolate_apps("devices")
def test_a_model_with_ways_of_its_own_makes_its_instances_itself() -> None:
    class WithInit(models.Model):  # noqa: DJ008
        class Meta:
            app_label = "devices"

        def __init__(self, *args: Any, **kwargs: Any) -> None:
            super().__init__(*args, **kwargs)

    class WithFile(models.Model):  # noqa: DJ008
        file = models.FileField()

        class Meta:
            app_label = "devices"

    class WithFromDb(models.Model):  # noqa: DJ008
        class Meta:
            app_label = "devices"

        @classmethod
        def from_db(cls, *args: Any, **kwargs: Any) -> Any:
            return super().from_db(*args, **kwargs)

    class WithNew(models.Model):  # noqa: DJ008
        class Meta:
            app_label = "devices"

        def __new__(cls, *args: Any, **kwargs: Any) -> Any:
            return super().__new__(cls)

    class WithSetattr(models.Model):  # noqa: DJ008
        class Meta:
            app_label = "devices"

        def __setattr__(self, name: str, value: Any) -> None:
            super().__setattr__(name, value)

    for model in (WithInit, WithFile, WithFromDb, WithNew, WithSetattr):
        assert maker_of(model) is model


@pytest.mark.parametrize(
    "text",
    [
        '{"a": 1, "a": 2}',
        "123456789012345678901234567890",
        "-9223372036854775809",
        "[1.5, -0.0, 1e5, 0.1]",
        "1e400",
        '"\\ud800"',
        '"\\u0000é"',
        "[true, null, {}]",
        "Infinity",
    ],
)
def test_json_is_read_as_django_reads_it(text: str) -> None:
    field = models.JSONField()
    expected = field.from_db_value(text, None, None)
    found = json_converter(field.from_db_value)(text, None, None)
    assert (found, type(found)) == (expected, type(expected))
    assert json.dumps(found) == json.dumps(expected)


def test_json_that_is_not_a_number_is_read_as_django_reads_it() -> None:
    field = models.JSONField()
    assert math.isnan(json_converter(field.from_db_value)("NaN", None, None))
    assert json_converter(field.from_db_value)(None, None, None) is None


@given(
    st.lists(st.text() | st.sampled_from(["it's", 'a"b', "{x}", "\\", "v0", "rows", "a\nb"]), min_size=1, max_size=300)
)
def test_dictionaries_have_the_names_that_were_given(names: list[str]) -> None:
    rows = [[*range(len(names))], tuple(map(str, range(len(names))))]
    assert dict_maker(tuple(names))(rows) == [dict(zip(names, row, strict=True)) for row in rows]


@pytest.mark.parametrize("row", [(), (1,), (1, 2, 3)])
def test_a_row_of_another_length_makes_no_dictionary(row: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match="unpack"):
        dict_maker(("a", "b"))([row])
