"""Judges whose package an installed package is: the distribution's own, or a third party's that only uses its format.

Origin is never guessed: ``distribution`` and ``vendor`` need a record that says so, all else is ``unknown``. dpkg's and
pacman's records name a maintainer or packager, rpm's a vendor, and apk's nobody who counts: there the repositories
tell. Pure: records in, verdicts out.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from libcensus.facts.vocabulary import PackageOrigin

if TYPE_CHECKING:
    from collections.abc import Iterable

_DISTRIBUTION_DOMAINS = {
    "debian.org": ("debian", "ubuntu"),
    "debian.net": ("debian", "ubuntu"),
    "ubuntu.com": ("ubuntu",),
    "canonical.com": ("ubuntu",),
    "raspbian.org": ("raspbian", "debian"),
    "kali.org": ("kali",),
    "linuxmint.com": ("linuxmint",),
    "system76.com": ("pop",),
    "devuan.org": ("devuan",),
}
"""Domains of maintainer addresses, and the distributions (ID or ID_LIKE of os-release) for which they speak."""

_DISTRIBUTION_ORIGINS = {
    "debian": ("debian", "ubuntu"),
    "debian backports": ("debian",),
    "ubuntu": ("ubuntu",),
    "raspbian": ("raspbian",),
    "raspberry pi foundation": ("raspbian", "debian"),
    "kali": ("kali",),
    "linuxmint": ("linuxmint",),
    "devuan": ("devuan",),
    "pop-os-release-ubuntu": ("pop",),
}
"""The field Origin of a Release file or a package, and the distributions whose own archive it is."""

_VENDOR_DOMAINS = frozenset(
    [
        "amazon.com",
        "amazonaws.com",
        "anaconda.com",
        "broadcom.com",
        "chef.io",
        "confluent.io",
        "continuum.io",
        "crowdstrike.com",
        "datadoghq.com",
        "docker.com",
        "elastic.co",
        "gitlab.com",
        "google.com",
        "grafana.com",
        "hashicorp.com",
        "influxdata.com",
        "mariadb.com",
        "microsoft.com",
        "mongodb.com",
        "newrelic.com",
        "nodesource.com",
        "nvidia.com",
        "oracle.com",
        "percona.com",
        "puppet.com",
        "qualys.com",
        "saltproject.io",
        "sentinelone.com",
        "splunk.com",
        "tenable.com",
        "vmware.com",
        "wazuh.com",
        "zabbix.com",
    ]
)
"""Companies that publish packages from archives of their own; none of them is a distribution that dpkg runs on."""

_FOREIGN_VERSION = re.compile(
    r"ppa\d*\b|sury\.org|nodesource\d*$|\+(?:trusty|xenial|bionic|focal|jammy|noble|plucky|questing|resolute)\d+$"
)
"""Marks that third-party archives put into versions, also of packages whose maintainer field they copied."""

_ADDRESS = re.compile(r"^(?P<name>[^<]*?)\s*(?:<(?P<address>[^>]*)>)?$")

_RPM_VENDORS = {
    "almalinux": ("almalinux",),
    "amazon linux": ("amzn",),
    "amazon.com": ("amzn",),
    "centos": ("centos",),
    "fedora project": ("fedora",),
    "http://openeuler.org": ("openeuler",),
    "microsoft corporation": ("azurelinux", "mariner"),
    "opensuse": ("opensuse-tumbleweed", "opensuse-leap", "opensuse-slowroll", "opensuse-microos", "opensuse"),
    "oracle america": ("ol",),
    "red hat, inc.": ("rhel",),
    "rocky": ("rocky",),
    "rocky enterprise software foundation": ("rocky",),
    "suse llc <https://www.suse.com/>": (
        "sles",
        "sled",
        "sles_sap",
        "sle_hpc",
        "sle-micro",
        "sl-micro",
        "suse-microos",
        "opensuse-leap",
    ),
    "vmware, inc.": ("photon",),
}
"""The tag Vendor of rpm packages, in lower case, and the distributions (ID of os-release) whose own packages bear it.

ID_LIKE does not count here: "Fedora Project" on an Enterprise Linux is EPEL, which the distribution's own errata leave
out, although its ID_LIKE names Fedora. openSUSE Leap takes SUSE's binaries unchanged.
"""

_PACMAN_DOMAINS = {
    "archlinux.org": ("arch",),
    "archlinuxarm.org": ("archarm",),
    "manjaro.org": ("manjaro",),
}
"""Domains of packagers, and the distributions (ID or ID_LIKE) whose repositories they fill."""

_APK_REPOSITORIES = (
    (
        re.compile(r"https?://[^/]+/(?:[^ ]*/)?alpine/(?:v\d+\.\d+|edge|latest-stable)/(?:main|community|testing)/?"),
        "alpine",
    ),
    (re.compile(r"https://packages\.wolfi\.dev/os/?"), "wolfi"),
    (
        re.compile(r"https://(?:packages\.wolfi\.dev/os|(?:packages|apk)\.cgr\.dev/(?:os|extras|chainguard))/?"),
        "chainguard",
    ),
)
"""How the addresses of a distribution's own repositories look, on whatever mirror (apk-repositories(5))."""

_OBSCURED = re.compile(r"\s+(at|dot)\s+")


def judge_origin(
    record: dict[str, str], ids: tuple[str, ...], listed: str | None = None
) -> tuple[PackageOrigin, str | None]:
    """Return whose package a dpkg record is, and the vendor's name, from what the records say.

    ``ids`` are ID and ID_LIKE of os-release (empty: not known, any distribution counts), ``listed`` the Origin of the
    archive that offers this very version. The archive outweighs the record's Origin, this a foreign mark in the
    version, and that the maintainer's address.
    """
    name, address = _parties(record.get("maintainer"))
    for origin in (listed, record.get("origin")):
        if origin:
            speaks_for = _DISTRIBUTION_ORIGINS.get(origin.lower(), ())
            if _is_one_of(speaks_for, ids):
                return PackageOrigin.DISTRIBUTION, origin
            return PackageOrigin.VENDOR, name or origin
    if _FOREIGN_VERSION.search(record.get("version", "")):
        return PackageOrigin.VENDOR, name
    if "://" in address:
        # A distribution's policy asks for a mail address here (Debian Policy 5.6.2); a link is a third party's.
        return PackageOrigin.VENDOR, name
    domain = address.rpartition("@")[2]
    for known, speaks_for in _DISTRIBUTION_DOMAINS.items():
        if (domain == known or domain.endswith(f".{known}")) and _is_one_of(speaks_for, ids):
            return PackageOrigin.DISTRIBUTION, name
    if any(domain == known or domain.endswith(f".{known}") for known in _VENDOR_DOMAINS):
        return PackageOrigin.VENDOR, name
    return PackageOrigin.UNKNOWN, name


def is_distribution_archive(origin: str) -> bool:
    """Tell whether the Origin of an archive is that of a distribution."""
    return origin.lower() in _DISTRIBUTION_ORIGINS


def _is_one_of(speaks_for: tuple[str, ...], ids: tuple[str, ...]) -> bool:
    return bool(speaks_for) and (not ids or any(one in ids for one in speaks_for))


def judge_rpm_origin(vendor: str | None, ids: tuple[str, ...]) -> PackageOrigin:
    """Return whose package a header with this tag Vendor is, on a distribution with these ID and ID_LIKE."""
    if not vendor:
        return PackageOrigin.UNKNOWN
    speaks_for = _RPM_VENDORS.get(vendor.strip().lower(), ())
    if not ids:
        return PackageOrigin.DISTRIBUTION if speaks_for else PackageOrigin.UNKNOWN
    if ids[0] in speaks_for:
        return PackageOrigin.DISTRIBUTION
    if speaks_for or any(ids[0] in known for known in _RPM_VENDORS.values()):
        return PackageOrigin.VENDOR
    # Nothing here tells what this distribution calls itself as a vendor.
    return PackageOrigin.UNKNOWN


def judge_apk_origin(
    maintainer: str | None, ids: tuple[str, ...], repositories: Iterable[str], *, is_pinned: bool
) -> PackageOrigin:
    """Return whose package an apk record is.

    The record names its maintainer and not its repository. So the distribution's it is when the maintainer's address
    is, or when every repository that apk uses is the distribution's and the package is not ``is_pinned``: one that was
    installed from a file is kept in apk's world by its checksum.
    """
    if is_pinned:
        return PackageOrigin.VENDOR
    _, address = _parties(maintainer)
    if address.endswith("@alpinelinux.org") and (not ids or "alpine" in ids):
        return PackageOrigin.DISTRIBUTION
    own = [pattern for pattern, distribution in _APK_REPOSITORIES if distribution in ids[:1]]
    used = list(repositories)
    if used and all(any(pattern.fullmatch(address) for pattern in own) for address in used):
        return PackageOrigin.DISTRIBUTION
    return PackageOrigin.UNKNOWN


def judge_pacman_origin(packager: str | None, ids: tuple[str, ...]) -> PackageOrigin:
    """Return whose package a pacman record is: its packager's address tells, also when written with "at" and "dot"."""
    plain = _OBSCURED.sub(lambda match: "@" if match[1] == "at" else ".", packager or "")
    _, address = _parties(plain)
    domain = address.rpartition("@")[2]
    for known, speaks_for in _PACMAN_DOMAINS.items():
        if (domain == known or domain.endswith(f".{known}")) and _is_one_of(speaks_for, ids):
            return PackageOrigin.DISTRIBUTION
    # makepkg(8) writes these words when whoever built the package here did not say who he is.
    return PackageOrigin.VENDOR if packager == "Unknown Packager" else PackageOrigin.UNKNOWN


def _parties(text: str | None) -> tuple[str | None, str]:
    """Return the name and the address of ``Name <address>``."""
    match = _ADDRESS.match(text or "")
    name = (match["name"].strip() if match else "") or None
    return name, (match["address"] or "").lower() if match else ""
