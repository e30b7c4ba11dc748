"""cached, cached_as, cached_view, cached_view_as: functions and views whose results are entries like any other.

`cached` depends on nothing but time and `.invalidate()`. `cached_as` depends on its samples (querysets, models,
instances): a write that would change one of them invalidates the result, under the same promise as a query's.
"""

from cacheops.decorators.functions import cached, cached_as
from cacheops.decorators.views import cached_view, cached_view_as

__all__ = ["cached", "cached_as", "cached_view", "cached_view_as"]
