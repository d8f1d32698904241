"""What the probes know of an interpreter while they put it together; the facts are made of it at the end."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from libcensus.facts.crypto import CryptoUse
from libcensus.facts.vocabulary import EnvironmentState, Implementation, Installer, Linkage, Provider

if TYPE_CHECKING:
    from collections.abc import Mapping

    from libcensus.agent.elf.reader import Elf
    from libcensus.agent.elf.strings import CryptoInFile
    from libcensus.agent.host import FileState, Root
    from libcensus.facts.evidence import Evidence
    from libcensus.facts.interpreter import Build, BuildFile
    from libcensus.facts.package import Package
    from libcensus.facts.vocabulary import EvidenceKind


@dataclass(frozen=True, slots=True)
class MainProgram:
    """Why a file is the main program of an interpreter: the kind of proof, and what was read.

    ``library`` is the DT_NEEDED entry of the library that holds the interpreter's code, absent where that is linked in;
    ``version`` is the language's ``X.Y`` and ``abiflags`` (``t``, ``d``, ``m``, of CPython) as far as the library's
    name or the file's own tells them. With ``is_certain`` false, a standard library that no other interpreter claims
    must stand beside it: programs that embed an interpreter export the same symbols.
    """

    arch: str
    kind: EvidenceKind
    detail: str
    library: str | None
    version: str | None
    abiflags: str
    is_certain: bool = True
    implementation: Implementation = Implementation.CPYTHON


@dataclass(frozen=True, slots=True)
class Candidate:
    """A file that is the main program of an interpreter: real path, state, and the proof."""

    path: str
    state: FileState
    program: MainProgram


@dataclass(frozen=True, slots=True)
class Layout:
    """Where the parts of an interpreter lie, absolute in the root; absent parts are None.

    ``prefix`` is what relative paths of the build start from, ``stdlib`` the folder of the standard library (of
    ``os.py``), ``library`` the shared library with the interpreter's code; ``version`` is the language's ``X.Y`` as the
    layout tells it. ``sysconfig`` holds the build's own variables, read as text from ``sysconfig_file``.

    ``modules`` are the standard extension modules, ``tls_modules`` those for TLS: the first is the one in use, and one
    that is not among ``modules`` was added by others. ``tls_places`` is where a TLS module would lie, all of which was
    looked at; empty where that is not known. ``tls_name`` is how the module is called.
    """

    prefix: str
    executable: str
    library: str | None
    stdlib: str | None
    version: str | None
    abiflags: str = ""
    sysconfig: Mapping[str, str] = field(default_factory=dict)
    sysconfig_file: str | None = None
    implementation: Implementation = Implementation.CPYTHON
    modules: tuple[str, ...] = ()
    tls_modules: tuple[str, ...] = ()
    tls_places: tuple[str, ...] = ()
    tls_name: str = "_ssl"
    evidence: tuple[Evidence, ...] = ()


@dataclass(frozen=True, slots=True)
class Subject:
    """What a provider looks at to say whether it built an interpreter."""

    root: Root
    layout: Layout
    needed: tuple[str, ...]
    package: Package | None


@dataclass(frozen=True, slots=True)
class Claim:
    """A provider's statement that it built an interpreter, with its own mark of the build and the proof.

    ``evidence`` is the install's (absolute files), ``build_evidence`` the build's (files relative to the prefix):
    what stands in the build's own files belongs to the build, what stands around them to the install. ``flags`` are
    the build's as far as only the provider says them.
    """

    provider: Provider
    provider_build: str | None = None
    flags: tuple[str, ...] = ()
    evidence: tuple[Evidence, ...] = ()
    build_evidence: tuple[Evidence, ...] = ()


@dataclass(frozen=True, slots=True)
class ReadFile:
    """One of an interpreter's files as it was read: its part of the build, its ELF facts, and its crypto marks.

    ``crypto`` is None where the marks were looked for and nothing was found, or where they were not looked for.
    ``is_tls`` marks the modules for TLS.
    """

    path: str
    fact: BuildFile
    elf: Elf
    crypto: CryptoInFile | None
    is_tls: bool = False


@dataclass(slots=True)
class Interpreter:
    """One base interpreter, filled by the interpreter probe and then the crypto probe.

    ``files`` starts with the executable; what others added (a TLS module of another package) is in it and not in the
    build.
    """

    layout: Layout
    path: str
    aliases: tuple[str, ...]
    package: Package | None
    build: Build
    installer: Installer
    files: tuple[ReadFile, ...]
    crypto: CryptoUse = field(default_factory=lambda: CryptoUse(Linkage.UNKNOWN))
    evidence: list[Evidence] = field(default_factory=list)


@dataclass(slots=True)
class Environment:
    """One virtual environment: its own executable, and the base that it leads to where it does."""

    path: str
    realpath: str
    base: str | None
    interpreter: Interpreter | None
    recorded_version: str | None
    installer: Installer
    aliases: tuple[str, ...]
    crypto: CryptoUse
    build: Build | None
    package: Package | None
    state: EnvironmentState = EnvironmentState.UNKNOWN
    evidence: list[Evidence] = field(default_factory=list)


UNKNOWN_PROVIDER = Claim(Provider.UNKNOWN)
