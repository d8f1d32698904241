"""The archive: everything is compared with the manifest, and nothing damaged gets through."""

from __future__ import annotations

import io
import json
import operator
import random
import zipfile
from contextlib import suppress
from typing import TYPE_CHECKING

import pytest

from libcensus.collector.backup.archive import DATABASE, MANIFEST, ArchiveReader, ArchiveWriter, BackupError, Part
from tests.collector.backup.moments import TAKEN

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.collector.backup.conftest import Machine


def parts_of(path: Path) -> dict[str, bytes]:
    """Return what a reader gives out, after it has compared everything."""
    with ArchiveReader.open(path) as reader:
        reader.check()
        return {part.name: reader.read(part) for part in reader.manifest.parts}


def changed(archive: Path, place: Path, change: Callable[[dict[str, bytes]], None]) -> Path:
    """Write an archive anew, in good form, with other members."""
    with zipfile.ZipFile(archive) as old:
        members = {name: old.read(name) for name in old.namelist()}
    change(members)
    with zipfile.ZipFile(place, "w", zipfile.ZIP_DEFLATED) as new:
        for name, content in members.items():
            new.writestr(name, content)
    return place


def test_an_archive_holds_every_part_as_it_is(source: Machine, archive: Path) -> None:
    found = parts_of(archive)
    files = source.files()
    assert {name: content for name, content in found.items() if name != DATABASE} == {
        "settings/collector.toml": files["etc/collector.toml"],
        "web/web.config.yml": files["etc/web.config.yml"],
        "vex/accepted.json": files["state/vex/accepted.json"],
        "advisories/openssl.json": files["state/advisories/openssl.json"],
        "audit/audit.jsonl": files["state/audit.jsonl"],
        **{f"pki/{path.name}": path.read_bytes() for path in (source.state / "pki").iterdir()},
    }
    assert found[DATABASE].startswith(b"SQLite format 3\x00")
    assert archive.stat().st_mode & 0o777 == 0o600


def test_the_manifest_tells_what_is_in_it(archive: Path) -> None:
    document = json.loads(zipfile.ZipFile(archive).read(MANIFEST))
    assert document["libcensus_backup"] == 1
    assert document["taken_at"] == TAKEN.isoformat()
    assert (document["database"], document["with_keys"], document["left_out"]) == ("sqlite", True, [])
    assert document["rows"]["hosts"] == 2
    assert [len(one) for one in document["fingerprints"]] == [64]
    [key] = [one for one in document["parts"] if one["name"] == "pki/issuing.key"]
    assert key["mode"] == 0o600
    assert key["place"].endswith("/state/pki/issuing.key")
    [database] = [one for one in document["parts"] if one["name"] == DATABASE]
    assert database.keys() == {"name", "size", "sha256"}


def test_without_keys_none_is_in_it(source: Machine, tmp_path: Path) -> None:
    manifest = source.back_up(tmp_path / "census.zip", with_keys=False)
    assert not any(part.kind == "pki" for part in manifest.parts)
    assert "pki/issuing.key" in manifest.left_out
    assert len(manifest.fingerprints) == 1
    content = b"".join(parts_of(tmp_path / "census.zip").values())
    assert b"PRIVATE KEY" not in content


def test_an_archive_cut_off_anywhere_is_refused(archive: Path, tmp_path: Path) -> None:
    whole, place = archive.read_bytes(), tmp_path / "cut.zip"
    for share in range(40):
        place.write_bytes(whole[: len(whole) * share // 40])
        with pytest.raises(BackupError, match=r"cut\.zip: is damaged, cut off, or no backup"):
            parts_of(place)
    place.write_bytes(whole[:-1])
    with pytest.raises(BackupError):
        parts_of(place)


def test_a_changed_byte_is_noticed_wherever_it_changes_anything(archive: Path, tmp_path: Path) -> None:
    """Each part, its header and the directory: what is not refused gives out the very same parts."""
    whole, right, place = archive.read_bytes(), parts_of(archive), tmp_path / "changed.zip"
    with zipfile.ZipFile(archive) as members:
        offsets = [one.header_offset for one in members.infolist()]
    chance = random.Random(1)  # noqa: S311 - the same in each run
    places = {offset + step for offset in offsets for step in range(0, 60, 3)}
    places |= {len(whole) - step for step in range(1, 1200, 7)} | {chance.randrange(len(whole)) for _ in range(300)}
    refused = 0
    for position in sorted(places):
        content = bytearray(whole)
        content[position % len(whole)] ^= 1 << chance.randrange(8)
        place.write_bytes(content)
        found = None
        with suppress(BackupError):
            found = parts_of(place)
        refused += found is None
        assert found in (None, right), position
    assert refused > len(places) / 2


@pytest.mark.parametrize("name", [DATABASE, "pki/issuing.key", "vex/accepted.json", "audit/audit.jsonl"])
def test_another_content_in_good_form_is_refused_by_name(archive: Path, tmp_path: Path, name: str) -> None:
    def shorten(members: dict[str, bytes]) -> None:
        members[name] = members[name][:-1]

    def lengthen(members: dict[str, bytes]) -> None:
        members[name] += b"x"

    def alter(members: dict[str, bytes]) -> None:
        members[name] = bytes([members[name][0] ^ 1]) + members[name][1:]

    for change in (shorten, lengthen, alter):
        with pytest.raises(BackupError, match=f"{name}: is damaged"):
            parts_of(changed(archive, tmp_path / "other.zip", change))


def test_a_part_that_is_missing_or_too_much_is_refused(archive: Path, tmp_path: Path) -> None:
    def without(name: str) -> Path:
        return changed(archive, tmp_path / "other.zip", lambda members: operator.delitem(members, name))

    place = tmp_path / "other.zip"
    with pytest.raises(BackupError, match=r"'pki/root\.key' is missing, or too much"):
        parts_of(without("pki/root.key"))
    with pytest.raises(BackupError, match=r"'vex/more\.json' is missing, or too much"):
        parts_of(changed(archive, place, lambda members: members.update({"vex/more.json": b"{}"})))
    with pytest.raises(BackupError, match="is no backup of libcensus"):
        parts_of(without(MANIFEST))


@pytest.mark.parametrize("name", ["../etc/passwd", "vex/../../x", "/etc/passwd", "vex/", "vex/.x", "VEX/x", "x", ""])
def test_a_name_that_leads_elsewhere_is_refused(archive: Path, tmp_path: Path, name: str) -> None:
    def rename(members: dict[str, bytes]) -> None:
        document = json.loads(members[MANIFEST])
        document["parts"][-1]["name"] = name
        members[MANIFEST] = json.dumps(document).encode()

    with pytest.raises(BackupError, match="not allowed"):
        parts_of(changed(archive, tmp_path / "other.zip", rename))


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("taken_at", "yesterday"),
        ("taken_at", "2026-03-01T12:00:00"),
        ("taken_at", None),
        ("rows", []),
        ("parts", None),
        ("parts", [None]),
        ("fingerprints", 3),
        ("revision", 5),
        ("libcensus_backup", "1"),
    ],
)
def test_a_manifest_of_another_form_is_refused(archive: Path, tmp_path: Path, key: str, value: object) -> None:
    def alter(members: dict[str, bytes]) -> None:
        members[MANIFEST] = json.dumps(json.loads(members[MANIFEST]) | {key: value}).encode()

    with pytest.raises(BackupError, match="is damaged, cut off, or no backup"):
        parts_of(changed(archive, tmp_path / "other.zip", alter))


def test_a_newer_form_is_refused_with_the_remedy(archive: Path, tmp_path: Path) -> None:
    def newer(members: dict[str, bytes]) -> None:
        document = json.loads(members[MANIFEST]) | {"libcensus_backup": 2, "version": "9.0"}
        members[MANIFEST] = json.dumps(document).encode()

    with pytest.raises(BackupError, match=r"newer version .*'9\.0'.*install that version"):
        parts_of(changed(archive, tmp_path / "other.zip", newer))


def test_other_files_are_no_backups(tmp_path: Path) -> None:
    for content in (b"", b"PK", bytes(4096), b"SQLite format 3\x00" + bytes(8192)):
        place = tmp_path / "file"
        place.write_bytes(content)
        with pytest.raises(BackupError, match="no backup of libcensus"):
            parts_of(place)
    with pytest.raises(BackupError, match="cannot be read: No such file"):
        parts_of(tmp_path / "absent")
    with pytest.raises(BackupError, match="cannot be read"):
        parts_of(tmp_path)


def test_what_unpacks_to_too_much_is_not_unpacked(archive: Path, tmp_path: Path) -> None:
    """A member of gigabytes of zeros is refused after as many bytes as the manifest says."""

    def bomb(members: dict[str, bytes]) -> None:
        members["vex/accepted.json"] = bytes(64 * 1024**2)

    place = changed(archive, tmp_path / "bomb.zip", bomb)
    assert place.stat().st_size < 4 * 1024**2
    with ArchiveReader.open(place) as reader:
        [part] = [one for one in reader.manifest.parts if one.name == "vex/accepted.json"]
        taken = io.BytesIO()
        with pytest.raises(BackupError, match="not what the manifest says"):
            reader.extract(part, taken)
        assert len(taken.getvalue()) <= part.size


def test_a_writer_reads_what_it_is_given_once(tmp_path: Path) -> None:
    done: list[int] = []
    with (tmp_path / "archive").open("wb") as file, ArchiveWriter(file) as writer:
        writer.add(io.BytesIO(b"x" * 3_000_000), Part("vex/large.json", 0, ""), done.append)
    assert done == [1024**2, 2 * 1024**2, 3_000_000]
