"""Fill regions before anybody asks: `manage.py warm_cache`, and the parts of which it is made.

An app registers what it wants warmed, in its `ready()`:

    register_warmer("devices", tasks, model=Device, help="current data, pages, 24 h summaries")

where `tasks(keys)` returns for some primary keys of the model what to fill: `Rows`, `Reads`, `Values`.
"""

from cacheops.warming.calls import Reads
from cacheops.warming.history import Outcome, WarmingRun, recent_runs
from cacheops.warming.registry import Warmer, register_warmer, rows_of
from cacheops.warming.sessions import sessions_of
from cacheops.warming.tasks import Rows, Task
from cacheops.warming.values import Corrections, Values
from cacheops.warming.warmer import CacheWarmer

__all__ = [
    "CacheWarmer",
    "Corrections",
    "Outcome",
    "Reads",
    "Rows",
    "Task",
    "Values",
    "Warmer",
    "WarmingRun",
    "recent_runs",
    "register_warmer",
    "rows_of",
    "sessions_of",
]
