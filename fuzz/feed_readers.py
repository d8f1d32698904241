"""What the targets of the advisories' feeds run: every reader of an official format, the archives, and kept states."""

from __future__ import annotations

import tempfile
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING

from tests.collector.advisories import feed_samples as samples

from libcensus.collector.advisories.checksum import read_checksum
from libcensus.collector.advisories.document import Document
from libcensus.collector.advisories.feeds.alpine import read_alpine
from libcensus.collector.advisories.feeds.builds import read_pbs, read_pbs_source, read_uv, read_uv_source
from libcensus.collector.advisories.feeds.debian import read_debian
from libcensus.collector.advisories.feeds.endoflife import read_endoflife
from libcensus.collector.advisories.feeds.openssl import read_openssl
from libcensus.collector.advisories.feeds.osv import read_enterprise, read_ubuntu
from libcensus.collector.advisories.feeds.psf import read_psf, read_psf_each
from libcensus.collector.advisories.feeds.reading import FeedFormatError, check_unique
from libcensus.collector.advisories.feeds.redhat import read_changes, read_redhat
from libcensus.collector.advisories.feeds.registry import Bounds
from libcensus.collector.advisories.state import DamagedStateError, decode_state

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from libcensus.collector.advisories.feeds.reading import Reading

_DAY = date(2026, 11, 24)
_BOUNDS = Bounds(1 << 20, 1 << 20, 50)

ALLOWED = (FeedFormatError, DamagedStateError)


def _read(reader: Callable[[list[tuple[str, bytes]]], Reading], name: str) -> Callable[[bytes], None]:
    def run(data: bytes) -> None:
        check_unique(reader([(name, data)]).rows)

    return run


def _run_changes(data: bytes) -> None:
    read_changes([("changes.csv", data)], {"CVE-2024-6119"})


def _run_checksum(data: bytes) -> None:
    read_checksum(data, "cve-2024-6119.json.sha256")


def _run_archive(data: bytes) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "it"
        path.write_bytes(data)
        for _ in Document(path, "it", _BOUNDS):
            pass


def _run_state(data: bytes) -> None:
    decode_state(data, "state")


FEED_READERS: Mapping[str, tuple[Callable[[bytes], None], bytes]] = {
    "openssl": (_read(read_openssl, "CVE-2024-6119.json"), samples.encode(samples.openssl_record())),
    "psf": (_read(read_psf, "PSF-2026-1.json"), samples.encode(samples.psf_record(versions=("v3.14.1",)))),
    "psf-each": (
        _read(lambda members: read_psf_each(members, "PSF-2026-1", _DAY), "PSF-2026-1"),
        samples.encode(samples.psf_record(versions=("v3.14.1",))),
    ),
    "debian": (_read(lambda members: read_debian(members, _DAY), "json"), samples.debian_tracker()),
    "ubuntu": (_read(read_ubuntu, "a.json"), samples.encode(samples.ubuntu_record())),
    "enterprise": (
        _read(lambda members: read_enterprise(members, "AlmaLinux"), "a.json"),
        samples.encode(samples.erratum()),
    ),
    "alpine": (_read(lambda members: read_alpine(members, _DAY), "main.json"), samples.alpine_database()),
    "redhat": (_read(read_redhat, "cve-2024-6119.json"), samples.redhat_vex()),
    "redhat-changes": (_run_changes, samples.redhat_changes("CVE-2024-6119")),
    "checksum": (_run_checksum, samples.checksum_of(samples.redhat_vex())),
    "endoflife": (_read(read_endoflife, "full"), samples.endoflife_answer()),
    "pbs": (_read(read_pbs, "releases"), samples.pbs_releases()),
    "pbs-source": (
        _read(lambda members: read_pbs_source(members, samples.PBS_TAG, _DAY), "downloads.py"),
        samples.pbs_source(),
    ),
    "uv": (_read(read_uv, "releases"), samples.uv_releases()),
    "uv-source": (_read(lambda members: read_uv_source(members, samples.UV, _DAY), "m.json"), samples.uv_metadata()),
    "archive": (_run_archive, samples.ubuntu_archive()),
    "state": (_run_state, b'{"libcensus_feed":"uv","format":1,"reader":1,"documents":[],"sha256":""}'),
}
"""What runs, and a first input, by the name of the target."""
