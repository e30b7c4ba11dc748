"""The tables of what must not be lost: queued invalidations, dead letters. (Entries live in the regions' stores.)"""

from django.db import models


class QueuedInvalidation(models.Model):
    """A table whose entries in a region must go before that region's cache is used again."""

    region = models.CharField(max_length=64, db_index=True)
    table = models.CharField(max_length=128)
    created_at = models.DateTimeField(auto_now_add=True)

    def __str__(self) -> str:
        return f"{self.table} in {self.region}"


class DeadLetter(models.Model):
    """A buffered write that the database refused for good: what it was, and why. Nothing is thrown away."""

    buffer = models.CharField(max_length=64)
    region = models.CharField(max_length=64)
    entry = models.CharField(max_length=64)  # its id in the region's stream
    payload = models.TextField()  # JSON
    reason = models.TextField()
    attempts = models.PositiveIntegerField()
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ["created_at", "pk"]
        constraints = [
            # A worker may die between the letter and its end in the stream: the next one writes no second letter.
            models.UniqueConstraint(fields=["buffer", "region", "entry"], name="one_letter_an_entry"),
        ]

    def __str__(self) -> str:
        return f"{self.buffer} {self.entry}: {self.reason}"
