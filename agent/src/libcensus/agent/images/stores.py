"""Finds where container engines keep their images and containers on a host: default places, settings, users' homes.

An engine that was started with other folders on its command line, and by no settings file, is not found here.
"""

from __future__ import annotations

import json
import tomllib
from typing import TYPE_CHECKING, Any

from libcensus.agent.errors import UnreadableError
from libcensus.agent.host import shown

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from libcensus.agent.host import Root
    from libcensus.agent.probes.skips import Skips

MAX_RECORD = 4 << 20
"""What is read of one record of an engine; the largest seen are lists of hundreds of layers in some 300 KB."""

_DOCKER = ("/var/lib/docker", "/var/snap/docker/common/var-lib-docker")
_STORAGE = ("/var/lib/containers/storage", "/usr/lib/containers/storage", "/var/lib/shared")
_CONTAINERD = (
    "/var/lib/containerd",
    "/var/lib/docker/containerd/daemon",
    "/var/lib/rancher/k3s/agent/containerd",
    "/var/lib/rancher/rke2/agent/containerd",
    "/var/lib/k0s/containerd",
    "/var/snap/microk8s/common/var/lib/containerd",
)
_CONTAINERD_STATE = ("/run/containerd", "/run/k3s/containerd", "/run/k0s/containerd", "/run/docker/containerd/daemon")


class Records:
    """Reads the JSON and TOML records of engines through one root; what cannot be read is counted once, by reason."""

    def __init__(self, host: Root, skips: Skips) -> None:
        self.host = host
        self.skips = skips

    def json(self, path: str) -> Any:
        """Return a JSON file's value; None where there is none or it is damaged."""
        return self._read(path, json.loads)

    def toml(self, path: str) -> dict[str, Any]:
        """Return a TOML file's table; empty where there is none or it is damaged."""
        return self._read(path, tomllib.loads) or {}

    def text(self, path: str) -> str | None:
        """Return a small file's text without white space around it; None where there is none."""
        text = self._read(path, str.strip)
        return text if isinstance(text, str) else None

    def names(self, folder: str) -> list[str]:
        """Return the names in a folder; none where there is no such folder."""
        try:
            return self.host.listdir(folder)
        except UnreadableError as error:
            if error.reason != "not-found":
                self.skips.add_error(error, shown(folder))
            return []

    def _read(self, path: str, parse: Callable[[str], Any]) -> Any:
        try:
            text = self.host.read_text(path, MAX_RECORD)
        except UnreadableError as error:
            if error.reason != "not-found":
                self.skips.add_error(error, shown(path))
            return None
        try:
            return parse(text)
        except (ValueError, RecursionError):
            self.skips.add("damaged-record", f"{shown(path)}: is not the record that its name promises")
            return None

    # --- places -----------------------------------------------------------------------------------------------------

    def docker_folders(self) -> list[str]:
        """Return the data folders of Docker engines, rootless ones too."""
        daemon = self.json("/etc/docker/daemon.json")
        settings = daemon if isinstance(daemon, dict) else {}
        named = [settings.get("data-root"), settings.get("graph")]
        return self._existing([*_DOCKER, *named, *(f"{home}/.local/share/docker" for home in self._homes())])

    def storage_folders(self) -> list[str]:
        """Return the folders of containers/storage (Podman, CRI-O, Buildah), rootless ones too."""
        named: list[Any] = []
        for path in ("/usr/share/containers/storage.conf", "/etc/containers/storage.conf"):
            storage = self.toml(path).get("storage")
            if isinstance(storage, dict):
                named.append(storage.get("graphroot"))
                options = storage.get("options")
                more = options.get("additionalimagestores") if isinstance(options, dict) else None
                named += more if isinstance(more, list) else []
        homes = (f"{home}/.local/share/containers/storage" for home in self._homes())
        return self._existing([*_STORAGE, *named, *homes])

    def containerd_folders(self) -> list[str]:
        """Return the folders where containerd keeps content and snapshots."""
        named = self.toml("/etc/containerd/config.toml").get("root")
        return self._existing([*_CONTAINERD, named, *(f"{home}/.local/share/containerd" for home in self._homes())])

    def containerd_states(self) -> list[str]:
        """Return the folders where containerd keeps what runs now."""
        return self._existing([*_CONTAINERD_STATE, self.toml("/etc/containerd/config.toml").get("state")])

    def _homes(self) -> list[str]:
        homes = []
        for line in (self.text("/etc/passwd") or "").splitlines():
            fields = line.split(":")
            if len(fields) == 7 and fields[5].startswith("/") and fields[5] != "/":
                homes.append(fields[5].rstrip("/"))
        return list(dict.fromkeys(homes))

    def _existing(self, folders: Iterable[Any]) -> list[str]:
        found: dict[str, None] = {}
        for folder in folders:
            if not isinstance(folder, str) or not folder.startswith("/"):
                continue
            try:
                real = self.host.realpath(folder)
            except UnreadableError as error:
                # The walk has said of each mount that is not read that it is not.
                if error.reason not in ("not-found", "foreign-mount"):
                    self.skips.add_error(error, shown(folder))
                continue
            found[real] = None
        return list(found)


def text_of(value: Any, *names: str) -> str | None:
    """Return the text at a path of names in nested JSON objects; None where it is missing, empty or something else."""
    for name in names:
        if not isinstance(value, dict):
            return None
        value = value.get(name)
    return value if isinstance(value, str) and value else None
