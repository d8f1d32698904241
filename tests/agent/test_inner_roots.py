"""Roots inside a root: each is read within itself, told by its own name, and never twice."""

from __future__ import annotations

import json
import os
from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import jsonschema

from libcensus.agent.containers import ContainerReading, ContainerRoot
from libcensus.agent.document import scan_document, scan_schema
from libcensus.agent.explain import sections
from libcensus.agent.host import Root
from libcensus.agent.probes.processes import ProcessReading
from libcensus.agent.scan import Scan, scan
from libcensus.agent.settings import ScanSettings
from libcensus.facts.changelog import ChangelogFix, PackageChangelog
from libcensus.facts.codec import decode_fact, encode_fact
from libcensus.facts.crypto import CopyOwner, CryptoCopy, CryptoCopySet, CryptoLibrary
from libcensus.facts.evidence import Evidence
from libcensus.facts.package import Package
from libcensus.facts.process import MappedLibrary, ProcessExample, ProcessGroup, ProcessSet
from libcensus.facts.root import Container, RootSet, ScannedRoot
from libcensus.facts.tool import Tool, ToolSet, ToolSetting
from libcensus.facts.vocabulary import (
    ChangelogState,
    CryptoFamily,
    EvidenceKind,
    Linkage,
    MappingState,
    ProbeState,
    RootKind,
)
from tests.agent.roots import make_crypto, make_python, needs_gcc, scan_folder, shared, skips_of
from tests.agent.test_scan_document import keys

if TYPE_CHECKING:
    from pathlib import Path

    import pytest


def make_root(folder: Path, name: str, number: str = "9") -> None:
    """Build a root with an os-release, a loader, an interpreter and an OpenSSL of its own."""
    python = make_python(folder, "/opt/python")
    ssl, _ = make_crypto(folder / "usr/lib64", number, text=f"OpenSSL {number}.8.7 1 Jan 2030")
    python.add_module(ssl)
    shared(folder / "lib64/ld-linux-x86-64.so.2", "int start(void) { return 0; }\n", "ld-linux-x86-64.so.2")
    (folder / "etc").mkdir()
    (folder / "etc/os-release").write_text(f"ID={name}\n")


@needs_gcc
def test_a_folder_that_is_a_root_is_read_within_itself(tmp_path: Path) -> None:
    make_root(tmp_path, "outer", "9")
    make_root(tmp_path / "srv/chroot", "inner", "8")
    found = scan_folder(tmp_path)
    name = f"{tmp_path}/srv/chroot"
    told = {
        (install.root, install.path): install.crypto.library.version
        for install in found.installs.installs
        if install.crypto.library is not None
    }
    assert told == {
        (str(tmp_path), "/opt/python/bin/python3.99"): "9.8.7",
        (name, "/opt/python/bin/python3.99"): "8.8.7",
    }
    roots = {root.name: root for root in found.roots.roots}
    assert {one.os_release.id for one in roots.values()} == {"outer", "inner"}
    assert roots[name].kind is RootKind.FOLDER
    assert roots[name].path == name
    assert roots[name].platform in found.platforms
    assert roots[str(tmp_path)].platform not in found.platforms


@needs_gcc
def test_roots_inside_roots_are_read_too_and_named_from_the_outermost(tmp_path: Path) -> None:
    make_root(tmp_path, "a")
    make_root(tmp_path / "b", "b")
    make_root(tmp_path / "b/c", "c")
    found = scan_folder(tmp_path)
    assert [root.name for root in found.roots.roots] == [str(tmp_path), f"{tmp_path}/b", f"{tmp_path}/b/c"]
    assert len(found.installs.installs) == 3


@needs_gcc
def test_links_of_an_inner_root_stay_in_it(tmp_path: Path) -> None:
    make_root(tmp_path, "outer", "9")
    make_root(tmp_path / "chroot", "inner", "8")
    (tmp_path / "chroot/usr/lib64/libcrypto.so.8").unlink()
    (tmp_path / "chroot/usr/lib64/libcrypto.so.8").symlink_to("/usr/lib64/libcrypto.so.9")
    found = scan_folder(tmp_path)
    inner = next(install for install in found.installs.installs if install.root.endswith("/chroot"))
    assert inner.crypto.linkage is Linkage.UNRESOLVED


@needs_gcc
def test_more_roots_than_the_bound_are_counted(tmp_path: Path) -> None:
    make_root(tmp_path, "outer")
    for number in range(3):
        make_root(tmp_path / f"srv/root{number}", f"inner{number}")
    found = scan_folder(tmp_path, max_roots=2)
    assert len(found.roots.roots) == 3
    assert skips_of(found, "walk")["root-limit"] == 1


@needs_gcc
def test_an_inner_roots_skips_are_told_with_its_name(tmp_path: Path) -> None:
    make_root(tmp_path, "outer")
    make_root(tmp_path / "chroot", "inner")
    damaged = tmp_path / "chroot/usr/bin/python3"
    damaged.parent.mkdir(parents=True)
    damaged.write_bytes(b"\x7fELF" + bytes(2000))
    damaged.chmod(0o755)
    walk = next(probe for probe in scan_folder(tmp_path).probes if probe.name == "walk")
    (skip,) = [one for one in walk.skips if one.reason.startswith("damaged-elf")]
    assert skip.examples[0].startswith(f"{tmp_path}/chroot: /usr/bin/python3: ")


def container_of(folder: Path) -> ContainerRoot:
    status = folder.stat()

    class Opened(ContainerRoot):
        def open(self) -> Root:
            root = Root.open(str(folder))
            root.name = "container:nspawn/m"
            return root

    return Opened(
        name="container:nspawn/m",
        pids=(),
        container=Container("nspawn", name="m"),
        path=str(folder),
        device=status.st_dev,
        inode=status.st_ino,
        evidence=(),
    )


@needs_gcc
def test_a_folder_that_is_a_containers_root_is_told_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from libcensus.agent import scan as module

    make_root(tmp_path, "outer")
    make_root(tmp_path / "machines/m", "inner")
    reading = ContainerReading((container_of(tmp_path / "machines/m"),), None)
    monkeypatch.setattr(module, "find_containers", lambda *_: reading)
    monkeypatch.setattr(module, "read_processes", lambda *_: ProcessReading(ProcessSet(), "no rights"))
    with Root.open(str(tmp_path)) as root:
        root.is_own = True
        found = scan(root, ScanSettings())
    assert {root.name: root.kind for root in found.roots.roots} == {
        str(tmp_path): RootKind.HOST,
        "container:nspawn/m": RootKind.CONTAINER,
    }
    assert {install.root for install in found.installs.installs} == {str(tmp_path), "container:nspawn/m"}
    processes = next(probe for probe in found.probes if probe.name == "processes")
    assert (processes.state, processes.reason) == (ProbeState.SKIPPED, "no rights")


def test_what_does_not_apply_to_a_foreign_root_is_skipped_with_the_reason(tmp_path: Path) -> None:
    found = scan_folder(tmp_path)
    told = {probe.name: (probe.state, probe.reason) for probe in found.probes}
    assert told["processes"][0] is told["containers"][0] is ProbeState.SKIPPED
    assert "nothing runs in it" in str(told["processes"][1])
    assert found.processes is None


def proof(kind: EvidenceKind) -> tuple[Evidence, ...]:
    return (Evidence("crypto", kind, "/f", "what was read", 7),)


def full_scan(tmp_path: Path) -> Scan:
    """A scan with one of everything that a host can have beside installs."""
    package = Package("dpkg", "libssl9", "9.8-1", "openssl", "9.8-1")
    root, container = str(tmp_path), "container:docker/web"
    return replace(
        scan_folder(tmp_path),
        scanned_at=datetime(2026, 11, 25, tzinfo=UTC),
        crypto_copies=CryptoCopySet(
            (
                CryptoCopy(
                    root,
                    "/e/lib/python3.12/site-packages/x/_rust.abi3.so",
                    Linkage.STATIC,
                    CryptoLibrary(CryptoFamily.OPENSSL, "3.5.4", package),
                    "/e",
                    CopyOwner("pypi", "x", "1.0"),
                    proof(EvidenceKind.SBOM),
                ),
                CryptoCopy(root, "/opt/libcrypto.so.3", Linkage.LOCAL, CryptoLibrary(CryptoFamily.UNKNOWN)),
            )
        ),
        tools=ToolSet(
            (Tool(root, "/usr/bin/uv", "uv", "0.9.1", "20260127", "/e", package, proof(EvidenceKind.STRING)),),
            (ToolSetting(root, "/etc/uv/uv.toml", "uv", "python-downloads", "never", proof(EvidenceKind.TEXT_LINE)),),
        ),
        roots=RootSet(
            (
                ScannedRoot(root, RootKind.FOLDER, root),
                ScannedRoot(
                    container,
                    RootKind.CONTAINER,
                    container=Container("docker", "0" * 64, "web", "debian:12", "sha256:1"),
                    created="2026-01-01T00:00:00Z",
                    tags=("debian:12",),
                    evidence=proof(EvidenceKind.RUNTIME_RECORD),
                ),
            )
        ),
        changelogs={
            "0" * 64: PackageChangelog(
                package,
                ChangelogState.COMPLETE,
                "/usr/share/doc/libssl9/changelog.Debian.gz",
                2,
                "9.8-1",
                "9.7-1",
                (ChangelogFix("CVE-2030-0001", "9.8-1", "Fix CVE-2030-0001"),),
            )
        },
        processes=ProcessSet(
            (
                ProcessGroup(
                    container,
                    "/usr/bin/python3.12",
                    MappingState.REPLACED,
                    3,
                    "/e/bin/python",
                    (MappedLibrary("/usr/lib/libcrypto.so.9", MappingState.DELETED, 2),),
                    1,
                    (ProcessExample(17, "web.service"), ProcessExample(18)),
                ),
            )
        ),
    )


def test_everything_beside_installs_is_in_the_document_by_its_schema(tmp_path: Path) -> None:
    document = json.loads(json.dumps(scan_document(full_scan(tmp_path))))
    jsonschema.validate(document, scan_schema())

    def names(value: object, prefix: str) -> set[str]:
        if isinstance(value, list):
            return {name for item in value for name in names(item, f"{prefix}[]")}
        if not isinstance(value, dict):
            return set()
        return {name for key, child in value.items() for name in {f"{prefix}.{key}"} | names(child, f"{prefix}.{key}")}

    for key in ("crypto_copies", "tools", "tool_settings", "processes", "roots", "changelogs"):
        documented = {name for name in keys(scan_schema()) if name.startswith(f"{key}[]")}
        written = names(document[key], key)
        assert not written - documented
        assert {name for name in documented - written if ".libc.package." not in name} == set()


def test_tables_name_copies_tools_and_processes_on_old_files(tmp_path: Path) -> None:
    tables = {section.title: section.rows for section in sections(full_scan(tmp_path))}
    copies = tables["crypto copies that no interpreter's own update reaches"]
    assert copies[0][:4] == ("openssl 3.5.4", "static", "x 1.0", "/e")
    assert copies[1] == ("unknown version unknown", "local", "-", "-", "/opt/libcrypto.so.3")
    assert tables["tools that bring interpreters"] == (("uv 0.9.1", "20260127", "/usr/bin/uv"),)
    (title,) = [title for title in tables if title.startswith("processes")]
    place = "container:docker/web /e/bin/python"
    assert tables[title] == (
        ("3", place, "/usr/bin/python3.12", "replaced", "17 web.service, 18"),
        ("2", place, "/usr/lib/libcrypto.so.9", "deleted", "17 web.service, 18"),
    )


def test_each_set_has_an_address_in_the_inventory(tmp_path: Path) -> None:
    found = full_scan(tmp_path)
    inventory = found.inventory()
    for part in (found.crypto_copies, found.tools, found.roots):
        kind, digest, payload = encode_fact(part)
        assert digest in inventory.references
        assert decode_fact(kind, payload) == part
    assert set(found.changelogs) <= set(inventory.references)


def test_the_own_root_is_a_host_with_all_its_probes() -> None:
    with Root.open("/") as root:
        found = scan(root, ScanSettings(max_files=200, containers=False))
    assert found.roots.roots[0].kind is RootKind.HOST
    told = {probe.name: probe for probe in found.probes}
    assert told["containers"].reason == "switched off by the settings"
    assert found.processes is not None
    if os.geteuid() == 0:
        assert told["processes"].state is ProbeState.OK or "CAP_SYS_PTRACE" in str(told["processes"].reason)
