"""Every interpreter of this machine, judged as the file that it is and as the build that a scan makes of it: alike.

Two things make a difference, and each is tested here or with the reader. Of an absolute search path below an install's
own prefix, the file's reader knows what is in it, and a build does not tell where it lies. And a TLS module that
somebody else put into the standard library is no part of a build.
"""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from typing import TYPE_CHECKING

import pytest

from libcensus.agent.artefact import read_artefact
from libcensus.agent.document import prefix_of
from libcensus.collector.advisories.snapshot import load_snapshot
from libcensus.collector.posture.distribution import find_distribution, offer_of
from libcensus.collector.posture.offer import Offer
from libcensus.collector.posture.portability import check_artefact, check_build
from libcensus.collector.posture.verdict import PortabilityState
from libcensus.facts.vocabulary import ArtefactKind, FileRole, InstallKind
from tests.integration.test_truth import build_of, installs, machine

if TYPE_CHECKING:
    from libcensus.collector.posture.verdict import Verdict
    from libcensus.facts.artefact import Artefact
    from libcensus.facts.interpreter import Build, Install

pytestmark = pytest.mark.slow

DISTRIBUTIONS = ("debian:11", "debian:12", "debian:13", "alpine:3.20")
LACKING = {
    "this machine": (),
    "this machine without OpenSSL": ("libssl.", "libcrypto."),
    "this machine without what only modules use": ("libffi.", "libsqlite3.", "libreadline.", "liblzma.", "libbz2."),
    "this machine without libcrypt": ("libcrypt.",),
}
"""Hosts like this one, each without the libraries that start so."""


@cache
def _interpreters() -> list[tuple[Install, Build, Artefact]]:
    found = [one for kind in (InstallKind.BASE, InstallKind.VENV) for one in installs(kind) if one.build is not None]
    assert len(found) >= 2, "the suite's own environment and its base at least"
    return [(one, build_of(one), _read(one.path)) for one in found]


def _read(path: str) -> Artefact:
    warnings: list[str] = []
    artefact = read_artefact(path, on_warning=lambda _name, words: warnings.append(words))
    assert warnings == [], path
    return artefact


@cache
def _offer(name: str) -> Offer:
    platform = machine().platform
    if name in LACKING:
        kept = tuple(one for one in platform.libraries if not one.soname.startswith(LACKING[name] or ("\0",)))
        return Offer.of(replace(platform, libraries=kept))
    return offer_of(find_distribution(load_snapshot(), name), platform.arch)


def _known(verdict: Verdict) -> set[str | None]:
    return {reason.module for reason in verdict.degraded if reason.known}


def _known_of(verdict: Verdict, build: Build) -> set[str | None]:
    """Return the same of what the build itself has: a file's folders hold modules of other packages too, as Perl's."""
    own = {file.path.rpartition("/")[2].partition(".")[0] for file in build.files}
    return {module for module in _known(verdict) if module is None or module in own}


def _at_its_place(install: Install, build: Build) -> Build:
    """Return the build as it is where the install lies: nothing else is in the folders of its own prefix."""
    prefix = prefix_of(install, build)
    files = []
    for file in build.files:
        need = file.requirement
        if need is not None and prefix not in {"", "/usr", "/usr/local"}:
            need = replace(need, runpath=tuple(path for path in need.runpath if not path.startswith(f"{prefix}/")))
        files.append(replace(file, requirement=need))
    return replace(build, files=tuple(files))


def test_each_file_is_the_interpreter_that_the_scan_found() -> None:
    for install, build, artefact in _interpreters():
        assert artefact.kind is ArtefactKind.INTERPRETER, install.path
        assert (artefact.implementation, artefact.version) == (build.implementation, build.version), install.path


def test_each_file_has_the_modules_of_the_build() -> None:
    for install, build, artefact in _interpreters():
        for role in (FileRole.MODULE, FileRole.LIBRARY):
            theirs = {file.path.rpartition("/")[2] for file in build.files if file.role is role}
            mine = {file.path.rpartition("/")[2] for file in artefact.files if file.role is role}
            assert theirs <= mine, (install.path, role)


@pytest.mark.parametrize("name", DISTRIBUTIONS)
def test_file_and_build_are_judged_alike_where_only_the_distribution_is_known(name: str) -> None:
    offer = _offer(name)
    for install, build, artefact in _interpreters():
        mine, theirs = check_artefact(artefact, offer), check_build(build, offer)
        assert mine.state is theirs.state, install.path
        assert _known_of(mine, build) == _known(theirs), install.path


@pytest.mark.parametrize("name", LACKING)
def test_file_and_build_are_judged_alike_on_hosts_that_were_read(name: str) -> None:
    offer = _offer(name)
    for install, build, artefact in _interpreters():
        mine, theirs = check_artefact(artefact, offer), check_build(_at_its_place(install, build), offer)
        assert mine.state is theirs.state, install.path
        assert _known_of(mine, build) == _known(theirs), install.path
        assert _known(mine) >= _known(check_build(build, offer)), "to know more only adds"


def test_each_interpreter_of_this_machine_runs_where_it_is() -> None:
    # One for other machines may lie here too, for somebody who builds for them.
    own = [(install, one) for install, build, one in _interpreters() if build.arch == machine().platform.arch]
    assert own
    for install, artefact in own:
        assert check_artefact(artefact, _offer("this machine")).state is PortabilityState.RUNS, install.path


def test_without_openssl_the_modules_that_use_it_are_degraded_and_the_interpreter_starts() -> None:
    offer = _offer("this machine without OpenSSL")
    wanting = []
    for install, _, artefact in _interpreters():
        modules = [file for file in artefact.files if file.role is FileRole.MODULE]
        if not any("/_ssl." in file.path and "libssl.so.3" in file.requirement.sonames for file in modules):
            continue
        wanting.append(install.path)
        verdict = check_artefact(artefact, offer)
        assert verdict.state is PortabilityState.RUNS, install.path
        assert "_ssl" in _known(verdict), install.path
    if not wanting:
        pytest.skip("no Python of this machine uses the system's OpenSSL 3")
