"""``libcensus scan`` on a real root: what it tells, and when a pipeline fails."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from typing import TYPE_CHECKING

import jsonschema
import pytest

from libcensus.agent.document import scan_schema
from libcensus.cli.document import verdicts_schema

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.cli.conftest import Outcome

    Run = Callable[..., Outcome]

SEVERITIES = ("unknown", "low", "moderate", "high", "critical")


@pytest.fixture(scope="session")
def told(small_root: Path) -> dict[str, list[dict[str, object]]]:
    """The JSON of the small root."""
    run = subprocess.run(
        [sys.executable, "-m", "libcensus.cli.main", "scan", "--root", small_root, "--output", "json"],
        capture_output=True,
        check=True,
    )
    found: dict[str, list[dict[str, object]]] = json.loads(run.stdout)
    return found


def test_the_json_is_the_agents_object_with_verdicts(told: dict[str, list[dict[str, object]]]) -> None:
    jsonschema.validate(told, scan_schema())
    jsonschema.validate(told, verdicts_schema())
    (install,) = told["installs"]
    assert install["crypto"]["linkage"] == "local"  # type: ignore[index]
    subjects = {json.dumps(finding["subject"]) for finding in told["findings"] if finding["component"] != "glibc"}
    assert subjects == {json.dumps({"kind": "install", "root": install["root"], "path": install["path"]})}
    libcs = {json.dumps(finding["subject"]) for finding in told["findings"] if finding["component"] == "glibc"}
    path = told["host"]["libc"]["path"]  # type: ignore[call-overload]
    assert libcs == {json.dumps({"kind": "libc", "root": install["root"], "path": path})}
    assert {end["component"] for end in told["end_of_life"]} == {"cpython", "openssl"}
    assert [verdict["build"] for verdict in told["verdicts"]] == [install["build"]]


def test_the_table_tells_the_one_interpreter(run: Run, small_root: Path) -> None:
    ended = run("scan", "--root", str(small_root))
    assert ended.code == 0
    lines = ended.out.splitlines()
    assert lines[0].startswith(f"{small_root}: ")
    assert lines[2].startswith("INTERPRETER")
    assert lines[3].startswith("/usr/bin/python3.")
    assert " local" in lines[3]


@pytest.mark.parametrize("threshold", ["any", "low", "moderate", "medium", "high", "critical"])
def test_fail_on_ends_with_1_where_something_is_affected_at_or_above_it(
    run: Run, small_root: Path, told: dict[str, list[dict[str, object]]], threshold: str
) -> None:
    floor = SEVERITIES.index({"any": "unknown", "medium": "moderate"}.get(threshold, threshold))
    affected = [SEVERITIES.index(str(f["severity"])) for f in told["findings"] if f["status"] == "affected"]
    ended = run("scan", "--root", str(small_root), "--fail-on", threshold)
    expected = int(any(severity >= floor for severity in affected))
    assert ended.code == expected
    assert ("--fail-on names" in ended.err) == bool(expected)


def test_an_empty_root_is_a_valid_one(run: Run, tmp_path: Path) -> None:
    ended = run("scan", "--root", str(tmp_path), "--fail-on", "any")
    assert ended.code == 0
    assert "No interpreter was found." in ended.out


def test_an_excluded_folder_is_not_entered(run: Run, small_root: Path) -> None:
    assert "No interpreter was found." in run("scan", "--root", str(small_root), "--exclude", "/usr/bin").out


def test_explain_shows_the_bytes_behind_each_statement(run: Run, small_root: Path) -> None:
    out = run("scan", "--root", str(small_root), "--explain").out
    assert "    requirement: " in out
    assert " needs GLIBC_2." in out
    assert "    crypto: " in out


def test_a_root_inside_the_root_is_judged_by_itself(run: Run, small_root: Path, tmp_path: Path) -> None:
    outer, inner = tmp_path / "outer", tmp_path / "outer/srv/inner"
    shutil.copytree(small_root, outer)
    shutil.copytree(small_root, inner)
    for name in ("libssl.so", "libcrypto.so"):
        for file in inner.rglob(f"{name}*"):
            file.unlink()
    (inner / "var/lib/dpkg").mkdir(parents=True)
    (inner / "var/lib/dpkg/status").touch()
    told = json.loads(run("scan", "--root", str(outer), "--output", "json").out)
    jsonschema.validate(told, scan_schema())
    jsonschema.validate(told, verdicts_schema())
    assert [root["name"] for root in told["roots"]] == [str(outer), str(inner)]
    by_root = {install["root"]: install for install in told["installs"]}
    assert by_root[str(outer)]["crypto"]["family"] == "openssl"
    assert by_root[str(inner)]["crypto"]["linkage"] == "unresolved"
    assert by_root[str(outer)]["build"] == by_root[str(inner)]["build"]
    verdicts = {one["root"]: one for one in told["verdicts"]}
    assert verdicts.keys() == {str(outer), str(inner)}
    assert not any("libssl" in text for text in verdicts[str(outer)]["degraded"])
    assert any("libssl" in text for text in verdicts[str(inner)]["degraded"])
    table = run("scan", "--root", str(outer)).out
    assert f"\n{inner}:/usr/bin/python3." in table
    assert "OTHER ROOT" in table


def test_a_build_whose_provider_is_known_tells_its_quirks(run: Run, small_root: Path, tmp_path: Path) -> None:
    root = tmp_path / "standalone"
    shutil.copytree(small_root, root)
    (library,) = root.glob("usr/lib/python3.*/os.py")
    variables = "{'CONFIG_ARGS': \"'--prefix=/install' '--with-openssl=/tools/deps'\", 'PYTHON_BUILD_STANDALONE': 1}"
    library.with_name("_sysconfigdata__linux_x86_64-linux-gnu.py").write_text(f"build_time_vars = {variables}\n")
    told = json.loads(run("scan", "--root", str(root), "--output", "json").out)
    jsonschema.validate(told, verdicts_schema())
    (install,) = told["installs"]
    subject = {"kind": "install", "root": install["root"], "path": install["path"]}
    assert [(one["subject"], one["quirk"]) for one in told["quirks"]] == [
        (subject, "pbs-libedit"),
        (subject, "pbs-build-paths"),
    ]
    plain = run("scan", "--root", str(root), "--explain").out
    assert "Quirks: pbs-libedit (1 install), pbs-build-paths (1 install); --explain tells what they mean\n" in plain
    assert "  quirk pbs-libedit: readline is libedit\n" in plain
    assert f"    source: {told['quirks'][0]['source']}\n" in plain
