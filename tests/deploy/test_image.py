"""deploy/Dockerfile, as far as a machine without Docker can run it: its own lines, in a shell."""

import os
import re
import subprocess
import sys
from pathlib import Path

from xyzsite.localregions.manager import CHECKOUT

DOCKERFILE = (CHECKOUT / "deploy" / "Dockerfile").read_text().replace("\\\n", " ")


def line_with(words: str) -> str:
    """Return the command of the RUN line that holds these words."""
    (found,) = [line for line in re.findall(r"^RUN (.+)$", DOCKERFILE, re.MULTILINE) if words in line]
    return found


def test_static_files_are_collected_by_the_image_s_own_line(tmp_path: Path) -> None:
    programs = Path(sys.executable).parent
    done = subprocess.run(
        ["sh", "-c", line_with("collectstatic")],
        cwd=CHECKOUT,
        env={
            "PATH": f"{programs}:{os.defpath}",
            "DJANGO_SETTINGS_MODULE": "xyzsite.settings.production",
            "STATIC_ROOT": str(tmp_path),
        },
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "staticfiles.json").exists()
