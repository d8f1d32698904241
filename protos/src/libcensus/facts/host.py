"""The machine itself, and the tree of digests that stands for all that is known of it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from libcensus.facts.validation import check_digest, check_optional_text, check_sorted, check_text
from libcensus.facts.vocabulary import LibcFamily

if TYPE_CHECKING:
    from libcensus.facts.evidence import Evidence
    from libcensus.facts.package import Package


@dataclass(frozen=True, slots=True)
class OsRelease:
    """The fields of ``os-release(5)`` that tell distributions apart; absent where the file does not say."""

    id: str | None = None
    version_id: str | None = None
    pretty_name: str | None = None
    version_codename: str | None = None
    id_like: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        """Refuse absurd text."""
        for name in ("id", "version_id", "pretty_name", "version_codename"):
            check_optional_text(name, getattr(self, name), limit=256)
        for name in self.id_like:
            check_text("id_like", name, limit=64)


@dataclass(frozen=True, slots=True)
class Libc:
    """The host's C library; ``version`` as read from its file, ``path`` that file."""

    family: LibcFamily = LibcFamily.UNKNOWN
    version: str | None = None
    path: str | None = None
    package: Package | None = None

    def __post_init__(self) -> None:
        """Refuse absurd text."""
        check_optional_text("version", self.version, limit=64)
        check_optional_text("path", self.path, limit=16384)


@dataclass(frozen=True, slots=True)
class Host:
    """What is known of the machine or root itself; ``kernel`` is the full release, absent for a foreign root."""

    hostname: str
    os_release: OsRelease = field(default_factory=OsRelease)
    arch: str | None = None
    x86_64_level: int | None = None
    kernel: str | None = None
    libc: Libc = field(default_factory=Libc)
    evidence: tuple[Evidence, ...] = ()

    def __post_init__(self) -> None:
        """Refuse absurd text."""
        check_text("hostname", self.hostname, limit=255)
        check_optional_text("arch", self.arch, limit=64)
        check_optional_text("kernel", self.kernel, limit=256)
        check_sorted("evidence", self.evidence, key=lambda item: item.sort_key)


@dataclass(frozen=True, slots=True)
class Inventory:
    """The root of a host's tree of digests: equal inventories mean that nothing changed.

    ``platform``, ``installs`` and ``builds`` are digests of the facts that belong to it, and so are ``crypto_copies``,
    ``tools``, ``roots`` (absent from agents that do not look for them) and ``changelogs``.
    """

    host: Host
    platform: str
    installs: str
    builds: tuple[str, ...] = ()
    crypto_copies: str | None = None
    tools: str | None = None
    roots: str | None = None
    changelogs: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        """Refuse impossible digests."""
        check_digest("platform", self.platform)
        check_digest("installs", self.installs)
        for name in ("crypto_copies", "tools", "roots"):
            if (digest := getattr(self, name)) is not None:
                check_digest(name, digest)
        for name in ("builds", "changelogs"):
            for digest in getattr(self, name):
                check_digest(name, digest)
            check_sorted(name, getattr(self, name))

    @property
    def references(self) -> tuple[str, ...]:
        """Every digest that the inventory needs beside itself."""
        sets = tuple(one for one in (self.crypto_copies, self.tools, self.roots) if one is not None)
        return (self.platform, self.installs, *self.builds, *sets, *self.changelogs)
