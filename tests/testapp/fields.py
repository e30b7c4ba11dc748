"""A field with converters: the database holds a text, Python a value object."""

from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from django.db import models


@dataclass(frozen=True)
class Money:
    amount: Decimal
    currency: str


class MoneyField(models.CharField):
    """Stored as "EUR 12.50"; folds the currency's case, so two values may be equal in the database only."""

    def from_db_value(self, value: str | None, expression: Any, connection: Any) -> Money | None:
        if value is None:
            return None
        currency, _, amount = value.partition(" ")
        return Money(Decimal(amount), currency)

    def to_python(self, value: Any) -> Any:
        return value

    def get_prep_value(self, value: Any) -> Any:
        return f"{value.currency.upper()} {value.amount}" if isinstance(value, Money) else value
