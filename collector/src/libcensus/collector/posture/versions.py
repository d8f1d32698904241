"""Order and branches of the versions of each component.

What cannot be read as a version of the component gives None, never a guess. OpenSSL is ordered here, because the
ordering library that the other schemes rest on sorts OpenSSL's pre-releases after the release; everything else goes to
a library. Distributions' package versions are another matter and not read here.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from packaging.version import InvalidVersion, Version

from libcensus.collector.posture.finding import Component

_OPENSSL = re.compile(
    r"""(\d{1,9})\.(\d{1,9})\.(\d{1,9})      # three numbers
        ([a-y]|z[a-z]?)?                     # a letter before 3.0; after z came za, zb
        (?:-fips)?                           # Red Hat's mark of a build, not of another release
        (?:-(alpha|beta|pre)(\d{1,9}))?      # before the release; 1.1.0 and 1.1.1 said pre for both
        (-dev)?                              # a state of the repository before that
        (?:\+[0-9A-Za-z.-]{1,64})?           # a builder's addition; it orders nothing
    """,
    re.VERBOSE | re.ASCII,
)
_STAGES = {"alpha": 0, "beta": 1, "pre": 2, None: 3}
_NODEJS = re.compile(r"v?(\d{1,9})\.(\d{1,9})\.(\d{1,9})", re.ASCII)
_TWO_NUMBERS = re.compile(
    r"""v?(\d{1,9}\.\d{1,9})\.\d{1,9}      # Ruby, Perl and PHP name their release lines by two numbers
        (?:p\d{1,9})?                      # Ruby's patch level
        (?:\.?(?:-?(?:dev|alpha|beta|preview|rc|RC|pre)\d{0,9}))?   # before the release
        (?:[+~-][0-9A-Za-z.+~:-]{1,64})?   # a builder's addition
    """,
    re.VERBOSE | re.ASCII,
)
_GLIBC = re.compile(r"\d{1,4}(?:\.\d{1,9}){1,3}", re.ASCII)
_BY_TWO_NUMBERS = frozenset({Component.RUBY, Component.PERL, Component.PHP})

GLIBC_LINE = "2"
"""glibc has one line of releases: what its advisories say of a beginning and an end holds for all in between."""

OpensslKey = tuple[int, int, int, str, int, int, int]


@dataclass(frozen=True, slots=True)
class OpensslVersion:
    """A version of OpenSSL in its own order: ``1.1.1-pre3`` < ``1.1.1`` < ``1.1.1a`` < ``1.1.1z`` < ``1.1.1za``.

    From 3.0 on the branch is two numbers (https://www.openssl.org/policies/general/versioning-policy.html); before,
    three, and letters count the fixes.
    """

    key: OpensslKey

    @property
    def branch(self) -> str:
        """The release line: ``1.1.1`` or ``3.5``."""
        major, minor, patch = self.key[:3]
        return f"{major}.{minor}" if major >= 3 else f"{major}.{minor}.{patch}"

    @property
    def is_prerelease(self) -> bool:
        """Whether this is a state before the release that it names."""
        return self.key[4:] != (3, 0, 1)

    @property
    def release(self) -> OpensslVersion:
        """The release that a pre-release leads to; a release is its own."""
        return OpensslVersion((*self.key[:4], 3, 0, 1))

    def __lt__(self, other: OpensslVersion) -> bool:
        """Order by numbers, letters, then stage."""
        return self.key < other.key

    def __le__(self, other: OpensslVersion) -> bool:
        """Order by numbers, letters, then stage."""
        return self.key <= other.key

    def __gt__(self, other: OpensslVersion) -> bool:
        """Order by numbers, letters, then stage."""
        return self.key > other.key

    def __ge__(self, other: OpensslVersion) -> bool:
        """Order by numbers, letters, then stage."""
        return self.key >= other.key


@lru_cache(maxsize=4096)
def parse_openssl(text: str) -> OpensslVersion | None:
    """Return OpenSSL's version, or None for a text that is none.

    A lone ``"z"`` sorts before ``"za"`` as text does, so the letters need no number of their own.
    """
    match = _OPENSSL.fullmatch(text)
    if match is None:
        return None
    major, minor, patch, letters, stage, number, dev = match.groups()
    if letters and int(major) >= 3:
        return None
    key = (int(major), int(minor), int(patch), letters or "", _STAGES[stage], int(number or 0), 0 if dev else 1)
    return OpensslVersion(key)


@dataclass(frozen=True, slots=True)
class LineVersion:
    """A version of CPython, glibc or Node.js on its release line, in the order of PEP 440, which all three keep to."""

    branch: str
    version: Version

    @property
    def key(self) -> tuple[Version]:
        """What orders it."""
        return (self.version,)

    @property
    def is_prerelease(self) -> bool:
        """Whether this is a state before the release that it names."""
        return self.version.is_prerelease


ComponentVersion = OpensslVersion | LineVersion


def is_before(left: ComponentVersion, right: ComponentVersion) -> bool:
    """Tell whether one version of a component comes before another; both are of the same component."""
    keys: tuple[tuple[Any, ...], tuple[Any, ...]] = (left.key, right.key)
    return keys[0] < keys[1]


@lru_cache(maxsize=16384)
def parse_version(component: Component, text: str) -> ComponentVersion | None:
    """Return a version that advisories can be held against, or None for a text that is none of the component."""
    if component is Component.OPENSSL:
        return parse_openssl(text)
    branch = branch_of(component, text)
    if component is Component.CPYTHON:
        version = parse_cpython(text)
    elif component is Component.GLIBC:
        version = _parse_glibc(text)
    elif component is Component.NODEJS:
        version = None if branch is None else Version(text)
    else:
        return None
    return None if version is None or branch is None else LineVersion(branch, version)


@lru_cache(maxsize=4096)
def _parse_glibc(text: str) -> Version | None:
    """Return glibc's version: ``2.36``, or ``2.36.9000`` of its repository; distributions' additions are none."""
    return Version(text) if _GLIBC.fullmatch(text) else None


@lru_cache(maxsize=4096)
def parse_cpython(text: str) -> Version | None:
    """Return CPython's version; the ``+`` of a build from the repository after a release is dropped."""
    try:
        version = Version(text.removesuffix("+"))
    except InvalidVersion:
        return None
    return version if len(version.release) >= 2 else None


@lru_cache(maxsize=4096)
def branch_of(component: Component, version: str) -> str | None:
    """Return the release line that a version belongs to, or None where the text is no version of the component."""
    if component is Component.OPENSSL:
        parsed = parse_openssl(version)
        return None if parsed is None else parsed.branch
    if component is Component.CPYTHON:
        release = parse_cpython(version)
        return None if release is None else f"{release.major}.{release.minor}"
    if component in _BY_TWO_NUMBERS:
        match = _TWO_NUMBERS.fullmatch(version)
        return None if match is None else match[1]
    if component is Component.GLIBC:
        return GLIBC_LINE if _GLIBC.fullmatch(version) else None
    if component is Component.NODEJS:
        match = _NODEJS.fullmatch(version)
        if match is None:
            return None
        # Before 4 a line was two numbers, as 0.10 and 0.12 were kept side by side for years.
        return match[1] if int(match[1]) else f"{match[1]}.{match[2]}"
    return None
