"""Which of two versions of a package is newer, by the package manager's own rules: dpkg's, rpm's, apk's, pacman's.

The rules are univers's. A version that it cannot read is said to be unreadable and never guessed at: a wrong order
would make an open host a patched one.
"""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, Any

from univers.versions import AlpineLinuxVersion, ArchLinuxVersion, DebianVersion, InvalidVersion, RpmVersion

if TYPE_CHECKING:
    from collections.abc import Mapping

_KINDS: Mapping[str, type] = {
    "apk": AlpineLinuxVersion,
    "dpkg": DebianVersion,
    "pacman": ArchLinuxVersion,
    "rpm": RpmVersion,
}


class UnreadableVersionError(ValueError):
    """A version that its package manager's ordering cannot place."""

    def __init__(self, manager: str, version: str) -> None:
        self.manager = manager
        self.version = version
        super().__init__(f"{version!r} is no version of {manager} that can be ordered")


def is_at_least(manager: str, version: str, fixed: str) -> bool:
    """Tell whether a package version is the fixed one or a later one; raises UnreadableVersionError.

    Where one of two rpm versions has no epoch and the other has, an absent epoch is zero, as rpm itself has it.
    """
    # Only "less than" is its own in each of univers's orderings: Alpine's ">=" compares text.
    return not _read(manager, version) < _read(manager, fixed)


@lru_cache(maxsize=16384)
def _read(manager: str, version: str) -> Any:
    kind = _KINDS.get(manager)
    # rpm's and pacman's orderings read anything; what has no digit is no version of theirs either.
    if kind is None or not any(sign.isdigit() for sign in version) or " " in version:
        raise UnreadableVersionError(manager, version)
    try:
        return kind(version)
    except (InvalidVersion, ValueError, TypeError):
        raise UnreadableVersionError(manager, version) from None
