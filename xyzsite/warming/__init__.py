"""What `manage.py warm_cache` fills: the rows and pages of each kind of thing."""

from cacheops.warming import register_warmer
from devices.models import Device
from locations.models import Location
from users.models import User
from xyzsite.warming import analytics, devices, locations, people


def register() -> None:
    """Register the warmers of the platform, in the order in which they run."""
    register_warmer(
        "users",
        people.tasks,
        model=User,
        help="their rows, their sessions, and what every page reads for them",
        batch=50,
    )
    register_warmer("locations", locations.tasks, model=Location, help="their rows and pages", batch=20)
    register_warmer(
        "devices", devices.tasks, model=Device, help="their rows and pages, with the 24 h summaries", batch=50
    )
    register_warmer(
        "analytics", analytics.tasks, keys=analytics.keys, help="overviews and the common analytics", batch=20
    )
