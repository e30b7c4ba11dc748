"""manage.py publish_cache_metrics: a region's figures to CloudWatch, once or every so many seconds."""

import time
from collections.abc import Sequence
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser
from rich.table import Column, Table

from cacheops.conf import conf
from cacheops.exceptions import InvalidOption, PublishFailed, StoreError
from cacheops.management.console import terminal
from cacheops.monitoring.cloudwatch import NAMESPACE, CloudWatchCacheMetrics, Datum, cluster_of
from cacheops.monitoring.monitor import CacheMonitor
from cacheops.monitoring.recorder import flusher


class Command(BaseCommand):
    help = f"Publish a region's figures in CloudWatch's {NAMESPACE}: what happened since the last time, and its state."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--region", help="the region whose figures are published; this process's own by default")
        parser.add_argument("--interval", type=float, metavar="SECONDS", help="go on, every so many seconds")
        parser.add_argument("--dry-run", action="store_true", help="show the figures, publish and note nothing")

    def handle(self, *args: Any, region: str | None, interval: float | None, dry_run: bool, **options: Any) -> None:
        name = region or conf.local_region
        if name not in conf.regions:
            raise CommandError(f"{name} is no region. Use one of: {', '.join(conf.regions)}.")
        if interval is not None and interval <= 0:
            raise CommandError("--interval needs seconds above 0.")
        publisher = CloudWatchCacheMetrics(CacheMonitor(name))
        try:
            if interval is None:
                self._publish(publisher, name, dry_run)
            else:
                self._go_on(publisher, name, interval, dry_run)
        except (InvalidOption, PublishFailed, StoreError) as error:
            raise CommandError(str(error)) from error
        except KeyboardInterrupt:
            return

    def _go_on(self, publisher: CloudWatchCacheMetrics, name: str, interval: float, dry_run: bool) -> None:
        """Publish every `interval` seconds. What fails is told, and is part of the next period."""
        due = time.monotonic()
        while True:
            try:
                self._publish(publisher, name, dry_run)
            except (PublishFailed, StoreError) as error:
                self.stderr.write(self.style.ERROR(f"{error} The next period will include this one."))
            due = max(due + interval, time.monotonic())
            time.sleep(max(0.0, due - time.monotonic()))

    def _publish(self, publisher: CloudWatchCacheMetrics, name: str, dry_run: bool) -> None:
        flusher.flush()
        cluster = cluster_of(name)
        data = publisher.preview(cluster) if dry_run else publisher.publish_metrics(cluster)
        if dry_run:
            terminal(self).print(table_of(data))
        else:
            self.stdout.write(f"Published {len(data)} figures of {cluster}.")


def table_of(data: Sequence[Datum]) -> Table:
    made = Table("Name", Column("Value", justify="right"), "Unit", box=None, pad_edge=False, header_style="dim")
    for datum in data:
        made.add_row(datum.name, f"{datum.value:,.2f}", datum.unit)
    return made
