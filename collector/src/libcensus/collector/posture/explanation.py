"""Why there is no finding of an advisory on something: the silence of a verdict put into words.

"No finding" has several meanings: the version lies outside the range, the copy is another product, or nobody could read
what it is. They are told apart, for the last one is no good news.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import StrEnum
from typing import TYPE_CHECKING

from libcensus.collector.posture.eol import TITLES
from libcensus.collector.posture.finding import Component
from libcensus.collector.posture.security import Placement, place
from libcensus.collector.posture.versions import parse_version

if TYPE_CHECKING:
    from collections.abc import Sequence

    from libcensus.collector.posture.catalogue import Advisory, Catalogue

_FORKS = frozenset({Component.LIBRESSL, Component.BORINGSSL, Component.AWS_LC})


class Silence(StrEnum):
    """Why an advisory has no finding on something."""

    OUTSIDE_RANGE = "outside_range"
    """The version was looked at, and the advisory does not hold for it."""
    OTHER_PLATFORM = "other_platform"
    """The advisory holds on another operating system only, and the version is not in its range either."""
    FORK = "fork"
    """The copy is a product of its own that stands in OpenSSL's place."""
    OTHER_COMPONENT = "other_component"
    """Nothing here is what the advisory is about."""
    NOT_READ = "not_read"
    """What the copy is, or which version it has, could not be read: nothing is known."""
    UNKNOWN_ADVISORY = "unknown_advisory"
    """The catalogue has no such advisory: nothing is known."""
    OTHER_CATALOGUE = "other_catalogue"
    """This catalogue's advisory holds, and whoever judged had none such: the catalogues differ."""

    @property
    def is_known(self) -> bool:
        """Whether it is known that the advisory does not hold."""
        return self in {Silence.OUTSIDE_RANGE, Silence.OTHER_PLATFORM, Silence.FORK, Silence.OTHER_COMPONENT}


@dataclass(frozen=True, slots=True)
class Held:
    """One component that something is or holds; ``component`` is absent for a copy whose product nobody could tell."""

    component: Component | None
    version: str | None


@dataclass(frozen=True, slots=True)
class Explained:
    """Why there is no finding, by its kind and in words; ``component`` is what the advisory is about, where known."""

    silence: Silence
    words: str
    component: Component | None = None


def explain_silence(advisory_id: str, held: Sequence[Held], catalogue: Catalogue) -> Explained:
    """Return why an advisory has no finding on something that holds these components."""
    advisories = [one for one in catalogue.advisories if advisory_id == one.id or advisory_id in one.aliases]
    known = f"as far as known on {catalogue.snapshot_date.isoformat()}"
    if not advisories:
        count = len(catalogue.advisories)
        words = f"{advisory_id} is none of the {count} advisories of OpenSSL, CPython, glibc and Node.js, {known}: "
        words += "not assessed"
        return Explained(Silence.UNKNOWN_ADVISORY, words)
    told = [
        replace(_explain(advisory, held, catalogue, known), component=advisory.component) for advisory in advisories
    ]
    # The advisory of a component that is here says more than that of one that is not.
    return next((one for one in told if one.silence is not Silence.OTHER_COMPONENT), told[0])


def _explain(advisory: Advisory, held: Sequence[Held], catalogue: Catalogue, known: str) -> Explained:
    title = TITLES[advisory.component]
    own = [one for one in held if one.component is advisory.component]
    for one in own:
        return _placed(advisory, one, catalogue, known)
    forks = [one.component for one in held if one.component in _FORKS]
    if advisory.component is Component.OPENSSL and forks and forks[0] is not None:
        words = f"{advisory.id} is about {title}; this is {TITLES[forks[0]]}, a product with advisories of its own, "
        return Explained(Silence.FORK, f"{words}none of which are known here")
    if advisory.component is Component.OPENSSL and any(one.component is None for one in held):
        words = f"{advisory.id} is about {title}; which crypto library is here could not be told: nothing is known"
        return Explained(Silence.NOT_READ, words)
    names = " and ".join(
        f"{TITLES[one.component]} {one.version or 'of unknown version'}" for one in held if one.component is not None
    )
    words = f"{advisory.id} is about {title}; what lies here is {names or 'nothing that is judged'}"
    return Explained(Silence.OTHER_COMPONENT, words)


def _placed(advisory: Advisory, held: Held, catalogue: Catalogue, known: str) -> Explained:
    title = TITLES[advisory.component]
    version = None if held.version is None else parse_version(advisory.component, held.version)
    if version is None:
        read = "could not be read" if held.version is None else f"{held.version} is none that {title} gives"
        return Explained(Silence.NOT_READ, f"the version of {title} here {read}: nothing is known")
    here = f"{title} here is {held.version}"
    found = advisory.range_of(version.branch)
    if place(version, advisory, catalogue) is not Placement.OUTSIDE:
        if advisory.windows_only:
            return Explained(Silence.OTHER_PLATFORM, f"{advisory.id} holds on Windows only; {here}")
        words = f"{advisory.id} holds for {title} {held.version} by this command's advisories ({known}), and whoever "
        return Explained(Silence.OTHER_CATALOGUE, f"{words}judged has none such: the versions of the two differ")
    if found is None:
        lines = ", ".join(sorted({one.branch for one in advisory.ranges})) or "no release line"
        words = (
            f"{advisory.id} holds for the lines {lines} of {title}; {here}, whose line its source looked at and did "
        )
        words += "not list, or which began with the fix"
    else:
        end = "has no fixed release" if found.fixed is None else f"ends before {found.fixed}"
        words = f"the range of {advisory.id} on line {found.branch} begins with {found.introduced} and {end}; {here}, "
        words += "outside of it"
    return Explained(Silence.OUTSIDE_RANGE, f"{words} ({advisory.source}, {known})")
