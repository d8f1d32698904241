"""Sources are taken by their SHA-256 alone, from wherever they lie."""

from __future__ import annotations

import io
import tarfile
from typing import TYPE_CHECKING

import pytest
from release.errors import ReleaseError
from release.sources import Source, given_cpython, obtain, read_pins, sha256_of, unpack

if TYPE_CHECKING:
    from pathlib import Path


def make_archive(path: Path, folder: str = "Python-3.13.99", text: str = "source", mtime: int = 1_700_000_000) -> Path:
    """Write an archive of one file in one folder."""
    with tarfile.open(path, "w:xz") as archive:
        member = tarfile.TarInfo(f"{folder}/README")
        member.size = len(text)
        member.mtime = mtime
        archive.addfile(member, io.BytesIO(text.encode()))
    return path


def pin_of(path: Path, version: str = "1.0") -> Source:
    return Source("part", version, "main/p/part", f"part_{version}.orig.tar.xz", sha256_of(path))


def test_every_part_has_a_source_that_a_stable_archive_keeps() -> None:
    pins = read_pins()
    assert set(pins) == {"cpython", "zlib", "bzip2", "xz"}
    for sources in pins.values():
        assert all(len(source.sha256) == 64 and source.is_pinned for source in sources)
        assert len({source.version for source in sources}) == len(sources)
    assert all(source.epoch > 0 for source in pins["cpython"])


def test_a_given_folder_is_searched_by_contents_and_not_by_name(tmp_path: Path) -> None:
    given = tmp_path / "given"
    given.mkdir()
    wanted = make_archive(given / "renamed")
    make_archive(given / "part_1.0.orig.tar.xz", text="another")
    found = obtain([pin_of(wanted)], tmp_path / "cache", [given])
    assert found.path == wanted


def test_the_first_source_is_wanted_and_the_next_will_do(tmp_path: Path) -> None:
    given = tmp_path / "given"
    given.mkdir()
    second = make_archive(given / "second", text="second")
    absent = make_archive(tmp_path / "first", text="first")
    pins = [pin_of(absent, "2.0"), pin_of(second)]
    assert obtain(pins, tmp_path / "cache", [given]).source.version == "1.0"
    assert obtain(pins, tmp_path / "cache", [given, absent]).source.version == "2.0"


def test_a_damaged_file_in_the_cache_is_not_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    wanted = make_archive(tmp_path / "wanted")
    source = pin_of(wanted)
    kept = tmp_path / "cache" / f"{source.sha256[:16]}-{source.file}"
    kept.parent.mkdir()
    kept.write_bytes(wanted.read_bytes())
    assert obtain([source], tmp_path / "cache", []).path == kept
    kept.write_bytes(b"damaged")
    # A machine whose apt knows no archive.
    monkeypatch.setenv("APT_CONFIG", str(_empty_apt(tmp_path)))
    with pytest.raises(ReleaseError, match=r"no source of part can be had .* SOURCES=folder"):
        obtain([source], tmp_path / "cache", [])


def _empty_apt(folder: Path) -> Path:
    settings = folder / "apt.conf"
    settings.write_text('Dir::Etc::sourcelist "/dev/null";\nDir::Etc::sourceparts "/dev/null";\n')
    return settings


def test_apt_fetches_from_the_pool_of_an_archive_and_its_hash_is_checked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    archive = tmp_path / "archive"
    pool = archive / "pool" / "main" / "p" / "part"
    pool.mkdir(parents=True)
    wanted = make_archive(pool / "part_1.0.orig.tar.xz")
    (tmp_path / "sources.list").write_text(f"deb [trusted=yes] file:{archive} stable main\n")
    settings = tmp_path / "apt.conf"
    settings.write_text(
        f'Dir::Etc::sourcelist "{tmp_path}/sources.list";\nDir::Etc::sourceparts "/dev/null";\n'
        f'Dir::State "{tmp_path}/state";\nDir::Cache "{tmp_path}/aptcache";\n'
    )
    monkeypatch.setenv("APT_CONFIG", str(settings))
    found = obtain([pin_of(wanted)], tmp_path / "cache", [])
    assert found.path.parent == tmp_path / "cache"
    assert sha256_of(found.path) == sha256_of(wanted)
    other = Source("part", "1.0", "main/p/part", wanted.name, "0" * 64)
    with pytest.raises(ReleaseError, match="no source of part can be had"):
        obtain([other], tmp_path / "cache", [])


def test_a_given_cpython_is_dated_by_its_own_files_and_marked_as_not_stated(tmp_path: Path) -> None:
    path = make_archive(tmp_path / "Python-3.13.99.tar.xz")
    found = given_cpython(path, read_pins()["cpython"])
    assert (found.source.version, found.source.sha256) == ("3.13.99", sha256_of(path))
    assert found.source.released is not None
    assert str(found.source.released) == "2023-11-14"
    assert not found.source.is_pinned


def test_what_is_no_cpython_is_refused(tmp_path: Path) -> None:
    pins = read_pins()["cpython"]
    with pytest.raises(ReleaseError, match="is no source archive of CPython"):
        given_cpython(make_archive(tmp_path / "other.tar.xz", folder="other-1.0"), pins)
    with pytest.raises(ReleaseError, match="is no file"):
        given_cpython(tmp_path / "absent.tar.xz", pins)


def test_an_archive_of_one_folder_is_unpacked(tmp_path: Path) -> None:
    path = make_archive(tmp_path / "one.tar.xz")
    found = given_cpython(path, read_pins()["cpython"])
    assert (unpack(found, tmp_path / "there") / "README").read_text() == "source"
