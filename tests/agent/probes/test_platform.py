"""What a root offers: os-release, libc from its file, loaders, libraries, CPU level; the host's and foreign ones."""

from __future__ import annotations

import os
import platform as python_platform
import shutil
import subprocess
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from libcensus.agent.host import Root
from libcensus.agent.probes.context import ScanContext
from libcensus.agent.probes.platform import (
    parse_cpu_level,
    parse_glibc_banner,
    parse_musl_banner,
    parse_os_release,
    probe_platform,
)
from libcensus.agent.probes.skips import Skips
from libcensus.agent.settings import ScanSettings
from libcensus.facts.host import OsRelease
from libcensus.facts.vocabulary import LibcFamily
from tests.agent.roots import add_dpkg, compile_c, make_crypto, needs_gcc, shared


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        pytest.param("", OsRelease(), id="empty"),
        pytest.param(
            'PRETTY_NAME="Debian GNU/Linux 12 (bookworm)"\nID=debian\nVERSION_ID="12"\nVERSION_CODENAME=bookworm\n',
            OsRelease("debian", "12", "Debian GNU/Linux 12 (bookworm)", "bookworm"),
            id="Debian",
        ),
        pytest.param(
            "ID='rocky'\nID_LIKE=\"rhel centos fedora\"\n",
            OsRelease("rocky", id_like=("rhel", "centos", "fedora")),
            id="single quotes, ID_LIKE",
        ),
        pytest.param(
            '# comment\n\n  ID=arch  \nBROKEN\nlower=x\nPRETTY_NAME="a \\"b\\" \\$c"\n',
            OsRelease("arch", pretty_name='a "b" $c'),
            id="comments and escapes",
        ),
        pytest.param("ID=\nVERSION_ID=''\n", OsRelease(), id="empty values are absent"),
    ],
)
def test_os_release(text: str, expected: OsRelease) -> None:
    assert parse_os_release(text) == expected


@given(st.text(max_size=500))
def test_any_text_is_an_os_release(text: str) -> None:
    assert isinstance(parse_os_release(text), OsRelease)


V2 = "lm cx16 lahf_lm popcnt pni sse4_1 sse4_2 ssse3"
V3 = f"{V2} abm avx avx2 bmi1 bmi2 f16c fma movbe xsave"


@pytest.mark.parametrize(
    ("text", "level"),
    [
        pytest.param("Features : fp asimd", None, id="no x86"),
        pytest.param("flags\t\t: fpu sse2", None, id="32 bits"),
        pytest.param("flags\t\t: lm sse2", 1, id="v1"),
        pytest.param(f"flags\t\t: {V2}", 2, id="v2"),
        pytest.param(f"flags\t\t: {V2} avx2 avx512f", 2, id="a part of v3"),
        pytest.param(f"processor : 0\nflags\t\t: {V3}\nprocessor : 1\nflags : lm", 3, id="v3, first processor"),
        pytest.param(f"flags : {V3} avx512bw avx512cd avx512dq avx512f avx512vl", 4, id="v4"),
        pytest.param("flags : lm avx512bw avx512cd avx512dq avx512f avx512vl", 1, id="v4 without the ones below"),
    ],
)
def test_cpu_level(text: str, level: int | None) -> None:
    assert parse_cpu_level(text) == level


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        pytest.param(
            b"\0GNU C Library (Debian GLIBC 2.36-9+deb12u14) stable release version 2.36.\n", ("2.36", 1), id="Debian"
        ),
        pytest.param(b"GNU C Library (GNU libc) stable release version 2.17, by Roland McGrath", ("2.17", 0), id="el7"),
        pytest.param(b"GNU C Library development release version 2.40.9000.", ("2.40.9000", 0), id="development"),
        pytest.param(b"the GNU C Library is free software; version 2 of", None, id="licence text"),
        pytest.param(b"", None, id="empty"),
    ],
)
def test_glibc_banner(data: bytes, expected: tuple[str, int] | None) -> None:
    found = parse_glibc_banner(data)
    assert (None if found is None else (found[0], found[2])) == expected


@pytest.mark.parametrize(
    ("data", "version"),
    [
        pytest.param(b"\0musl libc (x86_64)\nVersion %s\nDynamic\0x\0001.2.4\0", "1.2.4", id="as musl holds it"),
        pytest.param(b"\0musl libc (x86_64)\n\0001.2.4\0001.2.5\0", None, id="two texts of its form"),
        pytest.param(b"\0001.2.4\0", None, id="no banner"),
    ],
)
def test_musl_banner(data: bytes, version: str | None) -> None:
    found = parse_musl_banner(data)
    assert (None if found is None else found[0]) == version


def probed(top: str) -> tuple[ScanContext, Skips]:
    skips = Skips()
    context = ScanContext(Root.open(top), ScanSettings())
    probe_platform(context, skips)
    return context, skips


def test_empty_folder_is_a_valid_root(tmp_path: Path) -> None:
    context, skips = probed(str(tmp_path))
    assert context.host.hostname == tmp_path.name
    assert (context.host.arch, context.host.kernel, context.host.x86_64_level) == (None, None, None)
    assert context.platform.libraries == ()
    assert skips.counts == {"no-os-release": 1, "no-libc": 1}


def test_own_root_is_what_the_machine_says_of_itself() -> None:
    context, _ = probed("/")
    assert context.host.hostname == os.uname().nodename
    assert context.host.kernel == os.uname().release
    family, version = python_platform.libc_ver()
    if family == "glibc":
        assert context.host.libc.family is LibcFamily.GLIBC
        assert context.host.libc.version == version == context.platform.glibc
        assert context.host.evidence


@pytest.mark.skipif(shutil.which("ldconfig", path="/sbin:/usr/sbin") is None, reason="no ldconfig")
def test_own_libraries_hold_what_ldconfig_lists() -> None:
    context, _ = probed("/")
    listed = subprocess.run(["/sbin/ldconfig", "-p"], capture_output=True, text=True, check=True).stdout
    kind = "(libc6,x86-64" if context.host.arch == "x86_64" else "(libc6"
    names = {
        line.split()[0]
        for line in listed.splitlines()
        if kind in line and Path(line.rpartition("=> ")[2]).is_file() and "/ld-linux" not in line
    }
    assert names
    # A name may stand for a linker script, which no program can load.
    missing = names - {library.soname for library in context.platform.libraries}
    assert not {name for name in missing if ".so." in name}


@pytest.mark.skipif(shutil.which("readelf") is None, reason="no readelf")
def test_own_libc_defines_what_readelf_lists() -> None:
    context, _ = probed("/")
    if context.host.libc.path is None or context.host.libc.family is not LibcFamily.GLIBC:
        pytest.skip("no glibc here")
    text = subprocess.run(["readelf", "-V", context.host.libc.path], capture_output=True, text=True, check=True).stdout
    defined = {
        line.split("Name: ")[1].strip()
        for line in text.splitlines()
        if "Flags:" in line and "Cnt:" in line and "Name:" in line
    }
    (libc,) = [one for one in context.platform.libraries if one.soname == "libc.so.6"]
    assert set(libc.versions) == {name for name in defined if name.startswith("GLIBC_")}


@needs_gcc
def test_foreign_root_is_read_from_its_files(tmp_path: Path) -> None:
    version = 'const char banner[] = "GNU C Library (Test 2.99) stable release version 2.99.";\n'
    (tmp_path / "map").write_text("GLIBC_2.2.5 { global: puts; };\nGLIBC_2.99 { global: newest; };\n")
    source = version + "int puts(void) { return banner[0]; }\nint newest(void) { return 0; }\n"
    shared(tmp_path / "r/lib64/libc.so.6", source, "libc.so.6", f"-Wl,--version-script={tmp_path}/map")
    shared(tmp_path / "r/lib64/ld-linux-x86-64.so.2", "int start(void) { return 0; }\n", "ld-linux-x86-64.so.2")
    compile_c(tmp_path / "r/bin/sh", "int main(void) { return 0; }\n")
    make_crypto(tmp_path / "r/usr/lib64")
    (tmp_path / "r/usr/lib64/libssl.so").symlink_to("libssl.so.9")
    (tmp_path / "r/etc").mkdir()
    (tmp_path / "r/etc/hostname").write_text("# a comment\nforeign.example\n")
    (tmp_path / "r/etc/os-release").write_text("ID=test\n")
    add_dpkg(tmp_path / "r", {"libc6": ("2.99-1", "", ("/lib64/libc.so.6",))})
    context, skips = probed(str(tmp_path / "r"))
    host, offer = context.host, context.platform
    assert host.hostname == "foreign.example"
    assert host.os_release.id == "test"
    assert (host.libc.family, host.libc.version, host.libc.path) == (LibcFamily.GLIBC, "2.99", "/lib64/libc.so.6")
    assert host.kernel is None
    assert offer.glibc == "2.99"
    assert offer.loaders == ("/lib64/ld-linux-x86-64.so.2",)
    names = [library.soname for library in offer.libraries]
    assert names == ["ld-linux-x86-64.so.2", "libc.so.6", "libcrypto.so.9", "libssl.so.9"]
    assert not skips
