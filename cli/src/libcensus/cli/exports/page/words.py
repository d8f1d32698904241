"""What several parts of the page call and colour alike: severities, who can mend, linkages."""

from __future__ import annotations

from typing import TYPE_CHECKING

from libcensus.cli.exports.page.markup import Markup, Shown, tag
from libcensus.cli.exports.page.plots import Series
from libcensus.collector.posture.finding import Severity, Upgrade

if TYPE_CHECKING:
    from collections.abc import Mapping

SEVERITIES = tuple(sorted(Severity, key=lambda one: -one.rank))

SEVERITY_WORDS = {
    Severity.CRITICAL: "critical",
    Severity.HIGH: "high",
    Severity.MODERATE: "moderate",
    Severity.LOW: "low",
    Severity.UNKNOWN: "not rated",
}

SEVERITY_SERIES: Mapping[str, Series] = {one: Series(SEVERITY_WORDS[one], one.value) for one in SEVERITIES}

UPGRADE_SERIES: Mapping[str, Series] = {
    Upgrade.SYSTEM: Series("a system upgrade", "blue"),
    Upgrade.OWN: Series("whoever else built it", "orange"),
    Upgrade.IMAGE: Series("a new image", "purple"),
}

ALL = {"all": Series("all", "blue")}
"""The series of bars that have one part."""


def badge(severity: Severity) -> Markup:
    """Return a severity as a coloured word."""
    return tag("span", SEVERITY_WORDS[severity], class_=f"badge {severity.value}")


def alarming(number: int, style: str = "bad") -> Shown | int:
    """Return a number that is coloured unless it is 0."""
    return Shown(number, style) if number else number
