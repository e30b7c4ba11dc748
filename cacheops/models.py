"""The tables of what must not be lost: queued invalidations, dead letters, what administrators told. And the panel's
entry in the admin, with its permissions. (Entries live in the regions' stores.)"""

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


class Control(models.Model):
    """What an administrator told every process: a pause of a table's caching, or to close a region's circuit."""

    kind = models.CharField(max_length=8)  # "pause" or "reset" (cacheops/regions/switches.py)
    subject = models.CharField(max_length=128)  # a table, or a region
    until = models.DateTimeField(db_index=True)
    by = models.CharField(max_length=150)
    reason = models.CharField(max_length=200, blank=True)
    created_at = models.DateTimeField(auto_now_add=True)

    def __str__(self) -> str:
        return f"{self.kind} {self.subject}"


class Panel(models.Model):
    """No table: the panel's place in the admin, and what one may be allowed to do there."""

    class Meta:
        managed = False
        default_permissions = ("view",)
        permissions = [
            ("invalidate_object", "Can invalidate what is cached of one object"),
            ("invalidate_model", "Can invalidate what is cached of a model"),
            ("invalidate_pattern", "Can invalidate keys by a pattern"),
            ("invalidate_all", "Can invalidate everything"),
            ("warm_cache", "Can warm regions"),
            ("reset_breaker", "Can close the circuit of a region"),
            ("pause_caching", "Can pause the caching of a model"),
        ]
        verbose_name = "cache panel"
        verbose_name_plural = "cache panel"

    def __str__(self) -> str:
        return "cache panel"
