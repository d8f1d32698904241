"""Counts what a scan passed over, by reason, with a few examples: nothing is left out silently.

A skip is no failure: the scan says what it did not read and why, and goes on.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Self

from libcensus.facts.report import SkipCount

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from libcensus.agent.errors import UnreadableError

MAX_EXAMPLES = 5
_MAX_EXAMPLE = 1024
_MAX_REASONS = 64
_OTHER = "other-reasons"


class Skips:
    """The skips of one probe; examples are the first that were met, shortened when they are absurdly long."""

    __slots__ = ("_counts", "_examples")

    def __init__(self) -> None:
        self._counts: dict[str, int] = {}
        self._examples: dict[str, list[str]] = {}

    def add(self, reason: str, example: str, count: int = 1) -> None:
        """Count one thing passed over; ``example`` is ``path: what happened``, already fit to be shown."""
        if reason not in self._counts and len(self._counts) >= _MAX_REASONS:
            reason = _OTHER
        self._counts[reason] = self._counts.get(reason, 0) + count
        examples = self._examples.setdefault(reason, [])
        if len(examples) < MAX_EXAMPLES and example not in examples:
            examples.append(example if len(example) <= _MAX_EXAMPLE else example[: _MAX_EXAMPLE - 1] + "…")

    def add_error(self, error: UnreadableError, place: str = "") -> None:
        """Count what could not be read, under the error's own reason; ``place`` names it where the error does not."""
        detail = error.detail or error.reason
        self.add(error.reason, detail if not place or place in detail else f"{place}: {detail}")

    def take(self, other: Skips, prefix: str = "") -> None:
        """Add another probe's counts to these; ``prefix`` is put before its examples."""
        for reason, count in other.counts.items():
            examples = other.examples(reason) or [""]
            self.add(reason, f"{prefix}{examples[0]}", count)
            for example in examples[1:]:
                self.add(reason, f"{prefix}{example}", 0)

    def examples(self, reason: str) -> list[str]:
        """Return the examples kept for one reason."""
        return list(self._examples.get(reason, ()))

    def to_json(self) -> list[list[object]]:
        """Return the counts as JSON keeps them."""
        return [[reason, count, self.examples(reason)] for reason, count in self._counts.items()]

    @classmethod
    def from_json(cls, value: Any) -> Self:
        """Return the counts that :meth:`to_json` gave. Raises ValueError or TypeError for anything else."""
        made = cls()
        for reason, count, examples in value:
            made._counts[str(reason)] = int(count)
            made._examples[str(reason)] = [str(example) for example in examples]
        return made

    def __bool__(self) -> bool:
        return bool(self._counts)

    def __iter__(self) -> Iterator[tuple[str, int]]:
        return iter(sorted(self._counts.items()))

    @property
    def counts(self) -> Mapping[str, int]:
        """How often each reason was met."""
        return self._counts

    def results(self) -> tuple[SkipCount, ...]:
        """Return the counts as facts, sorted by reason."""
        return tuple(
            SkipCount(reason, count, tuple(self._examples[reason])) for reason, count in sorted(self._counts.items())
        )
