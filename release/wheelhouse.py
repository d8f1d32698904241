"""Gathers the wheels that the agent is installed from where no package index is: one archive for many platforms."""

from __future__ import annotations

import re
import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path

from release.archive import write_archive, write_checksum
from release.errors import ReleaseError
from release.sources import read_pins, sha256_of
from release.wheels import LOCK, Wheel, agent_version, locked_wheels, own_wheels

PLATFORMS = tuple(
    f"{policy}_{arch}-cp{python}"
    for policy, pythons in (("manylinux2014", (311, 312, 313, 314)), ("musllinux_1_2", (311, 312, 313, 314)))
    for arch in ("x86_64", "aarch64")
    for python in pythons
)
"""What is gathered where nothing is named: every Python that the agent runs on, with glibc and with musl."""

OLDEST = (3, 11)
_PLATFORM = re.compile(
    r"(?P<system>manylinux(?:2014|_\d+_\d+)|musllinux_\d+_\d+)_(?P<arch>[a-z0-9_]+?)-cp3(?P<minor>\d+)"
)


@dataclass(frozen=True, slots=True)
class Platform:
    """One kind of host: the tags that its pip takes, and its Python (``3.12``)."""

    name: str
    tags: list[str]
    python: str


def parse_platform(text: str) -> Platform:
    """Return the platform that a name like ``manylinux2014_x86_64-cp312`` means; raises ReleaseError."""
    match = _PLATFORM.fullmatch(text)
    if match is None:
        raise ReleaseError(
            f"PLATFORMS: {text} is no platform; write them like manylinux2014_x86_64-cp312 or "
            "musllinux_1_2_aarch64-cp313"
        )
    minor = int(match["minor"])
    if (3, minor) < OLDEST:
        raise ReleaseError(f"PLATFORMS: {text}: the agent needs Python 3.11 or newer; such a host takes the bundle")
    tags = [f"{match['system']}_{match['arch']}"]
    if match["system"] == "manylinux2014":
        tags.append(f"manylinux_2_17_{match['arch']}")
    return Platform(text, tags, f"3.{minor}")


@dataclass(frozen=True, slots=True)
class WantedWheelhouse:
    """What somebody asked for: see ``make wheelhouse`` in docs/bundle.md."""

    platforms: list[str]
    output: Path
    cache: Path
    label: str | None = None


def make_wheelhouse(wanted: WantedWheelhouse) -> Path:
    """Make the wheelhouse, an archive of one folder, and its checksum; returns the archive."""
    platforms = [parse_platform(text) for text in wanted.platforms or PLATFORMS]
    version = agent_version(wanted.label)
    name = f"libcensus-agent-{version}-wheelhouse"
    epoch = read_pins()["cpython"][0].epoch
    wanted.output.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="libcensus-wheelhouse-") as work:
        folder = Path(work) / name
        folder.mkdir()
        for platform in platforms:
            for wheel in locked_wheels(platform.python, platform.tags, wanted.cache):
                shutil.copyfile(wheel.path, folder / wheel.path.name)
        own = own_wheels(folder, epoch, wanted.label)
        (folder / "PLATFORMS").write_text("".join(f"{platform.name}\n" for platform in platforms), encoding="ascii")
        (folder / "VERSION").write_text(f"{version}\n", encoding="ascii")
        (folder / "requirements.txt").write_text(_requirements(own), encoding="utf-8")
        files = sorted(path for path in folder.iterdir() if path.suffix in (".whl", ".txt"))
        (folder / "SHA256SUMS").write_text(
            "".join(f"{sha256_of(path)}  {path.name}\n" for path in files), encoding="ascii"
        )
        archive = wanted.output / f"{name}.tar.gz"
        write_archive(folder, archive, epoch)
        count = sum(path.suffix == ".whl" for path in files)
    write_checksum(archive)
    print(
        f"{archive}: {count} wheels for {len(platforms)} platforms, {archive.stat().st_size / 1e6:.1f} MB", flush=True
    )
    return archive


def _requirements(own: list[Wheel]) -> str:
    """Return what `pip install --no-index --require-hashes -r requirements.txt` reads in the wheelhouse."""
    lines = [f"{wheel.name}=={wheel.version} --hash=sha256:{wheel.sha256}\n" for wheel in own]
    lock = "".join(f"{line}\n" for line in LOCK.read_text(encoding="utf-8").splitlines() if "#" not in line)
    return "".join(lines) + lock
