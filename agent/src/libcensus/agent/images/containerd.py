"""containerd's image storage: its metadata database, its content by digest, and the snapshots of unpacked layers.

Layout: containerd's ``core/metadata/buckets.go``, ``core/snapshots/storage/bolt.go`` and its content store. An image
that was pulled and never unpacked has no files to look at and is counted. Of an image for several platforms, those
that were unpacked here are looked at.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from libcensus.agent.errors import UnreadableError
from libcensus.agent.host import shown
from libcensus.agent.images.bolt import Bolt
from libcensus.agent.images.image import DIGEST, MAX_LAYERS, chain_ids, created_of, is_tag, make_image
from libcensus.agent.images.stores import text_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from libcensus.agent.host import RootedFile
    from libcensus.agent.images.image import ImageRoot
    from libcensus.agent.images.stores import Records

RUNTIME = "containerd"

METADATA = "io.containerd.metadata.v1.bolt/meta.db"
_CONTENT = "io.containerd.content.v1.content/blobs/sha256"
_SNAPSHOTTER = "io.containerd.snapshotter.v1."

PLACES = {
    "overlayfs": "snapshots/{}/fs",
    "fuse-overlayfs": "snapshots/{}/fs",
    "native": "snapshots/{}",
    "btrfs": "snapshots/{}",
}
"""Where each snapshotter puts a layer, below its own folder."""

WHOLE = frozenset({"native", "btrfs"})

_MAX_IMAGES = 10_000
_MAX_MANIFESTS = 64


@dataclass(slots=True)
class Metadata:
    """What the metadata database tells.

    ``images`` are namespace, name and digest; ``snapshots`` name a committed snapshot for its snapshotter, by
    namespace, snapshotter and chain id; ``containers`` are the images and labels of containers, by namespace and id.
    """

    images: list[tuple[str, str, str]] = field(default_factory=list)
    snapshots: dict[tuple[str, str, str], bytes] = field(default_factory=dict)
    containers: dict[tuple[str, str], tuple[str | None, dict[str, str]]] = field(default_factory=dict)


def read_metadata(source: RootedFile) -> Metadata:
    """Read containerd's metadata database. Raises UnreadableError for a damaged one."""
    told = Metadata()
    version = Bolt(source).root.bucket(b"v1")
    for raw, namespace in version.buckets() if version is not None else ():
        name = _text(raw)
        for image, record in _inside(namespace, b"images"):
            target = record.bucket(b"target")
            digest = None if target is None else target.get(b"digest")
            if digest is not None and len(told.images) < _MAX_IMAGES:
                told.images.append((name, _text(image), _text(digest)))
        snapshots = namespace.bucket(b"snapshots")
        for snapshotter, kept in snapshots.buckets() if snapshots is not None else ():
            for key, record in kept.buckets():
                inner = record.get(b"name")
                if inner is not None and key.startswith(b"sha256:"):
                    told.snapshots[name, _text(snapshotter), _text(key)] = inner
        for identity, record in _inside(namespace, b"containers"):
            labels = record.bucket(b"labels")
            words = {} if labels is None else {_text(key): _text(value) for key, value in labels.values()}
            image = record.get(b"image")
            told.containers[name, _text(identity)] = (_text(image) if image else None), words
    return told


def read_snapshots(source: RootedFile) -> dict[bytes, tuple[int, bytes | None]]:
    """Read a snapshotter's database: the number and the parent of each snapshot, by its name."""
    version = Bolt(source).root.bucket(b"v1")
    found = {}
    for name, record in _inside(version, b"snapshots") if version is not None else ():
        number = _varint(record.get(b"id"))
        if number is not None:
            found[name] = number, record.get(b"parent")
    return found


def containerd_images(records: Records, folder: str) -> Iterator[ImageRoot]:
    """Yield the images of one containerd, those of each platform that was unpacked."""
    yield from ContainerdStore(records, folder).images()


class ContainerdStore:
    """One containerd's folder; what its records do not tell, or tell wrongly, is counted and left out."""

    def __init__(self, records: Records, folder: str) -> None:
        self._records = records
        self._folder = folder
        self._told = self._read()
        self._known: dict[str, dict[bytes, tuple[int, bytes | None]]] = {}

    def _read(self) -> Metadata:
        try:
            return self._records.host.examine(self.record, read_metadata)
        except UnreadableError as error:
            if error.reason != "not-found":
                self._records.skips.add_error(error, shown(self.record))
            return Metadata()

    @property
    def record(self) -> str:
        """The path of the metadata database."""
        return f"{self._folder}/{METADATA}"

    def container(self, namespace: str, identity: str) -> tuple[str | None, str | None, dict[str, str]] | None:
        """Return the name and the id of the image that a container was made from, and the container's labels."""
        found = self._told.containers.get((namespace, identity))
        if found is None:
            return None
        image, labels = found
        digests = [digest for there, name, digest in self._told.images if (there, name) == (namespace, image)]
        ids = [image_id for digest in digests for image_id, _ in self._configurations(digest)]
        return image, ids[0] if len(ids) == 1 else None, labels

    def images(self) -> Iterator[ImageRoot]:
        """Yield the images whose layers are unpacked."""
        tags: dict[tuple[str, str], list[str]] = {}
        for namespace, name, digest in self._told.images:
            tags.setdefault((namespace, digest), []).append(name)
        for (namespace, digest), names in sorted(tags.items()):
            unpacked = False
            for image_id, configuration in self._configurations(digest):
                layers = self._layers(namespace, chain_ids(configuration))
                if layers:
                    unpacked = True
                    runtime, scope = ("docker", "") if namespace == "moby" else (RUNTIME, f"/{namespace}")
                    told = [name for name in names if is_tag(name)]
                    yield make_image(runtime, image_id, told, created_of(configuration), layers, self.record, scope)
            if not unpacked:
                words = f"{shown(self.record)}: {shown(names[0])} in {shown(namespace)}"
                self._records.skips.add("image-not-unpacked", f"{words}: its layers are not unpacked here")

    def _configurations(self, digest: str) -> Iterator[tuple[str, Any]]:
        """Yield the configurations behind a manifest or an index of manifests, with their digests."""
        pending = [digest]
        for _ in range(_MAX_MANIFESTS):
            if not pending:
                return
            manifest = self._blob(pending.pop(0))
            if not isinstance(manifest, dict):
                continue
            image_id = text_of(manifest, "config", "digest")
            if image_id is not None and (told := self._blob(image_id)) is not None:
                yield image_id, told
            inner = manifest.get("manifests")
            listed = (text_of(one, "digest") for one in inner) if isinstance(inner, list) else ()
            pending += [one for one in listed if one is not None]

    def _blob(self, digest: str) -> Any:
        match = DIGEST.fullmatch(digest)
        return None if match is None else self._records.json(f"{self._folder}/{_CONTENT}/{match[1]}")

    def _layers(self, namespace: str, chain: list[str]) -> list[str]:
        """Return the folders of the layers, the uppermost first; none where the image is not unpacked."""
        if not chain:
            return []
        for snapshotter, place in PLACES.items():
            name = self._told.snapshots.get((namespace, snapshotter, chain[-1]))
            if name is None:
                continue
            known = self._snapshots(snapshotter)
            layers: list[str] = []
            while name is not None and name in known and len(layers) < MAX_LAYERS:
                number, parent = known[name]
                layer = f"{self._folder}/{_SNAPSHOTTER}{snapshotter}/{place.format(number)}"
                if not self._records.host.is_folder(layer):
                    break
                layers.append(layer)
                name = None if snapshotter in WHOLE else parent
            if layers and name is None:
                return layers
        return []

    def _snapshots(self, snapshotter: str) -> dict[bytes, tuple[int, bytes | None]]:
        if snapshotter not in self._known:
            path = f"{self._folder}/{_SNAPSHOTTER}{snapshotter}/metadata.db"
            try:
                self._known[snapshotter] = self._records.host.examine(path, read_snapshots)
            except UnreadableError as error:
                self._records.skips.add_error(error, shown(path))
                self._known[snapshotter] = {}
        return self._known[snapshotter]


def _inside(bucket: Any, key: bytes) -> Any:
    inner = bucket.bucket(key)
    return () if inner is None else inner.buckets()


def _text(raw: bytes) -> str:
    return raw.decode("utf-8", "backslashreplace")


def _varint(raw: bytes | None) -> int | None:
    """Return a number as Go's encoding/binary writes it: seven bits a byte, the lowest first."""
    value = 0
    for number, byte in enumerate((raw or b"")[:10]):
        value |= (byte & 0x7F) << (7 * number)
        if byte < 0x80:
            return value
    return None
