"""Where a call comes from, as gRPC tells it and as people read it."""

from __future__ import annotations

from urllib.parse import unquote


def address_of(peer: str) -> str:
    """Return the address of gRPC's text for a peer, without its port: ``ipv4:192.0.2.7:41234`` is ``192.0.2.7``."""
    kind, _, rest = peer.partition(":")
    return unquote(rest.rpartition(":")[0]).strip("[]") if kind in {"ipv4", "ipv6"} else kind
