"""What a scan asked of a root's files, and what the answers were: equal answers now mean an equal scan.

Every look-up of :class:`~libcensus.agent.host.Root` goes in here while a scan runs. Later the same questions are asked
again, with status calls alone: while every answer is the same, nothing that the scan read can have changed, and its
facts hold. A file counts as the same by device, inode, size, mode, and both times in nanoseconds: content that changes
changes the time of the inode (``ctime``), which no call sets back, also where size and ``mtime`` were restored.

It refuses to vouch for answers that were young when they were given: within the clock's grain a second change leaves
the same times.
"""

from __future__ import annotations

import os
import stat as stat_module
from typing import TYPE_CHECKING, Any

from libcensus.agent.errors import UnreadableError

if TYPE_CHECKING:
    from libcensus.agent.host import Root

MAX_ACCESSES = 200_000
"""Look-ups that are kept; a scan that makes more is not remembered."""

SETTLED_NS = 2_000_000_000
"""How old a change must be to be told from another one: the coarsest file systems keep whole pairs of seconds."""

_Answer = tuple[Any, ...]


def _answer(real: str, status: os.stat_result) -> _Answer:
    """Return what a later answer is compared with; of a folder only that it is one, for its contents are listed."""
    kind = stat_module.S_IFMT(status.st_mode)
    if kind == stat_module.S_IFDIR:
        return (real, kind)
    return (real, *_state(status))


def _state(status: os.stat_result) -> _Answer:
    return (
        status.st_mode,
        status.st_dev,
        status.st_ino,
        status.st_size,
        status.st_mtime_ns,
        status.st_ctime_ns,
    )


class Accesses:
    """The look-ups of one scan of one root."""

    def __init__(self) -> None:
        self._answers: dict[str, _Answer] = {}
        self._unfollowed: dict[str, _Answer] = {}
        self._listings: dict[str, _Answer] = {}
        self._newest = 0
        self._is_whole = True

    def __len__(self) -> int:
        return len(self._answers) + len(self._unfollowed) + len(self._listings)

    def found(self, path: str, real: str, status: os.stat_result, *, follow: bool) -> None:
        """Keep that a path led to something."""
        if not stat_module.S_ISDIR(status.st_mode):
            self._newest = max(self._newest, status.st_mtime_ns, status.st_ctime_ns)
        self._keep(self._answers if follow else self._unfollowed, path, _answer(real, status))

    def failed(self, path: str, reason: str, *, follow: bool) -> None:
        """Keep that a path could not be followed to its end."""
        self._keep(self._answers if follow else self._unfollowed, path, (reason,))

    def listed(self, path: str, status: os.stat_result) -> None:
        """Keep the state of a folder whose names were read."""
        self._newest = max(self._newest, status.st_mtime_ns, status.st_ctime_ns)
        self._keep(self._listings, path, _state(status))

    def _keep(self, answers: dict[str, _Answer], path: str, answer: _Answer) -> None:
        if answers.setdefault(path, answer) != answer or len(self) > MAX_ACCESSES:
            # Something changed while the scan looked: no later state can be compared with it.
            self._is_whole = False

    def is_settled(self, started_ns: int) -> bool:
        """Tell whether these answers can be compared with later ones; ``started_ns`` is when the scan began."""
        return self._is_whole and self._newest < started_ns - SETTLED_NS

    # --- asking again -----------------------------------------------------------------------------------------------

    def still_hold(self, root: Root) -> bool:
        """Ask everything again, and tell whether every answer is the same; stops at the first that differs."""
        return (
            all(self._is_listed_alike(root, path, answer) for path, answer in self._listings.items())
            and self._plain_hold(root)
            and all(self._is_answered_alike(root, path, answer, follow=True) for path, answer in self._crooked())
            and all(
                self._is_answered_alike(root, path, answer, follow=False) for path, answer in self._unfollowed.items()
            )
        )

    def _is_plain(self, path: str, answer: _Answer) -> bool:
        """Tell whether a path led to something over no link, by the name that it has."""
        return len(answer) > 1 and answer[0] == path and path != "/"

    def _crooked(self) -> list[tuple[str, _Answer]]:
        return [(path, answer) for path, answer in self._answers.items() if not self._is_plain(path, answer)]

    def _plain_hold(self, root: Root) -> bool:
        """Check the paths without links, folder by folder: one status call for each."""
        folders: dict[str, list[tuple[str, str, _Answer]]] = {}
        for path, answer in self._answers.items():
            if self._is_plain(path, answer):
                folder, _, name = path.rpartition("/")
                folders.setdefault(folder, []).append((path, name, answer))
        for folder, entries in folders.items():
            try:
                with root.folder(folder or "/") as (descriptor, real):
                    if real != (folder or "/"):
                        return False
                    for path, name, answer in entries:
                        status = os.stat(name, dir_fd=descriptor, follow_symlinks=False)
                        if _answer(path, status) != answer:
                            return False
            except (UnreadableError, OSError):
                return False
        return True

    @staticmethod
    def _is_answered_alike(root: Root, path: str, answer: _Answer, *, follow: bool) -> bool:
        try:
            real, status = root.look_up(path, follow=follow)
        except UnreadableError as error:
            return answer == (error.reason,)
        return _answer(real, status) == answer

    @staticmethod
    def _is_listed_alike(root: Root, path: str, answer: _Answer) -> bool:
        try:
            return _state(root.look_up(path)[1]) == answer
        except UnreadableError:
            return False

    # --- keeping ----------------------------------------------------------------------------------------------------

    def to_json(self) -> dict[str, Any]:
        """Return the answers as JSON keeps them."""
        return {"answers": self._answers, "unfollowed": self._unfollowed, "listings": self._listings}

    @classmethod
    def from_json(cls, value: Any) -> Accesses:
        """Return the answers that :meth:`to_json` gave. Raises ValueError for anything else."""
        made = cls()
        for target, name in (
            (made._answers, "answers"),
            (made._unfollowed, "unfollowed"),
            (made._listings, "listings"),
        ):
            part = value.get(name) if isinstance(value, dict) else None
            if not isinstance(part, dict):
                raise ValueError(f"{name} is no object")  # noqa: TRY004 - one error for every kind of damage
            for path, answer in part.items():
                target[path] = tuple(answer)
        return made
