"""E-mails of excursions, sent by the workers of flush_writes: each once, and again after a failure."""

import logging
from datetime import datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from django.conf import settings
from django.core.mail import send_mail
from django.db.models import F
from django.urls import reverse
from django.utils import timezone

from cacheops.signals import worker_heartbeat
from devices.metrics import METRICS
from devices.models import Notice
from xyzsite.web.formats import absolute, with_unit

logger = logging.getLogger(__name__)

MAX_AT_ONCE = 20  # readings wait while a worker sends
SENDING = timedelta(minutes=5)  # until another worker takes what one was sending: far more than sending may take
PAUSES = tuple(timedelta(minutes=minutes) for minutes in (1, 5, 15, 60))  # after failures of a notice; the last repeats


def register() -> None:
    """Have workers send what is due, where a mail server is configured."""
    if settings.XYZ_SENDS_EMAIL:
        worker_heartbeat.connect(send_due)


def send_due(**arguments: Any) -> None:
    """Send what is due, until the mail server fails."""
    for _ in range(MAX_AT_ONCE):
        notice = take()
        if notice is None or not send(notice):
            return


def take() -> Notice | None:
    """Return a notice that is due and that no other worker is sending; None for none.

    The statement that postpones it says whose it is: of two workers, one finds it as both have read it.
    """
    while (due := Notice.objects.filter(due_at__lte=(now := timezone.now())).first()) is not None:
        mine = Notice.objects.filter(pk=due.pk, due_at=due.due_at)
        if mine.update(due_at=now + SENDING, attempts=F("attempts") + 1):
            due.attempts += 1
            return due
    return None


def send(notice: Notice) -> bool:
    """Send a notice that was taken, and delete it; one that failed is due again later, with all that are due."""
    excursion, user = notice.excursion, notice.user
    if user.is_active and user.email and user.memberships.filter(location=excursion.location_id).exists():
        try:
            send_mail(" ".join(subject(notice).split()), text(notice), None, [user.email])
        except OSError as error:  # of the network, and all of smtplib's
            logger.warning("An e-mail to %s was not sent, attempt %d: %s", user.email, notice.attempts, error)
            postpone(notice, timezone.now())
            return False
    notice.delete()
    return True


def postpone(notice: Notice, now: datetime) -> None:
    Notice.objects.filter(due_at__lte=now).update(due_at=now + PAUSES[0])
    Notice.objects.filter(pk=notice.pk).update(due_at=now + PAUSES[min(notice.attempts, len(PAUSES)) - 1])


def subject(notice: Notice) -> str:
    excursion = notice.excursion
    name = f"{excursion.device} at {excursion.location}"
    bound = with_unit(excursion.bound, excursion.metric)
    if notice.event == Notice.Event.END:
        return f"{name}: no longer beyond {bound}"
    return f"{name}: {with_unit(excursion.extreme, excursion.metric)}, beyond {bound}"


def text(notice: Notice) -> str:
    excursion, device, place = notice.excursion, notice.excursion.device, notice.excursion.location
    zone = ZoneInfo(place.timezone)
    times = [f"Since: {absolute(excursion.began_at, zone, named=True)}"]
    if excursion.ended_at is not None:
        times.append(f"Until: {absolute(excursion.ended_at, zone, named=True)}")
    lines = [
        f"{METRICS[excursion.metric].label} of {device} ({device.serial}) at {place}",
        f"Bound: {with_unit(excursion.bound, excursion.metric)}",
        f"Farthest value: {with_unit(excursion.extreme, excursion.metric)}",
        *times,
    ]
    if settings.XYZ_PUBLIC_URL:
        lines += ["", settings.XYZ_PUBLIC_URL.rstrip("/") + reverse("device", args=[device.serial])]
    return "\n".join([*lines, "", "Who hears of it is set with the threshold; managers of the location change it."])
