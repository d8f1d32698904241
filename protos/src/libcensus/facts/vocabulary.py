"""The field's words as enumerations; each value is how JSON, metrics and the terminal write it.

``UNKNOWN`` means that the agent could not tell, or that this program is older than the word. No code may treat it as
any of the other values.
"""

from __future__ import annotations

from enum import StrEnum


class Implementation(StrEnum):
    """Which interpreter a build is."""

    UNKNOWN = "unknown"
    CPYTHON = "cpython"
    PYPY = "pypy"
    NODEJS = "nodejs"
    RUBY = "ruby"
    PERL = "perl"
    PHP = "php"


class InstallKind(StrEnum):
    """Whether an install stands by itself or is a virtual environment of another one."""

    UNKNOWN = "unknown"
    BASE = "base"
    VENV = "venv"


class EnvironmentState(StrEnum):
    """How a virtual environment hangs on its base, and so what an upgrade of the base does to it.

    ``follows`` what its base is now, ``pinned`` to the patch release that it was made from, ``copied`` (its executable
    is its own for ever), or ``dangling`` (its interpreter leads to nothing).
    """

    UNKNOWN = "unknown"
    FOLLOWS = "follows"
    PINNED = "pinned"
    COPIED = "copied"
    DANGLING = "dangling"


class Provider(StrEnum):
    """Who built an interpreter; ``upstream`` is the interpreter's own project (nodejs.org, downloads of PyPy)."""

    UNKNOWN = "unknown"
    DISTRO = "distro"
    PBS = "pbs"
    PYENV = "pyenv"
    CONDA = "conda"
    DOCKER_OFFICIAL = "docker-official"
    PYPI = "pypi"
    NIX = "nix"
    SNAP = "snap"
    VENDOR = "vendor"
    SOURCE = "source"
    UPSTREAM = "upstream"


class Installer(StrEnum):
    """What put an install there and would update it."""

    UNKNOWN = "unknown"
    DPKG = "dpkg"
    RPM = "rpm"
    APK = "apk"
    PACMAN = "pacman"
    UV = "uv"
    RYE = "rye"
    HATCH = "hatch"
    MISE = "mise"
    PYENV = "pyenv"
    ASDF = "asdf"
    CONDA = "conda"
    PIP = "pip"
    VENDOR = "vendor"
    PIPX = "pipx"
    SNAP = "snap"
    NIX = "nix"


class CryptoFamily(StrEnum):
    """OpenSSL, or the product that stands in its place."""

    UNKNOWN = "unknown"
    OPENSSL = "openssl"
    LIBRESSL = "libressl"
    BORINGSSL = "boringssl"
    AWS_LC = "aws-lc"


class Linkage(StrEnum):
    """How an install reaches its crypto library."""

    UNKNOWN = "unknown"
    STATIC = "static"
    BUNDLED = "bundled"
    SYSTEM = "system"
    LOCAL = "local"
    NONE = "none"
    UNRESOLVED = "unresolved"


class LibcFamily(StrEnum):
    """Which C library a host or a file is made for."""

    UNKNOWN = "unknown"
    GLIBC = "glibc"
    MUSL = "musl"


class PackageOrigin(StrEnum):
    """Whether the distribution built a package, or a third party that only uses its package format."""

    UNKNOWN = "unknown"
    DISTRIBUTION = "distribution"
    VENDOR = "vendor"


class FileRole(StrEnum):
    """What a file does in a build: it must start, or only one module of many needs it."""

    UNKNOWN = "unknown"
    EXECUTABLE = "executable"
    LIBRARY = "library"
    MODULE = "module"


class LoaderKind(StrEnum):
    """Which dynamic loader a requirement asks for; ``none`` is a static file or a plain library."""

    UNKNOWN = "unknown"
    GLIBC = "glibc"
    MUSL = "musl"
    NONE = "none"
    OTHER = "other"


class ProbeState(StrEnum):
    """How a probe ended; nothing of its kind on the host is ``ok`` or ``skipped``, never ``failed``."""

    UNKNOWN = "unknown"
    OK = "ok"
    SKIPPED = "skipped"
    FAILED = "failed"


class EvidenceKind(StrEnum):
    """The kind of proof behind a fact."""

    UNKNOWN = "unknown"
    ELF_HEADER = "elf-header"
    ELF_NEEDED = "elf-needed"
    ELF_INTERPRETER = "elf-interpreter"
    ELF_SYMBOL = "elf-symbol"
    ELF_VERSION = "elf-version"
    ELF_NOTE = "elf-note"
    STRING = "string"
    TEXT_LINE = "text-line"
    PATH = "path"
    SYMLINK = "symlink"
    LOADER_CACHE = "loader-cache"
    LOADER_PATH = "loader-path"
    PACKAGE_RECORD = "package-record"
    ADVISORY = "advisory"
    RELEASE_TABLE = "release-table"
    KERNEL = "kernel"
    ABSENCE = "absence"
    CHANGELOG = "changelog"
    SBOM = "sbom"
    PROCESS = "process"
    MOUNT = "mount"
    RUNTIME_RECORD = "runtime-record"


class RootKind(StrEnum):
    """What a scanned tree is: the host itself, a folder on it, a container's file system, or an image in storage."""

    UNKNOWN = "unknown"
    HOST = "host"
    FOLDER = "folder"
    CONTAINER = "container"
    IMAGE = "image"


class ChangelogState(StrEnum):
    """Whether a package's own changelog can be believed to name all that was fixed.

    ``complete`` reaches back to the package's first entry, ``truncated`` was cut by who built the package,
    ``unreadable`` is there and damaged or too large, ``missing`` is not there.
    """

    UNKNOWN = "unknown"
    COMPLETE = "complete"
    TRUNCATED = "truncated"
    MISSING = "missing"
    UNREADABLE = "unreadable"


class MappingState(StrEnum):
    """Whether what a process has mapped is still what its path leads to."""

    UNKNOWN = "unknown"
    CURRENT = "current"
    DELETED = "deleted"
    REPLACED = "replaced"


class ArtefactKind(StrEnum):
    """What somebody wants to run or install, as it was given.

    A ``wheel-name`` is a wheel of which only the name is known: what its tags say, and nothing of its files.
    """

    UNKNOWN = "unknown"
    EXECUTABLE = "executable"
    SHARED_OBJECT = "shared-object"
    INTERPRETER = "interpreter"
    WHEEL = "wheel"
    WHEEL_NAME = "wheel-name"
    ENVIRONMENT = "environment"
    FOLDER = "folder"
    ARCHIVE = "archive"
    ZIPAPP = "zipapp"
