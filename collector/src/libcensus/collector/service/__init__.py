"""The collector's face on the wire: gRPC servicers, who speaks, and how errors are told.

Only this package sees grpc; nothing in it sees SQL.

Importing it settles two things that gRPC reads from the environment once, when it is imported: that no TLS below 1.3
is spoken, and that gRPC's own messages about refused handshakes, which anybody can cause, do not flood the log. Where
gRPC was imported before, it keeps its defaults; each call's own TLS version is looked at all the same.
"""

from __future__ import annotations

import os

_NO_TLS_1_2 = "ECDHE-PSK-AES256-CBC-SHA"
"""The only cipher offered for TLS 1.2 is one that needs a shared secret which no side has: every 1.2 handshake fails,
whatever the server's key. TLS 1.3 has ciphers of its own, which this does not touch. gRPC has no setting for it."""

# An operator's environment must not weaken it.
os.environ["GRPC_SSL_CIPHER_SUITES"] = _NO_TLS_1_2
os.environ.setdefault("GRPC_VERBOSITY", "NONE")
