"""Unpacks the records of real engines into a folder."""

from __future__ import annotations

import tarfile
from pathlib import Path

FIXTURES = Path(__file__).parents[2] / "fixtures/images"


def unpack(name: str, target: Path) -> Path:
    """Unpack ``docker``, ``storage`` or ``containerd`` into a new folder at ``target``."""
    target.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(FIXTURES / f"{name}.tar.xz") as archive:
        # Python 3.11.4 and later know filters.
        archive.extraction_filter = getattr(tarfile, "data_filter", None)
        archive.extractall(target.parent)  # noqa: S202 - our own fixture
    (target.parent / name).rename(target)
    return target
