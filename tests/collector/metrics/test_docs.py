"""The generated pages are what the code declares, and the code declares what they say."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

from libcensus.collector.metrics.families import FAMILIES
from libcensus.collector.process_metrics import process_families

ROOT = Path(__file__).resolve().parents[3]


def test_the_pages_are_what_the_code_makes() -> None:
    run = subprocess.run(
        [sys.executable, ROOT / "scripts" / "generate_docs.py", "--check"], capture_output=True, text=True, check=False
    )
    assert (run.returncode, run.stdout, run.stderr) == (0, "", "")


def test_every_family_is_documented_once_and_every_documented_one_is_declared() -> None:
    page = (ROOT / "docs" / "metrics.md").read_text(encoding="utf-8")
    documented = re.findall(r"^\| `((?:libcensus|grpc)_\w+)` \|", page, re.MULTILINE)
    declared = [family.name for family in FAMILIES] + [family.name for family in process_families()]
    assert sorted(documented) == sorted(declared)
    assert len(set(declared)) == len(declared)
