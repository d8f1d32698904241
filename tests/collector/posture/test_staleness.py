"""What is behind what it could be: a table for each rule, and through a whole host."""

from __future__ import annotations

from dataclasses import replace
from datetime import date, timedelta
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from libcensus.collector.advisories.snapshot import load_snapshot
from libcensus.collector.posture.assessment import Assessor
from libcensus.collector.posture.carrier import OpenFixes, built_on, image_state, judge_image, judge_uv, uv_state
from libcensus.collector.posture.catalogue import PackageFixes, PbsBuild, Release
from libcensus.collector.posture.environment import Bases, Held, judge_environment
from libcensus.collector.posture.finding import Component, Subject, SubjectKind
from libcensus.collector.posture.newest import judge_newest
from libcensus.collector.posture.running import judge_processes
from libcensus.collector.posture.staleness import (
    BuildMark,
    Staleness,
    StalenessKind,
    StalenessState,
    StaleSubject,
    StaleSubjectKind,
    StaleVerdict,
    worst_state,
)
from libcensus.facts.evidence import Evidence
from libcensus.facts.host import Host, OsRelease
from libcensus.facts.interpreter import Build, Install, InstallSet
from libcensus.facts.package import Package
from libcensus.facts.process import MappedLibrary, ProcessExample, ProcessGroup, ProcessSet
from libcensus.facts.root import Container, RootSet, ScannedRoot
from libcensus.facts.tool import Tool, ToolSet, ToolSetting
from libcensus.facts.vocabulary import (
    EnvironmentState,
    EvidenceKind,
    Implementation,
    Installer,
    InstallKind,
    Linkage,
    MappingState,
    PackageOrigin,
    Provider,
    RootKind,
)

from .facts import DEBIAN_PYTHON, VENDOR_PYTHON, crypto, digest, glibc_host, install, python_build

if TYPE_CHECKING:
    from libcensus.collector.posture.catalogue import Catalogue

STALE, UNKNOWN, CURRENT = StalenessState.STALE, StalenessState.UNKNOWN, StalenessState.CURRENT
TODAY = date(2026, 11, 20)
DEBIAN = OsRelease("debian", "12")
SNAPSHOT = load_snapshot()

PBS = (
    PbsBuild("20260101", date(2026, 1, 1), "3.5.4", {"3.9": "3.9.25", "3.11": "3.11.14", "3.12": "3.12.12"}),
    PbsBuild("20260201", date(2026, 2, 1), "3.5.5", {"3.11": "3.11.14", "3.12": "3.12.12"}),
    # Named for a day of the year before.
    PbsBuild("20250323", date(2026, 3, 23), "3.5.5", {"3.11": "3.11.15", "3.12": "3.12.13"}),
    PbsBuild("20260501", date(2026, 5, 1), "3.5.6", {"3.12": "3.12.14"}),
)


def catalogue(**changes: object) -> Catalogue:
    """Return the snapshot with few builds of python-build-standalone and few releases of CPython."""
    releases = {
        number: Release(number, "3.13", day)
        for number, day in (
            ("3.13.0", date(2024, 10, 7)),
            ("3.13.1", date(2024, 12, 3)),
            ("3.13.2", date(2025, 2, 4)),
            ("3.13.9", date(2026, 9, 1)),
            ("3.13.10", date(2026, 10, 1)),
            ("3.13.11", None),
        )
    }
    fields: dict[str, object] = {
        "snapshot_date": date(2026, 11, 10),
        "pbs_builds": PBS,
        "uv_newest_pbs": {"0.9.0": "20260101", "0.9.1": "20260201", "0.9.2": "20250323", "0.9.3": "20250323"},
        "uv_dates": {"0.9.2": date(2026, 3, 24)},
        "releases": {Component.CPYTHON: releases, Component.OPENSSL: SNAPSHOT.releases[Component.OPENSSL]},
        **changes,
    }
    return replace(SNAPSHOT, **fields)  # type: ignore[arg-type]


def verdict_of(
    build: Build | None,
    installer: Installer = Installer.UV,
    package: Package | None = None,
    today: date = TODAY,
    system: OsRelease = DEBIAN,
) -> StaleVerdict:
    return judge_newest(None if build is None else BuildMark.of(build), installer, package, system, catalogue(), today)


# --- behind the provider ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("version", "mark", "state", "newest", "since", "words"),
    [
        ("3.12.14", "20260501", CURRENT, "CPython 3.12.14, build 20260501 with OpenSSL 3.5.6", None, "is the newest"),
        ("3.12.13", "20250323", STALE, "CPython 3.12.14, build 20260501 with OpenSSL 3.5.6", date(2026, 5, 1), "1 bui"),
        ("3.12.12", "20260101", STALE, "CPython 3.12.14, build 20260501 with OpenSSL 3.5.6", date(2026, 2, 1), "3 bui"),
        ("3.12.12", "20260101T0101", STALE, "CPython 3.12.14, build 20260501 with OpenSSL 3.5.6", date(2026, 2, 1), ""),
        # A line that is not built any more is not behind builds of other lines, and an odd tag is not an old build.
        ("3.11.15", "20250323", CURRENT, "CPython 3.11.15, build 20250323 with OpenSSL 3.5.5", None, "is the newest"),
        # The same CPython with another OpenSSL.
        ("3.11.14", "20260101", STALE, "CPython 3.11.15, build 20250323 with OpenSSL 3.5.5", date(2026, 2, 1), "2 bui"),
        ("3.12.12", None, STALE, "CPython 3.12.14, build 20260501 with OpenSSL 3.5.6", None, "which build this is, is"),
        ("3.12.14", None, UNKNOWN, None, None, "nothing tells which build of CPython 3.12.14 this is"),
        ("3.12.15", "20261120", UNKNOWN, None, None, "the snapshot of 2026-11-10 knows no build 20261120"),
        ("3.8.20", "20241002", UNKNOWN, None, None, "knows no python-build-standalone build of CPython 3.8"),
        ("three", None, UNKNOWN, None, None, "knows no python-build-standalone build of CPython three"),
    ],
    ids=str,
)
def test_python_build_standalone_is_ordered_by_day(
    version: str, mark: str | None, state: StalenessState, newest: str | None, since: date | None, words: str
) -> None:
    verdict = verdict_of(python_build(version, provider_build=mark))
    assert (verdict.state, verdict.newest, verdict.since) == (state, newest, since)
    assert words in verdict.evidence[-1].detail
    assert (verdict.remedy is not None) is (state is STALE)


def test_what_was_not_out_yet_is_not_missed() -> None:
    build = python_build("3.12.12", provider_build="20260101")
    assert verdict_of(build, today=date(2026, 1, 31)).state is CURRENT
    assert verdict_of(build, today=date(2026, 2, 1)).newest == "CPython 3.12.12, build 20260201 with OpenSSL 3.5.5"


@pytest.mark.parametrize(
    ("installer", "remedy"),
    [
        (Installer.UV, "uv self update && uv python upgrade 3.12 (CPython 3.12.14, build 20260501 with OpenSSL 3.5.6)"),
        (Installer.HATCH, "hatch python update 3.12 (CPython 3.12.14, build 20260501 with OpenSSL 3.5.6)"),
        (Installer.UNKNOWN, "install python-build-standalone's CPython 3.12.14, build 20260501 with OpenSSL 3.5.6"),
    ],
)
def test_who_brings_a_newer_build(installer: Installer, remedy: str) -> None:
    assert verdict_of(python_build(provider_build="20260101"), installer).remedy == remedy


def test_the_first_uv_that_knows_the_newest_build_is_named() -> None:
    verdict = verdict_of(python_build("3.11.14", provider_build="20260201"))
    assert verdict.remedy is not None
    assert verdict.remedy.endswith("; uv 0.9.2 is the first to know it)")


@pytest.mark.parametrize(
    ("provider", "version", "state", "newest", "since", "words"),
    [
        (Provider.PYENV, "3.13.0", STALE, "CPython 3.13.10", date(2024, 12, 3), "pyenv install 3.13.10"),
        (Provider.SOURCE, "3.13.2", STALE, "CPython 3.13.10", None, "build CPython 3.13.10 in its place"),
        (Provider.DOCKER_OFFICIAL, "3.13.9", STALE, "CPython 3.13.10", date(2026, 10, 1), "pull a newer image"),
        (Provider.UPSTREAM, "3.13.0rc2", STALE, "CPython 3.13.10", None, "install CPython 3.13.10 of its project"),
        (Provider.PYENV, "3.13.10", CURRENT, "CPython 3.13.10", None, "CPython 3.13.10 was released on 2026-10-01"),
        (Provider.PYENV, "3.13.12", UNKNOWN, None, None, "the newest of its line, which is older"),
        # What somebody built was out by then, where the table of releases has a gap.
        (Provider.PYENV, "3.11.9", STALE, "CPython 3.11.15", None, "pyenv install 3.11.15"),
        (Provider.PYENV, "3.12.14", CURRENT, "CPython 3.12.14", None, "python-build-standalone 20260501 of 2026-05-01"),
        # Whoever stopped building a line does not tell what came after.
        (Provider.PYENV, "3.11.15", UNKNOWN, None, None, "what came after CPython 3.11.15 on its line"),
        (Provider.PYENV, "3.9.25", CURRENT, "CPython 3.9.25", None, "python-build-standalone 20260101 of 2026-01-01"),
        (Provider.PYENV, "3.7.17", UNKNOWN, None, None, "the snapshot knows no release of CPython 3.7"),
        (Provider.PYENV, "odd", UNKNOWN, None, None, "no releases of CPython that odd could be compared with"),
        (Provider.CONDA, "3.13.0", UNKNOWN, None, None, "nothing here tells what conda has built since"),
        (Provider.UNKNOWN, "3.13.0", UNKNOWN, None, None, "who built it is not known"),
        (Provider.DISTRO, "3.13.0", UNKNOWN, None, None, "the package that it belongs to is not known"),
        (Provider.PYENV, None, UNKNOWN, None, None, "its version could not be read"),
    ],
    ids=str,
)
def test_what_is_built_from_a_release_is_ordered_by_that(
    provider: Provider, version: str | None, state: StalenessState, newest: str | None, since: date | None, words: str
) -> None:
    verdict = verdict_of(python_build(version, provider), Installer.UNKNOWN)
    assert (verdict.state, verdict.newest, verdict.since) == (state, newest, since)
    assert words in (verdict.remedy or verdict.evidence[-1].detail)


def test_nothing_is_said_of_what_cannot_be_read() -> None:
    assert verdict_of(None).state is UNKNOWN
    ruby = replace(python_build("3.3.8", Provider.UPSTREAM), implementation=Implementation.RUBY)
    assert "no releases of Ruby that 3.3.8" in verdict_of(ruby).evidence[0].detail
    strange = replace(ruby, implementation=Implementation.UNKNOWN)
    assert verdict_of(strange).state is UNKNOWN
    assert verdict_of(strange).has == "unknown 3.3.8"


def fixes(**changes: object) -> dict[tuple[str, str, str], PackageFixes]:
    fields: dict[str, object] = {
        "distribution": "debian",
        "release": "12",
        "manager": "dpkg",
        "package": "python3.11",
        "fixed": {"CVE-1": "3.11.2-6+deb12u9", "CVE-2": "3.11.2-6+deb12u10", "CVE-3": "0", "CVE-4": "3.11.2-6+esm1"},
        "reaches": date(2026, 10, 7),
        "source": "a table",
        "paid": frozenset({"CVE-4"}),
        **changes,
    }
    return {("debian", "12", "python3.11"): PackageFixes(**fields)}  # type: ignore[arg-type]


def python_package(version: str, **changes: object) -> Package:
    return replace(DEBIAN_PYTHON, version=version, source_version=version, **changes)  # type: ignore[arg-type]


DATED = {"dates": {"3.11.2-6+deb12u9": date(2026, 5, 1), "3.11.2-6+deb12u10": date(2026, 10, 1)}}


@pytest.mark.parametrize(
    ("package", "table", "today", "state", "newest", "since", "words"),
    [
        # Ten comes after nine, and what only paying customers get is nobody's to miss.
        (python_package("3.11.2-6+deb12u8"), {}, TODAY, STALE, "python3.11 3.11.2-6+deb12u10", None, "a table"),
        (python_package("3.11.2-6+deb12u8"), DATED, TODAY, STALE, "python3.11 3.11.2-6+deb12u10", date(2026, 5, 1), ""),
        (
            python_package("3.11.2-6+deb12u8"),
            DATED,
            date(2026, 6, 1),
            STALE,
            "python3.11 3.11.2-6+deb12u9",
            date(2026, 5, 1),
            "",
        ),
        (python_package("3.11.2-6+deb12u9"), DATED, date(2026, 6, 1), CURRENT, None, None, "is at least what debian"),
        (python_package("3.11.2-6+deb12u10"), {}, TODAY, CURRENT, None, None, "which reaches 2026-10-07"),
        (python_package("3.11.2-6+deb12u11"), {}, TODAY, CURRENT, None, None, "is at least what debian 12 had newest"),
        (python_package("3.11.2-6+deb12u8"), {}, date(2026, 1, 1), UNKNOWN, None, None, "does not say since when"),
        (python_package("no version"), {}, TODAY, UNKNOWN, None, None, "is no version of dpkg that can be ordered"),
        (python_package("3.12.1-1", source="python3.12"), {}, TODAY, UNKNOWN, None, None, "no table here tells"),
        (VENDOR_PYTHON, {}, TODAY, UNKNOWN, None, None, "Google built the package google-cloud-cli"),
        (
            python_package("3.11.2-6+deb12u8", origin=PackageOrigin.UNKNOWN),
            {},
            TODAY,
            UNKNOWN,
            None,
            None,
            "somebody built the package python3.11-minimal",
        ),
    ],
    ids=lambda value: value.version if isinstance(value, Package) else str(value),
)
def test_a_package_is_held_against_its_distributions_table(
    package: Package,
    table: dict[str, object],
    today: date,
    state: StalenessState,
    newest: str | None,
    since: date | None,
    words: str,
) -> None:
    build = python_build("3.11.2", Provider.DISTRO)
    verdict = judge_newest(
        BuildMark.of(build), Installer.DPKG, package, DEBIAN, catalogue(package_fixes=fixes(**table)), today
    )
    assert (verdict.state, verdict.since) == (state, since)
    if state is STALE:
        assert verdict.newest == newest
        assert verdict.remedy is not None
        assert verdict.remedy.startswith(
            "apt-get update && apt-get install --only-upgrade python3.11-minimal (python3.11 3"
        )
    assert words in verdict.evidence[-1].detail


def test_a_package_of_an_unknown_system_or_interpreter() -> None:
    build = python_build("3.11.2", Provider.DISTRO)
    assert (
        "an unknown system has had" in verdict_of(build, package=DEBIAN_PYTHON, system=OsRelease()).evidence[0].detail
    )
    strange = replace(build, implementation=Implementation.UNKNOWN)
    assert verdict_of(strange, package=DEBIAN_PYTHON).state is UNKNOWN


@given(st.sampled_from([*SNAPSHOT.pbs_builds]), st.data())
def test_the_newest_build_is_never_stale(build: PbsBuild, data: st.DataObject) -> None:
    """A fresh install of what is newest on a day is up to date on that day, whatever the day."""
    today = build.date + timedelta(days=data.draw(st.integers(0, 400)))
    minor = data.draw(st.sampled_from(sorted(build.cpython)))
    newest = [one for one in SNAPSHOT.pbs_builds if minor in one.cpython and one.date <= today][-1]
    provider = data.draw(st.sampled_from([Provider.PBS, Provider.PYENV, Provider.SOURCE]))
    mark = newest.tag if provider is Provider.PBS else None
    fresh = python_build(newest.cpython[minor], provider, mark)
    verdict = judge_newest(BuildMark.of(fresh), Installer.UV, None, DEBIAN, SNAPSHOT, today)
    # A release can be out before it is built; that of a line which nobody builds any more is not known to be the last.
    if provider is Provider.PBS:
        assert verdict.state is CURRENT
    elif verdict.state is STALE:
        assert any(
            release.branch == minor and release.date is not None and newest.date - timedelta(days=30) < release.date
            for release in SNAPSHOT.releases[Component.CPYTHON].values()
        )
    environment = Held(venv(EnvironmentState.PINNED), fresh)
    base = Held(install(crypto("3.5.9"), BASE), fresh)
    assert judge_environment(environment, Bases([base]), SNAPSHOT)[1].state is CURRENT


# --- environments -------------------------------------------------------------------------------------------------

STORE = "/home/a/.local/share/uv/python"
BASE = f"{STORE}/cpython-3.12.12-linux-x86_64-gnu/bin/python3.12"
NEWER = f"{STORE}/cpython-3.12.14-linux-x86_64-gnu/bin/python3.12"
OLD, NEW = python_build("3.12.12", provider_build="20260101"), python_build("3.12.14", provider_build="20260501")


def venv(
    state: EnvironmentState,
    build: str | None = digest(1),
    installer: Installer = Installer.UNKNOWN,
    base: str | None = BASE,
    recorded: str | None = "3.12.12",
    evidence: tuple[Evidence, ...] = (),
    root: str = "/",
) -> Install:
    made = install(
        crypto("3.5.4"),
        "/srv/my app/.venv/bin/python",
        kind=InstallKind.VENV,
        base=base,
        build=build,
        installer=installer,
        evidence=evidence,
        root=root,
    )
    return replace(made, state=state, recorded_version=recorded)


def based(path: str, number: int, installer: Installer = Installer.UV, root: str = "/") -> Install:
    return install(crypto("3.5.4"), path, build=digest(number), installer=installer, root=root)


OWN_COPY = replace(OLD, provider=Provider.UNKNOWN, provider_build=None)


@pytest.mark.parametrize(
    ("environment", "own", "others", "state", "newest", "words"),
    [
        (venv(EnvironmentState.PINNED), OLD, [(NEWER, 2, NEW)], STALE, "CPython 3.12.14, build 20260501", NEWER),
        (venv(EnvironmentState.COPIED), OLD, [(NEWER, 2, NEW)], STALE, "CPython 3.12.14, build 20260501", NEWER),
        (venv(EnvironmentState.FOLLOWS), OLD, [(NEWER, 2, NEW)], CURRENT, None, ""),
        (venv(EnvironmentState.PINNED), OLD, [], CURRENT, None, ""),
        # The version of creation is no proof of what it runs.
        (venv(EnvironmentState.PINNED, recorded="3.12.1"), OLD, [], CURRENT, None, ""),
        (venv(EnvironmentState.UNKNOWN), OLD, [(NEWER, 2, NEW)], UNKNOWN, None, "no link or file tells it"),
        (
            venv(
                EnvironmentState.UNKNOWN,
                evidence=(Evidence("state", EvidenceKind.PATH, BASE, "nothing tells what upgrades this base"),),
            ),
            OLD,
            [],
            UNKNOWN,
            None,
            "not known: nothing tells what upgrades this base",
        ),
        (venv(EnvironmentState.PINNED, build=None), None, [], UNKNOWN, None, "what it runs could not be read"),
        (venv(EnvironmentState.PINNED, base=None), OLD, [], UNKNOWN, None, "its base is none of the interpreters"),
        (venv(EnvironmentState.PINNED, base="/gone"), OLD, [], UNKNOWN, None, "its base is none of the interpreters"),
        # Another store, another line, another provider or another ABI is not what it would get.
        (venv(EnvironmentState.PINNED), OLD, [(NEWER.replace("/a/", "/b/"), 2, NEW)], CURRENT, None, ""),
        (venv(EnvironmentState.PINNED), OLD, [(NEWER, 2, replace(NEW, version="3.13.1"))], CURRENT, None, ""),
        (venv(EnvironmentState.PINNED), OLD, [(NEWER, 2, replace(NEW, provider=Provider.PYENV))], CURRENT, None, ""),
        (venv(EnvironmentState.PINNED), OLD, [(NEWER, 2, replace(NEW, flags=("free-threaded",)))], CURRENT, None, ""),
        # The same CPython: builds are told apart by their days, where they are known.
        (
            venv(EnvironmentState.PINNED),
            OLD,
            [(NEWER, 2, replace(OLD, provider_build="20260201"))],
            STALE,
            "CPython 3.12.12, build 20260201",
            NEWER,
        ),
        (
            venv(EnvironmentState.PINNED),
            OLD,
            [(NEWER, 2, replace(OLD, provider_build="20261120"))],
            UNKNOWN,
            None,
            "nothing tells whether CPython 3.12.12, build 20261120",
        ),
        (venv(EnvironmentState.PINNED), OLD, [(NEWER, 2, OLD)], CURRENT, None, ""),
        # The newest of several.
        (
            venv(EnvironmentState.PINNED),
            OLD,
            [
                (NEWER, 2, replace(NEW, version="3.12.13", provider_build="20250323")),
                (NEWER.replace("3.12.14", "3.12.20"), 3, NEW),
                (NEWER.replace("3.12.14", "3.12.19"), 4, replace(OLD, version="3.12.11")),
            ],
            STALE,
            "CPython 3.12.14, build 20260501",
            "3.12.20",
        ),
    ],
    ids=lambda value: value.state.value if isinstance(value, Install) else None,
)
def test_environments(
    environment: Install,
    own: Build | None,
    others: list[tuple[str, int, Build]],
    state: StalenessState,
    newest: str | None,
    words: str,
) -> None:
    bases = [Held(based(BASE, 1), OLD), *(Held(based(path, number), build) for path, number, build in others)]
    kind, verdict = judge_environment(Held(environment, own), Bases(bases), catalogue())
    assert kind is StalenessKind.ENVIRONMENT_BEHIND_BASE
    assert verdict.state is state
    if state is STALE:
        assert verdict.newest == newest
    if words:
        assert words in verdict.evidence[-1].detail


@pytest.mark.parametrize(
    ("own", "base", "state"),
    [
        (OWN_COPY, NEW, STALE),
        # Another executable of the same version, or of one that nobody could read, was replaced since.
        (OWN_COPY, OLD, STALE),
        (replace(OWN_COPY, version=None), NEW, STALE),
        (replace(OWN_COPY, version="3.12.15"), NEW, CURRENT),
    ],
)
def test_a_copied_executable_is_held_against_what_its_base_has_now(
    own: Build, base: Build, state: StalenessState
) -> None:
    environment = Held(venv(EnvironmentState.COPIED, build=digest(9)), own)
    _, verdict = judge_environment(environment, Bases([Held(based(BASE, 1), base)]), catalogue())
    assert verdict.state is state
    if state is STALE:
        assert "another build than the one that its executable was copied from" in verdict.evidence[-1].detail


def test_what_nobody_could_read_is_unknown() -> None:
    unread = replace(OLD, version=None, provider_build=None)
    environment = Held(venv(EnvironmentState.PINNED), unread)
    _, verdict = judge_environment(environment, Bases([Held(based(BASE, 1), unread)]), catalogue())
    assert verdict.state is UNKNOWN
    assert "its version could not be read" in verdict.evidence[-1].detail
    _, verdict = judge_environment(environment, Bases([Held(based(BASE, 1), None)]), catalogue())
    assert verdict.state is UNKNOWN


@pytest.mark.parametrize(
    ("installer", "base_installer", "command"),
    [
        (Installer.UV, Installer.UV, "uv venv --clear --python 3.12 '/srv/my app/.venv'"),
        (Installer.UV, Installer.UNKNOWN, f"uv venv --clear --python {NEWER} '/srv/my app/.venv'"),
        (Installer.UNKNOWN, Installer.UV, f"{NEWER} -m venv --clear '/srv/my app/.venv'"),
    ],
)
def test_an_environment_is_made_again_with_what_made_it(
    installer: Installer, base_installer: Installer, command: str
) -> None:
    bases = Bases([Held(based(BASE, 1, base_installer), OLD), Held(based(NEWER, 2, base_installer), NEW)])
    _, verdict = judge_environment(Held(venv(EnvironmentState.PINNED, installer=installer), OLD), bases, catalogue())
    assert verdict.remedy == f"re-create this environment and install its packages again: {command}"


@pytest.mark.parametrize(
    ("recorded", "left", "newest", "remedy"),
    [
        ("3.12.3", [Held(based(NEWER, 2), NEW), Held(based(BASE, 1), OLD)], "CPython 3.12.14, build 20260501", NEWER),
        ("3.12.3", [Held(based(NEWER, 2, root="/srv/chroot"), NEW)], None, "with a Python that is there, or remove it"),
        ("3.9.7", [Held(based(NEWER, 2), NEW)], None, "with a Python that is there, or remove it"),
        (None, [Held(based(NEWER, 2), NEW)], None, "with a Python that is there, or remove it"),
    ],
)
def test_an_environment_without_its_base(
    recorded: str | None, left: list[Held], newest: str | None, remedy: str
) -> None:
    environment = venv(EnvironmentState.DANGLING, None, base="/gone/bin/python3", recorded=recorded)
    kind, verdict = judge_environment(Held(environment, None), Bases(left), catalogue())
    assert (kind, verdict.state) == (StalenessKind.ENVIRONMENT_BASE_GONE, STALE)
    assert (verdict.has, verdict.newest) == ("/gone/bin/python3", newest)
    assert remedy in (verdict.remedy or "")


def test_a_base_outside_of_what_was_scanned_may_be_there() -> None:
    doubt = Evidence("state", EvidenceKind.ABSENCE, "/etc/os-release", "it may be a part of a machine")
    environment = venv(EnvironmentState.DANGLING, None, evidence=(doubt,))
    kind, verdict = judge_environment(Held(environment, None), Bases([]), catalogue())
    assert (kind, verdict.state) == (StalenessKind.ENVIRONMENT_BASE_GONE, UNKNOWN)
    assert "not known, because it may be a part of a machine" in verdict.evidence[-1].detail


def test_an_old_pypy_is_held_against_those_of_its_language() -> None:
    pypy = replace(python_build("7.3.11", Provider.UPSTREAM), implementation=Implementation.PYPY, flags=("python-3.9",))
    newer = replace(pypy, version="7.3.16")
    other = replace(newer, version="7.3.17", flags=("python-3.10",))
    paths = [f"/opt/pypy/{name}/bin/pypy3" for name in ("a", "b", "c")]
    held = [
        Held(based(path, number + 1), build)
        for number, (path, build) in enumerate(zip(paths, (pypy, newer, other), strict=True))
    ]
    environment = Held(venv(EnvironmentState.PINNED, base=paths[0]), pypy)
    _, verdict = judge_environment(environment, Bases(held), catalogue())
    assert (verdict.state, verdict.newest) == (STALE, "PyPy 7.3.16")


# --- uv -----------------------------------------------------------------------------------------------------------

ONE = Subject(SubjectKind.INSTALL, "/", "/one/bin/python3.12")
TWO = Subject(SubjectKind.INSTALL, "/", "/two/bin/python3.12")
FEBRUARY = OpenFixes({date(2026, 2, 1): ("CVE-1", "CVE-2")})
MAY = OpenFixes({date(2026, 2, 1): ("CVE-1",), date(2026, 5, 1): ("CVE-9",)})
NEVER = ToolSetting("/", "/etc/uv/uv.toml", "uv", "python-downloads", "never")
MANUAL = replace(NEVER, value="manual")


def uv(newest: str | None, version: str | None = "0.9.0", **changes: object) -> Tool:
    return Tool("/", "/root/.local/bin/uv", "uv", version, newest, **changes)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("tool", "waiting", "state", "newest", "since", "concerned", "words"),
    [
        (uv("20260101"), {ONE: FEBRUARY}, STALE, "uv 0.9.1, build 20260201", date(2026, 2, 1), (ONE,), "CVE-1, CVE-2"),
        (uv("20260201"), {ONE: FEBRUARY}, CURRENT, None, None, (ONE,), ""),
        # The tag of March is named for the year before.
        (uv("20250323"), {ONE: FEBRUARY}, CURRENT, None, None, (ONE,), ""),
        (uv("20260201"), {ONE: FEBRUARY, TWO: MAY}, STALE, "build 20260501", date(2026, 5, 1), (TWO,), "no release of"),
        (uv("20260101"), {ONE: OpenFixes({})}, CURRENT, None, None, (ONE,), ""),
        (uv("20260101"), {}, CURRENT, None, None, (), ""),
        (uv(None), {ONE: FEBRUARY}, UNKNOWN, None, None, (ONE,), "does not tell which builds it can install"),
        (uv(None), {ONE: OpenFixes({})}, CURRENT, None, None, (ONE,), ""),
        (uv("20261120", None), {ONE: FEBRUARY}, UNKNOWN, None, None, (ONE,), "knows no build 20261120"),
        (uv("20260101"), {ONE: OpenFixes({date(2027, 1, 1): ("CVE-1",)})}, CURRENT, None, None, (ONE,), ""),
    ],
)
def test_a_uv_that_cannot_bring_the_fix(
    tool: Tool,
    waiting: dict[Subject, OpenFixes],
    state: StalenessState,
    newest: str | None,
    since: date | None,
    concerned: tuple[Subject, ...],
    words: str,
) -> None:
    verdict, subjects = judge_uv(tool, waiting, (), catalogue(), TODAY)
    assert (verdict.state, verdict.newest, verdict.since, subjects) == (state, newest, since, concerned)
    assert words in " ".join(item.detail for item in verdict.evidence)
    # What is counted of an install is what is told of the tool.
    states = [uv_state(tool.newest_build, own, catalogue(), TODAY) for own in waiting.values()]
    assert worst_state(states) is state


UPDATE = "uv self update (to 0.9.2 or newer), then uv python upgrade"
UV_PACKAGE = Package("rpm", "uv", "0.9.0-1", "uv", "0.9.0-1")


@pytest.mark.parametrize(
    ("tool", "settings", "remedy"),
    [
        (uv("20260101"), [], UPDATE),
        (uv("20260101"), [MANUAL], UPDATE),
        (
            uv("20260101"),
            [NEVER],
            UPDATE
            + "; python-downloads = never in /etc/uv/uv.toml forbids the download, so let it or install it by hand",
        ),
        (uv("20260101", package=UV_PACKAGE), [], "dnf upgrade uv (to 0.9.2 or newer), then uv python upgrade"),
        (
            uv("20260101", package=replace(UV_PACKAGE, manager="other")),
            [],
            "update the package uv (to 0.9.2 or newer), then uv python upgrade",
        ),
        (
            uv("20260101", environment="/srv/.venv"),
            [],
            "upgrade the uv of /srv/.venv with what installed it there (to 0.9.2 or newer), then uv python upgrade",
        ),
    ],
)
def test_what_brings_a_newer_uv(tool: Tool, settings: list[ToolSetting], remedy: str) -> None:
    waiting = {ONE: OpenFixes({date(2026, 3, 23): tuple(f"CVE-{number}" for number in range(7))})}
    verdict, _ = judge_uv(tool, waiting, settings, catalogue(), TODAY)
    assert verdict.remedy == remedy
    told = " ".join(item.detail for item in verdict.evidence)
    assert "uv 0.9.2 of 2026-03-24 is the first that can install 20250323" in told
    assert "CVE-4 and 2 more" in told
    assert ("python-downloads = never" in told) is (NEVER in settings)


# --- images -------------------------------------------------------------------------------------------------------

CONTAINER = ScannedRoot("container:web", RootKind.CONTAINER, container=Container("docker", "4f", "web", "web:1", "id1"))
IMAGE = ScannedRoot(
    "image:web", RootKind.IMAGE, created="2026-03-01T10:00:00Z", container=Container("docker", image_id="id1")
)
UNDATED = OpenFixes({}, ("CVE-7",))


@pytest.mark.parametrize(
    ("root", "image", "inside", "state", "since", "concerned", "words"),
    [
        (IMAGE, None, {ONE: FEBRUARY}, CURRENT, None, (ONE,), ""),
        (IMAGE, None, {ONE: FEBRUARY, TWO: MAY}, STALE, date(2026, 5, 1), (TWO,), "2026-05-01 to 2026-05-01: CVE-9"),
        (CONTAINER, IMAGE, {ONE: MAY}, STALE, date(2026, 5, 1), (ONE,), "built on 2026-03-01"),
        (CONTAINER, None, {ONE: MAY}, UNKNOWN, None, (ONE,), "nothing tells when its image was built"),
        (CONTAINER, None, {ONE: UNDATED}, CURRENT, None, (), ""),
        (IMAGE, None, {}, CURRENT, None, (), ""),
        (IMAGE, None, {ONE: UNDATED}, UNKNOWN, None, (ONE,), "no day is known since which"),
        # A fix of the very day may be in it.
        (replace(IMAGE, created="2026-05-01T23:00:00Z"), None, {ONE: MAY}, CURRENT, None, (ONE,), ""),
    ],
)
def test_an_image_that_was_built_before_a_fix(
    root: ScannedRoot,
    image: ScannedRoot | None,
    inside: dict[Subject, OpenFixes],
    state: StalenessState,
    since: date | None,
    concerned: tuple[Subject, ...],
    words: str,
) -> None:
    verdict, subjects = judge_image(root, image, inside, TODAY)
    assert (verdict.state, verdict.since, subjects) == (state, since, concerned)
    assert words in " ".join(item.detail for item in verdict.evidence)
    states = [image_state(built_on(root, image), own, TODAY) for own in inside.values()]
    assert worst_state(states) is state


@pytest.mark.parametrize(
    ("root", "remedy"),
    [
        (CONTAINER, "pull or rebuild the image web:1, then start its containers again from it"),
        (replace(IMAGE, tags=("web:1", "web:latest")), "pull or rebuild the image web:1"),
        (replace(IMAGE, container=None), "pull or rebuild the image image:web"),
    ],
)
def test_which_image_is_to_be_pulled(root: ScannedRoot, remedy: str) -> None:
    assert judge_image(root, IMAGE, {ONE: MAY}, TODAY)[0].remedy == remedy


# --- processes ----------------------------------------------------------------------------------------------------


def group(
    state: MappingState = MappingState.CURRENT,
    libraries: tuple[MappedLibrary, ...] = (),
    examples: tuple[ProcessExample, ...] = (),
    processes: int = 3,
    unread: int = 0,
) -> ProcessGroup:
    return ProcessGroup("/", "/usr/bin/python3", state, processes, "/usr/bin/python3", libraries, unread, examples)


OLD_LIBRARY = MappedLibrary("/usr/lib/libcrypto.so.3", MappingState.DELETED, 2)
SAME_LIBRARY = MappedLibrary("/usr/lib/libssl.so.3", MappingState.CURRENT, 3)
RESTART = "systemctl restart a.service b.service"
UNITS = (ProcessExample(7, "b.service"), ProcessExample(8, "a.service"), ProcessExample(9, "b.service"))


@pytest.mark.parametrize(
    ("running", "root", "state", "remedy"),
    [
        (group(), None, CURRENT, None),
        (group(libraries=(SAME_LIBRARY,), unread=1), None, UNKNOWN, None),
        (group(MappingState.UNKNOWN), None, UNKNOWN, None),
        (group(libraries=(OLD_LIBRARY, SAME_LIBRARY), examples=UNITS), None, STALE, RESTART),
        (group(MappingState.REPLACED), None, STALE, "restart what runs /usr/bin/python3"),
        (
            group(MappingState.DELETED, examples=UNITS, processes=9),
            None,
            STALE,
            f"{RESTART}; restart whatever else runs /usr/bin/python3",
        ),
        (
            group(
                MappingState.DELETED,
                examples=(ProcessExample(7, "session-2.scope"), ProcessExample(8, "user@0.service"), ProcessExample(9)),
            ),
            None,
            STALE,
            "restart what started processes 7, 8, 9",
        ),
        (
            group(MappingState.DELETED, examples=(ProcessExample(7),), processes=1),
            None,
            STALE,
            "restart what started process 7",
        ),
        (group(MappingState.DELETED, examples=UNITS), CONTAINER, STALE, "restart the container web"),
        (
            group(MappingState.DELETED),
            replace(CONTAINER, container=None),
            STALE,
            "restart the container container:web",
        ),
    ],
)  # fmt: skip
def test_processes_on_old_files(
    running: ProcessGroup, root: ScannedRoot | None, state: StalenessState, remedy: str | None
) -> None:
    verdict = judge_processes(running, root)
    assert (verdict.state, verdict.remedy) == (state, remedy)
    assert bool(verdict.evidence) is (state is not CURRENT)


# --- whole hosts --------------------------------------------------------------------------------------------------


def host_of(
    installs: list[Install], builds: dict[str, Build], today: date = TODAY, **around: object
) -> tuple[Staleness, ...]:
    ordered = InstallSet(tuple(sorted(installs, key=lambda one: (one.root, one.path))))
    found = Assessor(catalogue(), today).assess(Host("host", DEBIAN), glibc_host(), ordered, builds, **around)  # type: ignore[arg-type]
    assert all(one.state is not CURRENT for one in found.staleness)
    assert all(one.state is Assessor(catalogue(), today).staleness_state(one.grounds) for one in found.stale_installs)
    assert [one.sort_key for one in found.judged_staleness] == sorted(one.sort_key for one in found.judged_staleness)
    return found.staleness


def test_an_open_install_waits_for_uv() -> None:
    base = replace(based(BASE, 1), crypto=crypto("3.5.4", path=BASE))
    tools = ToolSet((uv("20260101"),), (NEVER,))
    found = host_of([base], {digest(1): OLD}, tools=tools)
    kinds = {one.kind: one for one in found}
    assert kinds.keys() == {StalenessKind.BEHIND_PROVIDER, StalenessKind.UV_TOO_OLD}
    too_old = kinds[StalenessKind.UV_TOO_OLD]
    assert too_old.subject == StaleSubject(StaleSubjectKind.TOOL, "/", "/root/.local/bin/uv")
    assert [one.path for one in too_old.concerns] == [BASE]
    # Of a build that is fixed nothing is open, so that the same uv is fine.
    newest = replace(based(NEWER, 2), crypto=crypto("4.0.3", path=NEWER))
    assert [one.kind for one in host_of([newest], {digest(2): replace(NEW, version="3.12.99")}, tools=tools)] == []


def test_an_install_is_counted_once_by_each_kind() -> None:
    base = replace(based(BASE, 1), crypto=crypto("3.5.4", path=BASE))
    second = replace(uv("20260501", "0.9.9"), path="/usr/bin/uv")
    other = Tool("/", "/usr/bin/zz", "other")
    tools = ToolSet((uv("20260101"), second, other))
    assessment = Assessor(catalogue(), TODAY).assess(
        Host("host", DEBIAN), glibc_host(), InstallSet((base,)), {digest(1): OLD}, tools=tools
    )
    # One uv of two is too old, and what brings nothing known is not judged.
    assert [(one.kind, one.state) for one in assessment.stale_installs] == [
        (StalenessKind.BEHIND_PROVIDER, STALE),
        (StalenessKind.UV_TOO_OLD, STALE),
    ]
    told = [one for one in assessment.judged_staleness if one.kind is StalenessKind.UV_TOO_OLD]
    assert [(one.subject.path, one.state) for one in told] == [
        ("/root/.local/bin/uv", STALE),
        ("/usr/bin/uv", CURRENT),
    ]


def test_what_lies_in_a_container_is_mended_in_its_image() -> None:
    name = CONTAINER.name
    inner = [
        replace(based(BASE, 1, root=name), crypto=crypto("3.5.4", path=BASE)),
        based(NEWER, 2, root=name),
        venv(EnvironmentState.PINNED, root=name),
    ]
    roots = RootSet((ScannedRoot("/", RootKind.HOST), CONTAINER, IMAGE))
    found = host_of(inner, {digest(1): OLD, digest(2): NEW}, roots=roots)
    kinds = {one.kind: one for one in found}
    before = kinds[StalenessKind.IMAGE_BEFORE_FIX]
    assert (before.subject.kind, before.subject.root, before.state) == (StaleSubjectKind.ROOT, name, STALE)
    assert Subject(SubjectKind.INSTALL, name, BASE) in before.concerns
    behind = kinds[StalenessKind.ENVIRONMENT_BEHIND_BASE]
    assert behind.remedy is not None
    assert behind.remedy.startswith("in the image web:1: re-create this environment")


def test_a_tree_that_was_scanned_by_itself_has_its_name() -> None:
    processes = ProcessSet((group(libraries=(OLD_LIBRARY,)),))
    base = install(crypto("3.0.22", Linkage.LOCAL), "/usr/bin/python3", build=digest(1))
    found = host_of([base], {digest(1): OLD}, root="/srv/tree", processes=processes, tools=ToolSet((uv("20260101"),)))
    assert {one.subject.root for one in found} == {"/srv/tree"}
    old = next(one for one in found if one.kind is StalenessKind.PROCESSES_ON_OLD_FILES)
    assert [one.path for one in old.concerns] == ["/usr/bin/python3"]
    assert old.has == "2 of 3 processes on files that are gone"


def test_processes_that_run_no_known_install_concern_none() -> None:
    processes = ProcessSet((replace(group(MappingState.DELETED), install=None),))
    (found,) = host_of([], {}, processes=processes)
    assert found.concerns == ()
