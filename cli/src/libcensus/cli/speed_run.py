"""Runs the workload under each interpreter, in rounds: the one place of the command where something found is run.

Every run is a process of its own that gets the workload on standard input, no environment of the user's, and the
interpreter's isolated mode without ``site``: neither settings, nor packages, nor start-up files of anybody take part.
"""

from __future__ import annotations

import hashlib
import json
import os
import pwd
import signal
import stat
import subprocess
from contextlib import suppress
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Any

from libcensus.cli.errors import ArgumentError
from libcensus.cli.speed_workload import PARTS, VERSION

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from libcensus.cli.speed_builds import NamedBuild
    from libcensus.cli.terminal import Progress

WORKLOAD_VERSION = VERSION
PART_NAMES = tuple(part.__name__ for part, _ in PARTS)

_ARGUMENTS = ("-I", "-S", "-B", "-")
_ENVIRONMENT = {"PATH": "/usr/bin:/bin", "LC_ALL": "C.UTF-8", "HOME": "/nonexistent", "TMPDIR": "/tmp"}  # noqa: S108
_PATIENCE = 60.0
_PATIENCE_FACTOR = 30
"""How much longer than it should a run may take, on a busy machine, before it is given up."""

_LONGEST_COMPLAINT = 300


def workload_source() -> bytes:
    """Return the workload as it is run."""
    return files("libcensus.cli").joinpath("speed_workload.py").read_bytes()


def workload_digest() -> str:
    """Return the SHA-256 of the workload, which with its version tells what was measured."""
    return hashlib.sha256(workload_source()).hexdigest()


@dataclass(frozen=True, slots=True)
class Part:
    """What one run of one part took: processor's seconds of all its passes, and the wall clock's."""

    name: str
    passes: int
    seconds: float
    wall_seconds: float

    @property
    def pass_seconds(self) -> float:
        """The processor's time of one pass."""
        return self.seconds / self.passes


@dataclass(frozen=True, slots=True)
class Run:
    """What one run of the workload gave."""

    implementation: str
    language: str
    parts: tuple[Part, ...]

    @property
    def core_share(self) -> float:
        """The part of the wall clock's time for which the run had a core to itself."""
        return sum(part.seconds for part in self.parts) / sum(part.wall_seconds for part in self.parts)


@dataclass(frozen=True, slots=True)
class RunAs:
    """The user under whom interpreters run; nothing is said where it is the one who runs this command."""

    name: str
    user: int
    group: int


def choose_user(name: str | None) -> RunAs | None:
    """Return as whom interpreters run: root runs them as ``nobody`` unless told, everybody else as themselves.

    Raises ArgumentError.
    """
    if os.geteuid() != 0:
        if name is not None:
            raise ArgumentError(f"--user {name}: only root can run interpreters as another user; leave it out")
        return None
    try:
        found = pwd.getpwnam(name or "nobody")
    except KeyError:
        raise ArgumentError(f"--user {name or 'nobody'}: there is no such user; name one with --user") from None
    return RunAs(found.pw_name, found.pw_uid, found.pw_gid)


_NOT_RUN = frozenset({"site-packages", "dist-packages"})
"""Folders of packages, which no run looks at."""


def check_owner(named: NamedBuild) -> None:
    """Refuse to run, as root, what somebody else could have written or could replace.

    Raises ArgumentError.
    """
    seen: set[Path] = set()
    for start in dict.fromkeys((named.path, *named.files, *_library_files(named))):
        for path in (Path(start), *Path(start).parents):
            if path in seen:
                break
            seen.add(path)
            try:
                status = path.stat()
            except OSError as error:
                raise ArgumentError(f"{named.given}: {path} cannot be looked at: {error.strerror}") from None
            is_sticky_folder = stat.S_ISDIR(status.st_mode) and status.st_mode & stat.S_ISVTX
            if status.st_uid != 0 or (status.st_mode & 0o022 and not is_sticky_folder):
                raise ArgumentError(
                    f"{named.given}: {path} can be written by others than root, so root does not run it; run "
                    "`libcensus speed` as its owner"
                )


def _library_files(named: NamedBuild) -> Iterator[str]:
    """Yield the files of the standard library, by their real folders."""
    if named.stdlib is None:
        return
    for folder, folders, names in os.walk(os.path.realpath(named.stdlib)):
        folders[:] = [name for name in folders if name not in _NOT_RUN]
        for name in names:
            file = Path(folder) / name
            # A link that leads to nothing, such as Debian's to a package that is not there, is no file to be run.
            if file.exists():
                yield str(file)


def run_once(named: NamedBuild, seconds: float, identity: RunAs | None, source: bytes) -> Run:
    """Run the workload once, for this many seconds of the processor's time in all; raises ArgumentError."""
    patience = _PATIENCE + _PATIENCE_FACTOR * seconds
    try:
        process = subprocess.Popen(
            [named.path, *_ARGUMENTS, f"{seconds:g}"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            cwd="/",
            env=_ENVIRONMENT,
            start_new_session=True,
            user=None if identity is None else identity.user,
            group=None if identity is None else identity.group,
            extra_groups=None if identity is None else [],
        )
    except PermissionError as error:
        whose = "" if identity is None else f" as {identity.name}, the user under whom root runs interpreters (--user)"
        raise ArgumentError(f"{named.given}: {named.path} cannot be run{whose}: {error.strerror}") from None
    except (OSError, subprocess.SubprocessError) as error:
        raise ArgumentError(f"{named.given}: {named.path} cannot be run: {error}") from None
    try:
        out, complaint = process.communicate(source, timeout=patience)
    except subprocess.TimeoutExpired:
        _stop(process)
        raise ArgumentError(f"{named.given}: did not end within {patience:.0f} s, and was stopped") from None
    except BaseException:
        _stop(process)
        raise
    if process.returncode != 0:
        raise ArgumentError(f"{named.given}: cannot run the workload: {_why(process.returncode, complaint)}")
    try:
        return _read_run(json.loads(out))
    except (ValueError, KeyError, TypeError):
        raise ArgumentError(
            f"{named.given}: answered what is no result of the workload: {out[:80].decode('utf-8', 'replace')!r}"
        ) from None


def _stop(process: subprocess.Popen[bytes]) -> None:
    """Leave nothing behind that runs: the interpreter leads a session of its own, with all that it started."""
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    for stream in (process.stdin, process.stdout, process.stderr):
        if stream is not None:
            with suppress(OSError):
                stream.close()
    process.wait()


def _why(code: int, complaint: bytes) -> str:
    lines = [line for line in complaint.decode("utf-8", "replace").splitlines() if line.strip()]
    last = lines[-1].strip()[:_LONGEST_COMPLAINT] if lines else "it said nothing"
    return f"killed by signal {-code} ({last})" if code < 0 else f"exit code {code} ({last})"


def _read_run(value: Any) -> Run:
    parts = tuple(
        Part(str(one["name"]), int(one["passes"]), float(one["seconds"]), float(one["wall_seconds"]))
        for one in value["parts"]
    )
    if tuple(part.name for part in parts) != PART_NAMES or any(
        part.passes < 1 or part.seconds <= 0 or part.wall_seconds <= 0 for part in parts
    ):
        raise ValueError("parts")
    return Run(str(value["implementation"]), str(value["language"]), parts)


def order_of(number: int, how_many: int) -> list[int]:
    """Return in which order interpreters run in a round: each comes first equally often, and drift cancels out.

    Two run as AB BA BA AB; more are rotated by one each round, forwards and then backwards.
    """
    turn, start = divmod(number, how_many)
    order = [(start + position) % how_many for position in range(how_many)]
    return order[::-1] if turn % 2 else order


def rounds_of(
    named: Sequence[NamedBuild],
    rounds: int,
    seconds: float,
    identity: RunAs | None,
    progress: Progress,
    run: Callable[[NamedBuild, float, RunAs | None, bytes], Run] = run_once,
) -> Iterator[list[Run]]:
    """Yield the runs of each round, in the interpreters' order; a first, short round proves that all can run.

    Raises ArgumentError for the first interpreter that cannot.
    """
    source = workload_source()
    total = (rounds + 1) * len(named)
    for position, one in enumerate(named):
        progress("trying", position, len(named))
        run(one, min(seconds, 0.1), identity, source)
    done = len(named)
    for number in range(rounds):
        results: dict[int, Run] = {}
        for position in order_of(number, len(named)):
            progress(f"round {number + 1} of {rounds}, runs", done, total)
            results[position] = run(named[position], seconds, identity, source)
            done += 1
        yield [results[position] for position in range(len(named))]
