"""Verdicts of published wheels on each glibc that has a manylinux policy, against what auditwheel says of them.

A wheel that auditwheel finds fit for ``manylinux_2_17`` runs on every glibc from 2.17 on, and on none of an older
policy.
What it fits to none of (``linux``) runs nowhere for certain.
"""

from __future__ import annotations

import re
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from libcensus.agent.artefact import read_artefact
from libcensus.collector.posture.catalogue import DistributionRelease
from libcensus.collector.posture.distribution import offer_of
from libcensus.collector.posture.portability import check_artefact
from libcensus.collector.posture.verdict import PortabilityState
from libcensus.facts.manylinux import POLICIES
from tests.conftest import fetched_wheels

if TYPE_CHECKING:
    from collections.abc import Iterator

_TAG = re.compile(r'platform\s+tag:\s+"(?:manylinux_2_(\d+)|linux)_x86_64"')


@pytest.fixture(scope="module")
def compiled_wheels(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """The wheels of the project's own locks that are for a machine."""
    folder = fetched_wheels(tmp_path_factory.mktemp("locked"), "samples.txt", "runtime.txt", "dev.txt")
    return sorted(path for path in folder.glob("*.whl") if path.stem.endswith("x86_64"))


def _audited(wheel: Path) -> int | None:
    command = [str(Path(sys.executable).with_name("auditwheel")), "show", str(wheel)]
    told = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    match = _TAG.search(told)
    assert match is not None, told
    return None if match[1] is None else int(match[1])


def _glibc(minor: int) -> DistributionRelease:
    return DistributionRelease("any", "1", f"2.{minor}", None, None, "made for this test", verified=True)


def _verdicts(wheel: Path) -> Iterator[tuple[int, PortabilityState]]:
    # The tags are the wheel's own statement; here its files are asked.
    artefact = replace(read_artefact(wheel), tags=(), requires_python=None)
    assert artefact.files
    for minor in POLICIES:
        yield minor, check_artefact(artefact, offer_of(_glibc(minor), "x86_64")).state


def test_a_wheel_runs_from_the_policy_on_that_auditwheel_finds_it_fit_for(compiled_wheels: list[Path]) -> None:
    assert len(compiled_wheels) >= 15
    with ThreadPoolExecutor(2) as pool:
        audited = dict(zip(compiled_wheels, pool.map(_audited, compiled_wheels), strict=True))
    for wheel, first in audited.items():
        for minor, state in _verdicts(wheel):
            fits = first is not None and minor >= first
            assert (state is PortabilityState.RUNS) is fits, (wheel.name, first, minor, state)
