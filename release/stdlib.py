"""Chooses the modules of the standard library that the agent can import, and compiles what the bundle holds.

Run by the interpreter that the bundle is made of, for another version reads other sources and writes other byte code:

    python -I -S -B stdlib.py LIBRARY SITE-PACKAGES TARGET

Uses the standard library alone. Every import statement in the bundle's own files is followed, wherever it stands;
where it leads to something in :data:`CUT`, it ends there. Writes to standard output, as JSON, the modules that were
taken, and for each cut module who would import it.
"""

from __future__ import annotations

import ast
import json
import py_compile
import shutil
import sys
from pathlib import Path

START = (
    # What CPython itself imports at its start, and what is asked for by name and never by an import statement.
    *("abc", "codecs", "encodings", "encodings.aliases", "encodings.ascii", "encodings.idna", "encodings.latin_1"),
    *(
        "encodings.punycode",
        "encodings.utf_8",
        "encodings.utf_8_sig",
        "encodings.utf_16",
        "encodings.cp437",
        "io",
        "os",
    ),
    # What gRPC's compiled module imports, whose statements nobody can read.
    "pkgutil",
)

CUT = {
    "_ios_support": "another system",
    "asyncio.windows_events": "another system",
    "concurrent.futures.process": "the agent starts no process",
    "ctypes": "the agent loads no library; wanted on Windows alone",
    "doctest": "tests of texts",
    "pdb": "the debugger",
    "plistlib": "another system",
    "ssl": "its copy of OpenSSL would be one more: gRPC brings the TLS of all that is sent",
    "statistics": "of random's own test, and of benchmarks in protobuf",
    "timeit": "of benchmarks in protobuf",
    "unittest": "tests",
    "webbrowser": "the agent opens no page",
}
"""What is left out though a file of the bundle has an import statement for it, and why that one is never run."""

UNUSED_PACKAGES = ("cffi", "pycparser")
"""What others need to be built and the agent does not import: their import statements are not followed."""


class Closure:
    """The modules of the library that can be reached."""

    def __init__(self, library: Path) -> None:
        self._library = library
        self._files: dict[str, tuple[Path, bool]] = {}
        self.cut: dict[str, set[str]] = {}

    @property
    def modules(self) -> dict[str, Path]:
        """The file of each module that was reached."""
        return {name: path for name, (path, _) in self._files.items()}

    def follow(self, path: Path, name: str, *, is_package: bool) -> None:
        """Follow every import statement of one file of the bundle, and of all that it leads to."""
        waiting = [(path, name, is_package)]
        while waiting:
            path, name, is_package = waiting.pop()
            for wanted in _imports(path, name, is_package=is_package):
                waiting += self._reach(wanted, name)

    def start(self, name: str) -> None:
        """Take a module that no import statement names."""
        for path, reached, is_package in self._reach(name, "start"):
            self.follow(path, reached, is_package=is_package)

    def _reach(self, wanted: str, by: str) -> list[tuple[Path, str, bool]]:
        """Take a module and the packages above it; returns those that are new."""
        new = []
        parts = wanted.split(".")
        for length in range(1, len(parts) + 1):
            name = ".".join(parts[:length])
            if name in CUT:
                self.cut.setdefault(name, set()).add(by)
                break
            if name in self._files:
                continue
            found = self._locate(name)
            if found is None:
                break
            self._files[name] = found
            new.append((found[0], name, found[1]))
        return new

    def _locate(self, name: str) -> tuple[Path, bool] | None:
        base = self._library.joinpath(*name.split("."))
        if (package := base / "__init__.py").is_file():
            return package, True
        module = base.with_name(f"{base.name}.py")
        return (module, False) if module.is_file() else None


def _imports(path: Path, name: str, *, is_package: bool) -> list[str]:
    """Return every module that a file's import statements may mean, packages and their attributes alike."""
    found = []
    for node in ast.walk(ast.parse(path.read_bytes(), str(path))):
        if isinstance(node, ast.Import):
            found += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                parts = name.split(".") if is_package else name.split(".")[:-1]
                parts = parts[: len(parts) - node.level + 1]
                base = ".".join([*parts, *([base] if base else [])])
            if base:
                found += [base, *(f"{base}.{alias.name}" for alias in node.names)]
    return found


def choose(library: Path, packages: Path) -> Closure:
    """Return what the packages can reach in the library."""
    closure = Closure(library)
    for name in START:
        closure.start(name)
    for path in sorted(packages.rglob("*.py")):
        relative = path.relative_to(packages).with_suffix("")
        if relative.parts[0] in UNUSED_PACKAGES:
            continue
        is_package = relative.name == "__init__"
        name = ".".join(relative.parts[:-1] if is_package else relative.parts)
        closure.follow(path, name, is_package=is_package)
    return closure


def compile_all(folder: Path, shown: str) -> None:
    """Compile every module below a folder; the byte code is never compared with its source again.

    Tracebacks show the files below ``shown``, wherever the bundle was made.
    """
    for path in sorted(folder.rglob("*.py")):
        try:
            py_compile.compile(
                str(path),
                dfile=f"{shown}/{path.relative_to(folder)}",
                doraise=True,
                invalidation_mode=py_compile.PycInvalidationMode.UNCHECKED_HASH,
            )
        except py_compile.PyCompileError as error:
            sys.exit(f"{path} cannot be compiled: {error.msg}")


def main() -> None:
    """Lay the chosen modules out in the target, and compile them and the packages that stand in it."""
    library, packages, target = (Path(argument) for argument in sys.argv[1:])
    closure = choose(library, packages)
    for path in closure.modules.values():
        place = target / path.relative_to(library)
        place.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(path, place)
    compile_all(target, target.name)
    json.dump(
        {
            "modules": sorted(closure.modules),
            "cut": {name: sorted(by) for name, by in sorted(closure.cut.items())},
        },
        sys.stdout,
        indent=1,
    )


if __name__ == "__main__":
    main()
