"""deploy/Dockerfile, as far as a machine without Docker can run it: its own lines, in a shell."""

from pathlib import Path


def test_static_files_are_collected_by_the_image_s_own_line(static_files: Path) -> None:
    assert (static_files / "staticfiles.json").exists()
