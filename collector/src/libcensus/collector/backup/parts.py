"""Which files belong to a collector beside its database, under which names they stand in an archive, and where they go.

======================  ====================================================================================
``settings/``           the TOML file with settings
``web/``                ``web.config.yml``, and the files of TLS that it names; the key only where keys are wanted
``tls/``                certificate, key and roots of an external CA; the key only where keys are wanted
``pki/``                the folder of the certificate authority, only where keys are wanted
``vex/``, ``speeds/``   the documents with accepted risks, and with measured speed
``advisories/``         the last good state of each feed
``audit/``              the audit log
======================  ====================================================================================
"""

from __future__ import annotations

import grp
import io
import os
import pwd
import stat
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO, TYPE_CHECKING

from libcensus.collector.advisories.feeds.registry import NAMES
from libcensus.collector.backup.archive import Part
from libcensus.collector.documents import documents_in
from libcensus.collector.errors import ConfigurationError
from libcensus.collector.pki.authority import Authority
from libcensus.collector.pki.keyfiles import changing
from libcensus.collector.webconfig import WebConfig

if TYPE_CHECKING:
    from collections.abc import Iterator

    from _typeshed import WriteableBuffer

    from libcensus.collector.config import CollectorSettings

PKI_FILES = ("root.pem", "root.key", "issuing.pem", "issuing.key", "roots.pem", "cross.pem")
_LARGEST_FILE = 64 * 1024**2
"""Bytes that a settings file, certificate or document may have; the audit log may have any number."""


@dataclass(frozen=True, slots=True)
class CollectorFile:
    """A file beside the database: its name in an archive, and its place."""

    name: str
    place: Path
    is_key: bool = False


def files_of(settings: CollectorSettings, config: Path | None) -> list[CollectorFile]:
    """Return the files that a collector with these settings has, those that are there; ``config`` is its own.

    Raises ConfigurationError where a folder cannot be read. A ``web_config`` that is broken stands alone, for what it
    names cannot be told.
    """
    found = [] if config is None else [CollectorFile("settings/collector.toml", config)]
    if settings.web_config is not None:
        web = Path(settings.web_config)
        found.append(CollectorFile("web/web.config.yml", web))
        named: tuple[Path, ...] = ()
        with suppress(ConfigurationError):
            named = WebConfig(web, must_protect=False).named
        for number, path in enumerate(named):
            # The certificate, its key, and perhaps the roots of clients, in this order.
            name = ("certificate.pem", "key.pem", "client_ca.pem")[number]
            found.append(CollectorFile(f"web/{name}", path, is_key=number == 1))
    for name in ("tls_certificate", "tls_key", "tls_client_ca"):
        value = getattr(settings, name)
        if value is not None:
            found.append(CollectorFile(f"tls/{name}.pem", Path(value), is_key=name == "tls_key"))
    if settings.pki_dir is not None:
        folder = Path(settings.pki_dir)
        # All of it is of use with the issuing key alone, and that is not given away by chance.
        found += [CollectorFile(f"pki/{name}", folder / name, is_key=True) for name in PKI_FILES]
    for kind, folder in document_folders(settings).items():
        found += [CollectorFile(f"{kind}/{path.name}", path) for path in documents_of(folder)]
    if settings.advisories_dir is not None:
        folder = Path(settings.advisories_dir)
        found += [CollectorFile(f"advisories/{name}.json", folder / f"{name}.json") for name in NAMES]
    if settings.audit_log is not None:
        found.append(CollectorFile("audit/audit.jsonl", Path(settings.audit_log)))
    return [one for one in found if one.place.exists()]


def document_folders(settings: CollectorSettings) -> dict[str, Path]:
    """Return the folders with an operator's documents, by what they stand under in an archive."""
    named = {"vex": settings.vex_dir, "speeds": settings.speeds_dir}
    return {kind: Path(folder) for kind, folder in named.items() if folder is not None}


def documents_of(folder: Path) -> list[Path]:
    """Return the documents of a folder, none where it is not there; raises ConfigurationError."""
    try:
        return documents_in(folder)
    except FileNotFoundError:
        return []
    except OSError as error:
        raise ConfigurationError(f"{folder}: cannot be read: {error.strerror}") from error


@contextmanager
def kept_still(settings: CollectorSettings) -> Iterator[None]:
    """Keep `ca rotate` and `ca retire` away from the certificate authority, where there is one."""
    with ExitStack() as stack:
        if settings.pki_dir is not None and Authority.exists(Path(settings.pki_dir)):
            stack.enter_context(changing(Path(settings.pki_dir)))
        yield


@contextmanager
def opened(one: CollectorFile) -> Iterator[tuple[IO[bytes], Part]]:
    """Open a file, and say how it stands in the archive; raises ConfigurationError naming it.

    What is written meanwhile does not get in: the audit log ends where it ended when it was opened.
    """
    try:
        with one.place.open("rb") as file:
            found = os.fstat(file.fileno())
            if not stat.S_ISREG(found.st_mode):
                raise ConfigurationError(f"{one.place}: is no ordinary file")
            is_log = one.name.startswith("audit/")
            if found.st_size > _LARGEST_FILE and not is_log:
                raise ConfigurationError(f"{one.place}: is larger than {_LARGEST_FILE} bytes, which nothing here is")
            part = Part(
                one.name,
                found.st_size,
                "",
                os.path.abspath(one.place),  # noqa: PTH100 - resolve() would follow a link
                stat.S_IMODE(found.st_mode) & 0o777,
                _user_name(found.st_uid),
                _group_name(found.st_gid),
            )
            yield (io.BufferedReader(_Bounded(file, found.st_size)) if is_log else io.BytesIO(file.read())), part
    except OSError as error:
        raise ConfigurationError(
            f"{one.place}: cannot be read: {error.strerror}; run this as the collector's user, or as root"
        ) from error


class _Bounded(io.RawIOBase):
    """The first bytes of a file, so many as it had when it was opened."""

    def __init__(self, file: IO[bytes], size: int) -> None:
        self._file = file
        self._left = size

    def readable(self) -> bool:
        """Say that it can be read."""
        return True

    def readinto(self, buffer: WriteableBuffer) -> int:
        """Read into a buffer; returns how many bytes, none at the end."""
        view = memoryview(buffer)
        block = self._file.read(min(len(view), self._left))
        view[: len(block)] = block
        self._left -= len(block)
        return len(block)


def _user_name(number: int) -> str | None:
    try:
        return pwd.getpwuid(number).pw_name
    except KeyError:
        return None


def _group_name(number: int) -> str | None:
    try:
        return grp.getgrgid(number).gr_name
    except KeyError:
        return None
