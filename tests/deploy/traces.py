"""What is on a host's disk, and who its users and units are: compared before and after, it tells what was left."""

from __future__ import annotations

import hashlib
import os
import re
import stat
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tests.deploy.control import Host

_NOT_OURS = re.compile(
    r"""/(?:
      proc|sys|dev|run|tmp|var/tmp|var/log|var/cache          # nothing there outlives a boot, or is looked for below
    | var/lib/prometheus                                      # what Debian's Prometheus and Alertmanager write
    | var/lib/systemd/(?:random-seed|timesync|linger|catalog|rfkill|coredump|pstore)
    | var/lib/dpkg/status-old                                 # a test changes a package, and changes it back
    | (?:root|home/[^/]+)/\.ansible                           # of Ansible itself, which is told to keep nothing in it
    | etc/(?:passwd|group|shadow|gshadow|subuid|subgid)-?     # users and groups are compared by name instead
    | etc/\.pwd\.lock
    )(?:/.*)?""",
    re.VERBOSE,
)
_SYSTEMD_STAMPS = "/var/lib/systemd/timers"
"""systemd makes the folder for the first persistent timer, whosever it is, and keeps it; stamps in it are looked at."""
_HASHED_BYTES = 1 << 20


@dataclass(frozen=True)
class Traces:
    """Files by path, with what they are; names of users, groups and unit files."""

    files: dict[str, str]
    users: frozenset[str]
    groups: frozenset[str]
    units: frozenset[str]

    def differences(self, later: Traces) -> list[str]:
        """Return what differs later, one line each."""
        found = [f"file {path} is new" for path in sorted(later.files.keys() - self.files.keys())]
        found += [f"file {path} is gone" for path in sorted(self.files.keys() - later.files.keys())]
        found += [
            f"file {path} was {was} and is {later.files[path]}"
            for path, was in sorted(self.files.items())
            if path in later.files and later.files[path] != was
        ]
        for kind in ("users", "groups", "units"):
            before, after = getattr(self, kind), getattr(later, kind)
            found += [f"{kind}: {name} is new" for name in sorted(after - before)]
            found += [f"{kind}: {name} is gone" for name in sorted(before - after)]
        return found


def traces_of(host: Host) -> Traces:
    """Read the host's disk from outside, and ask it for users, groups and units."""
    return Traces(
        dict(_files(host.machine.root)),
        frozenset(line.split(":")[0] for line in host.run("getent passwd").splitlines()),
        frozenset(line.split(":")[0] for line in host.run("getent group").splitlines()),
        frozenset(
            line.split()[0] for line in host.run("systemctl list-unit-files --no-legend --plain").splitlines() if line
        ),
    )


def _files(root: Path) -> list[tuple[str, str]]:
    found = []
    for folder, folders, files in os.walk(root):
        place = folder[len(str(root)) :]
        folders[:] = [name for name in folders if not _NOT_OURS.fullmatch(f"{place}/{name}")]
        for name in [*files, *folders]:
            path = f"{place}/{name}"
            if path != _SYSTEMD_STAMPS and not _NOT_OURS.fullmatch(path):
                found.append((path, _described(Path(folder, name), path)))
    return found


def _described(place: Path, path: str) -> str:
    told = place.lstat()
    said = f"{stat.filemode(told.st_mode)} {told.st_uid}:{told.st_gid}"
    if stat.S_ISLNK(told.st_mode):
        return f"{said} -> {place.readlink()}"
    if stat.S_ISREG(told.st_mode):
        said += f" {told.st_size} bytes"
        if path.startswith("/etc/") and told.st_size <= _HASHED_BYTES:
            said += f" {hashlib.sha256(place.read_bytes()).hexdigest()[:16]}"
    return said
