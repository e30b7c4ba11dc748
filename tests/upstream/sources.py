"""Get the tests of a project's source distribution."""

import subprocess
import sys
import tarfile
from pathlib import Path

HOME = Path(__file__).parents[2] / ".upstream"  # a name that style and type checks pass over


def unpacked(requirement: str) -> Path:
    """Return the folder of a source distribution (`NAME==VERSION`), downloaded where it is not there yet."""
    folder = HOME / requirement
    if not folder.exists():
        name = requirement.partition("=")[0]
        archives = HOME / "archives"
        command = (sys.executable, "-m", "pip", "--disable-pip-version-check", "download", "--quiet", "--no-deps")
        subprocess.run([*command, "--no-binary", name, "--dest", str(archives), requirement], check=True)
        start = f"{name}-".lower().replace("_", "-")  # projects spell their archives in more than one way
        found = max(
            (path for path in archives.glob("*.tar.gz") if path.name.lower().replace("_", "-").startswith(start)),
            key=lambda path: path.stat().st_mtime,
        )
        with tarfile.open(found) as archive:
            archive.extractall(folder, filter="data")
    return next(path for path in folder.iterdir() if path.is_dir())
