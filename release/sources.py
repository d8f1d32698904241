"""Where the sources come from that the bundle compiles: by version and SHA-256, and in no other way.

A source is taken from a file or folder that was given, from the cache, or from the pool of a Debian archive
that apt here is set to, by apt's own downloader: so proxies, mirrors and credentials are those of the machine.
What comes is used only when its SHA-256 is the one that ``sources.toml`` states.
"""

from __future__ import annotations

import hashlib
import os
import subprocess
import tarfile
import tomllib
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime
from pathlib import Path

from release.errors import ReleaseError

PINS = Path(__file__).with_name("sources.toml")
APT_HELPER = Path("/usr/lib/apt/apt-helper")


@dataclass(frozen=True, slots=True)
class Source:
    """One version of one part: what its archive is called, where a Debian pool has it, and its SHA-256."""

    name: str
    version: str
    pool: str
    file: str
    sha256: str
    released: date | None = None
    is_pinned: bool = True

    @property
    def epoch(self) -> int:
        """The day of the release in seconds, for all that is dated by it."""
        if self.released is None:
            raise ReleaseError(f"release/sources.toml does not say when {self.name} {self.version} was released")
        return int(datetime(self.released.year, self.released.month, self.released.day, tzinfo=UTC).timestamp())


@dataclass(frozen=True, slots=True)
class Archive:
    """A source, and the archive on this machine that holds it."""

    source: Source
    path: Path


def read_pins(path: Path = PINS) -> dict[str, list[Source]]:
    """Return the sources of every part, the wanted one first."""
    with path.open("rb") as file:
        table = tomllib.load(file)
    return {name: [Source(name=name, **entry) for entry in entries] for name, entries in table.items()}


def sha256_of(path: Path) -> str:
    """Return the SHA-256 of a file in hexadecimal digits."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def obtain(pins: list[Source], cache: Path, given: list[Path]) -> Archive:
    """Return the first of a part's sources that can be had.

    ``given`` are files and folders that somebody named: files in them are known by their SHA-256, whatever they are
    called. Raises ReleaseError, which tells what was tried and what helps.
    """
    offered = {sha256_of(path): path for path in _files(given)}
    for source in pins:
        if source.sha256 in offered:
            return Archive(source, offered[source.sha256])
    problems = []
    for source in pins:
        kept = cache / f"{source.sha256[:16]}-{source.file}"
        if kept.exists() and sha256_of(kept) == source.sha256:
            return Archive(source, kept)
        problem = _download(source, kept)
        if problem is None:
            return Archive(source, kept)
        problems.append(f"{source.file}: {problem}")
        print(f"  {source.name} {source.version} cannot be had ({problem})", flush=True)
    tried = "; ".join(problems)
    raise ReleaseError(
        f"no source of {pins[0].name} can be had ({tried}). Put a file with the SHA-256 of release/sources.toml into a "
        "folder and name that with SOURCES=folder, or state there a version that the archive has now"
    )


def given_cpython(path: Path, pins: list[Source]) -> Archive:
    """Return a CPython source that somebody named with CPYTHON: a stated one where its SHA-256 is, else its own.

    One that is not stated is dated by its own newest file, and what is made of it says its SHA-256 too.
    """
    if not path.is_file():
        raise ReleaseError(
            f"CPYTHON={path} is no file: name a source archive of CPython, such as Python-3.13.15.tar.xz"
        )
    digest = sha256_of(path)
    for source in pins:
        if source.sha256 == digest:
            return Archive(source, path)
    with tarfile.open(path) as archive:
        members = archive.getmembers()
    top = {member.name.partition("/")[0] for member in members}
    if len(top) != 1 or not (name := top.pop()).startswith("Python-"):
        raise ReleaseError(f"{path} is no source archive of CPython: one folder Python-X.Y.Z is expected in it")
    released = datetime.fromtimestamp(max(member.mtime for member in members), UTC).date()
    version = name.removeprefix("Python-")
    print(f"  CPython {version} is not stated in release/sources.toml; its SHA-256 is {digest}", flush=True)
    wanted = replace(pins[0], version=version, released=released, file=path.name, sha256=digest, is_pinned=False)
    return Archive(wanted, path)


def unpack(archive: Archive, folder: Path) -> Path:
    """Unpack an archive below a folder and return the one folder in it."""
    with tarfile.open(archive.path) as file:
        # Python 3.11 before 3.11.4 has no filter; the SHA-256 says that these are the project's own files.
        if hasattr(tarfile, "data_filter"):
            file.extraction_filter = tarfile.data_filter
        file.extractall(folder)  # noqa: S202 - the filter of the line above, or known bytes
        top = {member.name.partition("/")[0] for member in file.getmembers()}
    if len(top) != 1:
        raise ReleaseError(f"{archive.path} holds {len(top)} top folders where one is expected")
    return folder / top.pop()


def _files(given: list[Path]) -> list[Path]:
    found = []
    for path in given:
        if path.is_dir():
            found += sorted(one for one in path.iterdir() if one.is_file())
        elif path.is_file():
            found.append(path)
        else:
            raise ReleaseError(f"SOURCES={path} is neither a file nor a folder")
    return found


def _archives() -> list[str]:
    """Return the addresses of the archives that apt is set to, in the order of its settings."""
    done = subprocess.run(
        ["apt-get", "indextargets", "--no-release-info", "--format", "$(REPO_URI)", "Created-By: Packages"],
        check=False,
        capture_output=True,
        text=True,
    )
    return list(dict.fromkeys(line.rstrip("/") for line in done.stdout.split()))


def _download(source: Source, target: Path) -> str | None:
    """Download a source from the first archive that has it; returns None, or what went wrong."""
    if not APT_HELPER.exists():
        return "there is no apt here that could fetch it"
    target.parent.mkdir(parents=True, exist_ok=True)
    problem = "apt knows no archive here"
    for archive in _archives():
        partial = target.with_name(f"{target.name}.partial")
        partial.unlink(missing_ok=True)
        options = ["-o", "APT::Sandbox::User=root"] if os.geteuid() == 0 else []
        address = f"{archive}/pool/{source.pool}/{source.file}"
        done = subprocess.run(
            [str(APT_HELPER), *options, "download-file", address, str(partial), f"SHA256:{source.sha256}"],
            check=False,
            capture_output=True,
            text=True,
        )
        if done.returncode == 0 and partial.exists() and sha256_of(partial) == source.sha256:
            partial.rename(target)
            return None
        lines = [line for line in done.stderr.splitlines() if line.startswith("E:")]
        problem = lines[0].removeprefix("E: ").replace(address, "").strip() if lines else "it is another file"
        partial.unlink(missing_ok=True)
    return " ".join(problem.split())
