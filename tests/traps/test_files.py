"""Traps that stand in files: what deploy/ sets, and how the packages treat errors."""

import ast
import re
from pathlib import Path
from typing import Any

import cfnlint.decode
import pytest

REGIONS = ("us-east-1", "us-west-2", "us-east-2")
ROOT = Path(__file__).resolve().parents[2]


def parameter_group(region: str) -> dict[str, Any]:
    content, problems = cfnlint.decode.decode(str(ROOT / "deploy" / "elasticache" / f"{region}.yaml"))
    assert problems == []
    found: dict[str, Any] = content["Resources"]["ParameterGroup"]["Properties"]["Properties"]
    return found


@pytest.mark.parametrize("region", REGIONS)
def test_trap_22_memory_is_left_for_what_is_no_data(region: str) -> None:
    group = parameter_group(region)
    assert "maxmemory" not in group  # 900 MB is more than the node has: ElastiCache sets it by the node's type
    assert int(group["reserved-memory-percent"]) >= 25
    content, _ = cfnlint.decode.decode(str(ROOT / "deploy" / "elasticache" / f"{region}.yaml"))
    assert content["Parameters"]["NodeType"]["Default"] == "cache.t3.micro"  # 0.5 GiB


def test_trap_22_a_server_of_that_size_evicts_before_it_is_killed() -> None:
    found = [
        int(match[1]) for path in (ROOT / "deploy" / "redis").glob("*.conf")
        for match in re.finditer(r"^maxmemory (\d+)mb$", path.read_text(), re.MULTILINE)
    ]  # fmt: skip
    assert found
    assert max(found) <= 512 * 0.75


@pytest.mark.parametrize("region", REGIONS)
def test_trap_23_no_setting_is_there_that_the_server_refuses(region: str) -> None:
    assert not {"save", "tcp-nodelay", "bind", "port", "rename-command"} & set(parameter_group(region))
    for file in (ROOT / "deploy" / "redis").glob("*.conf"):
        for line in file.read_text().splitlines():
            assert not re.match(r"[^#]+\s#", line), f"{file.name}: a comment behind a setting: {line}"


EVERYTHING = {"Exception", "BaseException"}


def faults_in(source: str) -> list[str]:
    """Return what prints, or catches everything and goes on: the lines, and what they do."""
    found = []
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Call):
            called = ast.unparse(node.func)
            if called == "print" or called.endswith(("stderr.write", "traceback.print_exc")):
                found.append(f"{node.lineno}: {called}")
            if called.endswith("suppress") and EVERYTHING & {ast.unparse(one) for one in node.args}:
                found.append(f"{node.lineno}: suppress")
        if isinstance(node, ast.ExceptHandler):
            kinds = node.type.elts if isinstance(node.type, ast.Tuple) else [node.type]
            catches = any(kind is None or ast.unparse(kind) in EVERYTHING for kind in kinds)
            if catches and not any(isinstance(inner, ast.Raise) for inner in ast.walk(node)):
                found.append(f"{node.lineno}: except")
    return found


@pytest.mark.parametrize("package", ["cacheops", "xyzsite", "users", "devices", "locations", "analytics"])
def test_trap_26_no_error_is_printed_or_swallowed(package: str) -> None:
    files = [path for path in (ROOT / package).rglob("*.py") if "management" not in path.parts]
    assert files
    assert {str(path): found for path in files if (found := faults_in(path.read_text()))} == {}


@pytest.mark.parametrize(
    "handler",
    ["except: pass", "except Exception: pass", "except (KeyError, Exception) as error: log(error)",
     "except BaseException: return"],
)  # fmt: skip
def test_trap_26_is_seen_in_all_its_forms(handler: str) -> None:
    assert faults_in(f"def f():\n    try:\n        g()\n    {handler}\n")
    assert faults_in("with contextlib.suppress(Exception):\n    g()\nimport sys\nsys.stderr.write(str(1))")
