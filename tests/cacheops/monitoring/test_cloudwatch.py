"""CloudWatch, as moto's server plays it over HTTP: what happened since the last time, once, and failures that show."""

import datetime as dt
import sys
from collections.abc import Iterator
from io import StringIO
from typing import Any
from urllib.request import Request, urlopen

import pytest
from django.core.management import CommandError, call_command
from moto.server import ThreadedMotoServer

from cacheops.exceptions import PublishFailed
from cacheops.instrumentation.counters import counters
from cacheops.monitoring.aws import make_client
from cacheops.monitoring.cloudwatch import NAMESPACE, CloudWatchCacheMetrics, Published, fleet_data, period_data
from cacheops.monitoring.fleet import Fleet
from cacheops.monitoring.monitor import CacheMonitor
from cacheops.monitoring.recorder import flusher

pytestmark = pytest.mark.django_db(databases="__all__")

SPECIFIED = {
    "CacheHitRate": "Percent",
    "CacheResponseTime": "Milliseconds",
    "CacheMemoryUsage": "Bytes",
    "CacheEvictedKeys": "Count",
}
CLUSTER = "xyz-corp-redis-test"


@pytest.fixture
def cloud(monkeypatch: pytest.MonkeyPatch, settings: Any, region: str) -> Iterator[Any]:
    """Start a server that plays CloudWatch, name it in the environment, and return a client to look into it."""
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    for name, value in {
        "AWS_ENDPOINT_URL": f"http://{host}:{port}",
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "test",
        "AWS_DEFAULT_REGION": "us-east-1",
    }.items():
        monkeypatch.setenv(name, value)
    settings.CACHEOPS_CLOUDWATCH_CLUSTERS = {region: CLUSTER}
    urlopen(Request(f"http://{host}:{port}/moto-api/reset", method="POST")).close()  # its state is the process's
    yield make_client()
    server.stop()


@pytest.fixture(params=["us-east-1"])
def region(request: Any, settings: Any) -> str:
    settings.CACHEOPS_REGIONS = (request.param,)
    return str(request.param)


def reads(hits: int, misses: int) -> None:
    for _ in range(hits):
        counters.hit("a.b:get", 0.002)
    counters.read("a.b:get", misses=misses)
    flusher.flush()


def sums(cloud: Any, name: str) -> list[float]:
    """Return the values of one metric of our cluster, in the order of their periods."""
    now = dt.datetime.now(dt.UTC)
    answer = cloud.get_metric_statistics(
        Namespace=NAMESPACE,
        MetricName=name,
        Dimensions=[{"Name": "CacheCluster", "Value": CLUSTER}],
        StartTime=now - dt.timedelta(hours=1),
        EndTime=now + dt.timedelta(minutes=5),
        Period=60,
        Statistics=["Sum"],
    )
    return [point["Sum"] for point in sorted(answer["Datapoints"], key=lambda point: point["Timestamp"])]


def test_counts_are_of_the_period_and_not_of_all_time(cloud: Any, region: str) -> None:
    reads(hits=100, misses=100)
    publisher = CloudWatchCacheMetrics(CacheMonitor(region), cloud)
    first = {datum.name for datum in publisher.publish_metrics(CLUSTER)}
    assert "CacheHits" not in first  # there is no period before the first look
    assert "CacheMemoryUsage" in first
    counters.read("a.b:get", stale_fills=2)
    counters.delivered(region, late_marks=2, lost_marks=1)
    counters.delivered("us-west-2", lost_marks=4)
    counters.event("verify", faults=3)
    reads(hits=3, misses=1)
    told = {datum.name: datum for datum in publisher.publish_metrics(CLUSTER)}
    assert {name: told[name].unit for name in SPECIFIED} == SPECIFIED
    assert (told["CacheHits"].value, told["CacheMisses"].value, told["CacheHitRate"].value) == (3, 1, 75.0)
    assert told["CacheResponseTime"].value == pytest.approx(2.0, rel=0.01)
    assert told["CacheLookUpP95"].value == pytest.approx(2.0, rel=0.07)
    assert told["CacheEvictedKeys"].value == 0
    assert told["CacheStaleFills"].value == 2
    assert [told[f"Cache{name}"].value for name in ("LateMarks", "LostMarks", "VerifyFaults")] == [2, 5, 3]
    assert sums(cloud, "CacheHits") == [3.0]
    assert sums(cloud, "CacheHitRate") == [75.0]


def test_a_node_that_has_begun_anew_counts_from_nothing() -> None:
    """A restarted server's totals are smaller than the last ones: all of them are of this period."""
    before = Published(at=0, reads={}, invalidations=50, nodes={"a": (900, 40), "b": (5, 5)})
    after = Published(at=60, reads={}, invalidations=8, nodes={"a": (3, 41), "b": (7, 2)})
    told = {datum.name: datum.value for datum in period_data(before, after, {"a", "b"})}
    assert "CacheLateMarks" not in told  # of a note that an earlier release has left, without them
    assert (told["CacheEvictedKeys"], told["CacheExpiredKeys"]) == (3 + 2, 1 + 2)
    assert told["CacheInvalidations"] == 8


def test_what_replicas_evict_is_not_counted_twice(cloud: Any, region: str) -> None:
    publisher = CloudWatchCacheMetrics(CacheMonitor(region), cloud)
    publisher._nodes = CacheMonitor(region).get_nodes()
    evicted = {node.server: 50 if node.role == "replica" else 3 for node in publisher._nodes}
    before = Published(at=0, reads={}, invalidations=0, nodes=dict.fromkeys(evicted, (0, 0)))
    after = Published(at=60, reads={}, invalidations=0, nodes={server: (count, 0) for server, count in evicted.items()})
    told = {datum.name: datum.value for datum in publisher._data(before, after)}
    assert 50 in evicted.values()
    assert told["CacheEvictedKeys"] == sum(count for count in evicted.values() if count == 3)


def test_the_fullest_pool_counts() -> None:
    fleets = [Fleet(pool_limit=8, pool_in_use=4), Fleet(pool_limit=4, pool_in_use=3, open=1), Fleet()]
    assert [(datum.name, datum.value) for datum in fleet_data(fleets)] == [
        ("CacheOpenBreakers", 1),
        ("CachePoolShare", 75),
    ]


def test_another_process_goes_on_where_the_last_one_stopped(cloud: Any, region: str) -> None:
    CloudWatchCacheMetrics(CacheMonitor(region), cloud).publish_metrics(CLUSTER)
    reads(hits=5, misses=0)
    told = CloudWatchCacheMetrics(CacheMonitor(region), cloud).publish_metrics(CLUSTER)
    assert next(datum.value for datum in told if datum.name == "CacheHits") == 5


def test_a_period_without_reads_has_counts_of_nothing_and_no_rates(cloud: Any, region: str) -> None:
    publisher = CloudWatchCacheMetrics(CacheMonitor(region), cloud)
    publisher.publish_metrics(CLUSTER)
    told = {datum.name: datum.value for datum in publisher.publish_metrics(CLUSTER)}
    assert told["CacheHits"] == 0
    assert not {"CacheHitRate", "CacheResponseTime"} & set(told)


def test_what_could_not_be_published_is_in_the_next_period(
    cloud: Any, region: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    CloudWatchCacheMetrics(CacheMonitor(region), cloud).publish_metrics(CLUSTER)
    reads(hits=5, misses=0)
    with monkeypatch.context() as patched:
        patched.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")  # the discard port: nobody listens
        with pytest.raises(CommandError, match="did not take"):
            call_command("publish_cache_metrics")
    reads(hits=2, misses=0)
    told = CloudWatchCacheMetrics(CacheMonitor(region), cloud).publish_metrics(CLUSTER)
    assert next(datum.value for datum in told if datum.name == "CacheHits") == 7


def test_what_cloudwatch_refuses_is_an_error_of_ours(cloud: Any, region: str) -> None:
    publisher = CloudWatchCacheMetrics(CacheMonitor(region), cloud)
    with pytest.raises(PublishFailed):
        publisher.publish_metrics("")  # a dimension needs a value


def test_many_figures_are_sent_in_parts(cloud: Any, region: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("cacheops.monitoring.cloudwatch.MAX_METRICS", 3)
    told = CloudWatchCacheMetrics(CacheMonitor(region), cloud).publish_metrics(CLUSTER)
    listed = cloud.list_metrics(Namespace=NAMESPACE)["Metrics"]
    assert len(told) > 3
    assert {metric["MetricName"] for metric in listed} == {datum.name for datum in told}


def test_the_command_publishes_and_its_rehearsal_does_not(cloud: Any, region: str) -> None:
    said = StringIO()
    call_command("publish_cache_metrics", dry_run=True, stdout=said)
    assert "CacheMemoryUsage" in said.getvalue()
    assert cloud.list_metrics(Namespace=NAMESPACE)["Metrics"] == []
    call_command("publish_cache_metrics", stdout=said)
    assert CLUSTER in said.getvalue()
    assert cloud.list_metrics(Namespace=NAMESPACE)["Metrics"]


@pytest.mark.parametrize("options", [{}, {"interval": 60.0}], ids=["once", "again-and-again"])
def test_without_boto3_it_says_what_to_install(
    region: str, options: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("boto3", "botocore", "botocore.config", "botocore.exceptions"):
        monkeypatch.setitem(sys.modules, name, None)
    monkeypatch.delitem(sys.modules, "cacheops.monitoring.aws")
    with pytest.raises(CommandError, match=r"pip install -r requirements-aws\.txt"):
        call_command("publish_cache_metrics", **options)


@pytest.mark.parametrize("options", [{"region": "mars"}, {"interval": 0.0}])
def test_wrong_arguments_are_named(region: str, options: dict[str, Any]) -> None:
    with pytest.raises(CommandError):
        call_command("publish_cache_metrics", **options)
