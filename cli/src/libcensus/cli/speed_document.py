"""The JSON of a measurement: what `libcensus speed --output json` prints, and a collector takes (docs/speed.md).

Times are the processor's, in seconds, of one pass of a part. Samples are what everything else is computed from; a
collector computes it anew.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from importlib.resources import files
from typing import TYPE_CHECKING, Any

from libcensus.cli.speed_run import WORKLOAD_VERSION, workload_digest
from libcensus.collector.posture.speed import ALL, CONFIDENCE, compare, median, spread

if TYPE_CHECKING:
    from collections.abc import Sequence

    from libcensus.cli.speed_builds import NamedBuild
    from libcensus.cli.speed_machine import Machine
    from libcensus.collector.posture.speed import MeasuredBuild, SpeedRun

SCHEMA_VERSION = 1


def speed_schema() -> dict[str, Any]:
    """Return the JSON Schema of a measurement."""
    schema: dict[str, Any] = json.loads(files("libcensus.cli").joinpath("speed.schema.json").read_text("utf-8"))
    return schema


@dataclass(frozen=True, slots=True)
class Measurement:
    """A run with all that was known when it was made.

    ``named`` are the interpreters in the run's order, ``seconds`` the processor's time of one run of one of them,
    ``share`` the part of the wall clock's time for which runs had a core, ``load_after`` that of the last minute.
    """

    run: SpeedRun
    named: tuple[NamedBuild, ...]
    machine: Machine
    rounds: int
    seconds: float
    share: float
    load_after: float
    doubts: tuple[str, ...]

    @property
    def baseline(self) -> MeasuredBuild:
        """What the others are compared with."""
        return next(one for one in self.run.interpreters if one.path == self.run.baseline)


def speed_object(measured: Measurement) -> dict[str, object]:
    """Return a measurement as JSON has it."""
    run, machine = measured.run, measured.machine
    return {
        "schema_version": SCHEMA_VERSION,
        "kind": "speed",
        "measured_at": run.measured_at.strftime("%Y-%m-%dT%H:%M:%SZ"),
        "machine": {
            "name": machine.name,
            "cpu": machine.cpu,
            "cores": machine.cores,
            "arch": machine.arch,
            "kernel": machine.kernel,
            "load_before": round(machine.load, 2),
            "load_after": round(measured.load_after, 2),
            "core_share": round(measured.share, 3),
        },
        "workload": {"version": WORKLOAD_VERSION, "digest": workload_digest(), "parts": list(run.parts)},
        "rounds": measured.rounds,
        "seconds": measured.seconds,
        "confidence": CONFIDENCE,
        "baseline": run.baseline,
        "interpreters": [
            _interpreter_object(one, named, measured)
            for one, named in zip(run.interpreters, measured.named, strict=True)
        ],
        "doubts": list(measured.doubts),
    }


def _interpreter_object(one: MeasuredBuild, named: NamedBuild, measured: Measurement) -> dict[str, object]:
    return {
        "given": named.given,
        "path": one.path,
        "environment": named.environment,
        "build": one.build,
        "implementation": one.implementation,
        "version": one.version,
        "language": one.language,
        "provider": one.provider,
        "provider_build": named.build.provider_build,
        "arch": one.arch,
        "flags": list(named.build.flags),
        "overall": _part_object(ALL, one.overall, one, measured.baseline),
        "parts": [_part_object(part, one.samples[part], one, measured.baseline) for part in measured.run.parts],
    }


def _part_object(part: str, samples: Sequence[float], one: MeasuredBuild, baseline: MeasuredBuild) -> dict[str, object]:
    found: dict[str, object] = {
        "name": part,
        "median": median(samples),
        "spread": spread(samples),
        "samples": list(samples),
        "compared": None,
    }
    if one is not baseline:
        speed = compare(baseline.samples_of(part), samples)
        found["compared"] = {
            "ratio": speed.ratio,
            "lower": speed.lower,
            "upper": speed.upper,
            "verdict": speed.verdict.value,
        }
    return found
