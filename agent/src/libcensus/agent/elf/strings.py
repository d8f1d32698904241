"""Finds the copy of OpenSSL, LibreSSL, BoringSSL or AWS-LC that a file holds, in one pass over its bytes.

Symbols prove nothing: a stripped library with OpenSSL inside exports none of them. A version text proves nothing
either: every program that was compiled against OpenSSL carries one. So this module gathers several marks and judges
them together. It refuses to tell a version that only the compiler's headers said, and it refuses to take the name of a
product for its presence.

What the marks are, and why each proves what it does:

* ``OpenSSL 3.0.13 30 Jan 2024``: the text of ``opensslv.h``; in the library, and in whatever was compiled with it.
* ``OPENSSLDIR: "``: answered by ``OpenSSL_version()`` (``crypto/info.c``, ``crypto/cversion.c``), so only the library
  itself has it; LibreSSL too. BoringSSL and AWS-LC answer ``OPENSSLDIR: n/a`` (``crypto/crypto.c``).
* ``crypto/evp/evp_enc.c``: where OpenSSL's errors were raised; it stays when a linker drops ``OpenSSL_version()``.
* ``…/boringssl/…/crypto/…``, ``…/aws-lc/crypto/…``: the same of the forks, whose trees carry their names.
* ``AWS-LC KEM method``: the name of a method table in AWS-LC's code; it stays where all else was dropped.
"""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

from libcensus.facts.vocabulary import CryptoFamily, EvidenceKind

if TYPE_CHECKING:
    from collections.abc import Callable

    from libcensus.agent.elf.reader import Elf

MAX_TEXTS = 64
"""Different texts of one kind that are kept with their place; all further ones are counted."""

MAX_HITS = 100_000
"""Occurrences of one word that are looked at; a file made of nothing else must not cost hours."""

_LOOK_BEHIND = 256
_LOOK_AHEAD = 128
_ENOUGH_SOURCES = 2

_MONTHS = rb"(?:Jan|Feb|Mar|Apr|May|Jun|Jul|Aug|Sep|Oct|Nov|Dec)"
_OPENSSL_TEXT = re.compile(
    rb"OpenSSL (\d{1,3}\.\d{1,3}\.\d{1,3}[a-z]{0,2}(?:-(?:alpha|beta|pre|dev)[0-9]{0,3})?)"
    rb"(?:-[0-9A-Za-z.]{1,24})?(?:\+[0-9A-Za-z.]{1,24})? {1,2}(?:FIPS )?"
    rb"(?:[ 0-3]?\d " + _MONTHS + rb" \d{4}|xx XXX xxxx)"
)
_COMPATIBLE_TEXT = re.compile(
    rb"OpenSSL \d\.\d\.\d \(compatible; (AWS-LC(?: FIPS)?|BoringSSL)(?:[ -](\d{1,4}(?:\.\d{1,4}){1,3}))?\)"
)
_LIBRESSL_TEXT = re.compile(rb"LibreSSL (\d{1,3}\.\d{1,3}\.\d{1,3}(?:-(?:alpha|beta|rc|dev)[0-9]{0,3})?)(?=\0)")
_AWS_LC_TEXT = re.compile(rb"AWS-LC(?: FIPS)? (\d{1,4}\.\d{1,4}\.\d{1,4})")
_AWS_LC_CODE = re.compile(rb"AWS-LC (?:KEM|PQ DSA) method")
_DIRECTORY = re.compile(rb'OPENSSLDIR: (?:"[^"\0]{0,96}"?|n/a)')
_PRINTABLE = re.compile(rb"[\x21-\x7e]*")
_SOURCE_NAME = re.compile(rb"[0-9A-Za-z_./+-]{1,96}?\.(?:cc|c|h|inc)(?![0-9A-Za-z_])")


class MarkKind(StrEnum):
    """What a text in a file is a mark of."""

    OPENSSL_TEXT = "openssl-text"
    OPENSSLDIR = "openssldir"
    FORK_DIRECTORY = "fork-directory"
    OPENSSL_SOURCE = "openssl-source"
    LIBRESSL_TEXT = "libressl-text"
    BORINGSSL_TEXT = "boringssl-text"
    BORINGSSL_SOURCE = "boringssl-source"
    BORINGSSL_NAME = "boringssl-name"
    AWS_LC_TEXT = "aws-lc-text"
    AWS_LC_SOURCE = "aws-lc-source"
    AWS_LC_CODE = "aws-lc-code"


@dataclass(frozen=True, slots=True)
class Mark:
    """One text, where it stands first, and the version that it tells."""

    kind: MarkKind
    text: str
    offset: int
    version: str | None = None


@dataclass(frozen=True, slots=True)
class ContentMarks:
    """What one pass over a file's bytes told: its digest, its size, and the marks of crypto libraries in it.

    ``marks`` holds each different text once, by offset; ``counts`` how often each kind occurred in all; ``saturated``
    names what occurred so often that the rest of it was passed over.
    """

    sha256: str
    size: int
    marks: tuple[Mark, ...] = ()
    counts: tuple[tuple[MarkKind, int], ...] = ()
    saturated: tuple[str, ...] = ()

    def of(self, kind: MarkKind) -> tuple[Mark, ...]:
        """Return the marks of one kind, by offset."""
        return tuple(mark for mark in self.marks if mark.kind is kind)

    def count(self, kind: MarkKind) -> int:
        """Return how often a kind occurred."""
        return dict(self.counts).get(kind, 0)


_Search = tuple[re.Pattern[bytes], int, tuple[bytes, ...]]

_SEARCHES: tuple[_Search, ...] = (
    (re.compile(rb"O(?:penSSL |PENSSLDIR: )"), 0, (b"OpenSSL ", b"OPENSSLDIR: ")),
    (re.compile(rb"oring[Ss][Ss][Ll]"), 0, (b"oringSSL", b"oringssl")),
    (re.compile(rb"WS-LC "), 1, (b"AWS-LC ",)),
    (re.compile(rb"LibreSSL "), 0, (b"LibreSSL ",)),
    (re.compile(rb"crypto/evp/"), 0, (b"crypto/evp/",)),
    (re.compile(rb"aws-lc/crypto/"), 0, (b"aws-lc/crypto/",)),
)
"""How the words are searched for: a pattern, how many bytes of the word stand before it, and the words that it finds.

A pattern costs one pass over all bytes of a host's libraries. These were measured: words that share a beginning cost
one pass together, and one that starts with a letter that is frequent in code is found by its rest.
"""

_LONGEST_WORD = 14


class CryptoScanner:
    """One streaming pass over a file's bytes: feed chunks of any size in order, then ask for the result once.

    Memory is bounded by the largest chunk and by :data:`MAX_TEXTS`; the result does not depend on how the bytes were
    cut into chunks. Without ``with_digest`` the result's digest is empty, and the pass a third shorter.
    """

    def __init__(self, *, with_digest: bool = True) -> None:
        self._digest = hashlib.sha256() if with_digest else None
        self._size = 0
        self._carried = b""
        self._done = 0
        self._marks: dict[tuple[MarkKind, str], Mark] = {}
        self._counts: dict[MarkKind, int] = {}
        self._kept: dict[MarkKind, int] = {}
        self._hits: dict[bytes, int] = {}
        self._searches = _SEARCHES
        self._handlers: dict[bytes, Callable[[bytes, int, int], None]] = {
            b"OpenSSL ": self._on_openssl,
            b"OPENSSLDIR: ": self._on_directory,
            b"crypto/evp/": self._on_evp_source,
            b"LibreSSL ": self._on_libressl,
            b"oringSSL": self._on_boringssl,
            b"oringssl": self._on_boringssl_path,
            b"AWS-LC ": self._on_aws_lc,
            b"aws-lc/crypto/": self._on_aws_lc_path,
        }

    def feed(self, chunk: bytes) -> None:
        """Take the next bytes of the file."""
        if self._digest is not None:
            self._digest.update(chunk)
        self._size += len(chunk)
        self._search(self._carried + chunk if self._carried else chunk, is_last=False)

    def result(self) -> ContentMarks:
        """Return what was found; nothing may be fed afterwards."""
        self._search(self._carried, is_last=True)
        marks = sorted(self._marks.values(), key=lambda mark: (mark.offset, mark.kind))
        saturated = sorted(word.decode() for word, hits in self._hits.items() if hits >= MAX_HITS)
        return ContentMarks(
            "" if self._digest is None else self._digest.hexdigest(),
            self._size,
            tuple(marks),
            tuple(sorted(self._counts.items())),
            tuple(saturated),
        )

    def _search(self, data: bytes, *, is_last: bool) -> None:
        """Judge every hit that has enough bytes after it; the others wait for the next chunk."""
        base = self._size - len(data)
        limit = len(data) if is_last else len(data) - _LOOK_AHEAD
        start = self._done - base
        if limit > start:
            for search in self._searches:
                at = start
                while (stopped := self._find(search, data, base, at, limit)) is not None:
                    at, search = stopped  # noqa: PLW2901 - the same search, without the word that is saturated
            self._done = base + limit
        self._carried = data[-(_LOOK_BEHIND + _LOOK_AHEAD) :]

    def _find(self, search: _Search, data: bytes, base: int, start: int, limit: int) -> tuple[int, _Search] | None:
        """Handle the hits of one search that start before ``limit``; where a word saturates, return how to go on."""
        pattern, before, _ = search
        # A hit counts by where it starts, so it may end behind the limit.
        for match in pattern.finditer(data, start + before, limit + _LONGEST_WORD):
            at = match.start() - before
            if at >= limit:
                return None
            word = data[at : match.end()]
            handle = self._handlers.get(word)
            if handle is None:
                continue
            hits = self._hits[word] = self._hits.get(word, 0) + 1
            handle(data, at, base)
            if hits >= MAX_HITS:
                rest = self._give_up(search, word)
                return None if rest is None else (at + 1, rest)
        return None

    def _give_up(self, search: _Search, word: bytes) -> _Search | None:
        """Search for a word no more: a file made of nothing else must not cost hours."""
        words = tuple(one for one in search[2] if one != word)
        rest = (re.compile(b"|".join(re.escape(one) for one in words)), 0, words) if words else None
        self._searches = tuple(
            changed for one in self._searches if (changed := rest if one is search else one) is not None
        )
        return rest

    def _note(self, kind: MarkKind, text: bytes, offset: int, version: bytes | None = None) -> None:
        self._counts[kind] = self._counts.get(kind, 0) + 1
        shown = text.decode("latin-1")
        if (kind, shown) not in self._marks and self._kept.get(kind, 0) < MAX_TEXTS:
            self._kept[kind] = self._kept.get(kind, 0) + 1
            self._marks[kind, shown] = Mark(kind, shown, offset, None if version is None else version.decode("ascii"))

    def _on_openssl(self, data: bytes, at: int, base: int) -> None:
        if match := _OPENSSL_TEXT.match(data, at):
            self._note(MarkKind.OPENSSL_TEXT, match[0], base + at, match[1])
        elif match := _COMPATIBLE_TEXT.match(data, at):
            kind = MarkKind.BORINGSSL_TEXT if match[1] == b"BoringSSL" else MarkKind.AWS_LC_TEXT
            self._note(kind, match[0], base + at, match[2])

    def _on_directory(self, data: bytes, at: int, base: int) -> None:
        if match := _DIRECTORY.match(data, at):
            is_fork = match[0].endswith(b": n/a")
            self._note(MarkKind.FORK_DIRECTORY if is_fork else MarkKind.OPENSSLDIR, match[0], base + at)

    def _source(self, data: bytes, at: int) -> tuple[bytes, int] | None:
        """Return the path of a source file around ``at`` and where it starts, if it is one."""
        match = _SOURCE_NAME.match(data, at)
        if match is None:
            return None
        reversed_before = data[max(0, at - _LOOK_BEHIND // 2) : at][::-1]
        before = reversed_before[: _PRINTABLE.match(reversed_before).end()][::-1]  # type: ignore[union-attr]
        return before + match[0], at - len(before)

    def _on_evp_source(self, data: bytes, at: int, base: int) -> None:
        found = self._source(data, at)
        if found is None or not found[0].endswith(b".c"):
            return
        path, start = found
        lowered = path.lower()
        if b"boringssl" in lowered or b"aws-lc" in lowered or b"libressl" in lowered:
            return
        self._note(MarkKind.OPENSSL_SOURCE, path[-96:], base + max(start, at + len(found[0]) - 96))

    def _on_libressl(self, data: bytes, at: int, base: int) -> None:
        if match := _LIBRESSL_TEXT.match(data, at):
            self._note(MarkKind.LIBRESSL_TEXT, match[0], base + at, match[1])

    def _on_boringssl(self, data: bytes, at: int, base: int) -> None:
        start = at - 1
        if start < 0 or data[start : start + 1] != b"B":
            return
        alone = data[at + 8 : at + 9] == b"\0" and (start == 0 or data[start - 1 : start] == b"\0")
        self._note(MarkKind.BORINGSSL_TEXT if alone else MarkKind.BORINGSSL_NAME, b"BoringSSL", base + start)

    def _on_boringssl_path(self, data: bytes, at: int, base: int) -> None:
        found = self._source(data, at)
        if found is None or not (b"/crypto/" in found[0] or b"/ssl/" in found[0]):
            self._note(MarkKind.BORINGSSL_NAME, b"boringssl", base + at - 1)
            return
        # What stands directly before the path may be other data: the path is told from its tree on.
        path = data[at - 1 : at] + _SOURCE_NAME.match(data, at)[0]  # type: ignore[index]
        self._note(MarkKind.BORINGSSL_SOURCE, path, base + at - 1)

    def _on_aws_lc(self, data: bytes, at: int, base: int) -> None:
        if match := _AWS_LC_TEXT.match(data, at):
            self._note(MarkKind.AWS_LC_TEXT, match[0], base + at, match[1])
        elif match := _AWS_LC_CODE.match(data, at):
            self._note(MarkKind.AWS_LC_CODE, match[0], base + at)

    def _on_aws_lc_path(self, data: bytes, at: int, base: int) -> None:
        if match := _SOURCE_NAME.match(data, at):
            self._note(MarkKind.AWS_LC_SOURCE, match[0], base + at)


class CryptoPresence(StrEnum):
    """How a crypto library shows in a file."""

    LIBRARY = "library"
    STATIC = "static"
    COMPILED_AGAINST = "compiled-against"


@dataclass(frozen=True, slots=True)
class CryptoProof:
    """One proof of what a file holds; the caller adds the file's name and makes it evidence."""

    kind: EvidenceKind
    detail: str
    offset: int | None = None


@dataclass(frozen=True, slots=True)
class CryptoInFile:
    """What one file's bytes say about crypto.

    ``presence`` is ``library`` for a shared library of its own, ``static`` for a copy inside something else, and
    ``compiled-against`` where no code of it is there. ``version`` is that of the code in the file: absent where the
    bytes do not tell it, and always where there is no code; ``compiled_against`` is the version in the headers of
    whoever compiled a file without a version of its own, never the one in use.
    """

    family: CryptoFamily
    version: str | None
    presence: CryptoPresence
    proofs: tuple[CryptoProof, ...]
    compiled_against: str | None = None

    @property
    def is_held(self) -> bool:
        """Whether the library's code is in the file."""
        return self.presence is not CryptoPresence.COMPILED_AGAINST


def is_crypto_soname(soname: str) -> bool:
    """Tell whether a soname is that of OpenSSL's libraries or their forks', also with a hash of auditwheel's in it."""
    return soname.startswith(("libcrypto.", "libcrypto-", "libcrypto_", "libssl.", "libssl-", "libssl_"))


def crypto_in_file(marks: ContentMarks, elf: Elf | None) -> CryptoInFile | None:
    """Judge which crypto library a file holds, or was only compiled against; None where nothing points to one.

    OpenSSL's own proof comes before its forks': a file that names BoringSSL and holds OpenSSL is OpenSSL.
    """
    if elf is not None and elf.defines("OSSL_provider_init"):
        # A provider module (fips.so, legacy.so) is a part of the library that loads it, not a copy beside it.
        return None
    is_library = elf is not None and elf.soname is not None and is_crypto_soname(elf.soname)
    held = CryptoPresence.LIBRARY if is_library else CryptoPresence.STATIC
    directories = marks.of(MarkKind.OPENSSLDIR)
    openssl, libressl = marks.of(MarkKind.OPENSSL_TEXT), marks.of(MarkKind.LIBRESSL_TEXT)
    sources = marks.of(MarkKind.OPENSSL_SOURCE)
    has_sources = len(sources) >= _ENOUGH_SOURCES
    if directories:
        texts, family = (
            (libressl, CryptoFamily.LIBRESSL) if libressl and not openssl else (openssl, CryptoFamily.OPENSSL)
        )
        if texts:
            # Where a file was also compiled against another version, the library's own text is the one beside the
            # other answers of the same function.
            own = min(texts, key=lambda mark: min(abs(mark.offset - one.offset) for one in directories))
            proofs = [own, directories[0], *(text for text in texts if text is not own)]
            return CryptoInFile(family, own.version, held, _proofs(proofs))
        if has_sources:
            return CryptoInFile(CryptoFamily.OPENSSL, None, held, _proofs([directories[0], *sources[:2]]))
    fork = _fork(marks, held)
    if fork is not None and fork.is_held:
        return fork
    if has_sources and (elf is None or not any(is_crypto_soname(name) for name in elf.needed)):
        note = CryptoProof(EvidenceKind.ABSENCE, "no OPENSSLDIR text: the linker dropped what tells the version")
        against = openssl[0].version if openssl else None
        return CryptoInFile(CryptoFamily.OPENSSL, None, held, (*_proofs(sources[:3]), note), against)
    if directories:
        return CryptoInFile(CryptoFamily.UNKNOWN, None, held, _proofs(directories[:1]))
    for texts, family in ((openssl, CryptoFamily.OPENSSL), (libressl, CryptoFamily.LIBRESSL)):
        if texts:
            note = CryptoProof(EvidenceKind.ABSENCE, "no OPENSSLDIR text: the library's own code is not in this file")
            return CryptoInFile(
                family, None, CryptoPresence.COMPILED_AGAINST, (*_proofs(texts), note), texts[0].version
            )
    return fork


def _fork(marks: ContentMarks, held: CryptoPresence) -> CryptoInFile | None:
    """Judge AWS-LC and BoringSSL; AWS-LC first, for its tree still carries names from BoringSSL, its ancestor."""
    directory = marks.of(MarkKind.FORK_DIRECTORY)
    aws_text = marks.of(MarkKind.AWS_LC_TEXT)
    aws_code, aws_sources = marks.of(MarkKind.AWS_LC_CODE), marks.of(MarkKind.AWS_LC_SOURCE)
    if len(aws_sources) >= _ENOUGH_SOURCES:
        aws_code += aws_sources
    boring_text, boring_code = marks.of(MarkKind.BORINGSSL_TEXT), marks.of(MarkKind.BORINGSSL_SOURCE)
    absence = CryptoProof(EvidenceKind.ABSENCE, "neither source names nor OPENSSLDIR: only the headers' text")
    if aws_text or aws_code:
        version = next((text.version for text in aws_text if text.version is not None), None)
        if aws_code or directory:
            proofs = _proofs([*aws_text[:2], *directory[:1], *aws_code[:2]])
            return CryptoInFile(CryptoFamily.AWS_LC, version, held, proofs)
        against = (*_proofs(aws_text[:2]), absence)
        return CryptoInFile(CryptoFamily.AWS_LC, None, CryptoPresence.COMPILED_AGAINST, against, version)
    if len(boring_code) >= _ENOUGH_SOURCES or (directory and boring_text):
        proofs = _proofs([*boring_text[:1], *directory[:1], *boring_code[:2]])
        return CryptoInFile(CryptoFamily.BORINGSSL, None, held, proofs)
    if directory:
        return CryptoInFile(CryptoFamily.UNKNOWN, None, held, _proofs(directory[:1]))
    compatible = [text for text in boring_text if text.text.startswith("OpenSSL ")]
    if compatible:
        against = (*_proofs(compatible[:1]), absence)
        return CryptoInFile(CryptoFamily.BORINGSSL, None, CryptoPresence.COMPILED_AGAINST, against)
    return None


def _proofs(marks: list[Mark] | tuple[Mark, ...]) -> tuple[CryptoProof, ...]:
    return tuple(CryptoProof(EvidenceKind.STRING, mark.text, mark.offset) for mark in marks)
