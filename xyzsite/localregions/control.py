"""How `regions` talks to the supervisor: one JSON line each way, over a socket that only its user can open."""

import asyncio
import json
import socket
import tempfile
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

from xyzsite.localregions import exceptions
from xyzsite.localregions.exceptions import LocalRegionsError, NotRunning

# What a path of a socket may be long (sun_path of unix(7) holds 108 bytes, 104 on macOS).
LONGEST_PATH = 100
ANSWER_SECONDS = 60.0

Handler = Callable[[str, list[Any]], Awaitable[Any]]


def socket_path(directory: Path) -> Path:
    """Return a path for the socket: in the directory, or in a private temporary one where that is too long."""
    path = directory.resolve() / "control.sock"
    if len(str(path)) <= LONGEST_PATH:
        return path
    return Path(tempfile.mkdtemp(prefix="xyz-regions-")) / "control.sock"


def remove(path: Path, directory: Path) -> None:
    """Remove the socket, and the folder that socket_path made for it."""
    path.unlink(missing_ok=True)
    if path.parent != directory.resolve():
        path.parent.rmdir()


async def serve(path: Path, handler: Handler) -> asyncio.Server:
    """Answer commands: {"command", "arguments"} with {"result"} or {"error", "kind"}."""

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        request = json.loads(await reader.readline())
        try:
            reply = {"result": await handler(request["command"], request["arguments"])}
        except LocalRegionsError as error:
            reply = {"error": str(error), "kind": type(error).__name__}
        writer.write(json.dumps(reply).encode() + b"\n")
        writer.close()

    path.unlink(missing_ok=True)
    server = await asyncio.start_unix_server(answer, path)
    path.chmod(0o600)
    return server


def ask(path: str, command: str, *arguments: Any) -> Any:
    """Send a command and return its result. Raises NotRunning, and what the supervisor raised."""
    with socket.socket(socket.AF_UNIX) as connection:
        connection.settimeout(ANSWER_SECONDS)
        try:
            connection.connect(path)
            connection.sendall(json.dumps({"command": command, "arguments": arguments}).encode() + b"\n")
            line = connection.makefile().readline()
        except OSError as error:
            raise NotRunning("The local regions are not running: start them with `manage.py regions up`.") from error
    if not line:
        raise NotRunning("The supervisor of the local regions ended while it was asked.")
    reply = json.loads(line)
    if "error" in reply:
        raise getattr(exceptions, reply["kind"])(reply["error"])
    return reply["result"]
