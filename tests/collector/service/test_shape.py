"""What would unpack to too much is refused before it is unpacked; what is real passes."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from libcensus.collector.service.errors import MalformedMessageError
from libcensus.collector.service.shape import MAX_MESSAGES, SMALL_BYTES, check_shape
from libcensus.facts.codec import encode_fact
from libcensus.facts.interpreter import InstallSet
from libcensus.v1 import census_pb2, facts_pb2
from tests.contract.specimens import build, install

INSTALLS = facts_pb2.InstallSet.DESCRIPTOR
REPORT = census_pb2.ReportRequest.DESCRIPTOR
EMPTY_INSTALL = b"\x0a\x00"
EMPTY_PROBE = b"\x32\x00"


@pytest.mark.parametrize(
    ("descriptor", "raw"),
    [
        (INSTALLS, EMPTY_INSTALL * (MAX_MESSAGES + 1)),
        (REPORT, EMPTY_PROBE * (8 << 20)),
        (REPORT, b"\x32" + b"\x80\x80\x80\x02" + b"\x2a\x00" * (2 << 20)),
        (REPORT, b"\x08\x01" * (1 << 20)),
    ],
    ids=["installs", "probes", "skips of one probe", "scalars"],
)
def test_a_message_that_unpacks_to_too_much_is_refused(descriptor: object, raw: bytes) -> None:
    with pytest.raises(MalformedMessageError, match="holds more than"):
        check_shape(descriptor, raw)


def test_a_host_with_ten_thousand_installs_passes() -> None:
    made = build("m")
    _, _, payload = encode_fact(InstallSet(tuple(install(f"/opt/{number:06d}", made) for number in range(10_000))))
    assert len(payload) > SMALL_BYTES
    check_shape(INSTALLS, payload)


@given(st.binary(max_size=200), st.integers(SMALL_BYTES // 100, SMALL_BYTES // 50))
def test_any_bytes_end(piece: bytes, times: int) -> None:
    check_shape(REPORT, piece * times)


def test_groups_and_what_is_cut_off_end_the_look() -> None:
    check_shape(REPORT, b"\x0b" * (2 * SMALL_BYTES))
    check_shape(REPORT, b"\x80" * (16 << 20))
    check_shape(REPORT, b"\x32\xff\xff\xff\x7f" + bytes(2 * SMALL_BYTES))
