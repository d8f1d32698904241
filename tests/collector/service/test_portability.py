"""What operators ask about portability, over real gRPC from a real store, against host by host."""

from __future__ import annotations

import re
import threading
from collections import Counter
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import grpc
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from prometheus_client.parser import text_string_to_metric_families

from libcensus.collector.errors import StoreBusyError
from libcensus.collector.fleetindex import FleetIndex
from libcensus.collector.metrics.exporter import FleetExporter
from libcensus.collector.posture.advice import Advice
from libcensus.collector.posture.offer import Offer, pythons_of
from libcensus.collector.posture.portability import check_artefact, check_build
from libcensus.collector.posture.reach import policy_reach
from libcensus.collector.posture.verdict import PortabilityState, ReasonKind, Verdict
from libcensus.collector.service import portability
from libcensus.collector.service.errors import InvalidFieldError, OverdueError
from libcensus.collector.service.portability import PortabilityReader, PortabilityWarmup, label_of
from libcensus.collector.service.portability_codec import (
    LibcAnswer,
    LibcHosts,
    Matrix,
    PortabilityAnswer,
    libcs_from_proto,
    matrix_from_proto,
    portability_from_proto,
)
from libcensus.collector.store.sql import SqlStore
from libcensus.facts.artefact import Artefact, ArtefactFile, WheelTag
from libcensus.facts.codec import artefact_to_proto
from libcensus.facts.platform import Platform
from libcensus.facts.requirement import LibraryNeed, RaisedBy, Requirement
from libcensus.facts.vocabulary import ArtefactKind, FileRole, Implementation, LibcFamily, LoaderKind
from libcensus.v1 import facts_pb2, fleet_pb2
from tests.collector.metrics import fleet
from tests.collector.service.running import Client, client_of, running_collector, status_of

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from libcensus.collector.store.contract import HostStamp

RUNS, BLOCKED, UNKNOWN = PortabilityState.RUNS, PortabilityState.BLOCKED, PortabilityState.UNKNOWN


def program(glibc: str, version: str | None = None) -> Artefact:
    """An interpreter that needs a glibc."""
    need = Requirement(
        arch="x86_64",
        loader=fleet.LOADER,
        loader_kind=LoaderKind.GLIBC,
        needs=(LibraryNeed("libc.so.6", (f"GLIBC_{glibc}",)),),
        sonames=("libc.so.6",),
        raised_by=(RaisedBy(f"GLIBC_{glibc}", "libc.so.6", "bin/python3", "fmod"),),
    )
    return Artefact(
        "python",
        ArtefactKind.INTERPRETER,
        (ArtefactFile("bin/python3", FileRole.EXECUTABLE, need),),
        implementation=Implementation.CPYTHON,
        version=version,
    )


def wheel(tag: str, requires_python: str | None = None) -> Artefact:
    """A wheel that is known by its name."""
    name = f"demo-1-{tag}.whl"
    return Artefact(name, ArtefactKind.WHEEL_NAME, tags=(WheelTag(*tag.split("-")),), requires_python=requires_python)


def environment(home: str | None) -> Artefact:
    """An environment of Python 3.11."""
    return Artefact("env", ArtefactKind.ENVIRONMENT, implementation=Implementation.CPYTHON, version="3.11.2", home=home)


MACHINES = (
    *(fleet.Machine(f"web-{number}") for number in range(7)),
    *(fleet.Machine(f"plain-{number}", builds=(), installs=()) for number in range(2)),
    fleet.Machine("raspbian", os_id="raspbian"),
    fleet.Machine("old", platform=fleet.platform(28), os_version="10"),
    fleet.Machine("edge", platform=fleet.MUSL, builds=(), installs=(), os_id="alpine", os_version="3.22"),
    fleet.Machine("arm", platform=fleet.platform(41, "aarch64"), builds=(), installs=(), os_version="13"),
    fleet.Machine(
        "dev", platform=fleet.platform(41), builds=(fleet.PYENV_313,), installs=(), os_id=None, os_version=None
    ),
    replace(fleet.full_machine("full"), inner_platforms=(fleet.FOCAL, fleet.MUSL)),
)


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Client, SqlStore]]:
    """A collector that knows these machines, and its store."""
    folder = tmp_path_factory.mktemp("portability")
    with SqlStore.open(f"sqlite:///{folder / 'census.db'}") as store:
        for machine in MACHINES:
            fleet.report(store, machine)
        with running_collector(folder, store) as collector, client_of(collector) as client:
            yield client, store


def check(client: Client, artefact: Artefact) -> PortabilityAnswer:
    request = fleet_pb2.CheckPortabilityRequest(artefact=artefact_to_proto(artefact))
    return portability_from_proto(client.fleet.CheckPortability(request, timeout=30))


def matrix(client: Client, **chosen: str) -> Matrix:
    return matrix_from_proto(client.fleet.GetMatrix(fleet_pb2.GetMatrixRequest(**chosen), timeout=30))


# --- artefacts ---------------------------------------------------------------------------------------------------


def host_by_host(artefact: Artefact) -> Counter[tuple[str, Verdict]]:
    """The verdict of every host, judged for itself."""
    found: Counter[tuple[str, Verdict]] = Counter()
    for machine in MACHINES:
        builds = {fleet.digest_of(one): one for one in machine.builds}
        pythons = pythons_of(machine.install_set, builds)
        verdict = check_artefact(artefact, Offer.of(machine.platform), pythons)
        found[fleet.digest_of(machine.platform), verdict] += 1
    return found


@pytest.mark.parametrize(
    "artefact",
    [
        pytest.param(program("2.17"), id="program"),
        pytest.param(program("2.38"), id="program that needs a new glibc"),
        pytest.param(wheel("cp311-cp311-manylinux_2_17_x86_64"), id="wheel"),
        pytest.param(wheel("cp312-abi3-manylinux_2_31_x86_64"), id="wheel of the stable ABI"),
        pytest.param(wheel("py3-none-any", ">=3.12"), id="pure wheel"),
        pytest.param(wheel("cp311-cp311-musllinux_1_2_x86_64"), id="wheel for musl"),
        pytest.param(wheel("cp311-cp311-win_amd64"), id="wheel for Windows"),
        pytest.param(Artefact("app.pyz", ArtefactKind.ZIPAPP, requires_python=">=3.11"), id="zip application"),
        pytest.param(Artefact("empty", ArtefactKind.FOLDER), id="nothing to judge by"),
        pytest.param(environment("/usr/bin"), id="environment of a Python that many have"),
        pytest.param(environment("/nowhere"), id="environment of a Python that nobody has"),
        pytest.param(environment(None), id="environment that does not tell its base"),
    ],
)
def test_every_host_has_the_verdict_that_it_would_have_alone(
    served: tuple[Client, SqlStore], artefact: Artefact
) -> None:
    answer = check(served[0], artefact)
    assert {(one.on.platform, one.verdict): one.on.hosts for one in answer.verdicts} == host_by_host(artefact)
    assert answer.unreadable_hosts == 0
    hosts = [one.on.hosts for one in answer.verdicts]
    assert hosts == sorted(hosts, reverse=True)


def test_an_environment_is_judged_once_for_hosts_whose_pythons_lie_in_folders_of_their_own(tmp_path: Path) -> None:
    def at(folder: str) -> fleet.Machine:
        python = fleet.install(f"{folder}/python3.12", fleet.PBS_312, fleet.STATIC)
        return fleet.Machine("x", builds=(fleet.PBS_312,), installs=(python,))

    judge = fleet.assessor()
    made = replace(environment("/usr/bin"), version="3.12.1")
    with SqlStore.open(f"sqlite:///{tmp_path / 'census.db'}") as store:
        for number in range(3):
            fleet.report(store, at("/opt/py/bin").renamed(f"agreed-{number}"))
        reader = PortabilityReader(FleetIndex(store), lambda: judge)
        (agreed,) = reader.check(made).verdicts
        for number in range(20):
            fleet.report(store, at(f"/home/{number}/bin").renamed(f"own-{number:02}"))
        fleet.report(store, at("/usr/bin").renamed("there"))
        blocked, runs = reader.check(made).verdicts
    assert [(one.on.hosts, one.verdict.state) for one in (agreed, blocked, runs)] == [
        (3, PortabilityState.BLOCKED),
        (23, PortabilityState.BLOCKED),
        (1, PortabilityState.RUNS),
    ]
    assert [one.has for one in agreed.verdict.reasons] == ["CPython 3.12.12 in /opt/py/bin"]
    assert [one.has for one in blocked.verdict.reasons] == ["CPython 3.12.12"]
    assert blocked.on.examples == ("agreed-0", "agreed-1", "agreed-2", "own-00", "own-01")
    assert [(one.needs, one.remedy) for one in blocked.verdict.reasons] == [
        (one.needs, one.remedy) for one in agreed.verdict.reasons
    ]


def test_places_are_told_as_people_call_them(served: tuple[Client, SqlStore]) -> None:
    answer = check(served[0], program("2.17"))
    assert [(one.on.label, one.on.hosts, one.on.examples) for one in answer.verdicts] == [
        ("debian 12 or raspbian 12, glibc 2.36, x86_64", 11, ("full", "plain-0", "plain-1", "raspbian", "web-0")),
        ("alpine 3.22, musl 1.2.5, x86_64", 1, ("edge",)),
        ("debian 10, glibc 2.28, x86_64", 1, ("old",)),
        ("debian 13, glibc 2.41, aarch64", 1, ("arm",)),
        ("unknown system, glibc 2.41, x86_64", 1, ("dev",)),
    ]
    assert {one.on.pythons for one in answer.verdicts} == {()}
    assert {(one.on.arch, one.on.libc_family, one.on.libc_version) for one in answer.verdicts} == {
        ("x86_64", "glibc", "2.36"),
        ("x86_64", "musl", "1.2.5"),
        ("x86_64", "glibc", "2.28"),
        ("aarch64", "glibc", "2.41"),
        ("x86_64", "glibc", "2.41"),
    }


def test_hosts_of_one_platform_are_told_apart_where_their_pythons_decide(served: tuple[Client, SqlStore]) -> None:
    answer = check(served[0], wheel("cp311-cp311-manylinux_2_17_x86_64"))
    own = [one for one in answer.verdicts if one.on.libc_version == "2.36"]
    assert [(one.on.hosts, one.verdict.state, one.on.pythons) for one in own] == [
        (9, RUNS, ("3.11.2", "3.12.12")),
        (2, BLOCKED, ()),
    ]
    assert own[1].on.examples == ("plain-0", "plain-1")
    assert own[1].verdict.first_reason is ReasonKind.PYTHON


def test_a_build_of_the_fleet_is_advised_where_it_would_run(served: tuple[Client, SqlStore]) -> None:
    answer = check(served[0], program("2.38", version="3.12.3"))
    (old,) = [one for one in answer.verdicts if one.on.libc_version == "2.28"]
    (reason,) = old.verdict.reasons
    assert (reason.needs, reason.has, reason.symbol) == ("GLIBC_2.38", "GLIBC_2.28", "fmod")
    # The catalogue knows a newer one than the fleet's 3.12.12, and says what it needs.
    assert reason.remedy is not None
    assert reason.remedy.startswith("the newest build that would run here is CPython 3.12.")
    assert reason.remedy.endswith("needs glibc 2.17")


def test_an_answer_that_nobody_waits_for_is_given_up(served: tuple[Client, SqlStore]) -> None:
    judge = fleet.assessor()
    reader = PortabilityReader(FleetIndex(served[1]), lambda: judge)
    asked: list[bool] = []

    def is_wanted() -> bool:
        asked.append(True)
        return len(asked) < 3

    with pytest.raises(OverdueError):
        reader.check(program("2.17"), is_wanted)
    assert len(asked) == 3


def test_advice_is_made_anew_when_the_builds_change(tmp_path_factory: pytest.TempPathFactory) -> None:
    judge = fleet.assessor()
    with SqlStore.open(f"sqlite:///{tmp_path_factory.mktemp('advice') / 'census.db'}") as store:
        fleet.report(store, fleet.Machine("old", platform=fleet.platform(28), builds=(), installs=()))
        reader = PortabilityReader(FleetIndex(store), lambda: judge)
        asked = program("2.38", version="3.12.3")

        def remedy() -> str | None:
            return reader.check(asked).verdicts[0].verdict.reasons[0].remedy

        without = remedy()
        fleet.report(store, fleet.Machine("web"))
        assert remedy() == "the newest build that would run here is CPython 3.12.12 of pbs 20260114: needs glibc 2.17"
        assert without != remedy()


# --- C libraries and the matrix ----------------------------------------------------------------------------------


def test_c_libraries_are_counted_and_sorted_by_number(served: tuple[Client, SqlStore]) -> None:
    answer = libcs_from_proto(served[0].fleet.GetLibcHosts(fleet_pb2.GetLibcHostsRequest(), timeout=30))
    assert answer == LibcAnswer(
        (
            LibcHosts("aarch64", "glibc", "2.41", 1, ("arm",)),
            LibcHosts("x86_64", "glibc", "2.28", 1, ("old",)),
            LibcHosts("x86_64", "glibc", "2.36", 11, ("full", "plain-0", "plain-1", "raspbian", "web-0")),
            LibcHosts("x86_64", "glibc", "2.41", 1, ("dev",)),
            LibcHosts("x86_64", "musl", "1.2.5", 1, ("edge",)),
        )
    )


def test_every_build_is_judged_on_every_platform(served: tuple[Client, SqlStore]) -> None:
    found = matrix(served[0])
    builds = {fleet.digest_of(one): one for one in (fleet.DISTRO_311, fleet.PBS_312, fleet.PYENV_313, fleet.NODE)}
    platforms = {fleet.digest_of(machine.platform): machine.platform for machine in MACHINES}
    assert [build.digest for build in found.builds] == sorted(
        builds, key=lambda digest: (builds[digest].implementation, builds[digest].version)
    )
    assert {one.platform for one in found.platforms} == platforms.keys()
    assert sum(one.hosts for one in found.platforms) == len(MACHINES)
    for build, row in zip(found.builds, found.verdicts, strict=True):
        for place, verdict in zip(found.platforms, row, strict=True):
            assert verdict == check_build(builds[build.digest], platforms[place.platform])
    told = {build.version: (build.provider, build.provider_build, build.hosts, build.glibc) for build in found.builds}
    assert told == {
        "3.11.2": ("distro", None, 10, "2.35"),
        "3.12.12": ("pbs", "20260114", 10, "2.17"),
        "3.13.0": ("pyenv", None, 1, "2.38"),
        "18.19.0": ("upstream", None, 1, "2.28"),
    }


@pytest.mark.parametrize(
    ("chosen", "versions"),
    [
        ({"implementation": "cpython"}, ["3.11.2", "3.12.12", "3.13.0"]),
        ({"implementation": "nodejs"}, ["18.19.0"]),
        ({"provider": "pbs"}, ["3.12.12"]),
        ({"arch": "x86_64", "provider": "pyenv"}, ["3.13.0"]),
        ({"arch": "aarch64"}, []),
        ({"implementation": "ruby", "provider": "unknown"}, []),
    ],
)
def test_a_matrix_holds_the_builds_that_were_chosen(
    served: tuple[Client, SqlStore], chosen: dict[str, str], versions: list[str]
) -> None:
    found = matrix(served[0], **chosen)
    assert [build.version for build in found.builds] == versions
    assert len(found.platforms) == 5


def test_a_matrix_that_is_too_large_is_refused_with_the_remedy(
    served: tuple[Client, SqlStore], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(portability, "MOST_CELLS", 19)
    judge = fleet.assessor()
    reader = PortabilityReader(FleetIndex(served[1]), lambda: judge)
    with pytest.raises(
        InvalidFieldError, match="4 builds on 5 platforms are more than 19 verdicts; choose fewer builds"
    ):
        reader.matrix()
    assert len(reader.matrix(implementation="cpython").builds) == 3


# --- what is refused ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("method", "request_bytes", "told"),
    [
        pytest.param("CheckPortability", b"", "artefact: is missing", id="no artefact"),
        pytest.param(
            "CheckPortability",
            fleet_pb2.CheckPortabilityRequest(artefact=facts_pb2.Artefact()).SerializeToString(),
            "artefact.name: is empty",
            id="artefact without a name",
        ),
        pytest.param(
            "CheckPortability",
            fleet_pb2.CheckPortabilityRequest(
                artefact=facts_pb2.Artefact(name="x", files=[facts_pb2.ArtefactFile(path="")])
            ).SerializeToString(),
            "artefact.files.path: is empty",
            id="file without a path",
        ),
        pytest.param(
            "GetMatrix",
            fleet_pb2.GetMatrixRequest(implementation="cobol").SerializeToString(),
            "implementation: 'cobol' is none of unknown, cpython, pypy, nodejs, ruby, perl, php",
            id="implementation that nobody knows",
        ),
        pytest.param(
            "GetMatrix",
            fleet_pb2.GetMatrixRequest(provider="x" * 100).SerializeToString(),
            f"provider: {'x' * 80!r} is none of ",
            id="provider that nobody knows",
        ),
        pytest.param("CheckPortability", b"\xff", "request: is no libcensus.v1.CheckPortabilityRequest", id="bytes"),
        pytest.param("GetLibcHosts", b"\xff", "request: is no libcensus.v1.GetLibcHostsRequest", id="bytes, libcs"),
        pytest.param("GetMatrix", b"\xff", "request: is no libcensus.v1.GetMatrixRequest", id="bytes, matrix"),
    ],
)
def test_questions_that_make_no_sense_are_refused_and_the_field_is_named(
    served: tuple[Client, SqlStore], method: str, request_bytes: bytes, told: str
) -> None:
    call: Any = served[0].channel.unary_unary
    with pytest.raises(grpc.RpcError) as refused:
        call(f"/libcensus.v1.FleetService/{method}")(request_bytes, timeout=30)
    code, details = status_of(refused.value)
    assert code is grpc.StatusCode.INVALID_ARGUMENT
    assert details.startswith(told)


def test_an_empty_fleet_is_an_empty_answer(tmp_path_factory: pytest.TempPathFactory) -> None:
    with running_collector(tmp_path_factory.mktemp("empty")) as collector, client_of(collector) as client:
        assert check(client, program("2.17")) == PortabilityAnswer(())
        assert matrix(client) == Matrix((), (), ())
        libcs = libcs_from_proto(client.fleet.GetLibcHosts(fleet_pb2.GetLibcHostsRequest(), timeout=30))
        assert libcs == LibcAnswer(())


# --- labels ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("systems", "platform", "label"),
    [
        ({("debian", "12"): 3}, fleet.platform(), "debian 12, glibc 2.36, x86_64"),
        ({("arch", None): 1}, fleet.platform(42), "arch, glibc 2.42, x86_64"),
        ({(None, None): 1}, Platform(), "unknown system, unknown libc, unknown architecture"),
        (
            {("debian", "12"): 1, ("ubuntu", "22.04"): 5, ("pop", "22.04"): 5},
            fleet.platform(),
            "pop 22.04 or ubuntu 22.04 or others, glibc 2.36, x86_64",
        ),
        (
            {("alpine", "3.20"): 1},
            Platform("x86_64", libc_family=LibcFamily.MUSL),
            "alpine 3.20, musl of unknown version, x86_64",
        ),
    ],
)
def test_labels_say_what_is_known(
    systems: dict[tuple[str | None, str | None], int], platform: Platform, label: str
) -> None:
    assert label_of(platform, Counter(systems)) == label


# --- any fleet ---------------------------------------------------------------------------------------------------

machines = st.builds(
    fleet.Machine,
    hostname=st.just("x"),
    platform=st.sampled_from([fleet.platform(17), fleet.platform(36), fleet.platform(41, "aarch64"), fleet.MUSL]),
    installs=st.lists(
        st.sampled_from(
            [
                fleet.install("/usr/bin/python3.11", fleet.DISTRO_311, fleet.SYSTEM),
                fleet.install("/opt/py/bin/python3.12", fleet.PBS_312, fleet.STATIC),
                fleet.install("/home/ann/bin/python3.11", fleet.DISTRO_311, fleet.SYSTEM),
                fleet.install("/home/bob/bin/python3.11", fleet.DISTRO_311, fleet.SYSTEM),
            ]
        ),
        max_size=3,
        unique_by=lambda one: one.path,
    ).map(tuple),
    os_version=st.sampled_from(["11", "12"]),
)
artefacts = st.sampled_from(
    [
        program("2.17", "3.12.1"),
        program("2.38", "3.12.1"),
        wheel("cp311-cp311-manylinux_2_17_x86_64"),
        wheel("cp312-cp312-musllinux_1_1_x86_64"),
        wheel("py3-none-any", ">=3.12"),
        environment("/usr/bin"),
        environment("/nowhere"),
    ]
)


@settings(deadline=None, max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(machines, max_size=6), artefacts)
@example(
    [
        fleet.Machine("x", installs=(fleet.install(f"{folder}/python3.11", fleet.DISTRO_311, fleet.SYSTEM),))
        for folder in ("/home/ann/bin", "/usr/bin", "/home/bob/bin")
    ],
    environment("/usr/bin"),
)
def test_groups_change_no_verdict(
    tmp_path_factory: pytest.TempPathFactory, machines: list[fleet.Machine], artefact: Artefact
) -> None:
    judge = fleet.assessor()
    with SqlStore.open(f"sqlite:///{tmp_path_factory.mktemp('any') / 'census.db'}") as store:
        for number, machine in enumerate(machines):
            fleet.report(store, machine.renamed(f"host-{number}"))
        answer = PortabilityReader(FleetIndex(store), lambda: judge).check(artefact)
    advice = Advice.of(tuple({fleet.digest_of(b): b for m in machines for b in m.builds}.values()), judge.catalogue)
    alone: Counter[tuple[str, Verdict]] = Counter()
    for machine in machines:
        pythons = pythons_of(machine.install_set, {fleet.digest_of(one): one for one in machine.builds})
        verdict = check_artefact(artefact, Offer.of(machine.platform), pythons, advice)
        alone[fleet.digest_of(machine.platform), wherever(verdict)] += 1
    told: Counter[tuple[str, Verdict]] = Counter()
    for one in answer.verdicts:
        told[one.on.platform, wherever(one.verdict)] += one.on.hosts
    assert told == alone


def wherever(verdict: Verdict) -> Verdict:
    """The verdict without the folders of Pythons that are no use: of hosts that disagree on them none are told."""

    def without_folders(has: str) -> str:
        return ", ".join(dict.fromkeys(re.sub(r" in /[^,]*", "", has).split(", ")))

    reasons = tuple(
        replace(one, has=without_folders(one.has)) if one.kind is ReasonKind.PYTHON and one.has else one
        for one in verdict.reasons
    )
    return replace(verdict, reasons=reasons)


# --- the same in metrics -----------------------------------------------------------------------------------------


def test_metrics_tell_what_operators_are_told(served: tuple[Client, SqlStore]) -> None:
    client, store = served
    judge = fleet.assessor()
    page = FleetExporter(store, lambda: judge, "fleet").render()[1]
    libcs = libcs_from_proto(client.fleet.GetLibcHosts(fleet_pb2.GetLibcHostsRequest(), timeout=30)).libcs
    reached = {(one.policy, one.arch): one.hosts for one in policy_reach(libcs)}
    assert {
        (labels["policy"], labels["arch"]): hosts for labels, hosts in series(page, "libcensus_manylinux_hosts")
    } == reached
    found = matrix(client)
    hosts: Counter[tuple[str, str, str]] = Counter()
    for build, row in zip(found.builds, found.verdicts, strict=True):
        for place, verdict in zip(found.platforms, row, strict=True):
            hosts[build.digest, verdict.state, verdict.first_reason or ""] += place.hosts
    told = series(page, "libcensus_build_hosts")
    assert {(labels["build"], labels["verdict"], labels["reason"]): count for labels, count in told if count} == hosts


def series(page: bytes, name: str) -> list[tuple[dict[str, str], float]]:
    return [
        (sample.labels, sample.value)
        for family in text_string_to_metric_families(page.decode())
        for sample in family.samples
        if sample.name == name
    ]


# --- ahead of the first question ---------------------------------------------------------------------------------


def test_what_was_worked_out_ahead_is_what_is_told(served: tuple[Client, SqlStore]) -> None:
    judge = fleet.assessor()
    reader = PortabilityReader(FleetIndex(served[1]), lambda: judge)
    warmup = PortabilityWarmup(reader)
    warmup.start()
    warmup.stop()
    reader.warm(lambda: True)
    assert reader.matrix() == matrix(served[0])


def test_working_ahead_ends_when_it_is_told_to(served: tuple[Client, SqlStore]) -> None:
    judge = fleet.assessor()
    reader = PortabilityReader(FleetIndex(served[1]), lambda: judge)
    asked: list[bool] = []

    def is_wanted() -> bool:
        asked.append(True)
        return len(asked) < 6

    reader.warm(is_wanted)
    assert len(asked) == 6


def test_a_store_that_cannot_be_read_ends_the_work_ahead_and_is_logged(
    tmp_path_factory: pytest.TempPathFactory, caplog: pytest.LogCaptureFixture
) -> None:
    asked = threading.Event()

    class FailingStore(SqlStore):
        def host_stamps(self) -> list[HostStamp]:
            asked.set()
            raise StoreBusyError("held by another process")

    judge = fleet.assessor()
    with FailingStore.open(f"sqlite:///{tmp_path_factory.mktemp('failing') / 'census.db'}") as store:
        warmup = PortabilityWarmup(PortabilityReader(FleetIndex(store), lambda: judge))
        warmup.start()
        assert asked.wait(30)
        warmup.stop()
    assert caplog.messages == ["portability was not worked out ahead: held by another process"]
