"""Finding libraries as ld.so does: against the real ldconfig and ldd, and its rules as tables."""

from __future__ import annotations

import os
import re
import shutil
import struct
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from libcensus.agent.elf import loader as loader_module
from libcensus.agent.elf.loader import (
    CacheEntry,
    LibrarySearch,
    LoadedObject,
    LoaderCache,
    LoaderCacheError,
    Rule,
    default_directories,
    hwcap_names,
    parse_loader_cache,
    parse_musl_path,
    system_directories,
)
from libcensus.agent.elf.reader import BytesSource, Elf, ElfType, read_elf
from libcensus.agent.errors import ElfError, UnreadableError
from tests.agent.elf.samples import compile_c

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

LOADER = Path("/lib64/ld-linux-x86-64.so.2")
LDCONFIG = shutil.which("ldconfig", path="/usr/sbin:/sbin:/usr/bin:/bin") or "ldconfig"


def elf(
    needed: Iterable[str] = (),
    *,
    soname: str | None = None,
    rpath: str | None = None,
    runpath: str | None = None,
    interpreter: str | None = None,
    flags_1: int = 0,
) -> Elf:
    return Elf(
        64, True, ElfType.DYN, 62, "x86_64",
        needed=tuple(needed), soname=soname, rpath=rpath, runpath=runpath, interpreter=interpreter, flags_1=flags_1,
    )  # fmt: skip


def search(files: Mapping[str, Elf], **fields: object) -> LibrarySearch:
    known = {"default_dirs": ("/lib/x86_64-linux-gnu", "/usr/lib/x86_64-linux-gnu", "/lib"), **fields}
    return LibrarySearch(files.get, "x86_64", **known)  # type: ignore[arg-type]


# --- the cache --------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def cache_root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A root with three libraries, one of them also in a build for x86-64-v3."""
    root = tmp_path_factory.mktemp("root")
    libraries = root / "opt" / "lib"
    (libraries / "glibc-hwcaps" / "x86-64-v3").mkdir(parents=True)
    for name in ("libone.so.1", "libtwo.so.2", "glibc-hwcaps/x86-64-v3/libone.so.1"):
        soname = f"-Wl,-soname,{name.rsplit('/', 1)[-1]}"
        compile_c(libraries, name, "int x;", "-shared", "-fPIC", soname)
    (root / "etc").mkdir()
    (root / "etc" / "ld.so.conf").write_text("/opt/lib\n")
    return root


@pytest.mark.parametrize("layout", ["new", "compat"])
def test_a_cache_by_ldconfig_is_read(cache_root: Path, layout: str) -> None:
    written = cache_root / "etc" / f"{layout}.cache"
    command = [LDCONFIG, "-X", "-r", str(cache_root), "-c", layout, "-C", f"/etc/{layout}.cache"]
    subprocess.run(command, check=True, capture_output=True)
    cache = parse_loader_cache(written.read_bytes())
    assert cache.paths("libtwo.so.2", "x86_64") == ("/opt/lib/libtwo.so.2",)
    assert cache.paths("libone.so.1", "x86_64") == ("/opt/lib/libone.so.1",)
    best = "/opt/lib/glibc-hwcaps/x86-64-v3/libone.so.1"
    assert cache.paths("libone.so.1", "x86_64", hwcap_names("x86_64", 3)) == (best, "/opt/lib/libone.so.1")
    assert cache.paths("libone.so.1", "x86_64", hwcap_names("x86_64", 2)) == ("/opt/lib/libone.so.1",)
    assert cache.paths("libone.so.1", "aarch64") == ()
    assert cache.sonames("x86_64") == ("libone.so.1", "libtwo.so.2")
    assert cache.sonames("aarch64") == ()


def test_a_cache_of_libc5_alone_says_what_to_do(cache_root: Path) -> None:
    command = [LDCONFIG, "-X", "-r", str(cache_root), "-c", "old", "-C", "/etc/old.cache"]
    subprocess.run(command, check=True, capture_output=True)
    with pytest.raises(LoaderCacheError, match="run ldconfig"):
        parse_loader_cache((cache_root / "etc" / "old.cache").read_bytes())


def test_the_cache_of_this_machine_agrees_with_ldconfig() -> None:
    path = Path("/etc/ld.so.cache")
    listed = subprocess.run([LDCONFIG, "-p"], check=True, capture_output=True, text=True).stdout
    truth = re.findall(r"^\t(\S+) \([^)]*\) => (\S+)$", listed, re.MULTILINE)
    cache = parse_loader_cache(path.read_bytes())
    assert [(entry.soname, entry.path) for entry in cache.entries] == truth


def big_endian_cache(entries: list[tuple[str, str, int]]) -> bytes:
    """Return a cache as s390x's ldconfig writes it; no machine here can make one."""
    header = 48 + 24 * len(entries)
    table, texts = b"", b""
    for soname, path, flags in entries:
        at = header + len(texts)
        texts += soname.encode() + b"\0" + path.encode() + b"\0"
        table += struct.pack(">iIIIQ", flags, at, at + len(soname) + 1, 0, 0)
    return b"glibc-ld.so.cache1.1" + struct.pack(">IIB3xI12x", len(entries), len(texts), 3, 0) + table + texts


@pytest.mark.parametrize("declared", [True, False])
def test_a_cache_in_the_other_byte_order_is_read(declared: bool) -> None:
    data = bytearray(big_endian_cache([("libc.so.6", "/lib/s390x-linux-gnu/libc.so.6", 0x403)]))
    if not declared:
        data[28] = 0
    cache = parse_loader_cache(bytes(data))
    assert cache.paths("libc.so.6", "s390x") == ("/lib/s390x-linux-gnu/libc.so.6",)


@pytest.mark.parametrize(
    "data",
    [b"", b"ld.so-1.7.0", b"glibc-ld.so.cache1.1", b"\x7fELF" + bytes(60), b"glibc-ld.so.cache1.1" + b"\xff" * 60],
)
def test_what_is_no_cache_is_refused(data: bytes) -> None:
    with pytest.raises(LoaderCacheError):
        parse_loader_cache(data)


@settings(max_examples=300)
@given(st.lists(st.tuples(st.integers(0, 500), st.integers(0, 255)), max_size=8), st.integers(0, 500))
def test_a_damaged_cache_raises_nothing_else(changes: list[tuple[int, int]], length: int) -> None:
    data = bytearray(big_endian_cache([("liba.so.1", "/lib/liba.so.1", 0x403), ("libb.so.1", "/lib/libb.so.1", 3)]))
    for at, value in changes:
        data[at % len(data)] = value
    try:
        parse_loader_cache(bytes(data[: max(length, 20)]))
    except LoaderCacheError as error:
        assert error.detail  # noqa: PT017 - that nothing else is raised is the point


# --- folders ----------------------------------------------------------------------------------------------------


def test_the_loaders_own_folders_are_read_from_its_bytes() -> None:
    said = subprocess.run([str(LOADER), "--list-diagnostics"], check=True, capture_output=True, text=True).stdout
    truth = re.findall(r'^path\.system_dirs\[0x[0-9a-f]+\]="(.*)/"$', said, re.MULTILINE)
    assert truth
    assert list(system_directories(LOADER.read_bytes())) == truth


@pytest.mark.parametrize("data", [b"", b"no folders here", b"\0/lib/\0", b"/usr/lib/" * 50], ids=repr)
def test_a_loader_without_folders_tells_none(data: bytes) -> None:
    assert system_directories(data) == ()


def test_default_folders_know_multiarch_and_lib64() -> None:
    folders = default_directories("x86_64", 64)
    assert folders[:2] == ("/lib/x86_64-linux-gnu", "/usr/lib/x86_64-linux-gnu")
    assert set(folders) >= {"/lib64", "/usr/lib64", "/lib", "/usr/lib"}
    assert "/lib64" not in default_directories("i386", 32)
    assert "/lib/arm-linux-gnueabihf" in default_directories("arm", 32)


def test_musls_path_file_takes_colons_and_lines() -> None:
    assert parse_musl_path("/lib:/usr/local/lib\n/usr/lib\nrelative\n") == ("/lib", "/usr/local/lib", "/usr/lib")


# --- the rules --------------------------------------------------------------------------------------------------

LIB = elf(soname="libx.so.1")
CACHE = LoaderCache((CacheEntry("libx.so.1", "/opt/cached/libx.so.1", 0x303),))
EVERYWHERE = dict.fromkeys(
    (
        "/app/lib/libx.so.1",
        "/app/bin/libx.so.1",
        "/other/libx.so.1",
        "/opt/cached/libx.so.1",
        "/lib/x86_64-linux-gnu/libx.so.1",
    ),
    LIB,
)
CACHED = (Rule.CACHE, "/opt/cached/libx.so.1")


@pytest.mark.parametrize(
    ("chain", "expected"),
    [
        pytest.param([elf()], CACHED, id="cache-before-default"),
        pytest.param([elf(flags_1=0x800)], (Rule.NOT_FOUND, None), id="nodeflib-leaves-out-cache-and-default"),
        pytest.param([elf(runpath="/other")], (Rule.RUNPATH, "/other/libx.so.1"), id="runpath-before-cache"),
        pytest.param([elf(rpath="/other")], (Rule.RPATH, "/other/libx.so.1"), id="rpath-before-cache"),
        pytest.param(
            [elf(rpath="/other", runpath="/app/lib")], (Rule.RUNPATH, "/app/lib/libx.so.1"), id="runpath-voids-rpath"
        ),
        pytest.param([elf(), elf(rpath="/other")], (Rule.RPATH, "/other/libx.so.1"), id="rpath-is-inherited"),
        pytest.param([elf(), elf(runpath="/other")], CACHED, id="runpath-is-not-inherited"),
        pytest.param(
            [elf(runpath="/nowhere"), elf(rpath="/other")],
            CACHED,
            id="runpath-ends-the-inheritance-of-rpath",
        ),
        pytest.param(
            [elf(), elf(rpath="/other", runpath="/nowhere")],
            CACHED,
            id="a-loader-with-both-has-no-rpath",
        ),
        pytest.param([elf(runpath="$ORIGIN/../lib")], (Rule.RUNPATH, "/app/bin/../lib/libx.so.1"), id="origin"),
        pytest.param([elf(runpath="${ORIGIN}")], (Rule.RUNPATH, "/app/bin/libx.so.1"), id="origin-in-braces"),
        pytest.param([elf(runpath="$ORIGINAL")], CACHED, id="no-token"),
        pytest.param([elf(runpath=":relative:")], CACHED, id="relative-folders-are-left-out"),
        pytest.param([elf(runpath="/$LIB")], (Rule.RUNPATH, "/lib/x86_64-linux-gnu/libx.so.1"), id="lib"),
    ],
)
def test_glibc_searches_in_its_order(chain: list[Elf], expected: tuple[Rule, str | None]) -> None:
    files = {**EVERYWHERE, "/app/bin/../lib/libx.so.1": LIB}
    objects = [LoadedObject("/app/bin/program", item) for item in chain]
    found = search(files, cache=CACHE).resolve("libx.so.1", objects)
    assert (found.rule, found.path) == expected
    assert found.evidence


def test_a_needed_path_with_origin_is_taken_as_it_is() -> None:
    """python-build-standalone names its libpython so."""
    library = elf(soname="libpython3.12.so.1.0")
    files = {"/py/bin/../lib/libpython3.12.so.1.0": library}
    found = search(files).resolve("$ORIGIN/../lib/libpython3.12.so.1.0", [LoadedObject("/py/bin/python3.12", elf())])
    assert (found.rule, found.path, found.elf) == (Rule.NEEDED_PATH, "/py/bin/../lib/libpython3.12.so.1.0", library)


def test_what_is_not_found_tells_where_it_was_sought() -> None:
    found = search({}).resolve("liby.so", [LoadedObject("/a/b", elf(runpath="/r"))])
    assert not found.is_found
    assert found.tried == (
        "/r/liby.so", "/lib/x86_64-linux-gnu/liby.so", "/usr/lib/x86_64-linux-gnu/liby.so", "/lib/liby.so",
    )  # fmt: skip


def test_hardware_folders_come_first() -> None:
    files = {"/lib/glibc-hwcaps/x86-64-v3/libx.so.1": LIB, "/lib/libx.so.1": LIB}
    asker = [LoadedObject("/bin/p", elf())]
    with_level = search(files, hwcaps=hwcap_names("x86_64", 4)).resolve("libx.so.1", asker)
    assert with_level.path == "/lib/glibc-hwcaps/x86-64-v3/libx.so.1"
    assert search(files).resolve("libx.so.1", asker).path == "/lib/libx.so.1"


def test_musl_has_rules_of_its_own() -> None:
    files = {"/other/libx.so.1": LIB, "/usr/lib/libx.so.1": LIB}
    program = LoadedObject("/app/bin/program", elf(runpath="/other", interpreter="/lib/ld-musl-x86_64.so.1"))
    musl = LibrarySearch.for_musl(files.get, "x86_64")
    inherited = musl.resolve("libx.so.1", [LoadedObject("/usr/lib/liby.so", elf()), program])
    assert (inherited.rule, inherited.path) == (Rule.RUNPATH, "/other/libx.so.1")
    assert musl.resolve("libx.so.1", [LoadedObject("/a", elf())]).path == "/usr/lib/libx.so.1"
    itself = musl.resolve("libc.musl-x86_64.so.1", [program])
    assert (itself.rule, itself.path) == (Rule.LOADER_ITSELF, "/lib/ld-musl-x86_64.so.1")
    configured = LibrarySearch.for_musl(files.get, "x86_64", "/other")
    assert configured.resolve("libx.so.1", [LoadedObject("/a", elf())]).path == "/other/libx.so.1"


def test_glibc_knows_what_is_loaded_by_its_soname_and_musl_by_the_name_asked_for() -> None:
    program = LoadedObject("/bin/program", elf(needed=("libx.so", "libx.so.1", "libx.so"), runpath="/own"))
    files = {"/own/libx.so": elf(soname="libx.so.1")}
    by_glibc = [found.rule for _, found in search(files).load([program])]
    by_musl = [found.rule for _, found in LibrarySearch.for_musl(files.get, "x86_64").load([program])]
    assert by_glibc == [Rule.RUNPATH, Rule.LOADED, Rule.LOADED]
    assert by_musl == [Rule.RUNPATH, Rule.NOT_FOUND, Rule.LOADED]


def test_a_library_that_is_loaded_is_not_sought_again() -> None:
    """An executable that brings its own libcrypto decides for the modules that it opens later."""
    own = elf(soname="libcrypto.so.3")
    files = {"/app/lib/libcrypto.so.3": own, "/lib/libcrypto.so.3": own}
    program = LoadedObject("/app/bin/python", elf(["libcrypto.so.3"], runpath="$ORIGIN/../lib"))
    module = LoadedObject("/usr/lib/_ssl.so", elf(["libcrypto.so.3"]))
    files["/app/bin/../lib/libcrypto.so.3"] = own
    steps = search(files).load([program, module])
    assert [(step.rule, step.path) for _asker, step in steps] == [
        (Rule.RUNPATH, "/app/bin/../lib/libcrypto.so.3"),
        (Rule.LOADED, "/app/bin/../lib/libcrypto.so.3"),
    ]


def test_libraries_that_need_one_another_end() -> None:
    files = {"/lib/liba.so": elf(["libb.so"], soname="liba.so"), "/lib/libb.so": elf(["liba.so"], soname="libb.so")}
    steps = search(files).load([LoadedObject("/bin/p", elf(["liba.so"]))])
    assert [step.rule for _asker, step in steps] == [Rule.DEFAULT, Rule.DEFAULT, Rule.LOADED]


def test_a_program_without_end_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loader_module, "MAX_LOADED", 10)

    def endless(path: str) -> Elf | None:
        number = re.fullmatch(r"/lib/lib(\d+)\.so", path)
        return elf([f"lib{int(number[1]) + 1}.so"], soname=path[5:]) if number else None

    with pytest.raises(UnreadableError, match="more than 10"):
        LibrarySearch(endless, "x86_64", ("/lib",)).load([LoadedObject("/bin/p", elf(["lib0.so"]))])


# --- the real loader --------------------------------------------------------------------------------------------


def real_search() -> LibrarySearch:
    memory: dict[str, Elf | None] = {}

    def lookup(path: str) -> Elf | None:
        if path not in memory:
            try:
                found = read_elf(BytesSource(Path(path).read_bytes()), symbols=False)
                memory[path] = found if found.arch == "x86_64" else None
            except (OSError, ElfError):
                memory[path] = None
        return memory[path]

    cache = parse_loader_cache(Path("/etc/ld.so.cache").read_bytes())
    return LibrarySearch(lookup, "x86_64", system_directories(LOADER.read_bytes()), cache)


def ldd(path: Path) -> dict[str, str | None]:
    told = subprocess.run(["ldd", str(path)], check=False, capture_output=True, text=True).stdout
    return {
        name: None if where == "not found" else where.split(" (")[0]
        for name, where in re.findall(r"^\t(\S+) => (not found|/.*)$", told, re.MULTILINE)
    }


def resolved(path: Path) -> dict[str, str | None]:
    found = read_elf(BytesSource(path.read_bytes()), symbols=False)
    steps = real_search().load([LoadedObject(os.path.realpath(path), found)])
    return {step.needed: step.path for _asker, step in steps if step.rule is not Rule.LOADED}


def same(told: dict[str, str | None], found: dict[str, str | None], path: Path) -> None:
    for name, truth in told.items():
        if "ld-linux" in name:
            continue
        mine = found.get(name)
        assert (mine is None) == (truth is None), (path, name, truth, mine)
        assert mine is None or truth is None or Path(mine).samefile(truth), (path, name, truth, mine)


def test_the_search_agrees_with_ldd_on_programs_of_this_machine() -> None:
    programs = sorted(path for path in Path("/usr/bin").iterdir() if path.is_file() and not path.is_symlink())
    compared = 0
    for path in programs[:: max(1, len(programs) // 60)]:
        with path.open("rb") as stream:
            if stream.read(4) != b"\x7fELF":
                continue
        told = ldd(path)
        same(told, resolved(path), path)
        compared += bool(told)
    assert compared > 5


@pytest.mark.parametrize("flag", ["--enable-new-dtags", "--disable-new-dtags"])
@pytest.mark.parametrize("inner", ["", "$ORIGIN/c", "$ORIGIN/missing"])
def test_the_search_agrees_with_ldd_on_chains_of_rpath_and_runpath(tmp_path: Path, flag: str, inner: str) -> None:
    """A program needs b, b needs c, and c lies in two folders: which one is taken depends on every rule."""
    for folder in ("b", "b/c", "c"):
        (tmp_path / folder).mkdir()
    for folder in ("b/c", "c"):
        compile_c(
            tmp_path / folder, "libc3.so", "int c(void) { return 3; }", "-shared", "-fPIC", "-Wl,-soname,libc3.so"
        )
    library = ["-shared", "-fPIC", "-Wl,-soname,libb3.so", f"-L{tmp_path}/c", "-lc3"]
    own = [f"-Wl,--enable-new-dtags,-rpath,{inner}"] if inner else []
    compile_c(tmp_path / "b", "libb3.so", "int c(void); int b(void) { return c(); }", *library, *own)
    program = compile_c(
        tmp_path, "program", "int b(void); int main(void) { return b(); }", f"-L{tmp_path}/b", "-lb3",
        f"-Wl,--allow-shlib-undefined,{flag},-rpath,$ORIGIN/b:$ORIGIN/c",
    )  # fmt: skip
    told = ldd(program)
    assert "libb3.so" in told
    same(told, resolved(program), program)
