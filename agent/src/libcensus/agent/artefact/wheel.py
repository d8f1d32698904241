"""Reads what a wheel says of itself: the tags in its name and in WHEEL, Requires-Python, RECORD, and its variant.

Formats: PEP 427 and PEP 491 (wheels), PEP 425 (tags), PEP 376 (RECORD), core metadata, and PEP 817 (variants, a draft).
It refuses what an installer would: a name that is none of a wheel, a RECORD that does not fit. Where the tags of the
name and of WHEEL differ, as in some published wheels, the name counts, as it does for installers.
"""

from __future__ import annotations

import base64
import binascii
import csv
import hashlib
import io
import json
import re
from dataclasses import dataclass, field
from itertools import product
from typing import TYPE_CHECKING

from libcensus.agent.artefact.streams import printable
from libcensus.agent.errors import ArtefactError
from libcensus.facts.artefact import WheelTag
from libcensus.facts.validation import InvalidFactError

if TYPE_CHECKING:
    import zipfile
    from collections.abc import Iterable, Mapping

    from libcensus.agent.elf.reader import Source

SUFFIX = ".whl"
_FORM = "NAME-VERSION-PYTHON-ABI-PLATFORM.whl"
_TEXT_BYTES = 4 << 20
_RECORD_BYTES = 64 << 20
_MOST_TAGS = 10_000
_CHUNK = 1 << 20
_PART = re.compile(r"[A-Za-z0-9_.]+")
_LEVEL = re.compile(r"x86_64_v([2-4])(?![0-9])")
_UNHASHED = ("RECORD", "RECORD.jws", "RECORD.p7s")
_ALGORITHMS = ("sha256", "sha384", "sha512")
_SCHEMES = re.compile(r"[^/]+-[^/]+\.data/(purelib|platlib|scripts|data|headers)/(.+)", re.DOTALL)


@dataclass(frozen=True, slots=True)
class WheelName:
    """What the name of a wheel says; ``variant`` is the label of PEP 817, where there is one."""

    distribution: str
    version: str
    tags: frozenset[WheelTag]
    variant: str | None = None


def parse_name(name: str) -> WheelName:
    """Return what a wheel's file name says; raises ArtefactError for a name that installers would refuse."""
    parts = name.removesuffix(SUFFIX).split("-")
    if len(parts) > 5 and parts[2][:1].isdigit():
        del parts[2]
    variant = parts.pop() if len(parts) == 6 else None
    if not name.endswith(SUFFIX) or len(parts) != 5 or not all(parts):
        raise ArtefactError(
            "not-a-wheel-name", f"{name}: is no wheel's name; give it the one that it was built with ({_FORM})"
        )
    return WheelName(parts[0], parts[1], _tags(name, "-".join(parts[2:])), variant)


def _tags(place: str, text: str) -> frozenset[WheelTag]:
    """Return the tags of a compressed set: ``py2.py3-none-any`` is two."""
    sets = [part.split(".") for part in text.split("-")]
    count = 1
    for part in sets:
        count *= len(part)
    if len(sets) != 3 or count > _MOST_TAGS or not all(_PART.fullmatch(part) for parts in sets for part in parts):
        raise ArtefactError("not-a-wheel-tag", f"{place}: {text[:80]} is no tag of a wheel (PYTHON-ABI-PLATFORM)")
    try:
        return frozenset(WheelTag(*parts) for parts in product(*sets))
    except InvalidFactError as error:
        raise ArtefactError("not-a-wheel-tag", f"{place}: {error}") from None


@dataclass(slots=True)
class Wheel:
    """A wheel's own records; :meth:`check` compares an ELF file of it with RECORD."""

    place: str
    info: str
    tags: frozenset[WheelTag]
    requires_python: str | None
    x86_64_level: int | None
    warnings: tuple[str, ...]
    _record: Mapping[str, tuple[str, str] | None] = field(repr=False, default_factory=dict)

    def check(self, name: str, source: Source) -> None:
        """Compare a member with its line in RECORD; raises ArtefactError."""
        told = self._record.get(name)
        if told is None:
            raise ArtefactError(
                "broken-record",
                f"{self.place}: {self.info}/RECORD has no hash of {name}; build the wheel again",
            )
        digest = hashlib.new(told[0])
        offset = 0
        while chunk := source.read_at(offset, _CHUNK):
            digest.update(chunk)
            offset += len(chunk)
        if base64.urlsafe_b64encode(digest.digest()).rstrip(b"=").decode() != told[1]:
            raise ArtefactError(
                "broken-record",
                f"{self.place}: {name} is not the file of which {self.info}/RECORD has the hash; download or build "
                "the wheel again",
            )


def is_wheel(names: Iterable[str]) -> bool:
    """Tell whether an archive with these members is a wheel, whatever its own name."""
    return any(re.fullmatch(r"[^/]+\.dist-info/WHEEL", name) for name in names)


def read_wheel(archive: zipfile.ZipFile, place: str, name: str | None) -> Wheel:
    """Return the records of a wheel; ``name`` is its file name where it has one of a wheel.

    Raises ArtefactError for what no installer would take. ELF files are compared with RECORD later, one by one.
    """
    named = None if name is None else parse_name(name)
    members = {info.filename: info for info in archive.infolist()}
    info = _info_folder(members, place, named)
    header = _headers(_text(archive, members, f"{info}/WHEEL", place))
    metadata = _headers(_text(archive, members, f"{info}/METADATA", place))
    record = _read_record(archive, members, info, place)
    variant = f"{info}/variant.json"
    level = None
    if named is not None and named.variant is not None and variant in members:
        level = _variant_level(_text(archive, members, variant, place), named.variant)
    told: frozenset[WheelTag] = frozenset().union(
        *(_tags(f"{place}: {info}/WHEEL", tag) for tag in header.get("tag", ()))
    )
    if not told:
        raise ArtefactError("no-tags", f"{place}: {info}/WHEEL has no Tag; build the wheel again")
    warnings = []
    tags = told
    if named is not None:
        tags = named.tags
        if told != named.tags:
            warnings.append(
                f"the name says {_shown(named.tags)} and {info}/WHEEL {_shown(told)}; installers go by the name"
            )
    unlisted = sorted(
        name for name in members if name not in record and not name.endswith("/") and not _is_unhashed(name, info)
    )
    if unlisted:
        more = f" and {len(unlisted) - 1} more" if len(unlisted) > 1 else ""
        warnings.append(f"{info}/RECORD does not list {printable(unlisted[0])}{more}; strict installers refuse that")
    levels = [int(found) for tag in tags for found in _LEVEL.findall(tag.platform)]
    if level is not None:
        levels.append(level)
    python = next(iter(metadata.get("requires-python", ())), None)
    # Any one of the tags is enough, so the least of their levels is.
    return Wheel(place, info, tags, python or None, min(levels, default=None), tuple(warnings), record)


def location_of(name: str) -> str:
    """Return where an installer puts a member, below the prefix of an environment (PEP 427, ``.data`` folders)."""
    site = "lib/python3/site-packages"
    match = _SCHEMES.fullmatch(name)
    if match is None:
        return f"{site}/{name}"
    folders = {"scripts": "bin/", "data": "", "headers": "include/site/python3/"}
    return f"{folders.get(match[1], f'{site}/')}{match[2]}"


def _info_folder(members: Iterable[str], place: str, named: WheelName | None) -> str:
    folders = sorted({name.split("/", 1)[0] for name in members if re.match(r"[^/]+\.dist-info/", name)})
    if len(folders) > 1 and named is not None:
        wanted = f"{named.distribution}-{named.version}.dist-info".lower()
        folders = [folder for folder in folders if folder.lower() == wanted] or folders
    if len(folders) != 1:
        what = (
            "no .dist-info folder" if not folders else f"{len(folders)} .dist-info folders ({', '.join(folders[:3])})"
        )
        raise ArtefactError("not-a-wheel", f"{place}: has {what}, so it is no wheel; build the wheel again")
    return folders[0]


def _text(archive: zipfile.ZipFile, members: Mapping[str, zipfile.ZipInfo], name: str, place: str) -> str:
    return _bytes(archive, members, name, place, _TEXT_BYTES).decode("utf-8", "backslashreplace")


def _bytes(
    archive: zipfile.ZipFile, members: Mapping[str, zipfile.ZipInfo], name: str, place: str, limit: int
) -> bytes:
    info = members.get(name)
    if info is None:
        reason = "broken-record" if name.endswith("/RECORD") else "not-a-wheel"
        raise ArtefactError(reason, f"{place}: has no {name}; build the wheel again")
    if info.flag_bits & 1:
        raise ArtefactError("encrypted", f"{place}: {name} is encrypted; no wheel may be")
    with archive.open(info) as member:
        data = member.read(limit + 1)
    if len(data) > limit:
        raise ArtefactError("too-large", f"{place}: {name} has more than {limit} bytes; no real wheel has")
    return data


def _headers(text: str) -> dict[str, list[str]]:
    """Return the header fields by lower-case name; they end at the first empty line, and lines may be continued."""
    found: dict[str, list[str]] = {}
    for line in text.splitlines():
        if not line:
            break
        key, separator, value = line.partition(":")
        if separator and not line[0].isspace():
            found.setdefault(key.strip().lower(), []).append(value.strip())
    return found


def _read_record(
    archive: zipfile.ZipFile, members: Mapping[str, zipfile.ZipInfo], info: str, place: str
) -> dict[str, tuple[str, str] | None]:
    """Return the hash of each file in RECORD, by name; raises ArtefactError for one that does not fit the archive."""
    where = f"{info}/RECORD"
    text = _bytes(archive, members, where, place, _RECORD_BYTES).decode("utf-8", "surrogateescape")
    found: dict[str, tuple[str, str] | None] = {}
    try:
        rows = [row for row in csv.reader(io.StringIO(text, newline="")) if row]
    except csv.Error as error:
        raise ArtefactError("broken-record", f"{place}: {where}: {error}; build the wheel again") from None
    for number, row in enumerate(rows, 1):
        if len(row) != 3:
            raise ArtefactError(
                "broken-record",
                f"{place}: {where}: line {number} has {len(row)} fields instead of 3; build the wheel again",
            )
        name = row[0].removeprefix("./")
        if name not in members:
            if _is_unhashed(name, info):
                continue
            raise ArtefactError(
                "broken-record",
                f"{place}: {where} lists {printable(name)}, which is not in the wheel; download or build it again",
            )
        found[name] = _hash(row[1], f"{place}: {where}: line {number}") if row[1] else None
    return found


def _hash(text: str, place: str) -> tuple[str, str]:
    algorithm, _, value = text.partition("=")
    if algorithm not in _ALGORITHMS:
        raise ArtefactError(
            "broken-record", f"{place}: hash {text[:40]!r} is none of {', '.join(_ALGORITHMS)}; build the wheel again"
        )
    value = value.rstrip("=")
    try:
        base64.urlsafe_b64decode(value + "=" * (-len(value) % 4))
    except (binascii.Error, ValueError):
        raise ArtefactError("broken-record", f"{place}: {text[:40]!r} is no hash; build the wheel again") from None
    return algorithm, value


def _is_unhashed(name: str, info: str) -> bool:
    return name in {f"{info}/{one}" for one in _UNHASHED}


def _variant_level(text: str, label: str) -> int | None:
    """Return the x86-64 level that a wheel's variant asks for; of several that it can do with, the least."""
    try:
        values = json.loads(text)["variants"][label]["x86_64"]["level"]
        levels = [int(match[1]) for value in values if (match := re.fullmatch(r"v([1-4])", value))]
    except (ValueError, KeyError, TypeError, RecursionError):
        return None
    return min(levels, default=None)


def _shown(tags: Iterable[WheelTag]) -> str:
    texts = sorted(map(str, tags))
    return ", ".join(texts[:3]) + (f" and {len(texts) - 3} more" if len(texts) > 3 else "")
