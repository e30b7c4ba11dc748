"""The pages tell what was counted; they work, and say so, where a region is away, slow, or in memory."""

import re
import threading
import time
from functools import partial
from html import unescape
from typing import Any

import pytest
from django.contrib.contenttypes.models import ContentType
from django.test import Client

from cacheops import cached
from cacheops.exceptions import StoreUnavailable
from cacheops.instrumentation.counters import counters
from cacheops.models import QueuedInvalidation
from cacheops.monitoring.monitor import CacheMonitor
from cacheops.monitoring.recorder import flusher
from cacheops.panel import models_page, overview, region_page
from cacheops.panel.charts import rate_chart, rate_severity, reads_chart
from cacheops.panel.polling import Answers, Unavailable
from cacheops.patterns import CacheAsideManager
from cacheops.profiles import profile_of
from cacheops.regions import regions
from tests.cacheops.panel.conftest import PANEL, SignIn, World
from tests.layout import wait_for_replicas

pytestmark = pytest.mark.django_db(databases=["default", "other"])


@pytest.fixture
def counted(world: World) -> World:
    flusher.reset()  # it has told of this process in this minute, under another test's prefix
    for _ in range(10):  # of a table that this test's transaction has not written
        ContentType.objects.filter(app_label="devices", model="device").first()
    assert flusher.flush()
    return world


@pytest.fixture
def dead_west(world: World, settings: Any) -> None:
    """Have us-west-2's servers be at an address where nobody listens."""
    caches = {name: dict(config) for name, config in settings.CACHES.items()}
    caches["us-west-2"]["LOCATION"] = "redis://127.0.0.1:1"
    settings.CACHES = caches


def card(name: str) -> overview.Card:
    return next(one for one in overview.cards() if one.name == name)


def test_home_shows_the_regions_figures(counted: World, root: Client) -> None:
    east = card("us-east-1")
    assert (east.health, east.error) == ("healthy", "")
    assert east.now.hits >= 8
    assert east.chart is not None
    assert len(east.chart.bars) == 24
    assert east.memory_share
    content = root.get(PANEL).content.decode()
    for name in ("us-east-1", "us-west-2", "us-east-2"):
        assert f'id="card-{name}"' in content


def test_models_come_with_figures_and_advice(counted: World, root: Client) -> None:
    table = models_page.model_table("us-east-1", 1)
    rows = {row.name: row for row in table.rows}
    row = rows["contenttypes.contenttype"]
    assert row.reads.hits >= 8
    assert row.entries
    assert row.bytes
    assert row.advice.text == "Too few reads to say"
    assert "auth.group" in table.idle
    assert b"contenttypes.contenttype" in root.get(f"{PANEL}models/?span=1h").content


def test_no_time_to_live_is_told_of_keys_that_have_each_its_own(counted: World) -> None:
    counters.read("analytics:hour", misses=80)
    for name in ("analytics", "contenttypes.contenttype"):
        counters.read(f"{name}:get", misses=80, absent=80)
    assert flusher.flush()
    now = {row.name: row.advice.text for row in models_page.model_table("us-east-1", 1).rows}
    assert (now["analytics"], now["contenttypes.contenttype"]) == ("Cold start", "Cold start")
    rows = {row.name: row for row in models_page.rows_of(CacheMonitor("us-east-1").usage(hours=1), None, {})}
    assert "expired, or never read" in rows["analytics"].advice.why
    timeout = profile_of(ContentType).timeout
    assert f"expired (after {timeout:g} s)" in rows["contenttypes.contenttype"].advice.why


def test_a_model_without_a_profile_is_told_as_not_cached(counted: World, settings: Any) -> None:
    settings.CACHEOPS = {**settings.CACHEOPS, "contenttypes.contenttype": None}
    rows = {row.name: row for row in models_page.model_table("us-east-1", 1).rows}
    assert rows["contenttypes.contenttype"].advice.text == "Not cached"


def test_models_tell_stale_fills_and_where_invalidations_come_from(counted: World, root: Client) -> None:
    counters.read("contenttypes.contenttype:get", fills=3, stale_fills=2)
    for source, writes in (("raw SQL", 2), ("save", 40)):
        counters.add(f"w|django_content_type|{source}", {"writes": writes})
    assert flusher.flush()
    content = root.get(f"{PANEL}models/?span=1h").content.decode()
    assert "40 save, 2 raw SQL" in content
    assert "2 stale fills<" in content


def test_the_links_of_all_keys_lead_to_their_entries(counted: World, root: Client, staff: SignIn) -> None:
    CacheAsideManager().get_or_set("device:7:data", lambda: "d" * 5000)
    answer = cached(timeout=60)(_long_answer)
    answer("f")
    content = root.get(f"{PANEL}regions/us-east-1/").content.decode()
    links = [unescape(link) for link in re.findall(r'id="key-\d+" href="([^"]+)"', content)]
    found = {root.get(link).context["found"].key for link in links}
    assert {answer.key("f"), f"{counted.prefix}:{{+.device}}:e:device:7:data"} < found
    hidden = staff("cacheops.view_panel").get(f"{PANEL}regions/us-east-1/").content.decode()
    assert "device:7:data" not in hidden
    assert len(re.findall('id="key-', hidden)) == len(links) - 1


def _long_answer(letter: str) -> str:
    return letter * 5000


def test_a_region_shows_nodes_keys_and_pool(counted: World, root: Client) -> None:
    wait_for_replicas()
    page = region_page.region_page("us-east-1", "1h", counted.root)
    assert {node.role for node in page.card.state.nodes} == {"primary", "replica"}
    assert page.distribution is not None
    assert ("contenttypes.contenttype", "entries") in {(share.model, share.kind) for share in page.shares}
    assert any(large.is_entry for large in page.largest)
    content = root.get(f"{PANEL}regions/us-east-1/").content.decode()
    for node in page.card.state.nodes:
        assert node.server in content
    fleet = page.card.fleet
    assert fleet is not None
    assert fleet.lines
    assert f"{fleet.pool_in_use:,} in use, {fleet.pool_idle:,} idle of {fleet.pool_limit:,}" in content


def test_a_server_that_was_purged_after_a_restart_is_shown(world: World, root: Client) -> None:
    counters.event("recovery", servers=1, keys=20)
    flusher.flush()
    for page in (PANEL, f"{PANEL}regions/us-east-1/"):
        assert "Servers purged after a restart" in root.get(page).content.decode()


@pytest.mark.usefixtures("dead_west")
def test_a_region_that_is_away_is_told_and_the_others_are_shown(world: World, root: Client) -> None:
    QueuedInvalidation.objects.all().delete()  # what other tests could not tell a region
    QueuedInvalidation.objects.create(region="us-west-2", table="devices_device")
    response = root.get(PANEL)
    assert response.status_code == 200
    cards = {one.name: one for one in response.context["cards"]}
    assert (cards["us-west-2"].health, cards["us-east-1"].health) == ("down", "healthy")
    assert cards["us-west-2"].queued == 1
    assert "Its readers go to the database" in response.content.decode()
    for page in ("regions/us-west-2/", "models/?region=us-west-2"):
        assert root.get(PANEL + page).status_code == 200
    asked = {"model": "devices.device", "pk": world.device.pk, "region": "us-west-2"}
    assert "does not answer" in root.get(f"{PANEL}look-up/", asked).content.decode()


@pytest.mark.usefixtures("dead_west")
def test_an_invalidation_says_which_region_will_be_told_later(world: World, root: Client) -> None:
    response = root.post(f"{PANEL}actions/invalidate-model/", {"model": "devices.device"}, follow=True)
    assert "Queued for us-west-2" in response.content.decode()
    assert QueuedInvalidation.objects.filter(region="us-west-2", table="devices_device").exists()
    regions["us-west-2"].breaker.reset()


def test_it_works_on_the_embedded_store(world: World, root: Client, settings: Any) -> None:
    settings.CACHES = {**settings.CACHES, "embedded": {"BACKEND": "cacheops.backends.MemoryCache", "LOCATION": "x"}}
    settings.CACHEOPS_REGIONS = ("embedded",)
    settings.CACHEOPS_LOCAL_REGION = "embedded"
    kind = ContentType.objects.filter(model="device").values_list("pk", flat=True)[0]
    ContentType.objects.db_manager("default").all().get(pk=kind)
    flusher.flush()
    content = root.get(PANEL).content.decode()
    assert "in the memory of this process alone" in content
    for page in ("regions/embedded/", "models/"):
        assert root.get(PANEL + page).status_code == 200
    asked = {"model": "contenttypes.contenttype", "pk": kind, "region": "embedded"}
    assert root.get(f"{PANEL}look-up/", asked).context["found"].verdict == "hit"
    root.post(f"{PANEL}actions/pause/", {"model": "contenttypes.contenttype", "seconds": 60})
    assert root.get(f"{PANEL}look-up/", asked).context["found"].verdict == "bypass"


def test_regions_are_asked_at_once_once_and_not_for_long() -> None:
    asked, go_on = [], threading.Event()

    def slow() -> str:
        asked.append(1)
        assert go_on.wait(10)
        return "late"

    def away() -> str:
        raise StoreUnavailable("cut")

    answers = Answers()
    ask = partial(answers.ask, kept=3600)
    ask({"slow": slow, "away": away, "here": lambda: "here"}, until=time.monotonic())
    found = ask({"away": away, "here": lambda: "here"}, until=time.monotonic() + 10)
    assert found == {"away": Unavailable("cut"), "here": "here"}  # though the first has not answered
    assert isinstance(ask({"slow": slow}, until=time.monotonic())["slow"], Unavailable)
    go_on.set()
    assert ask({"slow": slow}, until=time.monotonic() + 10)["slow"] == "late"
    assert len(asked) == 1
    answers.forget()
    assert ask({"slow": slow}, until=time.monotonic() + 10)["slow"] == "late"
    assert len(asked) == 2


@pytest.mark.parametrize(
    ("rate", "severity"), [(None, "none"), (0.0, "poor"), (0.49, "poor"), (0.5, "fair"), (0.89, "fair"), (0.9, "good")]
)
def test_a_hit_rate_is_seen_by_its_bounds(rate: float | None, severity: str) -> None:
    assert rate_severity(rate) == severity


def test_charts_say_where_nothing_was_read(counted: World) -> None:
    points = overview.points("us-east-1", minutes=60)
    rates, reads = rate_chart(points), reads_chart(points)
    assert len(rates.bars) == 60
    assert rates.bars[0].severity == "none"
    assert "no reads" in rates.bars[0].text
    assert {bar.severity for bar in reads.bars} <= {"hits", "misses", "bypasses"}
    assert max(bar.height for bar in reads.bars) <= 100
