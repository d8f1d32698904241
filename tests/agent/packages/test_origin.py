"""Whose package an rpm is, by the tag Vendor and the distribution it lies on."""

from __future__ import annotations

import pytest

from libcensus.agent.packages.origin import judge_rpm_origin
from libcensus.facts.vocabulary import PackageOrigin

DISTRIBUTION, OF_VENDOR, UNKNOWN = PackageOrigin.DISTRIBUTION, PackageOrigin.VENDOR, PackageOrigin.UNKNOWN


@pytest.mark.parametrize(
    ("vendor", "ids", "expected"),
    [
        ("Red Hat, Inc.", ("rhel", "fedora"), DISTRIBUTION),
        ("Fedora Project", ("fedora",), DISTRIBUTION),
        ("AlmaLinux", ("almalinux", "rhel", "centos", "fedora"), DISTRIBUTION),
        ("Rocky Enterprise Software Foundation", ("rocky", "rhel", "centos", "fedora"), DISTRIBUTION),
        ("CentOS", ("centos", "rhel", "fedora"), DISTRIBUTION),
        ("Oracle America", ("ol", "fedora"), DISTRIBUTION),
        ("Amazon Linux", ("amzn", "fedora"), DISTRIBUTION),
        ("SUSE LLC <https://www.suse.com/>", ("sles", "suse"), DISTRIBUTION),
        ("SUSE LLC <https://www.suse.com/>", ("opensuse-leap", "suse", "opensuse"), DISTRIBUTION),
        ("openSUSE", ("opensuse-tumbleweed", "opensuse", "suse"), DISTRIBUTION),
        pytest.param("Fedora Project", ("almalinux", "rhel", "centos", "fedora"), OF_VENDOR, id="EPEL"),
        pytest.param("Red Hat, Inc.", ("almalinux", "rhel", "centos", "fedora"), OF_VENDOR, id="another's package"),
        pytest.param("NodeSource", ("rhel", "fedora"), OF_VENDOR, id="a company"),
        pytest.param("obs://build.opensuse.org/home:x", ("opensuse-leap", "suse"), OF_VENDOR, id="a home project"),
        pytest.param("Somebody", ("brand-new-linux", "rhel"), UNKNOWN, id="a distribution that is not known"),
        pytest.param("Fedora Project", (), DISTRIBUTION, id="no os-release"),
        pytest.param("NodeSource", (), UNKNOWN, id="a company, no os-release"),
        pytest.param(None, ("rhel",), UNKNOWN, id="no vendor"),
        pytest.param("", ("rhel",), UNKNOWN, id="empty vendor"),
    ],
)
def test_origin_by_the_vendor(vendor: str | None, ids: tuple[str, ...], expected: PackageOrigin) -> None:
    assert judge_rpm_origin(vendor, ids) is expected
