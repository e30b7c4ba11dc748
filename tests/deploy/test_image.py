"""deploy/Dockerfile: its own line for static files in a shell; and all of it, where buildah is there to build it."""

import json
import re
import secrets
from collections.abc import Iterator
from pathlib import Path
from urllib.request import urlopen

import pytest

from tests.deploy import image
from xyzsite.localregions import ports

FIXED = "0.0.0.0:8000"  # to which the image's command binds; nothing keeps it free here


def test_static_files_are_collected_by_the_image_s_own_line(static_files: Path) -> None:
    assert (static_files / "staticfiles.json").exists()


@pytest.fixture
def builder() -> Iterator[image.Builder]:
    made = image.new_builder()
    yield made
    made.remove()


@pytest.mark.servers
@pytest.mark.skipif(bool(image.why_not()), reason=image.why_not())
def test_buildah_builds_the_image_without_rights_and_its_command_serves(builder: image.Builder) -> None:
    assert "Successfully tagged localhost/xyz" in builder.build()
    port = ports.choose(["web"], {})["web"]
    command = [word.replace(FIXED, f"127.0.0.1:{port}") for word in builder.command()]
    assert f"127.0.0.1:{port}" in command
    environment = {
        "SECRET_KEY": secrets.token_hex(32),
        "ALLOWED_HOSTS": "127.0.0.1",
        "DATABASE_URL": "sqlite:////app/var/db",  # the one folder that the image's user may write
        "REDIS_URL_US_EAST_1": "redis://127.0.0.1:1",
        "SECURE_SSL_REDIRECT": "false",
    }
    with builder.running(command, environment):
        site = f"http://127.0.0.1:{port}"
        with urlopen(f"{site}/healthz/live", timeout=60) as answer:
            assert json.load(answer)["status"] == "ok"
        with urlopen(f"{site}/sign-in/", timeout=60) as answer:
            (style,) = set(re.findall(r'href="(/static/[^"]+\.css)"', answer.read().decode()))
        with urlopen(f"{site}{style}", timeout=60) as answer:
            assert "immutable" in answer.headers["Cache-Control"]  # its name has its hash
