"""Distributions as platforms, known by their names alone: coarser than a scan, and said to be.

Of ``debian:12`` no host was read. Its glibc comes from a table, the few libraries that each installation has are taken
to be there, as new as PEP 600's policy for that glibc promises, and everything else (whether OpenSSL is installed,
which processor it runs on) is unknown.
"""

from __future__ import annotations

import difflib
import re
from typing import TYPE_CHECKING

from libcensus.collector.posture.offer import Offer
from libcensus.facts.platform import Platform
from libcensus.facts.vocabulary import LibcFamily

if TYPE_CHECKING:
    from collections.abc import Mapping

    from libcensus.collector.posture.catalogue import Catalogue, DistributionRelease

_ALIASES: Mapping[str, str] = {
    "alma": "almalinux",
    "amazon": "amazonlinux",
    "amzn": "amazonlinux",
    "centos": "centos-stream",
    "leap": "opensuse-leap",
    "ol": "oraclelinux",
    "opensuse": "opensuse-leap",
    "opensuse/leap": "opensuse-leap",
    "oracle": "oraclelinux",
    "redhat": "rhel",
    "rocky": "rockylinux",
    "suse": "sles",
}
"""What os-release's ``ID``, image names and people call a distribution."""

_CODENAMES: Mapping[str, Mapping[str, str]] = {
    "debian": {"stretch": "9", "buster": "10", "bullseye": "11", "bookworm": "12", "trixie": "13"},
    "ubuntu": {"trusty": "14.04", "xenial": "16.04", "bionic": "18.04", "focal": "20.04", "jammy": "22.04"}
    | {"mantic": "23.10", "noble": "24.04", "oracular": "24.10", "plucky": "25.04", "questing": "25.10"},
}

_LOADERS: Mapping[str, str] = {
    "x86_64": "/lib64/ld-linux-x86-64.so.2",
    "i386": "/lib/ld-linux.so.2",
    "aarch64": "/lib/ld-linux-aarch64.so.1",
    "arm": "/lib/ld-linux-armhf.so.3",
    "ppc64le": "/lib64/ld64.so.2",
    "s390x": "/lib/ld64.so.1",
    "riscv64": "/lib/ld-linux-riscv64-lp64d.so.1",
    "loongarch64": "/lib64/ld-linux-loongarch-lp64d.so.1",
}
"""glibc's loader on each architecture, where its ABI puts it (https://sourceware.org/glibc/wiki/ABIList)."""

_MUSL_ARCHES: Mapping[str, str] = {"arm": "armhf", "ppc64le": "powerpc64le"}


class UnknownDistributionError(ValueError):
    """A name that is no distribution of the table; ``near`` are names that are alike."""

    def __init__(self, name: str, near: tuple[str, ...]) -> None:
        self.name = name
        self.near = near
        hint = f"did you mean {' or '.join(near)}?" if near else "names are like debian:12, ubuntu:22.04, rhel:9"
        super().__init__(f"{name!r} is no distribution that is known here; {hint}")


def find_distribution(catalogue: Catalogue, name: str) -> DistributionRelease:
    """Return the release that ``distribution:release`` names; raises UnknownDistributionError.

    A codename stands for its release (``debian:bookworm``), and a point release for its release (``rhel:9.4``).
    """
    known = catalogue.distribution_releases
    distribution, _, release = name.strip().lower().partition(":")
    distribution = _ALIASES.get(distribution, distribution)
    release = release.removeprefix("stream").lstrip("-") if distribution == "centos-stream" else release
    release = _CODENAMES.get(distribution, {}).get(release, release)
    rows = [row for row in known if row.distribution == distribution]
    if len(rows) == 1 and rows[0].release == "*":
        return rows[0]
    wanted = release
    while wanted:
        for row in rows:
            if row.release == wanted or _is_within(wanted, row.release):
                return row
        wanted = wanted.rpartition(".")[0]
    told = f"{distribution}:{release}"
    near = difflib.get_close_matches(told, [row.name for row in known], 3, 0.6)
    near += [row.name for row in rows if row.name not in near]
    raise UnknownDistributionError(name, tuple(near[:4]))


def _is_within(release: str, span: str) -> bool:
    """Tell whether a release lies in ``15.3-15.5``."""
    match = re.fullmatch(r"(\d+(?:\.\d+)*)-(\d+(?:\.\d+)*)", span)
    if match is None or re.fullmatch(r"\d+(?:\.\d+)*", release) is None:
        return False
    first, last, number = (tuple(map(int, text.split("."))) for text in (*match.groups(), release))
    return first <= number <= last


def offer_of(release: DistributionRelease, arch: str | None) -> Offer:
    """Return what a distribution offers on one architecture; coarse, because no host was read."""
    if release.glibc is None:
        loaders = () if arch is None else (f"/lib/ld-musl-{_MUSL_ARCHES.get(arch, arch)}.so.1",)
        platform = Platform(arch=arch, libc_family=LibcFamily.MUSL, loaders=loaders)
        return Offer(platform, {}, _names(loaders), is_coarse=True)
    loaders = () if arch is None or arch not in _LOADERS else (_LOADERS[arch],)
    platform = Platform(arch=arch, libc_family=LibcFamily.GLIBC, libc_version=release.glibc, loaders=loaders)
    return Offer(platform, {}, _names(loaders), is_coarse=True)


def _names(paths: tuple[str, ...]) -> frozenset[str]:
    return frozenset(path.rsplit("/", 1)[-1] for path in paths)
