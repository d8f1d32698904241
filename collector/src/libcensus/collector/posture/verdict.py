"""Whether a build starts on a platform, with every reason why not."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class PortabilityState(StrEnum):
    """The three answers of portability."""

    RUNS = "runs"
    BLOCKED = "blocked"
    UNKNOWN = "unknown"


class ReasonKind(StrEnum):
    """Why a build does not start, in the documented order: a gauge counts a host under the first that applies."""

    ARCH = "arch"
    LOADER = "loader"
    TAG = "tag"
    """No tag of the wheel is one that an installer on the host accepts."""
    PYTHON = "python"
    """No Python of the host is one that the wheel is for."""
    X86_64_LEVEL = "x86_64_level"
    KERNEL = "kernel"
    SONAME = "soname"
    SYMBOL_VERSION = "symbol_version"
    REQUIREMENT = "requirement"
    """What the build itself needs is not known."""

    @property
    def rank(self) -> int:
        """The place in the documented order."""
        return _RANKS[self]


_RANKS = {kind: number for number, kind in enumerate(ReasonKind)}


@dataclass(frozen=True, slots=True)
class Reason:
    """One obstacle: what is needed (of which library, by which file and symbol) and what the host has.

    ``known`` is False where the platform does not tell whether the need is met: such a reason makes a verdict
    unknown, not blocked. ``module`` names the module that alone is concerned; the build starts all the same.
    """

    kind: ReasonKind
    needs: str
    has: str | None = None
    library: str | None = None
    file: str | None = None
    symbol: str | None = None
    remedy: str | None = None
    known: bool = True
    module: str | None = None

    def __str__(self) -> str:
        """Return the reason as one sentence."""
        if self.kind is ReasonKind.REQUIREMENT:
            where = f" (in {self.file})" if self.file else ""
            return f"cannot be judged without {self.needs}{where}"
        what = f"needs {self.needs}"
        if self.library and self.library != self.needs:
            what += f" of {self.library}"
        if self.file:
            what += f" ({self.symbol} in {self.file})" if self.symbol else f" (in {self.file})"
        if not self.known:
            return f"{what}; the host's is unknown"
        if self.has is None:
            return f"{what}; the host has none"
        has = "defines up to" if self.kind is ReasonKind.SYMBOL_VERSION else "has"
        return f"{what}; the host {has} {self.has}"


@dataclass(frozen=True, slots=True)
class Verdict:
    """The answer for one build or artefact on one platform; ``degraded`` are the modules that would fail to load.

    Both are sorted in the documented order of kinds, then by library and need.
    """

    state: PortabilityState
    reasons: tuple[Reason, ...] = ()
    degraded: tuple[Reason, ...] = ()

    @property
    def first_reason(self) -> ReasonKind | None:
        """The kind under which a gauge counts this verdict: the first in documented order that decided the state."""
        deciding = [r.kind for r in self.reasons if r.known or self.state is not PortabilityState.BLOCKED]
        return min(deciding, key=lambda kind: kind.rank, default=None)
