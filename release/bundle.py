"""Puts the self-contained agent together: the program, the modules it can import, its wheels, and their description."""

from __future__ import annotations

import json
import platform
import shutil
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from release.archive import write_archive, write_checksum
from release.errors import ReleaseError
from release.floor import GLIBCXX, OF_GCC, OF_GLIBC, prove_floor
from release.interpreter import Interpreter, compile_interpreter
from release.sbom import bundle_sbom
from release.sources import Archive, given_cpython, obtain, read_pins, sha256_of
from release.toolchain import ARCHITECTURES, GLIBC, Toolchain, find_toolchain
from release.wheels import LOCK, ROOT, Wheel, agent_version, locked_wheels, own_wheels, unpack_wheel

if TYPE_CHECKING:
    from collections.abc import Iterable

NOT_SHIPPED = {"pycparser": "cffi's parser of C, which is used where extension modules are made"}
"""Locked distributions that the agent never imports, and why."""

_IMPORT_ALL = """
import sys
sys.path[:] = sys.argv[1:]
import os
site = sys.path[1]
for package in ("libcensus/agent", "libcensus/facts", "libcensus/v1"):
    for folder, _, files in os.walk(os.path.join(site, package)):
        for file in sorted(files):
            if file.endswith(".py"):
                name = os.path.relpath(os.path.join(folder, file), site).removesuffix(".py").replace("/", ".")
                __import__(name.removesuffix(".__init__"))
"""
"""Imports every module of the agent; what was there before the first line is CPython's own start alone."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """What somebody asked for: see ``make bundle`` in docs/bundle.md."""

    arch: str
    output: Path
    cache: Path
    sources: list[Path]
    cpython: Path | None = None
    label: str | None = None


def make_bundle(wanted: Wanted) -> Path:
    """Make the bundle and what stands beside it; returns the archive. Raises ReleaseError."""
    if wanted.arch not in ARCHITECTURES:
        raise ReleaseError(f"ARCH={wanted.arch}: bundles are made for {' and '.join(ARCHITECTURES)}")
    version = agent_version(wanted.label)
    name = f"libcensus-agent-{version}-linux-{wanted.arch}"
    print(f"bundle {name}", flush=True)
    archives = _archives(wanted)
    epoch = archives["cpython"].source.epoch
    toolchain = find_toolchain(wanted.arch, wanted.cache / "zig", epoch)
    interpreter = compile_interpreter(archives, toolchain, wanted.cache)
    # A wheel for this floor is named by either of the two spellings of PEP 600.
    tags = [f"manylinux2014_{wanted.arch}", f"manylinux_2_17_{wanted.arch}"]
    wheels = [wheel for wheel in locked_wheels(interpreter.minor, tags, wanted.cache) if wheel.name not in NOT_SHIPPED]
    wanted.output.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="libcensus-bundle-") as work:
        wheels = sorted([*wheels, *own_wheels(Path(work), epoch, wanted.label)], key=lambda wheel: wheel.name)
        folder = Path(work) / name
        modules = _lay_out(folder, interpreter, _runner(interpreter, archives, toolchain, wanted.cache), wheels)
        sbom = bundle_sbom(
            version, wanted.arch, epoch, archives, interpreter.folder / "sbom.spdx.json", wheels, _compiler(toolchain)
        )
        manifest = _manifest(version, wanted.arch, archives, wheels, toolchain, modules)
        _describe(folder, version, interpreter, manifest, sbom)
        if wanted.arch == platform.machine():
            _try_out(folder, interpreter, version)
        archive = wanted.output / f"{name}.tar.gz"
        write_archive(folder, archive, epoch)
    document = prove_floor(archive, wanted.arch)
    (wanted.output / f"{name}.sbom.cdx.json").write_text(sbom, encoding="utf-8")
    (wanted.output / f"{name}.requires.json").write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")
    write_checksum(archive)
    print(f"{archive}: {archive.stat().st_size / 1e6:.1f} MB, needs glibc {document[0]['glibc']}", flush=True)
    return archive


def _archives(wanted: Wanted) -> dict[str, Archive]:
    pins = read_pins()
    found = {}
    for name, sources in pins.items():
        if name == "cpython" and wanted.cpython is not None:
            found[name] = given_cpython(wanted.cpython, sources)
        else:
            found[name] = obtain(sources, wanted.cache / "sources", wanted.sources)
    return found


def _runner(interpreter: Interpreter, archives: dict[str, Archive], toolchain: Toolchain, cache: Path) -> Path:
    """Return the same CPython as a program of this machine."""
    if interpreter.python.exists():
        return interpreter.python
    here = Toolchain(toolchain.zig, toolchain.version, platform.machine(), toolchain.cache, toolchain.epoch)
    return compile_interpreter(archives, here, cache).python


def _lay_out(folder: Path, interpreter: Interpreter, runner: Path, wheels: Iterable[Wheel]) -> dict[str, Any]:
    """Lay out program, library and wheels; returns which modules were taken, and which were cut."""
    library = folder / "lib" / f"python{interpreter.minor}"
    packages = library / "site-packages"
    (folder / "bin").mkdir(parents=True)
    shutil.copy(interpreter.program, folder / "bin" / "libcensus-agent")
    for wheel in wheels:
        unpack_wheel(wheel, packages)
    script = Path(__file__).with_name("stdlib.py")
    command = [str(runner), "-I", "-S", "-B", str(script), str(interpreter.stdlib), str(packages), str(library)]
    done = subprocess.run(command, check=False, capture_output=True, text=True, env={})
    if done.returncode != 0:
        raise ReleaseError(f"the modules of the bundle cannot be chosen and compiled: {done.stderr[-3000:]}")
    modules: dict[str, Any] = json.loads(done.stdout)
    return modules


def _compiler(toolchain: Toolchain) -> str:
    return f"zig {toolchain.version}, cc -target {toolchain.arch}-linux-gnu.{GLIBC}"


def _manifest(
    version: str,
    arch: str,
    archives: dict[str, Archive],
    wheels: Iterable[Wheel],
    toolchain: Toolchain,
    modules: dict[str, Any],
) -> dict[str, Any]:
    """Return what a bundle says of itself, in ``manifest.json``."""
    return {
        "name": "libcensus-agent",
        "version": version,
        "arch": arch,
        "python": archives["cpython"].source.version,
        "floor": {"glibc": GLIBC, "glibcxx": GLIBCXX, "sonames": sorted(_sonames(arch))},
        "builder": {"name": "make bundle of libcensus", "compiler": _compiler(toolchain)},
        "sources": [
            {
                "name": archive.source.name,
                "version": archive.source.version,
                "file": archive.source.file,
                "sha256": archive.source.sha256,
                "stated": archive.source.is_pinned,
            }
            for archive in archives.values()
        ],
        "lock": {"file": str(LOCK.relative_to(ROOT)), "sha256": sha256_of(LOCK)},
        "wheels": [
            {"name": wheel.name, "version": wheel.version, "file": wheel.path.name, "sha256": wheel.sha256}
            for wheel in wheels
        ],
        "modules": modules["modules"],
        "cut": modules["cut"],
    }


def _sonames(arch: str) -> set[str]:
    loaders = {"x86_64": "ld-linux-x86-64.so.2", "aarch64": "ld-linux-aarch64.so.1"}
    others = set(loaders.values()) - {loaders[arch]}
    return set((OF_GLIBC | OF_GCC) - others)


def _describe(folder: Path, version: str, interpreter: Interpreter, manifest: dict[str, Any], sbom: str) -> None:
    """Write what tells of the bundle into it, for people, scanners and the deployment."""
    (folder / "VERSION").write_text(f"{version}\n", encoding="ascii")
    (folder / "manifest.json").write_text(json.dumps(manifest, indent=1, sort_keys=True) + "\n", encoding="utf-8")
    (folder / "sbom.cdx.json").write_text(sbom, encoding="utf-8")
    for text in ("LICENSE", "NOTICE"):
        shutil.copyfile(ROOT / text, folder / text)
    shutil.copytree(interpreter.folder / "licenses", folder / "licenses")
    # The version for every scanner that asks CPython's own header for it, this project's among them.
    header = folder / "include" / f"python{interpreter.minor}"
    header.mkdir(parents=True)
    shutil.copyfile(interpreter.folder / "patchlevel.h", header / "patchlevel.h")


def _try_out(folder: Path, interpreter: Interpreter, version: str) -> None:
    """Run the program once, and import every module of the agent from the bundle's files alone."""
    done = subprocess.run(
        [str(folder / "bin" / "libcensus-agent"), "--version"], check=False, capture_output=True, text=True, env={}
    )
    if done.returncode != 0 or done.stdout != f"libcensus-agent {version}\n":
        raise ReleaseError(f"the bundle's program does not start: {done.stdout}{done.stderr[-2000:]}")
    library = folder / "lib" / f"python{interpreter.minor}"
    command = [str(interpreter.python), "-I", "-S", "-B", "-c", _IMPORT_ALL, str(library), f"{library}/site-packages"]
    done = subprocess.run(command, check=False, capture_output=True, text=True, env={})
    if done.returncode != 0:
        raise ReleaseError(f"a module of the agent cannot be imported from the bundle: {done.stderr[-2000:]}")
