"""Docker's own image storage: ``image/DRIVER`` tells of images and layers, ``DRIVER`` holds them.

Layout: moby's ``image/fs.go``, ``layer/filestore.go`` and ``daemon/graphdriver``. An engine that keeps its images in
containerd has none of it and is read as containerd's. Untagged images that others are built on are no images of their
own: their layers are those of their children.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from libcensus.agent.host import shown
from libcensus.agent.images.image import chain_ids, created_of, is_tag, make_image
from libcensus.agent.images.stores import text_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from libcensus.agent.images.image import ImageRoot
    from libcensus.agent.images.stores import Records

RUNTIME = "docker"

_HEX = re.compile(r"[0-9a-f]{64}")
_CACHE_ID = re.compile(r"[0-9a-z]{1,128}")
_REMAPPED = re.compile(r"\d+\.\d+")

PLACES = {
    "overlay2": "overlay2/{}/diff",
    "fuse-overlayfs": "fuse-overlayfs/{}/diff",
    "aufs": "aufs/diff/{}",
    "vfs": "vfs/dir/{}",
    "btrfs": "btrfs/subvolumes/{}",
}
"""Where each driver puts a layer, below the data folder."""

WHOLE = frozenset({"vfs", "btrfs"})
"""Drivers whose layers are whole trees: the uppermost is the image."""


def docker_images(records: Records, folder: str) -> Iterator[ImageRoot]:
    """Yield the images of one data folder, and of the folders in it for other user namespaces."""
    for inner in ("", *(f"/{name}" for name in records.names(folder) if _REMAPPED.fullmatch(name))):
        for driver in records.names(f"{folder}{inner}/image"):
            if driver in PLACES:
                yield from _Store(records, f"{folder}{inner}", driver).images()
            else:
                where = f"{folder}{inner}/image/{driver}"
                records.skips.add("image-storage-driver", f"{shown(where)}: layers of this driver are not read")


class _Store:
    def __init__(self, records: Records, folder: str, driver: str) -> None:
        self._records = records
        self._folder = folder
        self._driver = driver
        self._image = f"{folder}/image/{driver}"

    def images(self) -> Iterator[ImageRoot]:
        contents = f"{self._image}/imagedb/content/sha256"
        ids = [name for name in self._records.names(contents) if _HEX.fullmatch(name)]
        tags = self._tags()
        parents = set()
        for name in ids:
            parents.add(self._records.text(f"{self._image}/imagedb/metadata/sha256/{name}/parent"))
        for name in ids:
            image_id = f"sha256:{name}"
            if image_id in parents and image_id not in tags:
                continue
            path = f"{contents}/{name}"
            configuration = self._records.json(path)
            chain = chain_ids(configuration)
            layers = self._layers(chain)
            if not layers:
                reason = "image-layer-missing" if chain else "image-without-layers"
                self._records.skips.add(reason, f"{shown(path)}: there are no layers that could be read")
                continue
            yield make_image(RUNTIME, image_id, tags.get(image_id, ()), created_of(configuration), layers, path)

    def _tags(self) -> dict[str, list[str]]:
        told = self._records.json(f"{self._image}/repositories.json")
        repositories = told.get("Repositories") if isinstance(told, dict) else None
        found: dict[str, list[str]] = {}
        for references in repositories.values() if isinstance(repositories, dict) else ():
            for reference in references if isinstance(references, dict) else ():
                image_id = text_of(references, reference)
                if image_id is not None and is_tag(reference):
                    found.setdefault(image_id, []).append(reference)
        return found

    def _layers(self, chain: list[str]) -> list[str]:
        """Return the folders of the layers, the uppermost first; none where one of them is missing."""
        layers = []
        for link in reversed(chain):
            place = f"{self._image}/layerdb/sha256/{link.removeprefix('sha256:')}"
            cache_id = self._records.text(f"{place}/cache-id") or ""
            if not _CACHE_ID.fullmatch(cache_id):
                return []
            layer = f"{self._folder}/{PLACES[self._driver].format(cache_id)}"
            if not self._records.host.is_folder(layer):
                return []
            layers.append(layer)
            if self._driver in WHOLE:
                break
        return layers
