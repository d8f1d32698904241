"""Crypto copies: what packages bring beside the system's library, told once, with who brought it; never a decoy."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import subprocess
import sys
import zipfile
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from libcensus.agent.host import Root
from libcensus.agent.probes.context import ProbeSkippedError, ScanContext
from libcensus.agent.probes.copies import probe_copies
from libcensus.agent.probes.packages import probe_packages
from libcensus.agent.probes.skips import Skips
from libcensus.agent.probes.walk import probe_walk
from libcensus.agent.settings import ScanSettings
from libcensus.facts.vocabulary import CryptoFamily, EvidenceKind, Linkage
from tests.agent.roots import DEBIAN, MODULE, VENDOR, add_dpkg, crypto_source, make_crypto, needs_gcc, shared

if TYPE_CHECKING:
    from collections.abc import Mapping

    from libcensus.facts.crypto import CryptoCopy

SITE = "lib/python3.11/site-packages"


def copies_of(top: Path, **settings: object) -> tuple[dict[str, CryptoCopy], Skips]:
    """Probe a folder for copies alone."""
    with Root.open(str(top)) as root:
        context = ScanContext(root, ScanSettings(**settings))  # type: ignore[arg-type]
        probe_walk(context, Skips())
        with contextlib.suppress(ProbeSkippedError):
            probe_packages(context, Skips())
        skips = Skips()
        probe_copies(context, skips)
    paths = [copy.path for copy in context.copies]
    assert paths == sorted(set(paths))
    return {copy.path: copy for copy in context.copies}, skips


def make_environment(top: Path, folder: str = "opt/venv") -> Path:
    """Make the folder of an environment, and return its site folder."""
    site = top / folder / SITE
    site.mkdir(parents=True)
    (top / folder / "pyvenv.cfg").write_text("home = /usr/bin\n")
    return site


def install(site: Path, name: str) -> None:
    """Copy an installed distribution with its records from the environment of these tests."""
    for file in metadata.distribution(name).files or ():
        source = Path(str(file.locate()))
        if not str(file).startswith("..") and source.is_file() and "__pycache__" not in str(file):
            target = site / str(file)
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(source, target)


def add_record(site: Path, name: str, version: str, *files: str) -> Path:
    """Write a distribution's records."""
    info = site / f"{name.replace('-', '_')}-{version}.dist-info"
    info.mkdir(parents=True, exist_ok=True)
    (info / "METADATA").write_text(f"Metadata-Version: 2.4\nName: {name}\nVersion: {version}\n\nVersion: 0\n")
    (info / "RECORD").write_text("".join(f"{file},sha256=x,1\n" for file in files))
    return info


def add_bill(info: Path, *components: Mapping[str, object]) -> None:
    (info / "sboms").mkdir(exist_ok=True)
    document = {"bomFormat": "CycloneDX", "specVersion": "1.5", "components": list(components)}
    (info / "sboms/sbom.json").write_text(json.dumps(document))


def shown(copy: CryptoCopy) -> tuple[str, str | None, str, str | None, tuple[str, str, str | None] | None]:
    owner = None if copy.owner is None else (copy.owner.ecosystem, copy.owner.name, copy.owner.version)
    return copy.library.family.value, copy.library.version, copy.linkage.value, copy.environment, owner


# --- published wheels -----------------------------------------------------------------------------------------------


def test_copies_of_published_wheels_are_told_with_their_environment(tmp_path: Path) -> None:
    site = make_environment(tmp_path)
    for name in ("cryptography", "grpcio", "psycopg-binary"):
        install(site, name)
    copies, skips = copies_of(tmp_path)
    code = "from cryptography.hazmat.backends.openssl.backend import backend; print(backend.openssl_version_text())"
    told = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout.split()[1]
    by_name = {copy.owner.name: copy for copy in copies.values() if copy.owner is not None}
    assert len(copies) == len(by_name) == 3
    versions = {name: metadata.version(name) for name in by_name}
    assert shown(by_name["cryptography"]) == (
        "openssl", told, "static", "/opt/venv", ("pypi", "cryptography", versions["cryptography"]),
    )  # fmt: skip
    assert shown(by_name["grpcio"]) == (
        "boringssl", None, "static", "/opt/venv", ("pypi", "grpcio", versions["grpcio"]),
    )  # fmt: skip
    binary = by_name["psycopg-binary"]
    assert (binary.library.family, binary.linkage) == (CryptoFamily.OPENSSL, Linkage.BUNDLED)
    assert "/psycopg_binary.libs/libcrypto-" in binary.path
    (bill,) = [item for item in by_name["cryptography"].evidence if item.kind is EvidenceKind.SBOM]
    assert bill.detail.startswith(f"names openssl {told}; the file says the same")
    assert not skips


def test_libraries_of_an_older_wheel(tmp_path: Path, sample_wheels: Path) -> None:
    site = make_environment(tmp_path)
    for name in ("psycopg2_binary", "awscrt"):
        (wheel,) = sample_wheels.glob(f"{name}-*.whl")
        zipfile.ZipFile(wheel).extractall(site)
    copies, skips = copies_of(tmp_path)
    assert sorted((copy.library.family.value, copy.linkage.value) for copy in copies.values()) == [
        ("aws-lc", "static"),
        ("openssl", "bundled"),
    ]
    (libcrypto,) = [copy for copy in copies.values() if copy.linkage is Linkage.BUNDLED]
    assert shown(libcrypto) == ("openssl", "1.1.1w", "bundled", "/opt/venv", ("pypi", "psycopg2-binary", "2.9.9"))
    assert not skips


@needs_gcc
def test_distributions_in_a_folder_of_another_name_are_found_and_belong_to_no_environment(tmp_path: Path) -> None:
    # What `pip install --target`, a Lambda layer or a zip of packages leaves.
    target = tmp_path / "srv/layer/python"
    shared(target / "lock/bindings/_rust.abi3.so", crypto_source(), None)
    info = target / "lock-4.5.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: lock\nVersion: 4.5\n")
    (info / "RECORD").write_text("lock/bindings/_rust.abi3.so,,\n")
    shared(tmp_path / "srv/other/plugin.so", crypto_source(), None)
    copies, _ = copies_of(tmp_path)
    (copy,) = copies.values()
    assert copy.path == "/srv/layer/python/lock/bindings/_rust.abi3.so"
    assert (copy.linkage, copy.environment, copy.library.version) == (Linkage.STATIC, None, "9.8.7")
    assert copy.owner is not None
    assert (copy.owner.ecosystem, copy.owner.name, copy.owner.version) == ("pypi", "lock", "4.5")


def test_the_agents_own_environment_is_one_of_them() -> None:
    prefix = Path(sys.prefix)
    copies, _ = copies_of(prefix)
    names = {copy.owner.name for copy in copies.values() if copy.owner is not None}
    assert {"cryptography", "grpcio"} <= names
    assert {copy.environment for copy in copies.values()} == {"/"}


# --- made here ------------------------------------------------------------------------------------------------------


@needs_gcc
def test_what_only_links_to_the_systems_library_is_no_copy(tmp_path: Path) -> None:
    ssl, crypto = make_crypto(tmp_path / "usr/lib/x86_64-linux-gnu")
    site = tmp_path / "usr/lib/python3/dist-packages"
    shared(site / "psycopg2/_psycopg.cpython-311.so", MODULE, None, str(ssl), str(crypto), "-Wl,--no-as-needed")
    headers = crypto_source(has_code=False)
    shared(site / "cryptography/_rust.abi3.so", headers, None, str(crypto), "-Wl,--no-as-needed")
    files = tuple(f"/usr/lib/x86_64-linux-gnu/{file.name}" for file in (ssl, crypto))
    add_dpkg(tmp_path, {"libssl9": ("9.8.7-1", f"Source: openssl\n{DEBIAN}", files)})
    assert copies_of(tmp_path)[0] == {}


@needs_gcc
@pytest.mark.parametrize(
    ("folder", "owner", "expected"),
    [
        pytest.param(
            "opt/product/lib",
            VENDOR,
            ("openssl", "9.8.7", "bundled", None, ("dpkg", "product", "7.1")),
            id="a vendor's package",
        ),
        pytest.param("usr/local/lib", None, ("openssl", "9.8.7", "local", None, None), id="nobody's"),
        pytest.param("usr/lib/x86_64-linux-gnu", DEBIAN, None, id="the distribution's"),
        pytest.param("opt/old/lib", DEBIAN, None, id="the distribution's elsewhere"),
    ],
)
def test_library_of_its_own_outside_of_environments(
    tmp_path: Path, folder: str, owner: str | None, expected: object
) -> None:
    _, crypto = make_crypto(tmp_path / folder)
    path = f"/{folder}/{crypto.name}"
    add_dpkg(tmp_path, {"product": ("7.1", owner or DEBIAN, (path,) if owner else ())})
    copies, _ = copies_of(tmp_path)
    assert {name: shown(copy) for name, copy in copies.items()} == ({} if expected is None else {path: expected})
    if owner == VENDOR:
        package = copies[path].library.package
        assert package is not None
        assert package.name == "product"


@needs_gcc
def test_one_file_under_several_names_counts_once_in_each_environment(tmp_path: Path) -> None:
    first, second = make_environment(tmp_path, "srv/a"), make_environment(tmp_path, "srv/b")
    module = shared(first / "pkg/_m.so", crypto_source(), None)
    (second / "pkg").mkdir()
    archive = tmp_path / "root/.cache/uv/archive-v0/x1y2/pkg.libs"
    archive.mkdir(parents=True)
    (tmp_path / "root/.cache/uv/CACHEDIR.TAG").write_text("Signature: 8a477f597d28d172789f06886806bc55\n")
    for target in (first / "pkg/_again.so", second / "pkg/_m.so", archive / "libcrypto-1.so.3"):
        os.link(module, target)
    (first / "pkg/_link.so").symlink_to("_m.so")
    copies, skips = copies_of(tmp_path)
    assert {path: copy.environment for path, copy in copies.items()} == {
        f"/srv/a/{SITE}/pkg/_again.so": "/srv/a",
        f"/srv/b/{SITE}/pkg/_m.so": "/srv/b",
    }
    assert skips.counts == {"installer-cache": 1}


@needs_gcc
@pytest.mark.parametrize(
    ("component", "has_version", "version", "words"),
    [
        ({"name": "openssl", "version": "9.8.7"}, True, "9.8.7", "names openssl 9.8.7; the file says the same"),
        (
            {"name": "openssl", "version": "9.8.9"},
            True,
            "9.8.7",
            "names openssl 9.8.9; the file itself says 9.8.7, which counts",
        ),
        (
            {"name": "openssl", "version": "9.8.9"},
            False,
            "9.8.9",
            "names openssl 9.8.9; the file proves the code and tells no version, so this one is taken",
        ),
        (
            {"name": "openssl-libs", "version": "9.8.9-1.el8", "purl": "pkg:rpm/almalinux/openssl-libs@9.8.9-1.el8"},
            False,
            None,
            "names openssl-libs 9.8.9-1.el8 (pkg:rpm/almalinux/openssl-libs@9.8.9-1.el8)",
        ),
    ],
)
def test_bill_of_materials_is_compared_with_the_file(
    tmp_path: Path, component: dict[str, object], has_version: bool, version: str | None, words: str
) -> None:
    site = make_environment(tmp_path)
    sources = 'const char *a = "crypto/evp/digest.c", *b = "crypto/evp/evp_lib.c";\n'
    shared(site / "pkg/_m.abi3.so", crypto_source() if has_version else sources, None)
    add_bill(add_record(site, "pkg", "1.0", "pkg/_m.abi3.so"), component)
    copies, skips = copies_of(tmp_path)
    ((_, copy),) = copies.items()
    assert shown(copy) == ("openssl", version, "static", "/opt/venv", ("pypi", "pkg", "1.0"))
    assert [item.detail for item in copy.evidence if item.kind is EvidenceKind.SBOM] == [words]
    assert not skips


@needs_gcc
def test_bill_without_a_file_that_shows_it_is_counted_and_no_copy(tmp_path: Path) -> None:
    site = make_environment(tmp_path)
    shared(site / "pkg/_m.abi3.so", "int nothing;", None)
    crate = {"name": "openssl", "version": "0.10.81", "purl": "pkg:cargo/openssl@0.10.81"}
    add_bill(add_record(site, "pkg", "1.0", "pkg/_m.abi3.so"), {"name": "openssl", "version": "3.5.4"}, crate)
    copies, skips = copies_of(tmp_path)
    assert copies == {}
    assert skips.counts == {"sbom-not-confirmed": 1}


@needs_gcc
def test_version_that_the_linker_dropped_is_that_of_a_sibling(tmp_path: Path) -> None:
    site = make_environment(tmp_path)
    shared(site / "pkg/a.so", crypto_source(), None)
    shared(site / "pkg/b.so", 'const char *a = "crypto/evp/digest.c", *b = "crypto/evp/evp_lib.c";', None)
    add_record(site, "pkg", "1.0", "pkg/a.so", "pkg/b.so")
    copies, _ = copies_of(tmp_path)
    assert [copy.library.version for copy in copies.values()] == ["9.8.7", "9.8.7"]


@needs_gcc
@pytest.mark.parametrize(
    ("path", "records", "environment", "owner"),
    [
        pytest.param(
            f"opt/venv/{SITE}/some_pkg.libs/libcrypto-1a2b.so.3",
            {f"opt/venv/{SITE}/Some.Pkg-2.0.dist-info/METADATA": "Name: Some.Pkg\nVersion: 2.0\n"},
            "/opt/venv",
            ("pypi", "Some.Pkg", "2.0"),
            id="folder named like the distribution",
        ),
        pytest.param(
            f"opt/venv/{SITE}/pkg/_m.so",
            {
                f"opt/venv/{SITE}/pkg-1.0-py3.11.egg-info/PKG-INFO": "Name: pkg\nVersion: 1.0\n",
                f"opt/venv/{SITE}/pkg-1.0-py3.11.egg-info/installed-files.txt": "../pkg/_m.so\n",
            },
            "/opt/venv",
            ("pypi", "pkg", "1.0"),
            id="egg-info",
        ),
        pytest.param(f"root/.local/{SITE}/pkg/_m.so", {}, "/root/.local", None, id="user folder, no record"),
        pytest.param(
            "srv/app/node_modules/@scope/native/build/Release/binding.node",
            {"srv/app/node_modules/@scope/native/package.json": '{"name": "@scope/native", "version": "4.1.0"}'},
            None,
            ("npm", "@scope/native", "4.1.0"),
            id="npm",
        ),
        pytest.param(
            "var/lib/gems/3.1.0/gems/openssl-3.2.0/lib/openssl.so",
            {"var/lib/gems/3.1.0/specifications/openssl-3.2.0.gemspec": ""},
            None,
            ("gem", "openssl", "3.2.0"),
            id="gem",
        ),
        pytest.param(
            "opt/conda/envs/tools/lib/libcrypto.so.3",
            {
                "opt/conda/envs/tools/conda-meta/openssl-3.5.4-h2.json": (
                    '{"name": "openssl", "version": "3.5.4", "files": ["lib/libcrypto.so.3"]}'
                )
            },
            "/opt/conda/envs/tools",
            ("conda", "openssl", "3.5.4"),
            id="conda",
        ),
        pytest.param(f"opt/venv/{SITE}/x/_m.so", {f"opt/venv/{SITE}/x-1.dist-info/RECORD": '"'}, "/opt/venv", None,
                     id="damaged record"),
        pytest.param(
            "srv/app/node_modules/x/b.node", {"srv/app/node_modules/x/package.json": "{"}, None, None, id="damaged json"
        ),
    ],
)  # fmt: skip
def test_owner_and_environment(
    tmp_path: Path, path: str, records: dict[str, str], environment: str | None, owner: object
) -> None:
    target = tmp_path / path
    shared(target, crypto_source(), None if target.name.startswith("_") else target.name)
    for name, text in records.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    copies, _ = copies_of(tmp_path)
    assert copies.keys() == {f"/{path}"}
    found = shown(copies[f"/{path}"])
    assert found[3:] == (environment, owner)


@needs_gcc
def test_what_cannot_be_read_costs_a_skip(tmp_path: Path) -> None:
    site = make_environment(tmp_path)
    good = shared(site / "pkg/good.so", crypto_source(), None)
    data = good.read_bytes()
    (site / "pkg/cut.so").write_bytes(data[:200] + b"\0OpenSSL 9.8.7 1 Jan 2030\0")
    (site / "pkg/text.so").write_text("INPUT ( libx.so )")
    (site / "pkg/big.so").write_bytes(data + bytes(1 << 20))
    os.mkfifo(site / "pkg/pipe.so")
    info = add_record(site, "pkg", "1.0", "pkg/good.so")
    (info / "sboms").mkdir()
    (info / "sboms/broken.json").write_text("[" * 100_000)
    copies, skips = copies_of(tmp_path, max_file_bytes=len(data))
    assert copies.keys() == {f"/opt/venv/{SITE}/pkg/good.so"}
    assert set(skips.counts) == {"too-large", "damaged-sbom", *(r for r in skips.counts if r.startswith("damaged-elf"))}
    assert len(skips.counts) == 3
