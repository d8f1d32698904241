"""A small root to scan: this machine's own distribution Python with the libraries that it loads, and nothing else."""

from __future__ import annotations

import shutil
from pathlib import Path

FILES = (
    "/usr/bin/python3.*",
    "/usr/lib/python3.*/os.py",
    "/usr/lib/python3.*/lib-dynload/_ssl.*.so",
    "/usr/lib/python3.*/lib-dynload/_hashlib.*.so",
    "/usr/lib/*-linux-gnu/libssl.so.*",
    "/usr/lib/*-linux-gnu/libcrypto.so.*",
    "/lib/*-linux-gnu/libc.so.6",
    "/lib/*-linux-gnu/libm.so.6",
    "/lib/*-linux-gnu/ld-linux-*.so.*",
    "/lib64/ld-linux-*.so.*",
    "/etc/os-release",
)


def make_root(folder: Path) -> Path:
    """Copy the files below ``folder``; fails where this machine has no distribution's Python."""
    for pattern in FILES:
        for found in sorted(Path("/").glob(pattern.lstrip("/"))):
            if found.is_file() and not found.name.endswith("-config"):
                target = folder / found.relative_to("/")
                target.parent.mkdir(parents=True, exist_ok=True)
                shutil.copy(found, target)
    assert list(folder.glob("usr/bin/python3.*")), "the distribution's python3 is required"
    return folder
