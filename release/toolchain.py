"""Zig's C compiler, which brings the headers and stubs of any glibc: what it makes needs that one and no newer."""

from __future__ import annotations

import os
import subprocess
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

from release.errors import ReleaseError

GLIBC = "2.17"
"""The floor: that of EL 7, and of the manylinux2014 wheels in the bundle."""

ARCHITECTURES = ("x86_64", "aarch64")


@dataclass(frozen=True, slots=True)
class Toolchain:
    """A compiler for one architecture and :data:`GLIBC`; ``epoch`` dates what sources ask the compiler's clock for."""

    zig: Path
    version: str
    arch: str
    cache: Path
    epoch: int

    @property
    def triplet(self) -> str:
        """The target as configure scripts call it."""
        return f"{self.arch}-unknown-linux-gnu"

    @property
    def compiler(self) -> str:
        """The command of the C compiler; the first x86-64 level is zig's default for this target."""
        return f"{self.zig} cc -target {self.arch}-linux-gnu.{GLIBC}"

    @property
    def environment(self) -> dict[str, str]:
        """The environment that compiling runs in: nothing of the machine's but PATH and HOME."""
        return {
            "PATH": os.environ.get("PATH", "/usr/bin:/bin"),
            "HOME": os.environ.get("HOME", "/"),
            "LC_ALL": "C",
            "TZ": "UTC",
            "SOURCE_DATE_EPOCH": str(self.epoch),
            "ZIG_GLOBAL_CACHE_DIR": str(self.cache),
            "ZIG_LOCAL_CACHE_DIR": str(self.cache),
            "PKG_CONFIG": "/bin/false",
            "CC": self.compiler,
            "AR": f"{self.zig} ar",
            "RANLIB": f"{self.zig} ranlib",
        }


def find_toolchain(arch: str, cache: Path, epoch: int) -> Toolchain:
    """Return the compiler of the ``ziglang`` package in this environment; raises ReleaseError where it is not there."""
    try:
        distribution = metadata.distribution("ziglang")
    except metadata.PackageNotFoundError:
        raise ReleaseError(
            "ziglang is not in this environment: run it by `make bundle`, which installs requirements/bundle.txt"
        ) from None
    zig = Path(str(distribution.locate_file("ziglang/zig")))
    if " " in str(zig):
        raise ReleaseError(f"{zig}: configure scripts cannot use a compiler in a folder with a blank in its name")
    return Toolchain(zig, distribution.version, arch, cache, epoch)


def run(command: list[str], *, folder: Path, environment: dict[str, str], log: Path) -> None:
    """Run one step of a build; what it prints goes to the log, whose end the error shows where it fails."""
    with log.open("ab") as output:
        output.write(f"\n$ {' '.join(command)}\n".encode())
        output.flush()
        done = subprocess.run(
            command, cwd=folder, env=environment, stdin=subprocess.DEVNULL, stdout=output, stderr=output, check=False
        )
    if done.returncode != 0:
        end = log.read_text(encoding="utf-8", errors="replace")[-3000:]
        raise ReleaseError(f"{command[0]} in {folder} failed with {done.returncode}; the end of {log}:\n{end}")
