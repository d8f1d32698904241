"""Tells the service manager how far the collector is, by the protocol of ``sd_notify(3)``.

Without ``NOTIFY_SOCKET`` in the environment it does nothing; a service manager that does not listen is no reason to
fail.
"""

from __future__ import annotations

import logging
import socket
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

_LOGGER = logging.getLogger(__name__)


def notify_service_manager(state: str, environment: Mapping[str, str]) -> bool:
    """Send one state such as ``READY=1``; returns whether somebody was there to be told."""
    where = environment.get("NOTIFY_SOCKET", "")
    if not where.startswith(("/", "@")):
        return False
    # A leading @ stands for the NUL of an abstract socket.
    address = "\0" + where[1:] if where.startswith("@") else where
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as channel:
            channel.connect(address)
            channel.sendall(state.encode())
    except OSError as error:
        _LOGGER.warning("the service manager could not be told %s: %s", state.split("\n", maxsplit=1)[0], error)
        return False
    return True
