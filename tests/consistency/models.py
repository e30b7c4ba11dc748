"""The tables that readers and writers meet at. All that a row holds follows from its pk and its counter (rules.py)."""

from django.db import models

from cacheops.queryset import CachedManager


class Shelf(models.Model):
    counter = models.BigIntegerField(default=0)

    def __str__(self) -> str:
        return f"shelf {self.pk} at {self.counter}"


class Item(models.Model):
    code = models.CharField(max_length=20, unique=True)
    counter = models.BigIntegerField(default=0)  # grows by one with each committed transaction that changes the row
    shelf = models.ForeignKey(Shelf, on_delete=models.PROTECT, related_name="items")
    parity = models.IntegerField()
    amount = models.IntegerField(default=0)  # moved between rows: the sum of all never changes
    dirty = models.BooleanField(default=False)  # only within transactions: nobody else may ever see it true

    objects = CachedManager()

    def __str__(self) -> str:
        return f"{self.code} at {self.counter} on shelf {self.shelf_id}"


class Ledger(models.Model):
    """The counters of mortal items, which outlive their rows. Only read with its rows locked."""

    counter = models.BigIntegerField(default=0)

    def __str__(self) -> str:
        return f"item {self.pk} at {self.counter}"
