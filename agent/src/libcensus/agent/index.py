"""What the agent remembers of a scan, so that the next one reads only what changed.

Three memories, each keyed by a file's state (device, inode, size, mode, both times in nanoseconds):

* executables that are no interpreter: never opened again while they stay the same;
* what one pass over a file's bytes told (digest, marks of crypto libraries);
* all facts of a root, with every look-up that led to them (:mod:`libcensus.agent.accesses`): while the walk finds the
  same and every look-up has the same answer, the facts hold, and no content is read at all.

It refuses to remember what changed within the last seconds before a scan, and forgets everything when the agent itself
changes: a better parser must not be answered by what an older one read. It is a memory and no record: what is lost or
damaged costs one full scan. It lies in the state folder, which the agent's user alone may write.
"""

from __future__ import annotations

import base64
import hashlib
import json
import logging
import os
import shutil
import time
from bisect import bisect_left
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from libcensus.agent.accesses import SETTLED_NS, Accesses
from libcensus.agent.errors import ConfigurationError
from libcensus.agent.state import StateFolder, write_durably
from libcensus.agent.version import agent_version

if TYPE_CHECKING:
    from collections.abc import Iterator

    from libcensus.agent.host import FileState

FOLDER = "index"
_FILES = "files.json"
VERSION = 1
KEY_BYTES = 16

MAX_UNREMARKABLE = 200_000
MAX_CONTENTS = 20_000
MAX_INDEX_BYTES = 64 << 20
MAX_INDEXES = 16
"""Roots given with ``--root`` whose scans are remembered beside the host's own; the oldest goes."""

_LOG = logging.getLogger(__name__)


def state_key(state: FileState, name: str) -> bytes:
    """Return the key of a file under its name: equal keys mean the same content.

    128 bits of BLAKE2b: two of a million different files share a key with a probability of 1e-27.
    """
    text = f"{state.device}:{state.inode}:{state.size}:{state.mode}:{state.mtime_ns}:{state.ctime_ns}:{name}"
    return hashlib.blake2b(text.encode("utf-8", "surrogateescape"), digest_size=KEY_BYTES).digest()


def program_key() -> str:
    """Return what stands for the agent's own code: its version, and the state of each of its files."""
    digest = hashlib.blake2b(agent_version().encode(), digest_size=KEY_BYTES)
    here = Path(__file__).parent
    for folder in (here, *sorted(one for one in here.iterdir() if one.is_dir() and one.name != "__pycache__")):
        try:
            with os.scandir(folder) as entries:
                for entry in sorted(entries, key=lambda one: one.name):
                    if entry.name.endswith(".py"):
                        status = entry.stat()
                        digest.update(f"{folder.name}/{entry.name}:{status.st_size}:{status.st_mtime_ns}".encode())
        except OSError:
            continue
    return digest.hexdigest()


class Keys:
    """A set of keys in one piece of memory, sorted: sixteen bytes a key, where a set of Python's takes a hundred."""

    def __init__(self, joined: bytes = b"") -> None:
        self._joined = joined

    def __len__(self) -> int:
        return len(self._joined) // KEY_BYTES

    def __getitem__(self, position: int) -> bytes:
        if not 0 <= position < len(self):
            raise IndexError(position)
        return self._joined[position * KEY_BYTES : (position + 1) * KEY_BYTES]

    def __contains__(self, key: object) -> bool:
        if not isinstance(key, bytes):
            return False
        position = bisect_left(self, key)
        return position < len(self) and self[position] == key

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Keys) and self._joined == other._joined

    __hash__ = None  # type: ignore[assignment]

    @classmethod
    def sort(cls, joined: bytes | bytearray) -> Self:
        """Return the set of keys that stand one after another in any order."""
        return cls(b"".join(sorted(bytes(joined[at : at + KEY_BYTES]) for at in range(0, len(joined), KEY_BYTES))))

    def to_json(self) -> str:
        """Return the set as JSON keeps it."""
        return base64.b64encode(self._joined).decode()

    @classmethod
    def from_json(cls, text: str) -> Self:
        """Return the set that :meth:`to_json` gave; raises ValueError or TypeError for anything else."""
        joined = base64.b64decode(text, validate=True)
        if len(joined) % KEY_BYTES:
            raise ValueError(f"{len(joined)} bytes are no whole number of keys")
        return cls(joined)


@dataclass(slots=True)
class Record:
    """All that one scan of a root found, and what it depends on.

    ``fingerprint`` stands for what the walk found and for the settings, ``remarkable`` are the keys of executables that
    were recognised or told something, ``facts`` the addressed facts as kind and bytes, ``runs`` the probes' results as
    JSON values, ``inner`` the roots inside.
    """

    fingerprint: str
    remarkable: Keys
    accesses: Accesses
    facts: tuple[tuple[str, bytes], ...]
    runs: tuple[Any, ...]
    recognition: Any = None

    def to_json(self) -> dict[str, Any]:
        """Return the record as JSON keeps it."""
        return {
            "fingerprint": self.fingerprint,
            "remarkable": self.remarkable.to_json(),
            "accesses": self.accesses.to_json(),
            "facts": [[kind, base64.b64encode(payload).decode()] for kind, payload in self.facts],
            "runs": list(self.runs),
            "recognition": self.recognition,
        }

    @classmethod
    def from_json(cls, value: dict[str, Any]) -> Record:
        """Return the record that :meth:`to_json` gave; raises ValueError, KeyError or TypeError for anything else."""
        return cls(
            fingerprint=str(value["fingerprint"]),
            remarkable=Keys.from_json(value["remarkable"]),
            accesses=Accesses.from_json(value["accesses"]),
            facts=tuple((str(kind), base64.b64decode(payload)) for kind, payload in value["facts"]),
            runs=tuple(value["runs"]),
            recognition=value["recognition"],
        )


class Index:
    """The memory of one scan: what the last one left, and what this one leaves for the next.

    It lies in a folder of its own, one file for each root, so that one root's is in memory at a time; without a folder
    nothing is remembered. ``started_ns`` is when this scan began, by the clock that stamps files. ``overflowed`` counts
    what there was no room for: it is read again by the next scan.
    """

    def __init__(self, folder: Path | None = None) -> None:
        self.started_ns = time.time_ns()
        self.overflowed = 0
        self._folder = folder
        self._program = program_key()
        self._unremarkable = bytearray()
        self._contents: dict[str, Any] = {}
        self._kept: set[str] = set()
        self._last: tuple[str, Record | None] | None = None
        self._has_recalled = False
        files = self._read(_FILES) or {}
        try:
            self._old_unremarkable = Keys.from_json(files.get("unremarkable", ""))
            self._old_contents = dict(files.get("contents", {}))
        except (ValueError, TypeError) as error:
            _LOG.debug("the index in %s cannot be used: %s", folder, error)
            self._old_unremarkable, self._old_contents = Keys(), {}

    # --- executables ------------------------------------------------------------------------------------------------

    def is_settled(self, state: FileState) -> bool:
        """Tell whether a file is old enough that a later change would show in its times."""
        return max(state.mtime_ns, state.ctime_ns) < self.started_ns - SETTLED_NS

    def is_unremarkable(self, key: bytes) -> bool:
        """Tell whether the last scan found nothing in the executable with this key; what is known stays known."""
        if key not in self._old_unremarkable:
            return False
        self._note(key)
        return True

    def note_unremarkable(self, key: bytes, state: FileState) -> None:
        """Remember that there is nothing in an executable."""
        if self.is_settled(state):
            self._note(key)

    def _note(self, key: bytes) -> None:
        if len(self._unremarkable) < MAX_UNREMARKABLE * KEY_BYTES:
            self._unremarkable += key
        else:
            self.overflowed += 1

    # --- contents ---------------------------------------------------------------------------------------------------

    def content(self, state: FileState, kind: str) -> Any:
        """Return what was remembered of a file's bytes under ``kind``; None where nothing was."""
        key = _content_key(state, kind)
        value = self._contents.get(key)
        if value is None and (value := self._old_contents.get(key)) is not None:
            self._keep_content(key, value)
        return value

    def keep_content(self, state: FileState, kind: str, value: Any) -> None:
        """Remember what a file's bytes told, as a JSON value."""
        if self.is_settled(state):
            self._keep_content(_content_key(state, kind), value)

    def _keep_content(self, key: str, value: Any) -> None:
        if len(self._contents) < MAX_CONTENTS:
            self._contents[key] = value
        else:
            self.overflowed += 1

    # --- roots ------------------------------------------------------------------------------------------------------

    def record(self, name: str) -> Record | None:
        """Return what the last scan of a root left; None where it left nothing that can be used."""
        if self._last is None or self._last[0] != name:
            self._last = name, self._read_record(name)
        return self._last[1]

    def _read_record(self, name: str) -> Record | None:
        value = self._read(_file_name(name))
        try:
            return None if value is None else Record.from_json(value["record"])
        except (ValueError, KeyError, TypeError) as error:
            _LOG.debug("the index of %s cannot be used: %s", name, error)
            return None

    def keep_record(self, name: str, record: Record) -> None:
        """Remember a root's scan, where it can be compared with a later one."""
        if record.accesses.is_settled(self.started_ns):
            self._write(_file_name(name), {"record": record.to_json()})
            self._kept.add(_file_name(name))

    def keep_same(self, name: str) -> None:
        """Remember what was remembered already: nothing changed, so everything known of it stays."""
        self._kept.add(_file_name(name))
        self._has_recalled = True

    # --- on disk ----------------------------------------------------------------------------------------------------

    def _read(self, name: str) -> dict[str, Any] | None:
        """Return a file of the folder; None where there is none that fits this agent and is safe from others."""
        if self._folder is None:
            return None
        path = self._folder / name
        try:
            status = path.stat()
            if status.st_size > MAX_INDEX_BYTES or status.st_uid not in (os.geteuid(), 0) or status.st_mode & 0o022:
                return None
            value = json.loads(path.read_bytes())
            is_own = value["version"] == VERSION and value["program"] == self._program
        except (OSError, ValueError, KeyError, TypeError) as error:
            _LOG.debug("no index at %s: %s", path, error)
            return None
        return value if is_own else None

    def _write(self, name: str, value: dict[str, Any]) -> None:
        """Write a file of the folder; one that cannot be written costs the next scan its reading, and no more."""
        if self._folder is None:
            return
        value = {"version": VERSION, "program": self._program, **value}
        try:
            self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            write_durably(self._folder / name, json.dumps(value, separators=(",", ":")).encode())
        except OSError as error:
            _LOG.info("the index in %s cannot be written, so the next scan reads everything: %s", self._folder, error)

    def close(self) -> None:
        """Write what is known of files where it differs from the last scan's, and forget roots that are gone."""
        if self._folder is None:
            return
        if self._has_recalled:
            # Nobody asked for the contents of a root that was unchanged: they are as good as before.
            for key, content in self._old_contents.items():
                if key not in self._contents:
                    self._keep_content(key, content)
        unremarkable = Keys.sort(self._unremarkable)
        if unremarkable != self._old_unremarkable or self._contents.keys() != self._old_contents.keys():
            self._write(_FILES, {"unremarkable": unremarkable.to_json(), "contents": self._contents})
        with suppress(OSError):
            for file in list(self._folder.iterdir()):
                if file.name not in self._kept | {_FILES}:
                    file.unlink(missing_ok=True)
            _forget_oldest(self._folder.parent)


def _content_key(state: FileState, kind: str) -> str:
    return f"{kind}:{state_key(state, '').hex()}"


def _hashed(name: str) -> str:
    return hashlib.blake2b(name.encode("utf-8", "surrogateescape"), digest_size=KEY_BYTES).hexdigest()


def _file_name(root: str) -> str:
    return f"{_hashed(root)}.json"


def index_folder(state_folder: Path, root: str) -> Path:
    """Return where the memory of a root's scans lies inside the state folder."""
    return state_folder / FOLDER / _hashed(root)


@contextmanager
def remembered(state_folder: Path, root: str) -> Iterator[Index]:
    """Give the memory of a root's scans, and keep what the scan adds; a folder that cannot be used costs nothing."""
    try:
        StateFolder(state_folder).create()
    except ConfigurationError as error:
        _LOG.info("no index is used: %s", error)
        yield Index()
        return
    index = Index(index_folder(state_folder, root))
    yield index
    index.close()


def _forget_oldest(folder: Path) -> None:
    """Keep the memories of the roots that were scanned last."""
    folders = sorted(folder.iterdir(), key=lambda one: (one / _FILES).stat().st_mtime_ns, reverse=True)
    for one in folders[MAX_INDEXES:]:
        shutil.rmtree(one, ignore_errors=True)
