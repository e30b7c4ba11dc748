"""Another process of the platform. Run as a program: `reader.py PREFIX PK`.

For each line on its standard input it reads the device PK and tells, in one line as JSON, what the cache did, the
device's name, and the state of its circuit of us-west-2; the line "open" has it open that circuit first.
"""

import json
import sys

import django
from django.conf import settings

settings.CACHEOPS_PREFIX = sys.argv[1]
django.setup()

from cacheops.instrumentation.request_stats import collect_request_stats  # noqa: E402
from cacheops.regions import regions  # noqa: E402
from devices.models import Device  # noqa: E402


def open_circuit() -> None:
    breaker = regions["us-west-2"].breaker
    breaker.pause, breaker.recovery_timeout = 0.0, 3600.0
    for _ in range(breaker.failure_threshold):
        breaker.failed()


def main() -> None:
    for line in sys.stdin:
        if line.strip() == "open":
            open_circuit()
        with collect_request_stats() as stats:
            device = Device.objects.get(pk=int(sys.argv[2]))
        did = "hit" if stats.hits else "miss" if stats.misses else "bypass"
        told = {"did": did, "name": device.name, "circuit": regions["us-west-2"].breaker.state.value}
        sys.stdout.write(json.dumps(told) + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
