"""Package URLs: what the definitions of the types ask, and no claim beyond the facts."""

from __future__ import annotations

import pytest
from packageurl import PackageURL

from libcensus.cli.exports.purl import owner_purl, package_purl, project_purl
from libcensus.facts.crypto import CopyOwner
from libcensus.facts.host import OsRelease
from libcensus.facts.package import Package
from libcensus.facts.vocabulary import PackageOrigin, Provider

OWN, OTHER = PackageOrigin.DISTRIBUTION, PackageOrigin.VENDOR
DEBIAN, RHEL, ALPINE, ARCH = (
    OsRelease("debian", "12"),
    OsRelease("rhel", "9.4"),
    OsRelease("alpine", "3.22.1"),
    OsRelease("arch"),
)
PACKAGES = {
    "pkg:deb/debian/libssl3@3.0.17-1~deb12u2?arch=amd64&distro=debian-12": (
        ("dpkg", "libssl3", "3.0.17-1~deb12u2", "amd64", OWN), DEBIAN,
    ),
    "pkg:deb/debian/python3.11-minimal@1:3.11.2-6?arch=arm64&distro=debian-12": (
        ("dpkg", "python3.11-minimal", "1:3.11.2-6", "arm64", OWN), DEBIAN,
    ),
    "pkg:deb/nodejs@18.20.4-1nodesource1?arch=amd64&distro=debian-12": (
        ("dpkg", "nodejs", "18.20.4-1nodesource1", "amd64", OTHER), DEBIAN,
    ),
    "pkg:rpm/redhat/openssl-libs@3.0.7-24.el9?arch=x86_64&distro=rhel-9.4&epoch=1": (
        ("rpm", "openssl-libs", "1:3.0.7-24.el9", "x86_64", OWN), RHEL,
    ),
    "pkg:apk/alpine/libssl3@3.5.4-r0?arch=x86_64&distro=alpine-3.22.1": (
        ("apk", "libssl3", "3.5.4-r0", "x86_64", OWN), ALPINE,
    ),
    "pkg:alpm/arch/openssl@3.6.0-1?distro=arch": (("pacman", "openssl", "3.6.0-1", None, OWN), ARCH),
    "pkg:deb/libssl3@3.0.17-1": (("dpkg", "libssl3", "3.0.17-1", None, OWN), OsRelease()),
    "pkg:generic/odd@1": (("other", "odd", "1", None, OTHER), OsRelease()),
}  # fmt: skip


@pytest.mark.parametrize("purl", PACKAGES)
def test_packages(purl: str) -> None:
    (manager, name, version, arch, origin), system = PACKAGES[purl]
    found = package_purl(Package(manager, name, version, "openssl", version, arch, origin), system)
    assert found == purl
    assert PackageURL.from_string(found).to_string() == found


@pytest.mark.parametrize(
    ("owner", "purl"),
    [
        (CopyOwner("pypi", "Psycopg2_Binary", "2.9.9"), "pkg:pypi/psycopg2-binary@2.9.9"),
        (CopyOwner("pypi", "cryptography"), "pkg:pypi/cryptography"),
        (CopyOwner("npm", "@angular/cli", "1.0"), "pkg:npm/%40angular/cli@1.0"),
        (CopyOwner("gem", "puma", "6"), "pkg:gem/puma@6"),
        (CopyOwner("conda", "openssl", "3.5"), "pkg:conda/openssl@3.5"),
        (CopyOwner("dpkg", "google-cloud-cli", "5"), None),
    ],
)
def test_owners(owner: CopyOwner, purl: str | None) -> None:
    assert owner_purl(owner) == purl


def test_what_no_package_owns_is_its_projects() -> None:
    assert project_purl("openssl", "3.5.4") == "pkg:generic/openssl@3.5.4"
    assert project_purl("boringssl", None) == "pkg:generic/boringssl"
    assert project_purl("python", "3.12.1", Provider.CONDA) == "pkg:conda/python@3.12.1"
    assert project_purl("python", "3.12.1", Provider.PBS) == "pkg:generic/python@3.12.1"
