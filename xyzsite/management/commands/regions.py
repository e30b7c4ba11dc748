"""`manage.py regions`: the local regions for people."""

import json
import time
from argparse import ArgumentParser
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError, CommandParser
from rich.console import Console
from rich.table import Table

from xyzsite.localregions.exceptions import LocalRegionsError
from xyzsite.localregions.manager import LocalRegions
from xyzsite.localregions.plan import Options

# What `status` shows of each row, by heading; lag counts bytes of the replication stream.
COLUMNS = ("region", "node", "role", "shard", "address", "state", "offset", "lag", "memory", "pid")
STATE_STYLES = {"up": "green", "partitioned": "yellow", "starting": "yellow", "paused": "magenta"}
NODE_ACTIONS = {
    "kill": ("End a node at once; it comes back as a replica.", "killed"),
    "pause": ("Freeze a node: it answers nothing until `resume`.", "paused"),
    "resume": ("Let a frozen node go on.", "resumed"),
}
REGION_ACTIONS = {
    "partition": ("Drop everything between a region and the others, until `heal`.", "cut off"),
}


class Command(BaseCommand):
    help = "Run the three regions as real servers on this machine, and break them."
    requires_system_checks: list[str] = []

    def add_arguments(self, parser: CommandParser) -> None:
        actions = parser.add_subparsers(dest="action", required=True, metavar="ACTION")
        up = actions.add_parser("up", help="Start every server; nothing happens to those that run.")
        self._add_up(up)
        actions.add_parser("down", help="End every server.")
        status = actions.add_parser("status", help="Show every node.")
        status.add_argument("--json", action="store_true", help="Print a list of objects.")
        for action, (text, _) in NODE_ACTIONS.items():
            actions.add_parser(action, help=text).add_argument("name", metavar="NODE")
        for action, (text, _) in REGION_ACTIONS.items():
            actions.add_parser(action, help=text).add_argument("name", metavar="REGION")
        failover = actions.add_parser("failover", help="Make each shard's replica its primary, without losing a write.")
        failover.add_argument("name", metavar="REGION", nargs="?")
        failover.add_argument("--database", action="store_true", help="Make its replica the primary database instead.")
        crash = actions.add_parser("crash", help="End all servers at once; they come back with their last snapshots.")
        crash.add_argument("name", metavar="REGION")
        crash.add_argument("shard", metavar="SHARD", type=int, nargs="?", help="Only those of one shard, from 1 on.")
        distance = actions.add_parser("distance", help="Put a region further from the others, or nearer.")
        distance.add_argument("name", metavar="REGION")
        distance.add_argument("milliseconds", metavar="MS", type=float, help="There and back, in milliseconds.")
        distance.add_argument("--jitter", metavar="MS", type=float, default=0.0, help="Of each way, at most.")
        distance.add_argument("--loss", metavar="PERCENT", type=float, default=0.0, help="Of packets, sent again.")
        actions.add_parser("heal", help="End every partition.")
        for each in actions.choices.values():
            each.add_argument("--dir", type=Path, help="Folder of the regions' state and data (var/regions).")

    def _add_up(self, up: ArgumentParser) -> None:
        up.add_argument("--postgres", action="store_true", help="Also a database primary and two streaming replicas.")
        up.add_argument("--volatile", action="store_true", help="Faster databases, whose data may be lost in a crash.")
        up.add_argument("--tls", action="store_true", help="Encrypt, with certificates of an authority made here.")
        up.add_argument("--password", default="", help="Password of every Redis server.")
        up.add_argument("--distance", choices=("none", "real"), default="none", help="Between the regions.")
        up.add_argument("--base-port", type=int, help="First port to take; else those of the last time, or free ones.")
        up.add_argument("--owner", type=int, metavar="PID", help="End everything when this process ends.")

    def handle(self, *args: Any, action: str, dir: Path | None, **options: Any) -> None:
        regions = LocalRegions(dir or settings.BASE_DIR / "var" / "regions")
        try:
            if action in ("up", "down", "status", "heal", "crash", "distance", "failover"):
                getattr(self, action)(regions, **options)
            else:
                self.act(regions, action, options["name"])
        except LocalRegionsError as error:
            raise CommandError(str(error)) from error

    def up(self, regions: LocalRegions, *, base_port: int | None, owner: int | None, **options: Any) -> None:
        wanted = Options(**{name: options[name] for name in ("postgres", "volatile", "tls", "password", "distance")})
        began = time.monotonic()
        if not regions.up(wanted, base_port=base_port, owner=owner):
            self.stdout.write("The local regions run already.")
            return
        nodes = len(regions.status())
        self.stdout.write(self.style.SUCCESS(f"{nodes} nodes serve, after {time.monotonic() - began:.2f} s."))
        self.stdout.write(f"Their addresses, one file a region: {regions.directory}/<region>.env")

    def down(self, regions: LocalRegions, **options: Any) -> None:
        self.stdout.write("The local regions have ended." if regions.down() else "No local regions run.")

    def heal(self, regions: LocalRegions, **options: Any) -> None:
        regions.heal()
        self.stdout.write("Every region reaches the others again.")

    def crash(self, regions: LocalRegions, *, name: str, shard: int | None, **options: Any) -> None:
        regions.crash(name, shard)
        what = name if shard is None else f"Shard {shard} of {name}"
        self.stdout.write(f"{what} has crashed, and comes back with its last snapshots.")

    def failover(self, regions: LocalRegions, *, name: str | None, database: bool, **options: Any) -> None:
        if database:
            primary = regions.failover_database(name)
            self.stdout.write(f"{primary} is the primary database now, and the others follow it.")
        elif name:
            regions.failover(name)
            self.stdout.write(f"{name} is failed over.")
        else:
            raise CommandError("Name a region, whose Redis servers change their roles, or give --database.")

    def distance(
        self, regions: LocalRegions, *, name: str, milliseconds: float, jitter: float, loss: float, **options: Any
    ) -> None:
        regions.distance(name, milliseconds, jitter=jitter, loss=loss)
        self.stdout.write(f"{name} is {milliseconds:g} ms from the other regions, there and back.")

    def act(self, regions: LocalRegions, action: str, name: str) -> None:
        getattr(regions, action)(name)
        self.stdout.write(f"{name} is {(NODE_ACTIONS | REGION_ACTIONS)[action][1]}.")

    def status(self, regions: LocalRegions, *, json: bool, **options: Any) -> None:
        rows = regions.status()
        self.stdout.write(as_json(rows) if json else as_table(rows))


def as_json(rows: list[dict[str, Any]]) -> str:
    return json.dumps(rows, indent=2)


def as_table(rows: list[dict[str, Any]]) -> str:
    """Return the rows as a table for the terminal, in colour where it has any."""
    table = Table(*COLUMNS)
    for row in rows:
        last = row is rows[-1] or rows[rows.index(row) + 1]["region"] != row["region"]
        table.add_row(*(shown(name, row[name]) for name in COLUMNS), end_section=last)
    console = Console(width=None if Console().is_terminal else 140)
    with console.capture() as capture:
        console.print(table)
    return capture.get()


def shown(name: str, value: Any) -> str:
    """Return a cell's text."""
    if value is None:
        return "-"
    if name == "memory":
        return f"{value / 2**20:.1f} MiB"
    if name == "state":
        return f"[{STATE_STYLES.get(value, 'red')}]{value}[/]"
    return str(value)
