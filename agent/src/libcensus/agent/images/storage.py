"""Finds the images that container engines keep on a host's disk, each once, as roots that can be read.

Nothing is mounted and no engine is asked: their records are read as files. The same image in the storage of two engines
is one root with the names that both give it.
"""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

from libcensus.agent.errors import UnreadableError
from libcensus.agent.host import shown
from libcensus.agent.images.containerd import containerd_images
from libcensus.agent.images.containers_storage import storage_images
from libcensus.agent.images.docker import docker_images
from libcensus.agent.images.stores import Records
from libcensus.agent.proc import CAP_SYS_ADMIN, Proc

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from libcensus.agent.host import Root
    from libcensus.agent.images.image import ImageRoot
    from libcensus.agent.probes.skips import Skips

_UNSEEN = "files of a folder that an upper layer replaced as a whole may be listed; seeing that needs CAP_SYS_ADMIN"


def find_images(host: Root, skips: Skips) -> list[ImageRoot]:
    """Return the images in the storage of every engine that is found below a root, sorted by name."""
    records = Records(host, skips)
    stores: tuple[tuple[list[str], Callable[[Records, str], Iterator[ImageRoot]]], ...] = (
        (records.docker_folders(), docker_images),
        (records.storage_folders(), storage_images),
        (records.containerd_folders(), containerd_images),
    )
    by_id: dict[str | None, ImageRoot] = {}
    for folders, read in stores:
        for folder in folders:
            try:
                for image in read(records, folder):
                    known = by_id.get(image.container.image_id)
                    by_id[image.container.image_id] = image if known is None else _joined(known, image)
            except UnreadableError as error:
                skips.add_error(error, shown(folder))
    if not Proc().is_capable(CAP_SYS_ADMIN):
        for image in by_id.values():
            if len(image.layers) > 1:
                skips.add("opaque-unseen", f"{image.name}: {_UNSEEN}")
    found: dict[str, ImageRoot] = {}
    for image in sorted(by_id.values(), key=lambda one: (one.name, one.container.image_id or "")):
        name, number = image.name, 1
        while name in found:
            number += 1
            name = f"{image.name}~{number}"
        found[name] = dataclasses.replace(image, name=name)
    return [found[name] for name in sorted(found)]


def _joined(known: ImageRoot, other: ImageRoot) -> ImageRoot:
    """Return an image with the names that a second storage gives it; the first one's name and layers stay."""
    has_name = bool(known.tags) or not other.tags
    kept = known if has_name else dataclasses.replace(known, name=other.name, container=other.container)
    evidence = sorted({*known.evidence, *other.evidence}, key=lambda item: item.sort_key)
    return dataclasses.replace(kept, tags=tuple(sorted({*known.tags, *other.tags})), evidence=tuple(evidence))
