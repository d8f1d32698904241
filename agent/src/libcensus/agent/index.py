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
import time
from bisect import bisect_left
from contextlib import contextmanager
from dataclasses import dataclass, field
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
VERSION = 1
KEY_BYTES = 16

MAX_UNREMARKABLE = 200_000
MAX_CONTENTS = 50_000
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


@dataclass(slots=True)
class Index:
    """The memory of one scan: what the last one left, and what this one leaves for the next.

    ``started_ns`` is when this scan began, by the clock that stamps files. ``overflowed`` counts what there was no room
    for: it is read again by the next scan.
    """

    started_ns: int = field(default_factory=time.time_ns)
    overflowed: int = 0
    _program: str = field(default_factory=program_key)
    _old_unremarkable: Keys = field(default_factory=Keys)
    _old_contents: dict[str, Any] = field(default_factory=dict)
    _old_records: dict[str, Any] = field(default_factory=dict)
    _unremarkable: bytearray = field(default_factory=bytearray)
    _contents: dict[str, Any] = field(default_factory=dict)
    _records: dict[str, Any] = field(default_factory=dict)
    _has_recalled: bool = False

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
        value = self._old_records.get(name)
        if value is None:
            return None
        try:
            return Record.from_json(value)
        except (ValueError, KeyError, TypeError) as error:
            _LOG.debug("the index of %s cannot be used: %s", name, error)
            return None

    def keep_record(self, name: str, record: Record) -> None:
        """Remember a root's scan, where it can be compared with a later one."""
        if record.accesses.is_settled(self.started_ns):
            self._records[name] = record.to_json()

    def keep_same(self, name: str) -> None:
        """Remember what was remembered already: nothing changed, so everything known of it stays."""
        self._records[name] = self._old_records[name]
        self._has_recalled = True

    # --- on disk ----------------------------------------------------------------------------------------------------

    @classmethod
    def load(cls, path: Path) -> Index:
        """Return the memory that lies at ``path``; an empty one where there is none that fits this agent."""
        made = cls()
        try:
            status = path.stat()
            if status.st_size > MAX_INDEX_BYTES or status.st_uid not in (os.geteuid(), 0) or status.st_mode & 0o022:
                return made
            value = json.loads(path.read_bytes())
            if value["version"] == VERSION and value["program"] == made._program:
                made._old_unremarkable = Keys.from_json(value["unremarkable"])
                made._old_contents = dict(value["contents"])
                made._old_records = dict(value["roots"])
        except (OSError, ValueError, KeyError, TypeError) as error:
            _LOG.debug("no index at %s: %s", path, error)
        return made

    def save(self, path: Path) -> None:
        """Write the memory where the next scan gains anything from it; raises OSError where it cannot be written."""
        if self._has_recalled:
            # Nobody asked for the contents of a root that was unchanged: they are as good as before.
            for key, content in self._old_contents.items():
                if key not in self._contents:
                    self._keep_content(key, content)
        unremarkable = Keys.sort(self._unremarkable)
        has_news = (
            unremarkable != self._old_unremarkable
            or self._contents.keys() != self._old_contents.keys()
            or any(self._records.get(name) is not value for name, value in self._old_records.items())
            or self._records.keys() != self._old_records.keys()
        )
        if not has_news:
            return
        value = {
            "version": VERSION,
            "program": self._program,
            "unremarkable": unremarkable.to_json(),
            "contents": self._contents,
            "roots": self._records,
        }
        path.parent.mkdir(mode=0o700, exist_ok=True)
        write_durably(path, json.dumps(value, separators=(",", ":")).encode())
        _forget_oldest(path.parent)


def _content_key(state: FileState, kind: str) -> str:
    return f"{kind}:{state_key(state, '').hex()}"


def index_path(folder: Path, root: str) -> Path:
    """Return where the memory of a root's scans lies inside the state folder."""
    name = hashlib.blake2b(root.encode("utf-8", "surrogateescape"), digest_size=KEY_BYTES).hexdigest()
    return folder / FOLDER / f"{name}.json"


@contextmanager
def remembered(folder: Path, root: str) -> Iterator[Index]:
    """Give the memory of a root's scans, and keep what the scan adds to it; a folder that cannot be used costs nothing.

    A scan that raises leaves the memory as it was.
    """
    try:
        StateFolder(folder).create()
    except ConfigurationError as error:
        _LOG.info("no index is used: %s", error)
        yield Index()
        return
    path = index_path(folder, root)
    index = Index.load(path)
    yield index
    try:
        index.save(path)
    except OSError as error:
        _LOG.info("the index %s cannot be written, so the next scan reads everything: %s", path, error.strerror)


def _forget_oldest(folder: Path) -> None:
    files = sorted(folder.glob("*.json"), key=lambda file: file.stat().st_mtime_ns, reverse=True)
    for file in files[MAX_INDEXES:]:
        file.unlink(missing_ok=True)
