"""Files that root makes for the collector: they belong to whoever owns their folder, and so to the collector's user."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path


def give_to_owner_of_folder(descriptor: int, path: Path) -> None:
    """Give an open file, or folder, that root made at ``path`` to the owner of the folder that it lies in.

    Commands are often run as root, and the collector, which has to use what they made, is not. Raises OSError.
    """
    if os.geteuid() != 0:
        return
    folder, found = path.parent.stat(), os.fstat(descriptor)
    if found.st_uid == 0 and folder.st_uid != 0:
        os.fchown(descriptor, folder.st_uid, folder.st_gid)
