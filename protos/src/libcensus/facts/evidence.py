"""Proof: which file was read, what kind of proof it holds, and what was read there."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from libcensus.facts.validation import check_range, check_text

if TYPE_CHECKING:
    from libcensus.facts.vocabulary import EvidenceKind

_MAX_DETAIL = 2048


@dataclass(frozen=True, slots=True)
class Evidence:
    """One proof of one statement.

    ``subject`` is the fact that it supports (``version``, ``crypto``, ``provider``, ``requirement``…), ``file`` the
    file that was read (absolute inside its root in an install, relative to the prefix in a build), ``detail`` what
    was read, and ``offset`` the byte in the file where it stands, where that means something.
    """

    subject: str
    kind: EvidenceKind
    file: str
    detail: str
    offset: int | None = None

    def __post_init__(self) -> None:
        """Refuse what no agent can have read."""
        check_text("subject", self.subject, limit=64)
        check_text("file", self.file, limit=16384, allow_empty=True)
        check_text("detail", self.detail, limit=_MAX_DETAIL, allow_empty=True)
        if self.offset is not None:
            check_range("offset", self.offset, 0, 2**63 - 1)

    @property
    def sort_key(self) -> tuple[str, str, str, str, int]:
        """The order of evidence inside a fact: by subject, kind, file, detail, offset."""
        return self.subject, self.kind, self.file, self.detail, -1 if self.offset is None else self.offset
