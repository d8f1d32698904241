"""The command ``libcensus-agent`` on a host that is made up: all of it is real but what the scan finds.

A fault test must not depend on what is installed on this machine, nor pay for reading it. Everything that comes after
the scan (report, spool, identity's use, gRPC, exit code) is the command's own.

Run as ``python -m tests.faults.agent_process ARGUMENT…`` it is the command. Run without arguments it forks one for each
line of JSON on its standard input, which saves the imports, and answers with a line that names the exit code.
"""

from __future__ import annotations

import hashlib
import json
import os
import sys
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any
from unittest.mock import patch

import grpc  # noqa: F401 - imported before the fork, which saves each command the time

from libcensus.agent import cli, delivery, scan, transport  # noqa: F401 - see above
from libcensus.agent.identity import HostIdentity
from libcensus.facts.codec import encode_fact
from libcensus.facts.crypto import CryptoUse
from libcensus.facts.host import Host
from libcensus.facts.interpreter import Build, BuildFile, Install, InstallSet
from libcensus.facts.vocabulary import FileRole, Implementation, Installer, InstallKind, Linkage
from tests.integration.reporting_host import build_of, scan_of

if TYPE_CHECKING:
    from collections.abc import Sequence

HOST = "FAULTS_HOST"
INSTALLS = "FAULTS_INSTALLS"


def _large_build(number: int) -> Build:
    """Return a build of some kilobytes that do not compress: an upload is long enough to be broken anywhere."""
    files = tuple(
        BuildFile(
            f"lib/python3.12/lib-dynload/{place:03d}.so",
            FileRole.MODULE,
            hashlib.sha256(f"{number} {place}".encode()).hexdigest(),
            1000 + number,
        )
        for place in range(80)
    )
    return replace(build_of(number), files=files)


def _install(number: int) -> Install:
    path = f"/opt/python-{number:05d}/bin/python3"
    return Install(
        root="/",
        path=path,
        realpath=path,
        kind=InstallKind.BASE,
        implementation=Implementation.CPYTHON,
        installer=Installer.UNKNOWN,
        build=encode_fact(_large_build(number))[1],
        crypto=CryptoUse(Linkage.NONE),
    )


def main(arguments: Sequence[str]) -> int:
    """Run the command for the host and with the installs that the environment names."""
    host_id = os.environ[HOST]
    numbers = [int(word) for word in os.environ[INSTALLS].split()]

    def scan_made_up(*_: object) -> scan.Scan:
        return replace(
            scan_of(1),
            host=Host(hostname=f"host-{host_id}", arch="x86_64"),
            scanned_at=datetime.now(UTC),
            installs=InstallSet(tuple(_install(number) for number in numbers)),
            builds={encode_fact(build)[1]: build for build in map(_large_build, numbers)},
        )

    with (
        patch.object(scan, "scan_remembered", scan_made_up),
        patch.object(delivery, "find_identity", lambda *_: HostIdentity(host_id, "machine-id")),
    ):
        return cli.main(arguments)


def _run_forked(order: dict[str, Any]) -> int:
    pid = os.fork()
    if pid:
        return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    code = 70
    try:
        for number, name in ((1, "stdout"), (2, "stderr")):
            file = os.open(order[name], os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
            os.dup2(file, number)
        os.environ.update(order["environment"])
        code = main(order["arguments"])
        sys.stdout.flush()
        sys.stderr.flush()
    finally:
        os._exit(code)


def serve() -> None:
    """Run what standard input asks for until it ends."""
    answers = os.fdopen(os.dup(1), "w")
    for line in sys.stdin:
        answers.write(f"{_run_forked(json.loads(line))}\n")
        with suppress(BrokenPipeError):
            answers.flush()


if __name__ == "__main__":
    if len(sys.argv) > 1:
        sys.exit(main(sys.argv[1:]))
    serve()
