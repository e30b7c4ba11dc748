"""The supervisor's process: `python -m xyzsite.localregions.daemon`, started by LocalRegions.up.

It reads one JSON line ({"directory", "options", "base_port", "owner"}) and answers one: {} when everything serves, or
{"error", "kind"}.
"""

import asyncio
import dataclasses
import json
import logging
import os
import signal
import sys
from pathlib import Path
from typing import Any

from xyzsite.localregions import control, ports, postgres, programs, state, tls
from xyzsite.localregions import plan as layout
from xyzsite.localregions.databases import Databases
from xyzsite.localregions.exceptions import LocalRegionsError, ServerFailed
from xyzsite.localregions.plan import Options, Plan
from xyzsite.localregions.supervisor import Supervisor

logger = logging.getLogger(__name__)

# Another program may take a port between our choosing it and a server's listening.
BOOT_ATTEMPTS = 3
COMMANDS = (
    "kill",
    "pause",
    "resume",
    "partition",
    "heal",
    "failover",
    "failover_database",
    "crash",
    "distance",
    "status",
    "stop",
    "wait_linked",
)


@dataclasses.dataclass(frozen=True)
class Request:
    """What LocalRegions.up asks for."""

    directory: Path
    options: Options
    base_port: int | None
    owner: state.Process | None

    @classmethod
    def parse(cls, line: str) -> "Request":
        stored = json.loads(line)
        owner = state.Process(**stored["owner"]) if stored["owner"] else None
        return cls(Path(stored["directory"]), Options(**stored["options"]), stored["base_port"], owner)


async def boot(request: Request) -> Supervisor:
    """Start everything; again on other ports when one was taken meanwhile. Raises LocalRegionsError."""
    known = state.read(request.directory).ports
    names = layout.port_names(request.options)
    for attempt in range(1, BOOT_ATTEMPTS + 1):
        chosen = ports.choose(names, known, request.base_port)
        supervisor = make(request, chosen)
        try:
            await supervisor.boot()
        except (LocalRegionsError, OSError) as error:
            await supervisor.shut_down()
            if attempt == BOOT_ATTEMPTS or all(ports.free(port) for port in chosen.values()):
                raise ServerFailed(str(error)) from error
            logger.warning("a port was taken, trying again: %s", error)
        else:
            return supervisor
    raise AssertionError("unreachable")


def make(request: Request, chosen: dict[str, int]) -> Supervisor:
    """Find the programs and lay out the folders. Raises ProgramMissing, ProgramUnsuitable, ServerFailed."""
    options, directory = request.options, request.directory
    redis = programs.redis_program(Path(options.redis_server)) if options.redis_server else programs.find_redis()
    if options.tls:
        tls.require(redis)
        tls.make(directory / "tls")
    database, data_root = None, None
    if options.postgres:
        database = programs.find_postgres()
        data_root = postgres.data_root(directory, database)
        database = postgres.runnable(postgres.matching(database, data_root / f"{layout.HOME}-db"), data_root)
    plan = Plan(directory, options, chosen, data_root)
    context = tls.context(directory / "tls") if options.tls else None
    return Supervisor(plan, redis, context, Databases(plan, database), request.owner)


async def serve(request: Request) -> None:
    """Boot, answer that all is ready, and supervise until the end."""
    try:
        supervisor = await boot(request)
    except LocalRegionsError as error:
        reply({"error": str(error), "kind": type(error).__name__})
        return
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, supervisor.stopping.set)
    path = control.socket_path(request.directory)

    async def handle(command: str, arguments: list[Any]) -> Any:
        if command not in COMMANDS:
            raise LocalRegionsError(f"The supervisor knows no command {command!r}.")
        return await getattr(supervisor, command)(*arguments)

    listener = await control.serve(path, handle)
    record = Recorder(supervisor.plan, str(path))
    try:
        record(supervisor)
        reply({})
        await supervisor.run(record)
    finally:
        listener.close()
        await supervisor.shut_down()
        record.ended()
        control.remove(path, request.directory)


class Recorder:
    """Keeps the state file true: which processes run, so that the next `up` or `down` can end them if we cannot."""

    def __init__(self, plan: Plan, path: str) -> None:
        self.directory = plan.directory
        self.state = state.State(
            options=plan.options,
            ports=plan.ports,
            data_root=str(plan.data_root or ""),
            control=path,
            supervisor=state.Process.of(os.getpid()),
        )
        self.known: dict[str, int] = {}

    def __call__(self, supervisor: Supervisor) -> None:
        """Write the file if a server is another process than before."""
        running = dict(supervisor.processes())
        if running != self.known:
            self.known = running
            servers = {name: state.Process.of(pid) for name, pid in running.items()}
            state.write(self.directory, dataclasses.replace(self.state, servers=servers))

    def ended(self) -> None:
        """Record that nothing runs; the ports are kept for the next time."""
        state.write(self.directory, state.cleared(self.state))
        for file in self.directory.glob("*.env"):
            file.unlink(missing_ok=True)


def reply(message: dict[str, Any]) -> None:
    """Report the outcome to the parent process, and close the pipe."""
    sys.stdout.write(json.dumps(message) + "\n")
    sys.stdout.flush()
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def main() -> None:
    """Leave the process that started us: the supervisor is then adopted by init, which reaps it."""
    if os.fork():
        os._exit(0)
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s", stream=sys.stderr)
    asyncio.run(serve(Request.parse(sys.stdin.readline())))


if __name__ == "__main__":
    main()
