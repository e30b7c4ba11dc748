"""Models that few projects have: a key of two columns, a column that a migration adds, deletion by the database."""

from contextvars import ContextVar

from django.db import models
from django.db.models.lookups import Exact
from django.db.models.sql.where import AND, WhereNode


class Seat(models.Model):
    pk = models.CompositePrimaryKey("row", "number")
    row = models.IntegerField()
    number = models.IntegerField()
    status = models.CharField(max_length=10, default="free")

    class Meta:
        app_label = "testapp"


class Ticket(models.Model):
    """Refers to a seat by two columns."""

    row = models.IntegerField()
    number = models.IntegerField()
    seat = models.ForeignObject(
        Seat, models.CASCADE, from_fields=["row", "number"], to_fields=["row", "number"], related_name="tickets"
    )

    class Meta:
        app_label = "testapp"


class Sticker(models.Model):
    """Has a table whose name is written with its quotes."""

    text = models.CharField(max_length=20)

    class Meta:
        app_label = "testapp"
        db_table = '"testapp_sticker"'


class Grown(models.Model):
    """Has a column that its table lacks until a migration has been run."""

    name = models.CharField(max_length=20)
    added = models.IntegerField(default=0)

    class Meta:
        app_label = "testapp"


# Django 6.1 lets the database do it; before, these are rows that Django deletes itself.
BY_DATABASE = hasattr(models, "DB_CASCADE")
CASCADE = getattr(models, "DB_CASCADE", models.CASCADE)
SET_NULL = getattr(models, "DB_SET_NULL", models.SET_NULL)
SET_DEFAULT = getattr(models, "DB_SET_DEFAULT", models.SET_DEFAULT)
NO_STALL = 1  # which is never deleted


class Market(models.Model):
    name = models.CharField(max_length=20)

    class Meta:
        app_label = "testapp"


class Stall(models.Model):
    market = models.ForeignKey(Market, CASCADE)

    class Meta:
        app_label = "testapp"


class Crate(models.Model):
    stall = models.ForeignKey(Stall, CASCADE)
    inside = models.ForeignKey("self", CASCADE, null=True)

    class Meta:
        app_label = "testapp"


class Trader(models.Model):
    market = models.ForeignKey(Market, SET_NULL, null=True)
    stall = models.ForeignKey(Stall, SET_DEFAULT, default=NO_STALL, db_default=NO_STALL)

    class Meta:
        app_label = "testapp"


active_language: ContextVar[str] = ContextVar("active_language", default="en")


class ActiveTranslation(models.ForeignObject):
    """Joins the translation of the active language, as Django's own tests of foreign_object do."""

    requires_unique_target = False

    def get_extra_restriction(self, alias: str, related_alias: str) -> WhereNode:
        column = self.remote_field.model._meta.get_field("language").get_col(alias)
        return WhereNode([Exact(column, active_language.get())], AND)


class Story(models.Model):
    active = ActiveTranslation(
        "Translation", from_fields=["id"], to_fields=["story_id"], on_delete=models.CASCADE, related_name="+", null=True
    )

    class Meta:
        app_label = "testapp"


class Translation(models.Model):
    story = models.ForeignKey(Story, models.CASCADE)
    language = models.CharField(max_length=5)
    title = models.CharField(max_length=20)

    class Meta:
        app_label = "testapp"
