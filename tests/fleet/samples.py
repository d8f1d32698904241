"""The artefacts whose portability is tried: each Debian release's programs, other builds of Python, wheels, and more.

All of them are copied into one folder, which is bound into every root: what is judged and what is started are the same
files. Nothing here says where a sample would run.
"""

from __future__ import annotations

import shutil
import subprocess
import zipfile
from dataclasses import dataclass, field, replace
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

from tests.fleet.compiled import compiled, write_wheel
from tests.fleet.furniture import furnished_root, pbs_python, pyenv_python, wheels
from tests.fleet.roots import PYTHONS, debian_root, foreign_root, run_inside

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

MOVING = "forky"
"""The release that is still changing: what its programs need may be another thing tomorrow."""

_WHEELS = {
    "python3.9-old": "3.9.2",
    "python3.9-new": "3.9.2",
    "python3.11-old": "3.11.2",
    "python3.11-new": "3.11.2",
    "python3.13-old": "3.13.5",
    "python3.14-old": "3.14.0",
    "python3.11-copies": "3.11.2",
    "python3.11-programs": "3.11.2",
}
"""The locks whose wheels are tried, each with a Python that it is for; their folders are shared with other tests."""

_SLOW = "pyarrow-"
"""A wheel of whose thirty modules each imports all others, in a process of its own for each Python."""

_NOT_COPIED = shutil.ignore_patterns("*.a", "test", "tests", "idlelib", "site-packages", "dist-packages", "__pycache__")
_TRIPLE = "x86_64-linux-gnu"


@dataclass(frozen=True)
class Sample:
    """One artefact and how it is tried; paths are below the folder of all samples.

    ``command`` starts it; ``modules`` are opened by it then (or by the root's Python, where nothing is started), each
    with the name that it is imported by. ``probe`` is the language in which the started program can open them; it is
    empty for a program that is no interpreter. ``place`` is where it must lie, as what was built for one folder must.
    ``is_archive`` says that it is unpacked before anything of it is started, ``is_fixed`` that every machine has the
    very same sample.
    """

    name: str
    path: str
    action: str
    command: tuple[str, ...] = ()
    settings: Mapping[str, str] = field(default_factory=dict)
    modules: tuple[tuple[str | None, str], ...] = ()
    programs: tuple[str, ...] = ()
    probe: str = ""
    place: str | None = None
    is_archive: bool = False
    is_fixed: bool = True


def collect(folder: Path) -> list[Sample]:
    """Copy every sample into the folder and return them, each once."""
    found: list[Sample] = []
    for suite, version in PYTHONS.items():
        found += _of_release(folder, suite, version)
        found += _of_compiler(folder, suite)
    found += _other_pythons(folder)
    found += _foreign(folder)
    found += _archives(folder, found)
    found += _zip_applications(folder)
    found += _wheels(folder)
    names = [sample.name for sample in found]
    assert len(set(names)) == len(names), "two samples have one name"
    return found


def _is_elf(data: bytes) -> bool:
    return data[:4] == b"\x7fELF"


def _module_name(path: str, data: bytes) -> str | None:
    """Return the name by which a shared object is imported, None for one that is no module of Python."""
    parts = PurePosixPath(path)
    leaf = parts.name.split(".")[0]
    if f"PyInit_{leaf}".encode() not in data or ".so" not in parts.name:
        return None
    return ".".join((*parts.parent.parts, leaf))


def _of_release(folder: Path, suite: str, version: str) -> Iterable[Sample]:
    root = debian_root(suite)
    fixed = suite != MOVING
    yield _debian_python(folder, suite, version)
    yield _debian_perl(folder, suite)
    yield _environment(folder, suite, version)
    for name, program, arguments in (
        ("node", "usr/bin/node", ["--version"]),
        ("php", "etc/alternatives/php", ["-n", "-r", "echo 1;"]),
        ("ruby", "usr/bin/ruby", ["--disable=gems", "-e", "1"]),
        ("pypy", "usr/bin/pypy3", ["-S", "-c", "1"]),
        ("bash", "bin/bash", ["-c", "exit 0"]),
        ("apt", "usr/bin/apt", ["--version"]),
        ("openssl", "usr/bin/openssl", ["version"]),
    ):
        real = run_inside(root, "readlink", "-f", f"/{program}").strip()
        if real and (root / real[1:]).exists():
            target = f"{suite}-{name}"
            shutil.copy(root / real[1:], folder / target)
            yield Sample(f"{name} of {suite}", target, "program", (target, *arguments), is_fixed=fixed)
    for name in ("libssl.so", "libstdc++.so.6", "libxml2.so", "libcurl.so.4"):
        files = sorted(path for path in (root / "usr/lib" / _TRIPLE).glob(f"{name}*") if not path.is_symlink())
        for path in files[:1]:
            target = f"{suite}-{path.name}"
            shutil.copy(path, folder / target)
            yield Sample(
                f"{name.split('.')[0]} of {suite}", target, "library", modules=((None, target),), is_fixed=fixed
            )


def _debian_python(folder: Path, suite: str, version: str) -> Sample:
    root = debian_root(suite)
    target = f"{suite}-python"
    (folder / target / "bin").mkdir(parents=True)
    shutil.copy(root / f"usr/bin/python{version}", folder / target / "bin")
    library = f"lib/python{version}"
    shutil.copytree(root / "usr" / library, folder / target / library, symlinks=True, ignore=_NOT_COPIED)
    # A link to a release's own settings, which are no part of the build.
    (folder / target / library / "sitecustomize.py").unlink()
    program = f"{target}/bin/python{version}"
    modules = _dynload(folder, f"{target}/{library}")
    fixed = suite != MOVING
    return Sample(
        f"Python {version} of {suite}",
        target,
        "program",
        _checking(program),
        {},
        modules,
        probe="python",
        is_fixed=fixed,
    )


def _environment(folder: Path, suite: str, version: str) -> Sample:
    target = f"{suite}-environment"
    shutil.copytree(furnished_root(suite) / "opt/venvs/new", folder / target, symlinks=True)
    library = f"{target}/lib/python{version}/site-packages"
    modules = [_module_of(folder, library, path) for path in sorted((folder / library).rglob("*.so*"))]
    command = (f"{target}/bin/python", "-E", "-s", "-c", "import cryptography")
    name = f"environment of {suite} with wheels"
    return Sample(
        name, target, "program", command, {}, tuple(modules), probe="python", is_fixed=suite != MOVING
    )  # fmt: skip


def _module_of(folder: Path, library: str, path: Path) -> tuple[str | None, str]:
    return _module_name(str(path.relative_to(folder / library)), path.read_bytes()), str(path.relative_to(folder))


def _checking(program: str) -> tuple[str, ...]:
    return (program, "-E", "-s", "-c", "import encodings, sys; sys.exit(0)")


def _dynload(folder: Path, library: str) -> tuple[tuple[str | None, str], ...]:
    found = sorted((folder / library / "lib-dynload").glob("*.so"))
    return tuple((path.name.split(".")[0], str(path.relative_to(folder))) for path in found)


def _debian_perl(folder: Path, suite: str) -> Sample:
    root = debian_root(suite)
    target = f"{suite}-perl"
    (folder / target / "bin").mkdir(parents=True)
    shutil.copy(root / "usr/bin/perl", folder / target / "bin")
    places = [f"usr/lib/{_TRIPLE}/perl-base"]
    for pattern in (f"usr/lib/{_TRIPLE}/perl/5.*", f"usr/lib/{_TRIPLE}/perl5/5.*", "usr/share/perl/5.*"):
        places += [str(path.relative_to(root)) for path in root.glob(pattern) if not path.is_symlink()]
    for place in places:
        shutil.copytree(root / place, folder / target / place, symlinks=True, ignore=_NOT_COPIED)
    modules = tuple(
        (None, str(path.relative_to(folder))) for path in sorted((folder / target).rglob("*.so")) if path.is_file()
    )
    settings = {"PERL5LIB": ":".join(f"{{}}/{target}/{place}" for place in places)}
    command = (f"{target}/bin/perl", "-e", "exit 0")
    return Sample(
        f"Perl of {suite}", target, "program", command, settings, modules, probe="perl", is_fixed=suite != MOVING
    )


_PROGRAMS = {
    "plain": "C program",
    "floors": "C program with threads and mathematics",
    "static": "static C program",
    "objects": "C++ program",
    "objects-own-runtime": "C++ program with its own C++ runtime",
    "wants-absent": "C program that lacks a library",
    "static-pie": "static position-independent C program",
    "relr": "C program with packed relocations",
    "level-3": "C program with the note of x86-64-v3",
    "musl": "C program linked to musl",
    "musl-static": "C program linked to musl, static",
    "lost-loader": "C program with a loader that nobody has",
    "i386": "32-bit program",
    "i386-static": "static 32-bit program",
    "future-program": "C program with the note of a later Linux",
    "weak": "C program with a weak reference",
}
_OF_THE_MACHINE = frozenset({"level-3", "i386", "i386-static"})
"""What another processor or kernel may treat in another way than this one."""
_FOLDERS = {
    "carries": "folder: program and its library",
    "strays": "folder: program, and its library where no loader looks",
    "outdated": "folder: program and too old a library",
    "plugs": "folder: program and two plugins",
    "future": "folder: program and a library for a later Linux",
}


def _of_compiler(folder: Path, suite: str) -> Iterable[Sample]:
    made = compiled(suite)
    fixed = suite != MOVING
    for name, title in _PROGRAMS.items():
        if (made / name).exists():
            target = f"{suite}-{name}"
            shutil.copy(made / name, folder / target)
            same = fixed and name not in _OF_THE_MACHINE
            yield Sample(f"{title}, made on {suite}", target, "program", (target,), is_fixed=same)
    for name, title in _FOLDERS.items():
        if (made / name).exists():
            target = f"{suite}-{name}"
            shutil.copytree(made / name, folder / target)
            plugins = sorted((folder / target / "lib").glob("*.so"))
            modules = tuple((None, str(path.relative_to(folder))) for path in plugins)
            command = (f"{target}/bin/program",)
            yield Sample(f"{title}, made on {suite}", target, "program", command, {}, modules, is_fixed=fixed)


def _other_pythons(folder: Path) -> Iterable[Sample]:
    pbs = pbs_python()
    if pbs is not None:
        yield _python_prefix(folder, "python-build-standalone", pbs)
    pyenv = pyenv_python()
    if pyenv is not None:
        # All that pyenv built here, of the release lines that can open modules for the test.
        for prefix in sorted(pyenv.parent.glob("3.*")):
            if int(prefix.name.split(".")[1]) >= 8:
                yield _python_prefix(folder, f"self-built Python {prefix.name}", prefix)


def _python_prefix(folder: Path, name: str, prefix: Path) -> Sample:
    target = name.replace(" ", "-")
    (program,) = (path for path in (prefix / "bin").glob("python3.*[0-9]") if path.is_file() and not path.is_symlink())
    for part in ("bin", "lib"):
        shutil.copytree(prefix / part, folder / target / part, symlinks=True, ignore=_NOT_COPIED)
    modules = _dynload(folder, f"{target}/lib/{program.name}")
    command = _checking(f"{target}/bin/{program.name}")
    place = str(prefix) if name.startswith("self-built") else None
    return Sample(name, target, "program", command, {}, modules, probe="python", place=place, is_fixed=False)


def _foreign(folder: Path) -> Iterable[Sample]:
    emulator = shutil.which("qemu-aarch64-static")
    assert emulator is not None, "make fleet-test installs qemu-user-static"
    root = foreign_root("trixie", "arm64", Path(emulator))
    for name in ("bash", "perl"):
        target = f"aarch64-{name}"
        shutil.copy(root / "usr/bin" / name, folder / target)
        yield Sample(f"{name} of trixie for aarch64", target, "program", (target, "-e", "0"))


def _archives(folder: Path, samples: Sequence[Sample]) -> Iterable[Sample]:
    """Pack some of the folders: what is judged is the archive, what is started is what tar makes of it in the root."""
    by_path = {sample.path: sample for sample in samples}
    for path, ending in (("trixie-python", "tar"), ("bullseye-plugs", "tar.gz"), ("bookworm-strays", "tar.gz")):
        sample = by_path[path]
        archive = f"{path}.{ending}"
        subprocess.run(["tar", "-caf", archive, path], check=True, cwd=folder)
        yield replace(sample, name=f"{sample.name}, as {ending}", path=archive, is_archive=True)


def _zip_applications(folder: Path) -> Iterable[Sample]:
    for python in ("python3", "python3.13"):
        path = folder / f"{python}.pyz"
        with path.open("wb") as file:
            file.write(f"#!/usr/bin/env {python}\n".encode())
            with zipfile.ZipFile(file, "w") as archive:
                archive.writestr("__main__.py", "import json\n")
        path.chmod(0o755)
        yield Sample(f"zip application for {python}", path.name, "program", (path.name,))


def _wheels(folder: Path) -> Iterable[Sample]:
    seen: set[str] = set()
    for lock, python in _WHEELS.items():
        for path in sorted(wheels(lock, python).glob("*.whl")):
            if path.name not in seen and not path.name.startswith(_SLOW):
                seen.add(path.name)
                shutil.copy(path, folder)
                yield _wheel(folder, path.name)
    for suite, version in PYTHONS.items():
        made = compiled(suite)
        tag = f"cp{version.replace('.', '')}"
        fixed = suite != MOVING
        own = folder / f"{suite}-wheels"
        own.mkdir()
        for name, tags, built, member in (
            ("plain", f"{tag}-{tag}-linux_x86_64", "module.so", f"sample.cpython-{tag[2:]}-{_TRIPLE}.so"),
            ("stable", "cp39-abi3-linux_x86_64", "module-abi3.so", "sample.abi3.so"),
            ("promises", "cp39-abi3-manylinux_2_17_x86_64", "module-abi3.so", "sample.abi3.so"),
        ):
            path = write_wheel(own, f"{suite}_{name}", tags, made / built, member)
            yield _wheel(folder, f"{suite}-wheels/{path.name}", fixed=fixed)
    own = folder / "trixie-wheels"
    module = compiled("trixie") / "module-abi3.so"
    for name, tags, requires in (
        ("honest", "cp39-abi3-manylinux_2_38_x86_64", None),
        ("musl", "cp39-abi3-musllinux_1_2_x86_64", None),
        ("arm", "cp39-abi3-manylinux_2_17_aarch64", None),
        ("newer", "cp39-abi3-manylinux_2_17_x86_64", ">=3.13"),
        ("older", "py3-none-manylinux_2_17_x86_64", "<3.10"),
        ("either", "cp39-abi3-manylinux_2_38_x86_64.musllinux_1_2_x86_64", None),
        ("threads", "cp313-cp313t-manylinux_2_17_x86_64", None),
        ("macintosh", "cp39-abi3-macosx_11_0_arm64", None),
    ):
        path = write_wheel(own, name, tags, module, "sample.abi3.so", requires=requires)
        yield _wheel(folder, f"trixie-wheels/{path.name}")


_INSTALLED_AT: Mapping[str, Callable[[str], str]] = {
    "purelib": lambda rest: rest,
    "platlib": lambda rest: rest,
    "scripts": lambda rest: f"bin/{rest}",
}


def _wheel(folder: Path, path: str, *, fixed: bool = True) -> Sample:
    modules: list[tuple[str | None, str]] = []
    programs: list[str] = []
    with zipfile.ZipFile(folder / path) as archive:
        for member in archive.namelist():
            data = archive.read(member)
            if not _is_elf(data):
                continue
            place = member
            top, _, rest = member.partition("/")
            if top.endswith(".data"):
                scheme, _, below = rest.partition("/")
                place = _INSTALLED_AT[scheme](below)
            if ".so" in PurePosixPath(place).name:
                modules.append((_module_name(place, data), place))
            else:
                programs.append(place)
    name = Path(path).name
    return Sample(name, path, "wheel", modules=tuple(modules), programs=tuple(programs), is_fixed=fixed)


def readelf(path: Path, *options: str) -> str:
    """Return what readelf says of a file; the oracle of what the kernel reads before any loader runs."""
    return subprocess.run(["readelf", "--wide", *options, str(path)], check=True, capture_output=True, text=True).stdout
