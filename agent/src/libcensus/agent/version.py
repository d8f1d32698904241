"""The agent's own version, as its distribution's metadata says; it is never written in the code a second time."""

from __future__ import annotations

from functools import cache
from importlib.metadata import PackageNotFoundError, version


@cache
def agent_version() -> str:
    """Return the version of the installed distribution, or ``0+unknown`` when the code runs without one."""
    try:
        return version("libcensus-agent")
    except PackageNotFoundError:
        return "0+unknown"
