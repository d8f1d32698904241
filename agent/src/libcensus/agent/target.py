"""Where a collector is: understood and judged before a host is scanned for it, and without importing gRPC."""

from __future__ import annotations

import ipaddress
import re
from dataclasses import dataclass

from libcensus.agent.config import DEFAULT_PORT
from libcensus.agent.errors import ConfigurationError, IdentityError

_HOST_PORT = re.compile(r"(?P<host>\[[^\]]*\]|[^:\[\]/\s]+)(?::(?P<port>[0-9]{1,5}))?")


@dataclass(frozen=True, slots=True)
class Target:
    """A collector's address as it was given, as gRPC wants it, and whether it lies on this machine.

    ``host`` is the name or number that its certificate must hold, without brackets; None for a unix socket.
    """

    given: str
    address: str
    is_loopback: bool
    host: str | None = None
    port: int = DEFAULT_PORT

    def with_port(self, port: int) -> Target:
        """Return another port of the same machine."""
        if self.host is None:
            raise ConfigurationError(f"collector address {self.given!r} is a socket of this machine and has no ports")
        bracketed = f"[{self.host}]" if ":" in self.host else self.host
        return parse_target(f"{bracketed}:{port}")

    def check_plaintext(self) -> None:
        """Raise IdentityError unless plaintext to this address stays on the machine."""
        if not self.is_loopback:
            raise IdentityError(
                f"collector {self.given} is not on this machine, and this host has no certificate to speak to it: "
                f"enroll it with libcensus-agent enroll --collector {self.host or self.given} --token-file FILE "
                "--ca-fingerprint SHA256 (`libcensus-collector token create` prints the whole command), or set "
                "collector.certificate, collector.key and collector.ca"
            )


def parse_target(address: str) -> Target:
    """Return the target of ``HOST[:PORT]``, ``[IPv6][:PORT]`` or ``unix:PATH``; raises ConfigurationError otherwise."""
    allowed = "HOST:PORT, [IPv6]:PORT or unix:/PATH"
    if address.startswith("unix:"):
        path = address.removeprefix("unix:")
        if path.startswith("//"):
            path = path.removeprefix("//")
        if not path.startswith("/"):
            raise ConfigurationError(f"collector address {address!r} does not hold an absolute path; write {allowed}")
        return Target(address, f"unix:{path}", is_loopback=True)
    match = _HOST_PORT.fullmatch(address)
    if match is None or not 0 < int(match["port"] or DEFAULT_PORT) < 65536:
        raise ConfigurationError(f"collector address {address!r} cannot be understood; write {allowed}")
    host, port = match["host"], int(match["port"] or DEFAULT_PORT)
    bare = host.strip("[]")
    try:
        number = ipaddress.ip_address(bare)
    except ValueError:
        if host.startswith("["):
            raise ConfigurationError(f"collector address {address!r} holds no IPv6 address; write {allowed}") from None
        return Target(address, f"dns:///{host}:{port}", host.lower() == "localhost", host, port)
    family = "ipv6" if number.version == 6 else "ipv4"
    return Target(address, f"{family}:{host}:{port}", number.is_loopback, bare, port)
