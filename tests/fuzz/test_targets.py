"""The fuzzer's targets without the fuzzer: every first input, damage to it, and everything that was ever found."""

from __future__ import annotations

import random
from itertools import islice
from pathlib import Path

import pytest
from fuzz.targets import TARGETS, Target

FINDINGS = Path(__file__).parent / "findings"
FOUND = sorted(path for path in FINDINGS.rglob("*") if path.is_file() and path.name != "README.md")
BY_NAME = {target.name: target for target in TARGETS}


@pytest.mark.timeout(120)
def test_what_was_found_stays_mended() -> None:
    for path in FOUND:
        BY_NAME[path.parent.name].feed(path.read_bytes())


@pytest.mark.parametrize("target", TARGETS, ids=lambda target: target.name)
def test_a_target_takes_its_first_inputs_and_damage_to_them(target: Target) -> None:
    chance = random.Random(target.name)  # noqa: S311 - repeatable damage, no secret
    target.feed(b"")
    for seed in islice(target.seeds(), 12):
        assert seed, "an empty first input teaches nothing"
        target.feed(seed)
        for _ in range(4):
            damaged = bytearray(seed)
            for _ in range(chance.randint(1, 8)):
                damaged[chance.randrange(len(damaged))] = chance.randrange(256)
            target.feed(bytes(damaged))
            target.feed(bytes(damaged[: chance.randrange(len(damaged))]))


def test_every_folder_of_findings_is_of_a_target() -> None:
    assert {path.parent.name for path in FOUND} <= BY_NAME.keys()
    assert len(BY_NAME) == len(TARGETS)
