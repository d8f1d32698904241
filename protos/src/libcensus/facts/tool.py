"""Tools that bring interpreters to a host, which builds they know, and what their settings allow."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from libcensus.facts.validation import (
    check_absolute_path,
    check_optional_text,
    check_root_name,
    check_sorted,
    check_text,
)

if TYPE_CHECKING:
    from libcensus.facts.evidence import Evidence
    from libcensus.facts.package import Package


@dataclass(frozen=True, slots=True)
class Tool:
    """One installed program, such as ``uv``.

    ``newest_build`` is the newest python-build-standalone build (its tag, ``20260127``) whose address the program
    holds: it can install nothing newer. ``environment`` is the environment that the program lies in, where it is one.
    """

    root: str
    path: str
    name: str
    version: str | None = None
    newest_build: str | None = None
    environment: str | None = None
    package: Package | None = None
    evidence: tuple[Evidence, ...] = ()

    def __post_init__(self) -> None:
        """Refuse relative paths and absurd text."""
        check_root_name("root", self.root)
        check_absolute_path("path", self.path)
        check_text("name", self.name, limit=64)
        check_optional_text("version", self.version, limit=64)
        check_optional_text("newest_build", self.newest_build, limit=32)
        if self.environment is not None:
            check_absolute_path("environment", self.environment)
        check_sorted("evidence", self.evidence, key=lambda item: item.sort_key)


@dataclass(frozen=True, slots=True)
class ToolSetting:
    """One setting of a tool in one file: ``uv``'s ``python-downloads`` is ``never`` in ``/etc/uv/uv.toml``."""

    root: str
    path: str
    tool: str
    name: str
    value: str
    evidence: tuple[Evidence, ...] = ()

    def __post_init__(self) -> None:
        """Refuse relative paths and absurd text."""
        check_root_name("root", self.root)
        check_absolute_path("path", self.path)
        check_text("tool", self.tool, limit=64)
        check_text("name", self.name, limit=64)
        check_text("value", self.value, limit=256, allow_empty=True)
        check_sorted("evidence", self.evidence, key=lambda item: item.sort_key)


@dataclass(frozen=True, slots=True)
class ToolSet:
    """Every tool of a host by root and path, and what their settings say by root, file and name."""

    tools: tuple[Tool, ...] = ()
    settings: tuple[ToolSetting, ...] = ()

    def __post_init__(self) -> None:
        """Refuse an order of its own, or one thing twice."""
        check_sorted("tools", self.tools, key=lambda tool: (tool.root, tool.path))
        check_sorted("settings", self.settings, key=lambda one: (one.root, one.path, one.tool, one.name))
