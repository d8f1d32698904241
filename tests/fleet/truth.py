"""What a root really holds, told by running it: the oracle that the scan is compared with.

Nothing here shares a line with the product. Interpreters are found by what their file is called and that it is an ELF
file; each is run and asked for its version, for the OpenSSL that it uses and for the file that this came from
(``/proc/self/maps`` after its TLS module was loaded). Environments are found by their ``pyvenv.cfg``; the crypto copies
in them by importing the wheels, and by a plain search for OpenSSL's own build folder in every file.
"""

from __future__ import annotations

import json
import os
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tests.fleet.roots import run_inside

if TYPE_CHECKING:
    from collections.abc import Iterator

_NAMES = re.compile(r"(python|pypy|node|nodejs|ruby|perl|php)[\d.]*(-c|-(?:x86_64|aarch64)-linux-gnu)?")
_COPY_MARK = b'OPENSSLDIR: "'

_PYTHON = """
import json, platform, re, sys
version, openssl = platform.python_version(), None
try:
    import ssl, _hashlib
    openssl = ssl.OPENSSL_VERSION
except ImportError as error:
    openssl = None
maps = open("/proc/self/maps").read()
pypy = getattr(sys, "pypy_version_info", None)
print(json.dumps({
    "implementation": platform.python_implementation().lower(),
    "version": version if pypy is None else ".".join(map(str, pypy[:3])),
    "openssl": openssl,
    "mapped": sorted(set(re.findall(r"(/\\S*libcrypto[-.]\\S*)", maps))),
    "prefix": sys.prefix,
}))
"""
_NODE = """
require('tls');
const maps = require('fs').readFileSync('/proc/self/maps', 'utf8');
console.log(JSON.stringify({
  implementation: 'nodejs', version: process.versions.node, openssl: 'OpenSSL ' + process.versions.openssl,
  mapped: [...new Set(maps.match(/\\/\\S*libcrypto[-.]\\S*/g) || [])].sort(), prefix: null,
}));
"""
_RUBY = """
require 'openssl'
require 'json'
maps = File.read('/proc/self/maps')
puts JSON.generate('implementation' => 'ruby', 'version' => RUBY_VERSION, 'openssl' => OpenSSL::OPENSSL_LIBRARY_VERSION,
  'mapped' => maps.scan(%r{/\\S*libcrypto[-.]\\S*}).uniq.sort, 'prefix' => nil)
"""
_PERL = """
use JSON::PP;
my $openssl = eval { require Net::SSLeay; Net::SSLeay::SSLeay_version(0) };
local $/; open(my $file, '<', '/proc/self/maps') or die;
my %seen = map { $_ => 1 } (<$file> =~ m{(/\\S*libcrypto[-.]\\S*)}g);
my $version = sprintf('%vd', $^V);
print encode_json({implementation => 'perl', version => $version, openssl => $openssl,
  mapped => [sort keys %seen], prefix => undef});
"""
_PHP = """
preg_match_all('{/\\S*libcrypto[-.]\\S*}', file_get_contents('/proc/self/maps'), $found);
ob_start(); phpinfo(INFO_MODULES); preg_match('{OpenSSL Library Version => (.*)}', ob_get_clean(), $library);
$version = implode('.', [PHP_MAJOR_VERSION, PHP_MINOR_VERSION, PHP_RELEASE_VERSION]);
echo json_encode(['implementation' => 'php', 'version' => $version,
  'openssl' => $library[1] ?? null, 'mapped' => array_values(array_unique($found[0])), 'prefix' => null],
  JSON_UNESCAPED_SLASHES);
"""
_PROGRAMS = {
    "python": ("-E", "-s", "-c", _PYTHON),
    "pypy": ("-E", "-s", "-c", _PYTHON),
    "node": ("-e", _NODE),
    "nodejs": ("-e", _NODE),
    "ruby": ("-e", _RUBY),
    "perl": ("-e", _PERL),
    "php": ("-r", _PHP),
}

_COPIES = """
import ctypes, importlib, json, re, sys
texts, files = {}, {}
try:
    from cryptography.hazmat.backends.openssl import backend
    texts["cryptography"] = backend.openssl_version_text()
    for name in ("cryptography.hazmat.bindings._openssl", "cryptography.hazmat.bindings._rust"):
        try:
            files[name] = importlib.import_module(name).__file__
        except ImportError:
            pass
except ImportError:
    pass
shared = {}
try:
    import psycopg2
except ImportError:
    pass
for path in sorted(set(re.findall(r"(/\\S*libcrypto-\\S*)", open("/proc/self/maps").read()))):
    library = ctypes.CDLL(path)
    library.OpenSSL_version.restype = ctypes.c_char_p
    shared[path] = library.OpenSSL_version(0).decode()
try:
    import grpc._cython.cygrpc as cygrpc
    files["grpc"] = cygrpc.__file__
except ImportError:
    pass
print(json.dumps({"texts": texts, "files": files, "shared": shared}))
"""


def version_of(text: str | None) -> str | None:
    """Return the version in OpenSSL's own version text."""
    return None if text is None else text.split()[1]


@dataclass(frozen=True)
class TrueInterpreter:
    """One interpreter, as it speaks of itself; ``mapped`` is the libcrypto that it had loaded, if any."""

    path: str
    names: tuple[str, ...]
    implementation: str
    version: str
    openssl: str | None
    mapped: tuple[str, ...]
    copies: dict[str, TrueCopy]


@dataclass(frozen=True)
class TrueEnvironment:
    """One virtual environment; ``version`` is what its Python says now, ``None`` where it does not start."""

    folder: str
    realpath: str | None
    version: str | None
    openssl: str | None
    mapped: tuple[str, ...] = ()
    copies: dict[str, TrueCopy] = field(default_factory=dict)


@dataclass(frozen=True)
class TrueCopy:
    """One crypto copy in an environment or below an interpreter's prefix, with the wheel that brought it."""

    environment: str
    path: str
    family: str
    version: str | None
    linkage: str
    owner: tuple[str, str]


@dataclass(frozen=True)
class Truth:
    """All that the oracle knows of one root; ``marked`` are the files that hold the name of OpenSSL's build folder."""

    interpreters: dict[str, TrueInterpreter]
    environments: dict[str, TrueEnvironment]
    marked: frozenset[str]

    @property
    def copies(self) -> dict[str, TrueCopy]:
        """Every crypto copy that belongs to an environment or to the packages of an interpreter."""
        told = [one.copies for one in self.interpreters.values()] + [one.copies for one in self.environments.values()]
        return {path: copy for copies in told for path, copy in copies.items()}


def truth_of(root: Path) -> Truth:
    """Run everything in a root and return what it said."""
    listing = _files(root)
    interpreters = {one.path: one for one in _interpreters(root, listing, copies=True)}
    folders = sorted(path.rpartition("/")[0] for path in listing if path.endswith("/pyvenv.cfg"))
    environments = {folder: _environment(root, folder) for folder in folders}
    return Truth(interpreters, environments, frozenset(path for path in listing if _is_marked(root / path[1:])))


def interpreters_of(root: Path, *folders: str, emulator: str | None = None) -> list[TrueInterpreter]:
    """Run the interpreters below some folders of a root, without a look at the packages that they have."""
    listing = [path for folder in folders for path in _files(root, folder)]
    return list(_interpreters(root, listing, copies=False, emulator=emulator))


def _files(root: Path, top: str = "") -> list[str]:
    found = []
    start = f"{str(root).rstrip('/')}{top}"
    for folder, below, names in os.walk(start):
        at = folder.removeprefix(str(root).rstrip("/"))
        if not at:
            below[:] = [name for name in below if name not in ("proc", "sys", "dev")]
        found += [f"{at}/{name}" for name in names]
    return sorted(found)


def _is_regular(path: Path) -> bool:
    return path.is_file() and not path.is_symlink()


def _is_marked(path: Path) -> bool:
    return _is_regular(path) and _COPY_MARK in path.read_bytes()


def _interpreter_files(root: Path, listing: list[str]) -> list[tuple[str, ...]]:
    """Return the names of each ELF file that is called like an interpreter, outside the ``bin`` of environments."""
    by_file: dict[tuple[int, int], list[str]] = {}
    for path in listing:
        real = root / path[1:]
        if not _NAMES.fullmatch(real.name) or not _is_regular(real) or not os.access(real, os.X_OK):
            continue
        if (real.parent.parent / "pyvenv.cfg").exists() or real.read_bytes()[:4] != b"\x7fELF":
            continue
        status = real.stat()
        by_file.setdefault((status.st_dev, status.st_ino), []).append(path)
    return [tuple(names) for names in by_file.values()]


def _interpreters(
    root: Path, listing: list[str], *, copies: bool, emulator: str | None = None
) -> Iterator[TrueInterpreter]:
    for names in _interpreter_files(root, listing):
        yield _interpreter(root, names, copies=copies, emulator=emulator)


def _ask(root: Path, path: str, kind: str, emulator: str | None = None) -> dict[str, Any]:
    answer: dict[str, Any] = json.loads(run_inside(root, *_by(emulator), path, *_PROGRAMS[kind]))
    return answer


def _by(emulator: str | None) -> list[str]:
    return [] if emulator is None else [emulator]


def _interpreter(root: Path, names: tuple[str, ...], *, copies: bool, emulator: str | None = None) -> TrueInterpreter:
    match = _NAMES.fullmatch(Path(names[0]).name)
    assert match is not None
    said = _ask(root, names[0], match[1], emulator)
    mapped = tuple(said["mapped"])
    text = library_text(root, mapped[0], emulator) if mapped else said["openssl"]
    held = _copies(root, names[0], said["prefix"]) if copies and said["implementation"] == "cpython" else {}
    return TrueInterpreter(names[0], names, said["implementation"], said["version"], version_of(text), mapped, held)


def library_text(root: Path, path: str, emulator: str | None = None) -> str:
    """Return the version text that a shared libcrypto gives when it is called."""
    script = (
        f"import ctypes; f = ctypes.CDLL({path!r}).OpenSSL_version; f.restype = ctypes.c_char_p; print(f(0).decode())"
    )
    return run_inside(root, *_by(emulator), "/usr/bin/python3", "-c", script)


def _environment(root: Path, folder: str) -> TrueEnvironment:
    python = f"{folder}/bin/python"
    try:
        said = _ask(root, python, "python")
    except AssertionError:
        return TrueEnvironment(folder, None, None, None)
    real = run_inside(root, "readlink", "-f", python).strip()
    mapped = tuple(said["mapped"])
    text = library_text(root, mapped[0]) if mapped else said["openssl"]
    copies = _copies(root, python, folder) if said["implementation"] == "cpython" else {}
    return TrueEnvironment(folder, real, said["version"], version_of(text), mapped, copies)


def _copies(root: Path, python: str, home: str) -> dict[str, TrueCopy]:
    said = json.loads(run_inside(root, python, "-I", "-c", _COPIES))
    wheels = json.loads(
        run_inside(
            root,
            python,
            "-I",
            "-c",
            "import json; from importlib.metadata import distributions as d;"
            "print(json.dumps({x.metadata['Name']: x.version for x in d()}))",
        )
    )
    copies = {}
    for name, path in said["files"].items():
        if not path.startswith(f"{home}/"):
            continue
        if name == "grpc":
            copies[path] = TrueCopy(home, path, "boringssl", None, "static", ("grpcio", wheels["grpcio"]))
        elif _is_marked(root / path[1:]):
            version = version_of(said["texts"]["cryptography"])
            copies[path] = TrueCopy(home, path, "openssl", version, "static", ("cryptography", wheels["cryptography"]))
    for path, text in said["shared"].items():
        owner = ("psycopg2-binary", wheels["psycopg2-binary"])
        copies[path] = TrueCopy(home, path, "openssl", version_of(text), "bundled", owner)
    return copies
