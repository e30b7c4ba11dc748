"""A server that answers no, whoever asks, is an outage of the cache like any other: all goes on, and is right."""

import logging
import shutil
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import environ
import pytest
import redis
from django.core.cache import caches
from django.template import Context, Template
from django.test import Client

from cacheops.conf import conf
from cacheops.exceptions import CommandRefused, StoreError
from cacheops.instrumentation.counters import counters
from cacheops.redis.identity import begin
from cacheops.regions import regions
from locations.models import Location
from tests.testapp.models import Author
from tests.waiting import until
from users.models import User
from xyzsite.localregions import ports, processes
from xyzsite.localregions.programs import find_redis
from xyzsite.settings.regions import caches_from_environment

REGION = "us-west-2"
PAGES = ["/", "/locations/harbor/", "/profile/", "/api/devices"]

pytestmark = pytest.mark.django_db(transaction=True)


@dataclass
class Server:
    """A server of one test, and the client of an operator, whom nothing is forbidden."""

    operator: redis.Redis
    folder: Path

    def lose_folder(self) -> None:
        """Have snapshots fail, as with a full disk."""
        shutil.rmtree(self.folder)
        self.operator.bgsave()
        until(lambda: self.operator.info("persistence")["rdb_last_bgsave_status"] == "err", "the snapshot fails")

    def configure(self, **settings: Any) -> None:
        for name, value in settings.items():
            self.operator.config_set(name.replace("_", "-"), value)

    def permit(self, *rules: str) -> None:
        self.operator.execute_command("ACL", "SETUSER", "default", *rules)


@dataclass(frozen=True)
class Refusal:
    """A way to have a server refuse what it is asked, and to end it."""

    kind: str  # what the answer begins with
    begin: Callable[[Server], Any]
    end: Callable[[Server], Any]
    reads: bool = True  # answers what changes nothing


REFUSALS = {
    "full": Refusal("OOM", lambda server: server.configure(maxmemory=1), lambda server: server.configure(maxmemory=0)),
    "disk": Refusal("MISCONF", Server.lose_folder, lambda server: server.configure(stop_writes_on_bgsave_error="no")),
    "replicas": Refusal(
        "NOREPLICAS",
        lambda server: server.configure(min_replicas_to_write=1),
        lambda server: server.configure(min_replicas_to_write=0),
    ),
    "writes": Refusal("NOPERM", lambda server: server.permit("-@write"), lambda server: server.permit("+@write")),
    "all": Refusal("NOPERM", lambda server: server.permit("-@all"), lambda server: server.permit("+@all"), reads=False),
    "replica": Refusal(
        "READONLY",
        lambda server: server.operator.replicaof("127.0.0.1", 1),
        lambda server: server.operator.replicaof("NO", "ONE"),
    ),
}


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    folder = tmp_path / "redis"
    folder.mkdir()
    port = ports.choose(["redis"], {})["redis"]
    command = [find_redis().path, "--port", str(port), "--dir", folder, "--bind", "127.0.0.1", "--save", "3600 1"]
    process = processes.spawn(command, tmp_path / "redis.log")
    operator = redis.Redis(port=port, username="operator", password="operator", retry=None)
    try:
        until(lambda: answers(port), "the server answers")
        redis.Redis(port=port).execute_command("ACL", "SETUSER", "operator", "on", ">operator", "~*", "&*", "+@all")
        begin(operator)
        yield Server(operator, folder)
    finally:
        operator.close()
        process.kill()
        process.wait()


def answers(port: int) -> bool:
    try:
        with redis.Redis(port=port) as client:
            return bool(client.ping())
    except redis.ConnectionError:
        return False


@pytest.fixture
def region(server: Server, settings: Any) -> str:
    """Let this process run in a region of that server alone; it asks again at once after a failure."""
    env = environ.Env()
    port = server.operator.connection_pool.connection_kwargs["port"]
    env.ENVIRON = {"REDIS_URL_US_WEST_2": f"redis://127.0.0.1:{port}/0", "REDIS_PAUSE_AFTER_FAILURE": "0"}
    settings.CACHES = caches_from_environment(env, REGION)
    settings.CACHEOPS_LOCAL_REGION = REGION
    settings.CACHEOPS_BREAKER_RECOVERY = 0
    settings.CACHEOPS_WAIT_REPLICAS = {}
    settings.CACHEOPS_METRICS_SECONDS = 0
    counters.reset()
    return REGION


@pytest.fixture(params=REFUSALS)
def refusal(request: Any) -> Refusal:
    return REFUSALS[request.param]


@pytest.fixture
def cache(region: str) -> Any:
    return caches[region]


def refused(refusal: Refusal) -> int:
    """Return how many refusals of this kind were counted."""
    return counters.totals().get("e|refusals", {}).get(refusal.kind, 0)


def test_signed_in_pages_go_on_and_a_signed_out_session_stays_out(
    region: str, server: Server, refusal: Refusal
) -> None:
    client, other = Client(), Client()
    Location.objects.create(name="Harbor", code="harbor")
    user = User.objects.create_user("ada", is_staff=True)
    client.force_login(user)
    assert [client.get(page).status_code for page in PAGES] == [200] * len(PAGES)
    cookie = client.cookies["sessionid"].value

    refusal.begin(server)
    assert [client.get(page).status_code for page in PAGES * 2] == [200] * len(PAGES * 2)
    assert "ada" in client.get("/profile/").content.decode()
    other.force_login(user)
    assert other.get("/profile/").status_code == 200
    assert client.post("/sign-out/").status_code == 302
    client.cookies["sessionid"] = cookie
    assert client.get("/profile/").status_code == 302
    refusal.end(server)

    assert other.get("/profile/").status_code == 200
    assert client.get("/profile/").status_code == 302


def test_what_a_cache_was_to_keep_is_not_kept_and_nothing_old_is_served(
    cache: Any, server: Server, refusal: Refusal
) -> None:
    keys = ["set", "many", "deleted", "swept", "kept"]
    cache.set_many(dict.fromkeys(keys, "old") | {"number": 1})

    refusal.begin(server)
    assert cache.set("set", "new") is False
    assert cache.get("set") is None
    assert cache.set_many({"many": "new"}) == ["many"]
    assert cache.add("added", "new") is False
    cache.delete("deleted")  # a full server deletes
    cache.delete_many(["swept"])
    assert cache.get_many(["set", "many", "deleted", "swept"]) == {}
    assert cache.get_or_set("set", lambda: "made") == "made"
    assert cache.touch("number") in (True, False)
    for change in (cache.incr, cache.decr):
        try:
            change("number")
        except ValueError as error:
            assert "do not answer, or refuse" in str(error)  # noqa: PT017 - a full server may count
    refusal.end(server)

    until(lambda: cache.get("kept") == "old", "the region serves")
    assert cache.get_many(["set", "many", "deleted", "swept", "added"]) == {}
    assert cache.set("set", "newer") is True
    assert cache.get("set") == "newer"


def test_what_others_have_stored_is_served_on(cache: Any, server: Server, refusal: Refusal) -> None:
    cache.set("key", "value")
    refusal.begin(server)
    found = cache.get("key"), cache.get_many(["key"])
    assert found == (("value", {"key": "value"}) if refusal.reads else (None, {}))
    refusal.end(server)
    assert cache.get("key") == "value"


@pytest.mark.parametrize("call", ["set", "delete", "get"])
def test_every_refusal_is_an_error_when_asked_for(
    region: str, server: Server, refusal: Refusal, settings: Any, call: str
) -> None:
    entry = settings.CACHES[region]
    settings.CACHES = {"default": entry | {"OPTIONS": entry["OPTIONS"] | {"IGNORE_EXCEPTIONS": False}}}
    strict = caches["default"]
    strict.set("key", "value")
    refusal.begin(server)
    calls = {
        "set": lambda: strict.set("key", 1),
        "delete": lambda: strict.delete("key"),
        "get": lambda: strict.get("key"),
    }
    if (call == "get" and refusal.reads) or (call, refusal.kind) == ("delete", "OOM"):
        calls[call]()
    else:
        with pytest.raises(StoreError) as caught:
            calls[call]()
        assert isinstance(caught.value, CommandRefused) is (refusal.kind != "READONLY")
        assert refusal.kind == "READONLY" or refusal.kind in str(caught.value)
    refusal.end(server)


def test_fragments_are_rendered(region: str, server: Server, refusal: Refusal) -> None:
    templates = [
        Template("{% load cache %}{% cache 60 fragment using='us-west-2' %}{{ value }}{% endcache %}"),
        Template("{% load cacheops %}{% cached 60 'fragment' %}{{ value }}{% endcached %}"),
        Template("{% load cacheops %}{% cached_as authors 60 'dependent' %}{{ value }}{% endcached_as %}"),
    ]
    Author.objects.create(name="Ada")

    def rendered(value: int) -> list[str]:
        context = Context({"value": value, "authors": Author.objects.all()})
        return [template.render(context) for template in templates]

    assert rendered(1) == ["1"] * 3
    refusal.begin(server)
    assert rendered(2)[0] in ("1", "2")
    Author.objects.update(name="Grace")
    assert rendered(3)[2] == "3"
    refusal.end(server)
    assert rendered(4)[2] in ("3", "4")


def test_rows_are_read_and_written(region: str, server: Server, refusal: Refusal) -> None:
    author = Author.objects.create(name="Ada")
    queryset = Author.objects.filter(pk=author.pk)
    assert [one.name for one in queryset.all()] == ["Ada"]
    assert [one.name for one in queryset.all()] == ["Ada"]

    refusal.begin(server)
    assert [one.name for one in queryset.all()] == ["Ada"]
    author.name = "Grace"
    author.save()
    assert [one.name for one in queryset.all()] == ["Grace"]
    assert Author.objects.filter(name="Grace").count() == 1
    Author.objects.filter(pk=author.pk).update(name="Edsger")
    assert [one.name for one in queryset.all()] == ["Edsger"]
    refusal.end(server)

    assert [one.name for one in queryset.all()] == ["Edsger"]
    regions.local.outbox.recheck()
    counters.reset()
    until(lambda: queryset.all()[:1] and sum(counters.hits.values()), "the region serves again")
    assert [one.name for one in queryset.all()] == ["Edsger"]


def test_the_log_has_one_line_and_refusals_are_counted_by_kind(
    cache: Any, server: Server, refusal: Refusal, caplog: Any
) -> None:
    client = Client()
    client.force_login(User.objects.create_user("ada", is_staff=True))
    author = Author.objects.create(name="Ada")
    queryset = Author.objects.filter(pk=author.pk)
    refusal.begin(server)
    with caplog.at_level(logging.INFO, logger="cacheops"):
        for number in range(5):
            cache.set("key", number)
            cache.get("key")
            client.get("/profile/")
            author.name = f"Ada {number}"
            author.save()
            assert [one.name for one in queryset.all()] == [author.name]
            queryset.filter(name=author.name).count()
    refusal.end(server)

    lines = [record for record in caplog.records if record.name.startswith("cacheops")]
    assert max(Counter(record.msg for record in lines).values()) == 1, caplog.text
    lines = [record for record in lines if record.module != "push_channel"]  # of its own: near reads ask the region
    if refusal.kind != "READONLY":  # a fail-over: not answered
        assert len(lines) == 1, caplog.text
        assert refusal.kind in lines[0].getMessage()
        assert refused(refusal) >= 10


def test_what_was_left_out_while_the_engine_knew_of_an_outage_is_made_up_for(cache: Any) -> None:
    """The engine has found out that the region does not answer: the cache does not even ask."""
    cache.set("key", "old")
    for _ in range(conf.breaker_threshold):
        regions.local.breaker.failed()
    regions.local.breaker.recovery_timeout = 3600
    regions.local.breaker.failed()
    assert cache.set("key", "new") is False
    regions.local.breaker.reset()
    assert cache.get("key") is None
