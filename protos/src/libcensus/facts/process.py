"""What runs now: which install a process runs, and whether the crypto library that it mapped is still on disk.

It changes by itself, so it stands outside every address; a report carries it only when it differs from the last one.
"""

from __future__ import annotations

from dataclasses import dataclass

from libcensus.facts.validation import (
    InvalidFactError,
    check_absolute_path,
    check_optional_text,
    check_range,
    check_root_name,
    check_sorted,
)
from libcensus.facts.vocabulary import MappingState

MAX_EXAMPLES = 5

_GONE = frozenset({MappingState.DELETED, MappingState.REPLACED})


@dataclass(frozen=True, slots=True)
class ProcessExample:
    """One process of a group: its id on the host, and the unit that it belongs to, where there is one."""

    pid: int
    unit: str | None = None

    def __post_init__(self) -> None:
        """Refuse ids that no kernel gives."""
        check_range("pid", self.pid, 1, 2**31 - 1)
        check_optional_text("unit", self.unit, limit=256)

    @property
    def sort_key(self) -> tuple[int, str]:
        """The order of examples."""
        return self.pid, self.unit or ""


@dataclass(frozen=True, slots=True)
class MappedLibrary:
    """A crypto library (or the file that holds a static one) that processes of a group have mapped.

    ``deleted``: nothing has its name any more; ``replaced``: another file has. ``processes`` counts those that map it.
    """

    path: str
    state: MappingState
    processes: int

    def __post_init__(self) -> None:
        """Refuse relative paths and impossible counts."""
        check_absolute_path("path", self.path)
        check_range("processes", self.processes, 1, 2**31 - 1)

    @property
    def sort_key(self) -> tuple[str, str]:
        """The order of libraries in a group: by path, then state."""
        return self.path, self.state


@dataclass(frozen=True, slots=True)
class ProcessGroup:
    """The processes that run one executable of one root.

    ``install`` is the path of the install that they run, absent where the scan knows none; ``executable`` what
    ``/proc/PID/exe`` leads to, as seen inside the root, and ``state`` whether it is still that file.
    ``unread`` counts those whose mappings could not be read.
    """

    root: str
    executable: str
    state: MappingState
    processes: int
    install: str | None = None
    libraries: tuple[MappedLibrary, ...] = ()
    unread: int = 0
    examples: tuple[ProcessExample, ...] = ()

    def __post_init__(self) -> None:
        """Refuse relative paths, impossible counts and unsorted parts."""
        check_root_name("root", self.root)
        check_absolute_path("executable", self.executable)
        if self.install is not None:
            check_absolute_path("install", self.install)
        check_range("processes", self.processes, 1, 2**31 - 1)
        check_range("unread", self.unread, 0, self.processes)
        check_sorted("libraries", self.libraries, key=lambda one: one.sort_key)
        check_sorted("examples", self.examples, key=lambda one: one.sort_key)
        if len(self.examples) > MAX_EXAMPLES:
            raise InvalidFactError("examples", f"has {len(self.examples)} entries; at most {MAX_EXAMPLES} are kept")

    @property
    def outdated(self) -> int:
        """How many processes at least run an executable or map a library that is no longer what its path leads to."""
        if self.state in _GONE:
            return self.processes
        return max((one.processes for one in self.libraries if one.state in _GONE), default=0)

    @property
    def sort_key(self) -> tuple[str, str, str, str]:
        """The order of groups: by root, executable, install and state."""
        return self.root, self.executable, self.install or "", self.state


@dataclass(frozen=True, slots=True)
class ProcessSet:
    """Every interpreter process of a host, in groups."""

    groups: tuple[ProcessGroup, ...] = ()

    def __post_init__(self) -> None:
        """Refuse an order of its own, or one group twice."""
        check_sorted("groups", self.groups, key=lambda group: group.sort_key)

    @property
    def outdated(self) -> int:
        """How many processes at least run on something that is gone."""
        return sum(group.outdated for group in self.groups)
