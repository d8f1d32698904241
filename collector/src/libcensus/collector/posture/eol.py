"""Whether the project behind a component still supports the branch that a copy is on.

The state is the project's own word on the day of the verdict: a branch is supported up to and including its last day,
and has ended from the day after. A distribution may go on supporting what its project gave up; that is said beside the
state and never changes it. A branch that the snapshot does not know is unknown, not ended and not supported.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from libcensus.collector.posture.finding import UNKNOWN_BRANCH, Component, Support, SupportState
from libcensus.collector.posture.versions import branch_of
from libcensus.facts.evidence import Evidence
from libcensus.facts.vocabulary import EvidenceKind, Implementation, PackageOrigin

if TYPE_CHECKING:
    from datetime import date

    from libcensus.collector.posture.catalogue import Branch, Catalogue
    from libcensus.facts.host import OsRelease
    from libcensus.facts.package import Package

TITLES = {
    Component.OPENSSL: "OpenSSL",
    Component.CPYTHON: "CPython",
    Component.NODEJS: "Node.js",
    Component.GLIBC: "glibc",
    Component.LIBRESSL: "LibreSSL",
    Component.BORINGSSL: "BoringSSL",
    Component.AWS_LC: "AWS-LC",
    Component.PYPY: "PyPy",
    Component.RUBY: "Ruby",
    Component.PERL: "Perl",
    Component.PHP: "PHP",
}
"""The components as their projects write themselves."""

INTERPRETERS = {
    Implementation.CPYTHON: Component.CPYTHON,
    Implementation.PYPY: Component.PYPY,
    Implementation.NODEJS: Component.NODEJS,
    Implementation.RUBY: Component.RUBY,
    Implementation.PERL: Component.PERL,
    Implementation.PHP: Component.PHP,
}
"""What each interpreter is as a component."""


def branch_state(branch: Branch, today: date) -> SupportState:
    """Return the state of a branch on a day; its last day of support still counts as supported."""
    if branch.eol is not None:
        return SupportState.ENDED if today > branch.eol else SupportState.SUPPORTED
    if branch.ended is not None:
        return SupportState.ENDED if branch.ended else SupportState.SUPPORTED
    return SupportState.UNKNOWN


def supported_branches(catalogue: Catalogue, component: Component, today: date) -> tuple[str, ...]:
    """Return the branches that are out and supported on a day, the one with the longest life first."""
    released = {release.branch for release in catalogue.releases.get(component, {}).values()}
    alive = [
        branch
        for branch in catalogue.branches.get(component, {}).values()
        if branch.branch in released
        and branch.eol is not None
        and branch_state(branch, today) is SupportState.SUPPORTED
        and (branch.released is None or branch.released <= today)
    ]
    return tuple(branch.branch for branch in sorted(alive, key=lambda item: item.eol or today, reverse=True))


def distribution_release(catalogue: Catalogue, os_release: OsRelease) -> Branch | None:
    """Return the life cycle of a host's distribution; releases are looked up whole, then by ever fewer numbers."""
    releases = catalogue.distributions.get(os_release.id or "", {})
    numbers = (os_release.version_id or "").split(".")
    for count in range(len(numbers), 0, -1):
        branch = releases.get(".".join(numbers[:count]))
        if branch is not None:
            return branch
    return None


def free_support_until(branch: Branch) -> date | None:
    """Return the last day on which everybody gets the fixes of a distribution's release."""
    days = [day for day in (branch.eol, branch.extended if branch.extended_is_free else None) if day is not None]
    return max(days, default=None)


def judge_support(
    component: Component,
    version: str | None,
    catalogue: Catalogue,
    today: date,
    *,
    package: Package | None = None,
    os_release: OsRelease | None = None,
    unknown_because: str = "its version could not be read",
) -> Support:
    """Return the support of the branch that a version is on; ``package`` owns the copy.

    ``unknown_because`` is said when there is no version.
    """
    title = TITLES[component]
    if component not in catalogue.branches and version is not None:
        return _unknown(component, version, f"the snapshot has neither advisories nor ends of life of {title}")
    branch_name = None if version is None else branch_of(component, version)
    if branch_name is None:
        reason = unknown_because if version is None else f"{version} is no version that {title} gives"
        return _unknown(component, UNKNOWN_BRANCH, f"{title}: {reason}")
    branch = catalogue.branches.get(component, {}).get(branch_name)
    if branch is None:
        known = f"the snapshot of {catalogue.snapshot_date.isoformat()}"
        return _unknown(component, branch_name, f"{known} says nothing about the life of {title} {branch_name}")
    state = branch_state(branch, today)
    until, remark = _distribution(package, os_release, catalogue, today)
    return Support(component, branch_name, state, branch.eol, (_statement(title, branch, state), *remark), until)


def _unknown(component: Component, branch: str, reason: str) -> Support:
    evidence = Evidence("end_of_life", EvidenceKind.ABSENCE, "", reason)
    return Support(component, branch, SupportState.UNKNOWN, None, (evidence,))


def _statement(title: str, branch: Branch, state: SupportState) -> Evidence:
    if branch.eol is not None:
        words = f"{title} {branch.branch} is supported up to {branch.eol.isoformat()}"
    elif state is SupportState.UNKNOWN:
        words = f"no source gives an end of {title} {branch.branch}"
    else:
        words = f"{title} {branch.branch} is {state.value}, without a day in the source"
    return Evidence("end_of_life", EvidenceKind.RELEASE_TABLE, "", words)


def _distribution(
    package: Package | None, os_release: OsRelease | None, catalogue: Catalogue, today: date
) -> tuple[date | None, tuple[Evidence, ...]]:
    """Return until when the distribution supports a package of its own, with the statement; nothing for others'."""
    if package is None or os_release is None or package.origin is not PackageOrigin.DISTRIBUTION:
        return None, ()
    release = distribution_release(catalogue, os_release)
    until = None if release is None else free_support_until(release)
    if release is None or until is None:
        words = f"{package.name} is the distribution's; the snapshot does not say until when it is supported there"
        return None, (Evidence("end_of_life", EvidenceKind.RELEASE_TABLE, "", words),)
    what = "supports" if today <= until else "supported"
    words = (
        f"{package.name} is the distribution's: {os_release.id} {release.branch} {what} it up to {until.isoformat()}"
    )
    return until, (Evidence("end_of_life", EvidenceKind.RELEASE_TABLE, "", words),)
