"""Names in certificates: written, read, and nothing else taken for one."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from libcensus.collector.pki.identity import Identity, InvalidIdentityError, Role, parse_identity

DOMAINS = st.from_regex(re.compile(r"[a-z0-9][a-z0-9._-]{0,62}", re.ASCII), fullmatch=True)
AGENTS = st.tuples(st.just(Role.AGENT), st.text("0123456789abcdef", min_size=32, max_size=32))
OPERATORS = st.tuples(
    st.just(Role.OPERATOR), st.from_regex(re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,62}", re.ASCII), fullmatch=True)
)


@given(DOMAINS, st.one_of(AGENTS, OPERATORS))
def test_what_was_written_is_read_again(domain: str, holder: tuple[Role, str]) -> None:
    identity = Identity(domain, *holder)
    assert parse_identity(identity.uri) == identity
    assert identity.subject == f"{holder[0]}/{holder[1]}"


@pytest.mark.parametrize(
    "uri",
    [
        "",
        "agent/" + "a" * 32,
        "https://census/agent/" + "a" * 32,
        "spiffe://census/host/" + "a" * 32,
        "spiffe://census/agent/" + "a" * 31,
        "spiffe://census/agent/" + "A" * 32,
        "spiffe://census/agent/" + "a" * 32 + "/more",
        "spiffe://census/agent/" + "a" * 32 + "\n",
        "spiffe://census/operator/",
        "spiffe://census/operator/" + "o" * 64,
        "spiffe://census/operator/../agent",
        "spiffe://Census/operator/ada",
        "spiffe:///operator/ada",
        "spiffe://user@census/operator/ada",
        "spiffe://census:1/operator/ada",
        "spiffe://census/operator/ada?x",
        "spiffe://census/operator/a%64a",
    ],
)
def test_what_is_no_name_is_refused(uri: str) -> None:
    with pytest.raises(InvalidIdentityError):
        parse_identity(uri)
