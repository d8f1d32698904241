"""How long fixes took: the bridge to the wire; what is told is tested with the index and with the command."""

from __future__ import annotations

from datetime import UTC, date, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from libcensus.collector.posture.finding import Component, Severity
from libcensus.collector.posture.lag import LagSummary
from libcensus.collector.posture.speed import SpeedRatio
from libcensus.collector.service import providers_codec as codec
from libcensus.facts.validation import InvalidFactError
from libcensus.v1 import fleet_pb2
from tests.collector.service.test_posture import components, counts, days, many, several, severities
from tests.protos import strategies as facts

ratios = st.floats(min_value=1e-3, max_value=1e3)
answers = st.builds(
    codec.ProvidersAnswer,
    patching=several(
        st.builds(
            codec.ProviderPatching,
            facts.words,
            components,
            severities,
            many,
            st.floats(0, 1e12),
            facts.maybe(counts),
            facts.maybe(counts),
            several(st.builds(codec.PatchedShare, counts, many, many)),
            many,
            many,
            many,
            many,
            many,
            facts.maybe(days),
        )
    ),
    lags=several(st.builds(LagSummary, facts.texts, components, counts, counts, counts, counts)),
    hosts=counts,
    watched_since=facts.maybe(days),
    day=days,
    advisories_day=days,
    unknown_keys=several(facts.words),
    speeds=several(
        st.builds(
            codec.ProviderSpeed,
            facts.texts,
            facts.words,
            facts.words,
            facts.words,
            facts.maybe(facts.words),
            facts.words,
            facts.words,
            facts.maybe(facts.words),
            st.builds(SpeedRatio, ratios, st.none(), st.none()) | st.builds(SpeedRatio, ratios, ratios, ratios),
            st.integers(946684800, 4102444800).map(lambda seconds: datetime.fromtimestamp(seconds, UTC)),
        )
    ),
)


@given(answers)
def test_what_is_encoded_is_decoded(answer: codec.ProvidersAnswer) -> None:
    message = fleet_pb2.GetProvidersResponse.FromString(codec.providers_to_proto(answer).SerializeToString())
    assert codec.providers_from_proto(message) == answer


def test_words_of_a_newer_collector() -> None:
    day = date(2026, 1, 1)
    one = codec.ProviderPatching("pbs", Component.OPENSSL, Severity.HIGH, 0, 0.0, None, None, (), 0, 0, 0, 0, 0, None)
    message = codec.providers_to_proto(codec.ProvidersAnswer((one,), (), 0, None, day, day))
    message.patching[0].severity = "dire"
    assert codec.providers_from_proto(message).patching[0].severity is Severity.UNKNOWN
    message.patching[0].component = "boat"
    with pytest.raises(InvalidFactError, match=r"patching\.component"):
        codec.providers_from_proto(message)


@pytest.mark.parametrize("ratio", [0.0, -1.0, float("nan"), float("inf")])
def test_a_speed_that_is_none_is_refused(ratio: float) -> None:
    message = fleet_pb2.GetProvidersResponse(
        day="2026-01-01", advisories_day="2026-01-01", speeds=[fleet_pb2.BuildSpeed(ratio=ratio)]
    )
    with pytest.raises(InvalidFactError, match=r"speeds\.ratio"):
        codec.providers_from_proto(message)


def test_a_speed_without_a_time_is_refused() -> None:
    message = fleet_pb2.GetProvidersResponse(
        day="2026-01-01", advisories_day="2026-01-01", speeds=[fleet_pb2.BuildSpeed(ratio=1, measured_at="now")]
    )
    with pytest.raises(InvalidFactError, match=r"speeds\.measured_at"):
        codec.providers_from_proto(message)
