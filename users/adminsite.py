"""What all admin pages share: their base class, and quick lists of long tables."""

from typing import Any

from django.contrib.admin import ModelAdmin as DjangoModelAdmin
from django.core.paginator import Paginator
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils.functional import cached_property
from unfold.admin import ModelAdmin

from cacheops import bypassed
from cacheops.admin import CacheStateLink

# Nobody turns a hundred pages; counting five million rows to say how many there are takes seconds.
MAX_COUNTED = 10_000


class PlatformAdmin(CacheStateLink, ModelAdmin):
    """django-unfold's pages under every Django that we run on, with a link to the cache."""

    def changeform_view(self, request: HttpRequest, *args: Any, **kwargs: Any) -> Any:
        """Show and change what the database holds, whatever the cache says."""
        with bypassed():
            return super().changeform_view(request, *args, **kwargs)

    def get_action_choices(
        self, request: HttpRequest, default_choices: Any = None, action_location: Any = None
    ) -> list[tuple[str, str]]:
        """Take Django 6.1's `action_location`, which the last django-unfold for Python 3.11 does not."""
        if action_location is None:
            choices: list[tuple[str, str]] = super().get_action_choices(request)
            return choices
        none = [("", "Select action")]
        return DjangoModelAdmin.get_action_choices(self, request, none, action_location)  # type: ignore[call-arg]


class BoundedPaginator(Paginator):
    """Pages over the first MAX_COUNTED rows of a list, counted no further than that."""

    @cached_property
    def count(self) -> int:
        rows = self.object_list
        assert isinstance(rows, QuerySet), "the admin pages through querysets"
        return rows.order_by()[:MAX_COUNTED].count()
