"""What is deployed: artefacts as make targets build them, of this version, a newer one, and one that is broken."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import tarfile
import time
from dataclasses import dataclass, field
from pathlib import Path

CHECKOUT = Path(__file__).parents[2]
ARCH = os.uname().machine
READY = os.environ.get("LIBCENSUS_TEST_ARTEFACTS")
"""A folder with artefacts that were made before, to save the minutes while a test is written; unset in CI."""

_TARGETS = ("collection", "bundle", "wheelhouse", "collector-wheelhouse")
_PYTHONS = ("cp311", "cp313")
"""Of the hosts that install wheels: bookworm's and trixie's."""
_NEXT, _BROKEN = "next", "broken"


@dataclass(frozen=True)
class Artefacts:
    """The folder that Ansible is given, and the versions in it."""

    folder: Path
    seconds: dict[str, float] = field(default_factory=dict)

    @property
    def version(self) -> str:
        """The version of this checkout."""
        return _version_in(self.folder)

    @property
    def next_version(self) -> str:
        """The version after it."""
        return f"{self.version}+{_NEXT}"

    @property
    def broken_version(self) -> str:
        """A version after it, as a bundle alone, whose agent starts and cannot report."""
        return f"{self.version}+{_BROKEN}"

    @property
    def collection(self) -> Path:
        """The archive of the Ansible collection."""
        (found,) = self.folder.glob("libcensus-fleet-*.tar.gz")
        return found

    def bundle(self, version: str) -> Path:
        """The bundle of a version."""
        return self.folder / f"libcensus-agent-{version}-linux-{ARCH}.tar.gz"


def _version_in(folder: Path) -> str:
    names = [path.name for path in folder.glob(f"libcensus-agent-*-linux-{ARCH}.tar.gz")]
    (version,) = {name.split("-")[2].partition("+")[0] for name in names}
    return version


def make_artefacts(folder: Path) -> Artefacts:
    """Build everything into a folder by the make targets that users run."""
    folder.mkdir(parents=True)
    if READY is not None:
        for path in Path(READY).iterdir():
            (folder / path.name).symlink_to(path.resolve())
        return Artefacts(folder)
    seconds = {}
    platforms = " ".join(f"manylinux_2_28_{ARCH}-{python}" for python in _PYTHONS)
    for target in _TARGETS:
        begun = time.monotonic()
        _make(target, f"PLATFORMS={platforms}")
        seconds[target] = time.monotonic() - begun
    _make("bundle", f"LABEL={_NEXT}")
    _make("wheelhouse", f"PLATFORMS={platforms}", f"LABEL={_NEXT}")
    made = CHECKOUT / "dist"
    version = (CHECKOUT / "agent" / "pyproject.toml").read_text(encoding="utf-8").split('version = "')[1].split('"')[0]
    for pattern in ("libcensus-fleet-*.tar.gz", f"libcensus-*-{version}-*", f"libcensus-*-{version}+{_NEXT}-*"):
        for path in made.glob(pattern):
            shutil.copy(path, folder)
    artefacts = Artefacts(folder, seconds)
    _break(artefacts)
    return artefacts


def _make(*words: str) -> None:
    done = subprocess.run(
        ["make", *words], cwd=CHECKOUT, check=False, capture_output=True, text=True, stdin=subprocess.DEVNULL
    )
    assert done.returncode == 0, f"make {' '.join(words)} failed:\n{done.stdout[-3000:]}\n{done.stderr[-3000:]}"


def _break(artefacts: Artefacts) -> None:
    """Make a bundle without gRPC in it: it starts, tells its version, takes its settings, and cannot report."""
    source, target = artefacts.bundle(artefacts.next_version), artefacts.bundle(artefacts.broken_version)
    left_out = 0
    with tarfile.open(source) as sound, tarfile.open(target, "w:gz", compresslevel=1) as broken:
        for entry in sound:
            if "/site-packages/grpc/" in entry.name:
                left_out += 1
                continue
            broken.addfile(entry, sound.extractfile(entry) if entry.isreg() else None)
    assert left_out
    digest = hashlib.sha256(target.read_bytes()).hexdigest()
    target.with_name(f"{target.name}.sha256").write_text(f"{digest}  {target.name}\n", encoding="ascii")
