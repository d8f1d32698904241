"""Run every benchmark of this folder, each in a process of its own, and print their ratios as one table.

A benchmark is a module ``bench_*.py`` whose run prints, among lines for people, JSON objects one a line: ``what``,
``ratio`` or ``value``, ``unit``, ``peer``, ``budget`` and ``met``. Machines are noisy: only ratios of one run count.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent


def main() -> None:
    """Run the benchmarks named as arguments (``walk`` for ``bench_walk.py``), or all."""
    wanted = sys.argv[1:] or [path.stem.removeprefix("bench_") for path in sorted(HERE.glob("bench_*.py"))]
    results: list[dict[str, Any]] = []
    failed: list[str] = []
    for name in wanted:
        print(f"== {name}", file=sys.stderr, flush=True)
        command = [sys.executable, "-m", f"benchmarks.bench_{name}"]
        done = subprocess.run(command, cwd=HERE.parent, check=False, stdout=subprocess.PIPE, text=True)
        for line in done.stdout.splitlines():
            if line.startswith("{"):
                results.append(json.loads(line))
            else:
                print(line, file=sys.stderr)
        if done.returncode:
            failed.append(name)
    rows = [("what", "measured", "budget", "against", "met")]
    for result in results:
        measured = f"{result['ratio']:.2f} x" if result.get("ratio") is not None else f"{result['value']:g}"
        unit = result.get("unit") or ""
        met = {"True": "yes", "False": "no"}.get(str(result.get("met")), "-")
        rows.append(
            (
                result["what"],
                f"{measured} {unit}".strip(),
                str(result.get("budget") or "-"),
                result.get("peer") or "-",
                met,
            )
        )
    widths = [max(len(row[column]) for row in rows) for column in range(5)]
    for row in rows:
        print("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())
    if failed:
        sys.exit(f"benchmarks that did not finish: {', '.join(failed)}")


if __name__ == "__main__":
    main()
