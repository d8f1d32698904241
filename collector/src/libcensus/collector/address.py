"""Where the collector listens: ``ADDRESS:PORT`` texts, and whether they are reachable from this host alone.

A name is resolved once, and the addresses are what is judged and bound, never the name: nothing can change between the
check and the binding. Beyond loopback nothing is bound without TLS, unless an operator says so in so many words.
"""

from __future__ import annotations

import errno
import ipaddress
import socket
from dataclasses import dataclass

from libcensus.collector.errors import ConfigurationError

_NOT_HERE = frozenset({errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT, errno.EINVAL})


@dataclass(frozen=True, slots=True, order=True)
class Endpoint:
    """One IP address with a port; port 0 lets the system choose."""

    address: str
    port: int

    def __str__(self) -> str:
        """Return the endpoint as URLs and gRPC targets write it."""
        return f"[{self.address}]:{self.port}" if ":" in self.address else f"{self.address}:{self.port}"

    @property
    def is_loopback(self) -> bool:
        """Whether it can be reached from this host alone."""
        return _is_loopback(self.address)

    @property
    def family(self) -> socket.AddressFamily:
        """The socket family of the address."""
        return socket.AF_INET6 if ":" in self.address else socket.AF_INET


def split_address(setting: str, text: str) -> tuple[str, int]:
    """Return the host and port of ``ADDRESS:PORT`` (``[ADDRESS]:PORT`` for IPv6).

    Raises :class:`ConfigurationError` naming the setting for anything else.
    """
    host, colon, port = text.rpartition(":")
    if host.startswith("[") and host.endswith("]"):
        host = host[1:-1]
    elif ":" in host:
        raise ConfigurationError(f"{setting}: {text!r} is ambiguous; write an IPv6 address in brackets: [::1]:9444")
    if not colon or not host:
        raise ConfigurationError(f"{setting}: {text!r} is not ADDRESS:PORT; for example 127.0.0.1:9444 or [::1]:9444")
    if not (port.isascii() and port.isdigit()) or int(port) > 65535:
        raise ConfigurationError(f"{setting}: {port!r} in {text!r} is not a port; it is a number from 0 to 65535")
    return host, int(port)


def _is_loopback(address: str) -> bool:
    parsed = ipaddress.ip_address(address)
    mapped = getattr(parsed, "ipv4_mapped", None)
    return bool((mapped or parsed).is_loopback)


def _resolve_host(setting: str, host: str) -> list[str]:
    try:
        found = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise ConfigurationError(f"{setting}: {host!r} cannot be resolved: {reason}") from error
    addresses: list[str] = []
    for *_, where in found:
        # A scope is the number of a network interface, which the address itself may no longer show.
        address = f"{where[0]}%{where[3]}" if len(where) == 4 and where[3] else str(where[0])
        if address not in addresses:
            addresses.append(address)
    return addresses


def resolve(setting: str, text: str) -> tuple[Endpoint, ...]:
    """Return the endpoints behind ``ADDRESS:PORT``.

    Raises :class:`ConfigurationError` when the text is no address, cannot be resolved, or names a zone.
    """
    host, port = split_address(setting, text)
    addresses = _resolve_host(setting, host)
    for address in addresses:
        if "%" in address:
            raise ConfigurationError(f"{setting}: {address} names a network interface; write an address without one")
    return tuple(Endpoint(address, port) for address in addresses)


def require_loopback(setting: str, text: str, endpoints: tuple[Endpoint, ...], problem: str, remedy: str) -> None:
    """Raise :class:`ConfigurationError` where any of the endpoints can be reached from another host.

    ``problem`` says why that is refused, ``remedy`` what else there is beside listening on loopback.
    """
    host, port = split_address(setting, text)
    for endpoint in endpoints:
        if not endpoint.is_loopback:
            shown = endpoint.address if endpoint.address == host else f"{host} ({endpoint.address})"
            raise ConfigurationError(
                f"{setting}: {shown} can be reached from other hosts, and {problem}; {remedy}, or listen on "
                f"127.0.0.1:{port} or [::1]:{port}"
            )


def probe_endpoints(setting: str, endpoints: tuple[Endpoint, ...]) -> tuple[Endpoint, ...]:
    """Return those endpoints that this host has, each free to bind right now.

    An address family that the host lacks is left out as long as another remains (``localhost`` without IPv6). Raises
    :class:`ConfigurationError` naming the address that is taken, forbidden or absent.
    """
    there: list[Endpoint] = []
    absent: tuple[Endpoint, OSError] | None = None
    for endpoint in endpoints:
        try:
            with socket.socket(endpoint.family, socket.SOCK_STREAM) as trial:
                trial.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                trial.bind((endpoint.address, endpoint.port))
                trial.listen(1)
        except OSError as error:
            if error.errno not in _NOT_HERE:
                raise refused_endpoint(setting, endpoint, error) from error
            absent = (endpoint, error)
        else:
            there.append(endpoint)
    if not there and absent is not None:
        raise refused_endpoint(setting, *absent) from absent[1]
    return tuple(there)


def refused_endpoint(setting: str, endpoint: Endpoint, error: OSError | None = None) -> ConfigurationError:
    """Return the error that says why an endpoint cannot be bound, and what to do."""
    if error is None or error.errno == errno.EADDRINUSE:
        return ConfigurationError(
            f"{setting}: {endpoint} is in use by another process (see `ss -ltnp 'sport = :{endpoint.port}'`); stop it "
            "or choose another port"
        )
    if error.errno in (errno.EACCES, errno.EPERM):
        return ConfigurationError(f"{setting}: {endpoint} may not be bound by this user; choose a port above 1023")
    return ConfigurationError(f"{setting}: {endpoint} cannot be bound: {error.strerror}")
