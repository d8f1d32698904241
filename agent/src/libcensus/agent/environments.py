"""How a virtual environment hangs on its base, told from the links on the way there: pure, values in, values out.

What decides is the text of the links, not where they end: a link to ``cpython-3.12.6-…`` names a patch release and
stays with it, a link to uv's ``cpython-3.12-…`` names a link that uv moves on. A folder is a patch release's own when
its name holds the interpreter's full version, or when it can never change (a store path of nix, a revision of a snap);
everything else that a known installer upgrades in place is followed. It never guesses: where nothing tells what
upgrades a base, the state is unknown.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from libcensus.facts.vocabulary import EnvironmentState, Installer, Provider

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

_VERSION = re.compile(r"(?<![\d.])\d+\.\d+\.\d+(?:(?:a|b|rc)\d+)?(?![\d.])")
_NIX_STORE = re.compile(r"(?:^|/)nix/store/[0-9a-df-np-sv-z]{32}-[^/]+")
_SNAP_REVISION = re.compile(r"^(?:/var/lib/snapd)?/snap/[^/]+/x?\d+(?=/)")
_IN_PLACE_INSTALLERS = frozenset(
    {
        Installer.DPKG,
        Installer.RPM,
        Installer.APK,
        Installer.PACMAN,
        Installer.CONDA,
        Installer.PIP,
        Installer.PIPX,
        Installer.HATCH,
        Installer.UV,
        Installer.RYE,
        Installer.MISE,
        Installer.ASDF,
        Installer.PYENV,
    }
)
_IN_PLACE_PROVIDERS = frozenset({Provider.SOURCE, Provider.DOCKER_OFFICIAL, Provider.DISTRO, Provider.CONDA})


@dataclass(frozen=True, slots=True)
class Step:
    """A file or folder on the way to an interpreter; ``named_by`` is the link whose text names it, None the path."""

    path: str
    named_by: str | None


@dataclass(frozen=True, slots=True)
class Base:
    """What is known of the interpreter that an environment leads to."""

    version: str | None
    minor: str | None
    provider: Provider = Provider.UNKNOWN
    installer: Installer = Installer.UNKNOWN


@dataclass(frozen=True, slots=True)
class Hold:
    """The state of an environment, the file that shows it, and why."""

    state: EnvironmentState
    file: str
    reason: str


def pinned_folder(path: str, base: Base) -> str | None:
    """Return the first folder of a path that belongs to one release for ever; None where no folder does."""
    if match := _NIX_STORE.search(path) or _SNAP_REVISION.search(path):
        return path[: match.end()]
    if base.installer is Installer.CONDA or base.provider is Provider.CONDA:
        return None
    parts = path.split("/")
    for number, part in enumerate(parts[:-1]):
        if names_release(part, base):
            return "/".join(parts[: number + 1])
    return None


def names_release(name: str, base: Base) -> bool:
    """Tell whether a name holds the full version of an interpreter: ``cpython-3.12.6-linux-x86_64-gnu``."""
    for found in _VERSION.findall(name):
        if found == base.version or (base.minor is not None and found.startswith(f"{base.minor}.")):
            return True
    return False


def judge(steps: Sequence[Step], base: Base, environments: Collection[str]) -> Hold:
    """Return how an environment hangs on the base that its steps lead to.

    ``environments`` are the folders of all environments: a link inside one is nobody's to move on.
    """
    end = steps[-1].path
    own = _inside(end, environments)
    if own is not None:
        return Hold(EnvironmentState.COPIED, end, f"the executable lies in the environment {own}")
    folder = pinned_folder(end, base)
    if folder is None:
        return _in_place(end, base)
    entry = next(step for step in steps if step.path == folder or step.path.startswith(f"{folder}/"))
    link = entry.named_by
    if link is None or _inside(link, environments) is not None:
        return Hold(EnvironmentState.PINNED, link or end, f"names {folder}, which is one release's for ever")
    if pinned_folder(f"{link}/", base) is not None:
        return Hold(EnvironmentState.PINNED, link, f"the link on the way to {folder} is itself named for one release")
    return Hold(EnvironmentState.FOLLOWS, link, f"leads to {folder} through this link, which an upgrade moves on")


def _in_place(end: str, base: Base) -> Hold:
    if base.installer in _IN_PLACE_INSTALLERS:
        return Hold(EnvironmentState.FOLLOWS, end, f"{base.installer} replaces this file when it upgrades the base")
    if base.provider in _IN_PLACE_PROVIDERS:
        detail = f"a base of provider {base.provider} whose path names no release: the next one replaces this file"
        return Hold(EnvironmentState.FOLLOWS, end, detail)
    return Hold(EnvironmentState.UNKNOWN, end, "nothing tells what upgrades this base, and whether in place")


def _inside(path: str, environments: Collection[str]) -> str | None:
    folder = path
    while folder:
        folder = folder.rpartition("/")[0]
        if folder in environments:
            return folder
    return None
