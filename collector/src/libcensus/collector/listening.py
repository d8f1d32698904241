"""How a collector can be reached: which addresses, and whether with TLS or, on loopback alone, without.

With a certificate authority of its own (`libcensus-collector ca init`) or certificates of an external one, agents and
operators speak mutual TLS on every address, loopback too. Without either the collector listens on loopback alone.
"""

from __future__ import annotations

import socket
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING

from libcensus.collector.address import Endpoint, require_loopback, resolve, split_address
from libcensus.collector.errors import ConfigurationError
from libcensus.collector.pki.authority import Authority
from libcensus.collector.pki.serving import AuthorityCertificates, GivenCertificates

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime

    from libcensus.collector.config import CollectorSettings
    from libcensus.collector.pki.serving import ServingCertificates

ENROLLMENT_PORT = 9446
_EXTERNAL = ("tls_certificate", "tls_key", "tls_client_ca")


@dataclass(frozen=True, slots=True)
class Listening:
    """Where a collector listens. Without ``certificates`` it speaks plaintext, and all endpoints are loopback."""

    grpc: tuple[Endpoint, ...]
    http: tuple[Endpoint, ...]
    enrollment: tuple[Endpoint, ...] = ()
    certificates: ServingCertificates | None = None

    @property
    def authority(self) -> AuthorityCertificates | None:
        """The certificates of the collector's own CA; None without one."""
        return self.certificates if isinstance(self.certificates, AuthorityCertificates) else None


def decide_listening(settings: CollectorSettings, clock: Callable[[], datetime]) -> Listening:
    """Return how the settings let the collector be reached; nothing is bound yet.

    Raises ConfigurationError where that would show reports to other hosts without TLS, or the certificates are wrong.
    """
    grpc = resolve("listen", settings.listen)
    http = resolve("http_listen", settings.http_listen)
    if settings.web_config is None and not settings.http_open:
        require_loopback(
            "http_listen",
            settings.http_listen,
            http,
            "its pages tell who is vulnerable",
            "name a web.config.yml with TLS or users (--web-config), say that they may be open (--http-open)",
        )
    certificates = _certificates(settings, grpc, clock)
    if certificates is None:
        if settings.enroll_listen is not None:
            raise ConfigurationError(
                f"enroll_listen: {settings.enroll_listen} needs a certificate authority; make one with "
                "`libcensus-collector ca init`"
            )
        require_loopback(
            "listen",
            settings.listen,
            grpc,
            "this collector has no certificate to protect reports with",
            "make a certificate authority with `libcensus-collector ca init` (or name tls_certificate, tls_key and "
            "tls_client_ca of an external one)",
        )
        return Listening(grpc, http)
    enrollment: tuple[Endpoint, ...] = ()
    if isinstance(certificates, AuthorityCertificates):
        host, port = split_address("listen", settings.listen)
        shown = f"[{host}]" if ":" in host else host
        # A port that the system chooses is for tests and trials: then it chooses both.
        beside = f"{shown}:{ENROLLMENT_PORT if port else 0}"
        enrollment = resolve("enroll_listen", settings.enroll_listen or beside)
    elif settings.enroll_listen is not None:
        raise ConfigurationError(
            f"enroll_listen: {settings.enroll_listen}: hosts of an external CA are not enrolled by this collector; "
            "leave enroll_listen out"
        )
    return Listening(grpc, http, enrollment, certificates)


def _certificates(
    settings: CollectorSettings, endpoints: tuple[Endpoint, ...], clock: Callable[[], datetime]
) -> ServingCertificates | None:
    given = {name: getattr(settings, name) for name in _EXTERNAL if getattr(settings, name) is not None}
    if given:
        if absent := [name for name in _EXTERNAL if name not in given]:
            raise ConfigurationError(
                f"{', '.join(absent)}: not set, and {', '.join(given)} is: an external CA needs all three"
            )
        return GivenCertificates(
            Path(given["tls_certificate"]), Path(given["tls_key"]), Path(given["tls_client_ca"]), clock
        )
    if settings.pki_dir is None or not Authority.exists(Path(settings.pki_dir)):
        return None
    return AuthorityCertificates(
        Path(settings.pki_dir),
        settings.trust_domain,
        settings.server_names or default_names(endpoints),
        timedelta(seconds=settings.certificate_lifetime),
        clock,
    )


def default_names(endpoints: tuple[Endpoint, ...] = ()) -> tuple[str, ...]:
    """Return the names by which this host is reached as far as it knows: its own, and what it listens on."""
    listened = [one.address for one in endpoints if one.address not in {"0.0.0.0", "::"}]  # noqa: S104 - not bound here
    return tuple(dict.fromkeys((socket.gethostname(), *listened, "localhost", "127.0.0.1", "::1")))
