"""What the real command says and does when its database cannot be used: clear words, exit code 3, nothing lost.

Full and read-only disks are real: a small tmpfs in a mount namespace of its own, which needs no right on the machine.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import uuid
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import grpc
import pytest

from libcensus.collector.store.sql import SqlStore
from libcensus.facts.codec import digest_to_proto, fact_kind_to_proto, report_to_proto
from libcensus.facts.report import Report
from libcensus.v1 import census_pb2, census_pb2_grpc
from tests.contract.specimens import PROBES, Census, build

if TYPE_CHECKING:
    from collections.abc import Iterator

COMMAND = Path(sys.executable).with_name("libcensus-collector")
ANY_PORT = ["--listen", "127.0.0.1:0", "--http-listen", "127.0.0.1:0"]
_SERVING = re.compile(r"serving gRPC \([a-zA-Z ]+\) on (\S+) and HTTP on http://([^/\s]+)/")
HOST_ID = "a" * 32


def serve(database: str, prefix: list[str] | None = None) -> list[str]:
    return [*(prefix or []), str(COMMAND), "serve", *ANY_PORT, "--database", database]


def refused(database: str, prefix: list[str] | None = None) -> str:
    """Run the command, which must end by itself with exit code 3 and one line; returns the line."""
    ended = subprocess.run(serve(database, prefix), capture_output=True, text=True, timeout=60, check=False)
    assert ended.returncode == 3, ended.stderr
    assert ended.stdout == ""
    assert "Traceback" not in ended.stderr
    [line] = ended.stderr.splitlines()
    assert line.startswith("libcensus-collector: error: ")
    return line


@dataclass
class Serving:
    """A running command."""

    process: subprocess.Popen[str]
    grpc_address: str
    http_address: str

    @contextmanager
    def stub(self) -> Iterator[census_pb2_grpc.CensusServiceStub]:
        with grpc.insecure_channel(self.grpc_address) as channel:
            yield census_pb2_grpc.CensusServiceStub(channel)  # type: ignore[no-untyped-call]


@contextmanager
def serving(database: str, prefix: list[str] | None = None) -> Iterator[Serving]:
    """Run the command until the block ends; then it must stop in good order, unless the block has killed it."""
    process = subprocess.Popen(serve(database, prefix), stderr=subprocess.PIPE, text=True)
    try:
        assert process.stderr is not None
        match = None
        said = ""
        while match is None:
            line = process.stderr.readline()
            said += line
            assert line, f"the collector ended: {said}"
            match = _SERVING.search(line)
        yield Serving(process, match[1], match[2])
        killed = process.poll() is not None
        process.terminate()
        said = process.communicate(timeout=60)[1]
        assert killed or process.returncode == 0, said
        assert "Traceback" not in said
    finally:
        process.kill()
        process.communicate()


@dataclass(frozen=True)
class SmallDisk:
    """A file system of its own, seen from outside through the process that holds it."""

    keeper: int
    inside: Path

    @property
    def outside(self) -> Path:
        return Path(f"/proc/{self.keeper}/root{self.inside}")

    @property
    def enter(self) -> list[str]:
        """The start of a command line that runs a program inside."""
        user = [] if os.geteuid() == 0 else ["--user", "--preserve-credentials"]
        return ["nsenter", f"--target={self.keeper}", "--mount", *user, "--"]

    def fill(self) -> None:
        """Leave no byte."""
        with (self.outside / "filler").open("ab", buffering=0) as stream:
            size = 65536
            while size:
                try:
                    stream.write(bytes(size))
                except OSError:
                    size //= 2
        assert shutil.disk_usage(self.outside).free == 0

    def free(self) -> None:
        (self.outside / "filler").unlink()

    def copy_out(self, name: str, folder: Path) -> Path:
        """Copy a database and its log to where SQLite can open it: it does not follow the way through /proc."""
        for suffix in ("", "-wal"):
            if (left := self.outside / (name + suffix)).exists():
                shutil.copy(left, folder / (name + suffix))
        return folder / name

    def remount_read_only(self) -> None:
        subprocess.run([*self.enter, "mount", "-o", "remount,bind,ro", str(self.inside)], check=True)


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[SmallDisk]:
    """A file system of 4 MiB."""
    folder = tmp_path / "disk"
    folder.mkdir()
    unshare = ["unshare", "--mount"] if os.geteuid() == 0 else ["unshare", "--user", "--map-root-user", "--mount"]
    script = 'mount -t tmpfs -o size=4m,mode=0700 none "$1" && echo mounted && exec cat'
    keeper = subprocess.Popen(
        [*unshare, "sh", "-c", script, "sh", str(folder)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    try:
        assert keeper.stdout is not None
        assert keeper.stdout.readline() == b"mounted\n"
        yield SmallDisk(keeper.pid, folder)
    finally:
        # At the end of its input it ends, and with it the file system.
        keeper.communicate(timeout=60)


def report_of(census: Census) -> Report:
    return Report(uuid.uuid4().bytes, "0.1.0", datetime.now(UTC), 0.5, census.address, PROBES)


def deliver(stub: census_pb2_grpc.CensusServiceStub, census: Census) -> Report:
    """Report a host, bringing the facts; raises grpc.RpcError where the collector refuses."""
    report = report_of(census)
    metadata = (("libcensus-host-id", HOST_ID),)
    stub.UploadFacts(
        iter(
            census_pb2.UploadFactsRequest(
                kind=fact_kind_to_proto(one.kind), digest=digest_to_proto(one.digest), payload=one.payload
            )
            for one in census.records
        ),
        metadata=metadata,
        timeout=60,
    )
    answer = stub.Report(report_to_proto(report), metadata=metadata, timeout=60)
    assert not answer.missing
    return report


def census_number(number: int) -> Census:
    """Return a census of its own, with some kilobytes of facts."""
    return Census.of("web", f"m{number}", *[(f"/opt/{path:0100}/python", build(f"b{number}")) for path in range(40)])


# --- refusals at the start ------------------------------------------------------------------------------------------


def test_a_second_collector_on_the_same_file(tmp_path: Path) -> None:
    place = f"{tmp_path}/census.db"
    with serving(f"sqlite:///{place}") as first:
        line = refused(place)
        assert place in line
        assert f"process {first.process.pid}" in line
        assert "--database" in line
        with first.stub() as stub:
            deliver(stub, census_number(0))
    with serving(place):
        pass


@pytest.mark.parametrize("exists", [False, True], ids=["no database yet", "with a database"])
def test_a_full_disk(disk: SmallDisk, *, exists: bool) -> None:
    if exists:
        with serving(f"{disk.inside}/census.db", disk.enter):
            pass
    disk.fill()
    line = refused(f"{disk.inside}/census.db", disk.enter)
    assert f"{disk.inside}/census.db" in line
    assert "no space left" in line


@pytest.mark.parametrize("exists", [False, True], ids=["no database yet", "with a database"])
def test_a_read_only_disk(disk: SmallDisk, tmp_path: Path, *, exists: bool) -> None:
    if exists:
        SqlStore.open(f"{tmp_path}/census.db").close()
        shutil.copy(tmp_path / "census.db", disk.outside / "census.db")
    disk.remount_read_only()
    line = refused(f"{disk.inside}/census.db", disk.enter)
    assert f"{disk.inside}/census.db" in line
    assert "cannot be written" in line


def test_a_read_only_folder_above(disk: SmallDisk) -> None:
    disk.remount_read_only()
    line = refused(f"{disk.inside}/state/census.db", disk.enter)
    assert f"{disk.inside}/state: cannot be written" in line


def test_a_corrupted_file(tmp_path: Path) -> None:
    place = tmp_path / "census.db"
    place.write_bytes(os.urandom(8192))
    line = refused(str(place))
    assert f"{place}: is not a SQLite database" in line


def test_a_database_of_a_newer_version(tmp_path: Path) -> None:
    import sqlite3

    place = tmp_path / "census.db"
    SqlStore.open(str(place)).close()
    connection = sqlite3.connect(place)
    connection.execute("UPDATE libcensus_version SET version_num = '9999'")
    connection.commit()
    connection.close()
    assert "upgrade this collector" in refused(str(place))


def test_a_server_that_is_not_there(tmp_path: Path) -> None:
    line = refused(f"postgresql://census:secret@/fleet?host={tmp_path}")
    assert "cannot be reached" in line
    assert "secret" not in line


# --- while it runs --------------------------------------------------------------------------------------------------


def test_a_disk_that_fills_up_and_is_freed(disk: SmallDisk, tmp_path: Path) -> None:
    """Reports are refused with the reason, the process lives, nothing acknowledged is lost, and it recovers."""
    acknowledged: list[tuple[Report, Census]] = []
    with serving(f"{disk.inside}/census.db", disk.enter) as collector, collector.stub() as stub:
        for number in range(3):
            census = census_number(number)
            acknowledged.append((deliver(stub, census), census))
        disk.fill()
        # What is in the log already is written over before the log grows: some reports find room still.
        refusal = None
        for number in range(3, 1000):
            census = census_number(number)
            try:
                acknowledged.append((deliver(stub, census), census))
            except grpc.RpcError as error:
                refusal = error
                break
        assert refusal is not None
        assert refusal.code() in {grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.RESOURCE_EXHAUSTED}
        assert "no space left" in (refusal.details() or "")
        with pytest.raises(grpc.RpcError, match="no space left"):
            deliver(stub, census_number(2000))
        assert collector.process.poll() is None
        disk.free()
        census = census_number(2001)
        acknowledged.append((deliver(stub, census), census))
    with SqlStore.open(str(disk.copy_out("census.db", tmp_path))) as store:
        [state] = store.hosts()
        assert state.report == acknowledged[-1][0]
        shown = {interval.build for interval in store.intervals(HOST_ID)}
        for _, census in acknowledged:
            assert set(census.inventory.builds) <= shown
            assert store.missing([census.address, *census.inventory.references]) == frozenset()


def test_a_collector_that_is_killed_on_a_full_disk(disk: SmallDisk, tmp_path: Path) -> None:
    """Not even both at once lose what was acknowledged; the next start says what is wrong."""
    with serving(f"{disk.inside}/census.db", disk.enter) as collector, collector.stub() as stub:
        census = census_number(0)
        report = deliver(stub, census)
        disk.fill()
        with pytest.raises(grpc.RpcError):
            for number in range(1, 1000):
                census = census_number(number)
                report = deliver(stub, census)
        collector.process.kill()
        collector.process.wait()
    assert "no space left" in refused(f"{disk.inside}/census.db", disk.enter)
    with SqlStore.open(str(disk.copy_out("census.db", tmp_path))) as store:
        [state] = store.hosts()
        assert state.report == report
