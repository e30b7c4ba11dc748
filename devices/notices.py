"""Who is to hear of excursions: notices are stored in the transaction that begins or ends them; a worker sends them."""

from collections.abc import Sequence

from django.conf import settings
from django.utils import timezone

from devices.models import Excursion, Notice, Threshold
from locations.models import Membership, Role

Happened = tuple[Notice.Event, Excursion]


def announce(happened: Sequence[Happened]) -> None:
    """Store a notice for each person who is to hear of what has begun or ended; none where no e-mail is sent."""
    if not happened or not settings.XYZ_SENDS_EMAIL:
        return
    chosen = Threshold.objects.nocache().exclude(notify="")
    roles = dict(chosen.filter(pk__in={each.threshold_id for _, each in happened}).values_list("pk", "notify"))
    heard = [(event, each) for event, each in happened if each.threshold_id in roles]
    members: dict[int, list[tuple[int, Role]]] = {}
    for user, place, role in (
        Membership.objects.nocache()
        .filter(location__in={each.location_id for _, each in heard}, user__is_active=True)
        .exclude(user__email="")
        .values_list("user_id", "location_id", "role")
    ):
        members.setdefault(place, []).append((user, Role(role)))
    now = timezone.now()
    Notice.objects.bulk_create(
        (
            Notice(excursion=each, user_id=user, event=event, due_at=now)
            for event, each in heard
            for user, role in members.get(each.location_id, ())
            if role.includes(Role(roles[each.threshold_id]))
        ),
        ignore_conflicts=True,  # two may end one excursion
    )
