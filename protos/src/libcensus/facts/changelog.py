"""What a package's own changelog says is fixed: the distribution's evidence, as it lies on the host."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from libcensus.facts.validation import (
    InvalidFactError,
    check_optional_text,
    check_range,
    check_sorted,
    check_text,
)
from libcensus.facts.vocabulary import ChangelogState

if TYPE_CHECKING:
    from libcensus.facts.package import Package

_ADVISORY = re.compile(r"CVE-\d{4}-\d{4,}")


@dataclass(frozen=True, slots=True)
class ChangelogFix:
    """One advisory that the changelog names as fixed: in which version of the package, and the words that say so."""

    advisory: str
    version: str
    text: str

    def __post_init__(self) -> None:
        """Refuse what is no CVE id and what no changelog holds."""
        if not _ADVISORY.fullmatch(self.advisory):
            raise InvalidFactError("advisory", f"is no CVE id: {self.advisory[:40]!r}")
        check_text("version", self.version, limit=256)
        check_text("text", self.text, limit=512, allow_empty=True)


@dataclass(frozen=True, slots=True)
class PackageChangelog:
    """The changelog of one installed package.

    ``fixes`` holds each advisory once, with the oldest version that fixes it; those that a later entry takes back are
    not there. ``file`` is where it was read, ``newest`` and ``oldest`` the versions of its first and last entry.
    """

    package: Package
    state: ChangelogState
    file: str | None = None
    entries: int = 0
    newest: str | None = None
    oldest: str | None = None
    fixes: tuple[ChangelogFix, ...] = ()
    reason: str | None = None

    def __post_init__(self) -> None:
        """Refuse fixes without a changelog and unsorted parts."""
        check_optional_text("file", self.file, limit=16384)
        check_range("entries", self.entries, 0, 2**31 - 1)
        check_optional_text("newest", self.newest, limit=256)
        check_optional_text("oldest", self.oldest, limit=256)
        check_optional_text("reason", self.reason, limit=1024)
        check_sorted("fixes", self.fixes, key=lambda fix: fix.advisory)
        if self.fixes and self.state is ChangelogState.MISSING:
            raise InvalidFactError("fixes", "are given although the changelog is missing")
