"""The look-up page agrees with what a read does, and shows rows and values only to those who may see them."""

import re
from typing import Any

import pytest
from django.test import Client

import cacheops
from cacheops import keys_of
from cacheops.conf import conf
from cacheops.databases import table_keys
from cacheops.invalidation import invalidate_model
from cacheops.monitoring.nodes import SlowCommand
from cacheops.panel.entry_page import NotFound, look_up_keys, look_up_row
from cacheops.panel.permissions import shown_key
from cacheops.panel.region_page import large_key, shown
from cacheops.patterns import CacheAsideManager
from cacheops.protocol.keys import RECIPE, TableKeys
from cacheops.protocol.tags import WHOLE_TABLE
from cacheops.regions import regions
from cacheops.stores.base import EncodedEntry
from cacheops.writing.changes import Changes
from cacheops.writing.intent import WriteIntent
from devices.models import Device
from tests.cacheops.panel.conftest import PANEL, SignIn, World
from users.models import User

pytestmark = pytest.mark.django_db(transaction=True, databases=["default", "other"])


def look(world: World, text: str = "", region: str = "us-east-1") -> Any:
    return look_up_row(region, Device, text or str(world.device.pk), world.root)


def test_an_entry_is_a_miss_then_a_hit_then_a_miss(world: World) -> None:
    assert (look(world).verdict, look(world).entry) == ("miss", None)
    Device.objects.get(pk=world.device.pk)
    found = look(world)
    assert found.verdict == "hit"
    assert found.age is not None
    assert found.left is not None
    assert found.age < found.left <= 300
    assert [(tag.name, tag.state, tag.agrees) for tag in found.tags] == [
        ("*", "clean", True),
        (f"id={world.device.pk}", "clean", True),
    ]
    assert "id" in found.schemes
    assert dict(found.rows[0])["serial"] == "H-1"
    Device.objects.filter(pk=world.device.pk).update(name="Other")
    found = look(world)
    assert found.verdict == "miss"
    assert f"id={world.device.pk}" in found.why
    assert found.tags[0].agrees


def test_a_row_is_found_by_another_unique_field(world: World) -> None:
    Device.objects.get(serial="H-1")
    assert look(world, "serial=H-1").verdict == "hit"
    assert look(world).verdict == "miss"


def test_each_region_has_entries_of_its_own(world: World) -> None:
    Device.objects.get(pk=world.device.pk)
    assert look(world, region="us-west-2").verdict == "miss"


def test_a_writer_under_way_makes_it_a_bypass(world: World) -> None:
    Device.objects.get(pk=world.device.pk)
    changes = Changes()
    changes.add("devices_device", [{"id": world.device.pk, "location_id": 1, "serial": "H-1"}], "update")
    intent = WriteIntent("default", changes)
    intent.mark()
    found = look(world)
    assert found.verdict == "bypass"
    assert "writer" in found.why
    assert "pending" in {tag.state for tag in found.tags}
    intent.clear()
    assert look(world).verdict == "miss"


def test_bytes_that_are_no_entry_are_a_miss(world: World) -> None:
    Device.objects.get(pk=world.device.pk)
    key = look(world).key
    regions.local.store.fill([EncodedEntry(key, b"no entry", 60)]).result()
    assert look(world).verdict == "miss"
    assert "no entry" in look(world).why


def test_a_querysets_keys_are_judged_with_all_its_tags(world: World) -> None:
    devices = Device.objects.filter(location__code="harbor").order_by("pk")
    list(devices)
    keys = keys_of(devices)
    assert len(keys) >= 4
    found = look_up_keys("us-east-1", "\n".join(keys), world.root)
    assert (found.verdict, found.row_count) == ("hit", 1)
    alone = look_up_keys("us-east-1", keys[0], world.root)
    assert alone.verdict == "unknown"
    assert "more tags" in alone.why
    invalidate_model(Device)
    assert look_up_keys("us-east-1", " ".join(keys), world.root).verdict == "miss"
    assert look_up_keys("us-east-1", keys[0], world.root).verdict == "miss"


def test_an_entry_under_a_name_is_judged_on_the_page_as_a_reader_does(world: World, root: Client) -> None:
    aside = CacheAsideManager(rows=True)
    aside.get_or_set("analytics:hour", lambda: [[b"\0" * 1200, "rain"]])
    ((key,),) = regions.local.store.scan(TableKeys.of(conf.prefix, "+", "analytics").entry(""))
    response = root.get(f"{PANEL}look-up/", {"region": "us-east-1", "key": key})
    found, page = response.context["found"], response.content.decode()
    assert found.verdict == "unknown"  # a name alone does not tell what it depends on
    assert found.why == "The table's generation agrees; 1 more tag counts, which a key alone does not name."
    assert "1,200 bytes" in page
    assert "Profile’s TTL" not in page


def test_the_page_names_the_function_that_gives_keys(root: Client) -> None:
    named = re.search(r"<code>cacheops\.([\w.]+)\(queryset\)</code>", root.get(f"{PANEL}look-up/").content.decode())
    assert callable(getattr(cacheops, named[1]))


@pytest.mark.parametrize(
    "text",
    [
        "",
        "nonsense",
        "co:{default.devices_device}:t:*",
        "co:{default.x}:e:abc co:{default.y}:t:*",
        "a:{b.c}:e:d {b.c}:r",
        "co:{elsewhere.devices_device}:e:x",
        "co:{default.x}:e:",
    ],
)
def test_what_is_no_key_is_told(world: World, text: str) -> None:
    with pytest.raises(NotFound):
        look_up_keys("us-east-1", text, world.root)


@pytest.mark.parametrize("text", ["nothing=1", "x", "name=Quay thermometer", "readings=1", "location=1"])
def test_what_names_no_row_is_told_on_the_page(root: Client, text: str) -> None:
    response = root.get(f"{PANEL}look-up/", {"model": "devices.device", "pk": text})
    assert response.status_code == 200
    assert "found" not in response.context
    assert response.context["form"].non_field_errors()


@pytest.mark.parametrize(
    ("asked", "sentence"),
    [
        pytest.param(
            {"pk": "1", "region": "nope"},
            "There is no region nope: choose of us-east-1, us-west-2, us-east-2.",
            marks=pytest.mark.servers,
        ),
        ({"pk": "1\0"}, "Null characters are not allowed."),
        ({"key": "x" * 40_001}, "Ensure this value has at most 40000 characters"),
    ],
    ids=["region", "pk", "key"],
)
def test_what_is_wrong_is_told_beside_its_field(root: Client, asked: dict[str, str], sentence: str) -> None:
    response = root.get(f"{PANEL}look-up/", {"model": "devices.device", **asked})
    assert "found" not in response.context
    assert sentence in response.content.decode()


def test_rows_are_for_those_who_may_view_the_model(world: World, staff: SignIn) -> None:
    Device.objects.get(pk=world.device.pk)
    asked = {"model": "devices.device", "pk": world.device.pk}
    seen = staff("cacheops.view_panel", "devices.view_device").get(f"{PANEL}look-up/", asked).content.decode()
    assert "Quay thermometer" in seen
    hidden = staff("cacheops.view_panel").get(f"{PANEL}look-up/", asked)
    assert hidden.context["found"].verdict == "hit"
    assert "Quay thermometer" not in hidden.content.decode()
    pasted = {"key": " ".join(keys_of(Device.objects.filter(pk=world.device.pk)))}
    list(Device.objects.filter(pk=world.device.pk))
    client = staff("cacheops.view_panel", "devices.view_device")
    assert client.get(f"{PANEL}look-up/", pasted).context["found"].verdict == "hit"
    assert "Quay thermometer" not in client.get(f"{PANEL}look-up/", pasted).content.decode()


def test_secrets_are_shown_to_nobody(world: World, root: Client) -> None:
    user = User.objects.get(pk=world.root.pk)
    assert user.password
    response = root.get(f"{PANEL}look-up/", {"model": "users.user", "pk": user.pk})
    assert response.context["found"].verdict == "hit"
    assert user.username in response.content.decode()
    assert user.password not in response.content.decode()


def test_keys_show_no_values_to_those_who_may_not_see_them(world: World) -> None:
    clerk = User.objects.create_user("clerk", is_staff=True)
    keys = table_keys("default", "users_user")
    assert shown_key(keys.tag("username=ann&email='x@y"), clerk) == keys.tag("username=…&email=…")
    assert shown_key(keys.tag("username=ann"), world.root) == keys.tag("username=ann")
    assert shown_key(keys.entry("digest"), clerk) == keys.entry("digest")
    assert shown_key(keys.generation, clerk) == keys.generation
    aside = TableKeys.of(conf.prefix, "+", "user").entry("user:7:session:abc")
    assert "abc" not in shown_key(aside, clerk)
    assert shown_key(":1:sessions:abc", clerk) == "…"


class With:
    """One of the staff, with these permissions only."""

    is_superuser = False

    def __init__(self, *permissions: str) -> None:
        self.has_perm = frozenset(permissions).__contains__


def test_values_in_keys_are_for_those_who_may_view_or_change_their_model() -> None:
    keys, others = table_keys("default", "devices_device"), table_keys("default", "no_model")
    nobody, viewer, changer = With("users.view_user"), With("devices.view_device"), With("devices.change_device")
    tag, hidden = keys.tag("serial=H-1"), keys.tag("serial=…")
    assert [shown_key(tag, who) for who in (nobody, viewer, changer)] == [hidden, tag, tag]
    assert shown_key(others.tag("serial=H-1"), viewer) == others.tag("serial=…")
    for key in (keys.registry, keys.tag(WHOLE_TABLE), keys.loader("digest"), ""):
        assert shown_key(key, nobody) == key
    assert shown_key(f"{keys.base}{RECIPE}:digest", viewer) == f"{keys.base}{RECIPE}:…"
    assert shown_key(f"other-{tag}", viewer) == "…"
    assert large_key(tag, 7, nobody).key == hidden
    assert shown(SlowCommand("a:1", 0, 9, "GET", tag), nobody).key == hidden


def test_a_query_is_explained_by_its_conditions(world: World, root: Client, settings: Any) -> None:
    def page(where: str, operation: str = "fetch") -> str:
        fields = {"model": "devices.device", "where": where, "operation": operation, "region": "us-east-1"}
        return root.get(f"{PANEL}look-up/", fields).content.decode()

    place = world.device.location_id
    assert "a read now is a miss" in page(f"location={place}")
    list(Device.objects.filter(location=place))
    found = page(f"location={place}")
    assert "a read now is a hit" in found
    assert f"a write to a row of devices_device with location_id={place}" in found
    assert "a read now is a miss" in page(f"location={place}", "get")
    list(Device.objects.filter(serial__in=["H-1", "H-2"], last_seen__isnull=True))
    assert "a read now is a hit" in page("serial__in=H-1, H-2\nlast_seen__isnull=True")
    for bad, problem in {
        "serial": "is no condition",
        "colour=red": "Cannot resolve keyword",
        "location=one": "expected a number",
        "location__exec=1": "Unsupported lookup",
    }.items():
        assert problem in page(bad), bad
    settings.CACHEOPS_ENABLED = False
    assert "a read now is a bypass" in page("")
