"""Compiles the interpreter of the bundle: CPython with what the agent needs of it, linked into one program.

What is compiled is kept by what it was made from, so that a second bundle compiles nothing. For another architecture
than this machine's, CPython needs itself running here to write its frozen modules; that one is made first.
"""

from __future__ import annotations

import hashlib
import os
import platform
import shutil
import tempfile
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from release.errors import ReleaseError
from release.sources import Archive, unpack
from release.toolchain import Toolchain, run

HERE = Path(__file__).parent
LAUNCHER = HERE / "launcher.c"

LEFT_OUT = (
    # Another copy of OpenSSL is what the bundle must not be: gRPC and cryptography bring theirs.
    *("_ssl", "_hashlib"),
    # Libraries, databases and terminals that the agent has no use for.
    *("_ctypes", "_curses", "_curses_panel", "_dbm", "_gdbm", "_sqlite3", "_tkinter", "_uuid", "readline"),
    *("pyexpat", "_elementtree", "_decimal", "_zoneinfo", "cmath", "syslog"),
    # Encodings of East Asia other than Unicode.
    *("_codecs_cn", "_codecs_hk", "_codecs_iso2022", "_codecs_jp", "_codecs_kr", "_codecs_tw", "_multibytecodec"),
    # Processes, other interpreters, profiling.
    *("_multiprocessing", "_posixshmem", "_interpreters", "_interpchannels", "_interpqueues", "_lsprof"),
    # CPython's own tests and examples.
    *("_ctypes_test", "_testbuffer", "_testcapi", "_testclinic", "_testclinic_limited", "_testexternalinspection"),
    *("_testimportmultiple", "_testinternalcapi", "_testlimitedcapi", "_testmultiphase", "_testsinglephase"),
    *("_xxtestfuzz", "xxlimited", "xxlimited_35", "xxsubtype"),
)
"""The extension modules that are not compiled; all others are linked into the program."""

FLAGS = "-fno-sanitize=undefined -fPIE -fstack-protector-strong -g0 -O2"
XZ_OPTIONS = (
    *("--disable-shared", "--enable-static", "--with-pic", "--enable-threads=no"),
    *("--disable-xz", "--disable-xzdec", "--disable-lzmadec", "--disable-lzmainfo", "--disable-lzma-links"),
    *("--disable-scripts", "--disable-doc", "--disable-nls", "--disable-symbol-versions"),
    *("--disable-microlzma", "--disable-lzip-decoder"),
)
_ZLIB = ("adler32", "compress", "crc32", "deflate", "inffast", "inflate", "inftrees", "trees", "uncompr", "zutil")
_BZIP2 = ("blocksort", "bzlib", "compress", "crctable", "decompress", "huffman", "randtable")

LICENCES = {
    "cpython": ("LICENSE",),
    "zlib": ("LICENSE", "README"),
    "bzip2": ("LICENSE",),
    "xz": ("COPYING", "COPYING.0BSD"),
}
"""The files of each source that hold its licence; those that are there are put into the bundle."""


@dataclass(frozen=True, slots=True)
class Interpreter:
    """What was compiled: the agent's program, and beside it what a bundle is laid out from."""

    folder: Path
    version: str
    arch: str

    @property
    def program(self) -> Path:
        """The program that becomes ``bin/libcensus-agent``."""
        return self.folder / "libcensus-agent"

    @property
    def python(self) -> Path:
        """The same CPython with its usual main program, for steps of the build; not there for another architecture."""
        return self.folder / "bin" / "python"

    @property
    def stdlib(self) -> Path:
        """The standard library as the source has it."""
        return self.folder / "lib" / f"python{self.minor}"

    @property
    def minor(self) -> str:
        """``X.Y``."""
        return ".".join(self.version.split(".")[:2])


def compile_interpreter(archives: dict[str, Archive], toolchain: Toolchain, cache: Path) -> Interpreter:
    """Return the interpreter for the toolchain's architecture, compiled when the cache does not hold it.

    ``archives`` has a source for each part: cpython, zlib, bzip2, xz. Raises ReleaseError with the end of the log.
    """
    version = archives["cpython"].source.version
    native = None
    if toolchain.arch != platform.machine():
        here = Toolchain(toolchain.zig, toolchain.version, platform.machine(), toolchain.cache, toolchain.epoch)
        native = compile_interpreter(archives, here, cache)
    kept = cache / "interpreters" / _recipe(archives, toolchain)
    if not (kept / "complete").exists():
        print(f"  compiling CPython {version} for {toolchain.arch} (minutes, once)", flush=True)
        shutil.rmtree(kept, ignore_errors=True)
        kept.mkdir(parents=True)
        with tempfile.TemporaryDirectory(prefix="libcensus-bundle-", dir=cache) as work:
            _Build(archives, toolchain, Path(work), kept, None if native is None else native.python).run()
        (kept / "complete").touch()
    return Interpreter(kept, version, toolchain.arch)


def _recipe(archives: dict[str, Archive], toolchain: Toolchain) -> str:
    """Return the name of what is made from these sources by this code and compiler."""
    digest = hashlib.sha256()
    for part in (Path(__file__), LAUNCHER, HERE / "toolchain.py"):
        digest.update(hashlib.sha256(part.read_bytes()).digest())
    for name, archive in sorted(archives.items()):
        digest.update(f"{name} {archive.source.version} {archive.source.sha256}\n".encode())
    digest.update(f"{toolchain.version} {toolchain.arch} {toolchain.epoch}".encode())
    return f"{archives['cpython'].source.version}-{toolchain.arch}-{digest.hexdigest()[:16]}"


class _Build:
    """One compilation in a folder of its own."""

    def __init__(
        self, archives: dict[str, Archive], toolchain: Toolchain, work: Path, target: Path, native: Path | None
    ) -> None:
        self._archives = archives
        self._toolchain = toolchain
        self._work = work
        self._target = target
        self._native = native
        self._parts = work / "parts"
        self._jobs = os.cpu_count() or 1

    def run(self) -> None:
        """Compile the parts while CPython is configured, then CPython; what the bundle needs is kept."""
        folders = {name: unpack(archive, self._work) for name, archive in self._archives.items()}
        (self._parts / "include").mkdir(parents=True)
        (self._parts / "lib").mkdir()
        # Configuring CPython only runs the compiler on small files, one after the other: the parts fit beside it.
        with ThreadPoolExecutor(2) as pool:
            configuring = pool.submit(self._configure, folders["cpython"])
            parts = pool.submit(self._compile_parts, folders)
            parts.result()
            configuring.result()
        self._compile(folders["cpython"])
        self._keep(folders)

    def _log(self, name: str) -> Path:
        return self._target / f"{name}.log"

    def _step(self, name: str, command: list[str], folder: Path, **more: str) -> None:
        run(command, folder=folder, environment=self._toolchain.environment | more, log=self._log(name))

    def _compile_parts(self, folders: dict[str, Path]) -> None:
        self._compile_small("z", folders["zlib"], _ZLIB, ("zlib.h", "zconf.h"), "-DHAVE_UNISTD_H")
        self._compile_small("bz2", folders["bzip2"], _BZIP2, ("bzlib.h",), "-D_FILE_OFFSET_BITS=64")
        host = [f"--host={self._toolchain.triplet}", f"--build={platform.machine()}-pc-linux-gnu"]
        configure = ["./configure", "-q", *host, *XZ_OPTIONS, f"--prefix={self._parts}"]
        self._step("xz", configure, folders["xz"], CFLAGS=FLAGS)
        self._step("xz", ["make", "-s", "-C", "src/liblzma", "install"], folders["xz"])

    def _compile_small(
        self, library: str, folder: Path, units: tuple[str, ...], headers: tuple[str, ...], *options: str
    ) -> None:
        """Compile a library that needs no configuration."""
        compiler = [*self._toolchain.compiler.split(), *FLAGS.split(), *options, "-c"]
        for unit in units:
            self._step(library, [*compiler, f"{unit}.c", "-o", f"{unit}.o"], folder)
        archive = self._parts / "lib" / f"lib{library}.a"
        objects = [f"{unit}.o" for unit in units]
        self._step(library, [str(self._toolchain.zig), "ar", "rcsD", str(archive), *objects], folder)
        for header in headers:
            shutil.copy(folder / header, self._parts / "include")

    def _configure(self, folder: Path) -> None:
        settings = {f"py_cv_module_{name}": "n/a" for name in LEFT_OUT}
        for name, library in (("ZLIB", "z"), ("BZIP2", "bz2"), ("LIBLZMA", "lzma")):
            settings[f"{name}_CFLAGS"] = f"-I{self._parts}/include"
            settings[f"{name}_LIBS"] = f"-L{self._parts}/lib -l{library}"
        settings |= {"MODULE_BUILDTYPE": "static", "CFLAGS": FLAGS, "LDFLAGS": "-pie"}
        options = [
            "--prefix=/usr/libexec/libcensus-agent",
            *("--disable-shared", "--disable-test-modules", "--without-ensurepip", "--without-doc-strings"),
        ]
        if self._native is not None:
            options += [f"--build={platform.machine()}-pc-linux-gnu", f"--host={self._toolchain.triplet}"]
            options.append(f"--with-build-python={self._native}")
            # What cannot be tried without running it; so for glibc on Linux.
            settings |= {"ac_cv_file__dev_ptmx": "yes", "ac_cv_file__dev_ptc": "no"}
            settings |= {"ac_cv_buggy_getaddrinfo": "no"}
        self._step("cpython", ["./configure", "-q", *options], folder, **settings)

    def _compile(self, folder: Path) -> None:
        """Compile CPython with its own main program, and then once more link it with the agent's."""
        # The date in the version text is SOURCE_DATE_EPOCH's; zig refuses __DATE__ where it is not told so.
        make = ["make", "-s", f"-j{self._jobs}", "OPT=-DNDEBUG -Wno-date-time"]
        if self._native is None:
            self._step("cpython", [*make, "python"], folder)
            (self._target / "bin").mkdir()
            shutil.copy(folder / "python", self._target / "bin" / "python")
        shutil.copy(LAUNCHER, folder / "Programs" / "python.c")
        self._step("cpython", [*make, "LDFLAGS=-pie -s", "python"], folder)
        shutil.copy(folder / "python", self._target / "libcensus-agent")

    def _keep(self, folders: dict[str, Path]) -> None:
        source = folders["cpython"]
        minor = ".".join(self._archives["cpython"].source.version.split(".")[:2])
        stdlib = self._target / "lib" / f"python{minor}"
        shutil.copytree(source / "Lib", stdlib)
        # CPython's search for itself warns where this folder is not there.
        (stdlib / "lib-dynload").mkdir()
        shutil.copy(source / "Include" / "patchlevel.h", self._target)
        # What CPython's source itself brought along, with versions.
        shutil.copy(source / "Misc" / "sbom.spdx.json", self._target)
        for name, folder in folders.items():
            texts = [folder / text for text in LICENCES[name] if (folder / text).is_file()]
            if not texts:
                raise ReleaseError(f"the source of {name} holds none of {', '.join(LICENCES[name])}")
            place = self._target / "licenses" / name
            place.mkdir(parents=True)
            for text in texts:
                shutil.copyfile(text, place / text.name)
