"""A host that reports: made of values, with one interpreter for each number; imports the agent alone, to start fast."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from libcensus.agent.config import AgentConfig, load_config
from libcensus.agent.scan import Scan
from libcensus.facts.codec import encode_fact
from libcensus.facts.crypto import CryptoUse
from libcensus.facts.host import Host
from libcensus.facts.interpreter import Build, BuildFile, Install, InstallSet
from libcensus.facts.platform import Platform
from libcensus.facts.process import ProcessExample, ProcessGroup, ProcessSet
from libcensus.facts.report import ProbeResult
from libcensus.facts.vocabulary import (
    FileRole,
    Implementation,
    Installer,
    InstallKind,
    Linkage,
    MappingState,
    ProbeState,
    Provider,
)

if TYPE_CHECKING:
    from pathlib import Path

START = datetime(2026, 1, 1, tzinfo=UTC)


def build_of(number: int) -> Build:
    file = BuildFile("bin/python3", FileRole.EXECUTABLE, f"{number:064x}", 1000 + number)
    return Build(Implementation.CPYTHON, f"3.12.{number}", "x86_64", Provider.SOURCE, None, (), (file,))


def scan_of(*numbers: int, hour: int = 0) -> Scan:
    """A host with one interpreter for each number."""
    builds = {encode_fact(build_of(number))[1]: build_of(number) for number in numbers}
    installs = tuple(
        Install(
            root="/",
            path=f"/opt/python-{number:05d}/bin/python3",
            realpath=f"/opt/python-{number:05d}/bin/python3",
            kind=InstallKind.BASE,
            implementation=Implementation.CPYTHON,
            installer=Installer.UNKNOWN,
            build=encode_fact(build_of(number))[1],
            crypto=CryptoUse(Linkage.NONE),
        )
        for number in numbers
    )
    return Scan(
        root="/",
        host=Host(hostname="reporter", arch="x86_64"),
        platform=Platform(arch="x86_64"),
        installs=InstallSet(installs),
        builds=builds,
        probes=(ProbeResult("interpreters", ProbeState.OK, 0.5),),
        scanned_at=START + timedelta(hours=hour),
        seconds=1.0,
    )


def running(number: int) -> ProcessSet:
    """What runs on a host: two processes of one interpreter."""
    executable = f"/opt/python-{number:05d}/bin/python3"
    return ProcessSet((ProcessGroup("/", executable, MappingState.CURRENT, 2, examples=(ProcessExample(4711),)),))


def config_for(address: str, state: Path, **more: Any) -> AgentConfig:
    flags: dict[str, tuple[str, Any]] = {
        "collector.address": ("--collector", address),
        "collector.attempts": ("attempts", 1),
        "state.folder": ("--state-dir", str(state)),
    }
    return load_config({**flags, **{name: ("test", value) for name, value in more.items()}}, environment={}, user_id=0)
