"""Under which names a package's records may hold a file when /usr is merged (``/lib`` is a link to ``usr/lib``)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from libcensus.agent.errors import UnreadableError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from libcensus.agent.host import Root

_NAMES = ("bin", "sbin", "lib", "lib32", "lib64", "libx32")


class MergedFolders:
    """The folders at the top of a root that are links below ``/usr``: to their namesake, or all programs to one."""

    def __init__(self, root: Root) -> None:
        self._links: list[tuple[str, str]] = []
        for folder in ("", "/usr"):
            for name in _NAMES:
                link = f"{folder}/{name}"
                try:
                    root.readlink(link)
                    real = root.realpath(link)
                except UnreadableError:
                    continue
                if real.startswith("/usr/"):
                    self._links.append((f"{real}/", f"{link}/"))

    def names_of(self, path: str) -> Iterator[str]:
        """Yield a real path, and the other paths that lead to it through a merged folder."""
        yield path
        for real, link in self._links:
            if path.startswith(real):
                yield link + path.removeprefix(real)
