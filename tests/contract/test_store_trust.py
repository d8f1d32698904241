"""What every store promises about join tokens, certificates, bans, and whom to refuse."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest

from libcensus.collector.pki.records import Ban, CertificateRecord, JoinToken, Refusals
from libcensus.collector.store.contract import EnrollOutcome
from libcensus.collector.store.sql import SqlStore
from libcensus.facts.report import AgentState
from tests.contract.specimens import NOON, Census, build, received

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime

    from libcensus.collector.store.contract import Store

A, B = f"agent/{'a' * 32}", f"agent/{'b' * 32}"
WEEK, HOUR = timedelta(days=7), timedelta(hours=1)


def token(token_id: str = "t1", **changes: Any) -> JoinToken:  # noqa: S107 - an id and no secret
    plain = JoinToken(
        token_id=token_id,
        secret_sha256=bytes(range(32)),
        created_at=NOON,
        expires_at=NOON + HOUR,
        uses=2,
        uses_left=2,
    )
    return replace(plain, **changes)


def certificate(
    serial: str, subject: str = A, key: str = "1", at: datetime = NOON, **changes: Any
) -> CertificateRecord:
    plain = CertificateRecord(
        serial=serial, subject=subject, key_sha256=key * 64, issued_at=at, expires_at=at + WEEK, hostname="web"
    )
    return replace(plain, **changes)


def test_there_is_nothing_at_first(store: Store) -> None:
    assert store.tokens() == []
    assert store.certificates() == []
    assert store.bans() == []
    assert store.refusals(NOON) == Refusals()
    assert store.find_token("t1") is None
    assert store.find_certificate("1f") is None
    assert store.forget_expired(NOON) == 0


# --- tokens ----------------------------------------------------------------------------------------------------------


def test_tokens_come_back_as_they_were_put(database: str) -> None:
    full = token("t2", created_at=NOON + HOUR, hostname="web-1", labels={"env": "prod", "a": ""}, replaces=True)
    with SqlStore.open(database) as store:
        store.put_token(token())
        store.put_token(full)
    with SqlStore.open(database) as store:
        assert store.tokens() == [full, token()]
        assert store.find_token("t2") == full


def test_certificates_are_read_one_after_the_other(store: Store) -> None:
    made = [certificate(f"{number:x}", A if number % 3 else B, at=NOON + number * HOUR) for number in range(1, 30)]
    for one in made:
        store.put_certificate(one)
    assert list(store.each_certificate()) == store.certificates() == made[::-1]
    assert list(store.each_certificate(B)) == store.certificates(B)
    late = NOON + WEEK + 20 * HOUR
    assert list(store.each_certificate(expires_after=late)) == [one for one in made[::-1] if one.expires_at > late]
    assert list(store.each_certificate("agent/none")) == []


def test_a_token_is_revoked_once(store: Store) -> None:
    store.put_token(token())
    assert store.revoke_token("t1", NOON)
    assert not store.revoke_token("t1", NOON + HOUR)
    assert not store.revoke_token("t2", NOON)
    assert store.tokens() == [token(revoked_at=NOON)]


def test_a_token_serves_as_often_as_it_says(store: Store) -> None:
    store.put_token(token())
    outcomes = [
        store.enroll("t1", certificate(f"{number}", f"agent/{number:032x}"), NOON, alive_after=NOON)
        for number in range(3)
    ]
    assert outcomes == [EnrollOutcome.ENROLLED, EnrollOutcome.ENROLLED, EnrollOutcome.TOKEN_REFUSED]
    assert [one.serial for one in store.certificates()] == ["1", "0"]
    assert store.tokens() == [token(uses_left=0)]


@pytest.mark.parametrize(
    "spoiled",
    [{"revoked_at": NOON - HOUR}, {"expires_at": NOON}, {"uses_left": 0}, {"token_id": "another"}],
    ids=lambda changes: next(iter(changes)),
)
def test_a_token_that_is_good_no_more_enrolls_nobody(store: Store, spoiled: dict[str, Any]) -> None:
    store.put_token(token(labels={"env": "prod"}, **spoiled) if "token_id" not in spoiled else token("another"))
    kept = store.tokens()
    assert store.enroll("t1", certificate("1"), NOON, alive_after=None) is EnrollOutcome.TOKEN_REFUSED
    assert store.certificates() == []
    assert store.tokens() == kept
    assert store.labels() == {}


def in_many_stores(database: str, number: int, work: Callable[[Store, int], Any]) -> list[Any]:
    """Do something in several threads at once: each with a store of its own on PostgreSQL, as collectors would."""
    with ExitStack() as stack:
        first = stack.enter_context(SqlStore.open(database))
        beside = [stack.enter_context(SqlStore.open(database, beside=True)) for _ in range(number - 1)]
        with ThreadPoolExecutor(number) as pool:
            return list(pool.map(work, [first, *beside], range(number)))


def test_the_last_use_of_a_token_is_got_by_exactly_one(database: str) -> None:
    with SqlStore.open(database) as store:
        for turn in range(10):
            store.put_token(token(f"t{turn}", uses_left=1))

    def rush(store: Store, number: int) -> list[bool]:
        return [
            store.enroll(f"t{turn}", certificate(f"{turn}{number}", f"agent/{turn}{number}"), NOON, alive_after=NOON)
            is EnrollOutcome.ENROLLED
            for turn in range(10)
        ]

    found = in_many_stores(database, 4, rush)
    assert [sum(turn) for turn in zip(*found, strict=True)] == [1] * 10
    with SqlStore.open(database) as store:
        assert len(store.certificates()) == 10
        assert {one.uses_left for one in store.tokens()} == {0}


# --- enrollment ------------------------------------------------------------------------------------------------------


def test_the_labels_of_a_token_are_given_to_the_host(store: Store) -> None:
    store.set_labels("a" * 32, {"env": "staging", "team": "web"})
    store.put_token(token(labels={"env": "prod", "zone": "b"}))
    store.enroll("t1", certificate("1"), NOON, alive_after=NOON)
    assert store.labels() == {"a" * 32: {"env": "prod", "team": "web", "zone": "b"}}


def test_a_host_with_another_key_is_enrolled_already_as_long_as_its_certificate_lives(store: Store) -> None:
    store.put_token(token(uses_left=9))
    assert store.enroll("t1", certificate("1"), NOON, alive_after=NOON) is EnrollOutcome.ENROLLED
    second = certificate("2", key="2")
    already = EnrollOutcome.ALREADY_ENROLLED
    assert store.enroll("t1", second, NOON, alive_after=NOON + WEEK - timedelta(seconds=1)) is already
    assert [one.serial for one in store.certificates(A)] == ["1"]
    assert store.find_token("t1") == token(uses_left=8)
    # The same key, another host, and a certificate that ended: none stands in the way.
    assert store.enroll("t1", certificate("3"), NOON, alive_after=NOON) is EnrollOutcome.ENROLLED
    assert store.enroll("t1", certificate("4", B, "4"), NOON, alive_after=NOON) is EnrollOutcome.ENROLLED
    assert store.enroll("t1", second, NOON, alive_after=NOON + WEEK) is EnrollOutcome.ENROLLED


def test_a_revoked_certificate_does_not_stand_in_the_way(store: Store) -> None:
    store.put_token(token())
    store.put_certificate(certificate("1"))
    assert store.revoke_certificates(NOON, "key lost", subject=A) == 1
    assert store.enroll("t1", certificate("2", key="2"), NOON, alive_after=NOON) is EnrollOutcome.ENROLLED


def test_enrolling_anew_revokes_the_certificates_of_other_keys(store: Store) -> None:
    store.put_token(token())
    for one in (certificate("1"), certificate("2", key="2"), certificate("3", B)):
        store.put_certificate(one)
    new = certificate("4", key="2", at=NOON + HOUR / 2)
    assert store.enroll("t1", new, NOON + HOUR / 2, alive_after=None) is EnrollOutcome.ENROLLED
    assert {one.serial for one in store.certificates() if one.revoked_at is not None} == {"1"}
    replaced = store.find_certificate("1")
    assert replaced is not None
    assert (replaced.revoked_at, replaced.revoked_reason) == (NOON + HOUR / 2, "replaced by an enrollment anew")


def test_of_two_machines_that_enroll_as_one_host_at_once_one_is_refused(database: str) -> None:
    with SqlStore.open(database) as store:
        store.put_token(token(uses_left=1000))

    def rush(store: Store, number: int) -> list[EnrollOutcome]:
        return [
            store.enroll("t1", certificate(f"{turn}{number}", f"agent/{turn}", str(number)), NOON, alive_after=NOON)
            for turn in range(10)
        ]

    found = in_many_stores(database, 3, rush)
    for turn in zip(*found, strict=True):
        assert sorted(turn) == ["already_enrolled", "already_enrolled", "enrolled"]


# --- certificates ----------------------------------------------------------------------------------------------------


def test_certificates_come_back_as_they_were_put(database: str) -> None:
    full = certificate(
        "fe",
        "operator/ada",
        at=NOON + HOUR,
        hostname=None,
        predecessor="1",
        token_id="t1",
        first_used_at=NOON + HOUR,
        revoked_at=NOON + WEEK,
        revoked_reason="left",
    )
    with SqlStore.open(database) as store:
        store.put_certificate(certificate("1"))
        store.put_certificate(full)
    with SqlStore.open(database) as store:
        assert store.certificates() == [full, certificate("1")]
        assert store.certificates("operator/ada") == [full]
        assert store.certificates("operator/nobody") == []
        assert store.find_certificate("fe") == full


def test_the_first_use_is_noted_once(store: Store) -> None:
    store.put_certificate(certificate("1"))
    store.put_certificate(certificate("2"))
    store.note_certificate_use([], NOON)
    store.note_certificate_use(["1", "unknown"], NOON)
    store.note_certificate_use({"1", "2"}, NOON + HOUR)
    assert {one.serial: one.first_used_at for one in store.certificates()} == {"1": NOON, "2": NOON + HOUR}


def test_a_renewal_whose_answer_was_lost_is_given_again_and_the_lost_one_is_revoked(store: Store) -> None:
    store.put_certificate(certificate("1"))
    assert store.renew(certificate("2", key="2", predecessor="1"), NOON + HOUR)
    assert store.renew(certificate("3", key="3", predecessor="1"), NOON + 2 * HOUR)
    assert {one.serial: one.revoked_at for one in store.certificates()} == {"1": None, "2": NOON + 2 * HOUR, "3": None}


def test_a_certificate_that_is_renewed_was_in_use(store: Store) -> None:
    store.put_certificate(certificate("1"))
    store.put_certificate(certificate("2", B, first_used_at=NOON))
    for serial, subject in (("1", A), ("2", B)):
        assert store.renew(certificate(f"{serial}0", subject, "2", predecessor=serial), NOON + HOUR)
    first_used = {one.serial: one.first_used_at for one in store.certificates()}
    assert first_used == {"1": NOON + HOUR, "10": None, "2": NOON, "20": None}


def test_a_certificate_whose_successor_is_in_use_is_renewed_no_more(store: Store) -> None:
    store.put_certificate(certificate("1"))
    assert store.renew(certificate("2", key="2", predecessor="1"), NOON)
    store.note_certificate_use(["2"], NOON)
    assert not store.renew(certificate("3", key="3", predecessor="1"), NOON + HOUR)
    assert store.renew(certificate("4", key="4", predecessor="2"), NOON + HOUR)
    assert {one.serial for one in store.certificates()} == {"1", "2", "4"}


@pytest.mark.parametrize("changes", [{"predecessor": "9"}, {"subject": B}, {"predecessor": "0"}])
def test_nothing_is_renewed_that_is_not_there_or_revoked_or_another_subjects(
    store: Store, changes: dict[str, Any]
) -> None:
    store.put_certificate(certificate("0", revoked_at=NOON, revoked_reason="left"))
    store.put_certificate(certificate("1"))
    assert not store.renew(replace(certificate("2", key="2", predecessor="1"), **changes), NOON)
    assert store.find_certificate("2") is None


def test_of_renewals_of_one_certificate_at_once_one_stays_good(database: str) -> None:
    with SqlStore.open(database) as store:
        for turn in range(10):
            store.put_certificate(certificate(f"{turn}", f"agent/{turn}"))

    def rush(store: Store, number: int) -> None:
        for turn in range(10):
            new = certificate(f"{turn}{number}", f"agent/{turn}", str(number), predecessor=f"{turn}")
            assert store.renew(new, NOON)

    in_many_stores(database, 3, rush)
    with SqlStore.open(database) as store:
        for turn in range(10):
            found = store.certificates(f"agent/{turn}")
            assert len(found) == 4
            assert sum(one.revoked_at is None for one in found) == 2


def test_certificates_are_revoked_by_subject_or_serial(store: Store) -> None:
    for one in (certificate("1"), certificate("2"), certificate("3", B)):
        store.put_certificate(one)
    assert store.revoke_certificates(NOON, "lost", serial="2") == 1
    assert store.revoke_certificates(NOON + HOUR, "again", serial="2") == 0
    assert store.revoke_certificates(NOON + HOUR, "sold", subject=A) == 1
    assert store.revoke_certificates(NOON, "nobody", subject="operator/nobody") == 0
    reasons = {one.serial: (one.revoked_at, one.revoked_reason) for one in store.certificates()}
    assert reasons == {"1": (NOON + HOUR, "sold"), "2": (NOON, "lost"), "3": (None, None)}
    with pytest.raises(ValueError, match="either"):
        store.revoke_certificates(NOON, "x")
    with pytest.raises(ValueError, match="either"):
        store.revoke_certificates(NOON, "x", subject=A, serial="1")


# --- refusals --------------------------------------------------------------------------------------------------------


def test_revoked_certificates_are_refused_until_they_end_and_banned_subjects_until_the_ban_is_lifted(
    store: Store,
) -> None:
    for one in (certificate("1"), certificate("2"), certificate("3", B)):
        store.put_certificate(one)
    store.revoke_certificates(NOON, "lost", serial="1")
    store.ban(Ban(B, NOON, "stolen"))
    assert store.refusals(NOON) == Refusals(frozenset({"1"}), frozenset({B}))
    assert store.refusals(NOON + WEEK) == Refusals(frozenset(), frozenset({B}))
    assert store.lift_ban(B)
    assert store.refusals(NOON) == Refusals(frozenset({"1"}), frozenset())


def test_a_ban_keeps_its_moment_and_gets_the_new_reason(store: Store) -> None:
    store.ban(Ban("operator/zoe", NOON, "left"))
    store.ban(Ban(A, NOON, "stolen"))
    store.ban(Ban(A, NOON + HOUR, "found, and wiped"))
    assert store.bans() == [Ban(A, NOON, "found, and wiped"), Ban("operator/zoe", NOON, "left")]
    assert store.lift_ban(A)
    assert not store.lift_ban(A)
    assert store.bans() == [Ban("operator/zoe", NOON, "left")]


def test_another_process_refuses_at_once_while_a_collector_runs(database: str) -> None:
    with SqlStore.open(database) as running:
        running.put_certificate(certificate("1"))
        with SqlStore.open(database, beside=True) as other:
            other.revoke_certificates(NOON, "lost", subject=A)
            other.ban(Ban(A, NOON, "stolen"))
        assert running.refusals(NOON) == Refusals(frozenset({"1"}), frozenset({A}))


def test_what_expired_is_forgotten_except_the_newest_certificate_of_each_subject(store: Store) -> None:
    for one in (
        certificate("1", at=NOON - 2 * WEEK),
        certificate("2", at=NOON - 2 * WEEK),
        certificate("3", at=NOON - WEEK - HOUR),
        certificate("4", B, at=NOON - 5 * WEEK),
        certificate("5", "operator/ada", at=NOON - HOUR),
    ):
        store.put_certificate(one)
    store.put_token(token("old", expires_at=NOON - HOUR))
    store.put_token(token("new"))
    assert store.forget_expired(NOON - WEEK) == 0
    assert store.forget_expired(NOON) == 3
    assert {one.serial for one in store.certificates()} == {"3", "4", "5"}
    assert [one.token_id for one in store.tokens()] == ["new"]
    assert store.forget_expired(NOON) == 0


# --- what agents tell of themselves ----------------------------------------------------------------------------------


def test_what_an_agent_holds_back_and_lost_is_told_by_its_hosts_state(store: Store) -> None:
    census = Census.of("web", "w", ("/opt/python", build("b")))
    store.put_facts(census.records)
    state = AgentState(waiting_reports=3, dropped_reports=2**40, dropped_facts=7)

    def report(hour: int, told: AgentState | None) -> AgentState | None:
        plain = received("a" * 32, census.address, NOON + hour * HOUR)
        one = replace(plain, report=replace(plain.report, agent_state=told))
        assert store.apply_reports([one]) == [()]
        found = store.find_host("web")
        assert found is not None
        assert store.hosts()[0].report.agent_state == found.report.agent_state
        return found.report.agent_state

    assert report(0, None) is None
    assert report(1, state) == state
    assert report(2, AgentState()) == AgentState()
    assert report(3, None) is None
