"""Who is let in, who is renewed, who is refused and why; on a real store and a real authority."""

from __future__ import annotations

import json
import logging
import traceback
from dataclasses import dataclass, field, replace
from functools import partial
from typing import TYPE_CHECKING, Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.x509.oid import ExtendedKeyUsageOID

from libcensus.collector.config import CollectorSettings
from libcensus.collector.pki.audit import AuditLog
from libcensus.collector.pki.authority import Authority, key_sha256, retire_root, rotate_issuing, rotate_root
from libcensus.collector.pki.enrollment import LONGEST_REQUEST, MOST_REPEATS, Enrollment
from libcensus.collector.pki.errors import (
    AuthorityExpiredError,
    BannedError,
    ChallengeError,
    CloneError,
    ExpiredCertificateError,
    PkiError,
    RenewalError,
    SigningRequestError,
    TokenError,
)
from libcensus.collector.pki.identity import Identity, Role, parse_identity
from libcensus.collector.pki.records import Ban, CertificateRecord
from libcensus.collector.pki.tokens import make_token
from libcensus.collector.store.contract import Restoration
from libcensus.collector.store.copying import RestoreTarget, copy_database
from libcensus.collector.store.sql import SqlStore
from libcensus.facts.renewal import RENEWAL_CONTEXT
from tests.collector.pki.made import DAY, DOMAIN, HOUR, NOON, Clock, new_key, signing_request

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from datetime import datetime
    from pathlib import Path

HOST_ID = "a" * 32
SUBJECT = f"agent/{HOST_ID}"
PEER = "ipv4:192.0.2.7:40000"
WEEK = 7 * DAY


@dataclass
class Agent:
    """A machine: its id, its name, its key and its certificate."""

    machine_id: str = HOST_ID
    hostname: str = "web-1"
    key: ec.EllipticCurvePrivateKey = field(default_factory=new_key)
    chain: list[bytes] = field(default_factory=list)

    @property
    def leaf(self) -> x509.Certificate:
        return x509.load_der_x509_certificate(self.chain[0])

    @property
    def serial(self) -> str:
        return f"{self.leaf.serial_number:x}"

    def copy(self) -> Agent:
        """Return what somebody has who copied the disk."""
        return replace(self, chain=list(self.chain))


class Site:
    """A collector's store, authority, clock and audit log, and the secrets that were made so far."""

    def __init__(self, folder: Path) -> None:
        self.clock = Clock()
        self.pki = folder / "pki"
        self.audit_file = folder / "audit.jsonl"
        Authority.init(self.pki, DOMAIN, NOON)
        self.store = SqlStore.open(f"{folder}/census.db")
        settings = CollectorSettings(trust_domain=DOMAIN, renewal_grace=30 * 86400.0)
        self.audit = AuditLog(self.audit_file, self.clock)
        self.enrollment = Enrollment(self.store, self.authority, settings, self.audit, self.clock)
        self.secrets: list[str] = []

    def authority(self) -> Authority:
        return Authority.load(self.pki, DOMAIN, NOON)

    def close(self) -> None:
        self.audit.close()
        self.store.close()

    def token(self, **choices: Any) -> str:
        kept, text = make_token(self.clock(), choices.pop("lifetime", HOUR), **choices)
        self.store.put_token(kept)
        self.secrets.append(text.split("-")[2])
        return text

    def enroll(self, agent: Agent, token: str, csr: bytes | None = None) -> list[bytes]:
        """Enroll an agent; returns the roots."""
        chain, roots = self.enrollment.enroll(
            token, signing_request(agent.key) if csr is None else csr, agent.machine_id, agent.hostname, PEER
        )
        agent.chain = chain
        return roots

    def enrolled(self, **choices: Any) -> Agent:
        agent = Agent(**choices)
        self.enroll(agent, self.token())
        return agent

    def renew(self, agent: Agent, key: ec.EllipticCurvePrivateKey | None = None, *, keep: bool = True) -> list[bytes]:
        """Renew an agent's certificate; without ``keep`` the answer is lost on its way. Returns the chain."""
        key = key or new_key()
        csr, challenge = signing_request(key), self.enrollment.challenge()
        chain, _ = self.enrollment.renew(csr, agent.chain, challenge, prove(agent.key, challenge, csr), PEER)
        if keep:
            agent.key, agent.chain = key, chain
        return chain

    def use(self, agent: Agent) -> None:
        """Note that an agent was seen with its certificate, as the service does."""
        self.store.note_certificate_use([agent.serial], self.clock())

    def audited(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.audit_file.read_text().splitlines()]


def prove(key: ec.EllipticCurvePrivateKey, challenge: bytes, csr: bytes) -> bytes:
    return key.sign(RENEWAL_CONTEXT + challenge + csr, ec.ECDSA(hashes.SHA256()))


@pytest.fixture
def site(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> Iterator[Site]:
    """A collector; after each test nothing that it logged or audited holds a secret."""
    caplog.set_level(logging.DEBUG)
    made = Site(tmp_path)
    yield made
    made.close()
    told = caplog.text + (made.audit_file.read_text() if made.audit_file.exists() else "")
    for secret in made.secrets:
        assert secret not in told
    assert "PRIVATE KEY" not in told


def refused(site: Site, error: type[PkiError], call: Callable[[], object], match: str) -> PkiError:
    """Check that a call is refused, is audited once, changes no certificate, and tells no secret even in its repr."""
    before = site.store.certificates()
    audited = len(site.audited()) if site.audit_file.exists() else 0
    with pytest.raises(error, match=match) as caught:
        call()
    assert type(caught.value) is error
    told = "".join(traceback.format_exception(caught.value)) + repr(caught.value)
    for secret in site.secrets:
        assert secret not in told
    # What travels as gRPC's details is cut at 1,024 characters: the remedy must be within.
    assert len(str(caught.value)) < 1024
    [entry] = site.audited()[audited:]
    assert entry["event"] in {"enrollment_refused", "renewal_refused"}
    assert entry["reason"].startswith(f"{error.__name__}: ")
    assert entry["peer"] == PEER
    assert [one.serial for one in site.store.certificates()] == [one.serial for one in before]
    return caught.value


# --- enrollment ------------------------------------------------------------------------------------------------------


def test_a_host_with_a_token_gets_a_certificate_and_every_trusted_root(site: Site) -> None:
    agent = Agent()
    token = site.token(labels={"env": "prod"})
    roots = site.enroll(agent, token)
    authority = site.authority()
    assert [x509.load_der_x509_certificate(root) for root in roots] == list(authority.roots)
    assert authority.verify(agent.chain, NOON, 0 * DAY).public_key() == agent.key.public_key()
    names = agent.leaf.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    [uri] = names.get_values_for_type(x509.UniformResourceIdentifier)
    assert parse_identity(uri) == Identity(DOMAIN, Role.AGENT, HOST_ID)
    assert agent.leaf.not_valid_after_utc == NOON + WEEK
    token_id = token.split("-")[1]
    assert site.store.certificates() == [
        CertificateRecord(
            serial=agent.serial,
            subject=SUBJECT,
            key_sha256=key_sha256(agent.key.public_key()),
            issued_at=NOON,
            expires_at=NOON + WEEK,
            hostname="web-1",
            token_id=token_id,
        )
    ]
    assert site.store.labels() == {HOST_ID: {"env": "prod"}}
    [entry] = site.audited()
    assert entry == {
        "time": "2026-03-01T12:00:00.000Z",
        "event": "enrolled",
        "subject": SUBJECT,
        "peer": PEER,
        "host": "web-1",
        "token_id": token_id,
        "serial": agent.serial,
    }


def test_the_subject_of_a_request_is_not_looked_at(site: Site) -> None:
    agent = Agent()
    site.enroll(agent, site.token(), signing_request(agent.key, "operator/root"))
    assert "operator" not in agent.leaf.subject.rfc4514_string()


def test_p384_is_taken_too(site: Site) -> None:
    agent = Agent(key=new_key(ec.SECP384R1()))
    site.enroll(agent, site.token())
    site.renew(agent)


def test_a_lost_answer_costs_no_use(site: Site) -> None:
    agent, token = Agent(), site.token(uses=1)
    site.enroll(agent, token)
    first = agent.serial
    site.enroll(agent, token)
    assert agent.serial != first
    [kept] = site.store.tokens()
    assert kept.uses_left == 0
    assert len(site.store.certificates(SUBJECT)) == 2
    for _ in range(MOST_REPEATS - 2):
        site.enroll(agent, token)
    refused(site, TokenError, lambda: site.enroll(agent, token), "for one key already")


def test_a_token_for_a_host_is_for_its_name_however_it_is_written(site: Site) -> None:
    token = site.token(hostname="Web-1")
    refused(
        site,
        TokenError,
        lambda: site.enroll(Agent(hostname="web-2"), token),
        "for the host Web-1, and this one calls itself 'web-2'",
    )
    site.enroll(Agent(hostname="web-1"), token)


def a_token_of(change: Callable[[Site, str], object], **choices: Any) -> Callable[[Site], str]:
    def make(site: Site) -> str:
        text = site.token(**choices)
        change(site, text)
        return text

    return make


def with_another_secret(site: Site) -> str:
    return f"{site.token()[:13]}-{site.token().split('-')[2]}"


def of_another_collector(site: Site) -> str:
    return make_token(NOON, HOUR)[1]


def used_up(site: Site, token: str) -> None:
    site.enroll(Agent(machine_id="b" * 32), token)


BAD_TOKENS: dict[str, tuple[Callable[[Site], str], str]] = {
    "nothing": (lambda _: "", "this is no join token"),
    "nonsense": (lambda _: "hunter2", "this is no join token"),
    "cut": (lambda site: site.token()[:-1], "this is no join token"),
    "another secret": (with_another_secret, "not known here"),
    "another collector's": (of_another_collector, "not known here"),
    "expired": (a_token_of(lambda site, _: site.clock.advance(HOUR)), "expired on 2026-03-01T13:00:00Z.*--ttl"),
    "revoked": (
        a_token_of(lambda site, text: site.store.revoke_token(text.split("-")[1], NOON)),
        "was revoked on 2026-03-01T12:00:00Z.*token create",
    ),
    "used up": (a_token_of(used_up), "has no use left.*--uses N"),
}


@pytest.mark.parametrize("name", BAD_TOKENS)
def test_a_token_that_is_not_good_is_refused(site: Site, name: str) -> None:
    make, message = BAD_TOKENS[name]
    text = make(site)
    refused(site, TokenError, lambda: site.enroll(Agent(), text), message)


def tampered() -> bytes:
    content = bytearray(signing_request(new_key()))
    content[-1] ^= 1
    return bytes(content)


BAD_REQUESTS: dict[str, tuple[Callable[[], bytes], str]] = {
    "nothing": (lambda: b"", "no PKCS #10 request"),
    "nonsense": (lambda: b"\x30\x03\x02\x01\x01", "no PKCS #10 request"),
    "too long": (lambda: bytes(LONGEST_REQUEST + 1), "at most 8192 are taken"),
    "of RSA": (
        lambda: signing_request(rsa.generate_private_key(65537, 2048)),
        "not ECDSA on P-256 or P-384",
    ),
    "of Ed25519": (lambda: signing_request(ed25519.Ed25519PrivateKey.generate()), "not ECDSA on P-256 or P-384"),
    "of P-521": (lambda: signing_request(new_key(ec.SECP521R1())), "not ECDSA on P-256 or P-384"),
    "of P-224": (lambda: signing_request(new_key(ec.SECP224R1())), "certificate_signing_request: "),
    "signed by another key": (tampered, "certificate_signing_request: "),
}


@pytest.mark.parametrize("name", BAD_REQUESTS)
def test_a_request_that_cannot_be_used_is_refused_and_costs_no_use(site: Site, name: str) -> None:
    make, message = BAD_REQUESTS[name]
    csr, token = make(), site.token()
    refused(site, SigningRequestError, lambda: site.enroll(Agent(), token, csr), message)
    [kept] = site.store.tokens()
    assert kept.uses_left == 1
    agent = site.enrolled(machine_id="b" * 32)
    challenge = site.enrollment.challenge()
    refused(
        site,
        SigningRequestError,
        lambda: site.enrollment.renew(csr, agent.chain, challenge, prove(agent.key, challenge, csr), PEER),
        "has more than 8192 bytes, or the request has more" if name == "too long" else message,
    )


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"machine_id": ""}, "machine_id_hash"),
        ({"machine_id": "A" * 32}, "machine_id_hash"),
        ({"machine_id": "a" * 31}, "machine_id_hash"),
        ({"machine_id": "../operator/root"}, "machine_id_hash"),
        ({"hostname": ""}, "hostname"),
        ({"hostname": "x" * 256}, "hostname"),
        ({"hostname": "web\n"}, "hostname"),
    ],
)
def test_a_host_that_cannot_be_is_refused(site: Site, changes: dict[str, Any], field: str) -> None:
    token = site.token()
    refused(site, SigningRequestError, lambda: site.enroll(Agent(**changes), token), f"^{field}: ")


def test_a_banned_host_is_not_enrolled(site: Site) -> None:
    site.store.ban(Ban(SUBJECT, NOON, "stolen"))
    token = site.token()
    refused(site, BannedError, lambda: site.enroll(Agent(), token), r"banned since 2026-03-01T12:00:00Z \(stolen\)")


def test_a_second_machine_with_the_id_of_another_is_refused_and_told_both_ways_out(site: Site) -> None:
    site.enrolled()
    token = site.token()
    error = refused(site, CloneError, lambda: site.enroll(Agent(), token), "enrolled already")
    assert "token create --replace" in str(error)
    assert "systemd-machine-id-setup" in str(error)
    [kept] = [one for one in site.store.tokens() if one.token_id == token.split("-")[1]]
    assert kept.uses_left == 1
    # Whatever time passes within the grace period.
    site.clock.advance(WEEK + 29 * DAY)
    refused(site, CloneError, lambda: site.enroll(Agent(), site.token()), "enrolled already")
    site.clock.advance(2 * DAY)
    site.enroll(Agent(), site.token())


def test_a_token_that_replaces_lets_a_machine_in_that_was_installed_anew(site: Site) -> None:
    old = site.enrolled()
    anew = Agent()
    site.enroll(anew, site.token(replaces=True))
    assert site.store.refusals(site.clock()).serials == {old.serial}
    refused(site, RenewalError, lambda: site.renew(old), "replaced by an enrollment anew")
    site.renew(anew)


def test_a_key_whose_certificate_was_revoked_is_not_enrolled_again(site: Site) -> None:
    agent = site.enrolled()
    site.store.revoke_certificates(NOON, "key lost", subject=SUBJECT)
    token = site.token()
    refused(site, SigningRequestError, lambda: site.enroll(agent, token), "for this key was revoked")
    agent.key = new_key()
    site.enroll(agent, token)


def test_an_authority_that_ended_enrolls_nobody(site: Site) -> None:
    site.clock.advance(400 * DAY)
    token = site.token()
    with pytest.raises(AuthorityExpiredError, match="ca rotate"):
        site.enroll(Agent(), token)
    [kept] = site.store.tokens()
    assert kept.uses_left == 1


# --- renewal ---------------------------------------------------------------------------------------------------------


def test_a_certificate_is_renewed_for_a_new_key_over_and_over(site: Site) -> None:
    agent = site.enrolled()
    for _ in range(5):
        before = agent.serial
        site.clock.advance(WEEK * 2 / 3)
        site.renew(agent)
        site.use(agent)
        record = site.store.find_certificate(agent.serial)
        assert record is not None
        assert (record.subject, record.predecessor, record.hostname) == (SUBJECT, before, "web-1")
        assert record.expires_at == site.clock() + WEEK == agent.leaf.not_valid_after_utc
    assert site.store.refusals(site.clock()).serials == frozenset()
    assert site.audited()[-1]["event"] == "renewed"
    assert site.audited()[-1]["serial"] == agent.serial


def test_an_operators_certificate_is_renewed_for_as_long_as_it_was_made_for(site: Site) -> None:
    operator = Agent()
    identity = Identity(DOMAIN, Role.OPERATOR, "ada")
    issued = site.authority().issue(operator.key.public_key(), identity, 90 * DAY, NOON)
    operator.chain = list(issued.chain)
    site.store.put_certificate(
        CertificateRecord(issued.serial, identity.subject, issued.key_sha256, NOON, issued.not_after)
    )
    site.clock.advance(60 * DAY)
    site.renew(operator)
    assert operator.leaf.not_valid_after_utc == site.clock() + 90 * DAY
    assert "ada" in operator.leaf.subject.rfc4514_string()


def test_a_host_that_was_off_for_a_month_renews_and_one_that_was_off_longer_does_not(site: Site) -> None:
    agent, other = site.enrolled(), site.enrolled(machine_id="b" * 32)
    site.clock.advance(WEEK + 30 * DAY)
    site.renew(agent)
    site.clock.advance(HOUR)
    refused(site, ExpiredCertificateError, lambda: site.renew(other), "grace period of 30 days")


def restored(site: Site, folder: Path, taken: datetime, *, at: datetime) -> None:
    """Put the database back to what it was when its copy was made."""
    site.store.close()
    with RestoreTarget.open(f"{folder}/census.db") as target:
        target.prepare(folder / "copy.db", Restoration(at, taken), lambda _: None)
        target.commit()
    site.store = SqlStore.open(f"{folder}/census.db")
    settings = CollectorSettings(trust_domain=DOMAIN, renewal_grace=30 * 86400.0)
    site.enrollment = Enrollment(site.store, site.authority, settings, site.audit, site.clock)


def test_what_was_issued_between_a_backup_and_its_restore_is_renewed_all_the_same(site: Site, tmp_path: Path) -> None:
    """The restored database never saw it, and nobody has to be enrolled again; what nobody issued stays refused."""
    agent, taken = site.enrolled(), NOON + HOUR
    copy_database(f"{tmp_path}/census.db", tmp_path / "copy.db", lambda _: None, lambda: taken)
    site.clock.now = NOON + 2 * HOUR
    site.renew(agent)
    newcomer = site.enrolled(machine_id="c" * 32, hostname="web-2")
    restored(site, tmp_path, taken, at=NOON + 3 * HOUR)
    assert site.store.find_certificate(agent.serial) is None
    site.clock.now = NOON + 4 * HOUR
    for one in (agent, newcomer):
        before = one.serial
        copy = one.copy()
        site.renew(one)
        kept = site.store.find_certificate(one.serial)
        assert kept is not None
        assert kept.predecessor == before
        site.use(one)
        refused(site, CloneError, partial(site.renew, copy), "two copies of its key")

    # Signed with a key that somebody stole: from before the backup, or from after the restore.
    for moment in (NOON + HOUR / 2, NOON + 4 * HOUR):
        forged = Agent(machine_id="d" * 32)
        identity = Identity(DOMAIN, Role.AGENT, forged.machine_id)
        forged.chain = list(site.authority().issue(forged.key.public_key(), identity, WEEK, moment).chain)
        refused(site, RenewalError, partial(site.renew, forged), "is not known here")


def test_a_lost_answer_to_a_renewal_is_asked_for_again(site: Site) -> None:
    agent = site.enrolled()
    site.use(agent)
    key = new_key()
    lost = site.renew(agent, key, keep=False)
    site.renew(agent, key)
    assert site.store.refusals(NOON).serials == {f"{x509.load_der_x509_certificate(lost[0]).serial_number:x}"}
    site.use(agent)
    site.renew(agent)


def test_a_copy_of_a_machine_is_refused_once_the_machine_has_renewed(site: Site) -> None:
    agent = site.enrolled()
    copy = agent.copy()
    site.renew(agent)
    site.use(agent)
    error = refused(site, CloneError, lambda: site.renew(copy), "two copies of its key")
    for way in ("token create --replace", "systemd-machine-id-setup", "certificates revoke"):
        assert way in str(error)
    assert site.audited()[-1]["serial"] == copy.serial
    # The machine itself goes on.
    site.renew(agent)


def test_a_machine_is_refused_and_so_told_when_a_copy_of_it_renewed_first(site: Site) -> None:
    agent = site.enrolled()
    thief = agent.copy()
    site.renew(thief)
    site.use(thief)
    refused(site, CloneError, lambda: site.renew(agent), "two copies of its key")


def test_a_thief_who_renews_twice_at_once_is_noticed_although_no_certificate_was_used_elsewhere(site: Site) -> None:
    agent = site.enrolled()
    thief = agent.copy()
    site.renew(thief)
    site.renew(thief)
    refused(site, CloneError, lambda: site.renew(agent), "two copies of its key")


def test_of_two_copies_that_renew_before_either_is_used_one_is_refused_later(site: Site) -> None:
    agent = site.enrolled()
    copy = agent.copy()
    site.renew(copy)
    site.renew(agent)
    assert site.store.refusals(NOON).serials == {copy.serial}
    refused(site, CloneError, lambda: site.renew(copy), "two copies of its key")


def test_the_certificate_that_a_renewal_presented_counts_as_used(site: Site) -> None:
    agent = site.enrolled()
    serial = agent.serial
    site.clock.advance(DAY)
    site.renew(agent)
    record = site.store.find_certificate(serial)
    assert record is not None
    assert record.first_used_at == NOON + DAY


def test_a_revoked_certificate_is_not_renewed(site: Site) -> None:
    agent = site.enrolled()
    site.store.revoke_certificates(NOON, "key lost", serial=agent.serial)
    refused(site, RenewalError, lambda: site.renew(agent), r"was revoked on 2026-03-01T12:00:00Z \(key lost\)")


def test_a_banned_holder_is_not_renewed(site: Site) -> None:
    agent = site.enrolled()
    site.store.ban(Ban(SUBJECT, NOON, "sold"))
    refused(site, BannedError, lambda: site.renew(agent), "sold")


def test_a_certificate_that_the_store_does_not_know_is_not_renewed(site: Site) -> None:
    agent = Agent()
    issued = site.authority().issue(agent.key.public_key(), Identity(DOMAIN, Role.AGENT, HOST_ID), WEEK, NOON)
    agent.chain = list(issued.chain)
    refused(site, RenewalError, lambda: site.renew(agent), "not known here")


def test_a_certificate_of_another_authority_is_not_renewed(site: Site, tmp_path: Path) -> None:
    agent = site.enrolled()
    other = Authority.init(tmp_path / "other", DOMAIN, NOON)
    issued = other.issue(agent.key.public_key(), Identity(DOMAIN, Role.AGENT, HOST_ID), WEEK, NOON)
    agent.chain = list(issued.chain)
    refused(site, RenewalError, lambda: site.renew(agent), "does not lead to a root")


def signed_by(authority: Authority, key: ec.EllipticCurvePrivateKey, names: list[x509.GeneralName]) -> list[bytes]:
    """Return a client's chain with names that the authority itself would not write."""
    usage = ExtendedKeyUsageOID.CLIENT_AUTH
    alternatives = x509.SubjectAlternativeName(names)
    leaf = authority._sign(key.public_key(), authority.issuing_chain[0].subject, alternatives, usage, NOON, HOUR, WEEK)
    return [one.public_bytes(serialization.Encoding.DER) for one in (leaf, *authority.issuing_chain)]


@pytest.mark.parametrize(
    ("names", "message"),
    [
        ([x509.DNSName("web-1")], "names no host or operator"),
        ([x509.UniformResourceIdentifier("https://example.com")], "names no host or operator"),
        (
            [x509.UniformResourceIdentifier(f"spiffe://{DOMAIN}/operator/{name}") for name in ("ada", "zoe")],
            "names no host or operator",
        ),
        ([x509.UniformResourceIdentifier("spiffe://other.test/operator/ada")], "is of the trust domain other.test"),
    ],
)
def test_a_certificate_that_names_nobody_here_is_not_renewed(
    site: Site, names: list[x509.GeneralName], message: str
) -> None:
    agent = Agent()
    agent.chain = signed_by(site.authority(), agent.key, names)
    refused(site, RenewalError, lambda: site.renew(agent), message)


def test_a_renewal_with_a_signature_of_another_key_or_over_other_bytes_is_refused(site: Site) -> None:
    agent, other = site.enrolled(), site.enrolled(machine_id="b" * 32)
    csr, challenge = signing_request(new_key()), site.enrollment.challenge()
    another = site.enrollment.challenge()
    for signature in (
        prove(other.key, challenge, csr),
        prove(agent.key, another, csr),
        prove(agent.key, challenge, signing_request(new_key())),
        agent.key.sign(challenge + csr, ec.ECDSA(hashes.SHA256())),
        agent.key.sign(RENEWAL_CONTEXT + challenge + csr, ec.ECDSA(hashes.SHA384())),
        b"",
        bytes(72),
        bytes(100_000),
    ):
        refused(
            site,
            RenewalError,
            lambda signature=signature: site.enrollment.renew(csr, agent.chain, challenge, signature, PEER),  # type: ignore[misc]
            "signature was not made with the key",
        )


def test_what_was_recorded_of_a_renewal_is_worth_nothing_later(site: Site) -> None:
    agent = site.enrolled()
    csr, challenge = signing_request(new_key()), site.enrollment.challenge()
    signature = prove(agent.key, challenge, csr)
    site.enrollment.renew(csr, agent.chain, challenge, signature, PEER)
    site.clock.advance(DAY)
    refused(
        site,
        ChallengeError,
        lambda: site.enrollment.renew(csr, agent.chain, challenge, signature, PEER),
        "older than a minute",
    )


def test_a_renewal_is_for_a_new_key(site: Site) -> None:
    agent = site.enrolled()
    refused(site, SigningRequestError, lambda: site.renew(agent, agent.key), "for a new key")


def test_a_chain_that_is_too_large_is_refused_before_it_is_read(site: Site) -> None:
    agent = site.enrolled()
    agent.chain = [bytes(10_000)]
    refused(site, SigningRequestError, lambda: site.renew(agent), "more than 8192 bytes")


def test_renewals_go_on_while_keys_are_rotated_and_end_with_a_root_that_is_retired(site: Site) -> None:
    agent, late = site.enrolled(), site.enrolled(machine_id="b" * 32)
    first = site.authority().fingerprints[0]
    rotate_issuing(site.pki, NOON)
    site.renew(agent)
    rotate_root(site.pki, NOON)
    chain = site.renew(agent)
    assert len(chain) == 3
    retire_root(site.pki, first)
    assert len(site.renew(agent)) == 2
    refused(site, RenewalError, lambda: site.renew(late), "a root that was retired")


def test_a_challenge_is_good_with_any_collector_of_the_authority(site: Site) -> None:
    beside = Enrollment(site.store, site.authority, CollectorSettings(trust_domain=DOMAIN), site.audit, site.clock)
    agent = site.enrolled()
    csr, challenge = signing_request(new_key()), beside.challenge()
    site.enrollment.renew(csr, agent.chain, challenge, prove(agent.key, challenge, csr), PEER)
