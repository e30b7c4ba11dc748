"""Which columns may stand in a tag."""

import pytest
from django.db import models

from cacheops.orm import schema
from tests.testapp.models import Book


@pytest.mark.parametrize(
    ("column", "may"), [("speed", True), ("km/h", False), ("a,b", False), ("a=b", False), ("é", True)]
)
def test_a_column_whose_name_means_something_in_a_tag_stands_in_none(
    column: str, may: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(schema, "fields_by_column", lambda table: {column: models.IntegerField()})
    schema.is_exact.cache_clear()
    assert schema.is_exact(Book._meta.db_table, column) is may
    schema.is_exact.cache_clear()
