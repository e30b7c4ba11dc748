"""A library: authors, their books, who borrowed them, and where they stand."""

import uuid

from django.contrib.contenttypes.fields import GenericForeignKey, GenericRelation
from django.contrib.contenttypes.models import ContentType
from django.db import models

from cacheops.queryset import CachedManager
from tests.testapp.fields import MoneyField
from tests.testapp.postgres import PostgresField as PostgresField
from tests.testapp.rare import Crate as Crate
from tests.testapp.rare import Grown as Grown
from tests.testapp.rare import Market as Market
from tests.testapp.rare import Seat as Seat
from tests.testapp.rare import Stall as Stall
from tests.testapp.rare import Sticker as Sticker
from tests.testapp.rare import Story as Story
from tests.testapp.rare import Ticket as Ticket
from tests.testapp.rare import Trader as Trader
from tests.testapp.rare import Translation as Translation


class Country(models.Model):
    code = models.CharField(max_length=2, primary_key=True)
    name = models.CharField(max_length=50)

    class Meta:
        ordering = ["code"]


class Author(models.Model):
    name = models.CharField(max_length=50, unique=True)
    country = models.ForeignKey(Country, models.SET_NULL, null=True, related_name="authors")
    mentor = models.ForeignKey("self", models.SET_NULL, null=True, related_name="students")
    born = models.DateField(null=True)


class Biography(models.Model):
    author = models.OneToOneField(Author, models.CASCADE, primary_key=True)
    text = models.TextField()


class Tag(models.Model):
    name = models.SlugField(unique=True)


class Status(models.TextChoices):
    DRAFT = "draft"
    OUT = "out"
    GONE = "gone"


FIRST_SHELF = 1  # where the books of a deleted shelf go


class Shelf(models.Model):
    label = models.CharField(max_length=20)


class Book(models.Model):
    title = models.CharField(max_length=80)
    isbn = models.UUIDField(default=uuid.uuid4, unique=True)
    author = models.ForeignKey(Author, models.CASCADE, related_name="books")
    shelf = models.ForeignKey(Shelf, models.SET_DEFAULT, null=True, default=FIRST_SHELF, related_name="books")
    status = models.CharField(max_length=10, choices=Status, default=Status.DRAFT)
    pages = models.IntegerField(null=True)
    rating = models.FloatField(default=0.0)
    price = models.DecimalField(max_digits=8, decimal_places=2, default=0)
    published = models.DateTimeField(null=True)
    extra = models.JSONField(default=dict)
    tags = models.ManyToManyField(Tag, related_name="books")
    readers = models.ManyToManyField(Author, through="Loan", related_name="borrowed")
    notes = GenericRelation("Note")

    objects = CachedManager()


class ShortBook(Book):
    class Meta:
        proxy = True


class BookByAuthor(Book):
    class Meta:
        proxy = True
        ordering = ("author__name", "pk")


class Loan(models.Model):
    book = models.ForeignKey(Book, models.CASCADE, related_name="loans")
    reader = models.ForeignKey(Author, models.CASCADE, related_name="loans")
    since = models.DateField()
    returned = models.BooleanField(default=False)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["book", "reader"], name="one_loan")]


class Note(models.Model):
    text = models.CharField(max_length=50)
    content_type = models.ForeignKey(ContentType, models.CASCADE)
    object_id = models.PositiveIntegerField()
    about = GenericForeignKey()


class Place(models.Model):
    name = models.CharField(max_length=50)
    city = models.CharField(max_length=50, default="")


class Library(Place):
    seats = models.IntegerField(default=0)
    open = models.BooleanField(default=True)


class Archive(Library):
    climate = models.CharField(max_length=20, default="")
    books = models.ManyToManyField(Book, related_name="archives")


class EveryField(models.Model):
    """Each of Django's own fields, and one of ours."""

    big = models.BigIntegerField(null=True)
    small = models.SmallIntegerField(null=True)
    positive = models.PositiveBigIntegerField(null=True)
    flag = models.BooleanField(null=True)
    char = models.CharField(max_length=200, null=True)  # noqa: DJ001
    text = models.TextField(null=True)  # noqa: DJ001
    email = models.EmailField(blank=True)
    url = models.URLField(blank=True)
    slug = models.SlugField(blank=True)
    path = models.FileField(null=True)
    binary = models.BinaryField(null=True)
    number = models.FloatField(null=True)
    decimal = models.DecimalField(max_digits=20, decimal_places=6, null=True)
    day = models.DateField(null=True)
    moment = models.DateTimeField(null=True)
    clock = models.TimeField(null=True)
    span = models.DurationField(null=True)
    uuid = models.UUIDField(null=True)
    json = models.JSONField(null=True)
    address = models.GenericIPAddressField(null=True)
    money = MoneyField(max_length=30, null=True)
    made = models.DateTimeField(auto_now_add=True)
    changed = models.DateTimeField(auto_now=True)
