"""What is said where a selector of labels chooses no host, or names a label that no host has."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

_LIST = "`libcensus hosts` lists all with theirs"


def tell_nothing_chosen(selector: str, unknown_keys: Sequence[str]) -> str:
    """Return the line that stands in the place of an answer about no host."""
    if unknown_keys:
        return f"No host has labels that {selector} chooses, for none has a label {_named(unknown_keys)}: {_LIST}."
    return f"No host has labels that {selector} chooses: {_LIST}."


def warn_unknown_keys(unknown_keys: Sequence[str]) -> None:
    """Say on standard error which labels of a selector no host has: the answer is right, the selector may be a slip."""
    if unknown_keys:
        from libcensus.cli.terminal import say  # noqa: PLC0415 - most selectors name labels that are there

        say(f"libcensus: warning: no host has a label {_named(unknown_keys)}; {_LIST}")


def _named(keys: Sequence[str]) -> str:
    return " or ".join(keys)
