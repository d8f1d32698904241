"""The image storage of Podman, CRI-O and Buildah: one JSON list of images, one of layers, a folder for each layer.

Layout: containers/storage, ``images.go``, ``layers.go`` and ``drivers``. All three engines share it, and nothing in it
says which of them put an image there: it is called Podman's.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from libcensus.agent.host import shown
from libcensus.agent.images.image import MAX_LAYERS, is_tag, make_image, moment
from libcensus.agent.images.stores import text_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from libcensus.agent.images.image import ImageRoot
    from libcensus.agent.images.stores import Records

RUNTIME = "podman"

PLACES = {
    "overlay": "overlay/{}/diff",
    "aufs": "aufs/diff/{}",
    "vfs": "vfs/dir/{}",
    "btrfs": "btrfs/subvolumes/{}",
}
WHOLE = frozenset({"vfs", "btrfs"})

_ID = re.compile(r"[0-9a-f]{64}")


def storage_images(records: Records, folder: str) -> Iterator[ImageRoot]:
    """Yield the images of one storage folder."""
    for name in records.names(folder):
        driver, separator, _ = name.rpartition("-images")
        if not separator or not name.endswith("-images"):
            continue
        if driver in PLACES:
            yield from _images(records, folder, driver)
        elif records.json(f"{folder}/{name}/images.json"):
            where = f"{folder}/{name}"
            records.skips.add("image-storage-driver", f"{shown(where)}: layers of this driver are not read")


def _images(records: Records, folder: str, driver: str) -> Iterator[ImageRoot]:
    path = f"{folder}/{driver}-images/images.json"
    parents: dict[str, str | None] = {}
    for name in ("layers.json", "volatile-layers.json"):
        for layer in _objects(records.json(f"{folder}/{driver}-layers/{name}")):
            if (identity := text_of(layer, "id")) is not None:
                parents[identity] = text_of(layer, "parent")
    for image in _objects(records.json(path)):
        identity = text_of(image, "id") or ""
        if not _ID.fullmatch(identity):
            continue
        top = text_of(image, "layer")
        layers = _layers(records, folder, driver, parents, top)
        if not layers:
            reason = "image-layer-missing" if top else "image-without-layers"
            records.skips.add(reason, f"{shown(path)}: image {identity}: there are no layers that could be read")
            continue
        names = image.get("names")
        tags = [name for name in names if isinstance(name, str) and is_tag(name)] if isinstance(names, list) else []
        yield make_image(RUNTIME, f"sha256:{identity}", tags, moment(text_of(image, "created")), layers, path)


def _objects(value: Any) -> Iterator[dict[str, Any]]:
    return (one for one in value if isinstance(one, dict)) if isinstance(value, list) else iter(())


def _layers(records: Records, folder: str, driver: str, parents: dict[str, str | None], top: str | None) -> list[str]:
    """Return the folders of the layers, the uppermost first; none where one of them is missing or of another form."""
    layers: list[str] = []
    while top is not None:
        if top not in parents or not _ID.fullmatch(top) or len(layers) >= MAX_LAYERS:
            return []
        layer = f"{folder}/{PLACES[driver].format(top)}"
        if not records.host.is_folder(layer):
            return []
        if records.host.is_folder(f"{folder}/overlay/{top}/composefs-data"):
            records.skips.add("image-composefs", f"{shown(layer)}: holds contents without their names")
            return []
        layers.append(layer)
        if driver in WHOLE:
            break
        top = parents[top]
    return layers
