"""manage.py begin_region: lease on new servers at once."""

from typing import Any

from django.core.cache import caches
from django.core.management.base import BaseCommand, CommandError, CommandParser

from cacheops.conf import conf
from cacheops.exceptions import StoreError


class Command(BaseCommand):
    help = (
        "Cache at once on a region's servers that are new to this project and take no other's place. Else nothing is "
        "cached on them for CACHEOPS_MARK_SECONDS, within which no process may have written with servers before them."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument(
            "regions", nargs="*", metavar="REGION", help="of CACHEOPS_REGIONS; without one, the local one"
        )

    def handle(self, *args: Any, regions: list[str], **options: Any) -> None:
        for name in regions or [conf.local_region]:
            if name not in conf.regions:
                raise CommandError(f"{name!r} is no region: use some of {', '.join(conf.regions)}.")
            self.stdout.write(self._begin(name))

    def _begin(self, name: str) -> str:
        end_grace = getattr(caches[name], "end_grace", None)
        if end_grace is None:
            return f"{name}: it is on no servers, and there is nothing to wait for."
        try:
            ended = end_grace()
        except StoreError as error:
            raise CommandError(f"{name}: {error}") from error
        if not ended:
            raise CommandError(f"{name}: a server has been replaced meanwhile. Run it again.")
        return f"{name}: entries are cached on its servers from now on."
