"""The checksum beside a document: which texts state one, and what a file on disk is compared with."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from libcensus.collector.advisories.checksum import (
    LARGEST_CHECKSUM,
    compare_beside,
    compare_checksum,
    read_checksum,
)
from libcensus.collector.advisories.feeds.reading import FeedFormatError
from libcensus.collector.errors import ConfigurationError

if TYPE_CHECKING:
    from pathlib import Path

DIGEST = hashlib.sha256(b"a document").hexdigest()
OTHER = hashlib.sha256(b"another").hexdigest()


@pytest.mark.parametrize(
    "text",
    [
        pytest.param(f"{DIGEST}  cve-2024-6119.json\n", id="Red Hat's"),
        pytest.param(f"{DIGEST} *cve-2024-6119.json\n", id="sha256sum of a binary file"),
        pytest.param(DIGEST, id="the digest alone"),
        pytest.param(f"{DIGEST}\n", id="the digest and the end of the line"),
        pytest.param(f"{DIGEST}  cve-2024-6119.json\r\n", id="lines that end as on Windows"),
        pytest.param(f"{DIGEST}\tcve-2024-6119.json", id="a tabulator"),
        pytest.param(f"{DIGEST.upper()}  cve-2024-6119.json\n", id="upper case"),
        pytest.param(f"{DIGEST}  2024/cve-2024-6119.json\n", id="a name with a folder"),
        pytest.param(f"{DIGEST}  " + "n" * (LARGEST_CHECKSUM - 67) + "\n", id="as long as may be"),
    ],
)
def test_a_checksum_is_its_first_word(text: str) -> None:
    assert read_checksum(text.encode(), "it.sha256") == DIGEST


@pytest.mark.parametrize(
    "content",
    [
        pytest.param(b"", id="nothing"),
        pytest.param(b"\n", id="an empty line"),
        pytest.param(DIGEST[:-1].encode(), id="a digit too few"),
        pytest.param(DIGEST.encode() + b"0  it\n", id="a digit too many"),
        pytest.param(b"g" + DIGEST[1:].encode(), id="no hexadecimal digit"),
        pytest.param(b"  " + DIGEST.encode(), id="the name first"),
        pytest.param(b"<!DOCTYPE html><title>Sign in</title>", id="a page of a proxy"),
        pytest.param(hashlib.md5(b"", usedforsecurity=False).hexdigest().encode() + b"  it\n", id="an MD5"),
        pytest.param(hashlib.sha512(b"").hexdigest().encode() + b"  it\n", id="a SHA-512"),
        pytest.param(f"SHA256 (it) = {DIGEST}\n".encode(), id="the BSDs' form"),
        pytest.param(f"{DIGEST}  one\n{OTHER}  two\n".encode(), id="a list of two"),
        pytest.param(b"\xff\xfe" + DIGEST.encode("utf-16-le"), id="UTF-16"),
        pytest.param("\u0661".encode() * 64, id="digits of another script"),
    ],
)
def test_anything_else_is_refused_with_what_stands_there(content: bytes) -> None:
    with pytest.raises(
        FeedFormatError, match=r"^it\.sha256: is no checksum: one line that begins with 64 hex"
    ) as caught:
        read_checksum(content, "it.sha256")
    assert repr(content.decode("utf-8", "replace")[:40]) in str(caught.value)


def test_a_checksum_that_is_too_large_is_refused() -> None:
    with pytest.raises(FeedFormatError, match=f"larger than {LARGEST_CHECKSUM} bytes"):
        read_checksum(DIGEST.encode() + b" " * LARGEST_CHECKSUM, "it.sha256")


@given(st.binary(max_size=200))
def test_whatever_stands_there_is_a_digest_or_refused(content: bytes) -> None:
    try:
        found = read_checksum(content, "it.sha256")
    except FeedFormatError:
        return
    assert bytes.fromhex(found) == bytes.fromhex(content[:64].decode())


@given(st.binary(), st.binary())
def test_a_document_passes_by_its_own_checksum_alone(document: bytes, other: bytes) -> None:
    stated = f"{hashlib.sha256(other).hexdigest()}  it\n".encode()
    found = hashlib.sha256(document).hexdigest()
    if document == other:
        compare_checksum(stated, "it.sha256", found, "it")
        return
    with pytest.raises(
        FeedFormatError, match=f"^it: has the SHA-256 {found}, where it.sha256 states {stated[:64].decode()}"
    ):
        compare_checksum(stated, "it.sha256", found, "it")


def test_a_file_is_compared_with_the_checksum_beside_it_where_there_is_one(tmp_path: Path) -> None:
    document, beside = tmp_path / "it.json", tmp_path / "it.json.sha256"
    assert compare_beside(document, DIGEST) is None
    beside.write_text(f"{DIGEST}  it.json\n")
    assert compare_beside(document, DIGEST) == "it.json.sha256"
    with pytest.raises(
        FeedFormatError, match=f"it.json: has the SHA-256 {OTHER}, where it.json.sha256 states {DIGEST}"
    ):
        compare_beside(document, OTHER)
    # What is larger than any checksum is not read to its end.
    beside.write_bytes(DIGEST.encode() + b" " * 10_000_000)
    with pytest.raises(FeedFormatError, match="is larger than"):
        compare_beside(document, DIGEST)
    beside.unlink()
    beside.mkdir()
    assert compare_beside(document, DIGEST) is None


def test_a_checksum_that_cannot_be_opened_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    beside = tmp_path / "it.json.sha256"
    beside.write_text(DIGEST)

    def refuse(*_arguments: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(type(beside), "open", refuse)
    with pytest.raises(ConfigurationError, match=r"it\.json\.sha256: cannot be read: Permission denied"):
        compare_beside(tmp_path / "it.json", DIGEST)
