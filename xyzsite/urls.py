"""Every address of the platform."""

from django.contrib import admin
from django.urls import path

from xyzsite.api import api

urlpatterns = [path("admin/", admin.site.urls), path("api/", api.urls)]
