"""The trees that a host's report speaks of: the host's own, containers, chroots, images in storage."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from libcensus.facts.host import Libc, OsRelease
from libcensus.facts.validation import (
    InvalidFactError,
    check_digest,
    check_optional_text,
    check_root_name,
    check_sorted,
    check_text,
)
from libcensus.facts.vocabulary import RootKind

if TYPE_CHECKING:
    from libcensus.facts.evidence import Evidence


@dataclass(frozen=True, slots=True)
class Container:
    """What a container runtime's own files say of a root: ``runtime`` is ``docker``, ``podman`` and so on.

    ``image`` is the name that it was started from, ``image_id`` the digest of the image's configuration.
    """

    runtime: str
    id: str | None = None
    name: str | None = None
    image: str | None = None
    image_id: str | None = None

    def __post_init__(self) -> None:
        """Refuse absurd text."""
        check_text("runtime", self.runtime, limit=64)
        for name in ("id", "name", "image", "image_id"):
            check_optional_text(name, getattr(self, name), limit=512)


@dataclass(frozen=True, slots=True)
class ScannedRoot:
    """One tree: ``name`` is what installs call their root, ``path`` where the host sees it, where it does.

    ``platform`` is the digest of its :class:`~libcensus.facts.platform.Platform`; ``created`` the moment when an image
    was built (RFC 3339, UTC), and ``tags`` its names.
    """

    name: str
    kind: RootKind
    path: str | None = None
    os_release: OsRelease = field(default_factory=OsRelease)
    arch: str | None = None
    libc: Libc = field(default_factory=Libc)
    platform: str | None = None
    container: Container | None = None
    created: str | None = None
    tags: tuple[str, ...] = ()
    evidence: tuple[Evidence, ...] = ()

    def __post_init__(self) -> None:
        """Refuse absurd text and unsorted parts."""
        check_root_name("name", self.name)
        check_optional_text("path", self.path, limit=16384)
        check_optional_text("arch", self.arch, limit=64)
        if self.platform is not None:
            check_digest("platform", self.platform)
        check_optional_text("created", self.created, limit=32)
        for tag in self.tags:
            check_text("tags", tag, limit=512)
        check_sorted("tags", self.tags)
        check_sorted("evidence", self.evidence, key=lambda item: item.sort_key)


@dataclass(frozen=True, slots=True)
class RootSet:
    """Every tree that was scanned, sorted by name; the host's own is one of them."""

    roots: tuple[ScannedRoot, ...] = ()

    def __post_init__(self) -> None:
        """Refuse an order of its own, or one name twice."""
        check_sorted("roots", self.roots, key=lambda root: root.name)
        if sum(root.kind is RootKind.HOST for root in self.roots) > 1:
            raise InvalidFactError("roots", "holds two that are the host itself")

    @property
    def references(self) -> tuple[str, ...]:
        """The digest of every platform that the roots name, once each."""
        return tuple(sorted({root.platform for root in self.roots if root.platform is not None}))
