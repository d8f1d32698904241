"""Finds the interpreter that somebody names, and the build that it is of, by reading alone.

A name is looked for on the PATH, an environment leads to its base, and the build is told by the scan's own probes, so
that a measured build has the digest that it has in the fleet.
"""

from __future__ import annotations

import os
import shutil
import stat
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from libcensus.agent.errors import AgentError, UnreadableError
from libcensus.agent.host import Root
from libcensus.agent.interpreters.candidate import Candidate
from libcensus.agent.interpreters.mainprogram import is_interpreter_name, recognise_main_program
from libcensus.agent.probes.context import ProbeSkippedError, ScanContext
from libcensus.agent.probes.interpreters import probe_interpreters
from libcensus.agent.probes.packages import probe_packages
from libcensus.agent.probes.skips import Skips
from libcensus.agent.probes.venvs import parse_pyvenv
from libcensus.agent.settings import ScanSettings
from libcensus.cli.errors import ArgumentError
from libcensus.facts.codec import encode_fact
from libcensus.facts.vocabulary import Implementation

if TYPE_CHECKING:
    from libcensus.facts.interpreter import Build

OLDEST = (3, 6)
"""The oldest CPython that runs the workload."""

_PYTHONS = frozenset({Implementation.CPYTHON, Implementation.PYPY})
_MOST_ENVIRONMENTS = 16
_CONFIGURATION_BYTES = 64 << 10


@dataclass(frozen=True, slots=True)
class NamedBuild:
    """An interpreter as it was named, the file that runs, and the build that this is.

    ``files`` are all that decides the build, absolute, and ``stdlib`` is the folder of its standard library, where one
    was found; ``environment`` is the environment that led to it.
    """

    given: str
    path: str
    build: Build
    digest: str
    files: tuple[str, ...]
    stdlib: str | None = None
    environment: str | None = None


def find_build(given: str) -> NamedBuild:
    """Return the build of an interpreter that is named by a path, an environment's folder, or a name on the PATH.

    Raises ArgumentError, which says what it is instead.
    """
    try:
        path, environment = _base(given, _place(given))
        _check_file(given, path)
    except OSError as error:
        raise ArgumentError(f"{given}: cannot be looked at: {error.strerror}") from None
    with Root.open("/") as root:
        try:
            found = read_build(root, given, path)
        except AgentError as error:
            raise ArgumentError(f"{given}: cannot be read: {error}") from None
    build = found.build
    if build.implementation not in _PYTHONS:
        raise ArgumentError(f"{given}: is {build.implementation}; the workload is Python's")
    if build.implementation is Implementation.CPYTHON and build.version is not None and _line(build.version) < OLDEST:
        oldest = ".".join(map(str, OLDEST))
        raise ArgumentError(f"{given}: is CPython {build.version}; the workload runs on {oldest} or newer")
    return replace(found, environment=environment)


def _line(version: str) -> tuple[int, int]:
    major, minor = version.split(".")[:2]
    return int(major), int(minor)


def _place(given: str) -> str:
    """Return the absolute path of what is named, links in it as they are."""
    if "/" not in given:
        found = shutil.which(given)
        if found is None:
            raise ArgumentError(f"{given}: is not on the PATH; name an interpreter by its path, or one that is there")
        return str(Path(found).absolute())
    place = Path(given).expanduser().absolute()
    if place.is_dir():
        inside = place / "bin" / "python"
        if not inside.exists():
            raise ArgumentError(f"{given}: is a folder without bin/python; name the interpreter itself")
        place = inside
    if not place.exists():
        hint = "its link leads to nothing" if place.is_symlink() else "there is no such file"
        raise ArgumentError(f"{given}: {hint}; name the path of an interpreter")
    return str(place)


def _base(given: str, place: str) -> tuple[str, str | None]:
    """Return the base interpreter's real file, and the environment that led to it."""
    environment = _environment_of(place)
    path = os.path.realpath(place)
    for _ in range(_MOST_ENVIRONMENTS):
        inner = _environment_of(path)
        if inner is None:
            return path, environment
        # Copied, not linked: its configuration says where the base lies (PEP 405).
        environment = environment or inner
        path = os.path.realpath(_home_program(given, inner, path))
    raise ArgumentError(f"{given}: its environment leads in a circle; name the base interpreter")


def _environment_of(path: str) -> str | None:
    folder = Path(path).parent
    return next((str(one) for one in (folder, folder.parent) if (one / "pyvenv.cfg").is_file()), None)


def _home_program(given: str, environment: str, path: str) -> str:
    configuration = Path(environment) / "pyvenv.cfg"
    with configuration.open("rb") as file:
        home = parse_pyvenv(file.read(_CONFIGURATION_BYTES).decode("utf-8", "replace")).get("home", "")
    if home.startswith("/"):
        for name in (Path(path).name, "python3", "python"):
            candidate = Path(home) / name
            if candidate.exists():
                return str(candidate)
    raise ArgumentError(
        f"{given}: is of an environment whose base is not there (home = {home or 'nothing'} in {configuration}); "
        "make the environment anew, or name another interpreter"
    )


def _check_file(given: str, path: str) -> None:
    with Path(path).open("rb") as file:
        start = file.read(4)
    if start[:2] == b"#!":
        raise ArgumentError(
            f"{given}: {path} is a script (a shim or a wrapper), not an interpreter; name the file that it starts, "
            "such as what `pyenv which python` prints"
        )
    if start != b"\x7fELF":
        raise ArgumentError(f"{given}: {path} is no program of Linux (no ELF file), so no interpreter")
    if not os.access(path, os.X_OK):
        raise ArgumentError(f"{given}: {path} may not be executed by this user")


def read_build(root: Root, given: str, path: str) -> NamedBuild:
    """Return the build of the interpreter whose main program is at a real path of a root.

    The scan's own probes look at the one folder that it lies in, as a scan of the host does at all. Raises
    ArgumentError for what is no install of an interpreter, and the agent's errors.
    """
    skips = Skips()
    context = ScanContext(root, ScanSettings(index=False, containers=False, processes=False))
    try:
        probe_packages(context, skips)
    except ProbeSkippedError:
        context.packages = None
    folder = path.rpartition("/")[0]
    for name in sorted(root.listdir(folder or "/")):
        # Beside it lie its copies and hard links, of which a scan takes the one with the nicest name.
        if name == path.rpartition("/")[2] or is_interpreter_name(name):
            candidate = _candidate(root, f"{folder}/{name}")
            if candidate is not None:
                context.candidates.append(candidate)
    if not any(one.path == path for one in context.candidates):
        raise ArgumentError(f"{given}: {path} is not the main program of an interpreter that libcensus knows")
    probe_interpreters(context, skips)
    for one in context.interpreters:
        if path in (one.path, one.layout.executable, *one.aliases):
            digest = encode_fact(one.build)[1]
            files = tuple(file.path for file in one.files)
            return NamedBuild(given, path, one.build, digest, files, one.layout.stdlib)
    why = next((f" ({example})" for reason in skips.counts for example in skips.examples(reason)), "")
    raise ArgumentError(f"{given}: {path} is no install of an interpreter{why}")


def _candidate(root: Root, path: str) -> Candidate | None:
    try:
        # Links are names of the files that they lead to, not files.
        if not stat.S_ISREG(root.stat(path, follow=False).st_mode):
            return None
        with root.open_file(path) as file:
            program = recognise_main_program(file, path.rpartition("/")[2])
            return None if program is None else Candidate(path, file.state, program)
    except UnreadableError:
        return None
