"""A certificate authority of our own, and one certificate for every local server, made by the openssl program."""

import shutil
import ssl
import subprocess
from pathlib import Path

from xyzsite.localregions.exceptions import ProgramMissing, ProgramUnsuitable, ServerFailed
from xyzsite.localregions.plan import HOST
from xyzsite.localregions.programs import RedisProgram

VALID_DAYS = "3650"
KEY = ("-newkey", "rsa:2048", "-nodes")
# RFC 5280, sections 4.2.1.1 and 4.2.1.3: from Python 3.13 on, clients insist on them.
AUTHORITY_USE = ("-addext", "keyUsage=critical,keyCertSign,cRLSign")
SERVER_KEYS = "authorityKeyIdentifier=keyid\nsubjectKeyIdentifier=hash\n"


def context(folder: Path) -> ssl.SSLContext:
    """Return what a client needs to trust the servers."""
    return ssl.create_default_context(cafile=str(folder / "ca.crt"))


def require(program: RedisProgram) -> None:
    """Raise ProgramUnsuitable when a Redis program was built without TLS."""
    if not program.tls:
        raise ProgramUnsuitable(
            f"{program.path} ({program}) was built without TLS: install redis-server from your system's packages,"
            " set XYZ_REDIS_SERVER to one that has it, or leave out --tls."
        )


def make(folder: Path) -> None:
    """Make ca.crt, server.crt and server.key in `folder` unless there. Raises ProgramMissing, ServerFailed."""
    if (folder / "server.crt").exists():
        return
    if shutil.which("openssl") is None:
        raise ProgramMissing("--tls needs the openssl program to make certificates: install openssl.")
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    (folder / "san.cnf").write_text(f"subjectAltName=IP:{HOST},DNS:localhost\n{SERVER_KEYS}")
    authority = ("-x509", *KEY, "-keyout", "ca.key", "-out", "ca.crt", "-days", VALID_DAYS, *AUTHORITY_USE)
    openssl(folder, "req", *authority, "-subj", "/CN=xyz local regions")
    openssl(folder, "req", *KEY, "-keyout", "server.key", "-out", "server.csr", "-subj", f"/CN={HOST}")
    signed = ("-CA", "ca.crt", "-CAkey", "ca.key", "-CAcreateserial", "-days", VALID_DAYS, "-extfile", "san.cnf")
    openssl(folder, "x509", "-req", "-in", "server.csr", "-out", "server.crt", *signed)


def openssl(folder: Path, *arguments: str) -> None:
    """Run openssl. Raises ServerFailed with what it says."""
    done = subprocess.run(["openssl", *arguments], cwd=folder, capture_output=True, text=True, check=False)
    if done.returncode:
        raise ServerFailed(f"openssl {arguments[0]} failed: {done.stderr.strip()}")
