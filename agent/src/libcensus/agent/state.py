"""The agent's own folder: what it must remember between two runs, written so that a crash leaves the old or the new.

Nothing in it is trusted to be there: a lost folder costs the reports that were waiting and nothing else. The folder is
readable by its owner alone, for the report of a host is a map of its weaknesses.
"""

from __future__ import annotations

import fcntl
import json
import os
import stat
import tempfile
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from libcensus.agent.errors import AgentError, ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

STATE_FILE = "state.json"
LOCK_FILE = "lock"

_UNFINISHED = ".new-"


def default_state_folder(environment: Mapping[str, str], user_id: int) -> Path:
    """Return where state lies without a setting: below /var/lib for root, in the XDG state folder for others.

    systemd's ``StateDirectory=`` names the folder of a unit that runs as another user, and is taken first.
    """
    if given := environment.get("STATE_DIRECTORY"):
        return Path(given.split(":", 1)[0])
    if user_id == 0:
        return Path("/var/lib/libcensus-agent")
    base = environment.get("XDG_STATE_HOME", "")
    if not base.startswith("/"):
        base = str(Path(environment.get("HOME") or "~").expanduser() / ".local" / "state")
    return Path(base) / "libcensus-agent"


def write_durably(path: Path, content: bytes) -> None:
    """Put ``content`` at ``path`` with mode 0600: after a crash it holds the old bytes or all of the new ones."""
    descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=_UNFINISHED)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        Path(name).replace(path)
    except BaseException:
        with suppress(OSError):
            Path(name).unlink()
        raise
    sync_folder(path.parent)


def remove_unfinished(folder: Path) -> None:
    """Remove the files of :func:`write_durably` that never got their name, because the process died."""
    with suppress(FileNotFoundError):
        for file in list(folder.iterdir()):
            if file.name.startswith(_UNFINISHED):
                file.unlink(missing_ok=True)


def sync_folder(folder: Path) -> None:
    """Make the names in a folder durable."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


class StateFolder:
    """The folder with what the agent remembers."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def create(self) -> None:
        """Make the folder with mode 0700 where it is missing; refuse one that others could write."""
        remedy = "set state.folder (or --state-dir) to a folder that this user can write"
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            self.path.mkdir(mode=0o700, exist_ok=True)
            status = self.path.stat()
        except OSError as error:
            raise ConfigurationError(f"state folder {self.path} cannot be made: {error.strerror}; {remedy}") from None
        if stat.S_IMODE(status.st_mode) & 0o022:
            mode = f"{stat.S_IMODE(status.st_mode):04o}"
            raise ConfigurationError(
                f"state folder {self.path} can be written by other users (mode {mode}); run chmod 0700 on it"
            )
        if status.st_uid not in (os.geteuid(), 0):
            raise ConfigurationError(f"state folder {self.path} belongs to user id {status.st_uid}; {remedy}")
        if not os.access(self.path, os.W_OK | os.X_OK, effective_ids=True):
            raise ConfigurationError(f"state folder {self.path} cannot be written; {remedy}")

    def read(self) -> dict[str, Any]:
        """Return what was remembered; empty when there is nothing, or nothing that can be understood."""
        try:
            content = json.loads((self.path / STATE_FILE).read_bytes())
        except PermissionError as error:
            raise ConfigurationError(
                f"state folder {self.path} cannot be read: {error.strerror}; run as the user that reports, or set "
                "--state-dir"
            ) from None
        except (OSError, ValueError):
            return {}
        return content if isinstance(content, dict) else {}

    def update(self, changes: Mapping[str, object]) -> None:
        """Remember ``changes`` beside what was there; durable on return. Raises OSError when it cannot be written."""
        content = {**self.read(), **changes}
        write_durably(self.path / STATE_FILE, (json.dumps(content, indent=1, sort_keys=True) + "\n").encode())

    def remove_unfinished(self) -> None:
        """Remove what a run that died left half written; only the holder of the lock may."""
        remove_unfinished(self.path)

    @contextmanager
    def lock(self) -> Iterator[None]:
        """Hold the folder for one run; raises AgentError at once when another run holds it."""
        descriptor = os.open(self.path / LOCK_FILE, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        try:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise AgentError(
                    f"another libcensus-agent is reporting from state folder {self.path}; wait until it has ended"
                ) from None
            yield
        finally:
            os.close(descriptor)
