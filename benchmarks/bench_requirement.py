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


def by_census(files: list[str]) -> float:
    """Return the seconds that libcensus takes for all files."""
    start = time.perf_counter()
    for path in files:
        read(path)
    return time.perf_counter() - start


def by_nm(files: list[str]) -> float:
    """Return the seconds that nm, grep and sort take for all files."""
    start = time.perf_counter()
    for path in files:
        subprocess.run(
            ["/bin/sh", "-c", 'nm -D "$1" | grep GLIBC | sort -u', "sh", path],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            check=False,
        )
    return time.perf_counter() - start


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
    census = statistics.median(one for one, _ in rounds)
    nm = statistics.median(other for _, other in rounds)
    ratio = nm / census
    print(f"{len(files)} ELF files, medians of {arguments.rounds} rounds, page cache warm")
    print(f"  libcensus, in one process   {census:8.3f} s   {census / len(files) * 1000:6.2f} ms a file")
    print(f"  nm -D | grep GLIBC | sort   {nm:8.3f} s   {nm / len(files) * 1000:6.2f} ms a file")
    print(f"  {ratio:.1f} times faster (budget: at least {BUDGET:.0f})")
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
