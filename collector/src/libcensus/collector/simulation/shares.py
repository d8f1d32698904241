"""The one table of a simulated fleet: which systems and providers there are, and in what shares.

The shares are chosen, not measured: nobody publishes those of a fleet. They are what makes a fleet worth asking about:
a few systems that most hosts have and a tail of old ones, each provider of interpreters, and a part of everything that
goes wrong. What a release has (glibc, the branch of its OpenSSL and Python) comes from the snapshot; the versions of
packages here stand in for what the snapshot does not tell, and a test compares both.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping


@dataclass(frozen=True, slots=True)
class Share:
    """One choice, how often it is taken out of a hundred times, and what it means."""

    name: str
    percent: float
    meaning: str


@dataclass(frozen=True, slots=True)
class System:
    """One distribution release of the fleet; ``share`` is its part in per cent.

    ``name`` is what the snapshot calls it, ``kernel`` the release that its hosts run, ``newer_kernel`` that of a later
    series where the distribution offers one; ``python`` is the version of its own Python and ``python_package`` that of
    the package. ``openssl_packages`` are package versions, the newest first, used where the snapshot knows none;
    ``musl`` is the version of its C library where that is not glibc; ``only_arch`` is set where there is no other.
    """

    name: str
    share: float
    os_id: str
    version_id: str
    pretty_name: str
    codename: str | None
    manager: str
    vendor: str
    kernel: str
    python: str
    python_package: str
    openssl_name: str
    openssl_packages: tuple[str, ...] = ()
    openssl_source: str = "openssl"
    libcrypt: str = "libcrypt.so.1"
    musl: str | None = None
    newer_kernel: str | None = None
    only_arch: str | None = None

    @property
    def is_dpkg(self) -> bool:
        """Whether its packages are Debian's kind, and so its folders."""
        return self.manager == "dpkg"

    def kernel_on(self, arch: str, *, newer: bool) -> str:
        """Return the kernel's release on an architecture: most distributions name that in it."""
        release = (self.newer_kernel if newer else None) or self.kernel
        return release if arch == "x86_64" else release.replace("amd64", "arm64").replace("x86_64", arch)


def _debian(share: float, number: str, codename: str, kernel: str, python: tuple[str, str], openssl: str) -> System:
    return System(
        f"debian:{number}", share, "debian", number, f"Debian GNU/Linux {number} ({codename})", codename,
        "dpkg", "Debian", kernel, *python, openssl,
    )  # fmt: skip


def _ubuntu(
    share: float,
    number: str,
    codename: str,
    kernels: tuple[str, ...],
    python: tuple[str, str],
    openssl: str,
) -> System:
    return System(
        f"ubuntu:{number}", share, "ubuntu", number, f"Ubuntu {number} LTS", codename,
        "dpkg", "Ubuntu", kernels[0], *python, openssl, newer_kernel=kernels[1] if len(kernels) > 1 else None,
    )  # fmt: skip


def _rpm(
    share: float,
    name: str,
    system: tuple[str, str, str],
    vendor: str,
    kernel: str,
    python: tuple[str, str],
    openssl: tuple[str, ...] = (),
    libcrypt: str = "libcrypt.so.1",
    only_arch: str | None = None,
) -> System:
    return System(
        name, share, *system, None, "rpm", vendor, kernel, *python, "openssl-libs", openssl, libcrypt=libcrypt,
        only_arch=only_arch,
    )  # fmt: skip


SYSTEMS: tuple[System, ...] = (
    _debian(4, "11", "bullseye", "5.10.0-35-amd64", ("3.9.2", "3.9.2-1+deb11u6"), "libssl1.1"),
    _debian(18, "12", "bookworm", "6.1.0-40-amd64", ("3.11.2", "3.11.2-6+deb12u9"), "libssl3"),
    _debian(10, "13", "trixie", "6.12.48+deb13-amd64", ("3.13.5", "3.13.5-2+deb13u3"), "libssl3t64"),
    _ubuntu(6, "20.04", "focal", ("5.4.0-216-generic",), ("3.8.10", "3.8.10-0ubuntu1~20.04.18"), "libssl1.1"),
    _ubuntu(
        16, "22.04", "jammy", ("5.15.0-157-generic", "6.8.0-85-generic"), ("3.10.12", "3.10.12-1~22.04.11"), "libssl3"
    ),
    _ubuntu(
        14, "24.04", "noble", ("6.8.0-85-generic", "6.14.0-33-generic"), ("3.12.3", "3.12.3-1ubuntu0.8"), "libssl3t64"
    ),
    _ubuntu(2, "26.04", "resolute", ("7.0.0-10-generic",), ("3.14.4", "3.14.4-1"), "libssl3t64"),
    _rpm(
        2, "rhel:7", ("rhel", "7.9", "Red Hat Enterprise Linux Server 7.9 (Maipo)"), "Red Hat, Inc.",
        "3.10.0-1160.el7.x86_64", ("3.6.8", "3.6.8-21.el7_9"), ("1:1.0.2k-26.el7_9",), only_arch="x86_64",
    ),
    _rpm(
        5, "rhel:8", ("rhel", "8.10", "Red Hat Enterprise Linux 8.10 (Ootpa)"), "Red Hat, Inc.",
        "4.18.0-553.el8_10.x86_64", ("3.6.8", "3.6.8-70.el8_10"),
    ),
    _rpm(
        7, "rhel:9", ("rhel", "9.8", "Red Hat Enterprise Linux 9.8 (Plow)"), "Red Hat, Inc.",
        "5.14.0-687.el9_8.x86_64", ("3.9.25", "3.9.25-2.el9_8"), libcrypt="libcrypt.so.2",
    ),
    _rpm(
        3, "rockylinux:9", ("rocky", "9.8", "Rocky Linux 9.8 (Blue Onyx)"), "Rocky Enterprise Software Foundation",
        "5.14.0-687.el9_8.x86_64", ("3.9.25", "3.9.25-2.el9_8"), libcrypt="libcrypt.so.2",
    ),
    _rpm(
        2, "almalinux:8", ("almalinux", "8.10", "AlmaLinux 8.10 (Cerulean Leopard)"), "AlmaLinux",
        "4.18.0-553.el8_10.x86_64", ("3.6.8", "3.6.8-70.el8_10"),
    ),
    _rpm(
        4, "amazonlinux:2023", ("amzn", "2023", "Amazon Linux 2023"), "Amazon Linux",
        "6.1.155-176.282.amzn2023.x86_64", ("3.9.16", "3.9.16-1.amzn2023.0.9"), ("1:3.0.8-1.amzn2023.0.24",),
        libcrypt="libcrypt.so.2",
    ),
    System(
        "alpine:*", 5, "alpine", "3.22.2", "Alpine Linux v3.22", None, "apk", "Alpine Linux", "6.12.50-0-virt",
        "3.12.11", "3.12.11-r0", "libcrypto3", ("3.5.4-r0", "3.5.1-r0"), musl="1.2.5",
    ),
    System(
        "sles:15.6-15.7", 1, "sles", "15.6", "SUSE Linux Enterprise Server 15 SP6", None, "rpm", "SUSE LLC",
        "6.4.0-150600.23.70-default", "3.6.15", "3.6.15-150300.10.97.1", "libopenssl3",
        ("3.1.4-150600.5.39.1",), openssl_source="openssl-3",
    ),
    _rpm(
        1, "fedora:43", ("fedora", "43", "Fedora Linux 43 (Server Edition)"), "Fedora Project",
        "6.17.7-300.fc43.x86_64", ("3.14.0", "3.14.0-1.fc43"), ("1:3.5.4-1.fc43",), libcrypt="libcrypt.so.2",
    ),
)  # fmt: skip

ARCHES: tuple[Share, ...] = (
    Share("x86_64", 85, "the architecture of a host"),
    Share("aarch64", 15, "the same systems on Arm, but RHEL 7, which has no such release"),
)

LEVELS: tuple[Share, ...] = (
    Share("2", 8, "x86-64-v2: processors before AVX2, and careful hypervisors"),
    Share("3", 57, "x86-64-v3"),
    Share("4", 35, "x86-64-v4: AVX-512"),
)

KERNELS: tuple[Share, ...] = (
    Share("release's", 75, "the kernel that the release came with"),
    Share("newer", 25, "the one of a later release, where there is one: Ubuntu 22.04 and 24.04 with HWE"),
)

PATCHES: tuple[Share, ...] = (
    Share("newest", 55, "the newest OpenSSL package that the snapshot knows of"),
    Share("behind", 30, "the one before it"),
    Share("old", 15, "the third before it"),
)

PBS_AGES: tuple[Share, ...] = (
    Share("0", 26, "months before the day of the fleet: the newest build that was out then"),
    Share("2", 20, "the same, two months before"),
    Share("4", 14, "four months before"),
    Share("7", 12, "seven months before"),
    Share("10", 10, "ten months before: OpenSSL 3.5"),
    Share("15", 10, "fifteen months before: still OpenSSL 3.0"),
    Share("24", 8, "two years before"),
)

PBS_MINORS: tuple[Share, ...] = (
    Share("3.10", 8, "of the uv-managed Pythons"),
    Share("3.11", 17, "the same"),
    Share("3.12", 38, "the same"),
    Share("3.13", 27, "the same"),
    Share("3.14", 10, "the same; an older build without a final 3.14 gives its newest minor release"),
)

BRINGERS: tuple[Share, ...] = (
    Share("uv", 30, "uv with python-build-standalone builds: OpenSSL is static; on Alpine, on x86_64, those for musl"),
    Share("uv-second", 35, "of hosts with uv: a second build beside the first"),
    Share("uv-free-threaded", 6, "of uv-managed Pythons from 3.13 on: free-threaded"),
    Share("hatch", 5, "Hatch with the PBS build for the host's own x86-64 level; not on Alpine"),
    Share("pyenv", 12, "pyenv on Debian and Ubuntu: built there, uses the system's OpenSSL"),
    Share("source", 12, "on the others with glibc, a self-built Python below /usr/local"),
    Share("conda", 6, "a conda prefix with its own libcrypto; not on Alpine"),
    Share("vendor", 3, "on Debian and Ubuntu, a vendor's package with a PBS build inside"),
    Share("container", 10, "a container of Docker's official Python image"),
    Share("nodejs", 14, "Node.js from NodeSource: OpenSSL is static; where glibc is 2.28 or newer"),
)
"""Each independent of the others, out of a hundred hosts unless it says otherwise."""

ENVIRONMENTS: tuple[Share, ...] = (
    Share("none", 45, "a Python without virtual environment"),
    Share("follows", 30, "an environment that follows its base"),
    Share("pinned", 12, "one that is pinned to the patch release of its base"),
    Share("copied", 5, "one with its own copy of the executable"),
    Share("dangling", 8, "a stale one: its base is gone"),
)

WHEELS: tuple[Share, ...] = (
    Share("none", 60, "an environment without a wheel that holds OpenSSL"),
    Share("41.0.7", 8, "cryptography with OpenSSL 3.1.4"),
    Share("43.0.3", 14, "cryptography with OpenSSL 3.3.2"),
    Share("46.0.3", 12, "cryptography with OpenSSL 3.5.4"),
    Share("48.0.0", 6, "cryptography with OpenSSL 4.0.0"),
)
"""Out of a hundred environments that do not dangle, and whose Python is new enough for the wheel."""

WHEEL_OPENSSL: Mapping[str, str] = {"41.0.7": "3.1.4", "43.0.3": "3.3.2", "46.0.3": "3.5.4", "48.0.0": "4.0.0"}
"""The OpenSSL inside cryptography's own wheels, as read in their bytes."""

WHEEL_PYTHON: Mapping[str, int] = {"41.0.7": 7, "43.0.3": 7, "46.0.3": 8, "48.0.0": 9}
"""N of the oldest Python 3.N that each is for, by its metadata."""

WHEEL_DAYS: Mapping[str, date] = {
    "41.0.7": date(2023, 11, 28),
    "43.0.3": date(2024, 10, 18),
    "46.0.3": date(2025, 10, 15),
    "48.0.0": date(2026, 5, 4),
}
"""The days on which PyPI had each of them, as its index tells; 48.0.0 came up to three days before."""

TROUBLES: tuple[Share, ...] = (
    Share("silent", 5, "hosts whose last report is older than a week"),
    Share("failed-probe", 3, "hosts on which the package database is damaged: no package of theirs is known"),
    Share("unreadable", 2, "hosts with a Python that the agent could not read: everything about it is unknown"),
    Share("damaged", 1, "hosts with a Python whose executable is damaged: nobody can tell where it would start"),
    Share("unread-crypto", 1, "hosts whose uv-managed Python is known, and its OpenSSL could not be told"),
    Share("outdated", 9, "hosts with processes that still map a replaced libcrypto"),
)
"""Each independent of the others, out of a hundred hosts."""

UPGRADES: Mapping[str, tuple[Share, ...]] = {
    "system": (
        Share("1", 55, "days between upgrades of the distribution's packages: unattended-upgrades, dnf-automatic"),
        Share("7", 20, "once a week"),
        Share("30", 15, "once a month"),
        Share("180", 10, "very late: twice a year"),
    ),
    "uv": (
        Share("14", 15, "days between `uv python upgrade`, to the newest build that a uv of that day knew"),
        Share("45", 30, "every six weeks"),
        Share("90", 35, "four times a year"),
        Share("200", 20, "less than twice a year"),
    ),
    "hatch": (
        Share("60", 60, "days between `hatch python update`"),
        Share("180", 40, "twice a year"),
    ),
    "pyenv": (
        Share("60", 30, "days between rebuilds by pyenv, or by hand below /usr/local"),
        Share("150", 50, "every five months"),
        Share("300", 20, "less than once a year"),
    ),
    "conda": (
        Share("45", 30, "days between `conda update`, which brings Python and OpenSSL"),
        Share("120", 50, "three times a year"),
        Share("300", 20, "less than once a year"),
    ),
    "image": (
        Share("7", 25, "days between pulls of the image: Python and the packages inside move in one step"),
        Share("30", 45, "once a month"),
        Share("90", 30, "four times a year"),
    ),
    "environment": (
        Share("30", 30, "days until a pinned or copied environment is made again; its old base stays until then"),
        Share("120", 40, "three times a year"),
        Share("365", 30, "once a year"),
    ),
    "wheel": (
        Share("30", 25, "days between upgrades of what is in an environment"),
        Share("120", 45, "three times a year"),
        Share("365", 30, "once a year"),
    ),
}
"""How often each is upgraded on a host, in days on average: between half and one and a half times as many."""

PAST: tuple[Share, ...] = (
    Share("joined", 20, "hosts that joined within the year before the day of the fleet"),
    Share("came", 15, "of what others than the distribution brought: came within that year"),
    Share("made", 20, "of environments: made within that year"),
    Share("uv-gone", 20, "of hosts with uv: had a build of another minor release, which was removed within that year"),
    Share("environment-gone", 10, "of hosts: had an environment of the system's Python, removed within that year"),
    Share("base-gone", 60, "of stale environments on Debian and Ubuntu: their pyenv Python was removed in that year"),
)
"""What came and went. Each independent of the others, out of a hundred."""

TABLES: Mapping[str, tuple[Share, ...]] = {
    "architecture": ARCHES,
    "x86-64 level": LEVELS,
    "kernel": KERNELS,
    "OpenSSL package": PATCHES,
    "PBS build's age": PBS_AGES,
    "PBS minor": PBS_MINORS,
    "beside the system's Python": BRINGERS,
    "environments per Python": ENVIRONMENTS,
    "wheels": WHEELS,
    "troubles": TROUBLES,
    "distribution's upgrades": UPGRADES["system"],
    "uv's upgrades": UPGRADES["uv"],
    "Hatch's upgrades": UPGRADES["hatch"],
    "rebuilds": UPGRADES["pyenv"],
    "conda's upgrades": UPGRADES["conda"],
    "image's upgrades": UPGRADES["image"],
    "environment's renewals": UPGRADES["environment"],
    "wheel's upgrades": UPGRADES["wheel"],
    "came and went": PAST,
}
"""Every table but :data:`SYSTEMS`, as the documentation shows them."""
