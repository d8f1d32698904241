"""Which crypto library an install really uses, and how it reaches it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from libcensus.facts.validation import InvalidFactError, check_absolute_path, check_optional_text
from libcensus.facts.vocabulary import CryptoFamily, Linkage

if TYPE_CHECKING:
    from libcensus.facts.package import Package

_WITHOUT_LIBRARY = frozenset({Linkage.NONE, Linkage.UNRESOLVED, Linkage.UNKNOWN})


@dataclass(frozen=True, slots=True)
class CryptoLibrary:
    """One copy of OpenSSL or of a product in its place, independent of the path where it lies.

    ``version`` is the project's own (``3.0.22``), absent where the bytes do not tell it; ``package`` owns the file.
    """

    family: CryptoFamily
    version: str | None = None
    package: Package | None = None

    def __post_init__(self) -> None:
        """Refuse versions that no release can have."""
        check_optional_text("version", self.version, limit=64)


@dataclass(frozen=True, slots=True)
class CryptoUse:
    """How one install reaches its crypto library.

    ``path`` is the file whose bytes hold the library's code, absolute inside the root; ``needed`` is the soname that
    the TLS module asks the loader for (``libssl.so.3``), which stays known when nothing answers to it.
    """

    linkage: Linkage
    path: str | None = None
    library: CryptoLibrary | None = None
    needed: str | None = None

    def __post_init__(self) -> None:
        """Refuse a library without linkage and a linkage without library."""
        if self.path is not None:
            check_absolute_path("path", self.path)
        check_optional_text("needed", self.needed, limit=256)
        if self.linkage in _WITHOUT_LIBRARY and self.library is not None:
            raise InvalidFactError("library", f"is given although the linkage is {self.linkage}")
        if self.linkage not in _WITHOUT_LIBRARY and self.library is None:
            raise InvalidFactError("library", f"is missing although the linkage is {self.linkage}")
