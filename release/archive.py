"""Writes archives that are equal for equal contents, whoever makes them, when and where."""

from __future__ import annotations

import gzip
import io
import tarfile
from typing import TYPE_CHECKING

from release.sources import sha256_of

if TYPE_CHECKING:
    from pathlib import Path


def write_archive(folder: Path, target: Path, epoch: int) -> None:
    """Pack a folder, under its own name, into a ``.tar.gz``.

    Sorted by name, owned by root, readable by all and writable by nobody but the owner, dated by ``epoch``. gzip is
    what every host can unpack, also without Python: tar of EL 7, Debian and Alpine alike.
    """
    partial = target.with_name(f".{target.name}.partial")
    with (
        partial.open("wb") as file,
        gzip.GzipFile(filename="", mode="wb", fileobj=file, compresslevel=9, mtime=epoch) as packed,
        tarfile.open(fileobj=packed, mode="w", format=tarfile.PAX_FORMAT) as archive,
    ):
        for path in [folder, *sorted(folder.rglob("*"))]:
            entry = tarfile.TarInfo(str(path.relative_to(folder.parent)))
            entry.mtime = epoch
            entry.uname = entry.gname = "root"
            if path.is_symlink():
                entry.type = tarfile.SYMTYPE
                entry.linkname = str(path.readlink())
                entry.mode = 0o777
                archive.addfile(entry)
            elif path.is_dir():
                entry.type = tarfile.DIRTYPE
                entry.mode = 0o755
                archive.addfile(entry)
            else:
                contents = path.read_bytes()
                entry.size = len(contents)
                entry.mode = 0o755 if path.stat().st_mode & 0o100 else 0o644
                archive.addfile(entry, io.BytesIO(contents))
    partial.rename(target)


def write_checksum(path: Path) -> Path:
    """Write the SHA-256 of a file beside it, in the form that ``sha256sum --check`` reads; returns where."""
    target = path.with_name(f"{path.name}.sha256")
    target.write_text(f"{sha256_of(path)}  {path.name}\n", encoding="ascii")
    return target
