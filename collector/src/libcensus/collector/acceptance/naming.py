"""The names by which OpenVEX documents speak of a fleet: URNs of hosts as products, and of things as subcomponents.

OpenVEX leaves the naming of products to whoever needs it, as long as it is an IRI. These are URNs (RFC 8141) of the
informal namespace ``libcensus``; characters that a URN does not take are percent-encoded.

    urn:libcensus:fleet                                 every host
    urn:libcensus:host:web-1                            a host by its display name or id
    urn:libcensus:label:env=prod,team!=web              hosts that a selector chooses
    urn:libcensus:build:sha256:<64 hexadecimal digits>  a build, on every host

and below a product, as a subcomponent:

    urn:libcensus:build:sha256:<64 hexadecimal digits>  that build on these hosts
    urn:libcensus:path:/usr/bin/python3.11              what lies at a path of the host's own root
    urn:libcensus:path:/usr/bin/python3?=root=NAME      what lies at a path of another root
    urn:libcensus:root:NAME                             everything in a root
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, TypeVar
from urllib.parse import unquote, unquote_to_bytes

from libcensus.collector.posture.acceptance import HOST_ROOT, HostScope, PlaceScope, Scope
from libcensus.collector.posture.selector import InvalidLabelError, Selector

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

_Read = TypeVar("_Read")

LONGEST = 8192
"""Characters that a name may have."""

_URN = re.compile(r"urn:libcensus:(?P<kind>[a-z]+)(?::(?P<rest>.+))?", re.IGNORECASE | re.DOTALL)
_BUILD = re.compile(r"sha256:([0-9a-f]{64})", re.IGNORECASE)
_BROKEN_ESCAPE = re.compile(r"%(?![0-9A-Fa-f]{2})")
_ROOT_PART = "?=root="

PRODUCTS = (
    "urn:libcensus:fleet, urn:libcensus:host:NAME, urn:libcensus:label:SELECTOR and urn:libcensus:build:sha256:DIGEST"
)
SUBCOMPONENTS = "urn:libcensus:build:sha256:DIGEST, urn:libcensus:path:/PATH[?=root=NAME] and urn:libcensus:root:NAME"


class UnknownNameError(ValueError):
    """A name of nothing that a statement can be about; the text says what is wrong, and what can be named."""


def parse_product(name: str) -> Scope:
    """Return what a product's name is about; raises UnknownNameError."""
    return _parse(name, _PRODUCT_READERS, PRODUCTS)


def parse_subcomponent(name: str) -> PlaceScope:
    """Return what a subcomponent's name is about; raises UnknownNameError."""
    return _parse(name, _PLACE_READERS, SUBCOMPONENTS)


def _parse(name: str, readers: Mapping[str, Callable[[str], _Read]], allowed: str) -> _Read:
    if len(name) > LONGEST:
        raise UnknownNameError(f"has {len(name)} characters; at most {LONGEST} are read")
    match = _URN.fullmatch(name)
    reader = None if match is None else readers.get(match["kind"].lower())
    if match is None or reader is None:
        raise UnknownNameError(f"{name[:200]!r} names nothing of a fleet; allowed are {allowed}")
    try:
        return reader(match["rest"] or "")
    except InvalidLabelError as error:
        raise UnknownNameError(f"{name[:200]!r}: {error}") from None
    except _ReadError as error:
        raise UnknownNameError(f"{name[:200]!r} {error}") from None


class _ReadError(ValueError):
    """What follows the kind of a name is not what that kind takes."""


def _decoded(text: str, what: str) -> str:
    if not text:
        raise _ReadError(f"names no {what}")
    if _BROKEN_ESCAPE.search(text):
        raise _ReadError("holds a % that no two hexadecimal digits follow; write %25 for the sign itself")
    try:
        decoded = unquote_to_bytes(text).decode()
    except UnicodeDecodeError:
        # A path may hold any bytes; the facts keep such ones as Python's file-system encoding does.
        decoded = unquote(text, errors="surrogateescape")
    if "\0" in decoded:
        raise _ReadError(f"holds a NUL, which no {what} does")
    return decoded


def _fleet(rest: str) -> Scope:
    if rest:
        raise _ReadError("says more than the fleet; urn:libcensus:fleet is every host")
    return Scope(HostScope())


def _host(rest: str) -> Scope:
    return Scope(HostScope(host=_decoded(rest, "host")))


def _label(rest: str) -> Scope:
    return Scope(HostScope(selector=Selector.parse(_decoded(rest, "label"))))


def _build(rest: str) -> PlaceScope:
    match = _BUILD.fullmatch(rest)
    if match is None:
        raise _ReadError("names no build: it is sha256: and 64 hexadecimal digits, as `libcensus show --explain` tells")
    return PlaceScope(build=match[1].lower())


def _path(rest: str) -> PlaceScope:
    text, found, root = rest.partition(_ROOT_PART)
    path = _decoded(text, "path")
    if not path.startswith("/"):
        raise _ReadError("names no absolute path: it begins with a slash, as seen inside its root")
    return PlaceScope(root=_decoded(root, "root") if found else HOST_ROOT, path=path)


def _root(rest: str) -> PlaceScope:
    return PlaceScope(root=_decoded(rest, "root"))


_PRODUCT_READERS: Mapping[str, Callable[[str], Scope]] = {
    "fleet": _fleet,
    "host": _host,
    "label": _label,
    "build": lambda rest: Scope(HostScope(), _build(rest)),
}
_PLACE_READERS: Mapping[str, Callable[[str], PlaceScope]] = {"build": _build, "path": _path, "root": _root}
