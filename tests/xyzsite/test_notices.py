"""E-mails of excursions: who gets them, once, and again after a mail server has failed."""

import socket
import socketserver
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from io import StringIO
from typing import Any

import pytest
from django.core import mail
from django.core.management import call_command
from django.db import connections
from django.utils import timezone

from cacheops.signals import worker_heartbeat
from devices.changes import change_device, create_device
from devices.models import Device, Notice, Threshold
from devices.services import NewReading, record_readings
from locations.models import Location, Membership, Role
from users.models import User
from xyzsite import notices
from xyzsite.settings.mail import mail_settings

NOON = datetime(2026, 5, 4, 12, tzinfo=UTC)


@pytest.fixture(autouse=True)
def _sends(settings: Any) -> None:
    settings.XYZ_SENDS_EMAIL = True
    settings.XYZ_PUBLIC_URL = "https://platform.example.org"


@pytest.fixture
def device(db: None) -> Device:
    yard = Location.objects.create(code="yard", name="Yard", timezone="UTC")
    other = Location.objects.create(code="ridge", name="Ridge")
    for role in Role:
        user = User.objects.create_user(f"a-{role}", f"{role}@example.org")
        Membership.objects.create(user=user, location=yard, role=role)
    for name, address, active, place in (
        ("gone", "gone@example.org", False, yard),
        ("silent", "", True, yard),
        ("elsewhere", "elsewhere@example.org", True, other),
    ):
        user = User.objects.create_user(name, address, is_active=active)
        Membership.objects.create(user=user, location=place, role=Role.MANAGER)
    return create_device(yard, serial="t-1", name="Hall", kind="thermometer", metric="temperature")


def bound(device: Device, notify: str = "operator") -> Threshold:
    return Threshold.objects.create(metric="temperature", high=30, notify=notify)


def post(device: Device, *values: float, minute: int = 0) -> None:
    record_readings(
        NewReading(device.pk, "temperature", value, NOON + timedelta(minutes=minute + place))
        for place, value in enumerate(values)
    )


def heard() -> list[tuple[str, str]]:
    return sorted((message.to[0].split("@")[0], message.subject.split(": ")[1]) for message in mail.outbox)


@pytest.mark.parametrize(
    ("notify", "people"),
    [
        ("", []),
        ("viewer", ["manager", "operator", "viewer"]),
        ("operator", ["manager", "operator"]),
        ("manager", ["manager"]),
    ],
)
def test_those_with_the_role_hear_of_the_beginning_and_of_the_end(
    device: Device, notify: str, people: list[str]
) -> None:
    bound(device, notify)
    post(device, 29, 31, 33)
    notices.send_due()
    assert heard() == [(name, "33.0 °C, beyond 30.0 °C") for name in people]
    post(device, 34, 29, minute=3)
    mail.outbox.clear()
    notices.send_due()
    notices.send_due()
    assert heard() == [(name, "no longer beyond 30.0 °C") for name in people]
    assert not Notice.objects.exists()
    if people:
        assert mail.outbox[0].body.split("\n") == [
            "Temperature of Hall (t-1) at Yard",
            "Bound: 30.0\u202f°C",
            "Farthest value: 34.0\u202f°C",
            "Since: 4 May 2026, 12:01 UTC",
            "Until: 4 May 2026, 12:04 UTC",
            "",
            "https://platform.example.org/devices/t-1/",
            "",
            "Who hears of it is set with the threshold; managers of the location change it.",
        ]


def test_who_left_meanwhile_hears_nothing(device: Device) -> None:
    bound(device)
    post(device, 31)
    Membership.objects.filter(role=Role.OPERATOR).delete()
    User.objects.filter(username="a-manager").update(is_active=False)
    notices.send_due()
    assert (mail.outbox, Notice.objects.count()) == ([], 0)


def test_an_end_by_a_change_is_told_too(device: Device) -> None:
    bound(device, "manager")
    post(device, 31)
    change_device(device, status="maintenance")
    notices.send_due()
    assert heard() == [("manager", "31.0 °C, beyond 30.0 °C"), ("manager", "no longer beyond 30.0 °C")]


def test_without_a_mail_server_nothing_waits(device: Device, settings: Any) -> None:
    settings.XYZ_SENDS_EMAIL = False
    bound(device)
    post(device, 31, 29)
    assert not Notice.objects.exists()


class MailServer(socketserver.ThreadingTCPServer):
    """Enough of SMTP (RFC 5321) to take a message, or to refuse each recipient with `refusal`."""

    daemon_threads = True
    allow_reuse_address = True
    refusal = ""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), MailSession)
        self.taken: list[str] = []


class MailSession(socketserver.StreamRequestHandler):
    server: MailServer

    def say(self, line: str) -> None:
        self.wfile.write(f"{line}\r\n".encode())

    def handle(self) -> None:
        self.say("220 here")
        recipient = ""
        for line in iter(lambda: self.rfile.readline().decode().strip().upper(), ""):
            if line.startswith("RCPT"):
                recipient = line.lower().partition("<")[2].partition("@")[0]
                self.say(self.server.refusal or "250 ok")
            elif line == "DATA":
                self.say("354 go on")
                while self.rfile.readline() != b".\r\n":
                    pass
                self.server.taken.append(recipient)
                self.say("250 taken")
            else:
                self.say("221 bye" if line == "QUIT" else "250 ok")


@pytest.fixture
def mail_server(settings: Any) -> Iterator[MailServer]:
    with MailServer() as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        use(settings, server.server_address[1])
        yield server
        server.shutdown()
        thread.join()


def use(settings: Any, port: int) -> None:
    del settings.MAILERS  # of Django before 6.1, where it means nothing
    for name, value in mail_settings("EMAIL_URL", f"smtp://127.0.0.1:{port}").items():
        setattr(settings, name, value)


def let_all_be_due() -> None:
    Notice.objects.update(due_at=timezone.now())


def test_what_a_mail_server_refuses_is_sent_later_and_once(
    device: Device, mail_server: MailServer, caplog: pytest.LogCaptureFixture
) -> None:
    bound(device)
    post(device, 31)
    mail_server.refusal = "451 not now"
    notices.send_due()
    notices.send_due()  # nothing is due now
    assert sorted(Notice.objects.values_list("attempts", flat=True)) == [0, 1]
    assert "An e-mail to operator@example.org was not sent, attempt 1" in caplog.text.replace("manager", "operator")
    mail_server.refusal = ""
    let_all_be_due()
    notices.send_due()
    notices.send_due()
    assert sorted(mail_server.taken) == ["manager", "operator"]
    assert not Notice.objects.exists()


def test_a_mail_server_that_is_away_is_asked_ever_more_seldom(device: Device, settings: Any) -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        use(settings, unused.getsockname()[1])  # nobody listens there
        bound(device, "manager")
        post(device, 31)
        waits = []
        for _ in range(5):
            let_all_be_due()
            before = timezone.now()
            notices.send_due()
            waits.append(round((Notice.objects.get().due_at - before) / timedelta(minutes=1)))
    assert waits == [1, 5, 15, 60, 60]


@pytest.mark.servers
@pytest.mark.django_db(transaction=True)
def test_of_many_workers_each_notice_has_one(device: Device, mail_server: MailServer) -> None:
    bound(device, "viewer")
    post(device, *[31, 29] * 6)

    def work(_: int) -> None:
        try:
            notices.send_due()
        finally:
            connections.close_all()

    with ThreadPoolExecutor(4) as workers:
        list(workers.map(work, range(4)))
    assert sorted(mail_server.taken) == sorted(["manager", "operator", "viewer"] * 12)
    assert not Notice.objects.exists()


def test_a_worker_that_dies_while_it_sends_leaves_the_notice_to_another(device: Device) -> None:
    bound(device, "manager")
    post(device, 31)
    assert notices.take() is not None
    notices.send_due()
    assert not mail.outbox
    let_all_be_due()
    notices.send_due()
    assert len(mail.outbox) == 1


def test_workers_of_flush_writes_send(device: Device) -> None:
    bound(device, "manager")
    post(device, 31)
    notices.register()
    try:
        call_command("flush_writes", "--once", stdout=StringIO())
    finally:
        worker_heartbeat.disconnect(notices.send_due)
    assert heard() == [("manager", "31.0 °C, beyond 30.0 °C")]
