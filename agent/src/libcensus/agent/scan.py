"""One scan of one root: runs the probes, each on its own, and joins what they found.

A probe that fails costs only itself: it is reported as failed with its reason, and those after it find less. A skip
(a file that cannot be read, a mount that is not entered, a bound that was reached) is no failure and is counted.
"""

from __future__ import annotations

import logging
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from libcensus.agent.host import shown
from libcensus.agent.probes.context import ProbeSkippedError, ScanContext
from libcensus.agent.probes.crypto import probe_crypto
from libcensus.agent.probes.interpreters import probe_interpreters
from libcensus.agent.probes.packages import probe_packages
from libcensus.agent.probes.platform import probe_platform
from libcensus.agent.probes.skips import Skips
from libcensus.agent.probes.venvs import probe_venvs
from libcensus.agent.probes.walk import probe_walk
from libcensus.facts.codec import encode_fact
from libcensus.facts.host import Host, Inventory
from libcensus.facts.interpreter import Install, InstallSet
from libcensus.facts.report import ProbeResult
from libcensus.facts.vocabulary import Implementation, InstallKind, ProbeState

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from libcensus.agent.host import Root
    from libcensus.agent.interpreters.candidate import Environment, Interpreter
    from libcensus.agent.settings import ScanSettings
    from libcensus.agent.walk import Progress
    from libcensus.facts.evidence import Evidence
    from libcensus.facts.interpreter import Build
    from libcensus.facts.platform import Platform

_LOG = logging.getLogger(__name__)

PROBES: tuple[tuple[str, Callable[[ScanContext, Skips], None]], ...] = (
    ("packages", probe_packages),
    ("platform", probe_platform),
    ("walk", probe_walk),
    ("interpreters", probe_interpreters),
    ("crypto", probe_crypto),
    ("venvs", probe_venvs),
)
"""The one registration of probes, in the order in which they run: each builds on those before it."""


@dataclass(frozen=True, slots=True)
class Scan:
    """What one scan found; ``builds`` is keyed by address, and ``root`` names the tree as it was given."""

    root: str
    host: Host
    platform: Platform
    installs: InstallSet
    builds: Mapping[str, Build]
    probes: tuple[ProbeResult, ...]
    scanned_at: datetime
    seconds: float

    def inventory(self) -> Inventory:
        """Return the root of the tree of digests that stands for this scan."""
        return Inventory(
            host=self.host,
            platform=encode_fact(self.platform)[1],
            installs=encode_fact(self.installs)[1],
            builds=tuple(sorted(self.builds)),
        )


def scan(root: Root, settings: ScanSettings, progress: Progress | None = None) -> Scan:
    """Scan a root. Never raises for what it finds there: what could not be read is in the probes' results."""
    scanned_at = datetime.now(tz=UTC)
    started = time.monotonic()
    context = ScanContext(root, settings, progress)
    runs = [run_probe(name, probe, context) for name, probe in PROBES]
    builds: dict[str, Build] = {}
    found = [
        *(_base_install(root.name, one, builds) for one in context.interpreters),
        *(_environment_install(root.name, one, builds) for one in context.environments),
    ]
    unique = {(install.root, install.path): install for install in found}
    return Scan(
        root=root.name,
        host=context.host,
        platform=context.platform,
        installs=InstallSet(tuple(unique[key] for key in sorted(unique))),
        builds=dict(sorted(builds.items())),
        probes=tuple(run.result() for run in runs),
        scanned_at=scanned_at,
        seconds=time.monotonic() - started,
    )


@dataclass(frozen=True, slots=True)
class ProbeRun:
    """How one probe ended. Its skips may still grow: a database that it opened is asked by the probes after it."""

    name: str
    state: ProbeState
    seconds: float
    reason: str | None
    skips: Skips

    def result(self) -> ProbeResult:
        """Return the run as a fact."""
        return ProbeResult(self.name, self.state, self.seconds, self.reason, self.skips.results())


def run_probe(name: str, probe: Callable[[ScanContext, Skips], None], context: ScanContext) -> ProbeRun:
    """Run one probe and tell how it ended; whatever it raises is its own failure and goes no further."""
    skips = Skips()
    started = time.monotonic()
    state, reason = ProbeState.OK, None
    try:
        probe(context, skips)
    except ProbeSkippedError as error:
        state, reason = ProbeState.SKIPPED, str(error)
    except Exception as error:  # noqa: BLE001 - one failure costs one probe, whatever it is
        _LOG.exception("probe %s failed", name)
        state, reason = ProbeState.FAILED, shown(f"{type(error).__name__}: {error}")[:1000]
    return ProbeRun(name, state, time.monotonic() - started, reason, skips)


def _add_build(build: Build, builds: dict[str, Build]) -> str:
    digest = encode_fact(build)[1]
    builds[digest] = build
    return digest


def _sorted(evidence: list[Evidence]) -> tuple[Evidence, ...]:
    return tuple(sorted(set(evidence), key=lambda item: item.sort_key))


def _base_install(root: str, one: Interpreter, builds: dict[str, Build]) -> Install:
    return Install(
        root=shown(root),
        path=shown(one.path),
        realpath=shown(one.layout.executable),
        kind=InstallKind.BASE,
        implementation=one.build.implementation,
        installer=one.installer,
        build=_add_build(one.build, builds),
        crypto=one.crypto,
        aliases=tuple(sorted({shown(path) for path in one.aliases})),
        package=one.package,
        evidence=_sorted(one.evidence),
    )


def _environment_install(root: str, one: Environment, builds: dict[str, Build]) -> Install:
    return Install(
        root=shown(root),
        path=shown(one.path),
        realpath=shown(one.realpath),
        kind=InstallKind.VENV,
        implementation=Implementation.UNKNOWN if one.build is None else one.build.implementation,
        installer=one.installer,
        build=None if one.build is None else _add_build(one.build, builds),
        crypto=one.crypto,
        aliases=tuple(sorted({shown(path) for path in one.aliases})),
        base=None if one.base is None else shown(one.base),
        recorded_version=one.recorded_version,
        package=one.package,
        evidence=_sorted(one.evidence),
    )
