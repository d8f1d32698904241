"""Images in storage: what real engines wrote down about one image, and what is missing, damaged or unknown."""

from __future__ import annotations

import json
import resource
import shutil
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from libcensus.agent.host import Root
from libcensus.agent.images.image import chain_ids, is_tag, make_image, moment
from libcensus.agent.images.storage import find_images
from libcensus.agent.images.stores import Records
from libcensus.agent.layers import walk_of
from libcensus.agent.probes.skips import Skips
from libcensus.agent.proc import CAP_SYS_ADMIN, Proc
from libcensus.agent.settings import ScanSettings
from libcensus.facts.root import ScannedRoot
from libcensus.facts.vocabulary import RootKind
from tests.agent.images.records import unpack
from tests.agent.roots import as_nobody

if TYPE_CHECKING:
    from pathlib import Path

    from libcensus.agent.images.image import ImageRoot

TINY = "sha256:bb1ad41794523d6e6c09978d7fe55f6d3407125a616dcfa93214da41481ab3e9"
PLACES = {"docker": "var/lib/docker", "storage": "var/lib/containers/storage", "containerd": "var/lib/containerd"}


@pytest.fixture
def host(tmp_path: Path) -> Path:
    top = tmp_path / "host"
    top.mkdir()
    return top


def add_store(host: Path, name: str, place: str | None = None) -> Path:
    """Put a real engine's records in their place below a host."""
    return unpack(name, host / (place or PLACES[name]))


SAID_TO_OTHERS_THAN_ROOT = {"opaque-unseen"}


def images_of(host: Path) -> tuple[list[ImageRoot], Skips]:
    skips = Skips()
    with Root.open(str(host)) as root:
        return find_images(root, skips), skips


def reasons(skips: Skips) -> dict[str, int]:
    """What was passed over, whoever runs the tests."""
    return {reason: count for reason, count in skips.counts.items() if reason not in SAID_TO_OTHERS_THAN_ROOT}


def test_what_hides_and_cannot_be_seen_is_said(host: Path) -> None:
    add_store(host, "docker")
    _, skips = images_of(host)
    assert ("opaque-unseen" in skips.counts) != Proc().is_capable(CAP_SYS_ADMIN)
    skips = Skips()
    with Root.open(str(host)) as root, as_nobody():
        assert len(find_images(root, skips)) == 1
    assert skips.counts == {"opaque-unseen": 1}


@pytest.mark.parametrize(
    ("store", "name", "tags"),
    [
        ("docker", "image:docker/example.test/tiny:1.0", ("example.test/tiny:1.0", "example.test/tiny:stable")),
        ("storage", "image:podman/example.test/tiny:1.0", ("example.test/tiny:1.0",)),
        ("containerd", "image:containerd/default/example.test/tiny:1.0", ("example.test/tiny:1.0",)),
    ],
)
def test_a_real_store(host: Path, store: str, name: str, tags: tuple[str, ...]) -> None:
    add_store(host, store)
    (image,), skips = images_of(host)
    assert (image.name, image.tags, image.container.image_id) == (name, tags, TINY)
    assert image.created is not None
    assert image.created.startswith("2026-11-25T04:1")
    assert len(image.layers) == 3
    assert not {reason for reason in reasons(skips) if reason != "image-not-unpacked"}
    # The order: what an upper layer has hides what is below.
    for number, layer in enumerate(image.layers):
        (host / layer.lstrip("/") / "which").write_text(str(number))
        (host / layer.lstrip("/") / f"only-{number}").write_text("")
    with Root.open(str(host)) as root, image.open(root) as merged:
        assert merged.read_text("/which") == "0"
        assert [one for one in merged.listdir("/") if one.startswith("only")] == ["only-0", "only-1", "only-2"]
    ScannedRoot(image.name, RootKind.IMAGE, created=image.created, tags=image.tags, evidence=image.evidence)


def test_the_layers_are_in_the_order_of_their_history(host: Path) -> None:
    store = add_store(host, "docker")
    (image,), _ = images_of(host)
    parents = {}
    for layer in (store / "image/overlay2/layerdb/sha256").iterdir():
        parent = layer / "parent"
        parents[(layer / "cache-id").read_text()] = parent.read_text() if parent.exists() else None
    assert parents[image.layers[-1].split("/")[-2]] is None
    assert parents[image.layers[0].split("/")[-2]] is not None


def test_one_image_in_three_stores_is_one_root_with_three_proofs(host: Path) -> None:
    for store in PLACES:
        add_store(host, store)
    (image,), _ = images_of(host)
    assert image.name == "image:docker/example.test/tiny:1.0"
    assert len(image.evidence) == 3


def test_stores_in_other_places(host: Path) -> None:
    add_store(host, "docker", "srv/docker")
    add_store(host, "storage", "home/ada/.local/share/containers/storage")
    (host / "etc/docker").mkdir(parents=True)
    (host / "etc/docker/daemon.json").write_text(json.dumps({"data-root": "/srv/docker"}))
    (host / "etc/passwd").write_text("ada:x:1000:1000::/home/ada:/bin/sh\nnobody:x:1:1::/:/bin/false\nbroken\n")
    (image,), skips = images_of(host)
    assert len(image.evidence) == 2
    assert not reasons(skips)


def test_storage_conf_names_the_place(host: Path) -> None:
    add_store(host, "storage", "srv/pods")
    (host / "etc/containers").mkdir(parents=True)
    (host / "etc/containers/storage.conf").write_text('[storage]\ndriver = "overlay"\ngraphroot = "/srv/pods"\n')
    assert [image.name for image in images_of(host)[0]] == ["image:podman/example.test/tiny:1.0"]


def test_a_missing_layer_is_said(host: Path) -> None:
    store = add_store(host, "storage")
    layer = next(iter(sorted((store / "overlay").iterdir())))
    for one in (store / "overlay").iterdir():
        if one != layer:
            shutil.rmtree(one)
    found, skips = images_of(host)
    assert found == []
    assert reasons(skips) == {"image-layer-missing": 1}


def test_an_image_that_was_not_unpacked_is_said(host: Path) -> None:
    store = add_store(host, "containerd")
    shutil.rmtree(store / "io.containerd.snapshotter.v1.overlayfs/snapshots")
    found, skips = images_of(host)
    assert found == []
    assert skips.counts["image-not-unpacked"] >= 1


@pytest.mark.parametrize(
    "content", [b"", b"[", b"[" * 100_000, b'{"Repositories": [1]}', b"null", b"\xff\xfe", b'[{"id": 3}]']
)
def test_damaged_records_cost_themselves_alone(host: Path, content: bytes) -> None:
    for store in PLACES:
        add_store(host, store)
    for path in (
        "var/lib/docker/image/overlay2/repositories.json",
        "var/lib/containers/storage/overlay-images/images.json",
        "var/lib/containers/storage/overlay-layers/layers.json",
        "var/lib/containerd/io.containerd.metadata.v1.bolt/meta.db",
    ):
        (host / path).write_bytes(content)
    (image,), _ = images_of(host)
    # Without the list of names the image is still there, by its id.
    assert image.name == f"image:{TINY}"


def test_drivers_that_are_not_read_are_said(host: Path) -> None:
    (host / "var/lib/docker/image/zfs/imagedb").mkdir(parents=True)
    assert reasons(images_of(host)[1]) == {"image-storage-driver": 1}


def test_untagged_parents_are_no_images_of_their_own(host: Path) -> None:
    store = add_store(host, "docker")
    contents = list((store / "image/overlay2/imagedb/content/sha256").iterdir())
    assert len(contents) == 3
    assert len(images_of(host)[0]) == 1
    (store / "image/overlay2/repositories.json").write_text('{"Repositories": {}}')
    assert [image.name for image in images_of(host)[0]] == [f"image:{TINY}"]


def test_a_whole_tree_is_one_layer(host: Path) -> None:
    store = add_store(host, "storage")
    for part in ("images", "layers"):
        (store / f"overlay-{part}").rename(store / f"vfs-{part}")
    top = json.loads((store / "vfs-images/images.json").read_text())[0]["layer"]
    shutil.rmtree(store / "overlay")
    (store / "vfs/dir" / top / "usr/bin").mkdir(parents=True)
    (image,), _ = images_of(host)
    assert image.layers == (f"/var/lib/containers/storage/vfs/dir/{top}",)


def test_links_in_storage_do_not_lead_out(host: Path, tmp_path: Path) -> None:
    store = add_store(host, "storage")
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside/secret").write_text("x")
    (image,), _ = images_of(host)
    layer = store / image.layers[0].removeprefix("/var/lib/containers/storage/")
    layer.rmdir()
    layer.symlink_to(tmp_path / "outside")
    found, skips = images_of(host)
    assert found == []
    assert reasons(skips) == {"image-layer-missing": 1}


def test_many_layers_in_one_deep_folder_may_be_open_at_once(host: Path) -> None:
    folder = "usr/lib/python3/dist-packages/a/b/c"
    layers = []
    for number in range(127):
        layer = host / f"layers/{number}"
        (layer / folder).mkdir(parents=True)
        (layer / folder / f"mark-{number}").write_text("")
        layers.append(f"/layers/{number}")
    image = make_image("docker", TINY, [], None, layers, "/x")
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (256, hard))
    try:
        with Root.open(str(host)) as root, image.open(root) as merged:
            skips = Skips()
            for _ in walk_of(merged, ScanSettings(), skips):
                pass
            assert not skips
            assert len(merged.listdir(f"/{folder}")) == 127
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def test_nothing_there(host: Path) -> None:
    found, skips = images_of(host)
    assert found == []
    assert not reasons(skips)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("2026-11-25T03:58:28.118018101Z", "2026-11-25T03:58:28Z"),
        ("2026-11-25T05:58:28+02:00", "2026-11-25T03:58:28Z"),
        ("0001-01-01T00:00:00Z", None),
        ("1970-01-01T00:00:00Z", None),
        ("2026-13-25T03:58:28Z", None),
        ("yesterday", None),
        ("9999-12-31T23:59:59-23:59", None),
        (None, None),
    ],
)
def test_moments(text: str | None, told: str | None) -> None:
    assert moment(text) == told


@given(st.text())
def test_no_text_is_a_moment_by_accident(text: str) -> None:
    assert moment(text) is None or len(moment(text) or "") == 20


@pytest.mark.parametrize(
    ("reference", "expected"),
    [
        ("docker.io/library/debian:12", True),
        ("localhost:5000/x", False),
        ("debian@sha256:" + "0" * 64, False),
        ("sha256:" + "0" * 64, False),
        ("debian:12@sha256:" + "0" * 64, False),
    ],
)
def test_what_is_a_tag(reference: str, expected: bool) -> None:
    assert is_tag(reference) is expected


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["rootfs", "diff_ids", "x"]), inner),
)


@given(json_values)
def test_no_configuration_makes_chain_ids_fail(value: Any) -> None:
    assert chain_ids(value) == [] or all(one.startswith("sha256:") for one in chain_ids(value))


def test_records_that_are_too_large_are_said(host: Path) -> None:
    (host / "etc/docker").mkdir(parents=True)
    with (host / "etc/docker/daemon.json").open("wb") as file:
        file.truncate(1 << 30)
    skips = Skips()
    with Root.open(str(host)) as root:
        assert Records(root, skips).docker_folders() == []
    assert reasons(skips) == {"too-large": 1}
