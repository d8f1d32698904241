from __future__ import annotations

import platform as running
import sysconfig
from dataclasses import replace

import pytest
from packaging import tags as packaging_tags
from packaging.utils import parse_wheel_filename

from libcensus.collector.posture.offer import Offer, OfferedPython, pythons_of
from libcensus.collector.posture.verdict import ReasonKind
from libcensus.collector.posture.wheel import _accepted, arch_of, installing, platform_tags
from libcensus.facts.artefact import Artefact, WheelTag
from libcensus.facts.interpreter import Build, InstallSet
from libcensus.facts.platform import Platform
from libcensus.facts.vocabulary import (
    ArtefactKind,
    FileRole,
    Implementation,
    InstallKind,
    LibcFamily,
    Provider,
)

from .facts import GLIBC_LOADER, MUSL_LOADER, build_file, crypto, digest, glibc_host, install, musl_host, needs

CPYTHON, PYPY = Implementation.CPYTHON, Implementation.PYPY
GLIBC, MUSL = LibcFamily.GLIBC, LibcFamily.MUSL


def _python(
    version: str = "3.12.4", *, abiflags: str = "", libc: LibcFamily = GLIBC, arch: str = "x86_64"
) -> OfferedPython:
    return OfferedPython(CPYTHON, version, arch, libc, abiflags)


def _pypy(version: str = "3.10") -> OfferedPython:
    return OfferedPython(PYPY, version, "x86_64", GLIBC)


def _wheel(name: str, requires_python: str | None = None) -> Artefact:
    tags = sorted(WheelTag(t.interpreter, t.abi, t.platform) for t in parse_wheel_filename(f"x-1-{name}.whl")[3])
    return Artefact(name, ArtefactKind.WHEEL_NAME, tags=tuple(tags), requires_python=requires_python)


@pytest.mark.parametrize(
    ("wheel", "pythons", "platform", "kind", "needed"),
    [
        ("py3-none-any", [_python()], glibc_host(), None, None),
        ("py2.py3-none-any", [_python("3.6.9")], glibc_host(), None, None),
        ("py3-none-any", [], glibc_host(), ReasonKind.PYTHON, "Python 3"),
        ("py310-none-any", [_python("3.9.2")], glibc_host(), ReasonKind.PYTHON, "Python 3.10 or newer"),
        ("py310-none-any", [_python("3.12.4")], glibc_host(), None, None),
        ("cp312-cp312-manylinux_2_17_x86_64", [_python()], glibc_host(31), None, None),
        ("cp312-cp312-manylinux2014_x86_64", [_python()], glibc_host(31), None, None),
        ("cp312-cp312-manylinux1_x86_64", [_python()], glibc_host(31), None, None),
        ("cp312-cp312-manylinux_2_31_x86_64", [_python()], glibc_host(31), None, None),
        ("cp312-cp312-manylinux_2_32_x86_64", [_python()], glibc_host(31), ReasonKind.TAG, "manylinux_2_32_x86_64"),
        (
            "cp312-cp312-manylinux_2_34_x86_64.manylinux_2_32_x86_64",
            [_python()],
            glibc_host(31),
            ReasonKind.TAG,
            "manylinux_2_32_x86_64",
        ),
        ("cp312-cp312-linux_x86_64", [_python()], glibc_host(31), None, None),
        ("cp312-cp312-manylinux_2_17_x86_64", [_python("3.11.2")], glibc_host(), ReasonKind.PYTHON, "CPython 3.12"),
        ("cp39-abi3-manylinux_2_17_x86_64", [_python("3.11.2")], glibc_host(), None, None),
        (
            "cp312-abi3-manylinux_2_17_x86_64",
            [_python("3.11.2")],
            glibc_host(),
            ReasonKind.PYTHON,
            "CPython 3.12 or newer",
        ),
        (
            "cp39-abi3-manylinux_2_17_x86_64",
            [_python("3.13.2", abiflags="t")],
            glibc_host(),
            ReasonKind.PYTHON,
            "CPython 3.9 or newer",
        ),
        ("cp313-cp313t-manylinux_2_17_x86_64", [_python("3.13.2", abiflags="t")], glibc_host(), None, None),
        (
            "cp313-cp313t-manylinux_2_17_x86_64",
            [_python("3.13.2")],
            glibc_host(),
            ReasonKind.PYTHON,
            "CPython 3.13 free-threaded",
        ),
        ("cp313-cp313-manylinux_2_17_x86_64", [_python("3.13.2", abiflags="d")], glibc_host(), None, None),
        ("cp313-none-any", [_python("3.13.2", abiflags="t")], glibc_host(), None, None),
        ("pp310-pypy310_pp73-manylinux_2_17_x86_64", [_pypy()], glibc_host(), None, None),
        ("pp310-pypy310_pp73-manylinux_2_17_x86_64", [_python()], glibc_host(), ReasonKind.PYTHON, "PyPy 3.10"),
        ("py3-none-manylinux_2_17_x86_64", [_pypy()], glibc_host(), None, None),
        ("cp312-cp312-manylinux_2_17_aarch64", [_python()], glibc_host(), ReasonKind.ARCH, "aarch64"),
        ("cp312-cp312-win_amd64", [_python()], glibc_host(), ReasonKind.TAG, "win_amd64"),
        ("cp312-cp312-macosx_11_0_arm64", [_python()], glibc_host(), ReasonKind.TAG, "macosx_11_0_arm64"),
        ("cp312-cp312-musllinux_1_2_x86_64", [_python(libc=MUSL)], musl_host(), None, None),
        ("cp312-cp312-musllinux_1_2_x86_64", [_python()], glibc_host(), ReasonKind.TAG, "musllinux_1_2_x86_64"),
        (
            "cp312-cp312-manylinux_2_17_x86_64",
            [_python(libc=MUSL)],
            musl_host(),
            ReasonKind.TAG,
            "manylinux_2_17_x86_64",
        ),
        ("cp312-cp312-manylinux_2_17_i686", [_python(arch="i386")], glibc_host(arch="i386"), None, None),
        ("cp312-cp312-manylinux_2_31_armv7l", [_python(arch="arm")], glibc_host(arch="arm"), None, None),
        (
            "cp312-cp312-manylinux_2_31_armv6l",
            [_python(arch="arm")],
            glibc_host(arch="arm"),
            ReasonKind.ARCH,
            "armv6l",
        ),
    ],
)
def test_an_installer_accepts_or_refuses_a_wheel(
    wheel: str, pythons: list[OfferedPython], platform: Platform, kind: ReasonKind | None, needed: str | None
) -> None:
    reasons, fitting = installing(_wheel(wheel), Offer.of(platform), pythons)
    assert [(reason.kind, reason.needs) for reason in reasons] == ([] if kind is None else [(kind, needed)])
    assert bool(fitting) is (kind is None)
    assert all(reason.known and reason.remedy for reason in reasons)


def test_requires_python_is_asked_of_each_python() -> None:
    offer = Offer.of(glibc_host())
    wheel = _wheel("py3-none-any", ">=3.10,!=3.11.2")
    old, hit, fits, early = _python("3.9.2"), _python("3.11.2"), _python("3.12.4"), _python("3.15.0a2")
    assert installing(wheel, offer, [old, hit, fits, early]) == ([], (fits, early))
    (reason,) = installing(wheel, offer, [hit, old])[0]
    assert (reason.kind, reason.needs) == (ReasonKind.PYTHON, "Python 3 (>=3.10,!=3.11.2)")
    assert reason.has == "CPython 3.9.2, CPython 3.11.2"


def test_a_specifier_that_is_none_leaves_it_unknown() -> None:
    (reason,) = installing(_wheel("py3-none-any", "three"), Offer.of(glibc_host()), [_python()])[0]
    assert (reason.kind, reason.known) == (ReasonKind.PYTHON, False)


def test_without_any_knowledge_of_pythons_the_platform_alone_is_judged() -> None:
    offer = Offer.of(glibc_host(31))
    assert installing(_wheel("cp399-cp399-manylinux_2_17_x86_64", ">=9"), offer, None) == ([], ())
    assert installing(_wheel("py3-none-any"), offer, None) == ([], ())
    ((reason,), _) = installing(_wheel("cp312-cp312-manylinux_2_36_x86_64"), offer, None)
    assert (reason.kind, reason.needs, reason.has) == (
        ReasonKind.TAG,
        "manylinux_2_36_x86_64",
        "manylinux_2_31_x86_64",
    )


def test_where_the_libc_is_unknown_the_tags_are_unknown() -> None:
    nothing_known = Offer.of(Platform(arch="x86_64"))
    reasons, fitting = installing(_wheel("cp312-cp312-manylinux_2_17_x86_64"), nothing_known, None)
    assert [(reason.kind, reason.known) for reason in reasons] == [(ReasonKind.TAG, False)]
    assert fitting == ()
    python = OfferedPython(CPYTHON, "3.12.4", "x86_64", LibcFamily.UNKNOWN)
    reasons, fitting = installing(_wheel("cp312-cp312-manylinux_2_17_x86_64"), nothing_known, [python])
    assert [(reason.kind, reason.known) for reason in reasons] == [(ReasonKind.TAG, False)]


@pytest.mark.parametrize(
    ("wheel", "state"),
    [
        ("cp312-cp312-manylinux_2_17_x86_64", True),
        ("cp312-cp312-musllinux_1_2_x86_64", False),
        ("cp312-cp312-linux_x86_64", None),
        ("cp312-cp312-win_amd64", True),
    ],
)
def test_of_a_musl_without_a_version_only_the_family_is_judged(wheel: str, state: bool | None) -> None:
    offer = Offer.of(Platform(arch="x86_64", libc_family=MUSL))
    reasons, _ = installing(_wheel(wheel), offer, None)
    assert [reason.known for reason in reasons] == ([] if state is None else [state])


def test_a_python_of_the_other_libc_may_install_what_is_for_that_and_one_of_no_version_nothing() -> None:
    offer = Offer.of(glibc_host())
    for name, known in (
        ("cp312-cp312-musllinux_1_2_x86_64", False),
        ("cp312-cp312-musllinux_1_2_aarch64", True),
        ("cp311-cp311-musllinux_1_2_x86_64", True),
        ("cp312-cp312-manylinux_2_17_x86_64", True),
    ):
        reasons, fitting = installing(_wheel(name), offer, [_python(libc=MUSL)])
        assert [reason.known for reason in reasons] == [known]
        assert fitting == ()
    for version in ("", "strange", "3"):
        reasons, fitting = installing(_wheel("cp312-cp312-manylinux_2_17_x86_64"), offer, [_python(version)])
        assert [reason.kind for reason in reasons] == [ReasonKind.PYTHON]
        assert fitting == ()


def test_a_wheel_of_another_interpreter_tells_its_tag() -> None:
    (reason,) = installing(_wheel("jy27-none-any"), Offer.of(glibc_host()), [_python()])[0]
    assert (reason.kind, reason.needs) == (ReasonKind.PYTHON, "jy27")


def test_an_old_python_has_the_m_in_its_abi() -> None:
    offer = Offer.of(glibc_host())
    assert installing(_wheel("cp37-cp37m-manylinux_2_17_x86_64"), offer, [_python("3.7.3")])[0] == []
    assert installing(_wheel("cp37-cp37-manylinux_2_17_x86_64"), offer, [_python("3.7.3")])[0] != []


def test_an_environment_wants_the_line_of_its_python() -> None:
    offer = Offer.of(glibc_host())
    made = Artefact("venv", ArtefactKind.ENVIRONMENT, implementation=PYPY, version="3.10.14")
    assert installing(made, offer, [_python("3.10.2"), _pypy("3.10")]) == ([], (_pypy("3.10"),))
    (reason,) = installing(made, offer, [_python("3.10.2")])[0]
    assert reason.needs == "PyPy for Python ==3.10.*"
    assert reason.remedy is not None
    assert reason.remedy.startswith("install PyPy for Python 3.10")
    (reason,) = installing(made, offer, [_pypy("3.9")])[0]
    assert reason.remedy is not None
    assert reason.remedy.endswith("or make the environment again with a Python that is there")
    here = replace(made, home="/opt/pypy/bin/")
    found = [replace(_pypy("3.10"), folders=folders) for folders in (("/opt/pypy/bin",), ("/usr/bin",), ())]
    assert installing(here, offer, found)[1] == tuple(sorted((found[0], found[2])))
    (reason,) = installing(here, offer, [found[1]])[0]
    assert (reason.needs, reason.remedy) == (
        "PyPy for Python ==3.10.* in /opt/pypy/bin/",
        "install PyPy for Python 3.10, or make the environment again with a Python that is there",
    )
    assert reason.has == "PyPy for Python 3.10 in /usr/bin"
    unknown = Artefact("venv", ArtefactKind.ENVIRONMENT)
    assert installing(unknown, offer, [_pypy("3.9")]) == ([], ())


def test_what_is_no_wheel_asks_for_no_python() -> None:
    program = Artefact("x", ArtefactKind.EXECUTABLE)
    assert installing(program, Offer.of(glibc_host()), []) == ([], ())


@pytest.mark.parametrize(
    ("tag", "arch"),
    [
        ("manylinux_2_17_x86_64", "x86_64"),
        ("manylinux2014_i686", "i386"),
        ("manylinux1_x86_64", "x86_64"),
        ("musllinux_1_2_aarch64", "aarch64"),
        ("linux_armv7l", "arm"),
        ("any", None),
        ("win_amd64", None),
        ("macosx_10_9_x86_64", None),
    ],
)
def test_the_architecture_of_a_platform_tag(tag: str, arch: str | None) -> None:
    assert arch_of(tag) == arch


def test_the_running_python_accepts_exactly_what_packaging_says_of_it() -> None:
    libc, version = running.libc_ver()
    assert libc == "glibc"
    arch = running.machine()
    tags = platform_tags(arch, GLIBC, version)
    assert tags is not None
    assert sorted(tags) == sorted(packaging_tags.platform_tags())
    flags = "t" if sysconfig.get_config_var("Py_GIL_DISABLED") else ""
    python = OfferedPython(CPYTHON, running.python_version(), arch, GLIBC, flags)
    assert _accepted(python, tags) == frozenset(map(str, packaging_tags.sys_tags()))


@pytest.mark.parametrize(
    ("arch", "libc", "version", "first"),
    [
        ("x86_64", GLIBC, "2.36", "manylinux_2_36_x86_64"),
        ("x86_64", MUSL, "1.2.5", "musllinux_1_2_x86_64"),
        ("aarch64", GLIBC, "2.36", "manylinux_2_36_aarch64"),
        (None, GLIBC, "2.36", None),
        ("x86_64", GLIBC, None, None),
        ("x86_64", GLIBC, "strange", None),
        ("x86_64", LibcFamily.UNKNOWN, "1.2", None),
    ],
)
def test_platform_tags_of_a_libc(arch: str | None, libc: LibcFamily, version: str | None, first: str | None) -> None:
    tags = platform_tags(arch, libc, version)
    assert (None if tags is None else tags[0]) == first


def _build(version: str | None, loader: str | None, *flags: str, implementation: Implementation = CPYTHON) -> Build:
    executable = build_file("bin/python", FileRole.EXECUTABLE, needs(loader=loader))
    library = build_file("lib/libpython.so.1.0", FileRole.LIBRARY, needs(), "libpython.so.1.0")
    return Build(implementation, version, "x86_64", Provider.PBS, None, flags, (executable, library))


def test_the_pythons_of_a_host_are_its_bases_at_its_own_root() -> None:
    builds = {
        digest(1): _build("3.12.4", GLIBC_LOADER),
        digest(2): _build("3.13.0", MUSL_LOADER, "debug", "free-threaded"),
        digest(3): _build("7.3.17", None, "python-3.10", implementation=PYPY),
        digest(4): _build("20.1.0", GLIBC_LOADER, implementation=Implementation.NODEJS),
        digest(5): _build(None, GLIBC_LOADER),
    }
    installs = [
        install(
            crypto("3.0.0"),
            f"/opt/{number}",
            build=digest(number),
            implementation=builds[digest(number)].implementation,
        )
        for number in range(1, 6)
    ]
    installs.append(
        install(crypto("3.0.0"), "/srv/venv/bin/python", build=digest(1), kind=InstallKind.VENV, base="/opt/1")
    )
    installs.append(install(crypto("3.0.0"), "/usr/bin/python3", build=digest(1), root="/var/container"))
    installs.append(install(crypto("3.0.0"), "/opt/unread/python", build=None))
    found = pythons_of(InstallSet(tuple(sorted(installs, key=lambda one: (one.root, one.path)))), builds)
    sonames = ("libpython.so.1.0",)
    assert found == {
        OfferedPython(CPYTHON, "3.12.4", "x86_64", GLIBC, "", sonames, ("/opt",)),
        OfferedPython(CPYTHON, "3.13.0", "x86_64", MUSL, "td", sonames, ("/opt",)),
        OfferedPython(PYPY, "3.10", "x86_64", LibcFamily.UNKNOWN, "", sonames, ("/opt",)),
    }
