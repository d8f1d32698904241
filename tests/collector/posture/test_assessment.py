from __future__ import annotations

from dataclasses import replace
from datetime import date
from typing import TYPE_CHECKING

import pytest

from libcensus.collector.advisories.snapshot import load_snapshot
from libcensus.collector.posture import assessment
from libcensus.collector.posture.assessment import Assessor, HostAssessment
from libcensus.collector.posture.finding import (
    Component,
    Finding,
    Reach,
    Severity,
    Subject,
    SubjectKind,
    SupportState,
    VexStatus,
    at_least,
    worst_severity,
)
from libcensus.collector.posture.verdict import PortabilityState
from libcensus.facts.changelog import ChangelogFix, PackageChangelog
from libcensus.facts.crypto import CopyOwner, CryptoCopy, CryptoCopySet, CryptoLibrary, CryptoUse
from libcensus.facts.evidence import Evidence
from libcensus.facts.host import Host, Libc, OsRelease
from libcensus.facts.interpreter import Build, Install, InstallSet
from libcensus.facts.root import Container, RootSet, ScannedRoot
from libcensus.facts.vocabulary import (
    ChangelogState,
    CryptoFamily,
    EvidenceKind,
    FileRole,
    Implementation,
    Installer,
    InstallKind,
    LibcFamily,
    Linkage,
    Provider,
    RootKind,
)
from tests.collector.metrics import fleet

from .facts import (
    DEBIAN_LIBSSL,
    DEBIAN_PYTHON,
    STRANGE_PACKAGE,
    TODAY,
    VENDOR_PYTHON,
    build_file,
    crypto,
    digest,
    glibc_host,
    install,
    needs,
    python_build,
)

if TYPE_CHECKING:
    from libcensus.facts.package import Package
    from libcensus.facts.platform import Platform

DEBIAN = Host("host", OsRelease("debian", "12"))

_SNAPSHOT = load_snapshot()
OPENSSL_ALONE = replace(
    _SNAPSHOT, advisories=tuple(item for item in _SNAPSHOT.advisories if item.component is Component.OPENSSL)
)
"""What most tests here are about; with what is published about CPython each Python has findings of its own."""


def _assess(
    *installs: Install,
    builds: dict[str, Build] | None = None,
    host: Host = DEBIAN,
    platform: Platform | None = None,
    root: str = "/",
    assessor: Assessor | None = None,
) -> HostAssessment:
    chosen = {digest(1): python_build(provider_build="20260114")} if builds is None else builds
    ordered = InstallSet(tuple(sorted(installs, key=lambda item: (item.root, item.path))))
    return (assessor or Assessor(OPENSSL_ALONE, TODAY)).assess(host, platform or glibc_host(), ordered, chosen, root)


def test_one_upgrade_two_outcomes() -> None:
    """Case 13: the distribution's library is not judged by its number, the static copy beside it is."""
    system = crypto("3.0.22", Linkage.SYSTEM, DEBIAN_LIBSSL, path="/usr/lib/x86_64-linux-gnu/libssl.so.3")
    debian = install(system, "/usr/bin/python3.11", build=digest(2), installer=Installer.DPKG, package=DEBIAN_PYTHON)
    pyenv = install(system, "/root/.pyenv/versions/3.12.1/bin/python3.12", build=digest(3), installer=Installer.PYENV)
    pbs = install(crypto("3.5.4"), "/root/.local/share/uv/python/cpython-3.12.12/bin/python3.12")
    host = _assess(
        debian,
        pyenv,
        pbs,
        builds={
            digest(1): python_build(provider_build="20260114"),
            digest(2): python_build("3.11.2", Provider.DISTRO),
            digest(3): python_build("3.12.1", Provider.PYENV),
        },
    )
    affected = {f.subject.path for f in host.findings if f.status is VexStatus.AFFECTED}
    assert affected == {pbs.path}
    open_questions = {f.subject.path for f in host.findings if f.status is VexStatus.UNDER_INVESTIGATION}
    assert open_questions == {debian.path, pyenv.path}
    assert host.worst is Severity.HIGH
    assert host.count(VexStatus.AFFECTED) == sum(1 for f in host.findings if f.status is VexStatus.AFFECTED) > 0
    until = {(e.subject.path, e.component): e.distribution_until for e in host.end_of_life}
    assert until[debian.path, Component.CPYTHON] == date(2028, 6, 30)
    assert until[pyenv.path, Component.CPYTHON] is None
    assert until[pyenv.path, Component.OPENSSL] == date(2028, 6, 30)


def test_findings_and_ends_of_life_are_sorted_by_subject() -> None:
    host = _assess(install(crypto("3.5.4"), "/b"), install(crypto("3.0.13"), "/a"), install(crypto("1.1.1w"), "/c"))
    assert [item.subject for item in host.installs] == sorted(item.subject for item in host.installs)
    assert [(f.subject, f.advisory) for f in host.findings] == sorted((f.subject, f.advisory) for f in host.findings)
    assert [e.subject.path for e in host.end_of_life] == ["/a", "/a", "/b", "/b", "/c", "/c"]


def test_counts_equal_the_findings() -> None:
    host = _assess(install(crypto("3.5.4"), "/a"), install(crypto("1.1.1v"), "/b"), install(crypto("3.5.9"), "/c"))
    for key, number in host.counts.items():
        assert number == sum(1 for f in host.findings if (f.component, f.severity, f.status) == key)
    assert sum(host.counts.values()) == len(host.findings)
    assert host.worst is worst_severity(host.findings)


@pytest.mark.parametrize(
    ("root", "install_root", "shown"),
    [("/", "/", "/"), ("/mnt/image", "/", "/mnt/image"), ("/mnt/image", "/mnt/image/inner", "/mnt/image/inner")],
)
def test_a_subject_names_its_root(root: str, install_root: str, shown: str) -> None:
    host = _assess(install(crypto("3.5.4"), "/a", root=install_root), root=root)
    assert {f.subject for f in host.findings} == {Subject(SubjectKind.INSTALL, shown, "/a")}


def test_an_environment_shares_the_case_of_its_base() -> None:
    base = install(crypto("3.5.4"), "/opt/python/bin/python3.12", aliases=("/opt/python/bin/python3",))
    environment = install(
        crypto("3.5.4"), "/srv/app/.venv/bin/python", kind=InstallKind.VENV, base="/opt/python/bin/python3"
    )
    host = _assess(base, environment)
    first, second = host.installs
    assert first.case is second.case
    assert len(first.findings) == len(second.findings) > 0


@pytest.mark.parametrize(
    ("package", "status"),
    [(DEBIAN_PYTHON, VexStatus.UNDER_INVESTIGATION), (VENDOR_PYTHON, VexStatus.AFFECTED), (None, VexStatus.AFFECTED)],
    ids=["distribution", "vendor", "nobody"],
)
def test_code_inside_the_interpreter_belongs_to_the_interpreters_package(
    package: Package | None, status: VexStatus
) -> None:
    base = install(crypto("3.5.4"), "/usr/lib/app/bin/python3", package=package)
    environment = install(
        crypto("3.5.4"), "/srv/venv/bin/python", kind=InstallKind.VENV, base="/usr/lib/app/bin/python3"
    )
    host = _assess(base, environment)
    high = {f.subject.path: f.status for f in host.findings if f.advisory == "CVE-2025-15467"}
    assert high == {base.path: status, environment.path: status}


def test_a_local_library_is_not_the_interpreters_packages() -> None:
    host = _assess(install(crypto("3.0.14", Linkage.LOCAL, path="/usr/local/lib/libssl.so.3"), package=DEBIAN_PYTHON))
    assert host.worst is Severity.HIGH


def test_an_environment_whose_base_is_not_there_is_judged_by_itself() -> None:
    host = _assess(install(crypto("3.5.4"), "/v/bin/python", kind=InstallKind.VENV, base="/gone/bin/python"))
    assert host.worst is Severity.HIGH


def test_a_dangling_environment_is_unknown() -> None:
    broken = install(
        CryptoUse(Linkage.UNKNOWN), "/v/bin/python", kind=InstallKind.VENV, build=None, base="/gone/bin/python"
    )
    host = _assess(broken, builds={})
    assert host.findings == ()
    assert {(e.component, e.state) for e in host.end_of_life} == {
        (Component.CPYTHON, SupportState.UNKNOWN),
        (Component.OPENSSL, SupportState.UNKNOWN),
    }
    assert host.verdicts == {}
    assert host.worst is None


@pytest.mark.parametrize(
    ("use", "component", "branch", "words"),
    [
        (crypto(None), Component.OPENSSL, "unknown", "the bytes of this copy do not tell its version"),
        (
            crypto("1.52.0", family=CryptoFamily.AWS_LC),
            Component.AWS_LC,
            "1.52.0",
            "neither advisories nor ends of life",
        ),
        (crypto(None, family=CryptoFamily.AWS_LC), Component.AWS_LC, "unknown", "do not tell its version"),
        (crypto("3.9.2", family=CryptoFamily.LIBRESSL), Component.LIBRESSL, "3.9.2", "neither advisories nor ends"),
        (crypto(None, family=CryptoFamily.BORINGSSL), Component.BORINGSSL, "unknown", "do not tell its version"),
        (crypto("1.1.1", family=CryptoFamily.UNKNOWN), Component.OPENSSL, "unknown", "which product this copy is"),
        (
            CryptoUse(Linkage.UNRESOLVED, needed="libssl.so.1.1"),
            Component.OPENSSL,
            "unknown",
            "nothing that is known to the loader answers to libssl.so.1.1",
        ),
        (CryptoUse(Linkage.UNKNOWN), Component.OPENSSL, "unknown", "could not be read"),
    ],
    ids=["no version", "AWS-LC", "AWS-LC unknown", "LibreSSL", "BoringSSL", "no product", "unresolved", "unknown"],
)
def test_unknown_is_said_once_with_its_reason(use: CryptoUse, component: Component, branch: str, words: str) -> None:
    host = _assess(install(use))
    assert host.findings == ()
    _, support = host.end_of_life
    assert (support.component, support.branch, support.state) == (component, branch, SupportState.UNKNOWN)
    assert words in support.evidence[-1].detail


def test_an_install_without_tls_has_no_crypto_state() -> None:
    host = _assess(install(CryptoUse(Linkage.NONE)))
    assert [item.component for item in host.end_of_life] == [Component.CPYTHON]


@pytest.mark.parametrize(
    ("implementation", "version", "expected"),
    [
        (Implementation.PYPY, "3.10.14", (Component.PYPY, SupportState.UNKNOWN)),
        (Implementation.NODEJS, "18.19.0", (Component.NODEJS, SupportState.ENDED)),
        (Implementation.RUBY, "3.3.8", (Component.RUBY, SupportState.SUPPORTED)),
        (Implementation.PERL, "5.36.0", (Component.PERL, SupportState.ENDED)),
        (Implementation.PHP, "8.2.29", (Component.PHP, SupportState.SUPPORTED)),
        (Implementation.UNKNOWN, "1.0", None),
    ],
)
def test_every_implementation_is_judged_by_its_own_life_cycle(
    implementation: Implementation, version: str, expected: tuple[Component, SupportState] | None
) -> None:
    build = replace(python_build(version, Provider.UPSTREAM), implementation=implementation)
    host = _assess(install(crypto("3.5.4"), implementation=implementation), builds={digest(1): build})
    told = [(item.component, item.state) for item in host.end_of_life]
    assert told == [*([] if expected is None else [expected]), (Component.OPENSSL, SupportState.SUPPORTED)]
    finding = next(f for f in host.findings if f.advisory == "CVE-2025-15467")
    assert (finding.status, finding.linkage) == (VexStatus.AFFECTED, Linkage.STATIC)
    assert finding.remedy is not None
    assert "Python" not in finding.remedy or implementation is Implementation.PYPY


CRYPTOGRAPHY = CopyOwner("pypi", "cryptography", "44.0.0")
RUST = "/opt/venv/lib/python3.12/site-packages/cryptography/hazmat/bindings/_rust.abi3.so"


def _copy(
    version: str | None = "3.5.4",
    *,
    family: CryptoFamily = CryptoFamily.OPENSSL,
    linkage: Linkage = Linkage.STATIC,
    owner: CopyOwner | None = CRYPTOGRAPHY,
    package: Package | None = None,
    environment: str | None = "/opt/venv",
    root: str = "/",
) -> CryptoCopy:
    return CryptoCopy(root, RUST, linkage, CryptoLibrary(family, version, package), environment, owner)


def _assess_copies(*copies: CryptoCopy, host: Host = DEBIAN, roots: RootSet | None = None) -> HostAssessment:
    return Assessor(load_snapshot(), TODAY).assess(
        host, glibc_host(), InstallSet(), {}, crypto_copies=CryptoCopySet(copies), roots=roots
    )


@pytest.mark.parametrize(
    ("owner", "environment", "remedy"),
    [
        (
            CRYPTOGRAPHY,
            "/opt/venv",
            (
                "upgrade the wheel cryptography in /opt/venv to one that holds OpenSSL 3.5.5 or newer: "
                "pip --python /opt/venv install --upgrade cryptography"
            ),
        ),
        (
            CRYPTOGRAPHY,
            None,
            (
                "upgrade the wheel cryptography to one that holds OpenSSL 3.5.5 or newer: "
                "pip install --upgrade cryptography"
            ),
        ),
        (
            CopyOwner("npm", "some-addon", "1.0.0"),
            None,
            "upgrade the npm package some-addon to one that holds OpenSSL 3.5.5 or newer: npm update some-addon",
        ),
        (
            CopyOwner("gem", "puma", "6.4.0"),
            None,
            "upgrade the gem puma to one that holds OpenSSL 3.5.5 or newer: gem update puma",
        ),
        (
            CopyOwner("conda", "openssl", "3.5.4"),
            "/opt/conda",
            (
                "upgrade the conda package openssl in /opt/conda to one that holds OpenSSL 3.5.5 or newer: "
                "conda update --prefix /opt/conda openssl"
            ),
        ),
        (
            CopyOwner("newer", "thing"),
            None,
            "upgrade the newer package thing to one that holds OpenSSL 3.5.5 or newer",
        ),
        (None, None, f"replace {RUST} by OpenSSL 3.5.5 or newer, then restart what uses it"),
    ],
    ids=["pypi", "pypi-nowhere", "npm", "gem", "conda", "unknown-ecosystem", "nobody"],
)
def test_a_copy_is_judged_as_a_library_of_its_own_and_its_owner_brings_the_fix(
    owner: CopyOwner | None, environment: str | None, remedy: str
) -> None:
    host = _assess_copies(_copy(owner=owner, environment=environment))
    finding = next(f for f in host.findings if f.advisory == "CVE-2025-15467")
    assert finding.subject == Subject(SubjectKind.CRYPTO_COPY, "/", RUST)
    assert (finding.status, finding.fixed_in, finding.remedy) == (VexStatus.AFFECTED, "3.5.5", remedy)
    assert finding.evidence[0].detail == "openssl 3.5.4, static"
    assert [(e.subject.kind, e.component, e.branch) for e in host.end_of_life] == [
        (SubjectKind.CRYPTO_COPY, Component.OPENSSL, "3.5")
    ]
    assert host.worst is Severity.HIGH
    assert host.count(VexStatus.AFFECTED) == sum(f.status is VexStatus.AFFECTED for f in host.findings)


@pytest.mark.parametrize("family", [one for one in CryptoFamily if one is not CryptoFamily.OPENSSL])
def test_a_copy_of_another_product_never_takes_the_advisories_of_openssl(family: CryptoFamily) -> None:
    host = _assess_copies(_copy("1.1.1", family=family))
    assert host.findings == ()
    assert [end.state for end in host.end_of_life] == [SupportState.UNKNOWN]


@pytest.mark.parametrize(
    "copy", [_copy(None), _copy(linkage=Linkage.UNKNOWN)], ids=["unknown-version", "unknown-linkage"]
)
def test_a_copy_that_could_not_be_read_is_unknown_and_not_fine(copy: CryptoCopy) -> None:
    host = _assess_copies(copy)
    assert host.findings == ()
    assert [end.state for end in host.end_of_life] == [SupportState.UNKNOWN]


def test_a_copy_that_the_distribution_built_is_not_judged_by_its_number() -> None:
    host = _assess_copies(_copy("3.0.13", linkage=Linkage.SYSTEM, owner=None, package=DEBIAN_LIBSSL))
    told = {finding.status: finding.evidence[-1].detail for finding in host.findings}
    assert told.keys() == {VexStatus.FIXED, VexStatus.UNDER_INVESTIGATION}
    assert "the changelog of Debian's openssl" in told[VexStatus.FIXED]
    # OpenSSL 3.0 had ended when its last advisories were published.
    assert "upstream did not assess this branch" in told[VexStatus.UNDER_INVESTIGATION]
    assert host.end_of_life[0].distribution_until is not None
    assert host.copies[0].provider == "distro"


def test_what_lies_in_another_root_is_judged_by_that_roots_system_and_platform() -> None:
    executable = build_file("bin/python3.12", FileRole.EXECUTABLE, needs({"libc.so.6": ("GLIBC_2.38",)}))
    system = crypto("3.0.13", Linkage.SYSTEM, DEBIAN_LIBSSL, path="/usr/lib/libssl.so.3")
    roots = RootSet(
        (
            ScannedRoot("/", RootKind.HOST, platform=digest(36)),
            ScannedRoot("/srv/new", RootKind.FOLDER, "/srv/new", OsRelease("ubuntu", "24.04"), platform=digest(41)),
            ScannedRoot("/srv/none", RootKind.FOLDER, "/srv/none"),
        )
    )
    installs = [
        install(system, "/usr/bin/python3", root=root, package=DEBIAN_PYTHON) for root in ("/", "/srv/new", "/srv/none")
    ]
    found = Assessor(OPENSSL_ALONE, TODAY).assess(
        DEBIAN,
        glibc_host(36),
        InstallSet(tuple(installs)),
        {digest(1): python_build(files=(executable,)), digest(2): python_build(files=(executable,))},
        platform_digest=digest(36),
        roots=roots,
        platforms={digest(41): glibc_host(41)},
    )
    assert {place: verdict.state for place, verdict in found.verdicts.items()} == {
        ("/", digest(1)): PortabilityState.BLOCKED,
        ("/", digest(2)): PortabilityState.BLOCKED,
        ("/srv/new", digest(1)): PortabilityState.RUNS,
        ("/srv/none", digest(1)): PortabilityState.UNKNOWN,
    }
    until = {item.subject.root: item.end_of_life[0].distribution_until for item in found.installs}
    assert until["/"] != until["/srv/new"] is not None
    assert until["/srv/none"] is None
    told = {(finding.subject.root, finding.status, finding.remedy) for finding in found.findings}
    upgrade = "apt-get update && apt-get install --only-upgrade libssl3"
    assert ("/", VexStatus.FIXED, None) in told
    assert ("/srv/new", VexStatus.FIXED, None) in told
    unknown = f"inside /srv/none: {upgrade}"
    assert {item for item in told if item[0] == "/srv/none"} == {
        ("/srv/none", VexStatus.UNDER_INVESTIGATION, unknown),
    }


def test_the_changelog_of_a_package_decides_where_no_table_has_it() -> None:
    package = replace(DEBIAN_LIBSSL, version="3.0.13-1~deb12u1", source_version="3.0.13-1~deb12u1")
    use = crypto("3.0.13", Linkage.SYSTEM, package, path="/usr/lib/libssl.so.3")
    fixes = (ChangelogFix("CVE-2024-6119", "3.0.13-1~deb12u1", "Fix CVE-2024-6119"),)
    changelogs = {
        state: PackageChangelog(package, state, "/usr/share/doc/libssl3/changelog.Debian.gz", 50, fixes=fixes)
        for state in (ChangelogState.COMPLETE, ChangelogState.TRUNCATED)
    }
    assessor = Assessor(replace(OPENSSL_ALONE, package_fixes={}), TODAY)

    def status(*changelogs: PackageChangelog) -> dict[str, VexStatus]:
        found = assessor.assess(
            DEBIAN, glibc_host(36), InstallSet((install(use, "/usr/bin/python3"),)), {}, changelogs=changelogs
        )
        return {finding.advisory: finding.status for finding in found.findings}

    assert set(status().values()) == {VexStatus.UNDER_INVESTIGATION}
    cut = status(changelogs[ChangelogState.TRUNCATED])
    assert cut.pop("CVE-2024-6119") is VexStatus.FIXED
    assert set(cut.values()) == {VexStatus.UNDER_INVESTIGATION}
    complete = status(changelogs[ChangelogState.COMPLETE])
    assert complete.pop("CVE-2024-6119") is VexStatus.FIXED
    assert complete["CVE-2024-4741"] is VexStatus.AFFECTED


@pytest.mark.parametrize(
    ("container", "tags", "within"),
    [
        (Container("podman", "ab12", "web", "docker.io/library/python:3.12"), (), "docker.io/library/python:3.12"),
        (Container("podman", "ab12"), (), "container:ab12"),
        (None, ("localhost/web:1",), "localhost/web:1"),
    ],
)
def test_what_lies_in_a_container_is_remedied_in_its_image(
    container: Container | None, tags: tuple[str, ...], within: str
) -> None:
    roots = RootSet((ScannedRoot("container:ab12", RootKind.CONTAINER, container=container, tags=tags),))
    host = _assess_copies(_copy(root="container:ab12"), roots=roots)
    assert all((f.remedy or "").startswith(f"in the image {within}: upgrade the wheel") for f in host.findings)


def test_the_evidence_leads_from_bytes_to_the_verdict() -> None:
    text = Evidence("crypto", EvidenceKind.STRING, "lib/libpython3.12.so.1.0", "OpenSSL 3.5.4 30 Sep 2025", 4096)
    other = Evidence("flags", EvidenceKind.TEXT_LINE, "lib/_sysconfigdata.py", "--enable-optimizations")
    found = Evidence("crypto", EvidenceKind.ELF_NEEDED, "/opt/python/bin/python3.12", "libpython3.12.so.1.0")
    host = _assess(
        install(crypto("3.5.4"), evidence=(found,)),
        builds={digest(1): python_build(provider_build="20260114", evidence=(text, other))},
    )
    finding = next(f for f in host.findings if f.advisory == "CVE-2025-15467")
    assert [item.kind for item in finding.evidence] == [
        EvidenceKind.ELF_NEEDED,
        EvidenceKind.STRING,
        EvidenceKind.PATH,
        EvidenceKind.ADVISORY,
        EvidenceKind.RELEASE_TABLE,
        EvidenceKind.RELEASE_TABLE,
    ]
    assert finding.evidence[2].detail == "openssl 3.5.4, static"


@pytest.mark.parametrize(
    ("package", "builder"),
    [
        (DEBIAN_LIBSSL, "built by the distribution"),
        (VENDOR_PYTHON, "built by a third party (Google)"),
        (STRANGE_PACKAGE, "built by somebody unknown"),
    ],
    ids=["distribution", "vendor", "unknown"],
)
def test_the_evidence_names_the_package_and_who_built_it(package: Package, builder: str) -> None:
    library = CryptoLibrary(CryptoFamily.OPENSSL, None, package)
    host = _assess(install(CryptoUse(Linkage.SYSTEM, "/usr/lib/libcrypto.so.3", library)))
    record = next(e for e in host.installs[0].facts if e.kind is EvidenceKind.PACKAGE_RECORD)
    assert record.detail.endswith(builder)
    assert record.file == "/usr/lib/libcrypto.so.3"


def test_fail_on_counts_what_is_affected_at_least_so_badly() -> None:
    host = _assess(install(crypto("3.5.4")))
    assert {f.severity for f in at_least(host.findings, Severity.HIGH)} == {Severity.HIGH}
    assert len(at_least(host.findings, Severity.CRITICAL)) == 0
    everything = at_least(host.findings, Severity.UNKNOWN)
    assert len(everything) == host.count(VexStatus.AFFECTED)
    system = crypto("3.0.22", Linkage.SYSTEM, DEBIAN_LIBSSL)
    assert at_least(_assess(install(system)).findings, Severity.UNKNOWN) == ()


def test_severities_rise_in_order() -> None:
    assert [s.value for s in sorted(Severity, key=lambda s: s.rank)] == [
        "unknown",
        "low",
        "moderate",
        "high",
        "critical",
    ]


def test_verdicts_are_keyed_by_build_and_made_once_per_platform() -> None:
    assessor = Assessor(load_snapshot(), TODAY)
    executable = build_file("bin/python3.12", FileRole.EXECUTABLE, needs({"libc.so.6": ("GLIBC_2.38",)}))
    builds = {digest(1): python_build(files=(executable,))}
    old, new = glibc_host(36), glibc_host(41)
    blocked = _assess(install(crypto("3.5.4")), builds=builds, platform=old, assessor=assessor)
    runs = _assess(install(crypto("3.5.4")), builds=builds, platform=new, assessor=assessor)
    assert blocked.verdicts["/", digest(1)].state is PortabilityState.BLOCKED
    assert runs.verdicts["/", digest(1)].state is PortabilityState.RUNS
    again = _assess(install(crypto("3.5.4")), builds=builds, platform=glibc_host(36), assessor=assessor)
    assert again.verdicts["/", digest(1)] is blocked.verdicts["/", digest(1)]
    named = assessor.verdict(digest(1), builds[digest(1)], new, platform_digest=digest(9))
    assert assessor.verdict(digest(1), builds[digest(1)], new, platform_digest=digest(9)) is named


def test_a_full_memory_changes_no_verdict(monkeypatch: pytest.MonkeyPatch) -> None:
    installs = [install(crypto(v), f"/{v}") for v in ("3.5.4", "3.0.13", "1.1.1w", "3.5.9")]
    plain = _assess(*installs)
    monkeypatch.setattr(assessment, "MEMORY", 1)
    small = Assessor(OPENSSL_ALONE, TODAY)
    for _ in range(2):
        again = _assess(*installs, assessor=small)
        assert again.findings == plain.findings
        assert again.end_of_life == plain.end_of_life
        assert again.verdicts == plain.verdicts


def test_a_day_changes_the_posture_without_new_facts() -> None:
    one = install(crypto("3.6.5"))
    before = _assess(one, assessor=Assessor(load_snapshot(), date(2026, 11, 1)))
    after = _assess(one, assessor=Assessor(load_snapshot(), date(2026, 11, 2)))
    states = [{e.component: e.state for e in host.end_of_life}[Component.OPENSSL] for host in (before, after)]
    assert states == [SupportState.SUPPORTED, SupportState.ENDED]


def test_words_of_a_newer_agent_leave_verdicts_open_and_crash_nothing() -> None:
    root = ScannedRoot("/srv/new", RootKind.UNKNOWN)
    unknown = install(
        CryptoUse(Linkage.UNKNOWN),
        root="/srv/new",
        implementation=Implementation.UNKNOWN,
        installer=Installer.UNKNOWN,
        kind=InstallKind.UNKNOWN,
    )
    build = replace(python_build(None, Provider.UNKNOWN), implementation=Implementation.UNKNOWN)
    copies = CryptoCopySet(
        (_copy("9.9.9-new", linkage=Linkage.UNKNOWN, root="/srv/new"), _copy("9.9.9-new", root="/x"))
    )
    found = Assessor(load_snapshot(), TODAY).assess(
        DEBIAN,
        glibc_host(),
        InstallSet((unknown,)),
        {digest(1): build},
        crypto_copies=copies,
        roots=RootSet((root,)),
    )
    assert found.findings == ()
    assert {end.state for end in found.end_of_life} == {SupportState.UNKNOWN}
    assert {verdict.state for verdict in found.verdicts.values()} == {PortabilityState.UNKNOWN}


def _python_findings(version: str, provider: Provider, installer: Installer, **more: object) -> dict[str, Finding]:
    build = python_build(version, provider, more.pop("tag", None))  # type: ignore[arg-type]
    found = _assess(
        install(CryptoUse(Linkage.NONE), "/opt/python/bin/python3", installer=installer, **more),  # type: ignore[arg-type]
        builds={digest(1): build},
        assessor=Assessor(load_snapshot(), TODAY),
    )
    assert {finding.component for finding in found.findings} <= {Component.CPYTHON}
    return {finding.advisory: finding for finding in found.findings}


def test_a_python_of_upstream_is_judged_by_the_fixed_release_of_its_branch() -> None:
    old = _python_findings("3.12.11", Provider.PYENV, Installer.PYENV)["CVE-2025-13836"]
    assert (old.status, old.severity, old.fixed_in) == (VexStatus.AFFECTED, Severity.MODERATE, "3.12.13")
    assert old.fix_available == date(2026, 3, 3)
    assert old.remedy == "pyenv install 3.12.13, then make its environments again"
    assert old.linkage is None
    assert "assumed: the source names no beginning" in old.evidence[-2].detail
    assert "CVE-2025-13836" not in _python_findings("3.12.13", Provider.PYENV, Installer.PYENV)


def test_a_branch_that_the_source_does_not_list_is_under_investigation_and_a_later_one_is_not_concerned() -> None:
    ended = _python_findings("3.6.15", Provider.SOURCE, Installer.UNKNOWN)["CVE-2025-13836"]
    assert ended.status is VexStatus.UNDER_INVESTIGATION
    assert "not listed is not safe" in ended.evidence[-1].detail
    assert "CVE-2021-3177" not in _python_findings("3.13.0", Provider.SOURCE, Installer.UNKNOWN)


def test_a_python_build_standalone_is_fixed_by_the_first_build_with_the_fixed_release() -> None:
    found = _python_findings("3.12.11", Provider.PBS, Installer.UV, tag="20250808")["CVE-2025-13836"]
    assert found.status is VexStatus.AFFECTED
    assert found.remedy is not None
    assert found.remedy.startswith("uv self update && uv python upgrade 3.12 (build 2026")
    assert "CPython 3.12.13" in found.remedy
    assert found.fix_available is not None
    assert found.fix_available >= date(2026, 3, 3)


def test_a_distributions_python_is_judged_by_its_table_and_an_environment_like_its_base() -> None:
    old = replace(DEBIAN_PYTHON, version="3.11.2-6+deb12u1", source_version="3.11.2-6+deb12u1")
    for package, status in ((old, VexStatus.AFFECTED), (DEBIAN_PYTHON, VexStatus.FIXED)):
        base = install(CryptoUse(Linkage.NONE), "/usr/bin/python3.11", package=package, installer=Installer.DPKG)
        others = [
            install(
                CryptoUse(Linkage.NONE), f"/srv/{name}/bin/python", kind=InstallKind.VENV, base="/usr/bin/python3.11"
            )
            for name in "ab"
        ]
        linked = [replace(one, realpath="/usr/bin/python3.11") for one in others]
        found = _assess(
            base,
            *linked,
            builds={digest(1): python_build("3.11.2", Provider.DISTRO)},
            assessor=Assessor(load_snapshot(), TODAY),
        )
        # Upstream's first fix of the second was not the whole one: its range ends before this version.
        for advisory in ("CVE-2024-6232", "CVE-2023-24329") if package is old else ("CVE-2024-6232",):
            told = {(f.subject.path, f.status) for f in found.findings if f.advisory == advisory}
            assert told == {
                (path, status) for path in ("/usr/bin/python3.11", "/srv/a/bin/python", "/srv/b/bin/python")
            }
    assert found.installs[0].own_facts[-1].kind is EvidenceKind.PACKAGE_RECORD


def test_a_distributions_python_without_a_known_package_is_nobodys_to_judge() -> None:
    found = _python_findings("3.11.2", Provider.DISTRO, Installer.UNKNOWN)
    assert {finding.status for finding in found.values()} <= {VexStatus.UNDER_INVESTIGATION, VexStatus.NOT_AFFECTED}


def test_what_holds_for_windows_builds_alone_holds_for_no_python_here() -> None:
    found = _python_findings("3.9.0", Provider.SOURCE, Installer.UNKNOWN)
    assert found["CVE-2018-25032"].status is VexStatus.NOT_AFFECTED


def _libc_findings(
    version: str | None, package: Package | None, family: LibcFamily = LibcFamily.GLIBC
) -> dict[str, Finding]:
    host = replace(DEBIAN, libc=Libc(family, version, "/lib/x86_64-linux-gnu/libc.so.6", package))
    found = _assess(builds={}, host=host, assessor=Assessor(load_snapshot(), TODAY))
    return {finding.advisory: finding for finding in found.findings}


def _libc6(version: str) -> Package:
    return replace(DEBIAN_LIBSSL, name="libc6", source="glibc", version=version, source_version=version)


def test_the_c_library_is_judged_by_its_distributions_evidence() -> None:
    old = _libc_findings("2.36", _libc6("2.36-9"))["CVE-2023-4527"]
    new = _libc_findings("2.36", _libc6("2.36-9+deb12u14"))["CVE-2023-4527"]
    assert (old.status, new.status) == (VexStatus.AFFECTED, VexStatus.FIXED)
    assert old.subject == Subject(SubjectKind.LIBC, "/", "/lib/x86_64-linux-gnu/libc.so.6")
    assert old.remedy is not None
    assert old.remedy.startswith("apt-get update && apt-get install --only-upgrade libc6 (glibc 2.36-9+deb12u")
    assert old.evidence[0].detail == "glibc 2.36"


def test_a_c_library_that_nobody_knows_has_no_findings_or_open_ones() -> None:
    assert _libc_findings("1.2.5", None, LibcFamily.MUSL) == {}
    assert _libc_findings(None, None) == {}
    assert {finding.status for finding in _libc_findings("2.36", None).values()} == {VexStatus.UNDER_INVESTIGATION}


def test_the_c_library_of_each_root_is_a_subject_of_its_own() -> None:
    libc = Libc(LibcFamily.GLIBC, "2.36", "/lib/libc.so.6", _libc6("2.36-9"))
    roots = RootSet(
        (
            ScannedRoot("/", RootKind.HOST, os_release=DEBIAN.os_release, libc=libc),
            ScannedRoot("/srv/old", RootKind.FOLDER, "/srv/old", DEBIAN.os_release, libc=libc),
        )
    )
    found = Assessor(load_snapshot(), TODAY).assess(
        replace(DEBIAN, libc=libc), glibc_host(36), InstallSet(()), {}, roots=roots
    )
    assert [item.subject.root for item in found.libcs] == ["/", "/srv/old"]
    assert [item.within for item in found.libcs] == [None, "inside /srv/old"]
    assert found.libcs[0].case is found.libcs[1].case
    assert found.libcs[0].library is None
    assert found.libcs[0].end_of_life == ()


def test_a_finding_tells_how_what_it_is_about_is_reached() -> None:
    machine = fleet.full_machine()
    lone = fleet.crypto_copy("/opt/other/libcrypto.so.3", "3.5.4", None, linkage=Linkage.LOCAL, environment=None)
    machine = replace(machine, copies=(*machine.copies, lone))
    assessment = Assessor(load_snapshot(), fleet.TODAY).assess(
        machine.host,
        machine.platform,
        machine.install_set,
        {fleet.digest_of(one): one for one in machine.builds},
        crypto_copies=machine.copy_set,
        roots=machine.root_set,
    )
    told = {(one.subject.path.rpartition("/")[2], one.component): one.reach for one in assessment.findings}
    assert told["python3.12", Component.OPENSSL] is Reach.TLS_MODULE
    assert told["python3.12", Component.CPYTHON] is Reach.INTERPRETER
    assert told["node", Component.OPENSSL] is Reach.TLS_MODULE
    assert told["_rust.abi3.so", Component.OPENSSL] is Reach.EXTRA_COPY
    assert told["libcrypto.so.3", Component.OPENSSL] is Reach.PRESENT
    assert told["libc.so.6", Component.GLIBC] is Reach.LIBC
