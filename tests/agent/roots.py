"""Builds small root file systems from a real compiler's files: a CPython in miniature, its modules, crypto libraries.

The files are real ELF with the needs, search paths and texts that matter; nothing in them is ever run.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pytest

from libcensus.agent.host import Root
from libcensus.agent.scan import Scan, scan
from libcensus.agent.settings import ScanSettings

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from libcensus.facts.interpreter import Build, Install

GCC = shutil.which("gcc")
needs_gcc = pytest.mark.skipif(GCC is None, reason="gcc is not installed")

MAIN = "extern int Py_BytesMain(int, char **);\nint main(int c, char **v) { return Py_BytesMain(c, v); }\n"
LIBPYTHON = "int Py_BytesMain(int c, char **v) { return c; }\nint Py_Main(void) { return 0; }\n"
MODULE = "extern int SSL_new(void);\nint PyInit__ssl(void) { return SSL_new(); }\n"
SSL = "extern int EVP_init(void);\nint SSL_new(void) { return EVP_init(); }\n"

SYSCONFIG = """# system configuration generated and used by the sysconfig module
build_time_vars = {{'ABIFLAGS': '',
 'CONFIG_ARGS': {arguments},
 'EXT_SUFFIX': '.cpython-399-x86_64-linux-gnu.so',
 'Py_DEBUG': 0,
 'prefix': '{prefix}'}}
"""


def crypto_source(text: str = "OpenSSL 9.8.7 1 Jan 2030", *, has_code: bool = True) -> str:
    """Return C source of a library with OpenSSL's marks: its version text and, with its code, OPENSSLDIR."""
    directory = 'const char *directory = "OPENSSLDIR: \\"/etc/ssl\\"";' if has_code else ""
    return f'const char *version = "{text}";\n{directory}\nint EVP_init(void) {{ return version[0]; }}\n'


def compile_c(target: Path, source: str, *arguments: str) -> Path:
    """Compile C source into ``target``."""
    target.parent.mkdir(parents=True, exist_ok=True)
    command = [str(GCC), "-x", "c", "-", "-x", "none", "-O0", "-o", str(target), *arguments]
    subprocess.run(command, input=source, text=True, check=True, capture_output=True)
    return target


def shared(target: Path, source: str, soname: str | None, *arguments: str) -> Path:
    """Compile a shared library."""
    name = [] if soname is None else [f"-Wl,-soname,{soname}"]
    return compile_c(target, source, "-shared", "-fPIC", "-nostdlib", *name, *arguments)


@dataclass(frozen=True)
class Python:
    """A CPython in miniature below ``prefix`` of a root folder."""

    top: Path
    prefix: str

    @property
    def folder(self) -> Path:
        """The prefix on this machine's disk."""
        return self.top / self.prefix.lstrip("/")

    @property
    def executable(self) -> Path:
        """The main program on this machine's disk."""
        return self.folder / "bin/python3.99"

    @property
    def dynload(self) -> Path:
        """The folder of the extension modules on this machine's disk."""
        return self.folder / "lib/python3.99/lib-dynload"

    @property
    def path(self) -> str:
        """The main program as seen in the root."""
        return f"{self.prefix.rstrip('/')}/bin/python3.99"

    def add_module(self, needed: Path, *arguments: str, name: str = "_ssl") -> Path:
        """Compile a TLS module that needs ``needed``, with the linker's ``arguments``."""
        target = self.dynload / f"{name}.cpython-399-x86_64-linux-gnu.so"
        return shared(target, MODULE, None, str(needed), "-Wl,--no-as-needed", *arguments)


def make_python(
    top: Path,
    prefix: str = "/opt/python",
    *,
    version: str | None = "3.99.1",
    arguments: str = "\"'--enable-shared'\"",
    configured: str | None = None,
    rpath: str = "$ORIGIN/../lib",
) -> Python:
    """Build a CPython in miniature: main program, libpython, landmark, header, build variables."""
    python = Python(top, prefix)
    library = shared(python.folder / "lib/libpython3.99.so.1.0", LIBPYTHON, "libpython3.99.so.1.0")
    compile_c(python.executable, MAIN, str(library), f"-Wl,-rpath,{rpath}")
    python.dynload.mkdir(parents=True)
    (python.folder / "lib/python3.99/os.py").write_text("")
    text = SYSCONFIG.format(arguments=arguments, prefix=configured or prefix)
    (python.folder / "lib/python3.99/_sysconfigdata__linux_x86_64-linux-gnu.py").write_text(text)
    if version is not None:
        include = python.folder / "include/python3.99"
        include.mkdir(parents=True)
        (include / "patchlevel.h").write_text(f'#define PY_VERSION  \t"{version}"\n')
    for name in ("python3", "python"):
        (python.folder / f"bin/{name}").symlink_to("python3.99")
    return python


def make_crypto(folder: Path, number: str = "9", **marks: object) -> tuple[Path, Path]:
    """Build libcrypto and a libssl that needs it."""
    text = str(marks.get("text", "OpenSSL 9.8.7 1 Jan 2030"))
    source = crypto_source(text, has_code=bool(marks.get("has_code", True)))
    crypto = shared(folder / f"libcrypto.so.{number}", source, f"libcrypto.so.{number}")
    ssl = shared(folder / f"libssl.so.{number}", SSL, f"libssl.so.{number}", str(crypto))
    return ssl, crypto


def add_dpkg(top: Path, packages: dict[str, tuple[str, str, tuple[str, ...]]]) -> None:
    """Write dpkg's records: name to (version, further fields, files)."""
    info = top / "var/lib/dpkg/info"
    info.mkdir(parents=True)
    paragraphs = []
    for name, (version, fields, files) in packages.items():
        (info / f"{name}.list").write_text("/.\n" + "".join(f"{file}\n" for file in files))
        paragraphs.append(
            f"Package: {name}\nStatus: install ok installed\nVersion: {version}\nArchitecture: amd64\n{fields}"
            "Description: a package\n with a body: of lines\n"
        )
    (top / "var/lib/dpkg/status").write_text("\n".join(paragraphs))


DEBIAN = "Maintainer: Debian Team <team@lists.debian.org>\n"
VENDOR = "Maintainer: Some Company <https://example.com/>\n"


def scan_folder(top: Path, **settings: object) -> Scan:
    """Scan a folder as a root."""
    with Root.open(str(top)) as root:
        return scan(root, ScanSettings(**settings))  # type: ignore[arg-type]


def only_install(found: Scan, path: str) -> tuple[Install, Build | None]:
    """Return the one install at a path, and its build."""
    installs = {install.path: install for install in found.installs.installs}
    assert path in installs, sorted(installs)
    install = installs[path]
    return install, None if install.build is None else found.builds[install.build]


def skips_of(found: Scan, probe: str) -> dict[str, int]:
    """Return what one probe passed over, by reason."""
    (result,) = [result for result in found.probes if result.name == probe]
    return {skip.reason: skip.count for skip in result.skips}


@contextmanager
def as_nobody() -> Iterator[None]:
    """Run a block without root's rights to read everything; does nothing for other users."""
    if os.geteuid() != 0:
        yield
        return
    os.setegid(65534)
    os.seteuid(65534)
    try:
        yield
    finally:
        os.seteuid(0)
        os.setegid(0)
