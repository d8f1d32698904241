r"""The walk of a host's file systems with the stat of each file, against ``find`` printing the same stats.

    python -m benchmarks.bench_walk [--rounds 5] [FOLDER]

Both go over the same tree in the same cache state, alternating; one round of each before warms the cache, so that both
are bound by the processor: what is compared is their processor time (user and system), which other work on the machine
disturbs less than the clock; the clock's times are shown beside it. It is told per file, for find also enters the
trees that the walk leaves alone (other roots). The peer is ``find FOLDER -xdev -type f -printf '%i %C@ %s\n'``; the
budget is at most 1.5 times its time, by the median of the rounds. The last line is JSON; the exit code is 1 when the
budget is missed.
"""

from __future__ import annotations

import argparse
import json
import resource
import statistics
import subprocess
import time

from libcensus.agent.host import Root
from libcensus.agent.probes.skips import Skips
from libcensus.agent.settings import ScanSettings
from libcensus.agent.walk import Walk

BUDGET = 1.5


FIND = ["-xdev", "-type", "f", "-printf", "%i %C@ %s\n"]


def processor_seconds(who: int) -> float:
    """Return the user and system time spent so far."""
    usage = resource.getrusage(who)
    return usage.ru_utime + usage.ru_stime


def by_census(folder: str) -> tuple[float, float, int]:
    """Return the processor's and the clock's seconds that the walk takes, and the files that it stated."""
    start, spent = time.perf_counter(), processor_seconds(resource.RUSAGE_SELF)
    with Root.open(folder) as root:
        walk = Walk(root, ScanSettings(), Skips())
        for _ in walk:
            pass
    return processor_seconds(resource.RUSAGE_SELF) - spent, time.perf_counter() - start, walk.counts.files


def by_find(folder: str) -> tuple[float, float]:
    """Return the processor's and the clock's seconds that find takes."""
    start, spent = time.perf_counter(), processor_seconds(resource.RUSAGE_CHILDREN)
    subprocess.run(["find", folder, *FIND], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=False)
    return processor_seconds(resource.RUSAGE_CHILDREN) - spent, time.perf_counter() - start


def count_by_find(folder: str) -> int:
    """Return how many files find prints."""
    done = subprocess.run(["find", folder, *FIND], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, check=False)
    return done.stdout.count(b"\n")


def main() -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", nargs="?", default="/")
    parser.add_argument("--rounds", type=int, default=5)
    arguments = parser.parse_args()
    peer_files = count_by_find(arguments.folder)
    by_census(arguments.folder)
    rounds = [(by_census(arguments.folder), by_find(arguments.folder)) for _ in range(arguments.rounds)]
    files = rounds[-1][0][2]
    share = max(peer_files, 1) / max(files, 1)
    ratio = statistics.median(one[0] / other[0] for one, other in rounds) * share
    clock = statistics.median(one[1] / other[1] for one, other in rounds) * share
    census = statistics.median(one[0] for one, _ in rounds)
    find = statistics.median(other[0] for _, other in rounds)
    print(f"{arguments.folder}: medians of {arguments.rounds} rounds, page cache warm, processor time")
    print(f"  libcensus   {census:8.3f} s   {files} files")
    print(f"  find        {find:8.3f} s   {peer_files} files")
    print(f"  {ratio:.2f} times the time of find per file (budget: at most {BUDGET}); {clock:.2f} by the clock")
    is_met = ratio <= BUDGET
    result = {
        "what": f"walk of {files} files with their stats",
        "ratio": round(ratio, 2),
        "unit": "times the processor time per file",
        "clock_ratio": round(clock, 2),
        "peer": "find -xdev -type f -printf '%i %C@ %s'",
        "budget": f"at most {BUDGET} x",
        "met": is_met,
        "seconds": round(census, 4),
        "peer_seconds": round(find, 4),
        "files": files,
        "peer_files": peer_files,
        "peak_memory_bytes": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024,
    }
    print(json.dumps(result))
    return 0 if is_met else 1


if __name__ == "__main__":
    raise SystemExit(main())
