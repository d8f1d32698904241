"""The certificate that the collector shows, and the roots that it trusts its clients by; both change while it serves.

With a CA of its own the collector makes its server certificate itself, in memory, and makes another at two thirds of
its life. With an external CA certificate, key and roots are files that somebody else renews. Either way the files are
looked at about once a second, when somebody connects; what is broken is told once and does not replace what works.
"""

from __future__ import annotations

import logging
import stat
import threading
import time
from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import TYPE_CHECKING

from cryptography import x509
from cryptography.hazmat.primitives import serialization

from libcensus.collector.errors import CollectorError, ConfigurationError
from libcensus.collector.pki.authority import Authority

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from datetime import datetime, timedelta
    from pathlib import Path

_LOGGER = logging.getLogger(__name__)

_LOOK_SECONDS = 1.0
_RENEWED_AT = 2 / 3
"""At which part of its life a server certificate is replaced."""


@dataclass(frozen=True, slots=True)
class ServingMaterial:
    """What a TLS server needs, PEM, and until when each part is good.

    ``number`` grows with every change. ``ends`` has the end of each certificate by what it is for.
    """

    number: int
    key_pem: bytes
    chain_pem: bytes
    client_roots_pem: bytes
    ends: Mapping[str, datetime]


class ServingCertificates(ABC):
    """Gives the material that holds now; may be asked by any thread."""

    def __init__(self, clock: Callable[[], datetime]) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._looked_at = float("-inf")
        self._material: ServingMaterial | None = None
        self._problem = ""

    @property
    def current(self) -> ServingMaterial:
        """The material as of the last look. Raises ConfigurationError where there is none yet and none can be made."""
        with self._lock:
            if time.monotonic() - self._looked_at >= _LOOK_SECONDS or self._material is None:
                self._look()
            if self._material is None:
                raise AssertionError("a look without material raises")
            return self._material

    @property
    def roots_pem(self) -> bytes | None:
        """The roots that hosts are to trust, for everybody to read; None where they are not this collector's."""
        return None

    def _look(self) -> None:
        try:
            made = self._make(self._material)
        except CollectorError as error:
            if self._material is None:
                raise
            if str(error) != self._problem:
                # A file that is wrong is no incident of the program: its sentence says all.
                _LOGGER.error("the certificates stay as they were: %s", error)  # noqa: TRY400
            self._problem = str(error)
        else:
            if self._material is not None and made is not self._material:
                _LOGGER.info("new certificates are in use, good until %s", _earliest(made))
            self._material, self._problem = made, ""
        self._looked_at = time.monotonic()

    @abstractmethod
    def _make(self, present: ServingMaterial | None) -> ServingMaterial:
        """Return the present material where it still holds, or new one; raises CollectorError."""


class AuthorityCertificates(ServingCertificates):
    """Of the collector's own CA."""

    def __init__(
        self,
        folder: Path,
        trust_domain: str,
        names: Sequence[str],
        lifetime: timedelta,
        clock: Callable[[], datetime],
    ) -> None:
        super().__init__(clock)
        self._folder = folder
        self._trust_domain = trust_domain
        self._names = tuple(names)
        self._lifetime = lifetime
        self._authority: Authority | None = None
        self._renew_at: datetime | None = None

    @property
    def authority(self) -> Authority:
        """The CA as it is now. Raises ConfigurationError where it cannot be read and never could."""
        self.current  # noqa: B018 - a look brings the authority up to date
        if self._authority is None:
            raise AssertionError("material comes with its authority")
        return self._authority

    @property
    def roots_pem(self) -> bytes | None:
        """The roots that hosts are to trust."""
        return self.authority.roots_pem

    def _make(self, present: ServingMaterial | None) -> ServingMaterial:
        now = self._clock()
        authority = self._authority
        if authority is None or authority.changed(self._folder):
            authority = Authority.load(self._folder, self._trust_domain, now)
        elif present is not None and self._renew_at is not None and now < self._renew_at:
            return present
        server = authority.issue_server(self._names, self._lifetime, now)
        self._renew_at = now + (server.not_after - now) * _RENEWED_AT
        self._authority = authority
        if authority.should_rotate(now):
            _LOGGER.warning(
                "%s: the issuing certificate is good until %s and the root until %s, and nothing can be issued after "
                "either; run `libcensus-collector ca rotate` (with --root for the root)",
                self._folder,
                _day(authority.issuing_expires_at),
                _day(authority.root_expires_at),
            )
        return ServingMaterial(
            number=1 if present is None else present.number + 1,
            key_pem=server.key_pem,
            chain_pem=server.chain_pem,
            client_roots_pem=authority.roots_pem,
            ends={
                "server": server.not_after,
                "issuing": authority.issuing_expires_at,
                "root": authority.root_expires_at,
            },
        )


class GivenCertificates(ServingCertificates):
    """Of an external CA: three files."""

    def __init__(self, certificate: Path, key: Path, client_ca: Path, clock: Callable[[], datetime]) -> None:
        super().__init__(clock)
        self._files = {"tls_certificate": certificate, "tls_key": key, "tls_client_ca": client_ca}
        self._stamp: tuple[tuple[int, int, int, int], ...] = ()

    def _make(self, present: ServingMaterial | None) -> ServingMaterial:
        stamps = {setting: _stamp(setting, path) for setting, path in self._files.items()}
        if stamps["tls_key"][0] & stat.S_IROTH:
            raise ConfigurationError(
                f"tls_key: others can read {self._files['tls_key']}; chmod o-r it, and replace the key if somebody may "
                "have read it"
            )
        stamp = tuple(stamps.values())
        if present is not None and stamp == self._stamp:
            return present
        content = {setting: _read(setting, path) for setting, path in self._files.items()}
        chain = _certificates("tls_certificate", self._files["tls_certificate"], content["tls_certificate"])
        roots = _certificates("tls_client_ca", self._files["tls_client_ca"], content["tls_client_ca"])
        try:
            key = serialization.load_pem_private_key(content["tls_key"], password=None)
        except (ValueError, TypeError):
            raise ConfigurationError(
                f"tls_key: {self._files['tls_key']} holds no key in PEM without a passphrase"
            ) from None
        if _public(key.public_key()) != _public(chain[0].public_key()):
            raise ConfigurationError(
                f"tls_key: {self._files['tls_key']} is not the key of the first certificate in "
                f"{self._files['tls_certificate']}"
            )
        if chain[0].not_valid_after_utc <= self._clock():
            raise ConfigurationError(
                f"tls_certificate: {self._files['tls_certificate']} expired at {chain[0].not_valid_after_utc:%Y-%m-%d}"
            )
        self._stamp = stamp
        return ServingMaterial(
            number=1 if present is None else present.number + 1,
            key_pem=content["tls_key"],
            chain_pem=content["tls_certificate"],
            client_roots_pem=content["tls_client_ca"],
            ends={
                "server": chain[0].not_valid_after_utc,
                "root": min(root.not_valid_after_utc for root in roots),
            },
        )


def _stamp(setting: str, path: Path) -> tuple[int, int, int, int]:
    """Return a file's mode, and what else tells whether it is another than before."""
    try:
        status = path.stat()
    except OSError as error:
        raise ConfigurationError(f"{setting}: {path} cannot be read: {error.strerror}") from None
    return status.st_mode, status.st_ino, status.st_size, status.st_mtime_ns


def _read(setting: str, path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise ConfigurationError(f"{setting}: {path} cannot be read: {error.strerror}") from None


def _certificates(setting: str, path: Path, content: bytes) -> list[x509.Certificate]:
    try:
        return x509.load_pem_x509_certificates(content)
    except ValueError:
        raise ConfigurationError(f"{setting}: {path} holds no certificates in PEM") from None


def _public(key: object) -> bytes:
    encode = getattr(key, "public_bytes", None)
    if encode is None:
        return b""
    encoded: bytes = encode(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
    return encoded


def _day(moment: datetime) -> str:
    return moment.date().isoformat()


def _earliest(material: ServingMaterial) -> str:
    return min(material.ends.values()).isoformat(timespec="seconds").replace("+00:00", "Z")
