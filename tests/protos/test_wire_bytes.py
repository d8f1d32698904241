"""Any bytes at the collector's doors: understood, or refused with what the catalogue of errors knows.

The fuzzer's targets do the same with inputs that it finds (``make fuzz``); here hypothesis damages valid messages.
"""

from __future__ import annotations

from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from libcensus.collector.service.census import check_fact, parse_message
from libcensus.collector.service.errors import CallError, MalformedMessageError
from libcensus.facts import codec
from libcensus.facts.digest import FactKind, fact_digest
from libcensus.facts.validation import InvalidFactError
from libcensus.v1 import census_pb2, enrollment_pb2
from tests.protos import strategies as made

REFUSALS = (InvalidFactError, CallError)

short_texts = st.text(max_size=40)
short_bytes = st.binary(max_size=200)
enroll_requests = st.builds(
    enrollment_pb2.EnrollRequest,
    token=short_texts,
    certificate_signing_request=short_bytes,
    machine_id_hash=short_texts,
    hostname=short_texts,
)
renew_requests = st.builds(
    enrollment_pb2.RenewRequest,
    certificate_signing_request=short_bytes,
    certificate_chain=st.lists(short_bytes, max_size=4),
    challenge=short_bytes,
    signature=short_bytes,
)
challenge_responses = st.builds(enrollment_pb2.ChallengeResponse, challenge=short_bytes)
enroll_responses = st.builds(
    enrollment_pb2.EnrollResponse,
    certificate_chain=st.lists(short_bytes, max_size=4),
    trusted_roots=st.lists(short_bytes, max_size=4),
)


@st.composite
def damaged(draw: st.DrawFn, messages: st.SearchStrategy[bytes]) -> bytes:
    """Bytes of a message, some of which are changed, doubled or cut off."""
    raw = bytearray(draw(messages))
    for _ in range(draw(st.integers(0, 4))):
        if raw:
            raw[draw(st.integers(0, len(raw) - 1))] = draw(st.integers(0, 255))
    end = draw(st.integers(0, len(raw)))
    return bytes(raw[:end] if draw(st.booleans()) else raw) + draw(st.binary(max_size=4))


reports = made.reports.map(lambda report: codec.report_to_proto(report).SerializeToString())


@given(damaged(reports))
@settings(max_examples=200)
def test_a_damaged_report_is_understood_or_refused(raw: bytes) -> None:
    with suppress(*REFUSALS):
        report = codec.report_from_proto(parse_message(census_pb2.ReportRequest, raw))
        assert codec.report_from_proto(codec.report_to_proto(report)) == report


def upload(kind: FactKind, payload: bytes) -> bytes:
    return census_pb2.UploadFactsRequest(
        kind=codec.fact_kind_to_proto(kind),
        digest=codec.digest_to_proto(fact_digest(kind, payload)),
        payload=payload,
    ).SerializeToString()


@given(damaged(made.facts.map(lambda fact: upload(*codec.encode_fact(fact)[::2]))))
@settings(max_examples=150)
def test_a_damaged_upload_is_what_it_says_or_refused(raw: bytes) -> None:
    with suppress(*REFUSALS):
        record, fact = check_fact(raw)
        assert record.digest == fact_digest(record.kind, record.payload)
        assert codec.decode_fact(record.kind, record.payload) == fact


@given(made.facts, st.data())
@settings(max_examples=150)
def test_a_damaged_fact_with_the_right_digest_is_understood_or_refused(fact: codec.Fact, data: st.DataObject) -> None:
    kind, _, payload = codec.encode_fact(fact)
    with suppress(*REFUSALS):
        record, _ = check_fact(upload(kind, data.draw(damaged(st.just(payload)))))
        assert record.kind is kind


@pytest.mark.parametrize(
    ("messages", "message_type"),
    [
        (enroll_requests, enrollment_pb2.EnrollRequest),
        (renew_requests, enrollment_pb2.RenewRequest),
        (challenge_responses, enrollment_pb2.ChallengeResponse),
        (enroll_responses, enrollment_pb2.EnrollResponse),
    ],
    ids=["enroll", "renew", "challenge", "enrolled"],
)
@given(data=st.data())
def test_messages_of_enrollment_come_back_and_damage_is_refused_by_name(
    messages: st.SearchStrategy[Any], message_type: Any, data: st.DataObject
) -> None:
    message = data.draw(messages)
    assert parse_message(message_type, message.SerializeToString()) == message
    try:
        parse_message(message_type, data.draw(damaged(st.just(message.SerializeToString()))))
    except MalformedMessageError as error:
        assert message_type.DESCRIPTOR.full_name in str(error)  # noqa: PT017 - either is fine


@pytest.mark.parametrize(
    ("field", "value"), [("waiting_reports", 2**31), ("dropped_reports", 2**63), ("dropped_facts", 2**63)]
)
def test_a_state_that_no_agent_can_have_is_refused_by_its_field(field: str, value: int) -> None:
    report = census_pb2.ReportRequest(
        report_id=bytes(16), agent_version="1", inventory=bytes(32), agent_state=census_pb2.AgentState(**{field: value})
    )
    report.scanned_at.seconds = 1
    report.scan_duration.seconds = 1
    with pytest.raises(InvalidFactError, match=f"agent_state.{field}"):
        codec.report_from_proto(report)
