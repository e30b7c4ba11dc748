"""A server that is started from an older snapshot serves nothing of before, whatever is kept on it."""

import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psycopg
import pytest
from django.core.cache import CacheHandler, caches
from django.core.management import CommandError, call_command
from django.db import connection
from django.test import Client

from cacheops.conf import conf
from cacheops.databases import table_keys
from cacheops.exceptions import StoreUnavailable
from cacheops.instrumentation.counters import counters
from cacheops.patterns.aside import CacheAsideManager
from cacheops.patterns.write_through import WriteThroughCache
from cacheops.redis import PushChannel
from cacheops.redis.identity import begin
from cacheops.regions import regions
from cacheops.stores.base import LeaseRequest, MarkedTable, Refusal
from cacheops.testing import assert_hits, assert_misses
from cacheops.testing.store_contract import TTL, Reader, new_table, query
from tests.recovery.conftest import REGION, Server, recoveries
from tests.testapp.models import Author, Shelf
from tests.waiting import until
from users.models import User
from xyzsite.localregions import ports
from xyzsite.localregions.programs import find_redis

pytestmark = pytest.mark.django_db(transaction=True)


def named(pk: int) -> str:
    return Author.objects.get(pk=pk).name


@pytest.fixture
def author() -> Author:
    return Author.objects.create(name="Ada")


def renamed(author: Author, name: str = "Grace") -> Callable[[], None]:
    def save() -> None:
        author.name = name
        author.save()
        assert named(author.pk) == name  # by now the server has heard that the write is done, too

    return save


def test_a_read_finds_the_row_that_was_saved_after_the_snapshot(region: Server, author: Author) -> None:
    assert named(author.pk) == "Ada"
    with assert_hits(1):
        named(author.pk)

    region.go_back(renamed(author))

    assert [named(author.pk) for _ in range(6)] == ["Grace"] * 6
    assert recoveries() == 1


def test_what_was_saved_after_the_restart_is_seen_and_is_cached_once_the_grace_period_is_over(
    region: Server, author: Author, settings: Any
) -> None:
    settings.CACHEOPS_MARK_SECONDS = 0.5
    named(author.pk)
    region.go_back(renamed(author))
    renamed(author, "Joan")()

    assert named(author.pk) == "Joan"
    until(lambda: hits_of(lambda: named(author.pk)), "reads are cached again")
    assert named(author.pk) == "Joan"
    assert recoveries() == 1


def hits_of(read: Callable[[], Any]) -> int:
    before = counters.hits.total()
    read()
    return counters.hits.total() - before


def test_what_depends_on_rows_under_a_key_of_its_own_is_loaded_again(region: Server, author: Author) -> None:
    aside = CacheAsideManager()

    def value() -> str:
        return aside.get_or_set("author:1", lambda: Author.objects.get(pk=author.pk).name, depends_on=[author])

    assert value() == "Ada"
    region.go_back(renamed(author))
    assert value() == "Grace"


def test_write_through_gives_the_row_of_now(region: Server) -> None:
    shelf = Shelf.objects.create(label="old")
    through = WriteThroughCache(Shelf, key=lambda pk: f"shelf:{pk}")
    through.refresh([shelf.pk])
    with assert_hits(1):
        through.get(shelf.pk)
    region.go_back(lambda: through.update(shelf.pk, {"label": "new"}))
    found = through.get(shelf.pk)
    assert found is not None
    assert found.label == "new"


def test_values_of_djangos_cache_are_gone(region: Server) -> None:
    cache = caches[REGION]
    cache.set_many({"kept": 1, "changed": "old", "deleted": 1})

    def change() -> None:
        cache.set("changed", "new")
        cache.delete("deleted")

    region.go_back(change)
    assert cache.get_many(["kept", "changed", "deleted"]) == {}
    cache.set("changed", "newer")
    assert cache.get("changed") == "newer"


def test_an_ended_session_stays_ended(region: Server) -> None:
    client = Client()
    client.force_login(User.objects.create_user("ada", is_staff=True))
    assert client.get("/profile/").status_code == 200
    cookie = client.cookies["sessionid"].value

    region.go_back(lambda: client.post("/sign-out/"))

    client.cookies["sessionid"] = cookie
    assert client.get("/profile/").status_code == 302


def test_no_key_but_those_of_caches_and_generations_is_purged(region: Server) -> None:
    """Whatever else stands on the server stays: what write-behind has acknowledged, and what is not ours."""
    operator = region.operator
    stream = f"{conf.prefix}:{{write-behind.visits}}:s"
    operator.xadd(stream, {"item": "1"})
    operator.set("others", "1")
    operator.set("xyz:{write-behind.visits}:s", "1")  # as with a prefix of the engine that is an alias' too
    operator.hset("co:{default.no_tag}:t:*", "field", "1")
    caches[REGION].set("ours", 1)

    region.go_back(lambda: None)

    assert caches[REGION].get("ours") is None
    assert operator.xlen(stream) == 1
    assert operator.get("others") == operator.get("xyz:{write-behind.visits}:s") == "1"
    assert operator.hlen("co:{default.no_tag}:t:*") == 1


def test_a_mark_from_before_the_snapshot_stays(region: Server) -> None:
    table = MarkedTable(table_keys("default", "testapp_author"), frozenset(), whole=True)
    regions.local.store.mark([table], b"a-writer", 600).result()
    region.go_back(lambda: None)
    caches[REGION].get("anything")
    assert region.operator.get(table.keys.generation).startswith("pa-writer")


def test_nothing_is_leased_while_a_writers_mark_may_be_lost(region: Server, author: Author) -> None:
    """The writer has marked on the server that was lost, and commits only now."""
    named(author.pk)
    table = MarkedTable(table_keys("default", "testapp_author"), frozenset(), whole=True)
    store, writer = regions.local.store, b"a-writer"
    region.go_back(lambda: store.mark([table], writer, conf.mark_seconds).result())

    assert named(author.pk) == "Ada"
    write_past_the_cache(author.pk, "Grace")
    assert named(author.pk) == "Grace"


def test_no_kind_of_lease_is_given_in_the_grace_period(region: Server) -> None:
    region.go_back(lambda: None)
    store, keys = regions.local.store, new_table()
    reader = Reader(store, query(keys, "a=1"))
    assert reader.lease(hold=TTL) is Refusal.PENDING
    assert store.lock([reader.loader], TTL) == [True]  # it is not left taken
    requests = [LeaseRequest(reader.entry, reader.tables)]
    assert store.lease_many(requests, TTL).result() == [(Refusal.PENDING, None)]
    assert store.lease_tags(keys, [keys.tag("a=1")], ("a",), TTL).result() is Refusal.PENDING


def write_past_the_cache(pk: int, name: str) -> None:
    """Change a row as a writer's COMMIT does, between its mark and its clear."""
    settings = connection.get_connection_params()
    names = {name: settings[name] for name in ("host", "port", "user", "dbname") if name in settings}
    with psycopg.connect(**names) as other:
        other.execute("UPDATE testapp_author SET name = %s WHERE id = %s", [name, pk])


def test_a_restart_with_everything_that_was_written_loses_hits_only(
    new_server: Callable[..., Server], use: Callable[..., None], author: Author
) -> None:
    server = new_server("--appendonly", "yes", "--appendfsync", "always")
    use(server)
    caches[REGION].set("kept", 1)
    renamed(author)()
    server.kill()
    server.start("--appendonly", "yes", "--appendfsync", "always")
    assert named(author.pk) == "Grace"
    assert caches[REGION].get("kept") is None
    assert recoveries() == 2  # nothing told that the server was new


def test_begin_region_ends_the_grace_period_of_servers_that_are_new(
    new_server: Callable[..., Server], use: Callable[..., None], author: Author
) -> None:
    server = new_server()
    use(server)
    server.operator.set("another-programs", "1")
    call_command("begin_region")
    named(author.pk)
    with assert_hits(1):
        named(author.pk)
    assert server.operator.get("another-programs") == "1"


def test_without_begin_region_servers_that_are_new_are_not_leased_on(
    new_server: Callable[..., Server], use: Callable[..., None], author: Author
) -> None:
    use(new_server())
    with assert_misses(2):
        named(author.pk)
        named(author.pk)


def test_begin_region_purges_what_a_snapshot_has_brought_back(region: Server, author: Author) -> None:
    assert named(author.pk) == "Ada"
    region.go_back(renamed(author))
    call_command("begin_region")
    assert named(author.pk) == "Grace"


@pytest.mark.parametrize("name", ["mars", "default"])
def test_begin_region_refuses_what_is_no_region(region: Server, name: str) -> None:
    with pytest.raises(CommandError, match=f"'{name}' is no region: use some of us-west-2"):
        call_command("begin_region", name)


def test_begin_region_says_so_where_the_servers_do_not_answer(region: Server) -> None:
    region.kill()
    with pytest.raises(CommandError, match="us-west-2: The region's servers do not answer"):
        call_command("begin_region")
    region.start()


def test_a_region_is_reached_by_a_unix_socket(
    new_server: Callable[..., Server], tmp_path: Path, settings: Any, author: Author
) -> None:
    socket = tmp_path / "redis.sock"
    new_server("--unixsocket", socket)  # which nobody has begun: it is recovered by its first reader
    settings.CACHES = {
        "default": {"BACKEND": "cacheops.backends.RegionCache", "LOCATION": f"unix://{socket}?db=0", "KEY_PREFIX": "u"}
    }
    settings.CACHEOPS_REGIONS, settings.CACHEOPS_LOCAL_REGION = ("default",), "default"
    settings.CACHEOPS_WAIT_REPLICAS = {}
    call_command("begin_region")
    named(author.pk)
    with assert_hits(1):
        named(author.pk)
    channel = PushChannel(regions.local.store.servers, lambda keys: None)
    until(lambda: channel.hears("u:{a}:t:", "u:{a}:t:1"), "the server's pushes are heard")
    channel.close()
    renamed(author)()
    caches["default"].set("key", "value")
    assert caches["default"].get("key") == "value"
    assert [figure.server for figure in caches["default"].pool_figures()] == [str(socket)]
    settings.CACHEOPS_REGIONS = ()


def authority_and_pair(folder: Path) -> tuple[Path, Path, Path]:
    """Return files of an authority, of a certificate that it has signed, and of this one's key."""
    names = [folder / name for name in ("ca.crt", "ca.key", "pair.crt", "pair.key", "pair.csr")]
    authority, authority_key, pair, key, request = map(str, names)
    options = ["-newkey", "rsa:2048", "-nodes", "-subj"]
    signs = ["-addext", "keyUsage=critical,keyCertSign"]  # Python 3.13 wants it said, and who has signed
    extensions = folder / "extensions"
    extensions.write_text("subjectAltName=DNS:localhost\nauthorityKeyIdentifier=keyid\n")
    signed = ["-CA", authority, "-CAkey", authority_key, "-CAcreateserial", "-extfile", str(extensions)]
    for command in (
        ["req", "-x509", *options, "/CN=authority", *signs, "-keyout", authority_key, "-out", authority],
        ["req", "-new", *options, "/CN=localhost", "-keyout", key, "-out", request],
        ["x509", "-req", "-in", request, *signed, "-out", pair],
    ):
        subprocess.run(["openssl", *command], check=True, capture_output=True, cwd=folder)
    return names[0], names[2], names[3]


@pytest.mark.debian
def test_a_region_is_reached_by_tls_with_a_client_certificate(
    new_server: Callable[..., Server], tmp_path: Path
) -> None:
    if not find_redis().tls or not shutil.which("openssl"):
        pytest.skip("this Redis server has no TLS, or there is no openssl")
    authority, pair, key = authority_and_pair(tmp_path)
    port = ports.choose(["tls"], {})["tls"]
    files = ["--tls-cert-file", pair, "--tls-key-file", key, "--tls-ca-cert-file", authority]
    assert begin(new_server("--tls-port", port, *files, "--tls-auth-clients", "yes").operator)

    def cache(**own: str) -> Any:
        options = {"CA_CERTS": str(authority), "IGNORE_EXCEPTIONS": False, "RETRIES": 0, **own}
        location = f"rediss://localhost:{port}/0"
        return CacheHandler(
            {"default": {"BACKEND": "cacheops.backends.RegionCache", "LOCATION": location, "OPTIONS": options}}
        )["default"]

    known = cache(CLIENT_CERT=str(pair), CLIENT_KEY=str(key))
    known.set("key", "value")
    assert known.get("key") == "value"
    with pytest.raises(StoreUnavailable):
        cache().get("key")
