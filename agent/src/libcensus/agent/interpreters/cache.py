"""Tells a package that a tool keeps unpacked in its cache from an install: environments are linked or copied from it.

Nothing runs from there, and what was made from it is reported where it lies; so a cached interpreter is passed over,
and counted. The environments that uv keeps in its cache for ``uvx`` have a pyvenv.cfg and are environments.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from libcensus.agent.interpreters.conda import is_cached_package

if TYPE_CHECKING:
    from libcensus.agent.host import Root
    from libcensus.agent.interpreters.candidate import Layout

_UV_ARCHIVE = re.compile(r"(.*)/archive-v\d+/[^/]+(?=/)")
_PACKAGES = re.compile(r"/(?:site|dist)-packages/")


def cache_of(root: Root, layout: Layout) -> str | None:
    """Return whose cache an interpreter lies in; None where it lies in none."""
    if is_cached_package(root, layout.prefix):
        return "conda"
    match = _UV_ARCHIVE.match(layout.executable)
    if match is None or _PACKAGES.search(layout.executable):
        return None
    is_cache = root.is_file(f"{match[1]}/CACHEDIR.TAG")
    return "uv" if is_cache and not root.is_file(f"{match[0]}/pyvenv.cfg") else None
