"""Reads the JSON of a scan back into what an artefact is judged against: the root's platform and its Pythons.

The file is what ``libcensus scan``, ``libcensus-agent scan`` or ``libcensus show`` print with ``--output json``
(docs/scan-json.md). It may come from another machine or another version, or be something else entirely: every error
names the file, the place in it and the remedy. Of a host with containers only the host's own root is read.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn, TypeVar

from libcensus.agent.document import SCHEMA_VERSION
from libcensus.cli.errors import ArgumentError
from libcensus.collector.posture.offer import PYTHONS, OfferedPython, folders_of, offered_python
from libcensus.facts.platform import Platform, PlatformLibrary
from libcensus.facts.validation import InvalidFactError
from libcensus.facts.vocabulary import Implementation, InstallKind, LibcFamily, LoaderKind

if TYPE_CHECKING:
    from collections.abc import Mapping
    from enum import StrEnum

_Value = TypeVar("_Value")
_Word = TypeVar("_Word", bound="StrEnum")

MAX_BYTES = 1 << 30
"""A scan with 10,000 installs and all their evidence has some 50 MB."""

_MAKE_ONE = "make one with `libcensus scan --output json`"


@dataclass(frozen=True, slots=True)
class ScannedHost:
    """What one scan says of one root, as far as portability asks."""

    hostname: str
    platform: Platform
    pythons: frozenset[OfferedPython]


def read_scan_file(path: str) -> ScannedHost:
    """Return what the file says; raises ArgumentError for what is no scan, or is one that cannot be understood."""
    scan = _Place(path, "", scan_document_of(path))
    try:
        return ScannedHost(
            hostname=scan.object("host").value("hostname", str),
            platform=_platform(scan.object("platform")),
            pythons=_pythons(scan),
        )
    except InvalidFactError as error:
        raise ArgumentError(f"{path}: {error}; the file is damaged: {_MAKE_ONE}") from None


def scan_document_of(path: str) -> dict[str, Any]:
    """Return the file's object; raises ArgumentError for what is no scan, or one of another version."""
    document = _load(path)
    if not isinstance(document, dict):
        raise ArgumentError(f"{path} holds JSON, but no scan: it must be one object; {_MAKE_ONE}")
    version = document.get("schema_version")
    if version != SCHEMA_VERSION:
        if version is None:
            raise ArgumentError(f"{path} holds JSON, but no scan: schema_version is missing; {_MAKE_ONE}")
        raise ArgumentError(
            f"{path}: schema_version is {version!r}, and this version of libcensus reads {SCHEMA_VERSION}; {_MAKE_ONE} "
            "of the same version as this command"
        )
    return document


def _load(path: str) -> Any:
    try:
        with Path(path).open("rb") as file:
            content = file.read(MAX_BYTES + 1)
    except OSError as error:
        raise ArgumentError(f"{path} cannot be read: {error.strerror}") from None
    if len(content) > MAX_BYTES:
        raise ArgumentError(f"{path} has more than {MAX_BYTES >> 20} MiB, which no scan has")
    try:
        return json.loads(content)
    except json.JSONDecodeError as error:
        where = f"line {error.lineno}, column {error.colno}"
        empty = "is empty" if not content.strip() else f"is not JSON: {error.msg} at {where}"
        raise ArgumentError(f"{path} {empty}; {_MAKE_ONE}") from None
    except (UnicodeDecodeError, RecursionError, ValueError) as error:
        told = "nested too deeply" if isinstance(error, RecursionError) else "no text in a Unicode encoding"
        raise ArgumentError(f"{path} is not JSON: {told}; {_MAKE_ONE}") from None


@dataclass(frozen=True, slots=True)
class _Place:
    """An object somewhere in the file, which knows where it stands."""

    file: str
    name: str
    content: Mapping[str, Any]

    def at(self, key: str) -> str:
        return f"{self.name}.{key}" if self.name else key

    def fail(self, key: str, problem: str) -> NoReturn:
        raise ArgumentError(f"{self.file}: {self.at(key)} {problem}; {_MAKE_ONE}")

    def value(self, key: str, kind: type[_Value]) -> _Value:
        if key not in self.content:
            self.fail(key, "is missing")
        value = self.content[key]
        # JSON's true is no number, whatever Python says.
        if not isinstance(value, kind) or isinstance(value, bool):
            self.fail(key, f"is {_shown(value)}, and not {_KINDS[kind]}")
        return value

    def optional(self, key: str, kind: type[_Value]) -> _Value | None:
        return None if self.content.get(key) is None else self.value(key, kind)

    def object(self, key: str) -> _Place:
        return _Place(self.file, self.at(key), self.value(key, dict))

    def objects(self, key: str) -> list[_Place]:
        found = []
        for number, item in enumerate(self.value(key, list)):
            if not isinstance(item, dict):
                self.fail(f"{key}[{number}]", f"is {_shown(item)}, and not {_KINDS[dict]}")
            found.append(_Place(self.file, f"{self.at(key)}[{number}]", item))
        return found

    def texts(self, key: str) -> tuple[str, ...]:
        items = self.value(key, list)
        for number, item in enumerate(items):
            if not isinstance(item, str):
                self.fail(f"{key}[{number}]", f"is {_shown(item)}, and not {_KINDS[str]}")
        return tuple(sorted(set(items)))

    def word(self, key: str, words: type[_Word], unknown: _Word) -> _Word:
        """Return a word of a vocabulary; one that this version does not know is unknown, as on the wire."""
        try:
            return words(self.value(key, str))
        except ValueError:
            return unknown


_KINDS: Mapping[type, str] = {str: "a text", int: "a number", list: "a list", dict: "an object"}


def _shown(value: object) -> str:
    text = json.dumps(value)
    return text if len(text) <= 40 else f"{text[:39]}…"


def _platform(place: _Place) -> Platform:
    libc = place.object("libc")
    libraries = place.object("libraries")
    sonames = {*place.texts("sonames"), *libraries.content}
    return Platform(
        arch=place.optional("arch", str),
        x86_64_level=place.optional("x86_64_level", int),
        kernel=place.optional("kernel", str),
        libc_family=libc.word("family", LibcFamily, LibcFamily.UNKNOWN),
        libc_version=libc.optional("version", str),
        loaders=place.texts("loaders"),
        libraries=tuple(
            PlatformLibrary(soname, libraries.texts(soname) if soname in libraries.content else ())
            for soname in sorted(sonames)
        ),
    )


def _pythons(scan: _Place) -> frozenset[OfferedPython]:
    """Return the Pythons of the scanned root itself; environments follow their bases."""
    root = scan.value("root", str)
    found: set[OfferedPython] = set()
    for install in scan.objects("installs"):
        implementation = install.word("implementation", Implementation, Implementation.UNKNOWN)
        version = install.optional("version", str)
        if (
            implementation not in PYTHONS
            or version is None
            or install.value("root", str) != root
            or install.value("kind", str) != InstallKind.BASE
            or install.content.get("requirement") is None
        ):
            continue
        need = install.object("requirement")
        kind = need.word("loader_kind", LoaderKind, LoaderKind.UNKNOWN)
        brought = need.texts("brought") if "brought" in need.content else ()
        flags = install.texts("flags")
        folders = folders_of((install.value("path", str), *install.texts("aliases")))
        arch = need.optional("arch", str)
        found.add(offered_python(implementation, version, flags, arch, {kind}, brought, folders))
    return frozenset(found)
