"""The contract's files: linted, and the committed code is what they generate."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from libcensus.v1 import census_pb2, enrollment_pb2, fleet_pb2

ROOT = Path(__file__).resolve().parents[2]
BUF = Path(sys.prefix) / "bin" / "buf"


def run(*command: str | Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, timeout=120)


def test_the_contract_passes_its_linter() -> None:
    result = run(BUF, "lint", "protos")
    assert result.returncode == 0, result.stdout + result.stderr


def test_the_linter_would_find_a_mistake(tmp_path: Path) -> None:
    (tmp_path / "libcensus" / "v1").mkdir(parents=True)
    (tmp_path / "buf.yaml").write_text((ROOT / "protos" / "buf.yaml").read_text())
    (tmp_path / "libcensus" / "v1" / "bad.proto").write_text(
        'syntax = "proto3";\npackage libcensus.v1;\nenum Kind { SOME = 0; }\n'
    )
    result = run(BUF, "lint", tmp_path)
    assert result.returncode != 0
    assert "UNSPECIFIED" in result.stdout


def test_the_committed_code_is_what_the_contract_generates() -> None:
    result = run(sys.executable, "scripts/generate_protos.py", "--check")
    assert result.returncode == 0, result.stdout + result.stderr
    assert "equal a fresh generation" in result.stdout


@pytest.mark.parametrize(
    ("service", "methods"),
    [
        (census_pb2.DESCRIPTOR.services_by_name["CensusService"], {"Report", "UploadFacts"}),
        (enrollment_pb2.DESCRIPTOR.services_by_name["EnrollmentService"], {"Enroll", "Renew"}),
        (fleet_pb2.DESCRIPTOR.services_by_name["FleetService"], {"ListHosts", "GetHost"}),
    ],
    ids=["census", "enrollment", "fleet"],
)
def test_services_offer_what_is_documented(service: object, methods: set[str]) -> None:
    assert methods <= {method.name for method in service.methods}  # type: ignore[attr-defined]
