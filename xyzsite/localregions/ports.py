"""Choose ports on loopback that stay ours while a server is replaced."""

import errno
import random
import socket
from collections.abc import Iterable, Iterator

# Below the range from which systems number outgoing connections (Linux 32768, macOS 49152): a port of a server that is
# down for a second is not taken by one of those.
FIRST, LAST = 10_240, 32_000


def free(port: int) -> bool:
    """Return whether a server could listen on a port."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError as error:
            if error.errno in (errno.EADDRINUSE, errno.EACCES):
                return False
            raise
    return True


def choose(names: Iterable[str], known: dict[str, int], base: int | None = None) -> dict[str, int]:
    """Return a free port for each name: the one it had, else the next free one from `base` or a random start."""
    chosen = {name: known[name] for name in names if name in known and base is None and free(known[name])}
    candidates = _candidates(base)
    for name in names:
        while name not in chosen:
            port = next(candidates)
            if port not in chosen.values() and free(port):
                chosen[name] = port
    return chosen


def _candidates(base: int | None) -> Iterator[int]:
    """Yield ports to try."""
    yield from range(base or random.randrange(FIRST, LAST - 200), 65_536)
