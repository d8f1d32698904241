"""Checks that every domain type makes on itself, so that an invalid value cannot exist.

A failed check raises :class:`InvalidFactError`, which names the field and says what is wrong with it. The bounds are
generous for real hosts and small enough that a hostile message cannot cost the collector much.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

MAX_PATH_BYTES = 4096
"""PATH_MAX of Linux; escaped names may be up to four times as long and are cut by nobody: they are refused."""

MAX_TEXT = 1024
MAX_ITEMS = 100_000

_DIGEST = re.compile(r"[0-9a-f]{64}")


class InvalidFactError(ValueError):
    """A value that no real host can have; ``field`` is its dotted name, ``problem`` what is wrong."""

    def __init__(self, field: str, problem: str) -> None:
        super().__init__(f"{field}: {problem}")
        self.field = field
        self.problem = problem

    def within(self, parent: str) -> InvalidFactError:
        """Return the same error with the field's name prefixed by its parent's."""
        return InvalidFactError(f"{parent}.{self.field}", self.problem)


def check_text(field: str, value: str, *, allow_empty: bool = False, limit: int = MAX_TEXT) -> None:
    """Refuse text that is empty (unless allowed), too long, or holds a NUL or an unpaired surrogate."""
    if not value and not allow_empty:
        raise InvalidFactError(field, "is empty")
    if len(value) > limit:
        raise InvalidFactError(field, f"is {len(value)} characters long; at most {limit} are allowed")
    if "\0" in value:
        raise InvalidFactError(field, "holds a NUL character")
    try:
        value.encode()
    except UnicodeEncodeError:
        raise InvalidFactError(field, "is not valid Unicode text") from None


def check_optional_text(field: str, value: str | None, *, limit: int = MAX_TEXT) -> None:
    """Refuse text as :func:`check_text` does; absent means unknown and is fine."""
    if value is not None:
        check_text(field, value, limit=limit)


def check_absolute_path(field: str, value: str) -> None:
    """Refuse a path that does not start with ``/`` or is longer than four times PATH_MAX (escapes)."""
    check_text(field, value, limit=MAX_PATH_BYTES * 4)
    if not value.startswith("/"):
        raise InvalidFactError(field, f"is not an absolute path: {value[:80]!r}")


def check_relative_path(field: str, value: str) -> None:
    """Refuse a path that is absolute or climbs above its start."""
    check_text(field, value, limit=MAX_PATH_BYTES * 4)
    if value.startswith("/") or ".." in value.split("/"):
        raise InvalidFactError(field, f"is not a path below its prefix: {value[:80]!r}")


def check_root_name(field: str, value: str) -> None:
    """Refuse the name of a root that is neither an absolute path nor ``container:…`` or ``image:…``."""
    check_text(field, value, limit=MAX_PATH_BYTES * 4)
    if not value.startswith(("/", "container:", "image:")):
        raise InvalidFactError(field, f"is neither an absolute path nor container: or image: {value[:80]!r}")


def check_digest(field: str, value: str) -> None:
    """Refuse anything but 64 lower-case hexadecimal digits (SHA-256)."""
    if not _DIGEST.fullmatch(value):
        raise InvalidFactError(field, f"is not a SHA-256 digest in 64 lower-case hexadecimal digits: {value[:80]!r}")


def check_range(field: str, value: int, low: int, high: int) -> None:
    """Refuse a number outside ``low..high``, both included."""
    if not low <= value <= high:
        raise InvalidFactError(field, f"is {value}; it must lie between {low} and {high}")


def check_sorted(field: str, items: Iterable[Any], key: Callable[[Any], Any] | None = None) -> None:
    """Refuse a sequence that is not in strictly rising order: an order of its own per agent would break digests.

    ``key`` gives the value to compare; equal neighbours are duplicates and refused too.
    """
    previous: Any = None
    for count, item in enumerate(items):
        if count >= MAX_ITEMS:
            raise InvalidFactError(field, f"has more than {MAX_ITEMS} entries")
        current = item if key is None else key(item)
        if count and not previous < current:
            problem = "holds a value twice" if previous == current else "is not sorted"
            raise InvalidFactError(field, f"{problem}, near {str(current)[:80]!r}")
        previous = current
