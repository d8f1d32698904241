"""What this host proves itself with: its key, its certificate and the roots that it trusts, kept so that they fit.

Key, chain and roots of one certificate are one generation: a folder of their own below ``identity/`` in the state
folder, whole before anything points at it. The link ``current`` names the one that counts and is switched by one
rename, so that whoever reads, and whoever is killed at any moment, finds a key and a certificate that belong together.
The generation before stays until the collector has taken the new one.

Nothing here parses a certificate: what the agent must know of one without a cryptographic library stands in
``identity.json`` beside it.
"""

from __future__ import annotations

import base64
import hashlib
import json
import re
import secrets
import shutil
import stat
import textwrap
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, Any

from libcensus.agent.errors import ConfigurationError, IdentityError
from libcensus.agent.state import sync_folder, write_durably

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

IDENTITY_FOLDER = "identity"
CURRENT = "current"
KEY_FILE = "key.pem"
CHAIN_FILE = "certificate.pem"
ROOTS_FILE = "roots.pem"
FACTS_FILE = "identity.json"
PENDING_KEY_FILE = "pending-key.pem"

ENROLL_AGAIN = (
    "enroll this host again: libcensus-agent enroll --force, with a token of `libcensus-collector token create "
    "--replace`"
)

_GENERATION = re.compile(r"[0-9]{6}")
_UNFINISHED = ".new-"
_PEM_CERTIFICATE = re.compile(rb"-----BEGIN CERTIFICATE-----(.+?)-----END CERTIFICATE-----", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Credentials:
    """What a TLS connection needs, in PEM; the files are those that chain and key were read from."""

    roots: bytes
    certificate_chain: bytes
    key: bytes = field(repr=False)
    chain_file: Path
    key_file: Path


@dataclass(frozen=True, slots=True)
class IdentityFacts:
    """What is remembered of a certificate: whose it is, when it holds, and where it was got.

    ``collector`` and ``enroll_port`` say where to report and renew as long as no setting says otherwise.
    ``given_roots`` is the digest of the file ``collector.ca`` at the time, None without one.
    """

    host_id: str
    uri: str
    serial: str
    not_before: datetime
    not_after: datetime
    collector: str
    enroll_port: int
    given_roots: str | None = None

    def to_json(self) -> bytes:
        """Return the facts as the file holds them."""
        content: dict[str, Any] = {name: getattr(self, name) for name in self.__slots__}
        content["not_before"] = tell_moment(self.not_before)
        content["not_after"] = tell_moment(self.not_after)
        return (json.dumps(content, indent=1, sort_keys=True) + "\n").encode()

    @classmethod
    def from_json(cls, content: bytes) -> IdentityFacts:
        """Read what :meth:`to_json` made; raises ValueError for anything else."""
        table = json.loads(content)
        if not isinstance(table, dict):
            raise TypeError("no object")
        known: dict[str, Any] = {name: table.get(name) for name in cls.__slots__}
        for name in ("host_id", "uri", "serial", "collector", "not_before", "not_after"):
            if not isinstance(known[name], str):
                raise TypeError(name)
        if not isinstance(known["enroll_port"], int):
            raise TypeError("enroll_port")
        known["not_before"] = datetime.fromisoformat(table["not_before"])
        known["not_after"] = datetime.fromisoformat(table["not_after"])
        if known["not_before"].tzinfo is None or known["not_after"].tzinfo is None:
            raise ValueError("a moment without zone")
        return cls(**known)

    @property
    def renew_at(self) -> datetime:
        """When the certificate is to be renewed: at two thirds of its life."""
        return self.not_before + (self.not_after - self.not_before) * 2 / 3


@dataclass(frozen=True, slots=True)
class StoredIdentity:
    """One generation: its folder, what is remembered of it, and what TLS needs."""

    folder: Path
    facts: IdentityFacts
    credentials: Credentials


class IdentityFolder:
    """The generations of this host's identity. Whoever writes holds the lock of the state folder."""

    def __init__(self, state: Path) -> None:
        self.path = state / IDENTITY_FOLDER

    def current(self) -> StoredIdentity | None:
        """Return the identity of this host, None where it was never enrolled.

        Raises ConfigurationError for one that cannot be read or is damaged.
        """
        while True:
            try:
                name = (self.path / CURRENT).readlink().name
            except FileNotFoundError:
                return None
            except OSError as error:
                raise self._unreadable(self.path / CURRENT, error) from None
            try:
                return self._read(self.path / name)
            except ConfigurationError:
                # Whoever renews removes the old generation after the switch; then there is a newer one to read.
                if self._current_name() == name:
                    raise

    def previous(self) -> StoredIdentity | None:
        """Return the generation before the present one, as long as the collector has not taken the present one."""
        present = self._current_name()
        older = [name for name in self._names() if present is not None and name < present]
        if not older:
            return None
        try:
            return self._read(self.path / older[-1])
        except ConfigurationError:
            return None

    def store(self, *, key: bytes, chain: bytes, roots: bytes, facts: IdentityFacts) -> StoredIdentity:
        """Keep a new generation and make it the present one; durable on return. Raises OSError.

        A death before the switch leaves the old one, a death after it the new one.
        """
        self.path.mkdir(mode=0o700, exist_ok=True)
        self.remove_unfinished()
        names = self._names()
        folder = self.path / f"{int(names[-1]) + 1 if names else 1:06d}"
        unfinished = self.path / f"{_UNFINISHED}{secrets.token_hex(4)}"
        unfinished.mkdir(mode=0o700)
        for name, content in (
            (KEY_FILE, key),
            (CHAIN_FILE, chain),
            (ROOTS_FILE, roots),
            (FACTS_FILE, facts.to_json()),
        ):
            write_durably(unfinished / name, content)
        unfinished.rename(folder)
        sync_folder(self.path)
        self._switch(folder)
        return self._read(folder)

    def confirm(self, identity: StoredIdentity) -> None:
        """Forget every other generation: the collector has taken this one. Does nothing where there is none."""
        if self._current_name() == identity.folder.name:
            for name in self._names():
                if name != identity.folder.name:
                    shutil.rmtree(self.path / name, ignore_errors=True)

    def go_back(self, identity: StoredIdentity) -> None:
        """Make an older generation the present one again. Raises OSError."""
        self._switch(identity.folder)
        for name in self._names():
            if name > identity.folder.name:
                shutil.rmtree(self.path / name, ignore_errors=True)

    def remove_unfinished(self) -> None:
        """Remove what a run that died left half written: unfinished folders, and generations that never counted."""
        present = self._current_name()
        with suppress(FileNotFoundError):
            for entry in list(self.path.iterdir()):
                never_counted = _GENERATION.fullmatch(entry.name) and (present is None or entry.name > present)
                if entry.is_dir() and not entry.is_symlink():
                    if entry.name.startswith(_UNFINISHED) or never_counted:
                        shutil.rmtree(entry, ignore_errors=True)
                elif entry.name.startswith(_UNFINISHED):
                    entry.unlink(missing_ok=True)

    def pending_key(self) -> bytes | None:
        """Return the key of an enrollment that did not come to its end: asking for it again uses up no token."""
        try:
            return (self.path / PENDING_KEY_FILE).read_bytes()
        except OSError:
            return None

    def keep_pending_key(self, key: bytes) -> None:
        """Keep the key of an enrollment that begins. Raises OSError."""
        self.path.mkdir(mode=0o700, exist_ok=True)
        write_durably(self.path / PENDING_KEY_FILE, key)

    def forget_pending_key(self) -> None:
        """Forget the key of an enrollment that ended."""
        (self.path / PENDING_KEY_FILE).unlink(missing_ok=True)

    def _switch(self, folder: Path) -> None:
        link = self.path / f"{_UNFINISHED}{secrets.token_hex(4)}"
        link.symlink_to(folder.name)
        link.replace(self.path / CURRENT)
        sync_folder(self.path)

    def _current_name(self) -> str | None:
        try:
            return (self.path / CURRENT).readlink().name
        except OSError:
            return None

    def _names(self) -> list[str]:
        with suppress(OSError):
            return sorted(entry.name for entry in self.path.iterdir() if _GENERATION.fullmatch(entry.name))
        return []

    def _read(self, folder: Path) -> StoredIdentity:
        try:
            facts = IdentityFacts.from_json((folder / FACTS_FILE).read_bytes())
            credentials = read_credentials(folder / ROOTS_FILE, folder / CHAIN_FILE, folder / KEY_FILE)
        except OSError as error:
            raise self._unreadable(folder, error) from None
        except (ValueError, TypeError):
            raise ConfigurationError(f"the identity of this host in {folder} is damaged; {ENROLL_AGAIN}") from None
        return StoredIdentity(folder, facts, credentials)

    def _unreadable(self, place: Path, error: OSError) -> ConfigurationError:
        return ConfigurationError(
            f"the identity of this host cannot be read from {place}: {error.strerror}; run as the user that reports, "
            f"or {ENROLL_AGAIN}"
        )


def remembered_facts(state: Path) -> IdentityFacts | None:
    """Return what is remembered of the present identity, None where there is none that this user may read."""
    try:
        return IdentityFacts.from_json((state / IDENTITY_FOLDER / CURRENT / FACTS_FILE).read_bytes())
    except (OSError, ValueError, TypeError):
        return None


def read_credentials(roots: Path, chain: Path, key: Path) -> Credentials:
    """Read credentials from their files. Raises OSError."""
    return Credentials(roots.read_bytes(), chain.read_bytes(), key.read_bytes(), chain, key)


def certificates_in(pem: bytes) -> Iterator[bytes]:
    """Yield the certificates of a PEM text in DER, in their order; what is no certificate is passed over."""
    for body in _PEM_CERTIFICATE.findall(pem):
        with suppress(ValueError):
            yield base64.b64decode(b"".join(body.split()), validate=True)


def certificate_to_pem(der: bytes) -> bytes:
    """Return a certificate in PEM."""
    lines = "\n".join(textwrap.wrap(base64.b64encode(der).decode(), 64))
    return f"-----BEGIN CERTIFICATE-----\n{lines}\n-----END CERTIFICATE-----\n".encode()


def describe_given(pem: bytes) -> IdentityFacts | None:
    """Return what a certificate says that nobody enrolled: of an external authority; None where it says nothing."""
    from cryptography import x509  # noqa: PLC0415 - `status` alone looks into such a certificate

    try:
        leaf = x509.load_pem_x509_certificate(pem)
        names = leaf.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        uris = names.get_values_for_type(x509.UniformResourceIdentifier)
    except x509.ExtensionNotFound:
        uris = []
    except ValueError:
        return None
    uri = uris[0] if uris else leaf.subject.rfc4514_string()
    return IdentityFacts(
        host_id=uri.rpartition("/")[2],
        uri=uri,
        serial=f"{leaf.serial_number:x}",
        not_before=leaf.not_valid_before_utc,
        not_after=leaf.not_valid_after_utc,
        collector="",
        enroll_port=0,
    )


def fingerprint(der: bytes) -> str:
    """Return the SHA-256 of a certificate, 64 hexadecimal digits."""
    return hashlib.sha256(der).hexdigest()


def digest_of_roots(pem: bytes) -> str:
    """Return what tells one set of given roots from another."""
    return hashlib.sha256(pem).hexdigest()


def read_given_file(setting: str, path: Path) -> bytes:
    """Return the content of a file that a setting names; raises ConfigurationError."""
    try:
        return path.read_bytes()
    except OSError as error:
        raise ConfigurationError(f"{setting} = {str(path)!r} cannot be read: {error.strerror}") from None


def is_open_to_others(path: Path) -> bool:
    """Tell whether users other than the owner and its group may read a file."""
    try:
        return bool(stat.S_IMODE(path.stat().st_mode) & stat.S_IROTH)
    except OSError:
        return False


def check_same_host(identity: StoredIdentity, host_id: str) -> None:
    """Raise IdentityError where an identity was made for another machine id: the disk was copied, or the id is new."""
    if identity.facts.host_id != host_id:
        raise IdentityError(
            f"the identity in {identity.folder} is that of host {identity.facts.host_id}, and this host is {host_id}: "
            f"its machine id changed, or it is a copy of another machine; {ENROLL_AGAIN}"
        )


def tell_moment(moment: datetime) -> str:
    """Return a moment as users read it: RFC 3339, UTC, whole seconds."""
    return moment.isoformat(timespec="seconds").replace("+00:00", "Z")
