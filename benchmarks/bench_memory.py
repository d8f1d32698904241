"""The peak memory of a scan, over a tree of 10,000 files and one of 1,000,000: it must be flat.

    python -m benchmarks.bench_memory [--small 10000] [--large 1000000]

The trees are made in a temporary folder: small files in folders of 1,000, every fiftieth executable and large enough to
be looked at, and none an interpreter, so that what grows is the tree and not what is found. The
scan runs in a process of its own, with an empty index and then with a full one. The last line is JSON; the exit code is
1 when the larger tree needs more than a fifth more: the index keeps sixteen bytes for each executable, up to a bound.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

GROWTH = 1.2
PEAK_MIB = 64

SCAN = """
import resource, sys
from pathlib import Path
from libcensus.agent.host import Root
from libcensus.agent.scan import scan_remembered
from libcensus.agent.settings import ScanSettings
with Root.open(sys.argv[1]) as root:
    scan_remembered(root, ScanSettings(), Path(sys.argv[2]))
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
"""


def make_tree(top: Path, files: int) -> None:
    """Make a tree of so many files."""
    program = b"#!/bin/sh\n" + b"# nothing\n" * 200
    for number in range(files):
        folder = top / f"{number // 1000:05d}"
        if number % 1000 == 0:
            folder.mkdir()
        is_program = number % 50 == 0
        flags = os.O_WRONLY | os.O_CREAT
        descriptor = os.open(folder / f"file{number}", flags, 0o755 if is_program else 0o644)
        if is_program:
            os.write(descriptor, program)
        os.close(descriptor)


def peak_mib(folder: Path, state: Path) -> float:
    """Return the peak memory of one scan, in MiB."""
    command = [sys.executable, "-c", SCAN, str(folder), str(state)]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    return int(done.stdout) / 1024


def main() -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--small", type=int, default=10_000)
    parser.add_argument("--large", type=int, default=1_000_000)
    arguments = parser.parse_args()
    peaks = {}
    for files in (arguments.small, arguments.large):
        with tempfile.TemporaryDirectory() as folder:
            tree, state = Path(folder, "tree"), Path(folder, "state")
            tree.mkdir()
            make_tree(tree, files)
            peaks[files] = max(peak_mib(tree, state), peak_mib(tree, state))
            print(f"{files} files: peak {peaks[files]:.1f} MiB")
    growth = peaks[arguments.large] / peaks[arguments.small]
    is_met = growth <= GROWTH and peaks[arguments.large] < PEAK_MIB
    print(
        json.dumps(
            {
                "what": f"peak memory of a scan of {arguments.large} files",
                "ratio": round(growth, 2),
                "unit": f"times; {peaks[arguments.large]:.1f} MiB",
                "peer": f"a scan of {arguments.small} files ({peaks[arguments.small]:.1f} MiB)",
                "budget": f"at most {GROWTH} x and {PEAK_MIB} MiB",
                "met": is_met,
            }
        )
    )
    return 0 if is_met else 1


if __name__ == "__main__":
    raise SystemExit(main())
