"""Reads the records of installed Python distributions: what brought a file, and which libraries it says it holds.

Pure: texts in, values out. The formats are the core metadata (PEP 566 and later), the database of installed projects
(PEP 376, PEP 627: ``RECORD``), the older ``egg-info``, and bills of materials in ``*.dist-info/sboms`` (PEP 770), in
CycloneDX's or SPDX's JSON. A bill is a statement, and never a proof: it is compared with the file. It refuses to take a
language's binding for the library: Rust's crate ``openssl`` 0.10 is no OpenSSL.
"""

from __future__ import annotations

import csv
import json
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from libcensus.agent.errors import UnreadableError
from libcensus.facts.vocabulary import CryptoFamily

if TYPE_CHECKING:
    from collections.abc import Iterator

MOST_COMPONENTS = 100_000
"""Components of one bill that are looked at; the largest that was seen names some thousand."""

MOST_LINES = 1000
"""Lines of one record that are parsed for one path; a real record names a file once."""

_SITE = re.compile(
    r"(?P<prefix>.*)/(?:lib|lib64|lib32)/(?:python\d[\d.]*[a-z]*|pypy\d[\d.]*)/(?:site|dist)-packages(?=/|\Z)"
)
_BARE_SITE = re.compile(r".*/(?:site|dist)-packages(?=/)")
_SEPARATORS = re.compile(r"[-_.]+")
_INFO = re.compile(r"(?P<name>.+?)(?:-(?P<version>[^-]+))?(?:-py\d[\d.]*(?:-[^-]+)*)?\.(?P<kind>dist-info|egg-info)")
_LANGUAGES = frozenset({"cargo", "composer", "gem", "golang", "maven", "npm", "nuget", "pypi", "hex", "swift"})
"""Types of package URLs whose packages are bindings or ports, named like the library that they bind."""

_PURL = re.compile(r"pkg:(?P<type>[a-zA-Z0-9.+-]+)/(?P<path>[^?#@]+)(?:@(?P<version>[^?#]+))?")
_FAMILIES = (
    (CryptoFamily.OPENSSL, re.compile(r"(?:compat-)?(?:lib)?openssl[\d._]*(?:-libs|-fips)?")),
    (CryptoFamily.OPENSSL, re.compile(r"lib(?:ssl|crypto)[\d.]*(?:t64)?")),
    (CryptoFamily.BORINGSSL, re.compile(r"boringssl")),
    (CryptoFamily.LIBRESSL, re.compile(r"libressl(?:-portable)?")),
    (CryptoFamily.AWS_LC, re.compile(r"aws-lc(?:-fips)?")),
)
_UPSTREAM = re.compile(r"(?:openssl[-_])?(\d+(?:[._]\d+)+[a-z]{0,2})", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Site:
    """A folder of installed distributions; ``prefix`` is that of the environment, where the layout tells it."""

    folder: str
    prefix: str | None


@dataclass(frozen=True, slots=True)
class BilledLibrary:
    """A crypto library that a bill of materials names.

    ``version`` is as the bill writes it, ``upstream`` the project's own part of it, ``package_url`` the full name;
    ``is_repackaged`` where the version is a distribution's, which may hold fixes that upstream's number does not tell.
    """

    family: CryptoFamily
    name: str
    version: str
    upstream: str | None
    package_url: str | None = None
    is_repackaged: bool = False


def site_of(path: str) -> Site | None:
    """Return the innermost folder of installed distributions that a path lies in."""
    match = _SITE.match(path)
    if match is not None and match.end() < len(path):
        return Site(match[0], match["prefix"] or "/")
    bare = _BARE_SITE.match(path)
    return None if bare is None else Site(bare[0], None)


def normal_name(name: str) -> str:
    """Return a distribution's name as it is compared (PEP 503)."""
    return _SEPARATORS.sub("-", name).lower()


def info_folders(names: list[str]) -> dict[str, str]:
    """Return the records among the names in a site folder (``….dist-info``, ``….egg-info``), by name as compared."""
    found = {}
    for name in names:
        if (match := _INFO.fullmatch(name)) is not None:
            found[name] = normal_name(match["name"])
    return found


def read_metadata(text: str) -> tuple[str, str | None] | None:
    """Return name and version of a ``METADATA`` or ``PKG-INFO``; None without a name."""
    values: dict[str, str] = {}
    for line in text.splitlines():
        if not line:
            break
        key, separator, value = line.partition(":")
        if separator and not key[:1].isspace():
            values.setdefault(key.lower(), value.strip())
    name = values.get("name")
    return (name[:256], values.get("version", "")[:128] or None) if name else None


def record_names(record: str, wanted: frozenset[str]) -> set[str]:
    """Return which of the paths (relative to the site folder) a ``RECORD`` names.

    Only lines that hold a path's text are parsed, the first :data:`MOST_LINES` for each path.
    """
    return {path for path in wanted if path and any(_first_field(line) == path for line in _lines_with(record, path))}


def _lines_with(record: str, text: str) -> Iterator[str]:
    at = record.find(text)
    for _ in range(MOST_LINES):
        if at < 0:
            return
        end = record.find("\n", at)
        end = len(record) if end < 0 else end
        yield record[record.rfind("\n", 0, at) + 1 : end]
        at = record.find(text, end)


def _first_field(line: str) -> str | None:
    try:
        row = next(csv.reader([line]), [])
    except csv.Error:
        return None
    return row[0].removeprefix("./") if row else None


def read_bill(content: bytes) -> tuple[BilledLibrary, ...]:
    """Return the crypto libraries that a bill of materials names with a version, each once.

    Raises UnreadableError (``damaged-sbom``) for what is no JSON.
    """
    try:
        document = json.loads(content)
    except (ValueError, RecursionError) as error:
        raise UnreadableError("damaged-sbom", f"is no JSON: {str(error)[:200]}") from None
    found: dict[BilledLibrary, None] = {}
    for name, version, package_url in _components(document):
        library = _library(name, version, package_url)
        if library is not None:
            found.setdefault(library)
    return tuple(found)


def _components(document: object) -> Iterator[tuple[str, str, str | None]]:
    """Yield name, version and package URL of the components of either format."""
    if not isinstance(document, dict):
        return
    pending = [document.get("components"), document.get("packages")]
    seen = 0
    while pending:
        items = pending.pop()
        for item in items if isinstance(items, list) else ():
            seen += 1
            if seen > MOST_COMPONENTS:
                return
            if not isinstance(item, dict):
                continue
            pending.append(item.get("components"))
            name = item.get("name")
            version = item.get("version", item.get("versionInfo"))
            if isinstance(name, str) and isinstance(version, str):
                yield name, version, _package_url(item)


def _package_url(item: dict[str, object]) -> str | None:
    told = item.get("purl")
    if isinstance(told, str):
        return told
    references = item.get("externalRefs")
    for reference in references if isinstance(references, list) else ():
        place = reference.get("referenceLocator") if isinstance(reference, dict) else None
        if isinstance(place, str) and place.startswith("pkg:"):
            return place
    return None


def _library(name: str, version: str, package_url: str | None) -> BilledLibrary | None:
    match = None if package_url is None else _PURL.match(package_url)
    kind = "" if match is None else match["type"].lower()
    if kind in _LANGUAGES:
        return None
    plain = name.rpartition("/")[2].lower()
    family = next((family for family, pattern in _FAMILIES if pattern.fullmatch(plain)), None)
    if family is None or not version:
        return None
    told = _UPSTREAM.match(version.partition(":")[2] or version)
    upstream = None if told is None else told[1].replace("_", ".")
    is_repackaged = kind not in ("", "generic", "github")
    shown = None if package_url is None else package_url[:512]
    return BilledLibrary(family, name[:128], version[:128], upstream, shown, is_repackaged)
