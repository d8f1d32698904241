"""Which host this is, told without telling its machine id.

``machine-id(5)`` asks that the id is hashed with an application's key before it leaves the host: the collector gets
the first 16 bytes of HMAC-SHA256 over it. A host without a machine id gets a random one, kept in the state folder. Two
machines made from one image that holds a filled ``/etc/machine-id`` are one host to the census: images must leave that
file empty, which is what ``machine-id(5)`` says too.
"""

from __future__ import annotations

import hashlib
import hmac
import re
import secrets
from dataclasses import dataclass
from pathlib import Path

from libcensus.agent.errors import ConfigurationError
from libcensus.agent.state import write_durably

APPLICATION_KEY = b"libcensus machine id v1"
MACHINE_ID = Path("/etc/machine-id")
HOST_ID_FILE = "host-id"

_HEX_32 = re.compile(r"[0-9a-f]{32}")


@dataclass(frozen=True, slots=True)
class HostIdentity:
    """The host's key in the census, and what it was made from: ``machine-id`` or ``random``."""

    host_id: str
    source: str


def hash_machine_id(machine_id: str) -> str:
    """Return the 32 hexadecimal digits that stand for a machine id; nobody can lead them back to it."""
    return hmac.new(APPLICATION_KEY, machine_id.encode(), hashlib.sha256).digest()[:16].hex()


def read_machine_id(path: Path = MACHINE_ID) -> str | None:
    """Return the machine id, or None where it is missing, empty, ``uninitialized`` or all zeros."""
    try:
        text = path.read_text(encoding="ascii").strip()
    except (OSError, UnicodeDecodeError):
        return None
    return text if _HEX_32.fullmatch(text) and text.strip("0") else None


def find_identity(state: Path, machine_id_file: Path = MACHINE_ID) -> HostIdentity:
    """Return the host's identity; makes and keeps a random one in the state folder where there is no machine id."""
    machine_id = read_machine_id(machine_id_file)
    if machine_id is not None:
        return HostIdentity(hash_machine_id(machine_id), "machine-id")
    kept = state / HOST_ID_FILE
    try:
        text = kept.read_text(encoding="ascii").strip()
        if not _HEX_32.fullmatch(text):
            raise ConfigurationError(
                f"{kept} does not hold 32 hexadecimal digits; remove it to become a new host in the census"
            )
        return HostIdentity(text, "random")
    except FileNotFoundError:
        made = secrets.token_hex(16)
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigurationError(f"{kept} cannot be read: {error}") from None
    try:
        write_durably(kept, made.encode() + b"\n")
    except OSError as error:
        raise ConfigurationError(
            f"the host's id cannot be kept in {kept}: {error.strerror}; without a machine id in {machine_id_file} the "
            "state folder must be writable"
        ) from None
    return HostIdentity(made, "random")


def known_host_id(state: Path, machine_id_file: Path = MACHINE_ID) -> str | None:
    """Return the host's id where it has one already; makes none."""
    machine_id = read_machine_id(machine_id_file)
    if machine_id is not None:
        return hash_machine_id(machine_id)
    try:
        text = (state / HOST_ID_FILE).read_text(encoding="ascii").strip()
    except (OSError, UnicodeDecodeError):
        return None
    return text if _HEX_32.fullmatch(text) else None
