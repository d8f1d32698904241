"""What one pass over a file's bytes told, remembered while the file stays the same.

The pass is what a scan costs: the digest of a build's files, and the marks of crypto libraries in whatever may hold
one. Where the scan has an index, a file whose state is known is not read again.
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Any

from libcensus.agent.elf.strings import ContentMarks, CryptoScanner, Mark, MarkKind

if TYPE_CHECKING:
    from libcensus.agent.host import RootedFile

_MARKS = "marks"
_DIGEST = "digest"
_CRYPTO = "crypto"


def read_marks(file: RootedFile) -> ContentMarks:
    """Return a file's digest, size, and the marks of crypto libraries in it."""
    if (known := _recall(file, _MARKS)) is not None:
        return known
    scanner = CryptoScanner()
    for chunk in file.chunks():
        scanner.feed(chunk)
    return _keep(file, _MARKS, scanner.result())


def read_crypto_marks(file: RootedFile) -> ContentMarks:
    """Return the marks of crypto libraries in a file, and its size; the digest is empty where nobody needed it yet."""
    if (known := _recall(file, _MARKS) or _recall(file, _CRYPTO)) is not None:
        return known
    scanner = CryptoScanner(with_digest=False)
    for chunk in file.chunks():
        scanner.feed(chunk)
    return _keep(file, _CRYPTO, scanner.result())


def read_digest(file: RootedFile) -> ContentMarks:
    """Return a file's digest and size, without looking for marks."""
    if (known := _recall(file, _DIGEST)) is not None:
        return known
    digest = hashlib.sha256()
    size = 0
    for chunk in file.chunks():
        digest.update(chunk)
        size += len(chunk)
    return _keep(file, _DIGEST, ContentMarks(digest.hexdigest(), size))


def _keep(file: RootedFile, kind: str, marks: ContentMarks) -> ContentMarks:
    if file.index is not None and not file.has_changed():
        file.index.keep_content(file.state, kind, marks_to_json(marks))
    return marks


def _recall(file: RootedFile, kind: str) -> ContentMarks | None:
    if file.index is None:
        return None
    value = file.index.content(file.state, kind)
    try:
        return None if value is None else marks_from_json(value)
    except (ValueError, KeyError, TypeError):
        return None


def marks_to_json(marks: ContentMarks) -> list[Any]:
    """Return the marks as JSON keeps them."""
    return [
        marks.sha256,
        marks.size,
        [[mark.kind.value, mark.text, mark.offset, mark.version] for mark in marks.marks],
        [[kind.value, count] for kind, count in marks.counts],
        list(marks.saturated),
    ]


def marks_from_json(value: Any) -> ContentMarks:
    """Return the marks that :func:`marks_to_json` gave; raises ValueError, KeyError or TypeError for anything else."""
    sha256, size, marks, counts, saturated = value
    return ContentMarks(
        str(sha256),
        int(size),
        tuple(Mark(MarkKind(kind), str(text), int(offset), version) for kind, text, offset, version in marks),
        tuple((MarkKind(kind), int(count)) for kind, count in counts),
        tuple(str(needle) for needle in saturated),
    )
