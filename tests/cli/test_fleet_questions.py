"""``check`` of a fleet, ``fleet glibc`` and ``fleet matrix``: over the wire from a server with known answers."""

from __future__ import annotations

import io
import json
import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import grpc
import jsonschema
import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.cells import cell_len

from libcensus.cli.document import portability_schemas
from libcensus.cli.fleet_tables import print_libcs, print_matrix
from libcensus.cli.terminal import Output
from libcensus.collector.app import Collector
from libcensus.collector.config import CollectorSettings
from libcensus.collector.posture.reach import floors, policy_reach
from libcensus.collector.posture.verdict import PortabilityState, Verdict
from libcensus.collector.service.portability_codec import (
    LibcAnswer,
    LibcHosts,
    Matrix,
    MatrixBuild,
    PlatformHosts,
    PlatformVerdict,
    PortabilityAnswer,
    libcs_to_proto,
    matrix_to_proto,
    portability_to_proto,
)
from libcensus.collector.store.sql import SqlStore
from libcensus.facts.codec import artefact_from_proto
from libcensus.facts.manylinux import NEWEST, OLDEST, POLICIES
from libcensus.v1 import fleet_pb2, fleet_pb2_grpc
from tests.cli.test_account import Screen, strip_styles
from tests.cli.test_answers import BLOCKED, IN_PART, LIBC, LOADER, RUNS, UNKNOWN
from tests.cli.test_check import FITS, PURE
from tests.collector.metrics import fleet
from tests.golden import check_golden

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.cli.conftest import Outcome

    Run = Callable[..., Outcome]

BOOKWORM = PlatformHosts("00" * 32, "debian 12, glibc 2.36, x86_64", 300, ("web-1", "web-2"), "x86_64", "glibc", "2.36")
TRIXIE = PlatformHosts("01" * 32, "debian 13, glibc 2.41, x86_64", 100, ("db-1",), "x86_64", "glibc", "2.41")
ALPINE = PlatformHosts("02" * 32, "alpine 3.22, musl 1.2.5, x86_64", 12, ("edge",), "x86_64", "musl", "1.2.5")

LIBCS = LibcAnswer(
    (
        LibcHosts("aarch64", "glibc", "2.41", 10, ("arm-1", "arm-2", "arm-3", "arm-4")),
        LibcHosts("unknown", "unknown", "unknown", 2, ("odd",)),
        LibcHosts("x86_64", "glibc", "2.28", 18, ("old-1", "old-2", "old-3")),
        LibcHosts("x86_64", "glibc", "2.36", 300, ("web-1", "web-2", "web-3")),
        LibcHosts("x86_64", "glibc", "2.41", 100, ("db-1",)),
        LibcHosts("x86_64", "musl", "1.2.5", 12, ("edge",)),
    ),
    unreadable_hosts=3,
)

MATRIX = Matrix(
    builds=(
        MatrixBuild("aa" * 32, "cpython", "pyenv", 3, "3.13.0", None, "x86_64", ("free-threaded", "shared"), "2.38"),
        MatrixBuild("bb" * 32, "cpython", "pbs", 250, "3.12.12", "20260114", "x86_64", (), "2.17"),
        MatrixBuild("cc" * 32, "nodejs", "vendor", 1, None, None, None, (), None),
    ),
    platforms=(BOOKWORM, TRIXIE, ALPINE),
    verdicts=(
        (BLOCKED, IN_PART, Verdict(PortabilityState.BLOCKED, (LOADER, LIBC))),
        (RUNS, RUNS, Verdict(PortabilityState.BLOCKED, (LOADER,))),
        (UNKNOWN, UNKNOWN, UNKNOWN),
    ),
)


class Server(fleet_pb2_grpc.FleetServiceServicer):
    """Answers with what it was given, and remembers what it was asked."""

    def __init__(self) -> None:
        self.answer: Any = None
        self.asked: list[Any] = []

    def _tell(self, request: Any, _context: grpc.ServicerContext) -> Any:
        self.asked.append(request)
        return self.answer(request) if callable(self.answer) else self.answer

    CheckPortability = GetLibcHosts = GetMatrix = _tell


@pytest.fixture
def server() -> Iterator[tuple[Server, str]]:
    """A server on this machine, and its address."""
    servicer = Server()
    with ThreadPoolExecutor(max_workers=2) as pool:
        running = grpc.server(pool)
        fleet_pb2_grpc.add_FleetServiceServicer_to_server(servicer, running)  # type: ignore[no-untyped-call]
        port = running.add_insecure_port("127.0.0.1:0")
        running.start()
        try:
            yield servicer, f"127.0.0.1:{port}"
        finally:
            running.stop(None).wait()


def told(ended: Outcome, name: str) -> Any:
    """Return the JSON, which always has the documented shape."""
    value = json.loads(ended.out)
    jsonschema.validate(value, portability_schemas()[name])
    return value


def test_a_fleet_is_asked_about_each_artefact(run: Run, server: tuple[Server, str]) -> None:
    servicer, address = server

    def answer(request: fleet_pb2.CheckPortabilityRequest) -> fleet_pb2.CheckPortabilityResponse:
        name = artefact_from_proto(request.artefact).name
        verdicts = (BLOCKED, IN_PART, UNKNOWN) if name == FITS else (RUNS, RUNS, RUNS)
        places = zip((BOOKWORM, TRIXIE, ALPINE), verdicts, strict=True)
        return portability_to_proto(PortabilityAnswer(tuple(PlatformVerdict(*one) for one in places)))

    servicer.answer = answer
    ended = run("check", FITS, PURE, "--collector", address)
    assert (ended.code, ended.err) == (1, "")
    lines = ended.out.splitlines()
    assert lines[1].split() == [
        FITS, "debian", "12,", "glibc", "2.36,", "x86_64", "300", "blocked", "needs", "GLIBC_2.38,", "has",
        "GLIBC_2.36", "(+2)",
    ]  # fmt: skip
    assert f"{FITS} runs on 100 of 412 hosts (24.2 %)" in lines
    assert f"{PURE} runs on 412 of 412 hosts (100 %)" in lines
    assert f"{FITS}: runs in part on debian 13, glibc 2.41, x86_64 (100 hosts: db-1, …)" in lines
    as_json = told(run("check", FITS, PURE, "--collector", address, "--output", "json"), "check")
    assert [(one["artefact"], one["platform"][:2], one["hosts"], one["verdict"]) for one in as_json] == [
        (FITS, "00", 300, "blocked"),
        (FITS, "01", 100, "runs"),
        (FITS, "02", 12, "unknown"),
        (PURE, "00", 300, "runs"),
        (PURE, "01", 100, "runs"),
        (PURE, "02", 12, "runs"),
    ]
    assert as_json[0]["reasons"][0] == {
        "kind": "symbol_version",
        "library": "libc.so.6",
        "needs": "GLIBC_2.38",
        "has": "GLIBC_2.36",
        "file": "bin/python3.13",
        "symbol": "__isoc23_strtol",
        "remedy": LIBC.remedy,
        "known": True,
    }
    assert [part["module"] for part in as_json[1]["degraded"]] == ["_ssl"]


CODES: dict[str, tuple[tuple[Verdict, ...], int, tuple[str, ...], int]] = {
    "all run": ((RUNS, RUNS), 0, (), 0),
    "in part is running": ((RUNS, IN_PART), 0, (), 0),
    "in part is blocked for the strict": ((RUNS, IN_PART), 0, ("--strict",), 1),
    "one platform is blocked": ((RUNS, BLOCKED), 0, (), 1),
    "three quarters are enough": ((RUNS, BLOCKED), 0, ("--require", "75%"), 0),
    "they are less than nine tenths": ((RUNS, BLOCKED), 0, ("--require", "90%"), 1),
    "hosts that cannot be read are unknown": ((RUNS, RUNS), 1, (), 6),
    "hosts that cannot be read count": ((RUNS, RUNS), 1, ("--require", "100%"), 1),
    "no host at all": ((), 0, (), 6),
}


@pytest.mark.parametrize(("verdicts", "unreadable", "flags", "code"), CODES.values(), ids=CODES)
def test_exit_codes_of_a_fleet(
    run: Run,
    server: tuple[Server, str],
    verdicts: tuple[Verdict, ...],
    unreadable: int,
    flags: tuple[str, ...],
    code: int,
) -> None:
    servicer, address = server
    places = zip((BOOKWORM, TRIXIE), verdicts, strict=False)
    servicer.answer = portability_to_proto(
        PortabilityAnswer(tuple(PlatformVerdict(*one) for one in places), unreadable)
    )
    ended = run("check", PURE, "--collector", address, *flags)
    assert ended.code == code
    assert ("no host has reported" in ended.err) == (not verdicts)


def test_glibc_tells_hosts_floors_and_what_tags_reach(run: Run, server: tuple[Server, str]) -> None:
    servicer, address = server
    servicer.answer = libcs_to_proto(LIBCS)
    ended = run("fleet", "glibc", "--collector", address)
    assert (ended.code, ended.err) == (0, "")
    check_golden("fleet-glibc-plain.txt", ended.out)
    value = told(run("fleet", "glibc", "--collector", address, "--output", "json"), "fleet glibc")
    tags = {tag["tag"]: tag for tag in value["tags"]}
    assert (tags["manylinux_2_28_x86_64"]["hosts"], tags["manylinux_2_28_x86_64"]["total"]) == (418, 430)
    assert tags["manylinux_2_31_x86_64"]["lost"] == [{"family": "glibc", "version": "2.28", "hosts": 18}]
    assert tags["manylinux_2_41_aarch64"]["share"] == 1.0
    assert tags["musllinux_1_2_x86_64"]["hosts"] == 12
    assert value["floors"][0] == {"arch": "x86_64", "glibc": "2.28", "hosts": 18, "total": 430}
    assert value["unreadable_hosts"] == 3


def test_matrix_tells_hosts_and_reasons(run: Run, server: tuple[Server, str]) -> None:
    servicer, address = server
    servicer.answer = matrix_to_proto(MATRIX)
    ended = run("fleet", "matrix", "--collector", address)
    assert (ended.code, ended.err) == (0, "")
    check_golden("fleet-matrix-plain.txt", ended.out)
    value = told(run("fleet", "matrix", "--collector", address, "--output", "json"), "fleet matrix")
    assert len(value["cells"]) == 9
    assert [cell["verdict"] for cell in value["cells"] if cell["build"] == "aa" * 32] == ["blocked", "runs", "blocked"]


def test_matrix_asks_for_what_was_chosen(run: Run, server: tuple[Server, str]) -> None:
    servicer, address = server
    servicer.answer = matrix_to_proto(Matrix((), (), ()))
    chosen = ("--implementation", "cpython", "--provider", "pbs", "--arch", "aarch64")
    ended = run("fleet", "matrix", *chosen, "--collector", address)
    assert "No build of the fleet is of that kind" in ended.out
    (asked,) = servicer.asked
    assert (asked.implementation, asked.provider, asked.arch) == ("cpython", "pbs", "aarch64")


def test_an_empty_fleet_is_told(run: Run, server: tuple[Server, str]) -> None:
    servicer, address = server
    servicer.answer = libcs_to_proto(LibcAnswer(()))
    assert "No host has reported" in run("fleet", "glibc", "--collector", address).out
    servicer.answer = matrix_to_proto(Matrix((), (), ()))
    assert "No build has been reported" in run("fleet", "matrix", "--collector", address).out


def test_an_answer_that_makes_no_sense_is_told(run: Run, server: tuple[Server, str]) -> None:
    servicer, address = server
    servicer.answer = fleet_pb2.GetMatrixResponse(cells=[fleet_pb2.MatrixCell(build=7, platform=1, verdict="runs")])
    ended = run("fleet", "matrix", "--collector", address)
    assert (ended.code, ended.out) == (70, "")
    assert "answered GetMatrix with what cannot be understood" in ended.err


@pytest.mark.parametrize("width", [80, 150])
def test_the_fleet_on_a_terminal(monkeypatch: pytest.MonkeyPatch, width: int) -> None:
    screen = Screen()
    for name, value in (("COLUMNS", str(width)), ("TERM", "xterm"), ("NO_COLOR", "1")):
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(sys, "stdout", screen)
    out = Output()
    print_libcs(out, LIBCS)
    out.line()
    print_matrix(out, MATRIX, explain=True)
    shown = "\n".join(line.rstrip() for line in strip_styles(screen.getvalue()).splitlines()) + "\n"
    assert max(map(cell_len, shown.splitlines())) <= width
    check_golden(f"fleet-{width}.txt", shown)


def test_one_platform_alone_is_told_in_the_singular(monkeypatch: pytest.MonkeyPatch) -> None:
    plain = io.StringIO()
    monkeypatch.setattr(sys, "stdout", plain)
    print_matrix(Output(), Matrix(MATRIX.builds[:1], (replace(BOOKWORM, hosts=1),), ((RUNS,),)), explain=True)
    assert plain.getvalue().endswith("\n1 build on 1 platform of 1 host\n")


LIBC_HOSTS = st.builds(
    LibcHosts,
    st.sampled_from([*OLDEST, "sparc64", "unknown"]),
    st.sampled_from(["glibc", "musl", "unknown"]),
    st.sampled_from(["2.5", "2.17", "2.28", "2.36", "2.41", "2.43", "1.1.24", "1.2.5", "unknown"]),
    st.integers(1, 1000),
)


@given(st.lists(LIBC_HOSTS, max_size=12, unique_by=lambda one: (one.arch, one.family, one.version)))
def test_a_tag_reaches_the_hosts_whose_libc_is_no_older(libcs: list[LibcHosts]) -> None:
    found = policy_reach(libcs)
    for tag in found:
        family, major, minor, _ = tag.tag.split("_", 3)
        wanted = "glibc" if family == "manylinux" else "musl"
        own = [one for one in libcs if one.arch == tag.arch]
        assert tag.total == sum(one.hosts for one in own)
        assert tag.hosts == sum(
            one.hosts
            for one in own
            if one.family == wanted
            and one.version.split(".")[0] == major
            and int(one.version.split(".")[1]) >= int(minor)
        )
        assert not NEWEST.get(tag.arch) or family == "musllinux" or int(minor) <= NEWEST[tag.arch]
    for arch in {one.arch for one in libcs} & {"x86_64", "i386"}:
        policies = [tag.tag.split("_")[2] for tag in found if tag.arch == arch and tag.tag.startswith("manylinux")]
        assert policies == [str(number) for number in POLICIES]
    for before, after in pairwise(found):
        if (before.arch, before.tag.partition("_")[0]) == (after.arch, after.tag.partition("_")[0]):
            assert before.hosts - after.hosts == sum(loss.hosts for loss in after.lost)
    assert sum(floor.total for floor in floors(libcs)) == sum(one.hosts for one in libcs)


def test_tags_name_architectures_as_wheels_do() -> None:
    tags = [
        tag.tag for tag in policy_reach([LibcHosts("i386", "glibc", "2.36", 1), LibcHosts("arm", "glibc", "2.36", 1)])
    ]
    assert "manylinux_2_5_i686" in tags
    assert "manylinux_2_17_armv7l" in tags


@pytest.fixture(scope="module")
def mixed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Collector]:
    """A collector with ten hosts: glibc 2.36 with and without Python 3.11, glibc 2.28, and musl."""
    folder = tmp_path_factory.mktemp("mixed")
    with SqlStore.open(f"sqlite:///{folder / 'census.db'}") as store:
        for number in range(6):
            fleet.report(store, fleet.Machine(f"web-{number}"))
        for number in range(2):
            fleet.report(store, fleet.Machine(f"plain-{number}", builds=(), installs=()))
        old = fleet.Machine("old", platform=fleet.platform(28), os_version="10")
        fleet.report(store, old)
        edge = fleet.Machine("edge", fleet.MUSL, builds=(), installs=(), os_id="alpine", os_version="3.22")
        fleet.report(store, edge)
        settings = CollectorSettings(listen="127.0.0.1:0", http_listen="127.0.0.1:0")
        running = Collector(settings, store, today=lambda: fleet.TODAY).start()
        try:
            yield running
        finally:
            running.stop()


def test_a_collector_judges_by_platform_and_by_the_pythons_there(run: Run, mixed: Collector) -> None:
    ended = run("check", FITS, "--collector", mixed.grpc_address, "--output", "json")
    assert ended.code == 1
    answers = told(ended, "check")
    assert sorted((one["hosts"], one["verdict"], (one["reasons"] or [{"kind": ""}])[0]["kind"]) for one in answers) == [
        (1, "blocked", "tag"),
        (1, "runs", ""),
        (2, "blocked", "python"),
        (6, "runs", ""),
    ]
    assert {one["against"]: one["hosts"] for one in answers} == {
        "debian 12, glibc 2.36, x86_64, Python 3.11.2, 3.12.12": 6,
        "debian 12, glibc 2.36, x86_64, no Python": 2,
        "debian 10, glibc 2.28, x86_64": 1,
        "alpine 3.22, musl 1.2.5, x86_64": 1,
    }
    assert run("check", FITS, "--collector", mixed.grpc_address, "--require", "70%").code == 0
    assert f"{FITS} runs on 7 of 10 hosts (70.0 %)" in run("check", FITS, "--collector", mixed.grpc_address).out


def test_a_collector_tells_libcs_and_the_matrix(run: Run, mixed: Collector) -> None:
    value = told(run("fleet", "glibc", "--collector", mixed.grpc_address, "--output", "json"), "fleet glibc")
    assert sum(one["hosts"] for one in value["libcs"]) == 10
    tags = {tag["tag"]: tag["hosts"] for tag in value["tags"]}
    assert (tags["manylinux_2_28_x86_64"], tags["manylinux_2_31_x86_64"], tags["musllinux_1_2_x86_64"]) == (9, 8, 1)
    value = told(run("fleet", "matrix", "--collector", mixed.grpc_address, "--output", "json"), "fleet matrix")
    hosts = {build["build"]: {"runs": 0, "blocked": 0, "unknown": 0} for build in value["builds"]}
    for cell in value["cells"]:
        hosts[cell["build"]][cell["verdict"]] += cell["hosts"]
    versions = {build["version"]: hosts[build["build"]] for build in value["builds"]}
    # 3.11.2 needs glibc 2.35, 3.12.12 needs 2.17; neither starts with musl alone.
    assert versions == {
        "3.11.2": {"runs": 8, "blocked": 2, "unknown": 0},
        "3.12.12": {"runs": 9, "blocked": 1, "unknown": 0},
    }
    assert len(told(run("fleet", "matrix", "--provider", "pbs", "--collector", mixed.grpc_address, "--output", "json"),
                    "fleet matrix")["builds"]) == 1  # fmt: skip
