"""The peers, and a virtual environment for each that must not share ours.

PyPI's django-cacheops installs a package named `cacheops`, as ours is: it lives in an environment of its own and runs
in a folder from which ours cannot be imported. It is in no requirements file.
"""

import subprocess
import sys
import venv
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
PEER_CODE = Path(__file__).resolve().parent / "peer"
FOLDER = ROOT / "var" / "benchmarks"
# As in requirements.txt, so that peers differ in nothing else.
SHARED = ("Django==5.2.19", "psycopg[binary]==3.3.9", "redis==8.1.0", "hiredis==3.5.0")


@dataclass(frozen=True)
class Peer:
    """One that is measured. `packages` is empty where our own environment will do; `database` is its Redis database."""

    name: str
    title: str
    database: int
    environment: str = ""
    packages: tuple[str, ...] = ()

    @property
    def python(self) -> Path:
        """Return the interpreter of the peer's environment, made on first use."""
        if not self.environment:
            return Path(sys.executable)
        return interpreter(FOLDER / f"env-{self.environment}", self.title, SHARED + self.packages)


def interpreter(folder: Path, title: str, packages: Sequence[str]) -> Path:
    """Return the interpreter of an environment with these packages and no others, made on first use."""
    python = folder / "bin" / "python"
    done = folder / ".installed"
    wanted = " ".join(packages)
    if not done.exists() or done.read_text() != wanted:
        print(f"Making the environment of {title} ...", flush=True)
        venv.create(folder, with_pip=True, clear=True)
        command = [str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
        subprocess.run([*command, *packages], check=True, cwd="/")
        done.write_text(wanted)
    return python


CACHEOPS = ("django-cacheops==7.2",)
PLAIN = Peer("plain", "Django", 0)
PEERS = (
    PLAIN,
    Peer("floor", "floor", 1),
    Peer("cacheops", "django-cacheops 7.2", 2, "cacheops", CACHEOPS),
    Peer("insideout", "django-cacheops 7.2, INSIDEOUT", 3, "cacheops", CACHEOPS),
    Peer("cachalot", "django-cachalot 2.9.1", 4, "cachalot", ("django-cachalot==2.9.1", "django-redis==7.0.0")),
    Peer("models", "ours, plain models", 6),
    Peer("ours", "ours, CachedManager", 5),
)
HEADLINE = "models"  # the peer that the goals are for
ENGINE = Peer("engine", "ours, the engine alone", 7)
CLUSTER = Peer("cluster", "ours, on a cluster", 0)
NEAR = Peer("near", "ours, plain models at the level near", 8)
OURS = ("models", "near", "ours", "engine", "cluster")
BY_NAME = {peer.name: peer for peer in (*PEERS, ENGINE, CLUSTER)}
