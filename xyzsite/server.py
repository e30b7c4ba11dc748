"""gunicorn's settings, in the image and in `make run`: `gunicorn -c python:xyzsite.server xyzsite.wsgi`."""

import ctypes
import socket
import struct
import sys
from typing import Any

worker_class = "xyzsite.buffered.BufferedWorker"
workers = 2
threads = 8  # a process: pages wait for the database and for Redis more than they compute
worker_connections = 800  # a process: a thousand files are open at most as a rule, and threads need some for servers
control_socket_disable = True
graceful_timeout = 6  # seconds for requests under way at SIGTERM; `docker stop` kills after 10
accesslog = "-"
access_log_format = '%(h)s %(t)s "%(m)s %(U)s %(H)s" %(s)s %(B)s %(M)sms'  # no query strings: they hold names

# A classic BPF program for a listening socket: drop SYN, let all else through (linux/filter.h).
SO_ATTACH_FILTER = 26
DROP_SYN = [(0x30, 0, 0, 13), (0x45, 0, 1, 0x02), (0x06, 0, 0, 0), (0x06, 0, 0, 0xFFFFFFFF)]


def when_ready(server: Any) -> None:
    """Have the main process, at SIGTERM, first refuse new connections: closing would reset those not accepted yet."""
    stop = server.stop

    def refuse_then_stop(graceful: bool = True) -> None:
        for listener in server.LISTENERS:
            try:
                refuse_new(listener.sock)
            except OSError as error:  # a sandbox's rules: all that was accepted is answered all the same
                server.log.warning("New connections can't be refused, so some may be reset: %s", error)
        stop(graceful)

    server.stop = refuse_then_stop


def refuse_new(listener: socket.socket) -> None:
    """Have a listening socket take no further connections, in all processes; those being made are made.

    A client's system tries again a second later, and is refused then. On Linux alone; elsewhere some are reset.
    Raise OSError where this process may not.
    """
    if sys.platform == "linux":
        program = ctypes.create_string_buffer(b"".join(struct.pack("HBBI", *line) for line in DROP_SYN))
        filter_ = struct.pack("HL", len(DROP_SYN), ctypes.addressof(program))
        listener.setsockopt(socket.SOL_SOCKET, SO_ATTACH_FILTER, filter_)
