"""How much faster the requirement of many ELF files is told than by ``nm -D FILE | grep GLIBC | sort -u`` on each.

    python benchmarks/bench_requirement.py [--files 300] [--rounds 3] [FOLDER ...]

Both read the same files in the same run, alternating; the figures are medians. The budget is a ratio of at least 8. The
requirement includes what nm tells and more: every library's versions, the needed libraries, the loader, and the
symbols that raise the floor. The last line is JSON; the exit code is 1 when the budget is missed.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import time
from pathlib import Path

from libcensus.agent.artefact import FileSource
from libcensus.agent.elf.reader import MAGIC, read_elf
from libcensus.agent.elf.requirement import requirement_of
from libcensus.agent.errors import ElfError

BUDGET = 8.0


def elf_files(folders: list[str], number: int) -> list[str]:
    """Return up to ``number`` ELF files of the folders, spread evenly over all of them by name."""
    found: list[str] = []
    for top in folders:
        for folder, _folders, names in os.walk(top):
            for name in names:
                path = Path(folder, name)
                try:
                    if not path.is_symlink() and path.is_file():
                        with path.open("rb") as stream:
                            if stream.read(4) == MAGIC:
                                found.append(str(path))
                except OSError:
                    continue
    found.sort()
    usable = [path for path in found if read(path) is not None]
    step = max(1, len(usable) // number)
    return usable[::step][:number]


def read(path: str) -> set[str] | None:
    """Return the glibc versions that a file wants; None where it is nothing that a loader reads."""
    try:
        with FileSource(path) as source:
            requirement = requirement_of(read_elf(source), file=path)
    except ElfError:
        return None
    return {version for need in requirement.needs for version in need.versions if version.startswith("GLIBC_")}


def used() -> float:
    """Return the processor seconds of this process and of those that it started."""
    return sum(os.times()[:4])


def by_census(files: list[str]) -> tuple[float, float]:
    """Return the seconds that libcensus takes for all files, by the clock and of processor time."""
    start, before = time.perf_counter(), used()
    for path in files:
        read(path)
    return time.perf_counter() - start, used() - before


def by_nm(files: list[str]) -> tuple[float, float]:
    """Return the seconds that nm, grep and sort take for all files, by the clock and of processor time."""
    start, before = time.perf_counter(), used()
    for path in files:
        subprocess.run(
            ["/bin/sh", "-c", 'nm -D "$1" | grep GLIBC | sort -u', "sh", path],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            check=False,
        )
    return time.perf_counter() - start, used() - before


def main() -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folders", nargs="*", default=["/usr/lib", "/usr/bin"])
    parser.add_argument("--files", type=int, default=300)
    parser.add_argument("--rounds", type=int, default=3)
    arguments = parser.parse_args()
    files = elf_files(arguments.folders, arguments.files)
    if len(files) < 10:
        print(f"only {len(files)} ELF files in {arguments.folders}: too few to measure", file=sys.stderr)
        return 2
    by_census(files)
    by_nm(files)
    rounds = [(by_census(files), by_nm(files)) for _ in range(arguments.rounds)]
    census, census_cpu = (statistics.median(one[which] for one, _ in rounds) for which in (0, 1))
    nm, nm_cpu = (statistics.median(other[which] for _, other in rounds) for which in (0, 1))
    # On a busy machine three processes wait where one does; the smaller of the two ratios is the honest one.
    ratio = min(nm / census, nm_cpu / max(census_cpu, 0.01))
    print(f"{len(files)} ELF files, medians of {arguments.rounds} rounds, page cache warm")
    for name, wall, cpu in (
        ("libcensus, in one process", census, census_cpu),
        ("nm -D | grep GLIBC | sort", nm, nm_cpu),
    ):
        print(f"  {name}  {wall:8.3f} s  {wall / len(files) * 1000:7.2f} ms a file  {cpu:7.2f} s of processor")
    print(f"  {ratio:.1f} times faster, by the clock or by processor time, whichever is less")
    is_met = ratio >= BUDGET
    result = {
        "what": f"requirement of {len(files)} ELF files",
        "ratio": round(ratio, 2),
        "unit": "times faster",
        "peer": "nm -D | grep GLIBC | sort -u",
        "budget": f"at least {BUDGET:.0f} x",
        "met": is_met,
        "seconds": round(census, 4),
        "peer_seconds": round(nm, 4),
    }
    print(json.dumps(result))
    return 0 if is_met else 1


if __name__ == "__main__":
    raise SystemExit(main())
