"""Gathers the wheels that an artefact is made of: the locked ones of the index, by hash, and the project's own."""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import subprocess
import sys
import tempfile
import tomllib
import zipfile
from dataclasses import dataclass
from email.parser import BytesParser
from pathlib import Path
from typing import TYPE_CHECKING

from release.errors import ReleaseError
from release.sources import sha256_of

if TYPE_CHECKING:
    from email.message import Message

ROOT = Path(__file__).resolve().parent.parent
LOCK = ROOT / "requirements" / "agent.txt"
OWN = ("protos", "agent")
_SBOM = re.compile(r"[^/]+\.dist-info/sboms/[^/]+\.json")
_LABEL = re.compile(r"[a-z0-9]+(?:\.[a-z0-9]+)*")


@dataclass(frozen=True, slots=True)
class Wheel:
    """One wheel: its name and version by its own metadata, and its file."""

    name: str
    version: str
    path: Path
    metadata: Message

    @property
    def sha256(self) -> str:
        """The SHA-256 of the file."""
        return sha256_of(self.path)

    @property
    def sboms(self) -> list[bytes]:
        """The SBOMs (PEP 770) that the wheel holds, sorted by name."""
        with zipfile.ZipFile(self.path) as archive:
            names = sorted(one for one in archive.namelist() if _SBOM.fullmatch(one))
            return [archive.read(name) for name in names]


def read_wheel(path: Path) -> Wheel:
    """Return what a wheel's metadata says; raises ReleaseError for a file that is none."""
    try:
        with zipfile.ZipFile(path) as archive:
            (name,) = (one for one in archive.namelist() if re.fullmatch(r"[^/]+\.dist-info/METADATA", one))
            metadata = BytesParser().parsebytes(archive.read(name))
    except (ValueError, zipfile.BadZipFile) as error:
        raise ReleaseError(f"{path} is no wheel: {error}") from None
    return Wheel(metadata["Name"], metadata["Version"], path, metadata)


def locked_wheels(python: str, platforms: list[str], cache: Path) -> list[Wheel]:
    """Return the locked wheels for a Python (``3.13``) and the platforms that one host offers, from the cache or index.

    pip takes those alone whose SHA-256 the lock holds. Raises ReleaseError where the index has no wheel that fits.
    """
    recipe = hashlib.sha256(f"{python} {platforms}\n".encode() + LOCK.read_bytes()).hexdigest()[:16]
    folder = cache / "wheels" / f"{python}-{platforms[0]}-{recipe}"
    if not (folder / "complete").exists():
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        command = [sys.executable, "-m", "pip", "download", "-q", "--disable-pip-version-check", "--no-deps"]
        command += ["--require-hashes", "--only-binary", ":all:", "--implementation", "cp", "--python-version", python]
        command += [part for platform in platforms for part in ("--platform", platform)]
        done = subprocess.run(
            [*command, "-d", str(folder), "-r", str(LOCK)], check=False, capture_output=True, text=True
        )
        if done.returncode != 0:
            lines = [line for line in done.stderr.splitlines() if line.startswith("ERROR")]
            reason = lines[-1].removeprefix("ERROR: ") if lines else done.stderr[-500:]
            raise ReleaseError(f"the locked wheels for Python {python} on {', '.join(platforms)}: {reason}")
        (folder / "complete").touch()
    return sorted((read_wheel(path) for path in folder.glob("*.whl")), key=lambda wheel: wheel.name)


def own_wheels(folder: Path, epoch: int, label: str | None = None) -> list[Wheel]:
    """Build the project's own wheels of the agent into a folder, equal bytes for equal sources.

    ``label`` becomes the agent's local version (``0.1.0+label``): what tells a second artefact of one release from the
    first.
    """
    environment = os.environ | {"SOURCE_DATE_EPOCH": str(epoch), "PIP_NO_INDEX": "1"}
    with tempfile.TemporaryDirectory(prefix="libcensus-wheels-") as work:
        for member in OWN:
            # A copy: what an earlier build, an editor or a test left beside the sources does not get in.
            copy = Path(work) / member
            shutil.copytree(ROOT / member, copy, ignore=shutil.ignore_patterns("__pycache__", "build", "dist", "*.pyc"))
            if label is not None and member == "agent":
                _set_label(copy / "pyproject.toml", label)
        command = [sys.executable, "-m", "pip", "wheel", "-q", "--disable-pip-version-check", "--no-deps"]
        command += ["--no-build-isolation", "--wheel-dir", str(folder), *(f"{work}/{member}" for member in OWN)]
        done = subprocess.run(command, check=False, capture_output=True, text=True, env=environment)
    if done.returncode != 0:
        raise ReleaseError(f"the project's own wheels cannot be built: {done.stderr[-2000:]}")
    return sorted((read_wheel(path) for path in folder.glob("libcensus_*.whl")), key=lambda wheel: wheel.name)


def agent_version(label: str | None = None) -> str:
    """Return the version of the agent in this tree, with the label as its local part."""
    with (ROOT / "agent" / "pyproject.toml").open("rb") as file:
        version = str(tomllib.load(file)["project"]["version"])
    if label is None:
        return version
    if not _LABEL.fullmatch(label):
        raise ReleaseError(f"LABEL={label}: letters in lower case and digits are allowed, in parts joined by dots")
    return f"{version}+{label}"


def unpack_wheel(wheel: Wheel, folder: Path) -> None:
    """Lay a wheel out in a folder of modules, byte for byte; its commands are left out.

    Raises ReleaseError for a wheel that wants files elsewhere.
    """
    with zipfile.ZipFile(wheel.path) as archive:
        for member in archive.infolist():
            first, _, rest = member.filename.partition("/")
            if first.endswith(".data"):
                kind, _, inner = rest.partition("/")
                if kind in ("purelib", "platlib") and not member.is_dir():
                    _write(archive, member, folder / inner)
                elif kind not in ("purelib", "platlib", "scripts"):
                    raise ReleaseError(f"{wheel.path.name} wants {member.filename} laid out in a place of its own")
            elif not member.is_dir():
                _write(archive, member, folder / member.filename)


def _write(archive: zipfile.ZipFile, member: zipfile.ZipInfo, target: Path) -> None:
    if ".." in target.parts:
        raise ReleaseError(f"a wheel holds {member.filename}, which leads out of its folder")
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_bytes(archive.read(member))


def _set_label(pyproject: Path, label: str) -> None:
    text = pyproject.read_text(encoding="utf-8")
    version = agent_version()
    changed = text.replace(f'\nversion = "{version}"\n', f'\nversion = "{version}+{label}"\n', 1)
    if changed == text:
        raise ReleaseError(f"{pyproject} does not state the version {version} in a line of its own")
    pyproject.write_text(changed, encoding="utf-8")
