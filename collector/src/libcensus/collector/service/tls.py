"""Server credentials that follow the certificates while the server runs."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

import grpc

from libcensus.collector.errors import CollectorError

if TYPE_CHECKING:
    from collections.abc import Callable

    from libcensus.collector.pki.serving import ServingCertificates, ServingMaterial

_LOGGER = logging.getLogger(__name__)


def server_credentials(
    certificates: ServingCertificates, *, asks_clients: bool, handshake: Callable[[], None]
) -> grpc.ServerCredentials:
    """Return credentials for one port: with ``asks_clients`` nobody gets in without a certificate of the client CA.

    gRPC asks for the certificates at every handshake, so new ones are in use at once, and connections that are open
    stay. ``handshake`` is called each time: it counts those that fail too, which never reach a handler.
    """
    first = certificates.current
    shown = first.number

    def fetch() -> grpc.ServerCertificateConfiguration | None:
        nonlocal shown
        handshake()
        try:
            material = certificates.current
        except CollectorError as error:
            _LOGGER.warning("the certificates stay as they were: %s", error)
            return None
        if material.number == shown:
            return None
        shown = material.number
        return _configuration(material, asks_clients=asks_clients)

    return grpc.dynamic_ssl_server_credentials(
        _configuration(first, asks_clients=asks_clients),
        # None, which the stubs do not know, says that nothing changed.
        fetch,  # type: ignore[arg-type]
        require_client_authentication=asks_clients,
    )


def _configuration(material: ServingMaterial, *, asks_clients: bool) -> grpc.ServerCertificateConfiguration:
    return grpc.ssl_server_certificate_configuration(
        [(material.key_pem, material.chain_pem)], material.client_roots_pem if asks_clients else None
    )
