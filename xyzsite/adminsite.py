"""What all admin pages share: quick lists of long tables, and how the site looks."""

from django.core.paginator import Paginator
from django.db.models import QuerySet
from django.utils.functional import cached_property

# Nobody turns a hundred pages; counting five million rows to say how many there are takes seconds.
MOST_COUNTED = 10_000


class BoundedPaginator(Paginator):
    """Pages over the first MOST_COUNTED rows of a list, counted no further than that."""

    @cached_property
    def count(self) -> int:
        rows = self.object_list
        assert isinstance(rows, QuerySet), "the admin pages through querysets"
        return rows.order_by()[:MOST_COUNTED].count()
