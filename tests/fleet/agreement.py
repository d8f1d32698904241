"""Compares what the product says of a sample and a root with what happened there, and writes both down as a page."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Any

from tests.fleet.reality import Obstacle, Reality
from tests.fleet.roots import PYTHONS
from tests.fleet.samples import MOVING, Sample

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

_NEED_ONLY = frozenset({"loader", "arch", "x86_64_level", "kernel"})
_INSTALLERS = frozenset({"tag", "python", "arch"})


@dataclass(frozen=True)
class Prediction:
    """One entry of ``libcensus check --output json``, as far as it can be held against reality."""

    verdict: str
    reasons: frozenset[Obstacle]
    unknown: frozenset[Obstacle]
    degraded: Mapping[str, frozenset[Obstacle]]
    files: Mapping[Obstacle, frozenset[str]] = field(default_factory=dict)


def prediction_of(entry: Mapping[str, Any]) -> Prediction:
    """Return an entry of the command's JSON."""
    degraded: dict[str, frozenset[Obstacle]] = {}
    for reason in entry["degraded"]:
        degraded[reason["module"]] = degraded.get(reason["module"], frozenset()) | {_obstacle(reason)}
    files: dict[Obstacle, frozenset[str]] = {}
    for reason in [*entry["reasons"], *entry["degraded"]]:
        if reason["file"] is not None:
            one = _obstacle(reason)
            files[one] = files.get(one, frozenset()) | {PurePosixPath(reason["file"]).name}
    return Prediction(
        verdict=entry["verdict"],
        reasons=frozenset(_obstacle(reason) for reason in entry["reasons"] if reason["known"]),
        unknown=frozenset(_obstacle(reason) for reason in entry["reasons"] if not reason["known"]),
        degraded=degraded,
        files=files,
    )


def _obstacle(reason: Mapping[str, Any]) -> Obstacle:
    kind = reason["kind"]
    if kind == "soname":
        return Obstacle(kind, reason["needs"], reason["needs"])
    return Obstacle(kind, "" if kind in _NEED_ONLY else reason["library"] or "", reason["needs"])


def disagreements(reality: Reality, prediction: Prediction) -> list[str]:
    """Return everything in which the two differ; empty when they agree on the verdict, the reasons and the modules."""
    happened = "runs" if reality.runs else "blocked"
    if prediction.verdict != happened:
        told = _told(prediction.reasons | prediction.unknown)
        return [f"predicted {prediction.verdict} ({told}), and it {_happened(reality)}"]
    found = _modules(reality, prediction) if reality.runs else _reasons(reality, prediction)
    return [*found, *_files(reality, prediction)]


def _happened(reality: Reality) -> str:
    return "runs" if reality.runs else f"is blocked: {reality.said or _told(reality.obstacles)}"


def _told(obstacles: Iterable[Obstacle]) -> str:
    return ", ".join(sorted(f"{one.kind} {one}" for one in obstacles)) or "no reason"


def _reasons(reality: Reality, prediction: Prediction) -> Iterable[str]:
    """Compare reasons: a loader names every one, the kernel and an installer only what they met first."""
    if reality.complete:
        if prediction.reasons != reality.obstacles:
            yield f"predicted {_told(prediction.reasons)}, and the loader said {_told(reality.obstacles)}"
        return
    if any(one.needs for one in reality.obstacles):
        if not reality.obstacles <= prediction.reasons:
            yield f"predicted {_told(prediction.reasons)}, and the kernel said {_told(reality.obstacles)}"
        return
    kinds = {one.kind for one in prediction.reasons if one.kind in _INSTALLERS}
    said = {one.kind for one in reality.obstacles}
    if not kinds or not kinds <= said:
        yield f"predicted {_told(prediction.reasons)}, and the installer said {', '.join(sorted(said))}: {reality.said}"


def _files(reality: Reality, prediction: Prediction) -> Iterable[str]:
    """Compare the file that is named with those by which the loader said that the version is required."""
    for obstacle in sorted(reality.required.keys() & prediction.files.keys()):
        others = prediction.files[obstacle] - reality.required[obstacle]
        if others:
            required = ", ".join(sorted(reality.required[obstacle]))
            yield f"{obstacle}: predicted for {', '.join(sorted(others))}, and the loader said: required by {required}"


def _modules(reality: Reality, prediction: Prediction) -> Iterable[str]:
    for name in sorted(reality.failed.keys() | prediction.degraded.keys()):
        predicted = prediction.degraded.get(name, frozenset())
        happened = reality.failed.get(name, frozenset())
        if predicted != happened:
            fate = f"fails with {_told(happened)}" if happened else "opens"
            if not happened and name not in reality.opened:
                fate = "was not tried"
            yield f"{name}: predicted {_told(predicted) if predicted else 'to open'}, and it {fate}"


@dataclass(frozen=True)
class Apart:
    """A pair for which the prediction is known not to be what happens, how it differs, and why."""

    verdict: str
    runs: bool
    kinds: frozenset[str]
    why: str

    def describes(self, reality: Reality, prediction: Prediction) -> bool:
        """Tell whether the pair differs in just this way."""
        obstacles = prediction.reasons | prediction.unknown if self.runs else reality.obstacles
        return (
            prediction.verdict == self.verdict
            and reality.runs == self.runs
            and {one.kind for one in obstacles} == self.kinds
        )


HEAD = """# Portability: what is predicted and what happens

<!-- Made by tests/fleet/test_portability.py; `UPDATE_GOLDEN=1 make fleet-test PYTEST_ARGS="-k portability"` makes it
anew. -->

Each row is an artefact, each column a Debian release. `make fleet-test` asks `libcensus check` for the verdict of every
pair, and then really starts the artefact in a root of that release. The verdict must agree for every pair, and the
reasons with what the kernel, `ld.so` or the installer said: every library that is not found, every symbol version that
is missing. Where it starts, each of its extension modules is opened in a process of its own, and those that fail must
be the ones that were predicted, with the reasons. A wheel is installed by uv for every Python of the root (its own,
PyPy, python-build-standalone) and its modules are imported; where all of these refuse it, the cell tells for what.
Processors of a lower level and other kernels are tried by an emulator, with the programs that have a note of them.

A cell names what is in the way; of several symbol versions of one library only the highest. "without" lists the modules
that do not open, each for the reasons that the test compared. Artefacts that were made on a release are compiled there
by its own compiler. What was built on the machine that ran the test is there where such builds are; its rows are not
held against this page, nor are those of forky, which still changes.
"""
_PYTHONS = "Wheels are installed for these Pythons: "


def page(
    samples: Sequence[Sample],
    table: Mapping[str, Mapping[str, Reality]],
    pythons: Mapping[str, Sequence[str]],
    apart: Mapping[tuple[str, str], Apart],
) -> str:
    """Return the page: a row for each sample, a cell for each root with what happened there."""
    groups: dict[str, list[Sample]] = {}
    for sample in samples:
        groups.setdefault(_group(sample), []).append(sample)
    lines = [HEAD]
    pairs = [table[suite][sample.name] for sample in samples for suite in PYTHONS]
    running = sum(one.runs for one in pairs)
    modules = sum(len(one.opened) for one in pairs)
    failing = sum(len(one.failed) for one in pairs)
    lines.append(f"{len(samples)} artefacts on {len(PYTHONS)} releases are {len(pairs)} pairs. {running} run and")
    lines.append(
        f"{len(pairs) - running} do not; {modules} modules and libraries were opened and {failing} could not be.\n"
    )
    for title, group in groups.items():
        lines.append(f"## {title}\n")
        if group[0].action == "wheel":
            lines += [_PYTHONS + "; ".join(f"{suite}: {', '.join(pythons[suite])}" for suite in PYTHONS) + ".\n"]
        lines += [f"| artefact | {' | '.join(PYTHONS)} |", f"|---|{'---|' * len(PYTHONS)}"]
        for sample in group:
            cells = [
                _cell(table[suite][sample.name]) + (" (\\*)" if (sample.name, suite) in apart else "")
                for suite in PYTHONS
            ]
            lines.append(f"| {_name(sample)} | {' | '.join(cells)} |")
        lines.append("")
    lines.append("## Known to differ\n")
    lines.append("Marked (\\*) above. The test fails when one of these pairs differs no more, or in another way.\n")
    for one in dict.fromkeys(apart.values()):
        pairs_apart = [
            f"{_name_of(samples, name)} on {suite}" for (name, suite), other in apart.items() if other == one
        ]
        lines.append(f"- Predicted `{one.verdict}`: {one.why}. {'; '.join(pairs_apart)}.")
    lines.append("")
    return "\n".join(lines)


def _group(sample: Sample) -> str:
    if sample.action == "wheel":
        return "Wheels"
    if sample.probe:
        return "Interpreters with their modules"
    if sample.action == "library":
        return "Shared libraries"
    return "Made by each release's compiler" if " made on " in sample.name else "Programs"


def _name(sample: Sample) -> str:
    return f"`{sample.name}`" if sample.action == "wheel" else sample.name


def _name_of(samples: Sequence[Sample], name: str) -> str:
    return next(_name(sample) for sample in samples if sample.name == name)


def _cell(reality: Reality) -> str:
    if not reality.runs:
        return f"blocked: {_words(reality.obstacles)}"
    if not reality.failed:
        return "runs"
    return f"runs, without {', '.join(f'`{name}`' for name in sorted(reality.failed))}: {_words(_all(reality.failed))}"


def _all(failed: Mapping[str, frozenset[Obstacle]]) -> frozenset[Obstacle]:
    return frozenset().union(*failed.values())


_KINDS = {"tag": "tag", "python": "Python", "arch": "architecture"}


def _words(obstacles: Iterable[Obstacle]) -> str:
    """Return obstacles in a few words: of one library's versions the highest."""
    best: dict[tuple[str, str], str] = {}
    for one in sorted(obstacles, key=lambda one: _version_key(one.needs)):
        family = re.split(r"_\d", one.needs)[0]
        best[one.kind, f"{one.library} {family}"] = f"`{one.needs}`" if one.needs else _KINDS[one.kind]
    return ", ".join(dict.fromkeys(best[key] for key in sorted(best)))


def _version_key(text: str) -> list[int]:
    return [int(number) for number in re.findall(r"\d+", text)]


def drift(samples: Sequence[Sample], told: str, written: str) -> list[str]:
    """Return the cells of pairs that every machine has, in which the page that is written differs from this run's.

    Wheels are compared when the roots had the same Pythons.
    """
    fresh, kept = _cells(told), _cells(written)
    same_pythons = _pythons_line(told) == _pythons_line(written)
    found = []
    for sample in samples:
        if not sample.is_fixed or (sample.action == "wheel" and not same_pythons):
            continue
        name = _name(sample)
        found += [
            f"{name} on {suite}: {fresh[name, suite]}; the page has {kept.get((name, suite))}"
            for suite in PYTHONS
            if suite != MOVING and fresh[name, suite] != kept.get((name, suite))
        ]
    return found


def _pythons_line(text: str) -> str:
    return next((line for line in text.splitlines() if line.startswith(_PYTHONS)), "")


def _cells(text: str) -> dict[tuple[str, str], str]:
    cells = {}
    for line in text.splitlines():
        if line.startswith("| ") and not line.startswith("| artefact"):
            name, *rest = [part.strip() for part in line.strip("|").split(" | ")]
            cells.update({(name, suite): cell for suite, cell in zip(PYTHONS, rest, strict=True)})
    return cells
