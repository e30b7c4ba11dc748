"""The panel's entry in the admin, and the link from a model's change page to its cache state."""

from typing import Any

from django.contrib import admin
from django.http import HttpRequest
from django.urls.resolvers import URLPattern

from cacheops.models import Panel
from cacheops.panel.views import PanelViews


class CacheStateLink:
    """Mixed into a ModelAdmin: its change page leads those who may see the panel to what is cached of the object."""

    change_form_template = "cacheops/panel/change_form.html"


@admin.register(Panel)
class PanelAdmin(admin.ModelAdmin):
    """No rows: the admin's index and permissions lead to the panel's pages."""

    def get_urls(self) -> list[URLPattern]:
        return PanelViews(self.admin_site).urls()

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False
