"""Devices at locations, as the platform's own; every peer uses the same two tables."""

from django.conf import settings
from django.db import models
from django.utils.module_loading import import_string

manager = import_string(settings.BENCHMARK_MANAGER)


class Location(models.Model):
    name = models.CharField(max_length=120)
    code = models.SlugField(max_length=32, unique=True)
    region = models.CharField(max_length=16, default="us-east-1", db_index=True)
    timezone = models.CharField(max_length=64, default="America/New_York")
    active = models.BooleanField(default=True)

    objects = manager()

    class Meta:
        ordering = ["name"]
        base_manager_name = "objects"

    def __str__(self) -> str:
        return self.name


class Device(models.Model):
    location = models.ForeignKey(Location, on_delete=models.PROTECT, related_name="devices")
    serial = models.CharField(max_length=64, unique=True)
    name = models.CharField(max_length=120)
    kind = models.CharField(max_length=24)
    metric = models.CharField(max_length=24)
    status = models.CharField(max_length=16, default="active")
    metadata = models.JSONField(default=dict, blank=True)
    installed = models.DateField(null=True, blank=True)
    last_seen = models.DateTimeField(null=True, blank=True)
    current_value = models.FloatField(null=True, blank=True)

    objects = manager()

    class Meta:
        ordering = ["name"]
        indexes = [models.Index(fields=["location", "status"], name="device_by_status")]

    def __str__(self) -> str:
        return self.name
