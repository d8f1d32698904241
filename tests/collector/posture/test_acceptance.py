"""Which statement covers what, on which day."""

from __future__ import annotations

from dataclasses import replace
from datetime import date, timedelta
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from libcensus.collector.posture.acceptance import (
    Acceptances,
    HostScope,
    Place,
    PlaceScope,
    Scope,
    Statement,
    StatementState,
    place_of,
    why_unmatched,
)
from libcensus.collector.posture.finding import Clocks, Component, Judgement, Severity, Subject, SubjectKind, VexStatus
from libcensus.collector.posture.selector import Selector

DAY = date(2026, 11, 20)
BUILD = "ab" * 32
PYTHON = Place("/", frozenset({"/usr/bin/python3", "/usr/bin/python3.11"}), BUILD)


def statement(*scopes: Scope, **changes: Any) -> Statement:
    made = Statement(
        id="https://example.com/vex#1",
        document="https://example.com/vex",
        author="platform",
        advisories=("CVE-2025-15467",),
        status=VexStatus.NOT_AFFECTED,
        justification="component_not_present",
        reason="",
        scopes=scopes or (Scope(HostScope()),),
        since=DAY - timedelta(days=10),
        expires=DAY + timedelta(days=10),
    )
    return replace(made, **changes)


def judgement(**changes: Any) -> Judgement:
    made = Judgement(
        component=Component.OPENSSL,
        linkage=None,
        advisory="CVE-2025-15467",
        severity=Severity.HIGH,
        status=VexStatus.AFFECTED,
        fixed_in=None,
        fix_available=None,
        remedy=None,
        evidence=(),
        clocks=Clocks(DAY),
    )
    return replace(made, **changes)


def covers(one: Statement, place: Place = PYTHON, today: date = DAY, **changes: Any) -> bool:
    acceptances = Acceptances([one], today)
    hosts = acceptances.hosts_of("id-1", "web-1", {"env": "prod"})
    return acceptances.covering(judgement(**changes), hosts, acceptances.places_of(place)) is not None


@pytest.mark.parametrize(
    ("hosts", "is_covered"),
    [
        (HostScope(), True),
        (HostScope(host="web-1"), True),
        (HostScope(host="id-1"), True),
        (HostScope(host="web"), False),
        (HostScope(selector=Selector.parse("env=prod")), True),
        (HostScope(selector=Selector.parse("env!=prod")), False),
        (HostScope(host="web-1", selector=Selector.parse("env!=prod")), False),
    ],
    ids=str,
)
def test_which_hosts(hosts: HostScope, *, is_covered: bool) -> None:
    assert covers(statement(Scope(hosts))) is is_covered


@pytest.mark.parametrize(
    ("places", "is_covered"),
    [
        (PlaceScope(build=BUILD), True),
        (PlaceScope(build="cd" * 32), False),
        (PlaceScope(root="/"), True),
        (PlaceScope(root="web"), False),
        (PlaceScope(root="/", path="/usr/bin/python3.11"), True),
        (PlaceScope(root="/", path="/usr/bin/python"), False),
        (PlaceScope(root="web", path="/usr/bin/python3.11"), False),
        (PlaceScope(build=BUILD, path="/usr/bin/python3"), True),
    ],
    ids=str,
)
def test_which_things(places: PlaceScope, *, is_covered: bool) -> None:
    assert covers(statement(Scope(HostScope(), places))) is is_covered


@pytest.mark.parametrize(
    ("changes", "is_covered"),
    [
        ({}, True),
        ({"status": VexStatus.UNDER_INVESTIGATION}, True),
        ({"status": VexStatus.FIXED}, False),
        ({"status": VexStatus.NOT_AFFECTED}, False),
        ({"advisory": "CVE-2026-0001"}, False),
    ],
)
def test_which_findings(changes: dict[str, Any], *, is_covered: bool) -> None:
    assert covers(statement(), **changes) is is_covered


@pytest.mark.parametrize(
    ("day", "state"),
    [
        (DAY - timedelta(days=11), StatementState.PENDING),
        (DAY - timedelta(days=10), StatementState.ACTIVE),
        (DAY + timedelta(days=10), StatementState.ACTIVE),
        (DAY + timedelta(days=11), StatementState.EXPIRED),
    ],
)
def test_it_counts_from_its_first_day_through_its_last(day: date, state: StatementState) -> None:
    assert statement().state(day) is state
    assert covers(statement(), today=day) is (state is StatementState.ACTIVE)


def test_one_that_ends_before_it_begins_never_counts() -> None:
    one = statement(since=DAY, expires=DAY - timedelta(days=1))
    assert not any(covers(one, today=DAY + timedelta(days=days)) for days in range(-3, 3))


def test_an_alias_is_as_good_as_the_name() -> None:
    assert covers(statement(advisories=("PSF-2025-1", "CVE-2025-15467")))


def test_any_product_is_enough_and_each_keeps_its_things_together() -> None:
    elsewhere, here = Scope(HostScope(host="db-1"), PlaceScope(root="/")), Scope(HostScope(host="web-1"))
    assert covers(statement(elsewhere, here))
    # Of two products neither holds as a whole.
    assert not covers(statement(elsewhere, Scope(HostScope(host="web-1"), PlaceScope(root="web"))))


def test_the_one_that_began_last_is_told() -> None:
    old, new = statement(id="old", expires=DAY + timedelta(days=90)), statement(id="new", since=DAY - timedelta(days=1))
    for order in ([old, new], [new, old]):
        acceptances = Acceptances(order, DAY)
        found = acceptances.covering(judgement(), acceptances.hosts_of("x", "x", {}), frozenset())
        assert found is new
    assert new.told.statement == "new"


def test_without_statements_nothing_is_covered() -> None:
    assert not Acceptances([], DAY)
    assert not Acceptances([statement(expires=DAY - timedelta(days=1))], DAY)
    assert Acceptances([statement()], DAY)


SCOPES = st.builds(
    Scope,
    st.sampled_from([HostScope(), HostScope("web-1"), HostScope("db"), HostScope(None, Selector.parse("env=prod"))]),
    st.sampled_from([None, PlaceScope(BUILD), PlaceScope(root="web"), PlaceScope(root="/", path="/usr/bin/python3")]),
)


@given(st.lists(st.tuples(st.lists(SCOPES, min_size=1, max_size=3), st.integers(-20, 20)), max_size=5))
def test_two_steps_find_what_asking_each_statement_finds(drawn: list[tuple[list[Scope], int]]) -> None:
    statements = [
        statement(*scopes, id=str(number), expires=DAY + timedelta(days=days))
        for number, (scopes, days) in enumerate(drawn)
    ]
    acceptances = Acceptances(statements, DAY)
    host = ("id-1", "web-1", {"env": "prod"})
    found = acceptances.covering(judgement(), acceptances.hosts_of(*host), acceptances.places_of(PYTHON))
    asked = {
        one.id
        for one in statements
        if one.expires >= DAY
        and any(s.hosts.covers(*host) and (s.places is None or s.places.covers(PYTHON)) for s in one.scopes)
    }
    assert (found is not None) is bool(asked)
    assert found is None or found.id in asked


def test_where_a_thing_lies() -> None:
    install = SimpleNamespace(realpath="/usr/bin/python3.11", aliases=("/bin/python3",), build=BUILD)
    subject = Subject(SubjectKind.INSTALL, "/", "/usr/bin/python3")
    judged: Any = SimpleNamespace(subject=subject, install=install)
    assert place_of(judged) == Place("/", frozenset({"/usr/bin/python3", "/usr/bin/python3.11", "/bin/python3"}), BUILD)
    copy: Any = SimpleNamespace(subject=replace(subject, kind=SubjectKind.CRYPTO_COPY))
    assert place_of(copy) == Place("/", frozenset({"/usr/bin/python3"}))


@pytest.mark.parametrize(
    ("known", "hosts", "words"),
    [
        (frozenset({"CVE-1"}), 3, "matches nothing: no advisory CVE-2025-15467 in the snapshot of 2026-11-19"),
        (frozenset({"CVE-2025-15467"}), 0, "matches nothing: no host has reported that is of host web-9"),
        (
            frozenset({"CVE-2025-15467"}),
            1,
            "matches nothing: CVE-2025-15467 is not open for build abababababab on host web-9",
        ),
    ],
)
def test_why_one_matches_nothing(known: frozenset[str], hosts: int, words: str) -> None:
    one = statement(Scope(HostScope(host="web-9"), PlaceScope(build=BUILD)))
    assert why_unmatched(one, known, date(2026, 11, 19), hosts) == words


@pytest.mark.parametrize(
    ("scope", "words"),
    [
        (Scope(HostScope()), "the whole fleet"),
        (Scope(HostScope(selector=Selector.parse("team=web,env!=dev"))), "hosts with env!=dev,team=web"),
        (Scope(HostScope(host="web-1"), PlaceScope(root="/", path="/x")), "/x on host web-1"),
        (Scope(HostScope(host="web-1"), PlaceScope(root="box", path="/x")), "/x in root box on host web-1"),
        (Scope(HostScope(), PlaceScope(root="box")), "root box on the whole fleet"),
        (Scope(HostScope(), PlaceScope(root="/")), "the host's own root on the whole fleet"),
        (Scope(HostScope(), PlaceScope(build=BUILD)), "build abababababab on the whole fleet"),
    ],
)
def test_scopes_in_words(scope: Scope, words: str) -> None:
    assert str(scope) == words
