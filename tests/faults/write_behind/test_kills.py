"""Whatever is killed, and whenever: no acknowledged reading is lost, none is there twice."""

import threading
from collections.abc import Callable, Iterator

import pytest

from tests import clients
from tests.faults.write_behind.platform import REGION, PlatformProcesses, platform_on
from tests.waiting import until
from xyzsite.demo.load.account import account_of
from xyzsite.demo.load.fleet import Posted, all_posted, start_fleet
from xyzsite.localregions.manager import LocalRegions

JOIN_SECONDS = 60.0


@pytest.fixture(scope="module")
def platform(regions_to_break: LocalRegions) -> Iterator[PlatformProcesses]:
    with platform_on(regions_to_break) as started:
        yield started


@pytest.fixture(autouse=True)
def healthy(breakable_regions: LocalRegions, platform: PlatformProcesses) -> None:
    """Begin each test with every node in sync."""


def post_while(platform: PlatformProcesses, fault: Callable[[], None], times: int) -> Posted:
    """Let the fleet post while something is broken several times, each time after some more was acknowledged."""
    stopped = threading.Event()
    fleet = start_fleet(platform.url, platform.world.token, platform.world.devices, 3, 90, stopped)

    def acknowledged() -> int:
        return sum(len(poster.posted.acknowledged) for poster in fleet)

    try:
        for _ in range(times):
            before = acknowledged()
            until(lambda before=before: acknowledged() > before + 20, "more acknowledged readings")
            fault()
        before = acknowledged()
        until(lambda: acknowledged() > before + 20, "acknowledged readings after the last fault")
    finally:
        stopped.set()
        for poster in fleet:
            poster.join(JOIN_SECONDS)
    return all_posted(fleet)


def assert_right(platform: PlatformProcesses, posted: Posted) -> None:
    """Compare with the database what this fleet has posted, when all of it was flushed."""
    platform.manage("flush_writes", "--once")
    rows = [row for row in platform.readings() if (row[0], row[1]) in posted.sent]
    account = account_of(posted, rows)
    assert (account.lost, account.doubled, account.wrong) == (0, 0, 0)
    assert account.stored == account.acknowledged > 60
    assert posted.answers["accepted"] > 0, f"nothing was buffered: {posted.answers}"
    state = platform.state()
    assert ": 0 wait" in state
    assert "; 0 dead letters" in state


def test_killed_workers(platform: PlatformProcesses) -> None:
    assert_right(platform, post_while(platform, platform.kill_a_worker, 2))


def test_killed_web_processes(platform: PlatformProcesses) -> None:
    assert_right(platform, post_while(platform, platform.kill_a_web_process, 2))


def test_killed_primaries(platform: PlatformProcesses, breakable_regions: LocalRegions) -> None:
    """Both shards in turn; a second one is killed only when the first has its replica again (see the how-to)."""
    shards = iter([1, 2])

    def kill() -> None:
        breakable_regions.wait_linked()
        breakable_regions.kill(clients.primary(breakable_regions, REGION, next(shards))["node"])

    assert_right(platform, post_while(platform, kill, 2))


def test_everything_is_killed(platform: PlatformProcesses, breakable_regions: LocalRegions) -> None:
    shards = iter([1, 2])

    def kill() -> None:
        breakable_regions.wait_linked()
        platform.kill_a_worker()
        breakable_regions.kill(clients.primary(breakable_regions, REGION, next(shards))["node"])
        platform.kill_a_web_process()

    assert_right(platform, post_while(platform, kill, 2))
