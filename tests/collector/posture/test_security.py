from __future__ import annotations

import json
from collections import Counter
from dataclasses import replace
from datetime import date
from pathlib import Path
from typing import Any

import pytest

from libcensus.collector.advisories.snapshot import load_snapshot
from libcensus.collector.posture.backport import PackageEvidence
from libcensus.collector.posture.catalogue import Advisory, AffectedRange, PackageFixes
from libcensus.collector.posture.finding import Component, Judgement, Severity, VexStatus, worst_severity
from libcensus.collector.posture.remedy import Circumstances, first_uv, node_manager, remedy_for_package
from libcensus.collector.posture.security import (
    Authority,
    Placement,
    authority_of,
    judge_cpython,
    judge_nodejs,
    judge_openssl,
    place,
)
from libcensus.collector.posture.versions import parse_openssl
from libcensus.facts.changelog import ChangelogFix, PackageChangelog
from libcensus.facts.crypto import CryptoUse
from libcensus.facts.host import OsRelease
from libcensus.facts.package import Package
from libcensus.facts.vocabulary import (
    ChangelogState,
    CryptoFamily,
    Implementation,
    Installer,
    Linkage,
    PackageOrigin,
    Provider,
)

from .facts import DEBIAN_LIBSSL, DEBIAN_PYTHON, STRANGE_PACKAGE, TODAY, VENDOR_PYTHON, crypto

HERE = Path(__file__).parent


def _rows(name: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (HERE / name).read_text(encoding="utf-8").splitlines()]


def _judge(
    use: CryptoUse,
    *,
    package: Package | None = None,
    provider: Provider = Provider.SOURCE,
    installer: Installer = Installer.UNKNOWN,
    version: str | None = "3.12.12",
    provider_build: str | None = None,
    today: date = TODAY,
) -> dict[str, Judgement]:
    circumstances = Circumstances(use, provider, installer, version, provider_build)
    found = judge_openssl(circumstances, load_snapshot(), today, package=package)
    assert [item.advisory for item in found] == sorted(item.advisory for item in found)
    return {item.advisory: item for item in found}


def _pbs(openssl: str, cpython: str, tag: str | None, installer: Installer = Installer.UV) -> dict[str, Judgement]:
    return _judge(crypto(openssl), provider=Provider.PBS, installer=installer, version=cpython, provider_build=tag)


def _words(judgement: Judgement) -> str:
    return "\n".join(item.detail for item in judgement.evidence)


@pytest.mark.parametrize("row", _rows("known_in_pbs.jsonl"), ids=lambda row: row["openssl"])
def test_known_advisories_of_every_openssl_that_uv_still_installs(row: dict[str, Any]) -> None:
    """The counts were made by another program from the same sources, Windows-only ones included."""
    for cpython, tag in row["builds"]:
        found = _pbs(row["openssl"], cpython, tag)
        in_range = [f for f in found.values() if f.status in {VexStatus.AFFECTED, VexStatus.NOT_AFFECTED}]
        assert Counter(f.severity.value for f in in_range) == row["known"], cpython


@pytest.mark.parametrize("row", _rows("in_range_of_packages.jsonl"), ids=lambda row: row["host"])
def test_a_distributions_package_is_never_judged_by_upstreams_number(row: dict[str, Any]) -> None:
    package = Package("dpkg", "libssl", row["package"], "openssl", row["package"], origin=DEBIAN_LIBSSL.origin)
    found = _judge(crypto(row["upstream"], Linkage.SYSTEM, package), package=package).values()
    assert {item.status for item in found} <= {VexStatus.UNDER_INVESTIGATION, VexStatus.NOT_AFFECTED}
    published = {item.id: item.published.isoformat() for item in load_snapshot().advisories}
    listed = Counter(
        item.severity.value
        for item in found
        if "does not list" not in item.evidence[0].detail and published[item.advisory] <= row.get("as_of", "9999")
    )
    assert listed == row["in_range"]


@pytest.mark.parametrize(
    ("version", "advisory", "status", "severity", "fixed_in"),
    [
        ("3.5.4", "CVE-2025-15467", VexStatus.AFFECTED, Severity.HIGH, "3.5.5"),
        ("3.5.5", "CVE-2025-15467", None, None, None),
        ("3.0.18", "CVE-2025-15467", VexStatus.AFFECTED, Severity.HIGH, "3.0.19"),
        ("3.0.13", "CVE-2024-6119", VexStatus.AFFECTED, Severity.MODERATE, "3.0.15"),
        ("3.0.14", "CVE-2024-6119", VexStatus.AFFECTED, Severity.MODERATE, "3.0.15"),
        ("3.0.15", "CVE-2024-6119", None, None, None),
        ("1.0.1f", "CVE-2014-0160", VexStatus.AFFECTED, Severity.UNKNOWN, "1.0.1g"),
        ("1.0.1g", "CVE-2014-0160", None, None, None),
        ("1.0.0t", "CVE-2014-0160", None, None, None),
        ("3.0.6", "CVE-2022-3602", VexStatus.AFFECTED, Severity.HIGH, "3.0.7"),
        ("3.0.7", "CVE-2022-3602", None, None, None),
        ("1.1.1w", "CVE-2026-45447", VexStatus.AFFECTED, Severity.HIGH, "1.1.1zh"),
        ("1.1.1v", "CVE-2023-4807", VexStatus.NOT_AFFECTED, Severity.LOW, "1.1.1w"),
        ("3.1.0", "CVE-2023-2650", VexStatus.AFFECTED, Severity.MODERATE, "3.1.1"),
        ("3.0.22", "CVE-2026-84782", VexStatus.AFFECTED, Severity.HIGH, None),
    ],
    ids=str,
)
def test_truths_picked_by_hand(
    version: str, advisory: str, status: VexStatus | None, severity: Severity | None, fixed_in: str | None
) -> None:
    found = _judge(crypto(version)).get(advisory)
    if status is None:
        assert found is None
        return
    assert found is not None
    assert (found.status, found.severity, found.fixed_in) == (status, severity, fixed_in)


@pytest.mark.parametrize(
    ("linkage", "package", "authority"),
    [
        (Linkage.STATIC, None, Authority.UPSTREAM),
        (Linkage.BUNDLED, None, Authority.UPSTREAM),
        (Linkage.LOCAL, None, Authority.UPSTREAM),
        (Linkage.SYSTEM, None, Authority.NOBODY),
        (Linkage.SYSTEM, DEBIAN_LIBSSL, Authority.DISTRIBUTION),
        (Linkage.STATIC, DEBIAN_PYTHON, Authority.DISTRIBUTION),
        (Linkage.STATIC, VENDOR_PYTHON, Authority.UPSTREAM),
        (Linkage.SYSTEM, VENDOR_PYTHON, Authority.UPSTREAM),
        (Linkage.SYSTEM, STRANGE_PACKAGE, Authority.NOBODY),
    ],
)
def test_whose_word_decides(linkage: Linkage, package: Package | None, authority: Authority) -> None:
    assert authority_of(linkage, package) is authority


@pytest.mark.parametrize(
    ("linkage", "package", "status", "reason"),
    [
        (
            Linkage.LOCAL,
            None,
            VexStatus.AFFECTED,
            "from 3.0.0 to before 3.0.15; version here 3.0.14",
        ),
        (Linkage.SYSTEM, VENDOR_PYTHON, VexStatus.AFFECTED, "affects OpenSSL 3.0"),
        (Linkage.SYSTEM, DEBIAN_LIBSSL, VexStatus.UNDER_INVESTIGATION, "it may have put the fix in without changing"),
        (Linkage.SYSTEM, STRANGE_PACKAGE, VexStatus.UNDER_INVESTIGATION, "who built openssl-libs 1:3.0.7-1 is unknown"),
        (Linkage.SYSTEM, None, VexStatus.UNDER_INVESTIGATION, "who built the file's package is unknown"),
    ],
    ids=["local", "vendor", "distribution", "unknown origin", "no record"],
)
def test_who_owns_the_file_decides_the_status(
    linkage: Linkage, package: Package | None, status: VexStatus, reason: str
) -> None:
    found = _judge(crypto("3.0.14", linkage, package), package=package)["CVE-2024-6119"]
    assert found.status is status
    assert found.linkage is linkage
    assert reason in _words(found)


@pytest.mark.parametrize(
    ("version", "advisory", "reason"),
    [
        ("3.1.8", "CVE-2025-15467", "OpenSSL 3.1 was supported up to 2025-03-14"),
        ("3.3.7", "CVE-2026-45447", "OpenSSL 3.3 was supported up to 2026-04-09"),
        ("1.1.1w", "CVE-2026-63072", "OpenSSL 1.1.1 was supported up to 2023-09-11"),
        ("1.1.0l", "CVE-2023-0286", "OpenSSL 1.1.0 was supported up to 2019-09-11"),
        ("3.0.22", "CVE-2026-84784", "OpenSSL 3.0 was supported up to 2026-09-07"),
        ("3.4.7", "CVE-2026-84784", "was not read for OpenSSL 3.4"),
        ("0.9.7m", "CVE-2014-0160", "OpenSSL 0.9.7 has no known end of support"),
    ],
    ids=str,
)
def test_a_branch_that_nobody_assessed_is_not_safe(version: str, advisory: str, reason: str) -> None:
    found = _judge(crypto(version, Linkage.LOCAL))[advisory]
    assert found.status is VexStatus.UNDER_INVESTIGATION
    assert found.fixed_in is None
    assert found.fix_available is None
    assert reason in _words(found)
    assert found.remedy is not None
    assert "is not assessed: replace" in found.remedy


@pytest.mark.parametrize(
    ("version", "advisory"),
    [
        ("3.5.9", "CVE-2014-0160"),
        ("3.6.5", "CVE-2023-0286"),
        ("3.3.7", "CVE-2025-66199"),
        ("3.0.19", "CVE-2025-66199"),
        ("4.0.3", "CVE-2025-15467"),
        ("9.9.9", "CVE-2025-15467"),
    ],
    ids=str,
)
def test_an_assessed_branch_that_is_not_listed_has_no_finding(version: str, advisory: str) -> None:
    assert advisory not in _judge(crypto(version))


def test_windows_only_is_not_under_investigation_on_an_ended_branch() -> None:
    assert "CVE-2023-4807" not in _judge(crypto("1.1.0l"))


@pytest.mark.parametrize(
    ("version", "placement"),
    [
        ("3.5.0-beta1", Placement.UNCLEAR),
        ("3.5.0", Placement.INSIDE),
        ("3.5.4", Placement.INSIDE),
        ("3.5.5-dev", Placement.UNCLEAR),
        ("3.5.4-dev", Placement.INSIDE),
        ("3.5.5", Placement.OUTSIDE),
        ("3.5.6-dev", Placement.OUTSIDE),
    ],
    ids=str,
)
def test_a_prerelease_at_the_edge_of_a_range_is_unclear(version: str, placement: Placement) -> None:
    catalogue = load_snapshot()
    advisory = next(item for item in catalogue.advisories if item.id == "CVE-2025-15467")
    parsed = parse_openssl(version)
    assert parsed is not None
    assert place(parsed, advisory, catalogue) is placement


def test_an_unclear_prerelease_says_why() -> None:
    found = _judge(crypto("3.5.0-beta1"))["CVE-2025-15467"]
    assert found.status is VexStatus.UNDER_INVESTIGATION
    assert "3.5.0-beta1 is a pre-release on the edge of the range" in _words(found)


def test_a_source_that_does_not_say_what_it_looked_at_is_believed() -> None:
    advisory = Advisory(
        "CVE-1", Component.OPENSSL, date(2026, 1, 1), Severity.LOW, (AffectedRange("3.5", "3.5.0", "3.5.5"),), "a feed"
    )
    parsed = parse_openssl("3.1.8")
    assert parsed is not None
    assert place(parsed, advisory, load_snapshot()) is Placement.OUTSIDE


@pytest.mark.parametrize(
    "use",
    [
        crypto("1.1.1", family=CryptoFamily.AWS_LC),
        crypto("2.9.2", family=CryptoFamily.LIBRESSL),
        crypto(None, family=CryptoFamily.BORINGSSL),
        crypto("1.1.1w", family=CryptoFamily.UNKNOWN),
        crypto(None),
        crypto("not a version"),
        CryptoUse(Linkage.NONE),
        CryptoUse(Linkage.UNRESOLVED, needed="libssl.so.1.1"),
    ],
    ids=["AWS-LC", "LibreSSL", "BoringSSL", "unknown family", "no version", "no such version", "none", "unresolved"],
)
def test_nothing_is_invented_for_what_is_not_a_known_openssl(use: CryptoUse) -> None:
    assert _judge(use) == {}


@pytest.mark.parametrize(
    ("cpython", "tag", "openssl", "advisory", "day", "remedy"),
    [
        (
            "3.12.12",
            "20260114",
            "3.5.4",
            "CVE-2025-15467",
            date(2026, 1, 27),
            "build 20260127 or newer, with OpenSSL 3.5.5",
        ),
        # OpenSSL 3.5.3, the first after 3.0 that these builds held, is in the advisory's range too.
        ("3.12.3", "20240415", "3.0.13", "CVE-2025-15467", date(2026, 1, 27), "build 20260127 or newer"),
        (
            "3.13.1",
            "20250115",
            "3.0.15",
            "CVE-2026-9076",
            date(2026, 6, 10),
            "build 20260610 or newer, with OpenSSL 3.5.7",
        ),
        ("3.12.12", None, "3.5.4", "CVE-2025-15467", date(2026, 1, 27), "build 20260127 or newer"),
        ("3.8.20", "20241002", "3.0.15", "CVE-2025-15467", None, "no fix published"),
        (None, "20260114", "3.5.4", "CVE-2025-15467", None, "no fix published"),
    ],
    ids=str,
)
def test_the_first_fixed_build_of_python_build_standalone(
    cpython: str | None, tag: str | None, openssl: str, advisory: str, day: date | None, remedy: str
) -> None:
    use = crypto(openssl)
    found = _judge(use, provider=Provider.PBS, installer=Installer.UV, version=cpython, provider_build=tag)[advisory]
    assert found.fix_available == day
    assert found.remedy is not None
    assert remedy in found.remedy


def test_the_tag_with_a_wrong_name_stands_at_its_real_date() -> None:
    builds = load_snapshot().pbs_builds
    tags = [build.tag for build in builds]
    assert tags.index("20260320") < tags.index("20250323") < tags.index("20260324")
    assert [build.date for build in builds] == sorted(build.date for build in builds)


@pytest.mark.parametrize(
    ("installer", "command"),
    [
        (
            Installer.UV,
            "uv self update && uv python upgrade 3.12 (build 20260127 or newer, with",
        ),
        (Installer.RYE, "rye toolchain fetch 3.12 (build"),
        (Installer.HATCH, "hatch python update 3.12 (build"),
        (Installer.MISE, "mise upgrade python@3.12 (build"),
        (Installer.UNKNOWN, "install python-build-standalone build 20260127 or newer"),
    ],
    ids=str,
)
def test_remedies_of_a_python_build_standalone(installer: Installer, command: str) -> None:
    remedy = _pbs("3.5.4", "3.12.12", "20260114", installer)["CVE-2025-15467"].remedy
    assert remedy is not None
    assert remedy.startswith(command)


@pytest.mark.parametrize(
    ("use", "provider", "package", "remedy"),
    [
        (crypto("3.0.18", Linkage.LOCAL, path="/usr/local/lib/libcrypto.so.3"), Provider.PYENV, None,
         "replace <file> by OpenSSL 3.0.19 or newer, then restart what uses it"),
        (crypto("3.0.18"), Provider.PYENV, None, "rebuild with OpenSSL 3.0.19 or newer: pyenv install --force 3.12.12"),
        (crypto("3.0.18", Linkage.BUNDLED), Provider.CONDA, None, "conda update openssl in this environment"),
        (crypto("3.0.18"), Provider.DOCKER_OFFICIAL, None, "pull a newer image that holds OpenSSL 3.0.19 or newer"),
        (crypto("3.0.18"), Provider.PYPI, None, "pip install --upgrade the distribution that ships this interpreter"),
        (crypto("3.0.18"), Provider.SOURCE, None, "rebuild this interpreter with OpenSSL 3.0.19 or newer"),
        (crypto("3.0.18", Linkage.SYSTEM, VENDOR_PYTHON), Provider.VENDOR, VENDOR_PYTHON,
         "update package google-cloud-cli to one of its vendor's versions that holds OpenSSL 3.0.19 or newer"),
    ],
    ids=["local", "pyenv", "conda", "docker", "pypi", "source", "vendor"],
)  # fmt: skip
def test_remedies_of_upstream_copies(use: CryptoUse, provider: Provider, package: Package | None, remedy: str) -> None:
    found = _judge(use, provider=provider, package=package)["CVE-2025-15467"]
    assert found.remedy is not None
    assert found.remedy.startswith(remedy)
    assert "OpenSSL 3.0.19 was released on 2026-01-27" in _words(found)
    day = date(2026, 1, 27)
    assert found.clocks.released == day
    # Who builds it on the spot waits for nobody else; when another provider had it, no source tells.
    on_the_spot = provider in {Provider.PYENV, Provider.SOURCE}
    assert found.fix_available == (day if on_the_spot else None)
    assert found.clocks.since == found.fix_available
    assert ("no source tells since when" in _words(found)) is not on_the_spot


def test_the_clocks_of_a_build_that_uv_installs_end_with_the_first_uv_that_knows_it() -> None:
    by_uv = _pbs("3.5.4", "3.12.12", "20260114", Installer.UV)["CVE-2025-15467"].clocks
    assert (by_uv.published, by_uv.released, by_uv.built) == (date(2026, 1, 27),) * 3
    assert by_uv.installable is not None
    assert by_uv.since == by_uv.installable >= date(2026, 1, 27)
    by_hand = _pbs("3.5.4", "3.12.12", "20260114", Installer.UNKNOWN)["CVE-2025-15467"].clocks
    assert (by_hand.installable, by_hand.since) == (None, date(2026, 1, 27))


def test_a_vendors_package_decides_which_build_it_ships() -> None:
    found = _judge(
        crypto("3.0.16", package=VENDOR_PYTHON),
        package=VENDOR_PYTHON,
        provider=Provider.PBS,
        installer=Installer.DPKG,
        version="3.12.10",
    )["CVE-2025-15467"]
    assert found.remedy is not None
    assert found.remedy.startswith("update package google-cloud-cli")
    assert found.fix_available is None
    assert "no source tells since when the third party behind google-cloud-cli has had the fix" in _words(found)
    assert "python-build-standalone" not in _words(found)


def test_a_fix_for_paying_customers_is_a_state_of_its_own() -> None:
    found = _judge(crypto("1.1.1w"))["CVE-2026-45447"]
    assert found.fix_available is None
    assert found.remedy is not None
    assert found.remedy.startswith("OpenSSL 1.1.1zh fixes it for customers of premium support only: rebuild")
    assert "a supported OpenSSL (3.5, 4.0)" in found.remedy


def test_an_advisory_without_a_fix_says_so() -> None:
    found = _judge(crypto("3.0.22", Linkage.LOCAL))["CVE-2026-84782"]
    assert found.remedy is not None
    assert found.remedy.startswith("no fix published: replace")
    assert "without a fixed release" in _words(found)
    assert "assumed: the source names no beginning" in _words(found)


def test_an_inferred_date_is_said_to_be_inferred() -> None:
    found = _judge(crypto("3.5.8"))["CVE-2026-84784"]
    assert "to before 3.5.9 (inferred)" in _words(found)
    assert "OpenSSL 3.5.9 was released on 2026-09-29 (inferred)" in _words(found)


def test_no_supported_branch_is_named_when_none_is_left() -> None:
    found = _judge(crypto("3.0.22"), today=date(2040, 1, 1))["CVE-2026-84782"]
    assert found.remedy is not None
    assert "with a supported OpenSSL, or" in found.remedy


@pytest.mark.parametrize(
    ("manager", "command"),
    [
        ("dpkg", "apt-get update && apt-get install --only-upgrade libssl3"),
        ("rpm", "dnf upgrade libssl3"),
        ("apk", "apk add --upgrade libssl3"),
        ("pacman", "pacman -Syu"),
        ("portage", None),
    ],
)
def test_commands_of_package_managers(manager: str, command: str | None) -> None:
    assert remedy_for_package(Package(manager, "libssl3", "3", "openssl", "3")) == command


def test_the_first_uv_that_knows_a_build() -> None:
    catalogue = load_snapshot()
    builds = {build.tag: build for build in catalogue.pbs_builds}
    assert first_uv(catalogue, builds["20260610"]) == "0.11.21"
    assert first_uv(catalogue, builds["20260929"]) == "0.12.21"
    for build in catalogue.pbs_builds:
        uv = first_uv(catalogue, build)
        assert uv is None or builds[catalogue.uv_newest_pbs[uv]].date >= build.date


def test_the_worst_severity_counts_only_what_is_affected() -> None:
    found = _judge(crypto("3.0.22", Linkage.SYSTEM, DEBIAN_LIBSSL), package=DEBIAN_LIBSSL).values()
    assert any(item.severity is Severity.HIGH for item in found)
    assert worst_severity(found) is None
    assert worst_severity(_judge(crypto("3.5.4")).values()) is Severity.HIGH


def test_advisories_of_other_components_are_left_to_them() -> None:
    catalogue = load_snapshot()
    other = Advisory("CVE-1", Component.CPYTHON, date(2026, 1, 1), Severity.HIGH, (), "a feed")
    circumstances = Circumstances(crypto("3.5.4"), Provider.SOURCE, Installer.UNKNOWN, "3.12.12", None)
    more = replace(catalogue, advisories=(other, *catalogue.advisories))
    assert judge_openssl(circumstances, more, TODAY, package=None) == judge_openssl(
        circumstances, catalogue, TODAY, package=None
    )


def test_every_finding_can_be_followed_to_its_source() -> None:
    for version in ("3.5.4", "3.0.22", "1.1.1w", "3.1.4", "0.9.8zh"):
        for item in _judge(crypto(version)).values():
            assert item.evidence[0].detail.startswith(f"{item.advisory}, {item.severity.value}, published ")
            assert "as far as known on 2026-09-29" in item.evidence[0].detail
            if item.status is not VexStatus.AFFECTED:
                assert len(item.evidence) == 2


# --- Node.js ----------------------------------------------------------------------------------------------------------

NODESOURCE = Package(
    "dpkg", "nodejs", "20.11.1-1nodesource1", "nodejs", "20.11.1-1nodesource1", origin=PackageOrigin.VENDOR
)
DEBIAN_NODE = Package(
    "dpkg", "nodejs", "18.20.4+dfsg-1~deb12u1", "nodejs", "18.20.4+dfsg-1~deb12u1", origin=PackageOrigin.DISTRIBUTION
)


def _node(
    version: str | None,
    *,
    package: Package | None = None,
    provider: Provider = Provider.UPSTREAM,
    installer: Installer = Installer.UNKNOWN,
    path: str = "/opt/node/bin/node",
    known: PackageEvidence | None = None,
) -> dict[str, Judgement]:
    manager = node_manager(Implementation.NODEJS, path)
    circumstances = Circumstances(
        crypto("3.0.13"), provider, installer, version, None, Implementation.NODEJS, manager=manager
    )
    found = judge_nodejs(circumstances, load_snapshot(), TODAY, package=package, known=known)
    assert [item.advisory for item in found] == sorted(item.advisory for item in found)
    assert {item.component for item in found} <= {Component.NODEJS}
    assert all(item.linkage is None for item in found)
    assert judge_cpython(circumstances, load_snapshot(), TODAY, package=package) == ()
    return {item.advisory: item for item in found}


@pytest.mark.parametrize(
    ("version", "advisory", "status", "severity", "fixed_in", "available"),
    [
        ("20.20.1", "CVE-2026-21710", VexStatus.AFFECTED, Severity.HIGH, "20.20.2", date(2026, 3, 24)),
        ("20.20.2", "CVE-2026-21710", None, None, None, None),
        ("26.3.0", "CVE-2026-48936", VexStatus.AFFECTED, Severity.LOW, "26.3.1", date(2026, 6, 18)),
        ("24.16.0", "CVE-2026-48936", None, None, None, None),
        # A line that began after the advisory has the fix from its first release on.
        ("26.0.0", "CVE-2026-21710", None, None, None, None),
        ("8.4.0", "CVE-2017-14849", None, None, None, None),
        ("8.5.0", "CVE-2017-14849", VexStatus.AFFECTED, Severity.HIGH, "8.6.0", date(2017, 9, 26)),
        ("8.6.0", "CVE-2017-14849", None, None, None, None),
        # A line that is named as affected and never got a fix.
        ("7.10.1", "CVE-2018-12115", VexStatus.AFFECTED, Severity.HIGH, None, None),
        # Lines that had ended, or that nobody looked at.
        ("20.20.2", "CVE-2026-48933", VexStatus.UNDER_INVESTIGATION, Severity.HIGH, None, None),
        ("13.14.0", "CVE-2020-8201", VexStatus.UNDER_INVESTIGATION, Severity.HIGH, None, None),
        ("0.10.48", "CVE-2026-21710", VexStatus.UNDER_INVESTIGATION, Severity.HIGH, None, None),
        ("20.12.1", "CVE-2024-27980", VexStatus.NOT_AFFECTED, Severity.HIGH, "20.12.2", None),
        # Where the project's announcement is followed and not its database.
        ("16.16.0", "CVE-2022-32214", None, None, None, None),
        ("16.15.1", "CVE-2022-32214", VexStatus.AFFECTED, Severity.MODERATE, "16.16.0", date(2022, 7, 7)),
        # OpenSSL's own are told of the OpenSSL inside, by its version.
        ("14.19.0", "CVE-2022-0778", None, None, None, None),
    ],
    ids=str,
)
def test_truths_of_nodejs_picked_by_hand(
    version: str,
    advisory: str,
    status: VexStatus | None,
    severity: Severity | None,
    fixed_in: str | None,
    available: date | None,
) -> None:
    found = _node(version).get(advisory)
    if status is None:
        assert found is None
        return
    assert found is not None
    assert (found.status, found.severity, found.fixed_in, found.fix_available) == (
        status,
        severity,
        fixed_in,
        available,
    )


def test_a_fixed_release_of_a_supported_line_has_no_open_finding() -> None:
    newest = {"26": "26.7.0", "24": "24.18.1", "22": "22.23.2"}
    for line, version in newest.items():
        assert version in load_snapshot().releases[Component.NODEJS], line
        assert not [item for item in _node(version).values() if item.status is VexStatus.AFFECTED], line


@pytest.mark.parametrize("version", [None, "twenty", "20", "22.0.0-nightly20240301"])
def test_nothing_is_invented_for_what_is_no_release_of_nodejs(version: str | None) -> None:
    assert _node(version) == {}


def test_the_evidence_of_nodejs_names_its_sources_and_what_they_do_not_tell() -> None:
    words = _words(_node("20.11.1")["CVE-2026-21710"])
    assert "affects Node.js 20 from 20.0.0 (assumed: the source names no beginning) to before 20.20.2" in words
    assert "by Node.js security working group's core database, as far as known on 2026-07-29" in words
    assert "Node.js 20.20.2 was released on 2026-03-24" in words
    words = _words(_node("16.17.0")["CVE-2022-35255"])
    assert "by Node.js security working group's core database and Node.js's release notes" in words


@pytest.mark.parametrize(
    ("package", "provider", "installer", "path", "remedy"),
    [
        (NODESOURCE, Provider.VENDOR, Installer.DPKG, "/usr/bin/node",
         "apt-get update && apt-get install --only-upgrade nodejs, to one of its vendor's versions that holds"),
        (replace(NODESOURCE, manager="portage"), Provider.VENDOR, Installer.UNKNOWN, "/usr/bin/node",
         "update package nodejs, to one of its vendor's versions that holds Node.js 20.20.2 or newer"),
        (None, Provider.UPSTREAM, Installer.UNKNOWN, "/home/ann/.nvm/versions/node/v20.11.1/bin/node",
         "nvm install 20.20.2 (Node.js 20.20.2 or newer)"),
        (None, Provider.UPSTREAM, Installer.UNKNOWN, "/root/fnm/node-versions/v20.11.1/installation/bin/node",
         "fnm install 20.20.2 (Node.js"),
        (None, Provider.UPSTREAM, Installer.UNKNOWN, "/home/ann/.volta/tools/image/node/20.11.1/bin/node",
         "volta install node@20.20.2 (Node.js"),
        (None, Provider.UPSTREAM, Installer.UNKNOWN, "/opt/n/versions/node/20.11.1/bin/node", "n 20.20.2 (Node"),
        (None, Provider.SOURCE, Installer.UNKNOWN, "/home/ann/.nodenv/versions/20.11.1/bin/node",
         "nodenv install 20.20.2 (Node.js"),
        (None, Provider.UPSTREAM, Installer.MISE, "/home/ann/.local/share/mise/installs/node/20.11.1/bin/node",
         "mise install node@20.20.2 (Node.js 20.20.2 or newer)"),
        (None, Provider.UPSTREAM, Installer.ASDF, "/home/ann/.asdf/installs/nodejs/20.11.1/bin/node",
         "asdf install nodejs 20.20.2 (Node.js 20.20.2 or newer)"),
        (None, Provider.SNAP, Installer.SNAP, "/snap/node/1/bin/node",
         "snap refresh node --channel=20 (Node.js 20.20.2 or newer)"),
        (None, Provider.CONDA, Installer.CONDA, "/opt/conda/bin/node",
         "conda update nodejs in this environment, to Node.js 20.20.2 or newer"),
        (None, Provider.DOCKER_OFFICIAL, Installer.UNKNOWN, "/usr/local/bin/node",
         "pull a newer image that holds Node.js 20.20.2 or newer"),
        (None, Provider.PYPI, Installer.PIP, "/env/bin/node",
         "pip install --upgrade the distribution that ships this interpreter, to one that holds Node.js 20.20.2"),
        (None, Provider.UPSTREAM, Installer.UNKNOWN, "/opt/node/bin/node",
         "install the project's build of Node.js 20.20.2 or newer"),
        (None, Provider.SOURCE, Installer.UNKNOWN, "/usr/local/bin/node",
         "install Node.js 20.20.2 or newer from whoever made this one"),
    ],
    ids=[
        *("nodesource", "other manager", "nvm", "fnm", "volta", "n", "nodenv"),
        *("mise", "asdf", "snap", "conda", "docker", "pypi", "upstream", "source"),
    ],
)  # fmt: skip
def test_remedies_of_nodejs(
    package: Package | None, provider: Provider, installer: Installer, path: str, remedy: str
) -> None:
    found = _node("20.11.1", package=package, provider=provider, installer=installer, path=path)["CVE-2026-21710"]
    assert found.status is VexStatus.AFFECTED
    assert found.remedy is not None
    assert found.remedy.startswith(remedy)
    # Upstream's release is no day of whoever builds it anew.
    own = provider in {Provider.UPSTREAM, Provider.SOURCE}
    assert found.fix_available == (date(2026, 3, 24) if own else None)
    assert found.clocks.released == date(2026, 3, 24)
    assert ("no source tells since when" in _words(found)) is not own


def test_a_manager_of_nodejs_keeps_no_other_interpreter() -> None:
    path = "/home/ann/.nvm/versions/node/v20.11.1/bin/node"
    assert node_manager(Implementation.NODEJS, path) == "nvm"
    assert node_manager(Implementation.CPYTHON, path) is None
    assert node_manager(Implementation.NODEJS, "/usr/bin/node") is None


def test_a_line_of_nodejs_without_a_fix_names_those_that_get_fixes() -> None:
    assert _node("7.10.1")["CVE-2018-12115"].remedy == (
        "no fix published for Node.js 7: move to a line that is supported (26, 24, 22)"
    )
    circumstances = Circumstances(crypto("1.0.2"), Provider.UPSTREAM, Installer.UNKNOWN, "7.10.1", None)
    circumstances = replace(circumstances, implementation=Implementation.NODEJS)
    late = judge_nodejs(circumstances, load_snapshot(), date(2040, 1, 1), package=None)
    remedy = next(item.remedy for item in late if item.advisory == "CVE-2018-12115")
    assert remedy == "no fix published for Node.js 7: move to a line that is supported"


def test_a_distributions_nodejs_is_judged_by_its_own_evidence() -> None:
    alone = _node("18.20.4", package=DEBIAN_NODE, provider=Provider.DISTRO)["CVE-2025-23085"]
    assert alone.status is VexStatus.UNDER_INVESTIGATION
    nobody = _node("18.20.4", provider=Provider.DISTRO)["CVE-2025-23085"]
    assert nobody.status is VexStatus.UNDER_INVESTIGATION
    fixed = {"CVE-2025-23085": "18.20.4+dfsg-1~deb12u2", "CVE-2025-22150": "0", "CVE-2025-23083": "18.20.4+dfsg-1"}
    fixes = PackageFixes("debian", "12", "dpkg", "nodejs", fixed, date(2026, 11, 1), "Debian's security tracker")
    named = ChangelogFix("CVE-2024-27983", "18.20.4+dfsg-1~deb12u1", "CVE-2024-27983")
    changelog = PackageChangelog(DEBIAN_NODE, ChangelogState.COMPLETE, entries=40, fixes=(named,))
    os_release = OsRelease(id="debian", version_id="12")
    catalogue = replace(load_snapshot(), package_fixes={("debian", "12", "nodejs"): fixes})
    known = PackageEvidence.of(Component.NODEJS, DEBIAN_NODE, os_release, changelog, catalogue)
    assert known.is_own
    found = _node("18.20.0", package=DEBIAN_NODE, provider=Provider.DISTRO, known=known)
    told = {name: (found[name].status, found[name].fixed_in) for name in ("CVE-2025-23085", "CVE-2025-22150")}
    assert told == {
        "CVE-2025-23085": (VexStatus.AFFECTED, "18.20.4+dfsg-1~deb12u2"),
        "CVE-2025-22150": (VexStatus.NOT_AFFECTED, None),
    }
    assert found["CVE-2025-23085"].remedy == (
        "apt-get update && apt-get install --only-upgrade nodejs (nodejs 18.20.4+dfsg-1~deb12u2 or newer)"
    )
    assert found["CVE-2024-27983"].status is VexStatus.FIXED
    # The database names whole lines, and the distribution leaves some of what is bundled out: silence is no proof.
    assert found["CVE-2024-27982"].status is VexStatus.UNDER_INVESTIGATION
    assert "upstream does not say since when the fault is there" in _words(found["CVE-2024-27982"])
