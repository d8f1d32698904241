"""``explain``: the chain of evidence from a real collector and from a scan's file, and what has no finding."""

from __future__ import annotations

import json
import sys
from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest
from rich.cells import cell_len

from libcensus.cli.assessed import assessed_from_detail
from libcensus.cli.document import assessed_object
from libcensus.cli.explained import explain
from libcensus.cli.explained_text import print_explanations
from libcensus.cli.terminal import Output
from libcensus.collector.advisories.snapshot import load_snapshot
from libcensus.collector.app import Collector
from libcensus.collector.config import CollectorSettings
from libcensus.collector.service.fleet import FleetReader
from libcensus.collector.store.sql import SqlStore
from libcensus.facts.changelog import ChangelogFix
from tests.cli.test_account import Screen, strip_styles
from tests.collector.metrics import fleet
from tests.golden import check_golden

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from tests.cli.conftest import Outcome

    Run = Callable[..., Outcome]

SITE = "/srv/app/.venv/lib/python3.12/site-packages"
PBS, DISTRO = "/opt/py/bin/python3.12", "/usr/bin/python3.11"
LIBCRYPTO = "/usr/lib/x86_64-linux-gnu/libcrypto.so.3"


def machine_with(advisory: str) -> fleet.Machine:
    """Return the full machine, whose OpenSSL's changelog names one more advisory as fixed."""
    machine = fleet.full_machine()
    changelog = machine.changelogs[0]
    fix = ChangelogFix(advisory, "3.0.17-1~deb12u1", f"{advisory} (out-of-bounds read in CMS)")
    fixed = replace(changelog, fixes=tuple(sorted((*changelog.fixes, fix), key=lambda one: one.advisory)))
    return replace(machine, changelogs=(fixed, *machine.changelogs[1:]))


@pytest.fixture(scope="module")
def full(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Collector]:
    """A collector with a full host."""
    folder = tmp_path_factory.mktemp("full")
    with SqlStore.open(f"sqlite:///{folder / 'census.db'}") as store:
        fleet.report(store, machine_with("CVE-2025-9230"))
        settings = CollectorSettings(listen="127.0.0.1:0", http_listen="127.0.0.1:0")
        running = Collector(settings, store, today=lambda: fleet.TODAY).start()
        try:
            yield running
        finally:
            running.stop()


@pytest.fixture
def scan(run: Run, full: Collector, tmp_path: Path) -> Path:
    """The host as a scan's file."""
    file = tmp_path / "full.json"
    file.write_text(run("show", "full", "--collector", full.grpc_address, "--output", "json").out)
    return file


def told(run: Run, full: Collector, *what: str) -> list[dict[str, Any]]:
    """Return the JSON of an explanation."""
    ended = run("explain", "full", *what, "--collector", full.grpc_address, "--output", "json")
    assert (ended.code, ended.err) == (0, "")
    value: list[dict[str, Any]] = json.loads(ended.out)
    return value


def test_an_affected_build_is_explained_from_the_bytes_to_the_remedy(run: Run, full: Collector) -> None:
    (one,) = told(run, full, PBS, "cve-2025-15467")
    assert (one["verdict"], one["severity"], one["component"], one["known"]) == ("affected", "high", "openssl", True)
    assert (one["fixed_in"], one["fix_available"]) == ("3.5.5", "2026-01-27T00:00:00Z")
    assert one["remedy"].startswith("uv self update && uv python upgrade 3.12 (build 20260127 or newer")
    links = [step["link"] for step in one["chain"]]
    assert links == sorted(links, key=("read", "package", "changelog", "distribution", "advisory", "fix").index)
    assert {"read", "advisory", "fix"} <= set(links)
    assert "to before 3.5.5; version here 3.5.4" in next(s["detail"] for s in one["chain"] if s["link"] == "advisory")


def test_a_distributions_package_is_explained_by_its_changelog(run: Run, full: Collector) -> None:
    (one,) = told(run, full, DISTRO, "CVE-2025-9230")
    assert one["verdict"] == "fixed"
    changelog = next(step for step in one["chain"] if step["link"] == "changelog")
    assert changelog["file"] == "/usr/share/doc/libssl3/changelog.Debian.gz"
    assert "at 3.0.17-1~deb12u1: CVE-2025-9230" in changelog["detail"]
    package = next(step for step in one["chain"] if step["link"] == "package")
    assert "owned by libssl3 3.0.17-1~deb12u2 (dpkg)" in package["detail"]
    assert one["because"] == changelog["detail"]
    assert one["processes"] == 3


def test_a_library_is_explained_for_everything_that_uses_it(run: Run, full: Collector) -> None:
    paths = {one["subject"]["path"] for one in told(run, full, LIBCRYPTO, "CVE-2025-15467")}
    assert paths == {DISTRO, "/srv/old/.venv/bin/python"}
    (inner,) = told(run, full, LIBCRYPTO, "CVE-2025-15467", "--root", fleet.CHROOT)
    assert inner["subject"] == {"kind": "install", "root": fleet.CHROOT, "path": DISTRO}


def test_the_own_root_comes_first_and_others_are_named(run: Run, full: Collector) -> None:
    ended = run("explain", "full", DISTRO, "CVE-2025-15467", "--collector", full.grpc_address)
    assert ended.out.startswith(f"full:{DISTRO}\n")
    assert ended.out.endswith(f"The same path lies in other roots (--root): {fleet.CHROOT}\n")


SILENCES = {
    "outside the range": ("/opt/product/lib/libcrypto.so.3", "CVE-2025-15467", "outside_range", True),
    "a fork": (f"{SITE}/grpc/_cython/cygrpc.cpython-312-x86_64-linux-gnu.so", "CVE-2025-15467", "fork", True),
    "another component": (PBS, "CVE-2023-4527", "other_component", True),
    "an advisory that nobody knows": (PBS, "CVE-1999-1111", "unknown_advisory", False),
    "an environment that leads to nothing": ("/srv/gone/.venv/bin/python", "CVE-2026-6100", "not_read", False),
}


@pytest.mark.parametrize(("path", "advisory", "verdict", "known"), SILENCES.values(), ids=SILENCES)
def test_what_has_no_finding_is_told_with_the_reason(
    run: Run, full: Collector, path: str, advisory: str, verdict: str, known: bool
) -> None:
    (one,) = told(run, full, path, advisory)
    assert (one["verdict"], one["known"], one["remedy"]) == (verdict, known, None)
    assert one["because"]
    text = run("explain", "full", path, advisory, "--collector", full.grpc_address).out
    assert f"Because: {one['because']}" in text
    assert ("is not concerned by" in text) == known


def test_every_finding_of_a_host_can_be_explained(run: Run, full: Collector, scan: Path) -> None:
    document = json.loads(scan.read_text())
    catalogue = load_snapshot()
    for finding in document["findings"]:
        subject = finding["subject"]
        explained, _ = explain(document, subject["path"], finding["advisory"], catalogue, subject["root"])
        (one,) = [item for item in explained if item.path == subject["path"]]
        assert (one.verdict, one.component, one.remedy) == (
            finding["status"], finding["component"], finding["remedy"],
        )  # fmt: skip
        assert {step.words for step in one.steps} >= {item["detail"] for item in finding["evidence"]}


def test_a_file_is_explained_like_the_collectors_host(run: Run, full: Collector, scan: Path) -> None:
    for advisory in ("CVE-2025-15467", "CVE-1999-1111"):
        online = run("explain", "full", PBS, advisory, "--collector", full.grpc_address)
        assert run("explain", "--scan", str(scan), PBS, advisory) == online


def test_what_cannot_be_explained_is_refused(run: Run, full: Collector, scan: Path, tmp_path: Path) -> None:
    document = json.loads(scan.read_text())
    bare, broken = tmp_path / "bare.json", tmp_path / "broken.json"
    bare.write_text(json.dumps({key: value for key, value in document.items() if key != "findings"}))
    broken.write_text(json.dumps({**document, "installs": [{"path": "/x"}]}))
    here = ("--collector", full.grpc_address)
    cases = [
        (("full", "/usr/bin/python3.12", "CVE-2025-15467", *here), f"did you mean {DISTRO}"),
        (
            ("full", DISTRO, "CVE-2025-15467", "--root", "/no", *here),
            "is not in root /no; the roots that have it: /, ",
        ),
        (("nobody", PBS, "CVE-2025-15467", *here), "knows no host 'nobody'"),
        ((PBS, "CVE-2025-15467", *here), "explain takes 3 arguments: HOST, PATH and CVE; 2 were given"),
        (
            ("--scan", str(scan), "full", PBS, "CVE-2025-15467"),
            "explain takes 2 arguments: PATH and CVE, beside --scan",
        ),
        (("--scan", str(scan), PBS, "CVE-2025-15467", *here), "give one of them"),
        (("--scan", str(bare), PBS, "CVE-2025-15467"), "is a scan without findings"),
        (("--scan", str(broken), PBS, "CVE-2025-15467"), "is damaged: KeyError"),
        (("--scan", str(tmp_path / "none"), PBS, "CVE-2025-15467"), "cannot be read"),
    ]
    for arguments, words in cases:
        ended = run("explain", *arguments)
        assert (ended.code, ended.out) == (2, ""), arguments
        assert words in ended.err
        assert ended.err.count("\n") == 1


@pytest.mark.parametrize("width", [80, 150])
def test_on_a_terminal(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, width: int) -> None:
    # A catalogue of its own: the one on board has other words whenever it is made anew.
    assessor = fleet.assessor()
    with SqlStore.open(f"sqlite:///{tmp_path / 'census.db'}") as store:
        fleet.report(store, fleet.full_machine())
        open_one = FleetReader(store, lambda: assessor).show_host("full")
        fleet.report(store, machine_with("CVE-2025-15467"), at=fleet.NOON + timedelta(hours=1))
        fixed = FleetReader(store, lambda: assessor).show_host("full")
    screen = Screen()
    for name, value in (("COLUMNS", str(width)), ("TERM", "xterm"), ("NO_COLOR", "1")):
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(sys, "stdout", screen)
    out = Output()
    questions = (
        (open_one, PBS, "CVE-2025-15467"),
        (fixed, DISTRO, "CVE-2025-15467"),
        (open_one, LIBCRYPTO, "CVE-2025-15467"),
        (open_one, "/opt/product/lib/libcrypto.so.3", "CVE-2025-15467"),
        (open_one, PBS, "CVE-2023-4527"),
    )
    for detail, path, advisory in questions:
        document = assessed_object(assessed_from_detail(detail))
        explained, _ = explain(document, path, advisory, assessor.catalogue)
        print_explanations(out, "full", explained)
        out.line()
    shown = "\n".join(line.rstrip() for line in strip_styles(screen.getvalue()).splitlines()) + "\n"
    assert max(cell_len(line) for line in shown.splitlines() if not line.startswith("full:")) <= width
    check_golden(f"explain-{width}.txt", shown)
