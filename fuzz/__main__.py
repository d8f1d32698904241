"""Fuzzes every parser for a while: ``python -m fuzz [TARGET...]``, with the time of each in ``FUZZ_SECONDS``.

Inputs that were found to lead further are kept in ``FUZZ_CORPUS`` when that names a folder, and thrown away without.
Whatever a target raises beside what it documents, takes longer than some seconds or more memory than a bound, is a
finding: the input is kept, and the end tells how it becomes a test.
"""

from __future__ import annotations

import hashlib
import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path

from fuzz.targets import TARGETS, Target

HERE = Path(__file__).resolve().parent
FINDINGS = HERE.parent / "tests" / "fuzz" / "findings"

SECONDS = int(os.environ.get("FUZZ_SECONDS", "20"))
INPUT_SECONDS = 10
MEMORY_MEBIBYTES = 512
LARGEST_INPUT = 256 << 10


def write_seeds(target: Target, folder: Path) -> int:
    """Write a target's first inputs, and the findings of old, by their digests; returns how many there are."""
    inputs = [*target.seeds(), *(path.read_bytes() for path in sorted((FINDINGS / target.name).glob("*")))]
    for data in inputs:
        (folder / hashlib.sha256(data).hexdigest()[:16]).write_bytes(data)
    return len(inputs)


def fuzz(target: Target, corpus: Path, kept: Path) -> tuple[int, list[Path]]:
    """Fuzz one target; returns how many inputs were tried, and the files of what was found."""
    corpus.mkdir(parents=True, exist_ok=True)
    seeds = write_seeds(target, corpus)
    before = set(kept.glob(f"{target.name}-*"))
    command = [sys.executable, "-m", "fuzz.run_target", target.name, str(corpus)]
    options = [
        f"-max_total_time={SECONDS}",
        f"-timeout={INPUT_SECONDS}",
        f"-rss_limit_mb={MEMORY_MEBIBYTES}",
        f"-max_len={LARGEST_INPUT}",
        f"-artifact_prefix={kept}/{target.name}-",
        "-print_final_stats=1",
        "-verbosity=1",
    ]
    result = subprocess.run(
        [*command, *options], capture_output=True, text=True, errors="replace", check=False, cwd=HERE.parent
    )
    tried = re.findall(r"stat::number_of_executed_units:\s+(\d+)", result.stderr)
    reached = re.findall(r"cov: (\d+)", result.stderr)
    found = sorted(set(kept.glob(f"{target.name}-*")) - before)
    word = "FOUND" if found or result.returncode else "ok"
    print(
        f"{target.name:17} {word:6} {seeds:4} first inputs, {tried[-1] if tried else '?':>8} tried, "
        f"{reached[-1] if reached else '?':>5} places reached",
        flush=True,
    )
    if result.returncode and not found:
        print(result.stderr[-3000:])
    for path in found:
        print(f"  {path}")
        print("    " + "\n    ".join(_reason(result.stdout + result.stderr)))
        print(
            f"    to make it a test: mkdir -p {FINDINGS / target.name} && cp {path} {FINDINGS / target.name}/WHAT-IT-IS"
        )
    return int(tried[-1]) if tried else 0, found


def _reason(log: str) -> list[str]:
    """Return the lines of a log that tell what went wrong."""
    starts = (log.find(mark) for mark in ("Uncaught Python exception", "ERROR: libFuzzer"))
    return log[next((start for start in starts if start >= 0), 0) :].splitlines()[:14]


def main() -> int:
    """Fuzz the named targets, or all; returns 1 where something was found."""
    wanted = sys.argv[1:] or [target.name for target in TARGETS]
    known = {target.name: target for target in TARGETS}
    if unknown := set(wanted) - known.keys():
        print(f"no such target: {', '.join(sorted(unknown))}; there are {', '.join(known)}", file=sys.stderr)
        return 2
    kept = Path(tempfile.mkdtemp(prefix="libcensus-fuzz-"))
    corpora = Path(os.environ.get("FUZZ_CORPUS") or kept / "corpus")
    results = [fuzz(known[name], corpora / name, kept) for name in wanted]
    total, found = sum(tried for tried, _ in results), sum(len(files) for _, files in results)
    print(f"{total} inputs tried, {found} findings; what was kept lies in {kept}")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
