"""Fetches one document over HTTPS to a file, within bounds, and only when the source has another one than last time.

HTTPS alone, on every redirect too, and certificates are always verified, by the system's authorities or those that
``SSL_CERT_FILE`` names. Proxies come from the usual variables. Where a server states the size or a checksum of what it
sends, that is compared: an answer that breaks off is never a short document.
"""

from __future__ import annotations

import base64
import hashlib
import http.client
import ssl
import time
import urllib.error
import urllib.parse
import urllib.request
import zlib
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from importlib.metadata import version
from typing import IO, TYPE_CHECKING, Any

from libcensus.collector.errors import FeedError, FeedIdentityError, FeedUnreachableError

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import date
    from email.message import Message
    from pathlib import Path

    from libcensus.collector.advisories.feeds.registry import Bounds

_CHUNK = 64 * 1024
_REDIRECTS = 5
_ABSENT = frozenset({404, 410})
_TOO_MANY = frozenset({403, 429})


@dataclass(frozen=True, slots=True)
class Patience:
    """How long a source may take: for each step of the network, and for a whole document."""

    step_seconds: float = 30.0
    total_seconds: float = 1800.0


@dataclass(frozen=True, slots=True)
class Fetched:
    """A document that was fetched: its size and SHA-256 as it lies on disk, and how the source knows it."""

    size: int
    sha256: str
    etag: str | None
    last_modified: str | None
    answered: str | None = None

    @property
    def changed(self) -> date | None:
        """The day of ``Last-Modified``, or of the answer by the source's own clock, where it says one."""
        return day_of_header(self.last_modified) or day_of_header(self.answered)


class AbsentDocumentError(FeedUnreachableError):
    """The source has no such document."""


def day_of_header(text: str | None) -> date | None:
    """Return the day of an HTTP date, absent where there is none that can be read."""
    if text is None:
        return None
    try:
        return parsedate_to_datetime(text).date()
    except (TypeError, ValueError):
        return None


class _SameScheme(urllib.request.HTTPRedirectHandler):
    max_redirections = _REDIRECTS

    def redirect_request(
        self, req: urllib.request.Request, fp: IO[bytes], code: int, msg: str, headers: Any, newurl: str
    ) -> urllib.request.Request | None:
        if urllib.parse.urlsplit(newurl).scheme != "https":
            raise FeedError(
                f"{req.full_url} sends to {newurl}, which is not HTTPS; set the address of the source itself"
            )
        return super().redirect_request(req, fp, code, msg, headers, newurl)


class Fetcher:
    """Fetches documents; ``context`` decides whom it trusts, the system's authorities without one."""

    def __init__(self, patience: Patience | None = None, context: ssl.SSLContext | None = None) -> None:
        self._patience = patience or Patience()
        context = context or ssl.create_default_context()
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        self._opener = urllib.request.OpenerDirector()
        for handler in (
            urllib.request.ProxyHandler(),
            urllib.request.HTTPSHandler(context=context),
            _SameScheme(),
            urllib.request.HTTPDefaultErrorHandler(),
            urllib.request.HTTPErrorProcessor(),
        ):
            self._opener.add_handler(handler)

    def fetch(
        self,
        url: str,
        target: Path,
        bounds: Bounds,
        *,
        etag: str | None = None,
        last_modified: str | None = None,
        progress: Callable[[int, int | None], None] | None = None,
    ) -> Fetched | None:
        """Write the document at an address to a file; None where the source says that it has not changed.

        Raises FeedError and its kinds, each naming the address and the remedy.
        """
        if urllib.parse.urlsplit(url).scheme != "https":
            raise FeedError(f"{url} is not fetched: only HTTPS is; import a file instead")
        headers = {
            "User-Agent": f"libcensus-collector/{version('libcensus-collector')}",
            "Accept-Encoding": "gzip",
            "Accept": "*/*",
        }
        if etag is not None:
            headers["If-None-Match"] = etag
        if last_modified is not None:
            headers["If-Modified-Since"] = last_modified
        request = urllib.request.Request(url, headers=headers)  # noqa: S310 - the scheme is checked above
        deadline = time.monotonic() + self._patience.total_seconds
        try:
            with self._opener.open(request, timeout=self._patience.step_seconds) as answer:
                return self._receive(answer, url, target, bounds, deadline, progress)
        except urllib.error.HTTPError as error:
            with error:
                if error.code == 304:
                    return None
                raise _refusal(url, error) from None
        except (urllib.error.URLError, OSError, http.client.HTTPException) as error:
            raise _failure(url, error) from error

    def _receive(
        self,
        answer: Any,
        url: str,
        target: Path,
        bounds: Bounds,
        deadline: float,
        progress: Callable[[int, int | None], None] | None,
    ) -> Fetched:
        headers: Message = answer.headers
        stated = headers.get("Content-Length", "")
        expected = int(stated) if stated.isascii() and stated.isdigit() else None
        if expected is not None and expected > bounds.packed:
            raise _too_large(url, bounds.packed)
        coding = headers.get("Content-Encoding", "identity").strip().lower()
        if coding not in {"identity", "gzip", "x-gzip", ""}:
            raise FeedError(f"{url} answers in the coding {coding!r}, which was not asked for")
        unpack = zlib.decompressobj(31) if "gzip" in coding else None
        received = size = 0
        sent, kept = hashlib.md5(usedforsecurity=False), hashlib.sha256()
        with target.open("wb") as file:
            while piece := answer.read(_CHUNK):
                received += len(piece)
                sent.update(piece)
                if received > bounds.packed:
                    raise _too_large(url, bounds.packed)
                if time.monotonic() > deadline:
                    raise FeedUnreachableError(
                        f"{url} took longer than {self._patience.total_seconds:g} s; try again later"
                    )
                data = piece if unpack is None else _unpacked(unpack, piece, url, bounds.unpacked - size)
                size += len(data)
                kept.update(data)
                file.write(data)
                if progress is not None:
                    progress(received, expected)
        if expected is not None and received != expected:
            raise FeedUnreachableError(f"{url} broke off after {received} of {expected} bytes; try again later")
        if unpack is not None and not unpack.eof:
            raise FeedUnreachableError(f"{url} broke off after {received} bytes; try again later")
        if received == 0:
            raise FeedError(f"{url} sent nothing; the last good state stays")
        _compare_checksum(headers, sent.digest(), url)
        return Fetched(size, kept.hexdigest(), headers.get("ETag"), headers.get("Last-Modified"), headers.get("Date"))


def _unpacked(unpack: Any, piece: bytes, url: str, room: int) -> bytes:
    try:
        data: bytes = unpack.decompress(piece, max(room, 0) + 1)
    except zlib.error as error:
        raise FeedUnreachableError(f"{url} sent what cannot be unpacked: {error}; try again later") from None
    if len(data) > room:
        raise FeedError(f"{url} unpacks to far more than this feed ever had; the last good state stays")
    return data


def _compare_checksum(headers: Message, digest: bytes, url: str) -> None:
    """Compare the checksum that the server states, if any: ``Content-MD5``, or the one of Google's storage."""
    stated = [headers.get("Content-MD5", "")]
    for line in headers.get_all("x-goog-hash") or []:
        stated += [part.strip()[4:] for part in line.split(",") if part.strip().startswith("md5=")]
    for text in filter(None, stated):
        if text.strip() != base64.b64encode(digest).decode():
            raise FeedUnreachableError(f"{url}: what arrived has not the checksum that the source states; try again")


def _size(limit: int) -> str:
    return f"{limit} bytes" if limit < 1024**2 else f"{limit / 1024**2:g} MiB"


def _too_large(url: str, limit: int) -> FeedError:
    return FeedError(
        f"{url} is larger than {_size(limit)}, several times what this feed ever had; the last good state "
        "stays; look at the address"
    )


def _refusal(url: str, error: urllib.error.HTTPError) -> FeedError:
    if error.code in _ABSENT:
        return AbsentDocumentError(
            f"{url} is not there (HTTP {error.code}); set its new address with --advisory-urls, or import a file"
        )
    if error.code in _TOO_MANY:
        return FeedUnreachableError(f"{url} refuses for now (HTTP {error.code}: {error.reason}); try again in an hour")
    return FeedUnreachableError(f"{url} answers HTTP {error.code}: {error.reason}; try again later")


def _failure(url: str, error: Exception) -> FeedError:
    """Return the error that a failure of the network is; the last good state stays in each case."""
    cause = error.reason if isinstance(error, urllib.error.URLError) else error
    if isinstance(cause, FeedError):
        return cause
    if isinstance(cause, ssl.SSLCertVerificationError):
        return FeedIdentityError(
            f"{url} does not prove who it is: {cause.verify_message}; name your proxy's authority with SSL_CERT_FILE"
        )
    if isinstance(cause, ssl.SSLError):
        return FeedIdentityError(f"{url}: no TLS connection: {cause.reason or cause}")
    if isinstance(cause, TimeoutError):
        return FeedUnreachableError(f"{url} does not answer in time; try again later, or import a file")
    if isinstance(cause, http.client.HTTPException):
        return FeedUnreachableError(f"{url} broke off: {type(cause).__name__}; try again later")
    text = getattr(cause, "strerror", None) or str(cause) or type(cause).__name__
    return FeedUnreachableError(
        f"{url} cannot be reached: {text}; look at the network and at https_proxy, or import a file"
    )
