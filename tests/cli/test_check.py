"""``check`` as a user runs it: real files and wheels' names against scan files, distributions and a collector."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import jsonschema
import pytest

from libcensus.agent.document import scan_document
from libcensus.cli.document import portability_schemas
from libcensus.facts.vocabulary import Provider
from tests.cli.test_fleet_commands import closed_port
from tests.cli.test_scanfile import scan_of
from tests.collector.metrics import fleet

if TYPE_CHECKING:
    from collections.abc import Callable

    from libcensus.collector.app import Collector
    from tests.cli.conftest import Outcome

    Run = Callable[..., Outcome]

FITS = "demo-1-cp311-cp311-manylinux_2_17_x86_64.whl"
TOO_NEW = "demo-1-cp311-cp311-manylinux_2_38_x86_64.whl"
ABI3 = "demo-1-cp38-abi3-manylinux_2_28_aarch64.whl"
PURE = "demo-1-py3-none-any.whl"
MUSL = "demo-1-cp311-cp311-musllinux_1_2_x86_64.whl"


@pytest.fixture(scope="module")
def scans(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the scans of two hosts: glibc 2.36 with Python 3.11, glibc 2.28 with Python 3.12."""
    folder = tmp_path_factory.mktemp("scans")
    for name, minor, version in (("bookworm", 36, "3.11.2"), ("buster", 28, "3.12.1")):
        scan = scan_of(fleet.platform(minor), [fleet.build(version, Provider.DISTRO, f"2.{minor}")])
        (folder / f"{name}.json").write_text(json.dumps(scan_document(scan)), encoding="ascii")
    return folder


@pytest.fixture(scope="module")
def scanned_root(small_root: Path, tmp_path_factory: pytest.TempPathFactory) -> str:
    """The scan of this machine's Python, and nothing else, as the command itself prints it."""
    path = tmp_path_factory.mktemp("scanned") / "root.json"
    program = (sys.executable, "-m", "libcensus.cli.main", "scan", "--root", small_root, "--output", "json")
    path.write_bytes(subprocess.run(program, capture_output=True, check=True).stdout)
    return str(path)


def answers(ended: Outcome) -> list[dict[str, Any]]:
    """Return the JSON list, which always has the documented shape."""
    told: list[dict[str, Any]] = json.loads(ended.out)
    jsonschema.validate(told, portability_schemas()["check"])
    return told


EXITS: dict[str, tuple[tuple[str, ...], int]] = {
    "a wheel's name that fits": ((FITS, "--against", "debian:12"), 0),
    "a pure wheel fits anywhere": ((PURE, "--against", "debian:12", "--against", "alpine:3.20"), 0),
    "glibc is too old": ((TOO_NEW, "--against", "debian:12"), 1),
    "one of two distributions": ((TOO_NEW, "--against", "debian:12", "--against", "debian:13"), 1),
    "half is enough": ((TOO_NEW, "--against", "debian:12", "--against", "debian:13", "--require", "50%"), 0),
    "half is not enough": ((TOO_NEW, "--against", "debian:12", "--against", "debian:13", "--require", "51%"), 1),
    "each must reach it": ((FITS, TOO_NEW, "--against", "debian:12", "--require", "50%"), 1),
    "musl's version is not known": ((MUSL, "--against", "alpine:3.20"), 6),
    "blocked wins over unknown": ((MUSL, "--against", "alpine:3.20", "--against", "debian:12"), 1),
    "unknown is not enough": ((MUSL, "--against", "alpine:3.20", "--require", "1%"), 1),
    "another architecture": ((ABI3, "--against", "debian:12"), 0),
    "not that architecture": ((ABI3, "--against", "debian:12", "--arch", "amd64"), 1),
    "an artefact that is not there": ((FITS, "nowhere/x", "--against", "debian:12"), 2),
}


@pytest.mark.parametrize(("arguments", "code"), EXITS.values(), ids=EXITS)
def test_exit_codes(run: Run, arguments: tuple[str, ...], code: int) -> None:
    assert run("check", *arguments).code == code
    assert run("check", *arguments, "--output", "json").code == code


def test_scan_files_are_hosts_with_their_own_pythons(run: Run, scans: Path) -> None:
    ended = run("check", FITS, "--against", str(scans / "bookworm.json"), "--against", str(scans / "buster.json"))
    assert ended.code == 1
    assert f"{FITS} runs on 1 of 2 hosts (50.0 %)" in ended.out
    as_json = run(
        "check", FITS, "--against", str(scans / "bookworm.json"), "--against", str(scans / "buster.json"),
        "--output", "json",
    )  # fmt: skip
    first, second = answers(as_json)
    assert (first["against"], first["hosts"], first["verdict"]) == (str(scans / "bookworm.json"), 1, "runs")
    assert (second["verdict"], second["reasons"][0]["kind"]) == ("blocked", "python")
    assert "3.12.1" in second["reasons"][0]["has"]


def test_a_folder_stands_for_the_scan_files_in_it(run: Run, scans: Path) -> None:
    told = answers(run("check", PURE, "--against", str(scans), "--output", "json"))
    assert [Path(one["against"]).name for one in told] == ["bookworm.json", "buster.json"]


def test_distributions_are_said_to_be_coarser(run: Run) -> None:
    ended = run("check", FITS, "--against", "debian:12")
    assert "Coarser: debian:12 is known by name alone" in ended.out
    assert f"Coarser: {FITS} is no file, and judged by tags alone" in ended.out
    (one,) = answers(run("check", FITS, "--against", "debian:12", "--output", "json"))
    assert (one["against"], one["hosts"], one["coarse"], one["arch"]) == ("debian:12", 0, True, "x86_64")


def test_what_a_collector_shows_of_a_host_is_a_scan_file_too(run: Run, collector: Collector, tmp_path: Path) -> None:
    path = tmp_path / "web-1.json"
    path.write_text(run("show", "web-1", "--collector", collector.grpc_address, "--output", "json").out)
    (one,) = answers(run("check", FITS, "--against", str(path), "--output", "json"))
    assert (one["place"], one["hosts"], one["verdict"]) == ("scan", 1, "runs")


def test_real_files_are_judged_on_a_scanned_root(run: Run, small_root: Path, scanned_root: str) -> None:
    python = str(next(small_root.glob("usr/bin/python3.*")))
    libm = str(next(small_root.glob("lib/*-linux-gnu/libm.so.6")))
    ended = run("check", python, libm, "--against", scanned_root, "--output", "json")
    first, second = answers(ended)
    # The root has no more than the C library and OpenSSL.
    missing = {reason["library"] for reason in first["reasons"] if reason["kind"] == "soname"}
    assert (ended.code, first["verdict"], second["verdict"]) == (1, "blocked", "runs")
    assert missing >= {"libz.so.1"}
    explained = run("check", python, "--against", scanned_root, "--explain").out
    assert all(f"needs {library} (in {Path(python).name}); the host has none" in explained for library in missing)


def test_an_environment_without_one_of_its_modules_runs_in_part(
    run: Run, small_root: Path, scans: Path, tmp_path: Path
) -> None:
    """The scanned host has no libcrypto."""
    packages = tmp_path / "env/lib/python3.11/site-packages"
    packages.mkdir(parents=True)
    settings = tmp_path / "env/pyvenv.cfg"
    settings.write_text("home = /opt/0/bin\nversion = 3.11.2\n")
    shutil.copy(next(small_root.glob("usr/lib/python3.*/lib-dynload/_ssl.*.so")), packages)
    where = (str(tmp_path / "env"), "--against", str(scans / "bookworm.json"))
    assert run("check", *where).code == 0
    assert "without _ssl" in run("check", *where).out
    assert run("check", *where, "--strict").code == 1
    (one,) = answers(run("check", *where, "--output", "json"))
    assert {part["module"] for part in one["degraded"]} == {"_ssl"}
    settings.write_text("home = /usr/bin\nversion = 3.11.2\n")
    assert (
        "needs Python ==3.11.* in /usr/bin; the host has CPython 3.11.2 in /opt/0/bin"
        in run("check", *where, "--explain").out
    )


def test_what_cannot_be_read_hides_nothing_else(run: Run, tmp_path: Path) -> None:
    text = tmp_path / "text"
    text.write_text("hello")
    ended = run("check", str(text), FITS, "nowhere.bin", "--against", "debian:12", "--output", "json")
    assert ended.code == 2
    assert [one["artefact"] for one in answers(ended)] == [FITS]
    assert [line.startswith("libcensus: error: ") for line in ended.err.splitlines()] == [True, True]
    assert str(text) in ended.err
    assert "nowhere.bin" in ended.err


def test_a_share_that_is_missed_is_told(run: Run) -> None:
    ended = run("check", FITS, TOO_NEW, "--against", "debian:12", "--require", "99.9%")
    assert ended.code == 1
    assert ended.err == f"libcensus: {TOO_NEW} runs on 0 of 1 distribution (0.0 %), less than --require 99.9%\n"


def test_one_artefact_given_twice_is_judged_once(run: Run) -> None:
    assert len(answers(run("check", PURE, PURE, "--against", "debian:12", "--output", "json"))) == 1


def test_an_artefact_for_two_machines_is_judged_on_a_distribution_of_each(run: Run) -> None:
    name = "demo-1-cp311-cp311-manylinux_2_17_aarch64.manylinux_2_17_x86_64.whl"
    told = answers(run("check", name, "--against", "debian:12", "--output", "json"))
    assert [(one["against"], one["arch"], one["verdict"]) for one in told] == [
        ("debian:12", "aarch64", "runs"),
        ("debian:12", "x86_64", "runs"),
    ]


FAILURES: dict[str, tuple[tuple[str, ...], int, str]] = {
    "no artefact": ((), 2, "Missing argument 'ARTEFACT...'"),
    "no such distribution": ((FITS, "--against", "debian:99"), 2, "--against debian:99: is neither a file nor a dis"),
    "a distribution that is alike": ((FITS, "--against", "ubuntu:22.4"), 2, "did you mean ubuntu:22.04"),
    "no such file": ((FITS, "--against", "scans/web.json"), 2, "--against scans/web.json: there is no such file"),
    "a file that is no scan": ((FITS, "--against", __file__), 2, "is not JSON"),
    "an empty folder": ((FITS, "--against", "{folder}"), 2, "the folder has no file *.json"),
    "a share that is none": ((FITS, "--require", "lots"), 2, "--require lots: is no share of hosts"),
    "an architecture that is none": ((FITS, "--against", "debian:12", "--arch", "z80"), 2, "--arch z80: is no arch"),
    "an architecture for the fleet": ((FITS, "--arch", "x86_64"), 2, "--arch is for distributions"),
    "both ways": ((FITS, "--against", "debian:12", "--collector", "127.0.0.1:1"), 2, "give one of them"),
    "nobody there": ((FITS, "--collector", closed_port()), 4, "cannot be reached"),
    "beyond this machine": ((FITS, "--collector", "192.0.2.1:9444"), 5, "--collector: collector 192.0.2.1:9444"),
    "no address": ((FITS, "--collector", "a b"), 3, "cannot be understood"),
}


@pytest.mark.parametrize(("arguments", "code", "text"), FAILURES.values(), ids=FAILURES)
def test_what_is_wrong_is_one_line_with_its_exit_code(
    run: Run, tmp_path: Path, arguments: tuple[str, ...], code: int, text: str
) -> None:
    ended = run("check", *(argument.format(folder=tmp_path) for argument in arguments))
    assert (ended.code, ended.out) == (code, "")
    assert ended.err.startswith("libcensus: error: ")
    assert text in ended.err
    assert ended.err.count("\n") == 1


def test_judging_here_needs_no_collectors_settings(run: Run, tmp_path: Path) -> None:
    (tmp_path / ".config/libcensus").mkdir(parents=True)
    (tmp_path / ".config/libcensus/config.toml").write_text("[collector]\naddress = 9444\n")
    assert run("check", PURE, "--against", "debian:12").code == 0
    assert run("check", PURE).code == 3
