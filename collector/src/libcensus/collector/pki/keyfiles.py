"""Files of keys and certificates: written durably and whole, and read only where nobody else can read the keys.

A key file belongs to the collector's user (or root) and has no permission for anybody else; its folder cannot be
written by others. What does not hold is refused with the command that mends it.
"""

from __future__ import annotations

import fcntl
import os
import stat
import tempfile
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

from libcensus.collector.errors import ConfigurationError
from libcensus.collector.pki.ownership import give_to_owner_of_folder

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

_MOST_BYTES = 1024 * 1024
"""A file of certificates is some kilobytes long; one beyond this is something else."""


def make_folder(folder: Path) -> None:
    """Make the folder where it is missing, for its owner alone; raises ConfigurationError."""
    try:
        folder.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        try:
            folder.mkdir(mode=0o700)
        except FileExistsError:
            pass
        else:
            descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
            try:
                give_to_owner_of_folder(descriptor, folder)
            finally:
                os.close(descriptor)
        # A present folder that is empty was made for this; the mode of one with something in it is not ours to change.
        if not any(folder.iterdir()):
            folder.chmod(0o700)
    except OSError as error:
        raise ConfigurationError(
            f"{folder}: the folder cannot be made: {error.strerror}; name another place with --pki-dir, or run the "
            "command as the collector's user"
        ) from error


def check_folder(folder: Path) -> None:
    """Raise ConfigurationError where others than the owner can change what lies in the folder."""
    try:
        found = folder.stat()
    except OSError as error:
        raise ConfigurationError(f"{folder}: cannot be read: {error.strerror}") from error
    if found.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
        raise ConfigurationError(
            f"{folder}: others can write in it (mode {found.st_mode & 0o777:o}), and so replace keys; "
            f"run chmod 700 {folder}"
        )


@contextmanager
def changing(folder: Path) -> Iterator[None]:
    """Keep other commands from changing the folder at the same time; raises ConfigurationError where one does."""
    try:
        descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except OSError as error:
        raise ConfigurationError(f"{folder}: cannot be read: {error.strerror}") from error
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise ConfigurationError(
                f"{folder}: another command is changing this certificate authority; wait until it has ended"
            ) from None
        yield
    finally:
        os.close(descriptor)


def write_file(path: Path, content: bytes, mode: int) -> None:
    """Replace a file in one step, durably: after a power loss the old or the new content is there, never half of one.

    Raises ConfigurationError naming the file.
    """
    try:
        descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
        temporary = Path(name)
        try:
            with os.fdopen(descriptor, "wb") as file:
                os.fchmod(file.fileno(), mode)
                give_to_owner_of_folder(file.fileno(), path)
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
            temporary.replace(path)
        except BaseException:
            temporary.unlink(missing_ok=True)
            raise
        folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)
    except OSError as error:
        raise ConfigurationError(f"{path}: cannot be written: {error.strerror}") from error


def write_key(path: Path, key: ec.EllipticCurvePrivateKey) -> None:
    """Write a key (PEM, PKCS #8) that its owner alone can read."""
    write_file(path, key_pem(key), 0o600)


def write_certificates(path: Path, certificates: Sequence[x509.Certificate]) -> None:
    """Write certificates (PEM) that anybody may read."""
    write_file(path, certificates_pem(certificates), 0o644)


def key_pem(key: ec.EllipticCurvePrivateKey) -> bytes:
    """Return a key as PEM, PKCS #8, without a passphrase."""
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )


def certificates_pem(certificates: Sequence[x509.Certificate]) -> bytes:
    """Return certificates as PEM, one after the other."""
    return b"".join(one.public_bytes(serialization.Encoding.PEM) for one in certificates)


def read_certificates(path: Path) -> tuple[x509.Certificate, ...]:
    """Return the certificates of a PEM file, at least one; raises ConfigurationError."""
    content = _read(path, is_key=False)
    try:
        return tuple(x509.load_pem_x509_certificates(content))
    except ValueError as error:
        raise ConfigurationError(f"{path}: holds no certificate in PEM form, or a broken one; restore it") from error


def read_key(path: Path) -> ec.EllipticCurvePrivateKey:
    """Return the P-256 key of a PEM file that its owner alone can read; raises ConfigurationError."""
    content = _read(path, is_key=True)
    problem = f"{path}: holds no unencrypted ECDSA P-256 key in PEM form; restore it from a backup"
    try:
        key = serialization.load_pem_private_key(content, password=None)
    except (ValueError, TypeError):
        # Without the cause: its text may quote what it read.
        raise ConfigurationError(problem) from None
    if not isinstance(key, ec.EllipticCurvePrivateKey) or not isinstance(key.curve, ec.SECP256R1):
        raise ConfigurationError(problem)
    return key


def _read(path: Path, *, is_key: bool) -> bytes:
    try:
        # Without waiting: a pipe without a writer would hold up the start for ever.
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
        with os.fdopen(descriptor, "rb") as file:
            found = os.fstat(file.fileno())
            if not stat.S_ISREG(found.st_mode):
                raise ConfigurationError(f"{path}: is no ordinary file")
            if is_key and found.st_mode & (stat.S_IRWXG | stat.S_IRWXO):
                raise ConfigurationError(
                    f"{path}: others can read this key (mode {found.st_mode & 0o777:o}); if somebody may have read it, "
                    f"replace it (docs/trust.md); otherwise run chmod 600 {path}"
                )
            if is_key and found.st_uid not in {0, os.geteuid(), path.parent.stat().st_uid}:
                raise ConfigurationError(
                    f"{path}: belongs to another user (id {found.st_uid}), who can change it; run chown on it"
                )
            content = file.read(_MOST_BYTES + 1)
    except FileNotFoundError:
        raise ConfigurationError(f"{path}: there is no such file; restore it from a backup") from None
    except OSError as error:
        raise ConfigurationError(
            f"{path}: cannot be read: {error.strerror}; the folder has to belong to the user that the collector runs as"
        ) from error
    if len(content) > _MOST_BYTES:
        raise ConfigurationError(f"{path}: is longer than {_MOST_BYTES} bytes, which no key or certificate is")
    return content
