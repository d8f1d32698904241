"""Known behaviours of builds: each rule of the snapshot on facts that have it, and on facts that nearly have it."""

from __future__ import annotations

from dataclasses import replace

import pytest

from libcensus.collector.advisories.snapshot import load_snapshot
from libcensus.collector.posture.finding import Subject, SubjectKind
from libcensus.collector.posture.quirks import (
    KnownQuirk,
    Quirk,
    QuirkRule,
    QuirkTable,
    SeenQuirk,
    Span,
    quirks_of,
    seen_quirks,
)
from libcensus.facts.crypto import CryptoUse
from libcensus.facts.interpreter import Build, BuildFile, Install, InstallSet
from libcensus.facts.package import Package
from libcensus.facts.requirement import Requirement
from libcensus.facts.vocabulary import (
    FileRole,
    Implementation,
    Installer,
    InstallKind,
    Linkage,
    LoaderKind,
    PackageOrigin,
    Provider,
)
from tests.collector.posture.facts import DEBIAN_PYTHON, build_file, digest, install

TABLE = load_snapshot().quirks
WITHOUT = CryptoUse(Linkage.NONE)
FEDORA_PYTHON = Package(
    "rpm", "python3", "3.13.9-1.fc43", "python3.13", "3.13.9-1.fc43", None, PackageOrigin.DISTRIBUTION, "Fedora Project"
)
GLIBC = build_file("bin/python3", FileRole.EXECUTABLE, Requirement(loader_kind=LoaderKind.GLIBC))
MUSL = build_file("bin/python3", FileRole.EXECUTABLE, Requirement(loader_kind=LoaderKind.MUSL))
STATIC = build_file("bin/python3", FileRole.EXECUTABLE, Requirement(loader_kind=LoaderKind.NONE))
CRYPT = Requirement(loader_kind=LoaderKind.GLIBC, sonames=("libc.so.6", "libcrypt.so.1"))
ALL_MODULES = ("_bz2", "_ctypes", "_curses", "_lzma", "_sqlite3", "_ssl", "readline")


def built(
    provider: Provider = Provider.PBS,
    version: str | None = "3.12.12",
    mark: str | None = None,
    flags: tuple[str, ...] = (),
    *files: BuildFile,
    of: Implementation = Implementation.CPYTHON,
) -> Build:
    return Build(of, version, "x86_64", provider, mark, tuple(sorted(flags)), tuple(sorted(files, key=_path)))


def _path(file: BuildFile) -> str:
    return file.path


def modules(*names: str) -> tuple[BuildFile, ...]:
    folder = "lib/python3.13/lib-dynload"
    return tuple(build_file(f"{folder}/{name}.cpython-313-x86_64-linux-gnu.so", FileRole.MODULE) for name in names)


def put(
    installer: Installer = Installer.UNKNOWN, kind: InstallKind = InstallKind.BASE, package: Package | None = None
) -> Install:
    return install(WITHOUT, installer=installer, kind=kind, package=package)


UV, ANYHOW, VENV = put(Installer.UV), put(), put(kind=InstallKind.VENV)
DPKG = put(Installer.DPKG, package=DEBIAN_PYTHON)
DEBIAN = built(Provider.DISTRO, "3.11.2", "3.11.2-6+deb12u9", (), *modules("_ssl", "_sqlite3"))
MINIMAL = built(Provider.DISTRO, "3.11.2", "3.11.2-6+deb12u9", (), *modules("_hashlib", "_ssl"))
PYENV = built(Provider.PYENV, "3.13.0", None, ("shared",), *modules(*ALL_MODULES))
PYPY = built(Provider.UPSTREAM, "7.3.20", None, of=Implementation.PYPY)
CONDA_NODE = built(Provider.CONDA, "24.1.0", of=Implementation.NODEJS)

Facts = tuple[Install, Build]

CASES: dict[str, tuple[tuple[Facts, ...], tuple[Facts, ...]]] = {
    "pbs-libedit": (
        ((UV, built(version="3.10.0rc1")), (VENV, built(version="3.14.0"))),
        ((UV, built(version="3.9.25")), (UV, built(version=None)), (ANYHOW, built(Provider.PYENV))),
    ),
    "pbs-terminfo": (
        ((UV, built(mark="20240224")), (VENV, built(mark="20260127"))),
        ((UV, built(mark="20240107")), (UV, built(mark=None)), (UV, built(mark="of 2026"))),
    ),
    "pbs-no-terminfo": (
        ((UV, built(mark="20240107")), (ANYHOW, built(mark="20200418T2243"))),
        ((UV, built(mark="20240224")), (UV, built(mark=None))),
    ),
    "pbs-build-paths": (
        ((put(Installer.MISE), built()), (ANYHOW, built())),
        ((UV, built()), (VENV, built()), (put(Installer.PYENV), built(Provider.PYENV))),
    ),
    "pbs-static": (
        ((ANYHOW, built(Provider.PBS, "3.12.1", None, ("lto", "static"), STATIC)),),
        (
            (ANYHOW, built(Provider.PBS, "3.12.1", None, ("lto",), MUSL)),
            (ANYHOW, built(Provider.SOURCE, flags=("static",))),
        ),
    ),
    "pbs-musl": (
        ((UV, built(Provider.PBS, "3.13.1", "20250311", (), MUSL)),),
        (
            (UV, built(Provider.PBS, "3.13.1", "20250311", (), GLIBC)),
            (UV, built(Provider.PBS, "3.13.1", "20250106", ("static",), STATIC)),
            (put(Installer.APK), built(Provider.DISTRO, "3.12.1", None, (), MUSL)),
        ),
    ),
    "pbs-x86-64-level": (
        ((UV, built(flags=("pgo", "x86-64-v3"))), (VENV, built(flags=("x86-64-v4",)))),
        ((UV, built(flags=("pgo",))), (DPKG, built(Provider.DISTRO, flags=("x86-64-v2",)))),
    ),
    "pbs-libcrypt": (
        (
            (UV, built(Provider.PBS, "3.11.1", None, (), build_file("bin/python3", FileRole.EXECUTABLE, CRYPT))),
            (UV, built(Provider.PBS, "3.11.1", None, (), build_file("lib/libpython3.so", FileRole.LIBRARY, CRYPT))),
        ),
        (
            (UV, built(Provider.PBS, "3.11.9", None, (), GLIBC, build_file("lib/_crypt.so", FileRole.MODULE, CRYPT))),
            (UV, built(Provider.PBS, "3.11.1", "20230507")),
        ),
    ),
    "pbs-libx11": (
        ((UV, built(mark="20220318")),),
        ((UV, built(mark="20220502")), (UV, built(mark=None)), (ANYHOW, built(Provider.SOURCE, mark="20220318"))),
    ),
    "uv-externally-managed": (
        ((UV, built()), (UV, PYPY)),
        (
            (put(Installer.UV, InstallKind.VENV), built()),
            (put(Installer.MISE), built()),
            (UV, built(Provider.PYPI)),
        ),
    ),
    "debian-split-library": (
        ((DPKG, DEBIAN), (DPKG, MINIMAL)),
        (
            (VENV, DEBIAN),
            (put(Installer.RPM), DEBIAN),
            (DPKG, built(Provider.VENDOR)),
            (DPKG, built(Provider.DISTRO, "2.7.18")),
        ),
    ),
    "debian-minimal": (
        ((DPKG, MINIMAL),),
        ((DPKG, DEBIAN), (DPKG, built(Provider.DISTRO, "3.11.2")), (put(Installer.RPM), MINIMAL)),
    ),
    "debian-dist-packages": (
        ((DPKG, DEBIAN), (DPKG, built(Provider.DISTRO, "3.5.3"))),
        ((DPKG, built(Provider.DISTRO, "2.7.18")), (VENV, DEBIAN), (DPKG, built(Provider.VENDOR))),
    ),
    "debian-externally-managed": (
        ((DPKG, DEBIAN), (DPKG, built(Provider.DISTRO, "3.13.5"))),
        ((DPKG, built(Provider.DISTRO, "3.11.0rc1")), (DPKG, built(Provider.DISTRO, "3.9.2")), (VENV, DEBIAN)),
    ),
    "fedora-usr-local": (
        ((put(Installer.RPM, package=FEDORA_PYTHON), built(Provider.DISTRO, "3.13.9")),),
        (
            (put(Installer.RPM, package=replace(FEDORA_PYTHON, vendor="SUSE LLC")), built(Provider.DISTRO, "3.13.9")),
            (put(Installer.RPM, package=replace(FEDORA_PYTHON, vendor=None)), built(Provider.DISTRO, "3.13.9")),
            (put(Installer.RPM), built(Provider.DISTRO, "3.13.9")),
            (put(Installer.RPM, package=FEDORA_PYTHON), built(Provider.DISTRO, "2.7.18")),
        ),
    ),
    "musl-wheels": (
        (
            (put(Installer.APK), built(Provider.DISTRO, "3.12.1", None, (), MUSL)),
            (VENV, built(Provider.DOCKER_OFFICIAL, "3.13.1", None, (), MUSL)),
        ),
        (
            (UV, built(Provider.PBS, "3.13.1", None, (), GLIBC)),
            (UV, built(Provider.PBS, "3.13.1", None, ("static",), STATIC)),
            (UV, built(Provider.PBS, "3.13.1", None, (), build_file("lib/_x.so", FileRole.MODULE, MUSL.requirement))),
            (UV, built(Provider.PBS, "3.13.1", None, (), replace(MUSL, requirement=None))),
        ),
    ),
    "docker-beside-distribution": (
        ((ANYHOW, built(Provider.DOCKER_OFFICIAL)), (VENV, built(Provider.DOCKER_OFFICIAL))),
        (
            (ANYHOW, built(Provider.SOURCE)),
            (ANYHOW, built(Provider.DOCKER_OFFICIAL, "24.1.0", of=Implementation.NODEJS)),
        ),
    ),
    "conda-own-libraries": (
        ((put(Installer.CONDA), built(Provider.CONDA)), (put(Installer.CONDA), CONDA_NODE)),
        ((put(Installer.CONDA), built(Provider.UNKNOWN)),),
    ),
    "conda-pip": (
        ((put(Installer.CONDA), built(Provider.CONDA)),),
        ((VENV, built(Provider.CONDA)), (put(Installer.CONDA), CONDA_NODE)),
    ),
    "pyenv-missing-modules": (
        (
            (put(Installer.PYENV), built(Provider.PYENV, "3.13.0", None, (), *modules(*ALL_MODULES[1:]))),
            (VENV, built(Provider.PYENV, "3.13.0", None, (), *modules("_ssl"))),
        ),
        (
            (put(Installer.PYENV), PYENV),
            (put(Installer.PYENV), built(Provider.PYENV, "3.13.0")),
            (put(Installer.PYENV), built(Provider.PYENV, "2.7.18", None, (), *modules("_ssl"))),
        ),
    ),
    "nix-no-library-path": (
        ((put(Installer.NIX), built(Provider.NIX)), (VENV, built(Provider.NIX))),
        ((put(Installer.NIX), built(Provider.UNKNOWN)),),
    ),
    "pypy-lifetimes": (
        ((UV, PYPY), (DPKG, built(Provider.DISTRO, "7.3.11", of=Implementation.PYPY))),
        ((UV, built()),),
    ),
    "free-threaded-abi": (
        ((UV, built(version="3.13.1", flags=("free-threaded", "pgo"))), (VENV, built(flags=("free-threaded",)))),
        ((UV, built(version="3.13.1", flags=("pgo",))),),
    ),
    "debug-build": (
        ((DPKG, built(Provider.DISTRO, "3.8.0", flags=("debug",))), (UV, built(version="3.14.0", flags=("debug",)))),
        ((UV, built(version="3.7.17", flags=("debug",))), (UV, built()), (UV, built(version=None, flags=("debug",)))),
    ),
    "debug-abi": (
        ((DPKG, built(Provider.DISTRO, "3.7.17", flags=("debug",))),),
        ((DPKG, built(Provider.DISTRO, "3.8.0a1", flags=("debug",))), (UV, built(version="3.7.17"))),
    ),
}


def ids_of(facts: Facts) -> set[str]:
    return {quirk.id for quirk in quirks_of(*facts, TABLE)}


def test_every_quirk_has_its_cases() -> None:
    assert CASES.keys() == {known.quirk.id for known in TABLE.quirks}
    assert all(held and nearly for held, nearly in CASES.values())


@pytest.mark.parametrize(
    ("quirk", "facts"),
    [
        pytest.param(quirk, facts, id=f"{quirk}-{n}")
        for quirk, (held, _) in CASES.items()
        for n, facts in enumerate(held)
    ],
)
def test_a_quirk_is_told_of_facts_that_have_it(quirk: str, facts: Facts) -> None:
    assert quirk in ids_of(facts)


@pytest.mark.parametrize(
    ("quirk", "facts"),
    [
        pytest.param(quirk, facts, id=f"{quirk}-{n}")
        for quirk, (_, near) in CASES.items()
        for n, facts in enumerate(near)
    ],
)
def test_a_quirk_is_not_told_of_facts_that_nearly_have_it(quirk: str, facts: Facts) -> None:
    assert quirk not in ids_of(facts)


def test_nothing_is_told_of_a_build_that_could_not_be_read_or_that_tells_nothing() -> None:
    assert quirks_of(DPKG, None, TABLE) == ()
    silent = Build(Implementation.UNKNOWN, None, None, Provider.UNKNOWN, None, (), ())
    assert quirks_of(put(kind=InstallKind.UNKNOWN), silent, TABLE) == ()


def test_quirks_of_a_host_name_every_install_that_has_them_in_order() -> None:
    one = replace(UV, build=digest(1), path="/a/bin/python3")
    two = replace(VENV, build=digest(1), path="/b/bin/python3")
    gone = replace(VENV, build=digest(9), path="/c/bin/python3")
    none = replace(VENV, build=None, path="/d/bin/python3")
    seen = seen_quirks(InstallSet((one, two, gone, none)), {digest(1): built(mark="20260127")}, TABLE)
    assert {item.quirk.id: [subject.path for subject in item.subjects] for item in seen} == {
        "pbs-libedit": ["/a/bin/python3", "/b/bin/python3"],
        "pbs-terminfo": ["/a/bin/python3", "/b/bin/python3"],
        "uv-externally-managed": ["/a/bin/python3"],
    }
    order = [known.quirk.id for known in TABLE.quirks]
    assert [item.quirk.id for item in seen] == sorted((item.quirk.id for item in seen), key=order.index)
    assert seen[0].subjects[0] == Subject(SubjectKind.INSTALL, "/", "/a/bin/python3")
    assert seen_quirks(InstallSet(), {}, TABLE) == ()


QUIRK = Quirk("a-b", "Something", "It means this.", "Do that.", "https://example.org/a")
RULE = QuirkRule(implementations=frozenset({Implementation.CPYTHON}))


@pytest.mark.parametrize(
    ("made", "problem"),
    [
        (QuirkRule, "needs a condition"),
        (lambda: QuirkRule(providers=frozenset({Provider.UNKNOWN})), "not known is no condition"),
        (lambda: QuirkRule(versions=Span("3.8")), "implementations to be cpython alone"),
        (lambda: replace(RULE, versions=Span("3.x")), "'3.x' has not the form"),
        (lambda: replace(RULE, versions=Span("3.8", "3.8")), "3.8 does not lie before 3.8"),
        (lambda: replace(RULE, builds=Span("20240224")), "providers to be pbs alone"),
        (lambda: QuirkRule(providers=frozenset({Provider.PBS}), builds=Span("3.12")), "'3.12' has not the form"),
        (lambda: QuirkRule(installers=frozenset({Installer.UV})), "kinds must be base"),
        (lambda: QuirkRule(vendors=frozenset({"Fedora Project"})), "kinds must be base"),
        (lambda: QuirkRule(lacks_module=frozenset({"_ssl.so"})), "'_ssl.so' is no name of a module"),
        (Span, "needs since or before"),
        (lambda: KnownQuirk(replace(QUIRK, id="A b"), RULE), "'A b' is no id"),
        (lambda: KnownQuirk(replace(QUIRK, title="So."), RULE), "title"),
        (lambda: KnownQuirk(replace(QUIRK, means="this"), RULE), "means is no sentence"),
        (lambda: KnownQuirk(replace(QUIRK, advice=""), RULE), "advice is no sentence"),
        (lambda: KnownQuirk(replace(QUIRK, source="http://example.org"), RULE), "no https address"),
    ],
)
def test_a_rule_or_quirk_that_cannot_be_true_is_refused(made: object, problem: str) -> None:
    assert callable(made)
    with pytest.raises(ValueError, match=problem):
        made()


def test_a_table_tells_quirks_in_its_own_order() -> None:
    first, second = KnownQuirk(replace(QUIRK, id="z"), RULE), KnownQuirk(replace(QUIRK, id="a"), RULE)
    assert [quirk.id for quirk in quirks_of(UV, built(), QuirkTable((first, second)))] == ["z", "a"]
    seen = seen_quirks(InstallSet((UV,)), {digest(1): built()}, QuirkTable((first, second)))
    assert seen == tuple(SeenQuirk(known.quirk, seen[0].subjects) for known in (first, second))
