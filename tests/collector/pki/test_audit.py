"""The audit log: whole lines whatever happens to the file, and no call fails for it."""

from __future__ import annotations

import json
import logging
import os
import re
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any

from libcensus.collector.pki.audit import LONGEST_FIELD, AuditEvent, AuditLog
from tests.collector.pki.made import Clock

if TYPE_CHECKING:
    import pytest


def entries(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_a_record_is_a_line_of_json_that_its_owner_alone_can_read(tmp_path: Path) -> None:
    path = tmp_path / "audit.jsonl"
    log = AuditLog(path, Clock())
    log.record(AuditEvent.ENROLLED, subject="agent/aa", peer="ipv4:192.0.2.7:1", host="web", token_id="t", serial="1f")
    log.record(AuditEvent.BANNED, subject="operator/zoe", reason="left")
    assert entries(path) == [
        {
            "time": "2026-03-01T12:00:00.000Z",
            "event": "enrolled",
            "subject": "agent/aa",
            "peer": "ipv4:192.0.2.7:1",
            "host": "web",
            "token_id": "t",
            "serial": "1f",
        },
        {"time": "2026-03-01T12:00:00.000Z", "event": "banned", "subject": "operator/zoe", "reason": "left"},
    ]
    assert path.stat().st_mode & 0o777 == 0o600
    assert (log.written, log.lost) == (2, 0)
    log.close()


def test_without_a_file_nothing_is_written() -> None:
    log = AuditLog(None)
    log.record(AuditEvent.ENROLLED)
    assert (log.written, log.lost) == (0, 0)
    log.close()


def test_what_strangers_say_is_bounded_and_stays_on_its_line(tmp_path: Path) -> None:
    log = AuditLog(tmp_path / "a")
    odd = 'web\n{"event":"enrolled"}\x1b[2J\ud800"\u2028'
    log.record(AuditEvent.ENROLLMENT_REFUSED, host=odd, reason="x" * 100_000, peer="\n" * LONGEST_FIELD)
    [entry] = entries(tmp_path / "a")
    assert entry["event"] == "enrollment_refused"
    assert entry["host"].isprintable()
    assert entry["host"].startswith("web\\n")
    assert len(entry["reason"]) == len(entry["peer"]) == LONGEST_FIELD
    assert entry["reason"].endswith("…")
    log.close()


def test_a_file_that_was_moved_away_is_opened_anew(tmp_path: Path) -> None:
    path = tmp_path / "a"
    log = AuditLog(path)
    log.record(AuditEvent.ENROLLED, host="one")
    path.rename(tmp_path / "a.1")
    log.record(AuditEvent.ENROLLED, host="two")
    path.unlink()
    log.record(AuditEvent.ENROLLED, host="three")
    assert [entry["host"] for entry in entries(tmp_path / "a.1")] == ["one"]
    assert [entry["host"] for entry in entries(path)] == ["three"]
    log.close()


def test_threads_and_processes_write_whole_lines(tmp_path: Path) -> None:
    path = tmp_path / "a"
    script = (
        "import sys, pathlib; from libcensus.collector.pki.audit import *\n"
        "log = AuditLog(pathlib.Path(sys.argv[1]))\n"
        "for n in range(300): log.record(AuditEvent.RENEWED, host=f'{sys.argv[2]}-{n}' + 'x' * 300)"
    )
    others = [subprocess.Popen([sys.executable, "-c", script, path, str(number)]) for number in range(2)]
    log = AuditLog(path)
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda number: log.record(AuditEvent.RENEWED, host=f"t-{number}"), range(300)))
    assert [other.wait() for other in others] == [0, 0]
    assert len({entry["host"] for entry in entries(path)}) == 900
    log.close()


def test_a_full_disk_fails_no_call_and_is_told_once(caplog: pytest.LogCaptureFixture, tmp_path: Path) -> None:
    full = Path("/dev/full")
    path = tmp_path / "a"
    path.symlink_to(full)
    log = AuditLog(path)
    with caplog.at_level(logging.WARNING, "libcensus"):
        for _ in range(3):
            log.record(AuditEvent.ENROLLED)
        assert (log.written, log.lost) == (0, 3)
        path.unlink()
        log.record(AuditEvent.ENROLLED, host="after")
    assert (log.written, log.lost) == (1, 3)
    assert [entry["host"] for entry in entries(path)] == ["after"]
    told = [record.getMessage() for record in caplog.records]
    assert len(told) == 2
    assert "No space left on device" in told[0]
    assert "3 records were lost" in told[1]
    log.close()


def test_what_was_cut_off_does_not_swallow_the_next_record(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "a"
    log = AuditLog(path)
    log.record(AuditEvent.ENROLLED, host="one")
    write = os.write
    with monkeypatch.context() as patched:
        # A disk with room for ten bytes.
        patched.setattr(os, "write", lambda descriptor, content: write(descriptor, content[:10]))
        log.record(AuditEvent.ENROLLED, host="two")
    log.record(AuditEvent.ENROLLED, host="three")
    lines = path.read_text().splitlines()
    assert len(lines) == 3
    assert [json.loads(line)["host"] for line in (lines[0], lines[2])] == ["one", "three"]
    assert (log.written, log.lost) == (2, 1)
    log.close()


def test_a_folder_that_is_missing_fails_no_call(tmp_path: Path) -> None:
    log = AuditLog(tmp_path / "none" / "a")
    log.record(AuditEvent.ENROLLED)
    assert log.lost == 1


def test_every_event_is_in_the_documentation_and_no_other() -> None:
    page = (Path(__file__).resolve().parents[3] / "docs" / "trust.md").read_text()
    section = page.split("## The audit log")[1].split("\n## ")[0]
    first_cells = re.findall(r"^\| (`.*?) \|", section, re.MULTILINE)
    assert {name for cell in first_cells for name in re.findall(r"`(\w+)`", cell)} == set(AuditEvent)
