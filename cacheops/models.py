"""The durable queue's table. (Entries live in the regions' stores, never in a database.)"""

from django.db import models


class QueuedInvalidation(models.Model):
    """A table whose entries in a region must go before that region's cache is used again."""

    region = models.CharField(max_length=64, db_index=True)
    table = models.CharField(max_length=128)
    created_at = models.DateTimeField(auto_now_add=True)

    def __str__(self) -> str:
        return f"{self.table} in {self.region}"
