r"""A scan with nothing changed, against ``find`` over the same tree: processor time, and what is read.

    python -m benchmarks.bench_rescan [--rounds 5] [FOLDER]

One scan fills the index; the ones after it find nothing changed. Both go over the same trees in the same cache state,
alternating, in processes of their own; what is compared is processor time (user and system), the start of Python
included, and the clock's ratio is shown beside it. How many bytes of content an unchanged scan reads is counted by the
scan itself: none. Folders that other programs write meanwhile are left out on both sides (``--exclude``). The last line
is JSON; the exit code is 1 when the budget of 1.5 times is missed, or anything was read.
"""

from __future__ import annotations

import argparse
import json
import resource
import statistics
import subprocess
import sys
import tempfile
import time

BUDGET = 1.5

SCAN = """
import os, sys
from pathlib import Path
from libcensus.agent.host import Root
from libcensus.agent.scan import scan_remembered
from libcensus.agent.settings import ScanSettings
reads = 0
real = os.pread
def pread(descriptor, size, offset):
    global reads
    data = real(descriptor, size, offset)
    reads += len(data)
    return data
os.pread = pread
settings = ScanSettings(exclude=tuple(sys.argv[3:]), processes=False, containers=False)
with Root.open(sys.argv[1]) as root:
    found = scan_remembered(root, settings, Path(sys.argv[2]))
print(reads, len(found.installs.installs))
"""


def processor_seconds() -> float:
    """Return the user and system time that children have spent so far."""
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


def timed(command: list[str]) -> tuple[float, float, str]:
    """Run a command; return processor seconds, the clock's seconds, and what it printed."""
    start, spent = time.perf_counter(), processor_seconds()
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, check=False, text=True)
    return processor_seconds() - spent, time.perf_counter() - start, done.stdout


def main() -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", nargs="?", default="/")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--exclude", action="append", default=["/tmp", "/var/tmp"])
    arguments = parser.parse_args()
    pruned = [word for path in arguments.exclude for word in ("-path", path, "-prune", "-o")]
    find = ["find", arguments.folder, "-xdev", *pruned, "-type", "f", "-printf", "%i %C@ %s\n"]
    with tempfile.TemporaryDirectory() as state:
        scan = [sys.executable, "-c", SCAN, arguments.folder, state, *arguments.exclude]
        first = timed(scan)
        time.sleep(3)
        timed(scan)
        files = timed(find)[2].count("\n")
        rounds = [(timed(scan), timed(find)) for _ in range(arguments.rounds)]
    read = [int(one[2].split()[0]) for one, _ in rounds]
    ratio = statistics.median(one[0] / other[0] for one, other in rounds)
    clock = statistics.median(one[1] / other[1] for one, other in rounds)
    print(f"{arguments.folder}: {files} files, medians of {arguments.rounds} rounds, page cache warm")
    print(f"  first scan          {first[0]:8.3f} s processor, {first[1]:8.3f} s by the clock")
    print(f"  unchanged scan      {statistics.median(one[0] for one, _ in rounds):8.3f} s processor")
    print(f"  find                {statistics.median(other[0] for _, other in rounds):8.3f} s processor")
    print(f"  bytes of content read by each unchanged scan: {', '.join(map(str, read))}")
    is_met = ratio <= BUDGET and statistics.median(read) == 0
    print(
        json.dumps(
            {
                "what": f"scan with nothing changed, {files} files",
                "ratio": round(ratio, 2),
                "unit": f"times the processor time; {statistics.median(read):.0f} bytes of content read",
                "clock_ratio": round(clock, 2),
                "peer": "find -xdev -type f -printf '%i %C@ %s'",
                "budget": f"at most {BUDGET} x, nothing read",
                "met": is_met,
            }
        )
    )
    return 0 if is_met else 1


if __name__ == "__main__":
    raise SystemExit(main())
