"""What a scan is allowed to read and how far it goes; every bound that is reached is counted in the probes' skips."""

from __future__ import annotations

from dataclasses import dataclass

MEBIBYTE = 1 << 20


@dataclass(frozen=True, slots=True)
class ScanSettings:
    """The settings of one scan; the defaults are for a whole host.

    ``exclude`` are absolute paths inside the root that are not entered. ``extra_fs_types`` are file-system types that
    are read beside the local ones (``nfs4``). ``max_file_bytes`` bounds one file that is read as a whole,
    ``max_text_bytes`` one text. ``max_files``, ``max_depth`` and ``max_seconds`` bound the walk (None: no bound).
    ``max_installs`` bounds what one scan reports of one root, ``max_roots`` the roots that it reads beside its own.
    With ``index`` a scan reads only what changed since the last one.
    With ``containers`` the roots of running containers are read too, with ``images`` those of images in storage.
    """

    exclude: tuple[str, ...] = ()
    extra_fs_types: tuple[str, ...] = ()
    max_file_bytes: int = 512 * MEBIBYTE
    max_text_bytes: int = 4 * MEBIBYTE
    max_files: int | None = None
    max_depth: int = 128
    max_seconds: float | None = None
    max_installs: int = 10_000
    max_roots: int = 256
    index: bool = True
    containers: bool = True
    processes: bool = True
    images: bool = False
