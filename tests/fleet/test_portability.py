"""What ``libcensus check`` says of real artefacts is what happens when they are started in four Debian releases.

No pair is left out: each sample is judged against the scan of each root and then started there. The table of all pairs
is ``docs/portability-check.md``.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.fleet.agreement import (
    Apart,
    Prediction,
    disagreements,
    drift,
    page,
    prediction_of,
)
from tests.fleet.furniture import furnished_root
from tests.fleet.inside import LOADER
from tests.fleet.reality import (
    PLACE,
    NotUnderstoodError,
    Obstacle,
    Reality,
    emulated,
    in_place,
    inside,
    obstacles_in,
    prepare,
    pythons_in,
    run_in,
    try_all,
)
from tests.fleet.roots import PYTHONS, run_inside
from tests.fleet.samples import MOVING, Sample, collect

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

pytestmark = [pytest.mark.root, pytest.mark.timeout(1200)]

COMMAND = str(Path(sys.executable).parent / "libcensus")
PAGE = Path(__file__).parents[2] / "docs" / "portability-check.md"

DISTRIBUTIONS = {"bullseye": "debian:11", "bookworm": "debian:12", "trixie": "debian:13"}
"""The releases that have a number, by which they can be named instead of being scanned."""

_PRIVATE = "what is missing is a symbol without a version of a private library, of which no fact of a platform tells"
_UPPER = "uv installs it against the upper bound of Requires-Python; pip refuses it, and the prediction goes by pip"
_KERNEL = "whether a kernel is built to run 32-bit programs is no fact of a platform; this machine's is"

APART: dict[tuple[str, str], Apart] = {
    ("apt of trixie", "forky"): Apart("runs", runs=False, kinds=frozenset({"undefined_symbol"}), why=_PRIVATE),
    ("apt of forky", "trixie"): Apart("runs", runs=False, kinds=frozenset({"undefined_symbol"}), why=_PRIVATE),
    **{
        ("older-1.0-py3-none-manylinux_2_17_x86_64.whl", suite): Apart(
            "blocked", runs=True, kinds=frozenset({"python"}), why=_UPPER
        )
        for suite in ("trixie", "forky")
    },
    **{
        (f"static 32-bit program, made on {release}", suite): Apart(
            "unknown", runs=True, kinds=frozenset({"arch"}), why=_KERNEL
        )
        for release in ("bookworm", "trixie")
        for suite in PYTHONS
    },
}
"""The pairs that are known to differ; everything else must agree."""


@dataclass(frozen=True)
class Tried:
    """All samples, what was predicted of each in each root, and what happened there."""

    samples: list[Sample]
    predictions: Mapping[str, Mapping[str, Prediction]]
    by_name: Mapping[str, Mapping[str, Prediction]]
    reality: Mapping[str, Mapping[str, Reality]]
    pythons: Mapping[str, tuple[str, ...]]
    stage: Path

    def sample(self, name: str) -> Sample:
        """Return the sample of this name."""
        return next(sample for sample in self.samples if sample.name == name)

    def pairs(self) -> Iterator[tuple[Sample, str]]:
        """Yield every sample with every root."""
        for sample in self.samples:
            for suite in PYTHONS:
                yield sample, suite

    def judged_pairs(self) -> Iterator[tuple[Sample, str]]:
        """Yield the pairs for which there is a prediction: all, or the test of that fails."""
        return ((sample, suite) for sample, suite in self.pairs() if sample.name in self.predictions[suite])


def _machine_level() -> int:
    """Return the level of this machine's processor, as a loader that knows levels says it."""
    told = run_inside(furnished_root("trixie"), LOADER, "--help")
    return max(int(level) for level in re.findall(r"x86-64-v(\d) \(supported", told))


def _scan(suite: str, folder: Path) -> Path:
    """Scan a root, and add what a scan of the running system would know: the processor and the kernel."""
    done = in_place(folder, COMMAND, "scan", "--root", str(furnished_root(suite)), "--output", "json")
    assert done.returncode == 0, done.stderr
    path = folder / f"{suite}.json"
    path.write_text(done.stdout, encoding="utf-8")
    return _running(path, level=_machine_level(), kernel=os.uname().release)


def _running(scan: Path, *, level: int, kernel: str) -> Path:
    """Return the scan of a root as it would be with this processor and this kernel."""
    document = json.loads(scan.read_text(encoding="utf-8"))
    document["platform"] |= {"x86_64_level": level, "kernel": ".".join(kernel.split(".")[:2])}
    path = scan.with_name(f"{scan.stem.partition('@')[0]}@v{level}-{kernel}.json")
    path.write_text(json.dumps(document), encoding="utf-8")
    return path


def _predictions(
    folder: Path, samples: Sequence[Sample], places: Mapping[str, str], *options: str
) -> dict[str, dict[str, Prediction]]:
    """Ask the command for every sample and place at once."""
    names = {inside(sample, sample.path): sample.name for sample in samples}
    against = [word for place in places.values() for word in ("--against", place)]
    done = in_place(folder, COMMAND, "check", *names, *against, *options, "--output", "json")
    # 2 says that some could not be read: a test of its own tells which.
    assert done.returncode in {0, 1, 2, 6}, done.stderr
    suites = {place: suite for suite, place in places.items()}
    found: dict[str, dict[str, Prediction]] = {suite: {} for suite in places}
    for entry in json.loads(done.stdout):
        name, suite = names[entry["artefact"]], suites[entry["against"]]
        assert name not in found[suite], f"{name} is judged twice against {entry['against']}"
        found[suite][name] = prediction_of(entry)
    return found


@pytest.fixture(scope="module")
def tried(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Tried]:
    """Everything, judged and started once for all tests."""
    stage = tmp_path_factory.mktemp("portability")
    (stage / "samples").mkdir()
    samples = collect(stage / "samples")
    prepare(stage, samples)
    roots = {suite: furnished_root(suite) for suite in PYTHONS}
    with ThreadPoolExecutor(2) as pool:
        scans = dict(zip(PYTHONS, pool.map(lambda suite: str(_scan(suite, stage)), PYTHONS), strict=True))
    predictions = _predictions(stage, samples, scans)
    by_name = _predictions(stage, samples, DISTRIBUTIONS, "--arch", "x86_64")
    pythons = {suite: pythons_in(root) for suite, root in roots.items()}
    with ThreadPoolExecutor(2) as pool:
        running = {suite: pool.submit(try_all, root, stage, samples, pythons[suite]) for suite, root in roots.items()}
        reality = {suite: future.result() for suite, future in running.items()}
    yield Tried(samples, predictions, by_name, reality, pythons, stage)
    shutil.rmtree(stage)


def test_every_pair_is_judged_and_tried(tried: Tried) -> None:
    names = {sample.name for sample in tried.samples}
    for suite in PYTHONS:
        assert names - tried.predictions[suite].keys() == set()
        assert tried.reality[suite].keys() == names
    assert len(names) >= 150


def test_prediction_equals_reality(tried: Tried) -> None:
    found = [
        f"{sample.name} on {suite}: {difference}"
        for sample, suite in tried.judged_pairs()
        if (sample.name, suite) not in APART
        for difference in disagreements(tried.reality[suite][sample.name], tried.predictions[suite][sample.name])
    ]
    assert not found, "\n".join([f"{len(found)} differences:", *found])


def test_the_pairs_that_are_known_to_differ_do_so_as_the_page_says(tried: Tried) -> None:
    for (name, suite), apart in APART.items():
        reality, prediction = tried.reality[suite][name], tried.predictions[suite][name]
        if MOVING in name and not disagreements(reality, prediction):
            continue  # The moving release's private library may be the same as trixie's one day, or have another name.
        assert apart.describes(reality, prediction), f"{name} on {suite}: {prediction}, {reality}"


def test_pip_refuses_what_uv_installs_against_an_upper_bound(tried: Tried) -> None:
    sample = tried.sample("older-1.0-py3-none-manylinux_2_17_x86_64.whl")
    for suite in ("trixie", "forky"):
        pip = ("/opt/venvs/new/bin/python", "-m", "pip", "install", "--no-index", "--no-deps", "--target", "/tmp/older")
        done = run_in(furnished_root(suite), tried.stage, *pip, inside(sample, sample.path))
        assert done.returncode != 0
        assert "requires a different Python" in done.stderr, done.stderr


@pytest.mark.parametrize(("processor", "level"), [("qemu64", 1), ("Nehalem", 2), ("Haswell", 3)])
@pytest.mark.parametrize("suite", ["bookworm", "trixie", "forky"])
def test_a_processor_of_a_lower_level_is_refused_as_predicted(
    tried: Tried, suite: str, processor: str, level: int
) -> None:
    # The loader of bullseye's glibc does not look at the note yet.
    root = furnished_root(suite)
    told = run_in(root, tried.stage, f"{PLACE}/emulator", "-cpu", processor, LOADER, "--help").stdout
    assert max((int(one) for one in re.findall(r"x86-64-v(\d) \(supported", told)), default=1) == level
    scan = _running(tried.stage / f"{suite}.json", level=level, kernel=os.uname().release)
    names = ("C program with the note of x86-64-v3, made on bookworm", "C program, made on bookworm")
    samples = [tried.sample(name) for name in names]
    predictions = _predictions(tried.stage, samples, {suite: str(scan)})[suite]
    for sample in samples:
        happened = emulated(root, tried.stage, sample, "-cpu", processor)
        assert disagreements(happened, predictions[sample.name]) == []
        assert happened.runs == (level >= 3 or "note" not in sample.name)


@pytest.mark.parametrize("kernel", ["98.4.0", "99.0.0", "99.1.0"])
def test_a_library_for_a_later_kernel_is_found_on_that_kernel(tried: Tried, kernel: str) -> None:
    sample = tried.sample("folder: program and a library for a later Linux, made on bullseye")
    scan = _running(tried.stage / "bullseye.json", level=_machine_level(), kernel=kernel)
    prediction = _predictions(tried.stage, [sample], {"bullseye": str(scan)})["bullseye"][sample.name]
    happened = emulated(furnished_root("bullseye"), tried.stage, sample, "-r", kernel)
    assert disagreements(happened, prediction) == []
    assert happened.runs == kernel.startswith("99.")


def test_a_release_known_by_name_is_less_sure_and_never_wrong(tried: Tried) -> None:
    wrong, sure = [], 0
    for sample, suite in tried.judged_pairs():
        if suite not in DISTRIBUTIONS or (sample.name, suite) in APART:
            continue
        verdict = tried.by_name[suite][sample.name].verdict
        reality = tried.reality[suite][sample.name]
        if {one.kind for one in reality.obstacles} == {"python"}:
            continue  # A name does not tell which Pythons are installed, so none is asked for.
        happened = "runs" if reality.runs else "blocked"
        sure += verdict != "unknown"
        if verdict not in {"unknown", happened}:
            wrong.append(f"{sample.name} on {DISTRIBUTIONS[suite]}: predicted {verdict}, and it {happened}")
    assert not wrong, "\n".join(wrong)
    assert sure >= 100


def test_the_page_has_every_pair_as_it_happened(tried: Tried) -> None:
    told = page(tried.samples, tried.reality, tried.pythons, APART)
    if os.environ.get("UPDATE_GOLDEN") == "1":
        PAGE.write_text(told, encoding="utf-8")
        return
    assert PAGE.is_file(), f"{PAGE} is missing; run the test with UPDATE_GOLDEN=1"
    found = drift(tried.samples, told, PAGE.read_text(encoding="utf-8"))
    assert not found, "\n".join([*found, "run the test with UPDATE_GOLDEN=1 when the new table is right"])


_RAN = Reality(
    runs=True,
    obstacles=frozenset(),
    complete=True,
    failed={"_ssl": frozenset({Obstacle("soname", "libssl.so.3", "libssl.so.3")})},
    opened=frozenset({"_json"}),
    said="",
)
_SAID = Reality(
    runs=False,
    obstacles=frozenset({Obstacle("symbol_version", "libc.so.6", "GLIBC_2.38")}),
    complete=True,
    failed={},
    opened=frozenset(),
    said="version `GLIBC_2.38' not found",
    required={Obstacle("symbol_version", "libc.so.6", "GLIBC_2.38"): frozenset({"program"})},
)
_REFUSED = replace(_SAID, obstacles=frozenset({Obstacle("loader", "", "/lib/ld-musl-x86_64.so.1")}), complete=False)
_UNINSTALLED = replace(_SAID, obstacles=frozenset({Obstacle("python", "", "")}), complete=False)


def _predicted(verdict: str, *reasons: str, degraded: str | None = None, known: bool = True) -> Prediction:
    entry = {
        "verdict": verdict,
        "reasons": [_reason(text, known=known) for text in reasons],
        "degraded": [] if degraded is None else [{**_reason("soname libssl.so.3 libssl.so.3"), "module": degraded}],
    }
    return prediction_of(entry)


def _reason(text: str, *, known: bool = True) -> dict[str, object]:
    kind, library, needs, *file = text.split(" ")
    return {"kind": kind, "library": library, "needs": needs, "known": known, "file": file[0] if file else None}


_VERSION = "symbol_version libc.so.6 GLIBC_2.38"
_MUSL = "loader /lib/ld-musl-x86_64.so.1 /lib/ld-musl-x86_64.so.1"


@pytest.mark.parametrize(
    ("happened", "prediction", "told"),
    [
        (_RAN, _predicted("runs", degraded="_ssl"), None),
        (_RAN, _predicted("runs"), "_ssl: predicted to open, and it fails with soname libssl.so.3"),
        (
            _RAN,
            _predicted("runs", degraded="_json"),
            "_json: predicted soname libssl.so.3.* and it opens",
        ),
        (_RAN, _predicted("runs", degraded="_lost"), "_lost: .* was not tried"),
        (_RAN, _predicted("blocked", _VERSION), "predicted blocked .* and it runs"),
        (_RAN, _predicted("unknown", _VERSION, known=False), "predicted unknown .* and it runs"),
        (_SAID, _predicted("blocked", _VERSION), None),
        (_SAID, _predicted("blocked", f"{_VERSION} bin/program"), None),
        (_SAID, _predicted("blocked", f"{_VERSION} lib/other.so"), "predicted for other.so, .* required by program"),
        (_SAID, _predicted("runs"), "predicted runs .* is blocked: version `GLIBC_2.38' not found"),
        (_SAID, _predicted("unknown", _VERSION, known=False), "predicted unknown"),
        (_SAID, _predicted("blocked", "symbol_version libm.so.6 GLIBC_2.38"), "the loader said .* of libc.so.6"),
        (_SAID, _predicted("blocked", _VERSION, "soname libz.so.1 libz.so.1"), "predicted soname libz.so.1"),
        (_SAID, _predicted("blocked", _MUSL), "predicted loader"),
        (_REFUSED, _predicted("blocked", _MUSL, _VERSION), None),
        (_REFUSED, _predicted("blocked", _VERSION), "the kernel said loader"),
        (_UNINSTALLED, _predicted("blocked", "python - 3.12"), None),
        (_UNINSTALLED, _predicted("blocked", "tag - manylinux_2_38_x86_64"), "the installer said python"),
        (_UNINSTALLED, _predicted("blocked", _VERSION), "the installer said python"),
    ],
)
def test_the_comparison_tells_every_kind_of_difference(
    happened: Reality, prediction: Prediction, told: str | None
) -> None:
    found = disagreements(happened, prediction)
    if told is None:
        assert found == []
    else:
        assert any(re.search(told, text) for text in found), found


def test_a_wrong_verdict_for_any_pair_is_told(tried: Tried) -> None:
    other = {"runs": "blocked", "blocked": "runs", "unknown": "runs"}
    for sample, suite in tried.judged_pairs():
        if (sample.name, suite) in APART:
            continue
        right, happened = tried.predictions[suite][sample.name], tried.reality[suite][sample.name]
        if disagreements(happened, right):
            continue  # Told by the test above.
        assert disagreements(happened, replace(right, verdict=other[right.verdict])), sample.name
        assert disagreements(happened, replace(right, verdict="unknown")), sample.name
        for one in right.files.keys() & happened.required.keys():
            assert disagreements(happened, replace(right, files={one: frozenset({"another.so"})})), sample.name
        if right.verdict == "blocked":
            assert disagreements(happened, replace(right, reasons=frozenset())), sample.name
        for module in right.degraded if happened.runs else ():
            fewer = {name: found for name, found in right.degraded.items() if name != module}
            assert disagreements(happened, replace(right, degraded=fewer)), sample.name


def test_a_text_that_nobody_understands_is_no_reason() -> None:
    with pytest.raises(NotUnderstoodError):
        obstacles_in("Segmentation fault", "")


def test_a_cell_that_changed_is_drift(tried: Tried) -> None:
    told = page(tried.samples, tried.reality, tried.pythons, APART)
    assert drift(tried.samples, told, told) == []
    name, suite = "C program, made on trixie", "bullseye"
    (line,) = (line for line in told.splitlines() if line.startswith(f"| {name} |"))
    wrong = told.replace(line, line.replace("blocked: `GLIBC_2.34`", "runs", 1))
    (found,) = drift(tried.samples, told, wrong)
    assert found.startswith(f"{name} on {suite}: blocked: `GLIBC_2.34`; the page has runs")
    assert len(drift(tried.samples, told, told.replace(f"{line}\n", ""))) == 3
