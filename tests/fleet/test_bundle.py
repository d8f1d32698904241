"""The self-contained agent on real roots: without any Python, on the oldest and the newest glibc, and through its CLI.

The artefact is the one that ``make bundle`` wrote into ``dist/``; ``make fleet-test`` makes it first.
"""

from __future__ import annotations

import bz2
import gzip
import io
import json
import lzma
import platform
import re
import shutil
import subprocess
import sys
import tarfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator
from release.archive import write_archive
from release.floor import find_problems
from release.wheels import LOCK, ROOT, agent_version

from libcensus.agent.cli import agent as agent_command
from tests.fleet.roots import CACHE, ENVIRONMENT, SCRIPTS, debian_root, digest_of, foreign_root, mirror, run_inside
from tests.integration import test_enrolled_agent as enrolled

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

pytestmark = [pytest.mark.root, pytest.mark.timeout(900)]

HOSTILE = {"PYTHONHOME": "/nowhere", "PYTHONPATH": "/nowhere", "PYTHONSTARTUP": "/nowhere", "PYTHONINSPECT": "1"}
"""What a host's environment may say to a Python, and this one must not hear."""

_INSIDE = """
mount -t tmpfs -o noexec,nosuid,mode=1777 tmpfs "$1/tmp"
mkdir -p "$1/mnt" # it is not there in a root whose packages were only unpacked
mount --bind "$2" "$1/mnt" && mount -o remount,bind,ro "$1/mnt"
mount -t proc proc "$1/proc"
root=$1; shift 2
exec chroot "$root" "$@"
"""


@dataclass(frozen=True)
class Bundle:
    """An artefact, and where it was unpacked."""

    archive: Path
    folder: Path

    @property
    def program(self) -> Path:
        return self.folder / "bin" / "libcensus-agent"

    @property
    def manifest(self) -> dict[str, Any]:
        return dict(json.loads((self.folder / "manifest.json").read_text()))

    @property
    def library(self) -> Path:
        return self.folder / "lib" / f"python{'.'.join(self.manifest['python'].split('.')[:2])}"

    def beside(self, suffix: str) -> Path:
        return self.archive.with_name(self.archive.name.removesuffix(".tar.gz") + suffix)


def unpacked(arch: str, folder: Path) -> Bundle:
    name = f"libcensus-agent-{agent_version()}-linux-{arch}"
    archive = ROOT / "dist" / f"{name}.tar.gz"
    assert archive.exists(), f"{archive} is not there; run `make bundle ARCH={arch}` first"
    subprocess.run(["tar", "-xzf", str(archive), "-C", str(folder)], check=True)
    return Bundle(archive, folder / name)


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    """The bundle for this machine, unpacked by the host's own tar."""
    return unpacked(platform.machine(), tmp_path_factory.mktemp("bundle"))


def bare_root(suite: str) -> Path:
    """Return a Debian with the packages that every one has and no other: no Python, no certificates."""
    root = CACHE / f"bare-{suite}"
    stamp = root.with_suffix(".packages")
    if stamp.exists() and stamp.read_text(encoding="ascii") == digest_of(suite):
        return root
    CACHE.mkdir(mode=0o700, parents=True, exist_ok=True)
    stamp.unlink(missing_ok=True)
    shutil.rmtree(root, ignore_errors=True)
    script = suite if (SCRIPTS / suite).exists() else "sid"
    log = root.with_suffix(".log")
    with log.open("w", encoding="utf-8") as output:
        command = ["debootstrap", "--variant=minbase", suite, str(root), mirror(), script]
        done = subprocess.run(command, stdout=output, stderr=subprocess.STDOUT, check=False, env=ENVIRONMENT)
    assert done.returncode == 0, f"making {root} failed:\n{log.read_text(encoding='utf-8')[-2000:]}"
    stamp.write_text(digest_of(suite), encoding="ascii")
    return root


def run_bundle(root: Path, bundle: Bundle, *arguments: str, before: tuple[str, ...] = ()) -> str:
    """Run the bundle in a root, from a read-only place, with a /tmp from which nothing can be run."""
    command = ["unshare", "--mount", "--pid", "--fork", "/bin/sh", "-euc", _INSIDE, "inside", str(root)]
    command += [str(bundle.folder), *before, "/mnt/bin/libcensus-agent", *arguments]
    environment = ENVIRONMENT | HOSTILE | {"LANG": "C", "LIBCENSUS_AGENT_STATE_FOLDER": "/tmp/state"}
    done = subprocess.run(
        command, check=False, capture_output=True, text=True, env=environment, stdin=subprocess.DEVNULL
    )
    assert done.returncode == 0, f"{' '.join(arguments)} in {root.name}: {done.stdout[-500:]}{done.stderr[-2000:]}"
    return done.stdout


def scan_inside(root: Path, bundle: Bundle, *more: str) -> dict[str, Any]:
    return dict(json.loads(run_bundle(root, bundle, "scan", "--output", "json", *more)))


def installs_of(document: dict[str, Any]) -> dict[str, tuple[Any, ...]]:
    """Return what a scan says of each install, as far as it does not depend on where the root was looked at from."""
    return {
        one["path"]: (one["kind"], one["version"], one["provider"], one["installer"], one["build"], one["crypto"])
        for one in document["installs"]
    }


def test_a_host_without_any_python_is_scanned_and_the_bundle_reports_itself(bundle: Bundle) -> None:
    root = bare_root("bullseye")
    programs = run_inside(
        root, "find", "/usr", "/bin", "/opt", "-xdev", "-name", "python*", "-type", "f", "-perm", "-1"
    )
    assert not programs, "a root with a Python proves nothing here"
    assert run_bundle(root, bundle, "--version") == f"libcensus-agent {agent_version()}\n"
    document = scan_inside(root, bundle)
    assert document["host"]["libc"]["version"] == "2.31"
    installs = {one["path"]: one for one in document["installs"]}
    assert installs["/usr/bin/perl"]["version"] == run_inside(root, "perl", "-e", "printf '%vd', $^V")
    own = installs["/mnt/bin/libcensus-agent"]
    assert (own["implementation"], own["version"]) == ("cpython", bundle.manifest["python"])
    assert own["crypto"]["linkage"] == "none"
    assert (own["provider"], own["provider_build"]) == ("vendor", f"libcensus-agent {agent_version()}")
    assert own["requirement"]["glibc"] == bundle.manifest["floor"]["glibc"] == "2.17"
    versions = {wheel["name"]: wheel["version"] for wheel in bundle.manifest["wheels"]}
    copies = {copy["owner"]["name"]: copy for copy in document["crypto_copies"]}
    assert set(copies) == {"cryptography", "grpcio"}
    assert {name: copy["owner"]["version"] for name, copy in copies.items()} == {
        name: versions[name] for name in copies
    }
    assert (copies["cryptography"]["family"], copies["grpcio"]["family"]) == ("openssl", "boringssl")
    told = next(one for one in _components(bundle) if one["name"] == "cryptography")["components"]
    openssl = next(one["version"] for one in told if one["purl"].startswith("pkg:generic/openssl@"))
    assert copies["cryptography"]["version"] == openssl, "the SBOM and the file say the same"


@pytest.mark.parametrize("suite", ["trixie", "forky"])
def test_the_bundle_sees_on_a_host_what_the_installed_agent_sees(suite: str, bundle: Bundle, tmp_path: Path) -> None:
    root = debian_root(suite)
    inside = scan_inside(root, bundle, "--exclude", "/mnt")
    command = [str(Path(sys.executable).with_name("libcensus-agent")), "scan", "--root", str(root), "--no-index"]
    command += ["--state-dir", str(tmp_path), "--output", "json"]
    outside = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
    assert len(installs_of(inside)) >= 5
    assert installs_of(inside) == installs_of(outside)
    assert inside["host"]["libc"] == outside["host"]["libc"]
    assert [copy | {"root": "/"} for copy in outside["crypto_copies"]] == inside["crypto_copies"]


def test_every_command_starts_in_the_bundle(bundle: Bundle) -> None:
    root = bare_root("bullseye")
    for name, command in agent_command.commands.items():
        for path in [(name,), *((name, inner) for inner in getattr(command, "commands", {}))]:
            assert run_bundle(root, bundle, *path, "--help").startswith(f"Usage: libcensus-agent {' '.join(path)} ")
    assert re.fullmatch(
        rf"libcensus-agent {re.escape(agent_version())}, .*Python {re.escape(bundle.manifest['python'])}\n",
        run_bundle(root, bundle, "version"),
    )
    assert "_LIBCENSUS_AGENT_COMPLETE" in run_bundle(root, bundle, "completion", "bash")
    assert "state.folder" in run_bundle(root, bundle, "config", "show", "--origin")


@pytest.mark.parametrize(("kind", "compress"), [("gz", gzip.compress), ("bz2", bz2.compress), ("xz", lzma.compress)])
def test_archives_of_every_compression_are_read_in_the_bundle(
    kind: str, compress: Callable[[bytes], bytes], bundle: Bundle, tmp_path: Path
) -> None:
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as archive:
        archive.add("/bin/true", "true")
    path = tmp_path / f"program.tar.{kind}"
    path.write_bytes(compress(packed.getvalue()))
    command = [str(bundle.program), "requires", str(path), "--output", "json"]
    (entry,) = json.loads(subprocess.run(command, check=True, capture_output=True, text=True, env={}).stdout)
    assert (entry["files"], entry["skipped"]) == (1, [])


@pytest.fixture
def fleet(bundle: Bundle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[enrolled.Fleet]:
    """A real collector; the tests' agent is the bundle's."""
    monkeypatch.setattr(enrolled, "AGENT", bundle.program)
    (tmp_path / "collector").mkdir()
    made = enrolled.Fleet(tmp_path / "collector")
    yield made
    made.stop()


def test_the_bundle_enrolls_reports_and_tells_how_it_stands(fleet: enrolled.Fleet, tmp_path: Path) -> None:
    enrolled.test_one_command_enrolls_and_the_next_reports_and_tells_how_it_stands(fleet, tmp_path)


def test_what_is_refused_is_told_by_the_bundle_as_by_the_installed_agent(fleet: enrolled.Fleet, tmp_path: Path) -> None:
    enrolled.test_what_is_refused_has_exit_code_5_its_text_and_no_identity(fleet, tmp_path)


def test_it_runs_from_wherever_it_lies_and_through_any_link(bundle: Bundle, tmp_path: Path) -> None:
    place = tmp_path / "an odd place"
    moved = place / "versions" / "1"
    shutil.copytree(bundle.folder, moved)
    (place / "current").symlink_to("versions/1")
    link = tmp_path / "another-name"
    link.symlink_to(place / "current" / "bin" / "libcensus-agent")
    before = sorted((path, path.stat().st_mtime_ns) for path in moved.rglob("*"))
    for command in (str(link), "./current/bin/libcensus-agent"):
        done = subprocess.run(
            [command, "--version"], check=True, capture_output=True, text=True, env=HOSTILE, cwd=place
        )
        assert done.stdout == f"libcensus-agent {agent_version()}\n"
    assert sorted((path, path.stat().st_mtime_ns) for path in moved.rglob("*")) == before, "nothing is written there"


def test_it_runs_for_a_user_who_owns_nothing(bundle: Bundle) -> None:
    nobody = ("setpriv", "--reuid=65534", "--regid=65534", "--clear-groups")
    document = json.loads(
        run_bundle(bare_root("bullseye"), bundle, "scan", "--no-index", "--output", "json", before=nobody)
    )
    assert "/mnt/bin/libcensus-agent" in installs_of(document)


def test_no_option_of_an_interpreter_is_one_of_the_agent(bundle: Bundle) -> None:
    for option in ("-c", "-m", "-i", "-V"):
        done = subprocess.run(
            [str(bundle.program), option, "print(1)"], check=False, capture_output=True, text=True, env={}
        )
        assert (done.returncode, done.stdout) == (2, "")
        assert "No such option" in done.stderr


def test_every_module_is_compiled_and_what_was_left_out_is_not_there(bundle: Bundle) -> None:
    tag = f"cpython-{bundle.library.name.removeprefix('python').replace('.', '')}"
    for source in bundle.library.rglob("*.py"):
        compiled = source.parent / "__pycache__" / f"{source.stem}.{tag}.pyc"
        assert compiled.read_bytes()[4:8] == b"\1\0\0\0", f"{source}: hash-based and not checked (PEP 552)"
    top = {path.name.removesuffix(".py") for path in bundle.library.iterdir()}
    assert not top & {"ssl", "sqlite3", "tkinter", "test", "ensurepip", "idlelib", "ctypes", "unittest", "venv", "pip"}
    assert [path.name for path in (bundle.folder / "bin").iterdir()] == ["libcensus-agent"]


def test_an_archive_can_be_checked_and_made_again(bundle: Bundle, tmp_path: Path) -> None:
    checksum = bundle.beside(".tar.gz.sha256")
    subprocess.run(["sha256sum", "--check", "--strict", checksum.name], cwd=checksum.parent, check=True)
    with tarfile.open(bundle.archive) as archive:
        members = archive.getmembers()
    assert {(one.uid, one.gid, one.uname, one.gname) for one in members} == {(0, 0, "root", "root")}
    assert not any(one.mode & 0o7022 for one in members)
    write_archive(bundle.folder, tmp_path / "again.tar.gz", int(members[0].mtime))
    assert (tmp_path / "again.tar.gz").read_bytes() == bundle.archive.read_bytes()


def test_the_floor_beside_the_archive_is_what_the_engine_says_of_it(bundle: Bundle) -> None:
    stored = json.loads(bundle.beside(".requires.json").read_text())
    assert list(find_problems(stored, platform.machine())) == []
    command = [str(Path(sys.executable).with_name("libcensus-agent")), "requires", bundle.archive.name]
    done = subprocess.run(
        [*command, "--output", "json"], check=True, capture_output=True, text=True, cwd=bundle.archive.parent
    )
    assert json.loads(done.stdout) == stored
    (entry,) = stored
    assert entry["glibc"] == "2.17"
    assert set(entry["sonames"]) <= set(bundle.manifest["floor"]["sonames"])


def _components(bundle: Bundle) -> list[dict[str, Any]]:
    return list(json.loads((bundle.folder / "sbom.cdx.json").read_text())["components"])


def test_the_sbom_is_valid_and_names_every_part_with_bytes_and_terms(bundle: Bundle) -> None:
    text = (bundle.folder / "sbom.cdx.json").read_text()
    assert text == bundle.beside(".sbom.cdx.json").read_text()
    assert JsonStrictValidator(SchemaVersion.V1_6).validate_str(text) is None
    components = {one["name"]: one for one in _components(bundle)}
    parts = {"cpython", "zlib", "bzip2", "xz", "hacl-star", "libb2"}
    wheels = {wheel["name"].lower().replace("_", "-"): wheel for wheel in bundle.manifest["wheels"]}
    assert set(components) == parts | set(wheels)
    for name, component in components.items():
        assert component["licenses"], f"{name} states no licence"
        assert component["purl"].startswith(("pkg:pypi/", "pkg:generic/"))
    locked = set(re.findall(r"sha256:([0-9a-f]{64})", LOCK.read_text()))
    for name, wheel in wheels.items():
        assert [one["content"] for one in components[name]["hashes"]] == [wheel["sha256"]]
        assert name.startswith("libcensus") or wheel["sha256"] in locked
    for name in ("cpython", "zlib", "bzip2", "xz"):
        assert list((bundle.folder / "licenses" / name).iterdir())


def test_a_bundle_for_aarch64_runs_on_an_arm64_root(tmp_path: Path) -> None:
    emulator = shutil.which("qemu-aarch64-static")
    assert emulator is not None
    bundle = unpacked("aarch64", tmp_path)
    root = foreign_root("trixie", "arm64", Path(emulator))
    assert run_bundle(root, bundle, "--version", before=("/emulator",)) == f"libcensus-agent {agent_version()}\n"
    command = ["requires", "/mnt/bin/libcensus-agent", "--output", "json"]
    (entry,) = json.loads(run_bundle(root, bundle, *command, before=("/emulator",)))
    assert (entry["arch"], entry["glibc"]) == ("aarch64", "2.17")
    # The wheels' own libraries are loaded, and gRPC says that nobody is there.
    stored = json.loads(bundle.beside(".requires.json").read_text())
    assert list(find_problems(stored, "aarch64")) == []
