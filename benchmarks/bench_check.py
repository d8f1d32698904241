"""How much faster a wheel of 100 MB is judged than ``auditwheel show`` looks at it, and what of that is the reading.

    python benchmarks/bench_check.py [--megabytes 100] [--rounds 3]

The wheel is made of this machine's own shared libraries, deflated, with a RECORD. Both commands are started anew each
time and read the same file in the same run, alternating; the figures are medians. ``libcensus check`` judges it on six
distributions, ``auditwheel show`` by its policies. The last line is JSON; the exit code is 1 when the budget is missed.
"""

from __future__ import annotations

import argparse
import base64
import hashlib
import json
import statistics
import subprocess
import sys
import tempfile
import time
import zipfile
from pathlib import Path

BUDGET = 2.0
FOLDER = Path("/usr/lib")
AGAINST = ("debian:11", "debian:12", "debian:13", "ubuntu:22.04", "rhel:8", "alpine:3.20")


def libraries() -> list[Path]:
    """Return the machine's shared libraries, one path each, in a stable order."""
    found = [path for path in FOLDER.rglob("*.so*") if path.is_file() and not path.is_symlink()]
    return [path for path in sorted(found) if path.open("rb").read(4) == b"\x7fELF"]


def make_wheel(folder: Path, megabytes: int) -> tuple[Path, int]:
    """Make a wheel of about that size; returns it and the number of its ELF files."""
    wheel = folder / "heavy-1.0-py3-none-linux_x86_64.whl"
    record: list[str] = []
    number = 0
    with zipfile.ZipFile(wheel, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:

        def add(name: str, content: bytes) -> None:
            archive.writestr(name, content)
            digest = base64.urlsafe_b64encode(hashlib.sha256(content).digest()).rstrip(b"=").decode()
            record.append(f"{name},sha256={digest},{len(content)}")

        while (archive.fp.tell() if archive.fp else 0) < megabytes * 1_000_000:
            before = number
            for path in libraries():
                add(f"heavy/{number}/{path.name}", path.read_bytes())
                number += 1
                if archive.fp is None or archive.fp.tell() >= megabytes * 1_000_000:
                    break
            if number == before:
                sys.exit(f"{FOLDER} has no shared library to make a wheel of")
        info = "heavy-1.0.dist-info"
        add(f"{info}/METADATA", b"Metadata-Version: 2.1\nName: heavy\nVersion: 1.0\n")
        add(f"{info}/WHEEL", b"Wheel-Version: 1.0\nRoot-Is-Purelib: false\nTag: py3-none-linux_x86_64\n")
        archive.writestr(f"{info}/RECORD", "\n".join([*record, f"{info}/RECORD,,"]) + "\n")
    return wheel, number


def seconds(*command: str) -> float:
    """Return the seconds that a command takes; its verdict is in its exit code and doesn't matter here."""
    start = time.perf_counter()
    done = subprocess.run(command, check=False, capture_output=True, text=True)
    taken = time.perf_counter() - start
    if done.returncode not in {0, 1, 6}:
        sys.exit(f"{' '.join(command)} failed:\n{done.stderr}")
    return taken


def main() -> None:
    """Make the wheel, run both alternately, and print the medians and their ratio."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--megabytes", type=int, default=100)
    parser.add_argument("--rounds", type=int, default=3)
    arguments = parser.parse_args()
    tools = Path(sys.executable).parent
    with tempfile.TemporaryDirectory() as folder:
        wheel, number = make_wheel(Path(folder), arguments.megabytes)
        size = wheel.stat().st_size / 1e6
        places = [part for name in AGAINST for part in ("--against", name)]
        census: list[float] = []
        peer: list[float] = []
        for _ in range(arguments.rounds):
            census.append(seconds(str(tools / "libcensus"), "check", str(wheel), *places, "--output", "json"))
            peer.append(seconds(str(tools / "auditwheel"), "show", str(wheel)))
    ours, theirs = statistics.median(census), statistics.median(peer)
    print(f"wheel of {size:.0f} MB with {number} ELF files, {arguments.rounds} rounds, medians")
    print(f"libcensus check, six distributions: {ours:.2f} s")
    print(f"auditwheel show:                    {theirs:.2f} s")
    ratio = theirs / ours
    result = {
        "what": f"check of a {size:.0f} MB wheel with {number} ELF files",
        "ratio": round(ratio, 2),
        "seconds": round(ours, 3),
        "peer_seconds": round(theirs, 3),
        "unit": "times faster",
        "peer": "auditwheel show",
        "budget": f">= {BUDGET:g} x",
        "met": ratio >= BUDGET,
    }
    print(json.dumps(result))
    sys.exit(0 if result["met"] else 1)


if __name__ == "__main__":
    main()
