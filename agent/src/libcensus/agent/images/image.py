"""An image in an engine's storage: what its configuration tells, and the folders of its layers."""

from __future__ import annotations

import hashlib
import os
import re
import resource
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from libcensus.agent.errors import UnreadableError
from libcensus.agent.host import shown
from libcensus.agent.images.stores import text_of
from libcensus.agent.layers import LayeredRoot, close_all
from libcensus.facts.evidence import Evidence
from libcensus.facts.root import Container
from libcensus.facts.vocabulary import EvidenceKind

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from libcensus.agent.host import Root

MAX_LAYERS = 512
"""Docker allows 127 layers of an image (its ``layer`` package), containers/storage 500."""

DIGEST = re.compile(r"sha256:([0-9a-f]{64})")
_MOMENT = re.compile(r"(\d{4}-\d\d-\d\d[Tt ]\d\d:\d\d:\d\d)(?:\.\d+)?([Zz]|[+-]\d\d:\d\d)")
_OTHER_FILES = 256
_FILES_PER_LAYER = 48
"""A layer may have a part in every folder from the top down to where the walk stands, and a look-up does the same."""

_UNTOLD_YEARS = (1, 1970)
"""Go's zero time, and the epoch that reproducible builds write: both mean that nobody says when."""


@dataclass(frozen=True, slots=True)
class ImageRoot:
    """The tree of an image in storage: ``layers`` are folders of the host, the uppermost first; nothing is open."""

    name: str
    container: Container
    tags: tuple[str, ...]
    created: str | None
    layers: tuple[str, ...]
    evidence: tuple[Evidence, ...] = ()

    def open(self, host: Root) -> LayeredRoot:
        """Open the layers as one root, through the root that the storage lies in. Raises UnreadableError."""
        descriptors: list[int] = []
        allow_open_files(_OTHER_FILES + len(self.layers) * _FILES_PER_LAYER)
        try:
            for layer in self.layers:
                with host.open_below(layer) as folder:
                    descriptors.append(os.dup(folder.descriptor))
            return LayeredRoot(self.name, descriptors)
        except OSError as error:
            close_all(descriptors)
            raise UnreadableError("too-many-open-files", f"{self.name}: {error.strerror}") from None
        except UnreadableError:
            close_all(descriptors)
            raise


def allow_open_files(count: int) -> None:
    """Raise this process's own limit of open files to ``count``, as far as its hard limit lets it."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = count if hard == resource.RLIM_INFINITY else min(count, hard)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


def make_image(
    runtime: str,
    image_id: str,
    tags: Iterable[str],
    created: str | None,
    layers: Sequence[str],
    record: str,
    scope: str = "",
) -> ImageRoot:
    """Put an image together; ``record`` is the file that tells of it, ``scope`` the namespace that its names are in."""
    names = tuple(sorted({shown(tag)[:512] for tag in tags if tag}))
    title = names[0] if names else None
    words = f"id {shown(image_id)}, {len(layers)} layers" + (f", created {created}" if created else "")
    return ImageRoot(
        name=f"image:{runtime}{shown(scope)}/{title}" if title else f"image:{shown(image_id)}",
        container=Container(runtime, image=title, image_id=shown(image_id)[:512]),
        tags=names,
        created=created,
        layers=tuple(layers),
        evidence=(Evidence("image", EvidenceKind.RUNTIME_RECORD, shown(record), words[:2048]),),
    )


def moment(text: str | None) -> str | None:
    """Return a moment of an image's configuration as RFC 3339 in UTC, to the second; None where nothing is told."""
    match = _MOMENT.fullmatch(text or "")
    if match is None:
        return None
    try:
        told = datetime.fromisoformat(match[1] + match[2].upper().replace("Z", "+00:00")).astimezone(UTC)
    except (ValueError, OverflowError):
        return None
    return None if told.year in _UNTOLD_YEARS else told.strftime("%Y-%m-%dT%H:%M:%SZ")


def created_of(configuration: Any) -> str | None:
    """Return when an image was built, from its configuration (OCI image-spec, config.md)."""
    return moment(text_of(configuration, "created"))


def chain_ids(configuration: Any) -> list[str]:
    """Return the chain ids of an image's layers, the lowest first (OCI image-spec, config.md, "Layer ChainID").

    Empty where the configuration names no layers, or names them wrongly.
    """
    told = configuration.get("rootfs") if isinstance(configuration, dict) else None
    diffs = told.get("diff_ids") if isinstance(told, dict) else None
    if not isinstance(diffs, list) or len(diffs) > MAX_LAYERS:
        return []
    chain: list[str] = []
    for diff in diffs:
        if not isinstance(diff, str) or not DIGEST.fullmatch(diff):
            return []
        chain.append(diff if not chain else f"sha256:{hashlib.sha256(f'{chain[-1]} {diff}'.encode()).hexdigest()}")
    return chain


def is_tag(reference: str) -> bool:
    """Tell whether an image's reference is a name that people use, and no digest or id."""
    return "@" not in reference and not DIGEST.fullmatch(reference) and ":" in reference.rpartition("/")[2]
