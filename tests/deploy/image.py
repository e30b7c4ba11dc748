"""The image, built by buildah as deploy/Dockerfile says: without rights, and on a base that needs no registry.

The base has what python:…-slim has, as far as the Dockerfile uses it: the Python under test in /usr/local, a few
programs of this machine, and the shared libraries that these need. Packages come as files that this machine's pip has
fetched; the image's own line checks their hashes.
"""

import io
import json
import os
import pwd
import re
import shutil
import signal
import subprocess
import sys
import tarfile
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import pip

from tests.waiting import until

CHECKOUT = Path(__file__).resolve().parents[2]
DOCKERFILE = CHECKOUT / "deploy" / "Dockerfile"
SUB_IDS = Path("/etc/subuid")  # who may have users of their own, without rights: the image has one
PROGRAMS = ["sh", "chown", "env", "id", "mkdir", "useradd"]
# What wheels expect of every Linux (PEP 600), besides what Python itself needs.
LIBRARIES = ["libdl", "libgcc_s", "libpthread", "libresolv", "librt", "libstdc++", "libutil"]
LEFT_OUT = {"site-packages", "test", "ensurepip", "idlelib", "lib2to3", "pydoc_data", "tkinter", "turtledemo"}
FOLDERS = {"tmp": 0o1777, "root": 0o700, "etc": 0o755, "proc": 0o755, "sys": 0o755, "dev": 0o755}
LINKS = {"bin": "usr/bin", "sbin": "usr/bin", "lib": "usr/lib", "lib64": "usr/lib"}
FILES = {
    "etc/passwd": "root:x:0:0:root:/root:/bin/sh\n",
    "etc/group": "root:x:0:\nusers:x:100:\n",
    "etc/pip.conf": "[global]\nno-index = true\nfind-links = /wheels\nno-compile = true\n",
    "usr/local/bin/pip": '#!/bin/sh\nexec python -m pip "$@"\n',
}


def why_not() -> str:
    """Return why no image can be built here; "" where one can."""
    if shutil.which("buildah") is None:
        return "no buildah here (apt install buildah)"
    if os.geteuid() == 0 and not user_for_builds():
        return f"{SUB_IDS} names no user to build without rights (useradd builder)"
    return ""


def user_for_builds() -> str | None:
    """Return the first user who may have users of their own."""
    names = [line.split(":")[0] for line in SUB_IDS.read_text().splitlines()] if SUB_IDS.exists() else []
    return next((name for name in names if name in {one.pw_name for one in pwd.getpwall()}), None)


class Builder:
    """Builds the image and runs it, keeping all in a folder; where this process is root's, as another user."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._user = user_for_builds() if os.geteuid() == 0 else None
        self._environment = {
            "PATH": f"{os.defpath}:/usr/sbin:/sbin",
            "HOME": str(folder),
            "TMPDIR": str(folder),
            "XDG_RUNTIME_DIR": str(folder),
            "BUILDAH_ISOLATION": "chroot",
        }

    def build(self) -> str:
        """Build the image; return what the steps have said."""
        for name in ("wheels", "context"):
            (self.folder / name).mkdir()
        fetch_packages(self.folder / "wheels")
        copy_context(self.folder / "context")
        with tarfile.open(self.folder / "base.tar", "w") as tar:
            Base(tar).add_all()
        if self._user:
            shutil.chown(self.folder, self._user)
        container = self.buildah("from", "scratch")
        self.buildah("add", "--quiet", container, str(self.folder / "base.tar"), "/")
        self.buildah("commit", "--quiet", "--rm", container, "localhost/base")
        return self.buildah(
            *("build", "--from", "localhost/base", "--volume", f"{self.folder / 'wheels'}:/wheels:ro"),
            *("--file", "deploy/Dockerfile", "--ignorefile", "deploy/Dockerfile.dockerignore", "--tag", "xyz", "."),
        )

    def command(self) -> list[str]:
        """Return the image's own command."""
        image = json.loads(self.buildah("inspect", "--type", "image", "localhost/xyz"))
        command: list[str] = image["OCIv1"]["config"]["Cmd"]
        return command

    def buildah(self, *words: str) -> str:
        """Run a command of buildah's, and return what it prints. Raise AssertionError where it fails."""
        process = self._start([*words], subprocess.PIPE)
        said, errors = process.communicate()
        assert process.returncode == 0, f"buildah {words[0]}: {said.decode()[-2000:]}\n{errors.decode()[-2000:]}"
        return said.decode().strip()

    @contextmanager
    def running(self, command: list[str], environment: Mapping[str, str]) -> Iterator[None]:
        """Run a server of the image's within the block; end it by SIGTERM, which must end it well."""
        container = self.buildah("from", "localhost/xyz")
        given = [word for name, value in environment.items() for word in ("--env", f"{name}={value}")]
        log = self.folder / "log"
        with log.open("wb") as output:
            process = self._start(["run", *given, container, "--", *command], output)
        try:
            started = until(lambda: re.search(r"\[(\d+)\] \[INFO\] Listening", log.read_text()), "the server listens")
            yield
            self.buildah(
                "run", container, "--", "python", "-c", f"import os; os.kill({started[1]}, {signal.SIGTERM:d})"
            )
            assert process.wait(60) == 0, log.read_text()
        finally:
            process.kill()
            process.wait()

    def remove(self) -> None:
        """Remove the folder, in which files belong to users of the builder's own."""
        self.buildah("unshare", "rm", "-rf", str(self.folder / ".local"))
        shutil.rmtree(self.folder, ignore_errors=True)

    def _start(self, words: list[str], output: object) -> subprocess.Popen[bytes]:
        return subprocess.Popen(
            ["buildah", *words],
            cwd=self.folder / "context",
            env=self._environment,
            stdin=subprocess.DEVNULL,
            stdout=output,  # type: ignore[arg-type]
            stderr=subprocess.PIPE if output == subprocess.PIPE else subprocess.STDOUT,
            user=self._user,
            group=pwd.getpwnam(self._user).pw_gid if self._user else None,
            extra_groups=[] if self._user else None,
        )


def new_builder() -> Builder:
    """Return a builder whose folder is in memory, where there is room: layers are copied again and again."""
    memory = Path("/dev/shm")
    has_room = memory.is_dir() and shutil.disk_usage(memory).free > 4 << 30
    folder = Path(tempfile.mkdtemp(prefix="image-", dir=memory if has_room else None))
    return Builder(folder)


def fetch_packages(folder: Path) -> None:
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--require-hashes"]
    done = subprocess.run(
        [*command, "--requirement", CHECKOUT / "requirements.lock", "--dest", folder],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr


def copy_context(folder: Path) -> None:
    """Copy what the Dockerfile copies: a builder without rights can't enter every checkout."""
    names = re.findall(r"^COPY (\S+)", DOCKERFILE.read_text(), re.MULTILINE)
    for name in ["deploy", *names]:
        source = CHECKOUT / name
        if source.is_dir():
            shutil.copytree(source, folder / name)
        else:
            shutil.copy(source, folder / name)


class Base:
    """The base, as a tar file that is being written."""

    def __init__(self, tar: tarfile.TarFile) -> None:
        self._tar = tar

    def add_all(self) -> None:
        for name, mode in FOLDERS.items():
            self._put(name, kind=tarfile.DIRTYPE, mode=mode)
        for name, target in LINKS.items():
            self._put(name, kind=tarfile.SYMTYPE, target=target)
        for name, text in FILES.items():
            self._put(name, text.encode())
        path = f"{os.defpath}:/usr/sbin:/sbin"
        programs = [found for name in PROGRAMS if (found := shutil.which(name, path=path))]
        for program in programs:
            self._copy(Path(program), f"usr/bin/{Path(program).name}")
        for library in libraries_of([*programs, *self._add_python()]):
            self._copy(library, f"usr/lib/{library.name}")

    def _add_python(self) -> list[str]:
        """Add the Python under test and its pip; return the files that need shared libraries."""
        version = "python{}.{}".format(*sys.version_info)
        program, library, home = os.path.realpath(sys.executable), Path(os.__file__).parent, f"usr/local/lib/{version}"
        self._copy(Path(program), f"usr/local/bin/{version}")
        for name in ("python", "python3"):
            self._put(f"usr/local/bin/{name}", kind=tarfile.SYMTYPE, target=version)
        for path in library.iterdir():
            if path.name not in LEFT_OUT and not path.name.startswith("config-"):
                self._tar.add(path, f"{home}/{path.name}", filter=by_root)
        self._tar.add(Path(pip.__file__).parent, f"{home}/site-packages/pip", filter=by_root)
        return [program, *map(str, (library / "lib-dynload").glob("*.so"))]

    def _copy(self, source: Path, name: str) -> None:
        self._put(name, source.read_bytes())

    def _put(
        self, name: str, content: bytes = b"", *, kind: bytes = tarfile.REGTYPE, target: str = "", mode: int = 0o755
    ) -> None:
        member = tarfile.TarInfo(name)
        member.type, member.linkname, member.mode, member.size = kind, target, mode, len(content)
        self._tar.addfile(member, io.BytesIO(content))


def by_root(member: tarfile.TarInfo) -> tarfile.TarInfo:
    """Return a member as root's."""
    member.uid = member.gid = 0
    member.uname = member.gname = ""
    return member


def libraries_of(objects: Iterable[str]) -> list[Path]:
    """Return the shared libraries that programs and modules need, and the loader."""
    listed = subprocess.run(["ldd", *objects], capture_output=True, text=True, check=False).stdout
    found = {Path(path).name: Path(path) for path in re.findall(r"(?:=> |^\s)(/\S+)", listed, re.MULTILINE)}
    for name in LIBRARIES:
        found |= {path.name: path for path in found["libc.so.6"].parent.glob(f"{name}.so.?")}
    return list(found.values())
