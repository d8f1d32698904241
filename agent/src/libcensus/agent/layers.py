"""A merged view over the layers of a container image: read as one root, without mounting anything.

A layer hides what lies below it: by a file of the same name, by a whiteout (a character device 0:0, an extended
attribute, or a file named ``.wh.NAME``), or by being opaque as a folder. Rules and names are those of the kernel's
overlay (Documentation/filesystems/overlayfs.rst), of aufs, and of fuse-overlayfs. Links are resolved in the merged
view, so that a link of one layer leads to what another one put there, and never out of the image.

It refuses to guess at what only the kernel can put together: folders that a layer renamed and files that it holds
without their content. They are counted, and what lies behind them is not read.
"""

from __future__ import annotations

import errno
import os
import stat as stat_module
from typing import TYPE_CHECKING

from libcensus.agent.errors import UnreadableError
from libcensus.agent.host import MAX_LINKS, Root, shown, unreadable
from libcensus.agent.walk import Found, Kind, Walk

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from libcensus.agent.probes.skips import Skips
    from libcensus.agent.settings import ScanSettings
    from libcensus.agent.walk import Progress

WHITEOUT = ".wh."
OPAQUE = ".wh..wh..opq"
"""Names by which aufs, and layers as they are shipped (OCI image-spec, layer.md), hide what lies below."""

_OPAQUE_ATTRIBUTES = ("trusted.overlay.opaque", "user.overlay.opaque", "user.fuseoverlayfs.opaque")
_WHITEOUT_ATTRIBUTES = ("trusted.overlay.whiteout", "user.overlay.whiteout")
_MOVED_ATTRIBUTES = ("trusted.overlay.redirect", "user.overlay.redirect")
_EMPTY_ATTRIBUTES = ("trusted.overlay.metacopy", "user.overlay.metacopy")
_LOOK = os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC
_READ = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC


class LayeredRoot(Root):
    """Layers of an image, read as one root; ``descriptors`` are its folders, the uppermost first, and it closes them.

    There are no mounts in it: what a host has mounted elsewhere does not reach into it.
    """

    def __init__(self, name: str, descriptors: Sequence[int]) -> None:
        super().__init__(name, descriptors[0], is_own=False)
        self.mount_text = ""
        self._layers = tuple(descriptors)

    @property
    def layers(self) -> tuple[int, ...]:
        """The folders of the layers, the uppermost first, for the walk; they stay the root's to close."""
        return self._layers

    def close(self) -> None:
        """Close the layers; a second call does nothing."""
        close_all(self._layers)
        self._layers = ()
        self._descriptor = -1

    def open_below(self, path: str) -> Root:
        """Open a folder of the merged view as a root of its own. Raises UnreadableError when it cannot be entered."""
        found, real = self._merge(path, follow=True)
        try:
            opened = open_folders(found)
        except OSError as error:
            raise unreadable(path, error) from None
        finally:
            close_all(found)
        return LayeredRoot(f"{self.name}{real}", opened)

    def listdir(self, path: str) -> list[str]:
        """Return the names in a folder of the merged view, sorted. Raises UnreadableError."""
        found, _ = self._merge(path, follow=True)
        try:
            opened = open_folders(found)
            try:
                if self._accesses is not None:
                    self._accesses.listed(path, os.fstat(opened[0]))
                names, hidden = set[str](), set[str]()
                for descriptor in opened:
                    here = set(os.listdir(descriptor))  # noqa: PTH208 - of a descriptor
                    names |= {name for name in here - hidden if not _is_hidden(name, descriptor)}
                    hidden |= hidden_by(here)
            finally:
                close_all(opened)
        except OSError as error:
            raise unreadable(path, error) from None
        finally:
            close_all(found)
        return sorted(names)

    def _descend(self, path: str, descent: object, *, follow: bool) -> tuple[int, str]:
        del descent
        found, real = self._merge(path, follow=follow)
        close_all(found[1:])
        return found[0], real

    def _merge(self, path: str, *, follow: bool) -> tuple[list[int], str]:
        """Return ``O_PATH`` descriptors of what a path leads to, and its real path.

        Of a folder there is one for each layer that it is made of, the uppermost first; of anything else just one.
        """
        pending = [part for part in reversed(path.split("/")) if part and part != "."]
        names: list[str] = []
        folders: list[list[int]] = []
        links = 0
        try:
            while pending:
                part = pending.pop()
                if part == "..":
                    if folders:
                        names.pop()
                        close_all(folders.pop())
                    continue
                try:
                    found = enter(folders[-1] if folders else self._layers, part)
                except UnreadableError as error:
                    raise UnreadableError(error.reason, f"{shown(path)}: {error.detail}") from None
                except OSError as error:
                    raise unreadable(path, error) from None
                except ValueError:
                    raise UnreadableError("not-found", f"{shown(path)}: no path holds a NUL byte") from None
                mode = os.fstat(found[0]).st_mode
                if stat_module.S_ISDIR(mode):
                    names.append(part)
                    folders.append(found)
                elif stat_module.S_ISLNK(mode) and (pending or follow):
                    target = os.readlink("", dir_fd=found[0])
                    close_all(found)
                    links += 1
                    if links > MAX_LINKS:
                        raise UnreadableError("symlink-loop", f"{shown(path)}: more than {MAX_LINKS} links")
                    if target.startswith("/"):
                        names.clear()
                        while folders:
                            close_all(folders.pop())
                    pending.extend(part for part in reversed(target.split("/")) if part and part != ".")
                elif pending:
                    close_all(found)
                    raise UnreadableError("not-found", f"{shown(path)}: {shown(part)} is not a folder")
                else:
                    return found, "/" + "/".join((*names, part))
            if folders:
                return folders.pop(), "/" + "/".join(names)
            return [os.dup(descriptor) for descriptor in self._layers], "/"
        finally:
            while folders:
                close_all(folders.pop())


class LayeredWalk(Walk):
    """One walk of a merged view: each name once, from the uppermost layer that has it."""

    def __init__(self, root: LayeredRoot, settings: ScanSettings, skips: Skips, progress: Progress | None) -> None:
        super().__init__(root, settings, skips, progress)
        self._tree = root
        self._merged: dict[int, list[int]] = {}

    def _enter_top(self) -> int:
        return self._keep(open_folders(self._tree.layers))

    def _enter(self, name: str, parent: int) -> int:
        found = enter(self._merged[parent], name)
        try:
            return self._keep(open_folders(found))
        finally:
            close_all(found)

    def _keep(self, descriptors: list[int]) -> int:
        self._merged[descriptors[0]] = descriptors
        return descriptors[0]

    def _leave(self, descriptor: int) -> None:
        close_all(self._merged.pop(descriptor))

    def _note_special(self, entry: os.DirEntry[str], path: str) -> None:
        try:
            if is_device_zero(entry.stat(follow_symlinks=False)):
                return
        except OSError:
            pass
        super()._note_special(entry, path)

    def _read_folder(self, descriptor: int, path: str, folders: list[tuple[str, int]]) -> list[Found]:
        found: list[Found] = []
        hidden: set[str] = set()
        layers = self._merged[descriptor]
        for number, layer in enumerate(layers):
            below: list[tuple[str, int]] = []
            part = super()._read_folder(layer, path, below)
            if number:
                self.counts.folders -= 1
            if part and part[0].kind is Kind.ROOT:
                folders.clear()
                return part
            found += (one for one in part if one.name not in hidden and not one.name.startswith(WHITEOUT))
            folders += (one for one in below if one[0] not in hidden and not one[0].startswith(WHITEOUT))
            if number + 1 < len(layers):
                try:
                    hidden |= hidden_by(os.listdir(layer))  # noqa: PTH208 - of a descriptor
                except OSError as error:
                    self._skips.add_error(unreadable(path or "/", error))
        folders.sort(reverse=True)
        found.sort(key=lambda item: item.name)
        return found


def walk_of(root: Root, settings: ScanSettings, skips: Skips, progress: Progress | None = None) -> Walk:
    """Return the walk that fits a root."""
    if isinstance(root, LayeredRoot):
        return LayeredWalk(root, settings, skips, progress)
    return Walk(root, settings, skips, progress)


def enter(parents: Sequence[int], name: str) -> list[int]:
    """Open what a name in a merged folder leads to, in each layer that has a part in it, the uppermost first.

    Raises OSError as the kernel would for a mounted view, and UnreadableError for what that alone can put together.
    """
    found: list[int] = []
    if name.startswith(WHITEOUT):
        raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT))
    try:
        for number, parent in enumerate(parents):
            try:
                descriptor = os.open(name, _LOOK, dir_fd=parent)
            except FileNotFoundError:
                if _has(parent, WHITEOUT + name):
                    break
                continue
            found.append(descriptor)
            status = os.fstat(descriptor)
            is_folder = stat_module.S_ISDIR(status.st_mode)
            if _is_whiteout(status, descriptor) or (len(found) > 1 and not is_folder):
                os.close(found.pop())
                break
            if not is_folder:
                if stat_module.S_ISREG(status.st_mode):
                    _refuse(descriptor, _EMPTY_ATTRIBUTES, "overlay-metacopy", f"{shown(name)}: without its content")
                break
            if number + 1 == len(parents):
                break
            if _has(descriptor, OPAQUE) or has_attribute(descriptor, _OPAQUE_ATTRIBUTES, b"y"):
                break
            _refuse(descriptor, _MOVED_ATTRIBUTES, "overlay-redirect", f"{shown(name)}: a layer renamed this folder")
    except BaseException:
        close_all(found)
        raise
    if not found:
        raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT))
    return found


def open_folders(descriptors: Iterable[int]) -> list[int]:
    """Open folders for reading by their ``O_PATH`` descriptors. Raises OSError when one is none, or refused."""
    opened: list[int] = []
    try:
        for descriptor in descriptors:
            opened.append(os.open(".", _READ, dir_fd=descriptor))  # noqa: PERF401 - what is open is closed on an error
    except BaseException:
        close_all(opened)
        raise
    return opened


def close_all(descriptors: Iterable[int]) -> None:
    """Close several descriptors."""
    for descriptor in descriptors:
        os.close(descriptor)


def hidden_by(names: Iterable[str]) -> set[str]:
    """Return which names of lower layers a layer's folder with these names hides; whiteouts count as names."""
    hidden = set(names)
    return hidden | {name.removeprefix(WHITEOUT) for name in hidden if name.startswith(WHITEOUT)}


def is_device_zero(status: os.stat_result) -> bool:
    """Tell whether a status is that of the kernel's whiteout: a character device 0:0."""
    return stat_module.S_ISCHR(status.st_mode) and status.st_rdev == 0


def has_attribute(descriptor: int, names: Iterable[str], value: bytes | None = None) -> bool:
    """Tell whether a file has one of these extended attributes, with the value where one is given.

    Those that begin with ``trusted.`` are shown to CAP_SYS_ADMIN alone, and look absent to others.
    """
    for name in names:
        try:
            found = os.getxattr(f"/proc/self/fd/{descriptor}", name)
        except OSError:
            continue
        if value is None or found == value:
            return True
    return False


def _refuse(descriptor: int, names: Iterable[str], reason: str, words: str) -> None:
    """Raise UnreadableError for a file with one of these attributes: only the kernel can put it together."""
    if has_attribute(descriptor, names):
        raise UnreadableError(reason, words)


def _is_whiteout(status: os.stat_result, descriptor: int) -> bool:
    if is_device_zero(status):
        return True
    is_empty = stat_module.S_ISREG(status.st_mode) and status.st_size == 0
    return is_empty and has_attribute(descriptor, _WHITEOUT_ATTRIBUTES)


def _is_hidden(name: str, folder: int) -> bool:
    """Tell whether an entry of a layer's folder is no file but a mark: it is shown in no view."""
    if name.startswith(WHITEOUT):
        return True
    try:
        descriptor = os.open(name, _LOOK, dir_fd=folder)
    except OSError:
        return False
    try:
        return _is_whiteout(os.fstat(descriptor), descriptor)
    finally:
        os.close(descriptor)


def _has(folder: int, name: str) -> bool:
    try:
        os.stat(name, dir_fd=folder, follow_symlinks=False)
    except OSError:
        return False
    return True
