"""The collector's command with an authority of its own, and certificates of hosts."""

from __future__ import annotations

import re
import subprocess
import sys
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

from libcensus.collector.pki.identity import Identity, Role

if TYPE_CHECKING:
    from collections.abc import Iterator

    from libcensus.collector.pki.authority import Authority

COMMAND = Path(sys.executable).with_name("libcensus-collector")
_SERVING = re.compile(r"serving gRPC \((.*?)\) on ([^\s,]+)(?:, enrollment on (\S+))? and HTTP on http://([^/\s]+)/")


@dataclass(frozen=True)
class Certificate:
    """A certificate with its key and the roots, in PEM."""

    chain: bytes
    key: bytes
    roots: bytes

    def write(self, folder: Path) -> dict[str, str]:
        """Write it; returns the agent's settings that name the files."""
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        places = {}
        for name, content in (("certificate", self.chain), ("key", self.key), ("ca", self.roots)):
            place = folder / f"{name}.pem"
            place.touch(mode=0o600)
            place.write_bytes(content)
            places[f"collector_{name}"] = str(place)
        return places


def certify(
    authority: Authority,
    name: str,
    role: Role = Role.AGENT,
    *,
    now: datetime | None = None,
    lifetime: timedelta = timedelta(days=7),
) -> Certificate:
    """Return a certificate as the authority issues it."""
    key = ec.generate_private_key(ec.SECP256R1())
    identity = Identity(authority.trust_domain, role, name)
    issued = authority.issue(key.public_key(), identity, lifetime, now or datetime.now(UTC))
    chain = b"".join(
        one.public_bytes(serialization.Encoding.PEM) for one in (issued.certificate, *authority.issuing_chain)
    )
    key_pem = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    return Certificate(chain, key_pem, authority.roots_pem)


@dataclass
class Serving:
    """A running command."""

    process: subprocess.Popen[str]
    grpc_address: str
    enrollment_address: str
    http_address: str


@contextmanager
def serving(
    database: str, *more: str, pki: Path | None = None, prefix: tuple[str, ...] = (), log: Path | None = None
) -> Iterator[Serving]:
    """Run the command until the block ends; then it must stop in good order, unless the block has killed it.

    With ``pki`` it speaks mutual TLS by the authority in that folder. What it says after its start goes to ``log``.
    """
    ports = ["--listen", "127.0.0.1:0", "--http-listen", "127.0.0.1:0"]
    if pki is None:
        trust = ["--pki-dir", f"{database}.pki"]
    else:
        trust = ["--enroll-listen", "127.0.0.1:0", "--pki-dir", str(pki), "--server-names", "127.0.0.1,localhost"]
        trust += ["--audit-log", f"{pki}.audit"]
    command = [*prefix, str(COMMAND), "serve", *ports, "--database", database, *trust, *more]
    place = log or Path(f"{pki or database}.log")
    with place.open("a+") as errors:
        errors.seek(0, 2)
        before = errors.tell()
        process = subprocess.Popen(command, stderr=errors, text=True)
        try:
            match = None
            while match is None:
                errors.seek(before)
                said = errors.read()
                match = _SERVING.search(said)
                assert process.poll() is None, f"the collector ended: {said}"
                # Its log is a file, which nobody can wait for.
                if match is None:
                    with_patience(process)
            assert (match[1] == "plaintext") == (pki is None)
            yield Serving(process, match[2], match[3] or "", match[4])
            killed = process.poll() is not None
            process.terminate()
            process.wait(60)
            errors.seek(before)
            said = errors.read()
            assert killed or process.returncode == 0, said
            assert "Traceback" not in said
        finally:
            process.kill()
            process.wait()


def with_patience(process: subprocess.Popen[str]) -> None:
    """Wait a moment for the process to say or do something."""
    try:
        process.wait(0.05)
    except subprocess.TimeoutExpired:
        return
