"""The index: an unchanged root is not read, and whatever changed is seen, however well it was hidden."""

from __future__ import annotations

import json
import os
import shutil
import time
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from libcensus.agent.host import FileState, Root
from libcensus.agent.index import MAX_INDEXES, Index, index_folder, remembered, state_key
from libcensus.agent.scan import Scan, scan
from libcensus.agent.settings import ScanSettings
from tests.agent.roots import (
    DEBIAN,
    add_dpkg,
    compile_c,
    crypto_source,
    make_crypto,
    make_python,
    needs_gcc,
    scan_folder,
    shared,
    skips_of,
)

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.agent.roots import Python

pytestmark = needs_gcc

LATER = 3600 * 10**9
"""Makes files that a test just wrote old enough to be remembered."""


def make_top(folder: Path) -> Python:
    """Build a root with an interpreter, a system OpenSSL, packages, an environment and programs of no interest."""
    python = make_python(folder, "/opt/python")
    ssl, _ = make_crypto(folder / "usr/lib64")
    python.add_module(ssl, "-Wl,-rpath,/opt/python/lib")
    shared(folder / "lib64/ld-linux-x86-64.so.2", "int start(void) { return 0; }\n", "ld-linux-x86-64.so.2")
    compile_c(folder / "usr/bin/tool", "int main(void) { return 0; }\n")
    files = ("/usr/lib64/libcrypto.so.9", "/usr/lib64/libssl.so.9")
    add_dpkg(folder, {"libssl9": ("9.8-1", f"Source: openssl\n{DEBIAN}", files)})
    (folder / "etc").mkdir()
    (folder / "etc/os-release").write_text("ID=debian\nVERSION_ID=12\n")
    (folder / "srv/env/bin").mkdir(parents=True)
    (folder / "srv/env/bin/python").symlink_to("/opt/python/bin/python3.99")
    (folder / "srv/env/pyvenv.cfg").write_text("home = /opt/python/bin\nversion = 3.99.1\n")
    return python


@pytest.fixture
def top(tmp_path: Path) -> Path:
    folder = tmp_path / "root"
    folder.mkdir()
    make_top(folder)
    return folder


def scan_with_index(top: Path, folder: Path, *, age: int = LATER, **settings: object) -> Scan:
    index = Index(folder)
    index.started_ns = time.time_ns() + age
    with Root.open(str(top)) as root:
        found = scan(root, ScanSettings(**settings), None, index)  # type: ignore[arg-type]
    index.close()
    return found


def facts(found: Scan) -> tuple[object, ...]:
    skips = {probe.name: (probe.state, probe.reason, probe.skips) for probe in found.probes}
    return found.inventory(), found.builds, found.installs, found.platforms, found.changelogs, skips


class Reads:
    """Counts the bytes that are read from the files of a root."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.count = 0
        real = os.pread

        def pread(descriptor: int, size: int, offset: int) -> bytes:
            self.count += 1
            return real(descriptor, size, offset)

        monkeypatch.setattr(os, "pread", pread)


def test_an_unchanged_root_is_not_read_and_its_facts_are_the_same(
    top: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = scan_with_index(top, tmp_path / "state/index")
    reads = Reads(monkeypatch)
    second = scan_with_index(top, tmp_path / "state/index")
    assert reads.count == 0
    assert facts(second) == facts(first)
    assert facts(second) == facts(scan_folder(top))
    assert reads.count > 0


def overwrite_in_place(file: Path, old: bytes, new: bytes) -> None:
    """Change bytes of a file and put size and mtime back, as one does who wants to hide it."""
    assert len(old) == len(new)
    before = file.stat()
    content = file.read_bytes()
    assert old in content
    with file.open("r+b") as opened:
        opened.seek(content.index(old))
        opened.write(new)
    os.utime(file, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert (file.stat().st_size, file.stat().st_mtime_ns) == (before.st_size, before.st_mtime_ns)


def replace_library(top: Path) -> None:
    shared(top / "usr/lib64/libcrypto.so.9", crypto_source("OpenSSL 9.8.8 2 Feb 2031"), "libcrypto.so.9")


def append(path: str, text: str) -> Callable[[Path], None]:
    def change(top: Path) -> None:
        with (top / path).open("a", encoding="utf-8") as file:
            file.write(text)

    return change


def retarget(top: Path) -> None:
    make_python(top, "/opt/other", version="3.99.2")
    link = top / "srv/env/bin/python"
    link.unlink()
    link.symlink_to("/opt/other/bin/python3.99")


def remove(path: str) -> Callable[[Path], None]:
    return lambda top: (top / path).unlink()


def move_prefix(top: Path) -> None:
    (top / "opt/python").rename(top / "opt/moved")


def new_environment(top: Path) -> None:
    (top / "home/env/bin").mkdir(parents=True)
    (top / "home/env/bin/python3").symlink_to("/opt/python/bin/python3")
    (top / "home/env/pyvenv.cfg").write_text("home = /opt/python/bin\n")


def new_module(top: Path) -> None:
    folder = top / "opt/python/lib/python3.99/lib-dynload"
    shared(folder / "_x.cpython-399-x86_64-linux-gnu.so", "int PyInit__x(void) { return 0; }\n", None)


def new_library_before(top: Path) -> None:
    """A library that was not there answers before the one in use: the loader's first folder had none."""
    make_crypto(top / "opt/python/lib", text="OpenSSL 9.9.9 3 Mar 2032")


def hide_change(top: Path) -> None:
    overwrite_in_place(top / "usr/lib64/libcrypto.so.9", b"OpenSSL 9.8.7 1 Jan", b"OpenSSL 9.8.9 1 Jan")


def debug_build(top: Path) -> None:
    file = top / "opt/python/lib/python3.99/_sysconfigdata__linux_x86_64-linux-gnu.py"
    overwrite_in_place(file, b"'Py_DEBUG': 0", b"'Py_DEBUG': 1")


def replace_by_equal_name(top: Path) -> None:
    file = top / "opt/python/include/python3.99/patchlevel.h"
    other = file.with_name("new")
    other.write_text(file.read_text().replace("3.99.1", "3.99.7"))
    before = file.stat()
    os.utime(other, ns=(before.st_atime_ns, before.st_mtime_ns))
    other.replace(file)


CHANGES: dict[str, Callable[[Path], None]] = {
    "library replaced": replace_library,
    "library changed in place, size and mtime put back": hide_change,
    "header replaced, mtime put back": replace_by_equal_name,
    "package record": append("var/lib/dpkg/status", "\nPackage: new\nVersion: 1\nStatus: install ok installed\n"),
    "file list of a package": append("var/lib/dpkg/info/libssl9.list", "/opt/python/bin/python3.99\n"),
    "os-release": append("etc/os-release", "PRETTY_NAME=Other\n"),
    "pyvenv.cfg": append("srv/env/pyvenv.cfg", "version_info = 3.99.0\n"),
    "environment's link": retarget,
    "environment gone": remove("srv/env/pyvenv.cfg"),
    "interpreter gone": remove("opt/python/bin/python3.99"),
    "library gone": remove("usr/lib64/libcrypto.so.9"),
    "alias gone": remove("opt/python/bin/python"),
    "prefix renamed": move_prefix,
    "new environment": new_environment,
    "new module": new_module,
    "library that comes first now": new_library_before,
    "build variables": debug_build,
}


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES.keys())
def test_what_changed_is_seen_as_a_scan_without_index_sees_it(
    change: Callable[[Path], None], top: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "state/index"
    before = scan_with_index(top, folder)
    change(top)
    after = scan_with_index(top, folder)
    assert facts(after) == facts(scan_folder(top))
    assert after.inventory() != before.inventory() or change is CHANGES["package record"]
    assert facts(scan_with_index(top, folder)) == facts(after)


def test_a_new_program_of_no_interest_costs_its_own_reading_alone(
    top: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "state/index"
    scan_with_index(top, folder)
    compile_c(top / "usr/bin/another", "int main(void) { return 1; }\n")
    reads = Reads(monkeypatch)
    scan_with_index(top, folder)
    first = reads.count
    assert 0 < first < 40
    scan_with_index(top, folder)
    assert reads.count == first


def test_what_changed_a_moment_ago_is_not_remembered(
    top: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Within the clock's grain a second change would leave the same times.
    folder = tmp_path / "state/index"
    scan_with_index(top, folder, age=0)
    reads = Reads(monkeypatch)
    scan_with_index(top, folder, age=0)
    assert reads.count > 0


def test_a_file_that_is_dated_in_the_future_is_read_each_time(
    top: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    far = time.time_ns() + 10 * LATER
    os.utime(top / "etc/os-release", ns=(far, far))
    folder = tmp_path / "state/index"
    scan_with_index(top, folder)
    reads = Reads(monkeypatch)
    assert facts(scan_with_index(top, folder)) == facts(scan_folder(top))
    assert reads.count > 0


def test_other_settings_are_another_scan(top: Path, tmp_path: Path) -> None:
    folder = tmp_path / "state/index"
    scan_with_index(top, folder)
    found = scan_with_index(top, folder, exclude=("/srv",))
    assert [install.path for install in found.installs.installs] == ["/opt/python/bin/python3.99"]


def test_another_agent_starts_anew(top: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "state/index"
    scan_with_index(top, folder)
    monkeypatch.setattr("libcensus.agent.index.agent_version", lambda: "99")
    reads = Reads(monkeypatch)
    scan_with_index(top, folder)
    assert reads.count > 0


def test_a_failed_probe_is_tried_again(top: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from libcensus.agent import scan as module

    def fail(*_: object) -> None:
        raise RuntimeError("no luck")

    folder = tmp_path / "state/index"
    probes = module.PROBES
    monkeypatch.setattr(module, "PROBES", tuple((name, fail if name == "crypto" else one) for name, one in probes))
    assert "failed" in {probe.state for probe in scan_with_index(top, folder).probes}
    monkeypatch.setattr(module, "PROBES", probes)
    assert facts(scan_with_index(top, folder)) == facts(scan_folder(top))


DAMAGE: dict[str, Callable[[bytes], bytes]] = {
    "empty": lambda _: b"",
    "cut": lambda content: content[: len(content) // 2],
    "no JSON": lambda _: b"\xff\xfe",
    "another shape": lambda _: b"[1, 2]",
    "no keys": lambda _: b"{}",
    "facts that are none": lambda content: content.replace(b'["platform","', b'["platform","AAAA'),
    "unknown kind": lambda content: content.replace(b'"install_set"', b'"install_bag"'),
    "answers of another form": lambda content: content.replace(b'"answers":{', b'"answers":[{').replace(b'"x"', b'"y"'),
}


@pytest.mark.parametrize("damage", DAMAGE.values(), ids=DAMAGE.keys())
def test_a_damaged_index_costs_one_full_scan(damage: Callable[[bytes], bytes], top: Path, tmp_path: Path) -> None:
    folder = tmp_path / "state/index"
    scan_with_index(top, folder)
    for file in folder.iterdir():
        file.write_bytes(damage(file.read_bytes()))
    assert facts(scan_with_index(top, folder)) == facts(scan_folder(top))


def test_an_index_that_others_could_write_is_not_believed(
    top: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "state/index"
    scan_with_index(top, folder)
    for file in folder.iterdir():
        file.chmod(0o666)
    reads = Reads(monkeypatch)
    scan_with_index(top, folder)
    assert reads.count > 0


def test_an_unchanged_root_leaves_the_index_file_as_it_is(top: Path, tmp_path: Path) -> None:
    folder = tmp_path / "state/index"
    scan_with_index(top, folder)
    before = {file.name: file.stat().st_ino for file in folder.iterdir()}
    assert len(before) == 2
    scan_with_index(top, folder)
    assert {file.name: file.stat().st_ino for file in folder.iterdir()} == before


def test_what_is_gone_is_forgotten(top: Path, tmp_path: Path) -> None:
    folder = tmp_path / "state/index"
    for number in range(50):
        compile_c(top / f"usr/bin/tool{number}", "int main(void) { return 0; }\n")
    scan_with_index(top, folder)
    size = len(json.loads((folder / "files.json").read_bytes())["unremarkable"])
    for number in range(50):
        (top / f"usr/bin/tool{number}").unlink()
    scan_with_index(top, folder)
    assert len(json.loads((folder / "files.json").read_bytes())["unremarkable"]) < size


def test_a_root_that_is_gone_is_forgotten(top: Path, tmp_path: Path) -> None:
    folder = tmp_path / "state/index"
    (top / "srv/chroot").mkdir()
    make_top(top / "srv/chroot")
    first = scan_with_index(top, folder)
    assert len(first.roots.roots) == 2
    assert len(list(folder.iterdir())) == 3
    shutil.rmtree(top / "srv/chroot")
    assert len(scan_with_index(top, folder).roots.roots) == 1
    assert len(list(folder.iterdir())) == 2


def test_what_the_index_has_no_room_for_is_counted_and_read_again(
    top: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("libcensus.agent.index.MAX_CONTENTS", 1)
    found = scan_with_index(top, tmp_path / "state/index")
    assert skips_of(found, "walk")["index-limit"] > 0
    assert facts(scan_with_index(top, tmp_path / "state/index"))[0] == facts(scan_folder(top))[0]


def test_a_state_folder_that_cannot_be_used_costs_the_memory_alone(tmp_path: Path) -> None:
    (tmp_path / "state").write_text("a file")
    with remembered(tmp_path / "state", "/") as index:
        assert index.record("/") is None


def test_memories_of_other_roots_are_few(tmp_path: Path) -> None:
    (tmp_path / "state").mkdir(mode=0o700)
    for number in range(MAX_INDEXES + 4):
        with remembered(tmp_path / "state", f"/root{number}") as index:
            index.note_unremarkable(b"k" * 16, some_state())
    assert len(list((tmp_path / "state/index").iterdir())) == MAX_INDEXES
    assert index_folder(tmp_path / "state", f"/root{MAX_INDEXES + 3}").exists()


def some_state() -> FileState:
    return FileState(device=1, inode=2, size=3, mode=0o100755, mtime_ns=4, ctime_ns=5)


@pytest.mark.parametrize("part", ["device", "inode", "size", "mode", "mtime_ns", "ctime_ns"])
def test_each_part_of_a_state_makes_another_key(part: str) -> None:
    state = some_state()
    other = replace(state, **{part: getattr(state, part) + 1})
    assert state_key(other, "x") != state_key(state, "x")
    assert state_key(state, "y") != state_key(state, "x")
