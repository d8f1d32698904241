"""What the probes of one scan share: each reads what the ones before it found and adds its own part.

A probe that failed leaves the defaults here, so that those after it find less and not nothing.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from libcensus.facts.host import Host, OsRelease
from libcensus.facts.platform import Platform

if TYPE_CHECKING:
    from libcensus.agent.host import Root
    from libcensus.agent.index import Index
    from libcensus.agent.interpreters.candidate import Candidate, Environment, Interpreter
    from libcensus.agent.probes.libraries import Libraries
    from libcensus.agent.probes.packages import PackageDatabase
    from libcensus.agent.probes.walk import Recognition
    from libcensus.agent.settings import ScanSettings
    from libcensus.agent.walk import Progress
    from libcensus.facts.changelog import PackageChangelog
    from libcensus.facts.crypto import CryptoCopy
    from libcensus.facts.tool import Tool, ToolSetting


class ProbeSkippedError(Exception):
    """A probe found nothing of its kind to read, or may not; the reason is for the user."""


@dataclass(slots=True)
class ScanContext:
    """The state of one scan.

    ``links`` are symbolic links that are named like an interpreter, ``environment_folders`` the folders of pyvenv.cfg
    files. ``libraries_found`` are shared objects that may hold a crypto library and belong to no interpreter's own
    files (what lies in site-packages and the like, and libraries that are named libcrypto or libssl), ``tool_files``
    programs named like a tool, ``setting_files`` the settings of one; ``roots_found`` are roots of their own.
    ``fingerprint`` stands for all that the walk met beside executables, which ``recognition`` looked at.
    All paths are real and absolute in the root.
    """

    root: Root
    settings: ScanSettings
    progress: Progress | None = None
    index: Index | None = None
    fingerprint: str = ""
    recognition: Recognition | None = None
    os_release: OsRelease | None = None
    candidates: list[Candidate] = field(default_factory=list)
    links: list[str] = field(default_factory=list)
    environment_folders: list[str] = field(default_factory=list)
    libraries_found: list[str] = field(default_factory=list)
    tool_files: list[str] = field(default_factory=list)
    setting_files: list[str] = field(default_factory=list)
    roots_found: list[str] = field(default_factory=list)
    packages: PackageDatabase | None = None
    libraries: Libraries | None = None
    host: Host = field(default_factory=lambda: Host(hostname="unknown"))
    platform: Platform = field(default_factory=Platform)
    interpreters: list[Interpreter] = field(default_factory=list)
    environments: list[Environment] = field(default_factory=list)
    copies: list[CryptoCopy] = field(default_factory=list)
    tools: list[Tool] = field(default_factory=list)
    tool_settings: list[ToolSetting] = field(default_factory=list)
    changelogs: list[PackageChangelog] = field(default_factory=list)

    def tell(self, phase: str, done: int, total: int | None = None) -> None:
        """Pass progress on, where somebody listens."""
        if self.progress is not None:
            self.progress(phase, done, total)
