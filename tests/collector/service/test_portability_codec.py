"""The bridge between answers about portability and the wire."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from libcensus.collector.posture.verdict import PortabilityState, Reason, ReasonKind, Verdict
from libcensus.collector.service.portability_codec import (
    LibcAnswer,
    LibcHosts,
    Matrix,
    MatrixBuild,
    PlatformHosts,
    PlatformVerdict,
    PortabilityAnswer,
    libcs_from_proto,
    libcs_to_proto,
    matrix_from_proto,
    matrix_to_proto,
    portability_from_proto,
    portability_to_proto,
    reason_from_proto,
    reason_to_proto,
)
from libcensus.facts.validation import InvalidFactError
from libcensus.v1 import fleet_pb2
from tests.protos import strategies as facts

if TYPE_CHECKING:
    from hypothesis.strategies import DrawFn

counts = st.integers(0, 2**32 - 1)
examples = st.lists(facts.texts, max_size=3).map(tuple)
reasons = st.builds(
    Reason,
    kind=st.sampled_from(ReasonKind),
    needs=facts.texts,
    has=facts.maybe(facts.texts),
    library=facts.maybe(facts.texts),
    file=facts.maybe(facts.texts),
    symbol=facts.maybe(facts.texts),
    remedy=facts.maybe(facts.texts),
    known=st.booleans(),
    module=facts.maybe(facts.texts),
)
several = st.lists(reasons, max_size=3).map(tuple)
verdicts = st.builds(Verdict, st.sampled_from(PortabilityState), several, several)
places = st.builds(
    PlatformHosts,
    platform=facts.digests,
    label=facts.texts,
    hosts=counts,
    examples=examples,
    arch=facts.maybe(facts.words),
    libc_family=facts.maybe(facts.words),
    libc_version=facts.maybe(facts.words),
    pythons=st.lists(facts.words, max_size=3).map(tuple),
)
answers = st.builds(
    PortabilityAnswer, st.lists(st.builds(PlatformVerdict, places, verdicts), max_size=3).map(tuple), counts, examples
)
libcs = st.builds(
    LibcAnswer,
    st.lists(st.builds(LibcHosts, facts.words, facts.words, facts.words, counts, examples), max_size=3).map(tuple),
    counts,
)
builds = st.builds(
    MatrixBuild,
    digest=facts.digests,
    implementation=facts.words,
    provider=facts.words,
    hosts=counts,
    version=facts.maybe(facts.words),
    provider_build=facts.maybe(facts.words),
    arch=facts.maybe(facts.words),
    flags=st.lists(facts.words, max_size=3).map(tuple),
    glibc=facts.maybe(facts.words),
)


@st.composite
def matrices(draw: DrawFn) -> Matrix:
    """A matrix of any size, none included."""
    rows = tuple(draw(st.lists(builds, max_size=3)))
    columns = tuple(draw(st.lists(places, max_size=3)))
    few = draw(st.lists(verdicts, min_size=1, max_size=3))
    cells = tuple(tuple(draw(st.sampled_from(few)) for _ in columns) for _ in rows)
    return Matrix(rows, columns, cells, draw(counts), draw(examples))


@settings(deadline=None, max_examples=50)
@given(reasons)
def test_reasons_survive_the_wire(value: Reason) -> None:
    assert reason_from_proto(reason_to_proto(value)) == value


@settings(deadline=None, max_examples=50)
@given(answers)
def test_answers_survive_the_wire(value: PortabilityAnswer) -> None:
    message = fleet_pb2.CheckPortabilityResponse.FromString(portability_to_proto(value).SerializeToString())
    assert portability_from_proto(message) == value


@settings(deadline=None, max_examples=50)
@given(libcs)
def test_c_libraries_survive_the_wire(value: LibcAnswer) -> None:
    message = fleet_pb2.GetLibcHostsResponse.FromString(libcs_to_proto(value).SerializeToString())
    assert libcs_from_proto(message) == value


@settings(deadline=None, max_examples=50)
@given(matrices())
def test_matrices_survive_the_wire_and_name_each_reason_once(value: Matrix) -> None:
    message = fleet_pb2.GetMatrixResponse.FromString(matrix_to_proto(value).SerializeToString())
    assert matrix_from_proto(message) == value
    named = [reason_from_proto(reason) for reason in message.reasons]
    assert len(set(named)) == len(named)


def test_an_obstacle_of_the_future_is_an_obstacle() -> None:
    message = fleet_pb2.PortabilityReason(kind="quantum", needs="a qubit", known=True)
    assert reason_from_proto(message) == Reason(ReasonKind.REQUIREMENT, "a qubit")


_BUILD = fleet_pb2.MatrixBuild(digest=b"b" * 32, implementation="cpython", provider="pbs")
_PLACE = fleet_pb2.PlatformHosts(platform=b"p" * 32)
_CELL = fleet_pb2.MatrixCell(verdict="runs")


@pytest.mark.parametrize(
    ("message", "field"),
    [
        pytest.param(fleet_pb2.GetMatrixResponse(builds=[_BUILD], platforms=[_PLACE]), "cells", id="cell missing"),
        pytest.param(
            fleet_pb2.GetMatrixResponse(builds=[_BUILD], platforms=[_PLACE], cells=[_CELL, _CELL]),
            "cells",
            id="cell twice",
        ),
        pytest.param(fleet_pb2.GetMatrixResponse(platforms=[_PLACE], cells=[_CELL]), "cells", id="of no build"),
        pytest.param(fleet_pb2.GetMatrixResponse(builds=[_BUILD], cells=[_CELL]), "cells", id="on no platform"),
        pytest.param(
            fleet_pb2.GetMatrixResponse(
                builds=[_BUILD], platforms=[_PLACE], cells=[fleet_pb2.MatrixCell(verdict="runs", degraded=[0])]
            ),
            "cells.reasons",
            id="reason that is not there",
        ),
        pytest.param(
            fleet_pb2.GetMatrixResponse(
                builds=[_BUILD], platforms=[_PLACE], cells=[fleet_pb2.MatrixCell(verdict="sometimes")]
            ),
            "cells.verdict",
            id="verdict of the future",
        ),
        pytest.param(
            fleet_pb2.GetMatrixResponse(builds=[fleet_pb2.MatrixBuild(digest=b"short")], platforms=[]),
            "builds.digest",
            id="no digest",
        ),
    ],
)
def test_matrices_that_make_no_sense_are_refused_and_the_field_is_named(
    message: fleet_pb2.GetMatrixResponse, field: str
) -> None:
    with pytest.raises(InvalidFactError) as refused:
        matrix_from_proto(message)
    assert refused.value.field == field


@pytest.mark.parametrize(
    ("message", "field"),
    [
        pytest.param(fleet_pb2.PlatformVerdict(on=_PLACE, verdict="maybe"), "verdicts.verdict", id="verdict"),
        pytest.param(fleet_pb2.PlatformVerdict(verdict="runs"), "platform", id="place"),
    ],
)
def test_answers_that_make_no_sense_are_refused(message: fleet_pb2.PlatformVerdict, field: str) -> None:
    with pytest.raises(InvalidFactError) as refused:
        portability_from_proto(fleet_pb2.CheckPortabilityResponse(verdicts=[message]))
    assert refused.value.field == field
