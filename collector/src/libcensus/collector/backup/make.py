"""Makes a backup while the collector serves: first the database's copy, then the files, then all of it in its place.

The database comes first: what the certificate authority has afterwards holds for every certificate that the copy knows,
also where keys were rotated meanwhile.
"""

from __future__ import annotations

import fcntl
import glob
import os
import shutil
import tempfile
from contextlib import contextmanager, suppress
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING

from libcensus.collector.backup.archive import DATABASE, ArchiveWriter, BackupError, Manifest, Part
from libcensus.collector.backup.parts import files_of, kept_still, opened
from libcensus.collector.errors import ConfigurationError, StoreFullError
from libcensus.collector.pki.authority import Authority, fingerprint
from libcensus.collector.pki.keyfiles import read_certificates
from libcensus.collector.store.copying import copy_database

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from datetime import datetime
    from typing import IO

    from libcensus.collector.config import CollectorSettings
    from libcensus.collector.store.copying import DatabaseCopy

    Progress = Callable[[str, float], None]
    """Called with what is being done, and the share of it that is done."""


def make_backup(
    settings: CollectorSettings,
    config: Path | None,
    output: Path,
    *,
    with_keys: bool,
    overwrite: bool,
    progress: Progress,
    clock: Callable[[], datetime],
) -> Manifest:
    """Write an archive to ``output``, a file for its owner alone, in one step: an older one there stays until then.

    ``config`` is the settings file that was read. Next to ``output`` room is needed for the database and the archive.
    Raises BackupError where ``output`` is there and not to be overwritten, ConfigurationError, StoreError.
    """
    if settings.database is None:
        raise ConfigurationError("database: is not set; for example sqlite:////var/lib/libcensus/collector.db")
    if output.exists() and not overwrite:
        raise BackupError(f"{output}: is there already; name another file, or replace it with --overwrite")
    if output.is_dir():
        raise BackupError(f"{output}: is a folder; name a file in it")
    try:
        with _own_folder(output) as folder:
            copied = copy_database(
                settings.database, folder / DATABASE, lambda share: progress("copying the database", share), clock
            )
            made = folder / "archive"
            with _new_file(made) as file:
                manifest = _write(settings, config, file, folder / DATABASE, copied, progress, with_keys=with_keys)
                file.flush()
                os.fsync(file.fileno())
            _put_in_place(made, output, overwrite=overwrite)
    except StoreFullError:
        raise _no_space(output) from None
    except FileExistsError:
        raise BackupError(f"{output}: is there already; name another file, or replace it with --overwrite") from None
    except OSError as error:
        raise _unwritten(output, error) from error
    return manifest


@contextmanager
def _own_folder(output: Path) -> Iterator[Path]:
    """Make a folder beside the archive, and take away those of backups that were killed: nobody holds their locks."""
    prefix = f".{output.name}.backup-"
    for left in output.parent.glob(f"{glob.escape(prefix)}*"):
        with suppress(OSError), _locked(left):
            shutil.rmtree(left)
    with tempfile.TemporaryDirectory(dir=output.parent, prefix=prefix) as name, _locked(Path(name)):
        yield Path(name)


@contextmanager
def _locked(folder: Path) -> Iterator[None]:
    """Hold a folder's lock; raises OSError where another process does."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield
    finally:
        os.close(descriptor)


def _no_space(output: Path) -> ConfigurationError:
    return ConfigurationError(
        f"{output.parent}: no space left for the backup, which for a moment needs room for the database and the "
        "archive; free some, or name another place; nothing was written"
    )


def _unwritten(output: Path, error: OSError) -> ConfigurationError:
    if error.errno in {28, 122}:
        return _no_space(output)
    return ConfigurationError(f"{output}: cannot be written: {error.strerror or error}; nothing was written")


def _new_file(path: Path) -> IO[bytes]:
    return os.fdopen(os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600), "w+b")


def _put_in_place(made: Path, output: Path, *, overwrite: bool) -> None:
    if overwrite:
        made.replace(output)
    else:
        # Unlike a rename it fails where another file came there meanwhile.
        os.link(made, output)
    descriptor = os.open(output.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _write(
    settings: CollectorSettings,
    config: Path | None,
    file: IO[bytes],
    copy: Path,
    copied: DatabaseCopy,
    progress: Progress,
    *,
    with_keys: bool,
) -> Manifest:
    with ArchiveWriter(file) as writer:
        size = max(1, copy.stat().st_size)
        with copy.open("rb") as source:
            writer.add(source, Part(DATABASE, 0, ""), lambda done: progress("packing", done / size))
        copy.unlink()
        left_out: list[str] = []
        with kept_still(settings):
            for one in files_of(settings, config):
                if one.is_key and not with_keys:
                    left_out.append(one.name)
                    continue
                with opened(one) as (source, part):
                    writer.add(source, part)
            fingerprints = _fingerprints(settings)
        return writer.finish(
            Manifest(
                taken_at=copied.taken_at,
                version=version("libcensus-collector"),
                database=copied.kind,
                revision=copied.revision,
                rows=copied.rows,
                with_keys=with_keys,
                trust_domain=settings.trust_domain,
                fingerprints=fingerprints,
                left_out=tuple(left_out),
            )
        )


def _fingerprints(settings: CollectorSettings) -> tuple[str, ...]:
    folder = None if settings.pki_dir is None else Path(settings.pki_dir)
    if folder is None or not Authority.exists(folder):
        return ()
    with suppress(ConfigurationError):
        return tuple(fingerprint(root) for root in read_certificates(folder / "roots.pem"))
    return ()
