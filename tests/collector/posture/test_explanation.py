"""Why there is no finding: each kind of silence, and never a good word about what nobody could read."""

from __future__ import annotations

from dataclasses import replace

import pytest

from libcensus.collector.advisories.snapshot import load_snapshot
from libcensus.collector.posture.explanation import Explained, Held, Silence, explain_silence
from libcensus.collector.posture.finding import Component
from libcensus.collector.posture.remedy import Circumstances
from libcensus.collector.posture.security import judge_cpython, judge_openssl
from libcensus.facts.crypto import CryptoLibrary, CryptoUse
from libcensus.facts.vocabulary import CryptoFamily, Implementation, Installer, Linkage, Provider

OPENSSL, CPYTHON = Component.OPENSSL, Component.CPYTHON
PYTHON = Held(CPYTHON, "3.12.12")

CASES: dict[str, tuple[str, tuple[Held, ...], Silence, str]] = {
    "the fix is in": (
        "CVE-2025-15467", (PYTHON, Held(OPENSSL, "3.5.5")), Silence.OUTSIDE_RANGE,
        "on line 3.5 begins with 3.5.0 and ends before 3.5.5; OpenSSL here is 3.5.5, outside of it",
    ),
    "the line is not listed": (
        "CVE-2025-15467", (Held(OPENSSL, "4.0.0"),), Silence.OUTSIDE_RANGE, "whose line its source looked at",
    ),
    "a fork": ("CVE-2025-15467", (PYTHON, Held(Component.BORINGSSL, None)), Silence.FORK, "this is BoringSSL"),
    "nobody could tell the product": (
        "CVE-2025-15467", (PYTHON, Held(None, None)), Silence.NOT_READ, "which crypto library is here could not be",
    ),
    "nobody could read the version": (
        "CVE-2025-15467", (Held(OPENSSL, None),), Silence.NOT_READ, "could not be read: nothing is known",
    ),
    "no version of OpenSSL's": (
        "CVE-2025-15467", (Held(OPENSSL, "x.y"),), Silence.NOT_READ, "x.y is none that OpenSSL gives",
    ),
    "another component": (
        "CVE-2025-15467", (PYTHON,), Silence.OTHER_COMPONENT, "is about OpenSSL; what lies here is CPython 3.12.12",
    ),
    "nothing at all": ("CVE-2025-15467", (), Silence.OTHER_COMPONENT, "nothing that is judged"),
    "no such advisory": ("CVE-1999-1111", (PYTHON,), Silence.UNKNOWN_ADVISORY, "CVE-1999-1111 is none of the"),
    "whoever judged knew less": (
        "CVE-2025-15467", (Held(OPENSSL, "3.5.4"),), Silence.OTHER_CATALOGUE, "whoever judged has none such",
    ),
}  # fmt: skip


@pytest.mark.parametrize(("advisory", "held", "silence", "words"), CASES.values(), ids=CASES)
def test_silence_is_explained(advisory: str, held: tuple[Held, ...], silence: Silence, words: str) -> None:
    told = explain_silence(advisory, held, load_snapshot())
    assert told.silence is silence
    assert words in told.words
    assert told.component is (None if silence is Silence.UNKNOWN_ADVISORY else OPENSSL)


def test_only_what_was_looked_at_is_known() -> None:
    assert {one for one in Silence if not one.is_known} == {
        Silence.NOT_READ,
        Silence.UNKNOWN_ADVISORY,
        Silence.OTHER_CATALOGUE,
    }


def test_an_advisory_is_found_by_its_other_names() -> None:
    catalogue = load_snapshot()
    advisory = next(one for one in catalogue.advisories if one.id == "CVE-2025-15467")
    renamed = replace(advisory, aliases=("GHSA-xxxx",))
    told = explain_silence("GHSA-xxxx", (Held(OPENSSL, "3.5.5"),), replace(catalogue, advisories=(renamed,)))
    assert told.silence is Silence.OUTSIDE_RANGE


VERSIONS = ("1.0.2u", "1.1.1w", "3.0.13", "3.5.4", "3.5.9", "3.6.0", "4.0.0")


@pytest.mark.parametrize("version", VERSIONS)
def test_openssl_silence_means_what_the_verdicts_mean(version: str) -> None:
    """Whatever upstream's ranges give no finding for is explained as known, and nothing else is."""
    catalogue = load_snapshot()
    use = CryptoUse(Linkage.STATIC, "/x", CryptoLibrary(CryptoFamily.OPENSSL, version))
    circumstances = Circumstances(use, Provider.SOURCE, Installer.UNKNOWN, None, None)
    found = {one.advisory for one in judge_openssl(circumstances, catalogue, catalogue.snapshot_date, package=None)}
    assert explained(OPENSSL, version) == found


@pytest.mark.parametrize("version", ["3.8.10", "3.11.2", "3.12.12", "3.14.0", "3.15.0a1"])
def test_cpython_silence_means_what_the_verdicts_mean(version: str) -> None:
    catalogue = load_snapshot()
    circumstances = Circumstances(
        CryptoUse(Linkage.NONE), Provider.SOURCE, Installer.UNKNOWN, version, None, Implementation.CPYTHON
    )
    found = {one.advisory for one in judge_cpython(circumstances, catalogue, catalogue.snapshot_date, package=None)}
    assert explained(CPYTHON, version) == found


def explained(component: Component, version: str) -> set[str]:
    """Return the advisories of a component whose silence would not be known to be good."""
    catalogue = load_snapshot()
    told: dict[str, Explained] = {
        one.id: explain_silence(one.id, (Held(component, version),), catalogue)
        for one in catalogue.advisories
        if one.component is component
    }
    assert {one.silence for one in told.values()} <= {
        Silence.OUTSIDE_RANGE,
        Silence.OTHER_CATALOGUE,
        Silence.OTHER_PLATFORM,
    }
    windows = {one.id for one in catalogue.advisories if one.windows_only}
    # An advisory for Windows has a finding inside its range alone; its silence elsewhere says where it holds.
    inside = {name for name, one in told.items() if one.silence is Silence.OTHER_CATALOGUE}
    return inside | {name for name in windows & told.keys() if told[name].silence is Silence.OTHER_PLATFORM}
