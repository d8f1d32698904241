"""What blocks an artefact, what only takes a module from it, and what stays unknown."""

from __future__ import annotations

from datetime import date
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from libcensus.collector.posture.advice import Advice
from libcensus.collector.posture.catalogue import PbsBuild
from libcensus.collector.posture.offer import Offer, OfferedPython
from libcensus.collector.posture.portability import check_artefact
from libcensus.collector.posture.verdict import PortabilityState, Verdict
from libcensus.facts.artefact import Artefact, ArtefactFile, WheelTag
from libcensus.facts.platform import Platform
from libcensus.facts.vocabulary import ArtefactKind, FileRole, Implementation, LibcFamily

from .facts import GLIBC_LOADER, MUSL_LOADER, build_file, glibc_host, musl_host, needs, python_build

if TYPE_CHECKING:
    from libcensus.facts.requirement import Requirement

RUNS, BLOCKED, UNKNOWN = PortabilityState.RUNS, PortabilityState.BLOCKED, PortabilityState.UNKNOWN
EXECUTABLE, LIBRARY, MODULE = FileRole.EXECUTABLE, FileRole.LIBRARY, FileRole.MODULE
CPYTHON = Implementation.CPYTHON

OLD = needs({"libc.so.6": ("GLIBC_2.17",)})
NEW = needs({"libc.so.6": ("GLIBC_2.38",)})
STARTS = needs({"libc.so.6": ("GLIBC_2.17",)}, loader=GLIBC_LOADER)
WITHOUT_SSL = needs(sonames=("libc.so.6", "libssl.so.3"))
AARCH64 = needs(sonames=("libc.so.6",), arch="aarch64")
ON_MUSL = needs(sonames=("libc.so",))
UNSURE = needs(sonames=("libfoo.so.1",), runpath=("/opt/vendor/lib",))

HOST = Offer.of(glibc_host(36))
PYTHON = OfferedPython(CPYTHON, "3.12.4", "x86_64", LibcFamily.GLIBC, "", ("libpython3.12.so.1.0",))
PURE = (WheelTag("py3", "none", "any"),)
COMPILED = (WheelTag("cp312", "cp312", "manylinux_2_17_x86_64"),)


def _artefact(kind: ArtefactKind, *files: ArtefactFile, **more: object) -> Artefact:
    if kind is ArtefactKind.WHEEL:
        more.setdefault("tags", COMPILED)
    return Artefact("it", kind, tuple(sorted(files, key=lambda file: file.path)), **more)  # type: ignore[arg-type]


def _file(path: str, role: FileRole, requirement: Requirement, *uses: str, stray: tuple[str, ...] = ()) -> ArtefactFile:
    return ArtefactFile(path, role, requirement, uses, stray)


def _told(verdict: Verdict) -> tuple[PortabilityState, list[str], list[str]]:
    return (
        verdict.state,
        [f"{'' if r.known else '?'}{r.needs} in {r.file}" for r in verdict.reasons],
        [f"{'' if r.known else '?'}{r.module}: {r.needs}" for r in verdict.degraded],
    )


@pytest.mark.parametrize(
    ("artefact", "expected"),
    [
        pytest.param(
            _artefact(ArtefactKind.EXECUTABLE, _file("x", EXECUTABLE, STARTS)), (RUNS, [], []), id="a program that fits"
        ),
        pytest.param(
            _artefact(ArtefactKind.EXECUTABLE, _file("x", EXECUTABLE, NEW)),
            (BLOCKED, ["GLIBC_2.38 in x"], []),
            id="a program that wants a newer glibc",
        ),
        pytest.param(
            _artefact(
                ArtefactKind.INTERPRETER,
                _file("bin/python", EXECUTABLE, STARTS, "lib/libpython.so"),
                _file("lib/libpython.so", LIBRARY, NEW),
            ),
            (BLOCKED, ["GLIBC_2.38 in lib/libpython.so"], []),
            id="what the executable maps counts to its start",
        ),
        pytest.param(
            _artefact(
                ArtefactKind.INTERPRETER,
                _file("bin/python", EXECUTABLE, STARTS),
                _file("lib/_ssl.cpython-312.so", MODULE, WITHOUT_SSL),
                _file("lib/_foo.abi3.so", MODULE, UNSURE),
            ),
            (RUNS, [], ["_ssl: libssl.so.3", "?_foo: libfoo.so.1"]),
            id="without TLS it runs, and an unknown of a module blocks nothing",
        ),
        pytest.param(
            _artefact(
                ArtefactKind.INTERPRETER,
                _file("bin/python", EXECUTABLE, STARTS),
                _file("lib/_ssl.so", MODULE, OLD, "lib/libssl.so.3"),
                _file("lib/libssl.so.3", LIBRARY, NEW),
            ),
            (RUNS, [], ["_ssl: GLIBC_2.38"]),
            id="a library's need is told of the module that maps it",
        ),
        pytest.param(
            _artefact(
                ArtefactKind.FOLDER,
                _file("bin/a", EXECUTABLE, needs({"libown.so.1": ("OWN_2",)}, loader=GLIBC_LOADER), "lib/libown.so.1"),
                _file("lib/libown.so.1", LIBRARY, OLD),
            ),
            (BLOCKED, ["OWN_2 in bin/a"], []),
            id="its own library lacks a version",
        ),
        pytest.param(
            _artefact(
                ArtefactKind.FOLDER,
                _file("bin/a", EXECUTABLE, STARTS),
                _file("bin/b", EXECUTABLE, NEW),
            ),
            (BLOCKED, ["GLIBC_2.38 in bin/b"], []),
            id="each program of a folder is to start",
        ),
        pytest.param(
            _artefact(
                ArtefactKind.FOLDER,
                _file("arm/x", EXECUTABLE, AARCH64),
                _file("x86/x", EXECUTABLE, STARTS),
            ),
            (RUNS, [], []),
            id="programs for other machines are not asked",
        ),
        pytest.param(
            _artefact(ArtefactKind.FOLDER, _file("arm/x", EXECUTABLE, AARCH64)),
            (BLOCKED, ["aarch64 in arm/x"], []),
            id="unless there is no other",
        ),
        pytest.param(
            _artefact(ArtefactKind.WHEEL, _file("x.so", MODULE, OLD), _file("y-musl.so", MODULE, ON_MUSL)),
            (RUNS, [], []),
            id="modules for the other libc are not asked",
        ),
        pytest.param(
            _artefact(ArtefactKind.WHEEL, _file("x.so", MODULE, ON_MUSL)),
            (BLOCKED, ["libc.so in x.so"], []),
            id="unless there is no other module",
        ),
        pytest.param(
            _artefact(ArtefactKind.WHEEL, _file("a.so", MODULE, OLD), _file("b.so", MODULE, NEW)),
            (BLOCKED, ["GLIBC_2.38 in b.so"], []),
            id="one module with a newer glibc blocks a wheel",
        ),
        pytest.param(
            _artefact(ArtefactKind.WHEEL, _file("a.so", MODULE, OLD), _file("b.so", MODULE, WITHOUT_SSL)),
            (RUNS, [], ["b: libssl.so.3"]),
            id="a library that some modules miss degrades a wheel",
        ),
        pytest.param(
            _artefact(ArtefactKind.WHEEL, _file("b.so", MODULE, WITHOUT_SSL)),
            (BLOCKED, ["libssl.so.3 in b.so"], []),
            id="a library that all modules miss blocks a wheel",
        ),
        pytest.param(
            _artefact(ArtefactKind.WHEEL, _file("a.so", MODULE, OLD), _file("b.so", MODULE, UNSURE)),
            (UNKNOWN, ["?libfoo.so.1 in b.so"], []),
            id="an unknown of a wheel's module is unknown",
        ),
        pytest.param(
            _artefact(
                ArtefactKind.WHEEL,
                _file("a.so", MODULE, OLD),
                _file("b.so", MODULE, WITHOUT_SSL, stray=("libssl.so.3",)),
            ),
            (UNKNOWN, ["?libssl.so.3 in b.so"], []),
            id="a library that lies elsewhere in the wheel may be loaded before",
        ),
        pytest.param(
            _artefact(ArtefactKind.EXECUTABLE, _file("x", EXECUTABLE, WITHOUT_SSL, stray=("libssl.so.3",))),
            (BLOCKED, ["libssl.so.3 in x"], []),
            id="but not before a program starts",
        ),
        pytest.param(
            _artefact(ArtefactKind.WHEEL, _file("a.so", MODULE, needs(sonames=("libpython3.12.so.1.0",)))),
            (RUNS, [], []),
            id="the Python that installs it brings its libpython",
        ),
        pytest.param(
            _artefact(ArtefactKind.WHEEL, _file("a.so", MODULE, needs(sonames=("libpython3.11.so.1.0",)))),
            (BLOCKED, ["libpython3.11.so.1.0 in a.so"], []),
            id="and no other libpython",
        ),
        pytest.param(
            _artefact(ArtefactKind.WHEEL, _file("bin/tool", EXECUTABLE, NEW), tags=PURE),
            (BLOCKED, ["GLIBC_2.38 in bin/tool"], []),
            id="a wheel's program is one of its parts",
        ),
        pytest.param(_artefact(ArtefactKind.WHEEL, tags=PURE), (RUNS, [], []), id="a pure wheel"),
        pytest.param(
            _artefact(ArtefactKind.WHEEL, tags=PURE, requires_python=">=3.14"),
            (BLOCKED, ["Python 3 (>=3.14) in None"], []),
            id="a pure wheel for a newer Python",
        ),
        pytest.param(
            _artefact(ArtefactKind.WHEEL_NAME, tags=(WheelTag("cp313", "cp313", "manylinux_2_17_x86_64"),)),
            (BLOCKED, ["CPython 3.13 in None"], []),
            id="a wheel's name for another Python",
        ),
        pytest.param(
            _artefact(
                ArtefactKind.ENVIRONMENT,
                _file("bin/ruff", EXECUTABLE, NEW),
                _file("lib/b.so", MODULE, WITHOUT_SSL),
                implementation=CPYTHON,
                version="3.12.1",
            ),
            (RUNS, [], ["b: libssl.so.3", "ruff: GLIBC_2.38"]),
            id="an environment lacks what does not load",
        ),
        pytest.param(
            _artefact(
                ArtefactKind.ENVIRONMENT,
                _file("lib/b.so", MODULE, OLD),
                implementation=CPYTHON,
                version="3.11.2",
            ),
            (BLOCKED, ["Python ==3.11.* in None"], []),
            id="an environment of a Python that is not there",
        ),
        pytest.param(_artefact(ArtefactKind.ZIPAPP), (RUNS, [], []), id="a zip application runs with any Python"),
        pytest.param(
            _artefact(ArtefactKind.ZIPAPP, requires_python="==3.11.*"),
            (BLOCKED, ["Python ==3.11.* in None"], []),
            id="a zip application names its Python",
        ),
        pytest.param(
            _artefact(ArtefactKind.SHARED_OBJECT, _file("x.so", LIBRARY, needs(sonames=("libc.so.6",), loader="/x"))),
            (RUNS, [], []),
            id="a library's own loader is not the kernel's business",
        ),
        pytest.param(
            _artefact(
                ArtefactKind.FOLDER,
                _file("a.so", LIBRARY, OLD, "b.so"),
                _file("b.so", LIBRARY, WITHOUT_SSL, "a.so"),
            ),
            (BLOCKED, ["libssl.so.3 in b.so"], []),
            id="libraries that map each other",
        ),
        pytest.param(
            _artefact(ArtefactKind.FOLDER),
            (UNKNOWN, ["?an ELF file to judge by in None"], []),
            id="a folder with nothing to judge by",
        ),
    ],
)
def test_what_stops_an_artefact_and_what_it_lacks(
    artefact: Artefact, expected: tuple[PortabilityState, list[str], list[str]]
) -> None:
    assert _told(check_artefact(artefact, HOST, {PYTHON})) == expected


def test_where_nobody_knows_the_pythons_none_is_asked_for() -> None:
    wheel = _artefact(ArtefactKind.WHEEL, _file("a.so", MODULE, OLD), requires_python=">=3.14")
    assert check_artefact(wheel, HOST) == Verdict(RUNS)
    assert check_artefact(_artefact(ArtefactKind.ZIPAPP), HOST) == Verdict(RUNS)
    environment = _artefact(ArtefactKind.ENVIRONMENT, implementation=CPYTHON, version="3.7.1")
    assert check_artefact(environment, HOST) == Verdict(RUNS)


def test_an_artefact_on_the_wrong_libc_names_the_loader_and_what_to_use() -> None:
    program = _artefact(ArtefactKind.EXECUTABLE, _file("x", EXECUTABLE, STARTS))
    verdict = check_artefact(program, Offer.of(musl_host()))
    assert [reason.kind.value for reason in verdict.reasons] == ["loader", "soname"]
    assert verdict.reasons[0].remedy == "use the musl or the static build"


PBS = (
    PbsBuild("20250101", date(2025, 1, 1), "3.0.15", {"3.13": "3.13.1"}),
    PbsBuild("20251001", date(2025, 10, 1), "3.5.4", {"3.12": "3.12.11", "3.13": "3.13.8"}),
    PbsBuild("20251101", date(2025, 11, 1), "3.5.4", {"3.12": "3.12.12"}),
)
INTERPRETER = _artefact(
    ArtefactKind.INTERPRETER, _file("bin/python3.13", EXECUTABLE, NEW), implementation=CPYTHON, version="3.13.9"
)


def test_the_remedy_is_the_newest_build_of_this_python_that_would_run() -> None:
    (reason,) = check_artefact(INTERPRETER, HOST, advice=Advice((), PBS)).reasons
    assert reason.remedy == (
        "the newest build that would run here is CPython 3.13.8 of python-build-standalone 20251001: needs glibc 2.17"
    )


def test_a_newer_build_of_the_fleet_wins_when_it_runs_there() -> None:
    fits = python_build("3.13.9", files=(build_file("bin/python3.13", EXECUTABLE, STARTS),))
    does_not = python_build("3.13.10", files=(build_file("bin/python3.13", EXECUTABLE, NEW),))
    other_line = python_build("3.14.1", files=(build_file("bin/python3.14", EXECUTABLE, STARTS),))
    unversioned = python_build(None, files=(build_file("bin/python3.14", EXECUTABLE, STARTS),))
    advice = Advice((fits, does_not, other_line, unversioned), PBS)
    (reason,) = check_artefact(INTERPRETER, HOST, advice=advice).reasons
    assert reason.remedy == "the newest build that would run here is CPython 3.13.9 of pbs: needs glibc 2.17"
    assert advice.remedy(CPYTHON, "3.13.0", HOST) == reason.remedy
    static = python_build("3.13.11", files=(build_file("bin/python3.13", EXECUTABLE, needs()),))
    assert Advice((static,), ()).remedy(CPYTHON, "3.13.0", HOST) == (
        "the newest build that would run here is CPython 3.13.11 of pbs: needs no glibc"
    )


@pytest.mark.parametrize(
    "platform",
    [
        glibc_host(16),
        glibc_host(36, arch="s390x"),
        glibc_host(36, loaders=()),
        musl_host(),
        Platform(),
    ],
)
def test_where_python_build_standalone_would_not_run_it_is_not_advised(platform: Platform) -> None:
    assert Advice((), PBS).remedy(CPYTHON, "3.13.1", Offer.of(platform)) is None


def test_no_advice_is_given_for_another_line_or_for_what_is_not_known_to_block() -> None:
    advice = Advice((), PBS)
    assert advice.remedy(CPYTHON, "3.9.1", HOST) is None
    assert advice.remedy(Implementation.NODEJS, "3.13.1", HOST) is None
    program = _artefact(ArtefactKind.EXECUTABLE, _file("x", EXECUTABLE, NEW))
    (reason,) = check_artefact(program, HOST, advice=advice).reasons
    assert reason.remedy is not None
    assert "python-build-standalone needs 2.17" in reason.remedy


_REQUIREMENTS = st.sampled_from([OLD, NEW, STARTS, WITHOUT_SSL, AARCH64, ON_MUSL, UNSURE, needs(loader=MUSL_LOADER)])
_FILES = st.lists(st.tuples(st.sampled_from(FileRole), _REQUIREMENTS, st.sets(st.integers(0, 4))), max_size=5)
_KINDS = st.sampled_from([kind for kind in ArtefactKind if kind is not ArtefactKind.WHEEL_NAME])
_HOSTS = st.sampled_from([glibc_host(36), glibc_host(38), musl_host(), Platform(), glibc_host(36, arch=None)])


@given(_KINDS, _FILES, _HOSTS)
def test_every_verdict_has_its_reasons_and_every_reason_its_verdict(
    kind: ArtefactKind, files: list[tuple[FileRole, Requirement, set[int]]], platform: Platform
) -> None:
    made = [
        _file(f"f{number}", role, requirement, *sorted(f"f{used}" for used in uses if used < len(files)))
        for number, (role, requirement, uses) in enumerate(files)
    ]
    verdict = check_artefact(_artefact(kind, *made), Offer.of(platform))
    known = [reason.known for reason in verdict.reasons]
    assert verdict.state is (BLOCKED if any(known) else UNKNOWN if known else RUNS)
    assert (verdict.first_reason is None) is (verdict.state is RUNS)
    assert all(reason.module for reason in verdict.degraded)


@pytest.mark.parametrize(
    ("role", "glibc", "state"), [(LIBRARY, 31, BLOCKED), (LIBRARY, 36, RUNS), (EXECUTABLE, 36, BLOCKED)]
)
def test_who_reads_the_note_of_a_later_kernel_in_a_file_that_wants_no_library(
    role: FileRole, glibc: int, state: PortabilityState
) -> None:
    kind = ArtefactKind.SHARED_OBJECT if role is LIBRARY else ArtefactKind.EXECUTABLE
    file = _file("x", role, needs(kernel="99.0.0"))
    offer = Offer.of(glibc_host(glibc, kernel="6.1"))
    assert check_artefact(_artefact(kind, file), offer).state is state
