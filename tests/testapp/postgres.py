"""Models with PostgreSQL's own types; they are not made in other databases."""

from django.contrib.postgres import fields
from django.db import models


class PostgresField(models.Model):
    numbers = fields.ArrayField(models.IntegerField(), null=True)
    table = fields.ArrayField(fields.ArrayField(models.DecimalField(max_digits=8, decimal_places=2)), null=True)
    ids = fields.ArrayField(models.UUIDField(), null=True)
    whole = fields.IntegerRangeField(null=True)
    decimals = fields.DecimalRangeField(null=True)
    days = fields.DateRangeField(null=True)
    moments = fields.DateTimeRangeField(null=True)

    class Meta:
        app_label = "testapp"
        required_db_vendor = "postgresql"
