"""What is stale, as people and programs are told it: from the facts of a scan to JSON, lines and tables."""

from __future__ import annotations

import io
import json
import sys
from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import jsonschema
import pytest

from libcensus.agent.scan import Scan
from libcensus.cli.document import assessed_object, verdicts_schema
from libcensus.cli.local import assess_scan
from libcensus.cli.stale_tables import KIND_NAMES, print_stale, print_stale_counts, tell_stale
from libcensus.cli.terminal import Output
from libcensus.collector.advisories.snapshot import load_snapshot
from libcensus.collector.posture.staleness import StalenessKind
from libcensus.collector.service.posture_codec import StaleCount
from libcensus.facts.codec import encode_fact
from libcensus.facts.root import RootSet
from libcensus.facts.vocabulary import EnvironmentState, Installer, InstallKind
from tests.cli.test_account import Screen, strip_styles
from tests.collector.metrics import fleet

if TYPE_CHECKING:
    from collections.abc import Callable

    from libcensus.cli.assessed import Assessed
    from libcensus.collector.app import Collector
    from tests.cli.conftest import Outcome

    Run = Callable[..., Outcome]
    TextOf = Callable[[int | None, Callable[[Output], None]], str]

STORE = "/root/.local/share/uv/python"
BASE = f"{STORE}/cpython-3.12.12-linux-x86_64-gnu/bin/python3.12"
NEWER = f"{STORE}/cpython-3.12.13-linux-x86_64-gnu/bin/python3.12"


@pytest.fixture(scope="module")
def assessed() -> Assessed:
    """A machine with something of each kind, judged as ``libcensus scan`` judges it."""
    machine = fleet.full_machine()
    own = replace(fleet.PBS_312, version="3.12.13", provider_build="20260408")
    installs = (
        *(one for one in machine.installs if one.root == "/"),
        fleet.install(BASE, fleet.PBS_312, fleet.STATIC, installer=Installer.UV),
        fleet.install(NEWER, own, fleet.STATIC, installer=Installer.UV),
        fleet.install(
            "/srv/pinned/bin/python", fleet.PBS_312, fleet.STATIC, kind=InstallKind.VENV, base=BASE,
            state=EnvironmentState.PINNED,
        ),
        fleet.install("/usr/bin/python3.11", fleet.DISTRO_311, fleet.SYSTEM, root="container:4f9d"),
    )  # fmt: skip
    machine = replace(machine, installs=installs, builds=(*machine.builds, own))
    roots = tuple(root for root in machine.root_set.roots if root.name != fleet.CHROOT)
    return assess_scan(
        Scan(
            root="/",
            host=machine.host,
            platform=machine.platform,
            installs=machine.install_set,
            builds={encode_fact(one)[1]: one for one in machine.builds},
            probes=machine.probes,
            scanned_at=datetime.now(UTC),
            seconds=1.0,
            crypto_copies=machine.copy_set,
            tools=machine.tools,
            roots=RootSet(roots),
            platforms={},
            changelogs={encode_fact(one)[1]: one for one in machine.changelogs},
            processes=machine.processes,
        ),
        load_snapshot(),
    )


def test_the_json_of_a_scan_has_all_that_is_stale(assessed: Assessed) -> None:
    document = json.loads(json.dumps(assessed_object(assessed)))
    jsonschema.validate(document, verdicts_schema())
    told = {(one["kind"], one["subject"]["path"]): one for one in document["staleness"] if one["state"] == "stale"}
    pinned = told["environment_behind_base", "/srv/pinned/bin/python"]
    assert pinned["has"] == "CPython 3.12.12, build 20260114"
    assert pinned["newest"] == "CPython 3.12.13, build 20260408"
    assert pinned["remedy"].endswith(f"{NEWER} -m venv --clear /srv/pinned")
    assert ("environment_base_gone", "/srv/gone/.venv/bin/python") in told
    behind = told["behind_provider", BASE]
    assert behind["since"] == "2026-01-27T00:00:00Z"
    too_old = told["uv_too_old", "/root/.local/bin/uv"]
    assert [one["path"] for one in too_old["concerns"]] == ["/opt/py/bin/python3.12", BASE, NEWER]
    assert "python-downloads = never in /etc/uv/uv.toml" in too_old["remedy"]
    restart = told["processes_on_old_files", "/usr/bin/python3.11"]
    assert restart["remedy"].startswith("systemctl restart unattended-upgrades.service; ")
    assert all(one["evidence"] for one in document["staleness"])
    unknown = {one["kind"] for one in document["staleness"] if one["state"] == "unknown"}
    assert "behind_provider" in unknown
    # What follows its base is not stale.
    assert not any(one["subject"]["path"] == "/srv/app/.venv/bin/python" for one in document["staleness"])


@pytest.fixture
def text_of(monkeypatch: pytest.MonkeyPatch) -> TextOf:
    """Return what is printed on a terminal of a width, or off one (None)."""

    def printed(width: int | None, of: Callable[[Output], None]) -> str:
        stream = io.StringIO() if width is None else Screen()
        with monkeypatch.context() as patched:
            for name, value in (("COLUMNS", str(width or 80)), ("TERM", "xterm"), ("NO_COLOR", "1")):
                patched.setenv(name, value)
            patched.setattr(sys, "stdout", stream)
            of(Output())
        return strip_styles(stream.getvalue())

    return printed


def test_a_line_tells_how_much_is_stale(assessed: Assessed) -> None:
    told = tell_stale(assessed.staleness)
    assert told.startswith("environment behind its base (1), environment without its base (1), behind its provider (")
    assert ", not known of " in told
    assert tell_stale([]) == ""


def test_every_kind_has_words() -> None:
    assert KIND_NAMES.keys() == set(StalenessKind)


@pytest.mark.parametrize("width", [None, 80, 150])
def test_every_case_is_told_with_its_remedy(assessed: Assessed, width: int | None, text_of: TextOf) -> None:
    text = text_of(width, lambda out: print_stale(out, assessed.staleness))
    flat = " ".join(text.split())
    for one in assessed.staleness:
        if one.state == "stale" and width != 80:
            assert one.subject.path in text
            assert " ".join((one.remedy or "").split()) in flat
    assert text_of(width, lambda out: print_stale(out, [])) == ""


def test_what_lies_in_several_roots_is_told_apart(assessed: Assessed, text_of: TextOf) -> None:
    first = next(one for one in assessed.staleness if one.state == "stale" and one.since is not None)
    other = replace(first, subject=replace(first.subject, root="/srv/chroot"), has=None, newest=None, remedy=None)
    for width in (None, 100):
        text = text_of(width, lambda out: print_stale(out, [first, other]))
        assert f"/srv/chroot:{first.subject.path}" in text
        assert first.since is not None
        assert first.since.isoformat() in text


def test_the_fleets_table(text_of: TextOf) -> None:
    counts = [
        StaleCount(StalenessKind.BEHIND_PROVIDER, "pbs", 1200, 800, 0, 0, 3),
        StaleCount(StalenessKind.UV_TOO_OLD, "pbs", 0, 0, 7, 5, 0),
    ]
    lines = text_of(None, lambda out: print_stale_counts(out, counts)).splitlines()
    assert lines[1].split() == ["STALE", "PROVIDER", "INSTALLS", "ON", "HOSTS", "UNKNOWN", "UP", "TO", "DATE"]
    assert lines[2].split() == ["behind", "its", "provider", "pbs", "1,200", "800", "0", "3"]
    assert lines[3].split() == ["uv", "too", "old", "pbs", "0", "0", "7", "0"]
    assert text_of(None, lambda out: print_stale_counts(out, [])) == ""


def test_a_collector_tells_it_of_a_host_and_of_the_fleet(run: Run, collector: Collector) -> None:
    about = ("--collector", collector.grpc_address)
    shown = run("show", "web-1", *about).out
    assert "\nStale: " in shown
    document = json.loads(run("show", "web-1", *about, "--output", "json").out)
    stale = [one for one in document["staleness"] if one["state"] == "stale"]
    listed = run("show", "web-1", "--findings", *about).out
    assert all(one["remedy"] in listed for one in stale)
    fleet_wide = json.loads(run("posture", *about, "--output", "json").out)["staleness"]
    assert {one["kind"] for one in stale} <= {one["kind"] for one in fleet_wide if one["stale"]}
    assert "STALE " in run("posture", *about).out
