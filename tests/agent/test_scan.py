"""Whole scans of small roots: hostile files, failing probes, bounds, and the same answer twice."""

from __future__ import annotations

import logging
import os
import shutil
import threading
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from libcensus.agent import scan as scan_module
from libcensus.agent.explain import explain_lines, notice_lines, sections
from libcensus.agent.host import Root
from libcensus.agent.scan import PROBES, scan
from libcensus.agent.settings import ScanSettings
from libcensus.facts.codec import Fact, decode_fact, encode_fact
from libcensus.facts.vocabulary import ProbeState
from tests.agent.roots import as_nobody, make_crypto, make_python, needs_gcc, only_install, scan_folder, skips_of

if TYPE_CHECKING:
    from libcensus.agent.probes.context import ScanContext
    from libcensus.agent.probes.skips import Skips


def test_empty_folder_is_a_valid_root(tmp_path: Path) -> None:
    found = scan_folder(tmp_path)
    assert found.root == str(tmp_path)
    assert found.installs.installs == ()
    assert {probe.name: probe.state for probe in found.probes} == {
        "packages": ProbeState.SKIPPED,
        "platform": ProbeState.OK,
        "walk": ProbeState.OK,
        "interpreters": ProbeState.OK,
        "crypto": ProbeState.OK,
        "venvs": ProbeState.OK,
        "copies": ProbeState.OK,
        "changelogs": ProbeState.SKIPPED,
        "tools": ProbeState.OK,
        "containers": ProbeState.SKIPPED,
        "processes": ProbeState.SKIPPED,
    }


@needs_gcc
def test_the_same_tree_gives_the_same_facts(tmp_path: Path) -> None:
    python = make_python(tmp_path)
    ssl, _ = make_crypto(tmp_path / "usr/lib64")
    python.add_module(ssl)
    first, second = scan_folder(tmp_path), scan_folder(tmp_path)
    assert first.inventory() == second.inventory()
    assert first.installs == second.installs
    facts: list[Fact] = [first.installs, first.platform, *first.builds.values(), first.inventory()]
    for fact in facts:
        kind, _, payload = encode_fact(fact)
        assert decode_fact(kind, payload) == fact


@needs_gcc
def test_hostile_files_cost_nothing_but_a_count(tmp_path: Path) -> None:
    python = make_python(tmp_path)
    bad = tmp_path / "srv"
    bad.mkdir()
    os.mkfifo(bad / "python3")
    (bad / "python").symlink_to("python")
    (bad / "python3.1").touch()
    os.truncate(bad / "python3.1", 1 << 42)
    (bad / "python3.2").write_bytes(python.executable.read_bytes()[:3000])
    (bad / "python3.3").write_bytes(b"\x7fELF" + b"\xff" * 4000)
    (bad / "python3.4").write_text("#!/bin/sh\n" + "# shim\n" * 500)
    (bad / "python3.5\nfake\x1b[31m").write_bytes(b"\x7fELF" + b"\xff" * 4000)
    for file in bad.iterdir():
        if file.is_file():
            file.chmod(0o755)
    (bad / "lib-dynload").mkdir()
    found = scan_folder(tmp_path)
    assert [install.path for install in found.installs.installs] == [python.path]
    skips = skips_of(found, "walk")
    assert skips["not-a-regular-file"] == 1
    assert sum(count for reason, count in skips.items() if reason.startswith("damaged-elf")) == 3
    text = "\n".join(explain_lines(found))
    assert "\x1b" not in text
    assert "python3.5\\x0afake\\x1b[31m" in text


@needs_gcc
def test_name_that_is_not_utf8_is_a_fact_with_escapes(tmp_path: Path) -> None:
    python = make_python(tmp_path, configured="/install")
    odd = Path(os.fsdecode(os.fsencode(tmp_path) + b"/opt/\xff\xfe"))
    shutil.copytree(python.folder, odd, symlinks=True)
    found = scan_folder(tmp_path)
    install, build = only_install(found, "/opt/\\xff\\xfe/bin/python3.99")
    assert install.build == only_install(found, python.path)[0].build
    assert build is not None
    assert skips_of(found, "walk") == {"name-not-utf8": 1}
    assert encode_fact(found.installs)[2]


@needs_gcc
def test_unreadable_interpreter_is_a_skip_for_those_who_may_not_read_it(tmp_path: Path) -> None:
    if os.geteuid() != 0:
        pytest.skip("needs root to take the right away")
    make_python(tmp_path)
    hidden = make_python(tmp_path, "/opt/hidden")
    hidden.executable.chmod(0o711)
    tmp_path.chmod(0o755)
    with Root.open(str(tmp_path)) as root, as_nobody():
        found = scan(root, ScanSettings())
    assert [install.path for install in found.installs.installs] == ["/opt/python/bin/python3.99"]
    assert skips_of(found, "walk") == {"permission-denied": 1}


@needs_gcc
def test_file_that_never_stays_the_same_is_a_skip(tmp_path: Path) -> None:
    python = make_python(tmp_path)
    module = python.dynload / "_busy.cpython-399-x86_64-linux-gnu.so"
    shutil.copy(python.folder / "lib/libpython3.99.so.1.0", module)
    with module.open("r+b") as file:
        file.truncate(64 << 20)
    stop = threading.Event()

    def write() -> None:
        with module.open("r+b") as file:
            while not stop.is_set():
                os.utime(file.fileno())

    writer = threading.Thread(target=write)
    writer.start()
    try:
        found = scan_folder(tmp_path)
    finally:
        stop.set()
        writer.join()
    _, build = only_install(found, python.path)
    assert build is not None
    assert len(build.files) == 2
    assert skips_of(found, "interpreters") == {"changed-while-read": 1}


@needs_gcc
@pytest.mark.parametrize(
    ("settings", "probe", "reason"),
    [
        pytest.param({"max_file_bytes": 1000}, "interpreters", "too-large", id="file size"),
        pytest.param({"max_installs": 0}, "interpreters", "install-limit", id="installs"),
        pytest.param({"exclude": ("/opt",)}, "walk", "excluded", id="excluded"),
    ],
)
def test_bounds_are_reported(tmp_path: Path, settings: dict[str, object], probe: str, reason: str) -> None:
    make_python(tmp_path)
    found = scan_folder(tmp_path, **settings)
    assert found.installs.installs == ()
    assert reason in skips_of(found, probe)
    assert any(reason in line for line in notice_lines(found))


@pytest.mark.parametrize("name", [name for name, _ in PROBES])
@needs_gcc
def test_failing_probe_costs_only_itself(
    tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(context: ScanContext, skips: Skips) -> None:
        skips.add("before", "something: was counted")
        raise RuntimeError("the disk\nburns")

    make_python(tmp_path)
    probes = tuple((one, fail if one == name else probe) for one, probe in PROBES)
    monkeypatch.setattr(scan_module, "PROBES", probes)
    with caplog.at_level(logging.CRITICAL):
        found = scan_folder(tmp_path)
    states = {probe.name: probe for probe in found.probes}
    assert states[name].state is ProbeState.FAILED
    assert states[name].reason == "RuntimeError: the disk\\x0aburns"
    assert states[name].skips[0].reason == "before"
    assert all(probe.state is not ProbeState.FAILED for other, probe in states.items() if other != name)
    assert bool(found.installs.installs) == (name not in ("walk", "interpreters"))
    assert encode_fact(found.inventory())[1]


@needs_gcc
def test_progress_is_told_in_order(tmp_path: Path) -> None:
    make_python(tmp_path)
    told: list[tuple[str, int, int | None]] = []

    def progress(phase: str, done: int, total: int | None = None) -> None:
        told.append((phase, done, total))

    with Root.open(str(tmp_path)) as root:
        scan(root, ScanSettings(), progress)
    phases = [phase for phase, _, _ in told]
    assert [phase for phase in dict.fromkeys(phases) if phase != "platform"] == ["walk", "interpreters", "crypto"]
    assert all(done >= 0 and (total is None or done <= total) for _, done, total in told)


@needs_gcc
def test_table_and_explanation_name_every_install_and_its_proofs(tmp_path: Path) -> None:
    python = make_python(tmp_path)
    ssl, _ = make_crypto(tmp_path / "usr/lib64")
    python.add_module(ssl)
    found = scan_folder(tmp_path)
    table = next(sections(found))
    assert table.header == (
        "interpreter", "kind", "version", "provider", "glibc", "crypto", "linkage", "crypto path",
    )  # fmt: skip
    (row,) = table.rows
    assert row[:4] == (python.path, "base", "cpython 3.99.1", "source")
    assert row[-3:] == ("openssl 9.8.7", "local", "/usr/lib64/libcrypto.so.9")
    text = list(explain_lines(found))
    install, _ = only_install(found, python.path)
    for item in install.evidence:
        assert any(item.detail in line and item.file in line for line in text)


def test_own_root_is_named_by_a_slash() -> None:
    with Root.open("/") as root:
        found = scan(root, ScanSettings(max_files=100, max_roots=0, containers=False))
    assert found.root == "/"
    assert skips_of(found, "walk")["file-limit"] == 1
