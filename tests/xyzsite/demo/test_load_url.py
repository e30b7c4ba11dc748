"""Where manage.py demo_load posts to, if it is not told."""

from pathlib import Path

import pytest

from xyzsite.localregions.serving import LocalPlatform
from xyzsite.management.commands import demo_load


def test_where_the_platform_is_served_is_noted_until_it_ends(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    platform = LocalPlatform(tmp_path, ["us-west-2", "us-east-1"], 8100, print)
    monkeypatch.setattr(demo_load, "REGIONS", platform.regions.directory)
    monkeypatch.setenv("PORT", "8300")
    assert demo_load.default_url(start=False) == "http://127.0.0.1:8300"
    platform.environments = {region: {} for region in platform.ports}
    platform._note_addresses()
    assert demo_load.default_url(start=False) == f"http://127.0.0.1:{platform.ports['us-east-1']}"
    assert demo_load.default_url(start=True) == "http://127.0.0.1:8300"
    platform._end()
    assert demo_load.default_url(start=False) == "http://127.0.0.1:8300"
