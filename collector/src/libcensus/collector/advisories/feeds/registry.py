"""The official feeds: where each comes from, which reader reads it, how large it may be, and what it decides.

The addresses are the projects' own and can be changed with the setting ``advisory_urls``. A feed is one document or
several; some name further documents, one for each release or vulnerability, which are fetched when they are new.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from libcensus.collector.advisories.checksum import SUFFIX
from libcensus.collector.advisories.feeds.alpine import read_alpine
from libcensus.collector.advisories.feeds.builds import read_pbs, read_pbs_source, read_uv, read_uv_source
from libcensus.collector.advisories.feeds.debian import read_debian
from libcensus.collector.advisories.feeds.endoflife import read_endoflife
from libcensus.collector.advisories.feeds.nodejs import read_nodejs, read_nodejs_releases
from libcensus.collector.advisories.feeds.openssl import read_openssl
from libcensus.collector.advisories.feeds.osv import read_enterprise, read_ubuntu
from libcensus.collector.advisories.feeds.psf import read_psf, read_psf_each
from libcensus.collector.advisories.feeds.reading import FeedFormatError, Members, Reading
from libcensus.collector.advisories.feeds.redhat import read_changes, read_redhat

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from datetime import date

_MIB = 1024**2

READER = 1
"""Changed when a reader reads the same bytes otherwise; what an older one read is then fetched anew."""


@dataclass(frozen=True, slots=True)
class Bounds:
    """How large a document may be as it comes, unpacked, and in number of files. Reaching one refuses the document."""

    packed: int
    unpacked: int
    files: int = 1


@dataclass(frozen=True, slots=True)
class Source:
    """One document with what is known besides its bytes.

    ``changed`` is the day that the server or the file system says, where it says one; ``known`` are the names of facts
    that need no further document (a build whose OpenSSL is known), or that are wanted (vulnerabilities).
    """

    members: Members
    url: str = ""
    changed: date | None = None
    known: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Feed:
    """One official feed.

    ``urls`` are the addresses of its documents; ``each`` is that of a further one, in which ``{part}`` stands for what
    the first named. ``each_checksum`` is what the address of a further document's SHA-256 has behind ``{part}``, where
    the source publishes one beside each; no such document is then taken without. ``form`` and ``decides`` say in words
    what its format is and what is judged by it.
    """

    name: str
    title: str
    urls: tuple[str, ...]
    read: Callable[[Source], Reading]
    bounds: Bounds
    form: str
    decides: str
    each: str | None = None
    read_each: Callable[[Source, str, date], Reading] | None = None
    each_bounds: Bounds | None = None
    each_checksum: str | None = None

    @property
    def each_name(self) -> str:
        """The name under which the address of the further documents is set."""
        return f"{self.name}-each"


def _pbs(source: Source) -> Reading:
    reading = read_pbs(source.members)
    targets = tuple((row["tag"], row["tag"]) for row in reading.rows if row["tag"] not in source.known)
    return Reading(reading.rows, reading.newest, targets)


def _psf(source: Source) -> Reading:
    reading = read_psf(source.members)
    targets = tuple(target for target in reading.targets if target[0] not in source.known)
    return Reading(reading.rows, reading.newest, targets)


def _uv(source: Source) -> Reading:
    reading = read_uv(source.members)
    targets = tuple((row["uv"], row["uv"]) for row in reading.rows if row["uv"] not in source.known)
    return Reading(reading.rows, reading.newest, targets)


def _redhat(source: Source) -> Reading:
    targets, newest = read_changes(source.members, source.known)
    return Reading((), newest, targets)


def _redhat_each(source: Source, part: str, _day: date) -> Reading:
    reading = read_redhat(source.members)
    if not part.endswith(".json"):
        raise FeedFormatError(part, "is no VEX document")
    return reading


_GITHUB = "https://github.com"
_RAW = "https://raw.githubusercontent.com"
_API = "https://api.github.com/repos"
_OSV = "https://osv-vulnerabilities.storage.googleapis.com"

FEEDS: tuple[Feed, ...] = (
    Feed(
        "openssl",
        "OpenSSL's vulnerabilities",
        (f"{_GITHUB}/openssl/release-metadata/archive/refs/heads/main.zip",),
        lambda source: read_openssl(source.members),
        Bounds(32 * _MIB, 256 * _MIB, 20_000),
        "archive of CVE JSON 5 records (`secjson/CVE-….json`)",
        "advisories of OpenSSL: ranges per branch, severity, publication, fixed releases",
    ),
    Feed(
        "psf",
        "PSF advisory database (CPython)",
        (f"{_GITHUB}/psf/advisory-database/archive/refs/heads/main.zip",),
        _psf,
        Bounds(32 * _MIB, 256 * _MIB, 20_000),
        "archive of OSV records (`PSF-….json`); the record of each new one as osv.dev serves it",
        "advisories of CPython: ids, publication, the first release of each branch with the fix",
        each="https://api.osv.dev/v1/vulns/{part}",
        read_each=lambda source, part, day: read_psf_each(source.members, part, day),
        each_bounds=Bounds(8 * _MIB, 16 * _MIB),
    ),
    Feed(
        "nodejs",
        "Node.js's core vulnerability database",
        (f"{_RAW}/nodejs/security-wg/main/vuln/core/index.json",),
        lambda source: read_nodejs(source.members),
        Bounds(32 * _MIB, 256 * _MIB, 20_000),
        "JSON object of the database's entries (`vuln/core/index.json`); of a file also an archive of the single ones",
        "advisories of Node.js: ids, severity, the release lines affected, the first release of each with the fix",
    ),
    Feed(
        "nodejs-releases",
        "Node.js's releases",
        ("https://nodejs.org/dist/index.json",),
        lambda source: read_nodejs_releases(source.members),
        Bounds(16 * _MIB, 64 * _MIB),
        "JSON list of releases (`dist/index.json`)",
        "the day of each release of Node.js",
    ),
    Feed(
        "debian",
        "Debian's security tracker",
        ("https://security-tracker.debian.org/tracker/data/json",),
        lambda source: read_debian(source.members, source.changed),
        Bounds(256 * _MIB, 512 * _MIB),
        "JSON object: package, vulnerability, state per release",
        "first fixed version of Debian's openssl, python3.x, glibc, nodejs; never affected",
    ),
    Feed(
        "ubuntu",
        "Ubuntu's OSV data",
        ("https://security-metadata.canonical.com/osv/osv-all.tar.xz",),
        lambda source: read_ubuntu(source.members),
        Bounds(256 * _MIB, 16_384 * _MIB, 500_000),
        "archive of OSV records (`UBUNTU-CVE-….json`, `USN-….json`)",
        "first fixed version of Ubuntu's packages, fixed for paying customers only, never affected",
    ),
    Feed(
        "almalinux",
        "AlmaLinux's errata",
        (f"{_GITHUB}/AlmaLinux/osv-database/archive/refs/heads/master.zip",),
        lambda source: read_enterprise(source.members, "AlmaLinux"),
        Bounds(128 * _MIB, 2048 * _MIB, 100_000),
        "archive of OSV records (`ALSA-….json`)",
        "first fixed version of AlmaLinux's packages",
    ),
    Feed(
        "rocky",
        "Rocky Linux's errata",
        (f"{_OSV}/Rocky%20Linux/all.zip",),
        lambda source: read_enterprise(source.members, "Rocky Linux"),
        Bounds(128 * _MIB, 2048 * _MIB, 100_000),
        "archive of OSV records (`RLSA-….json`)",
        "first fixed version of Rocky Linux's packages",
    ),
    Feed(
        "alpine",
        "Alpine's security database",
        tuple(f"https://secdb.alpinelinux.org/v3.{number}/main.json" for number in range(18, 25)),
        lambda source: read_alpine(source.members, source.changed),
        Bounds(16 * _MIB, 64 * _MIB),
        "one JSON object per release (secdb)",
        "first fixed version of Alpine's packages, never affected",
    ),
    Feed(
        "redhat",
        "Red Hat's VEX documents",
        ("https://security.access.redhat.com/data/csaf/v2/vex/changes.csv",),
        _redhat,
        Bounds(64 * _MIB, 64 * _MIB),
        "`changes.csv`, and CSAF 2.0 VEX documents of the vulnerabilities that are known here",
        "first fixed version of Red Hat Enterprise Linux's packages, not affected",
        each="https://security.access.redhat.com/data/csaf/v2/vex/{part}",
        read_each=_redhat_each,
        each_bounds=Bounds(64 * _MIB, 64 * _MIB),
        each_checksum=SUFFIX,
    ),
    Feed(
        "endoflife",
        "endoflife.date",
        ("https://endoflife.date/api/v1/products/full",),
        lambda source: read_endoflife(source.members),
        Bounds(64 * _MIB, 128 * _MIB),
        "JSON of the API's version 1 (`products/full`)",
        "end of support of OpenSSL, interpreters and distributions",
    ),
    Feed(
        "pbs",
        "python-build-standalone's releases",
        (f"{_API}/astral-sh/python-build-standalone/releases?per_page=20",),
        _pbs,
        Bounds(128 * _MIB, 256 * _MIB),
        "GitHub's list of releases; `pythonbuild/downloads.py` of each new one",
        "which build of python-build-standalone holds which CPython and OpenSSL, and its day",
        each=f"{_RAW}/astral-sh/python-build-standalone/{{part}}/pythonbuild/downloads.py",
        read_each=lambda source, part, day: read_pbs_source(source.members, part, day),
        each_bounds=Bounds(4 * _MIB, 8 * _MIB),
    ),
    Feed(
        "uv",
        "uv's releases",
        (f"{_API}/astral-sh/uv/releases?per_page=30",),
        _uv,
        Bounds(32 * _MIB, 64 * _MIB),
        "GitHub's list of releases; `crates/uv-python/download-metadata.json` of each new one",
        "which uv is the first that can install a build",
        each=f"{_RAW}/astral-sh/uv/{{part}}/crates/uv-python/download-metadata.json",
        read_each=lambda source, part, day: read_uv_source(source.members, part, day),
        each_bounds=Bounds(32 * _MIB, 64 * _MIB),
    ),
)

BY_NAME: Mapping[str, Feed] = {feed.name: feed for feed in FEEDS}

NAMES: tuple[str, ...] = tuple(feed.name for feed in FEEDS)

ADDRESSES: Mapping[str, tuple[str, ...]] = {
    **{feed.name: feed.urls for feed in FEEDS},
    **{feed.each_name: (feed.each,) for feed in FEEDS if feed.each is not None},
}
"""Everything that the setting ``advisory_urls`` can name, with the projects' own addresses."""
