"""Which crypto library an install really uses, and how it reaches it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from libcensus.facts.validation import (
    InvalidFactError,
    check_absolute_path,
    check_optional_text,
    check_root_name,
    check_sorted,
    check_text,
)
from libcensus.facts.vocabulary import CryptoFamily, Linkage

if TYPE_CHECKING:
    from libcensus.facts.evidence import Evidence
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


@dataclass(frozen=True, slots=True)
class CopyOwner:
    """What a crypto copy came with: a wheel, a Node.js package, a gem, or a package of the system.

    ``ecosystem`` is ``pypi``, ``npm``, ``gem``, ``conda``, or the package manager's name (``dpkg``); ``version`` is as
    that ecosystem writes it.
    """

    ecosystem: str
    name: str
    version: str | None = None

    def __post_init__(self) -> None:
        """Refuse names that no ecosystem has."""
        check_text("ecosystem", self.ecosystem, limit=32)
        check_text("name", self.name, limit=256)
        check_optional_text("version", self.version, limit=128)


@dataclass(frozen=True, slots=True)
class CryptoCopy:
    """One file that holds a crypto library's code and is no interpreter's own: it has to be updated by itself.

    ``environment`` is the folder of the environment (or the prefix of the interpreter) that loads it, absent where none
    does; ``owner`` what brought it, absent where nothing tells.
    """

    root: str
    path: str
    linkage: Linkage
    library: CryptoLibrary
    environment: str | None = None
    owner: CopyOwner | None = None
    evidence: tuple[Evidence, ...] = ()

    def __post_init__(self) -> None:
        """Refuse relative paths, and a linkage that says that there is no copy."""
        check_root_name("root", self.root)
        check_absolute_path("path", self.path)
        if self.environment is not None:
            check_absolute_path("environment", self.environment)
        if self.linkage in (Linkage.NONE, Linkage.UNRESOLVED):
            raise InvalidFactError("linkage", f"is {self.linkage}, which is no copy")
        check_sorted("evidence", self.evidence, key=lambda item: item.sort_key)


@dataclass(frozen=True, slots=True)
class CryptoCopySet:
    """Every crypto copy of a host, sorted by root and path."""

    copies: tuple[CryptoCopy, ...] = ()

    def __post_init__(self) -> None:
        """Refuse an order of its own, or one path twice."""
        check_sorted("copies", self.copies, key=lambda copy: (copy.root, copy.path))
