"""The state file: what outlives the supervisor, so that the next one finds the same ports and ends what was left."""

import json
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path

from xyzsite.localregions import processes
from xyzsite.localregions.plan import Options, Plan


@dataclass(frozen=True)
class Process:
    """A process, named so that another one with its number is not taken for it."""

    pid: int
    started: str | None

    @classmethod
    def of(cls, pid: int) -> "Process":
        return cls(pid, processes.started_at(pid))

    @property
    def alive(self) -> bool:
        return processes.alive(self.pid, self.started)


@dataclass(frozen=True)
class State:
    """`supervisor` and `servers` are what ran last; `control` is the path of the supervisor's socket."""

    options: Options = field(default_factory=Options)
    ports: dict[str, int] = field(default_factory=dict)
    data_root: str = ""
    control: str = ""
    supervisor: Process | None = None
    servers: dict[str, Process] = field(default_factory=dict)

    def plan(self, directory: Path) -> Plan:
        return Plan(directory, self.options, self.ports, Path(self.data_root) if self.data_root else None)


def path(directory: Path) -> Path:
    return directory / "state.json"


def read(directory: Path) -> State:
    """Return the recorded state; an empty one where there is none, or none that can be read."""
    try:
        stored = json.loads(path(directory).read_text())
        return State(
            options=Options(**stored["options"]),
            ports=stored["ports"],
            data_root=stored["data_root"],
            control=stored["control"],
            supervisor=Process(**stored["supervisor"]) if stored["supervisor"] else None,
            servers={name: Process(**process) for name, process in stored["servers"].items()},
        )
    except (FileNotFoundError, ValueError, KeyError, TypeError):  # written by another version, or cut off
        return State()


def write(directory: Path, state: State) -> None:
    """Record the state: whole or not at all, readable by its owner only (it holds the password)."""
    new = path(directory).with_suffix(".new")
    new.touch(mode=0o600)
    new.write_text(json.dumps(asdict(state), indent=1))
    new.replace(path(directory))


def cleared(old: State) -> State:
    """Return the state after everything has ended: the ports and the data's place are kept."""
    return replace(old, supervisor=None, control="", servers={})
