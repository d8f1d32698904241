"""The package that owns a file: whose security updates reach it."""

from __future__ import annotations

from dataclasses import dataclass

from libcensus.facts.validation import check_optional_text, check_text
from libcensus.facts.vocabulary import PackageOrigin


@dataclass(frozen=True, slots=True)
class Package:
    """An installed package of the host's package manager.

    ``name`` and ``version`` (full, with epoch and revision) are as the package manager writes them; ``source`` and
    ``source_version`` name the source package that it was built from, which is what advisories are written against.
    ``manager`` is ``dpkg``, ``rpm``, ``apk`` or ``pacman``. ``origin`` tells whose evidence counts; ``vendor`` names
    who built it, as far as the record says.
    """

    manager: str
    name: str
    version: str
    source: str
    source_version: str
    arch: str | None = None
    origin: PackageOrigin = PackageOrigin.UNKNOWN
    vendor: str | None = None

    def __post_init__(self) -> None:
        """Refuse records that no package database can hold."""
        for field in ("manager", "name", "version", "source", "source_version"):
            check_text(field, getattr(self, field), limit=256)
        check_optional_text("arch", self.arch, limit=64)
        check_optional_text("vendor", self.vendor, limit=256)
