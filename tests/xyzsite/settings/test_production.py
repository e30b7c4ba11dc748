"""Production settings as a deployment meets them: in a process of its own, with nothing but its environment."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[3]
REQUIRED = {
    "SECRET_KEY": "0123456789abcdefghijklmnopqrstuvwxyz-0123456789-ABCDEFGHIJKL",
    "ALLOWED_HOSTS": "platform.example.org",
    "DATABASE_URL": "postgres://user:password@localhost:1/nothing",
    "REDIS_URL_US_EAST_1": "redis://localhost:1",
}


def manage(*arguments: str, **variables: str) -> "subprocess.CompletedProcess[str]":
    """Run manage.py with production settings and these variables only."""
    environment = {"PATH": os.defpath, "DJANGO_SETTINGS_MODULE": "xyzsite.settings.production"} | variables
    command = [sys.executable, "-W", "error", "manage.py", *arguments]
    return subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=60, check=False)


def test_the_deployment_check_is_clean_with_the_required_variables() -> None:
    result = manage("check", "--deploy", "--fail-level", "WARNING", **REQUIRED)
    assert result.returncode == 0, result.stderr
    assert "no issues" in result.stdout


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("SECRET_KEY", "0123456789abcdefghijklmnopqrstuvwxyz-0123456789-A"),
        ("SECRET_KEY", "abab" * 20),
        ("SECRET_KEY", "django-insecure-0123456789abcdefghijklmnopqrstuvwxyz-0123456789"),
        ("SECRET_KEY", "for-trying-out-give-your-own-of-fifty-characters-and-more"),  # deploy/compose.yaml's
        ("ALLOWED_HOSTS", "platform.example.org,*"),
    ],
)
def test_what_protects_nothing_is_refused_at_the_start(name: str, value: str) -> None:
    result = manage("check", **REQUIRED | {name: value})
    assert result.returncode == 1
    assert name in result.stderr
    assert value not in result.stderr
    assert "Traceback" not in result.stderr


@pytest.mark.parametrize("name", REQUIRED)
def test_a_missing_variable_is_named(name: str) -> None:
    # Empty, not absent: a developer's own .env must not fill the gap.
    result = manage("check", **REQUIRED | {name: ""})
    assert result.returncode == 1
    assert name in result.stderr
    assert not any(other in result.stderr for other in REQUIRED if other != name)
    assert "Traceback" not in result.stderr


def test_a_proxy_is_named_or_all_clients_would_be_one() -> None:
    result = manage("check", **REQUIRED | {"BEHIND_PROXY": "true"})
    assert (result.returncode, "BEHIND_PROXY needs TRUSTED_PROXIES" in result.stderr) == (1, True)
    assert manage("check", **REQUIRED | {"BEHIND_PROXY": "true", "TRUSTED_PROXIES": "10.0.0.0/8"}).returncode == 0


def test_a_second_region_needs_its_own_servers() -> None:
    assert "REDIS_URL_US_WEST_2" in manage("check", **REQUIRED | {"XYZ_REGION": "us-west-2"}).stderr


def test_a_region_that_caches_its_replica_passes_the_check() -> None:
    replica = {"XYZ_REGION": "us-west-2", "REDIS_URL_US_WEST_2": "redis://localhost:1"}
    replica["DATABASE_REPLICA_URL"] = "postgres://user:password@localhost:2/nothing"
    result = manage("check", "--fail-level", "WARNING", **REQUIRED | replica)
    assert result.returncode == 0, result.stderr


def test_an_unknown_region_is_refused() -> None:
    result = manage("check", **REQUIRED | {"XYZ_REGION": "mars-1"})
    assert "must be one of us-east-1, us-west-2, us-east-2" in result.stderr


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("DATABASE_URL", "zzz"),
        ("DATABASE_REPLICA_URL", "zzz://user:secret@host/name"),
        ("SESSION_COOKIE_AGE", "abc"),
        ("REDIS_URL_US_EAST_1", "redis://:secret@host:6379,zzz"),
        ("LOG_LEVEL", "zzz"),
        ("SIGN_IN_SECONDS", "0"),
        ("TRUSTED_PROXIES", "secret"),
    ],
)
def test_a_variable_that_can_not_be_meant_is_named(name: str, value: str) -> None:
    result = manage("check", **REQUIRED | {name: value})
    assert result.returncode == 1
    assert f"{name} must be " in result.stderr
    assert "Traceback" not in result.stderr
    assert "secret" not in result.stderr


def test_static_files_get_names_that_browsers_may_keep(tmp_path: Path) -> None:
    result = manage("collectstatic", "--no-input", "--verbosity", "0", **REQUIRED | {"STATIC_ROOT": str(tmp_path)})
    assert result.returncode == 0, result.stderr
    assert (tmp_path / "staticfiles.json").is_file()
    assert list(tmp_path.glob("ninja/swagger-ui-bundle.*.js.gz"))
    assert list(tmp_path.glob("unfold/css/styles.*.css"))
