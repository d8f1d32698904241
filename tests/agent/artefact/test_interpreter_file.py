"""A single file that is an interpreter's main program: read with its own modules, wherever on this machine they lie."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from libcensus.agent.artefact.interpreter import own_modules
from libcensus.agent.host import Root
from libcensus.agent.interpreters.candidate import Layout
from libcensus.agent.packages.database import PackageDatabase
from libcensus.agent.probes.skips import Skips
from libcensus.collector.advisories.snapshot import load_snapshot
from libcensus.collector.posture.distribution import find_distribution, offer_of
from libcensus.collector.posture.offer import Offer
from libcensus.collector.posture.portability import check_artefact, check_build
from libcensus.collector.posture.verdict import PortabilityState, ReasonKind
from libcensus.facts.platform import Platform, PlatformLibrary
from libcensus.facts.vocabulary import ArtefactKind, FileRole, Implementation, LibcFamily
from tests.agent.artefact.samples import file_of, read
from tests.agent.interpreters.stand_ins import make_perl
from tests.agent.roots import (
    DEBIAN,
    add_dpkg,
    compile_c,
    make_crypto,
    make_python,
    needs_gcc,
    only_install,
    scan_folder,
)
from tests.fleet.furniture import pbs_python

if TYPE_CHECKING:
    from libcensus.facts.artefact import Artefact
    from tests.agent.roots import Python

pytestmark = needs_gcc

EMBEDS = """
extern int printf(const char *, ...);
int Py_Main(void) { return 0; }
int Py_BytesMain(int c, char **v) { return 0; }
int main(int c, char **v) { return Py_BytesMain(c, v); }
"""


def _offer(*sonames: str) -> Offer:
    libc = PlatformLibrary("libc.so.6", ("GLIBC_2.2.5", "GLIBC_2.34"))
    others = tuple(PlatformLibrary(soname, ()) for soname in sonames)
    platform = Platform(
        arch="x86_64",
        x86_64_level=1,
        kernel="6.1",
        libc_family=LibcFamily.GLIBC,
        libc_version="2.36",
        loaders=("/lib64/ld-linux-x86-64.so.2",),
        libraries=tuple(sorted((libc, *others))),
    )
    return Offer.of(platform)


def _with_ssl(top: Path, *arguments: str, **settings: str) -> Python:
    """Make a CPython whose ``_ssl`` needs a library of the host."""
    python = make_python(top, **settings)
    ssl, crypto = make_crypto(top / "usr/lib/x86_64-linux-gnu")
    python.add_module(ssl, f"-Wl,-rpath-link,{crypto.parent}", *arguments)
    return python


def _missing(artefact: Artefact, offer: Offer) -> list[tuple[str | None, ReasonKind, str, bool]]:
    verdict = check_artefact(artefact, offer)
    assert verdict.state is PortabilityState.RUNS, verdict.reasons
    return [(reason.module, reason.kind, reason.needs, reason.known) for reason in verdict.degraded]


def test_a_main_program_has_its_library_and_its_modules(tmp_path: Path) -> None:
    python = _with_ssl(tmp_path)
    artefact, warnings = read(python.executable)
    assert warnings == []
    assert artefact.kind is ArtefactKind.INTERPRETER
    assert (artefact.implementation, artefact.version) == (Implementation.CPYTHON, "3.99.1")
    library, module = python.folder / "lib/libpython3.99.so.1.0", next(python.dynload.iterdir())
    assert {(file.path, file.role) for file in artefact.files} == {
        (str(python.executable), FileRole.EXECUTABLE),
        (str(library), FileRole.LIBRARY),
        (str(module), FileRole.MODULE),
    }
    assert file_of(artefact, str(python.executable)).uses == (str(library),)


def test_a_module_whose_library_another_host_lacks_is_degraded(tmp_path: Path) -> None:
    artefact, _ = read(_with_ssl(tmp_path).executable)
    assert _missing(artefact, _offer()) == [("_ssl", ReasonKind.SONAME, "libssl.so.9", True)]
    assert _missing(artefact, _offer("libssl.so.9")) == []


@pytest.mark.parametrize("where", ["own", "foreign"])
def test_an_absolute_path_below_its_own_prefix_is_known_and_any_other_is_not(where: str, tmp_path: Path) -> None:
    folder = tmp_path / ("opt/python/lib" if where == "own" else "elsewhere")
    python = _with_ssl(tmp_path, f"-Wl,-rpath,{folder}", rpath=f"{tmp_path}/opt/python/lib")
    artefact, _ = read(python.executable)
    assert file_of(artefact, str(python.executable)).uses, "its library is in its prefix"
    assert _missing(artefact, _offer()) == [("_ssl", ReasonKind.SONAME, "libssl.so.9", where == "own")]


def test_a_library_in_its_own_prefix_travels_with_it(tmp_path: Path) -> None:
    python = make_python(tmp_path, rpath=f"{tmp_path}/opt/python/lib")
    ssl, crypto = make_crypto(python.folder / "lib")
    python.add_module(ssl, f"-Wl,-rpath-link,{crypto.parent}", f"-Wl,--disable-new-dtags,-rpath,{crypto.parent}")
    artefact, _ = read(python.executable)
    assert _missing(artefact, _offer()) == []
    assert {str(ssl), str(crypto)} <= {file.path for file in artefact.files}


@pytest.mark.parametrize("name", ["python", "python3", "other"])
def test_a_link_is_followed_to_the_program(name: str, tmp_path: Path) -> None:
    python = _with_ssl(tmp_path)
    given = tmp_path / "bin" / name
    given.parent.mkdir()
    given.symlink_to(python.executable)
    artefact, _ = read(given)
    assert (artefact.kind, artefact.version, artefact.name) == (ArtefactKind.INTERPRETER, "3.99.1", str(given))
    assert _missing(artefact, _offer()) == [("_ssl", ReasonKind.SONAME, "libssl.so.9", True)]


@pytest.mark.parametrize("make", [os.symlink, shutil.copy], ids=["linked", "copied"])
@pytest.mark.parametrize("below", ["bin/python", "python"])
@pytest.mark.parametrize("is_shared", [True, False], ids=["shared", "linked-in"])
def test_the_python_of_an_environment_has_the_modules_of_its_base(
    *, is_shared: bool, below: str, make: object, tmp_path: Path
) -> None:
    python = _with_ssl(tmp_path, rpath=f"{tmp_path}/opt/python/lib")
    if not is_shared:
        compile_c(python.executable, EMBEDS, "-rdynamic")
    given = tmp_path / "env" / below
    given.parent.mkdir(parents=True)
    (tmp_path / "env/pyvenv.cfg").write_text(f"home = {python.folder}/bin\nversion = 3.99.1\n")
    make(python.executable, given)  # type: ignore[operator]
    artefact, _ = read(given)
    assert (artefact.kind, artefact.version) == (ArtefactKind.INTERPRETER, "3.99.1")
    assert _missing(artefact, _offer()) == [("_ssl", ReasonKind.SONAME, "libssl.so.9", True)]


def test_a_copied_python_whose_base_is_gone_is_an_interpreter_without_modules(tmp_path: Path) -> None:
    python = make_python(tmp_path)
    given = tmp_path / "env/bin/python3.99"
    given.parent.mkdir(parents=True)
    (tmp_path / "env/pyvenv.cfg").write_text("home = /nowhere/bin\n")
    shutil.copy(python.executable, given)
    artefact, _ = read(given)
    assert (artefact.kind, artefact.version) == (ArtefactKind.INTERPRETER, "3.99")
    (file,) = artefact.files
    assert "libpython3.99.so.1.0" in file.requirement.sonames, "it does not find its library from there"


def test_a_program_that_embeds_an_interpreter_is_a_program(tmp_path: Path) -> None:
    python = _with_ssl(tmp_path)
    embedder = compile_c(python.folder / "bin/embedder", EMBEDS, "-rdynamic")
    artefact, warnings = read(embedder)
    assert (artefact.kind, artefact.version, warnings) == (ArtefactKind.EXECUTABLE, None, [])
    assert [file.path for file in artefact.files] == [str(embedder)]


def test_modules_for_another_machine_are_not_its_own(tmp_path: Path) -> None:
    python = make_python(tmp_path)
    foreign = Path(__file__).parents[2] / "fixtures/elf/aarch64-linux-gnu/libfixture.so.1"
    shutil.copy(foreign, python.dynload / "_x.cpython-399-x86_64-linux-gnu.so")
    artefact, _ = read(python.executable)
    assert {file.role for file in artefact.files} == {FileRole.EXECUTABLE, FileRole.LIBRARY}


def test_a_real_python_build_standalone_by_its_program_alone_leaves_nothing_unknown() -> None:
    prefix = pbs_python()
    if prefix is None:
        pytest.skip("this machine has no python-build-standalone")
    given = next(path for path in sorted((prefix / "bin").glob("python3.*")) if path.name[-1].isdigit())
    artefact, warnings = read(given)
    assert (artefact.kind, warnings) == (ArtefactKind.INTERPRETER, [])
    (library,) = (file for file in artefact.files if file.role is FileRole.LIBRARY and "libpython" in file.path)
    assert file_of(artefact, str(given)).uses == (library.path,)
    for release in ("debian:11", "debian:12", "debian:13"):
        verdict = check_artefact(artefact, offer_of(find_distribution(load_snapshot(), release), "x86_64"))
        assert (verdict.state, verdict.reasons) == (PortabilityState.RUNS, ()), release


def test_a_module_of_another_package_is_not_its_own_but_one_for_tls_counts(tmp_path: Path) -> None:
    python = make_python(tmp_path)
    folder = f"{python.prefix}/lib/python3.99/lib-dynload"
    own, tk, ssl = (f"{folder}/{name}.cpython-399-x86_64-linux-gnu.so" for name in ("_json", "_tkinter", "_ssl"))
    python_source, other = f"Source: python3.99\n{DEBIAN}", f"Source: others\n{DEBIAN}"
    add_dpkg(
        tmp_path,
        {
            "python3.99-minimal": ("3.99.1-1", python_source, (python.path,)),
            "libpython3.99-stdlib": ("3.99.1-1", python_source, (own,)),
            "python3-tk": ("3.99.1-1", other, (tk,)),
            "python3-ssl": ("3.99.1-1", other, (ssl,)),
        },
    )
    with Root.open(str(tmp_path)) as root:
        packages = PackageDatabase(root, Skips(), ("debian",))
        layout = Layout(python.prefix, python.path, None, None, "3.99", modules=(own, ssl, tk), tls_modules=(ssl,))
        assert own_modules(layout, packages.owner(python.path), packages) == (own, ssl)
        assert own_modules(layout, None, packages) == (own, ssl, tk), "what was built by hand has no package"


@pytest.mark.parametrize(("version", "modules"), [("5.99.1", 1), ("5.98.0", 0)])
def test_a_perl_does_not_take_the_modules_of_another_perl(version: str, modules: int, tmp_path: Path) -> None:
    prefix = f"{tmp_path}/opt/perl"
    make_perl(Path("/"), prefix)
    (configuration,) = Path(prefix).rglob("Config.pm")
    configuration.write_text(configuration.read_text().replace("5.99.1", version))
    copied = tmp_path / "perl"
    shutil.copy(f"{prefix}/bin/perl", copied)
    artefact, _ = read(copied)
    assert (artefact.implementation, artefact.version) == (Implementation.PERL, "5.99.1")
    assert sum(file.role is FileRole.MODULE for file in artefact.files) == modules


def test_a_damaged_module_is_told(tmp_path: Path) -> None:
    python = _with_ssl(tmp_path)
    module = next(python.dynload.iterdir())
    module.write_bytes(module.read_bytes()[:100])
    artefact, warnings = read(python.executable)
    assert artefact.kind is ArtefactKind.INTERPRETER
    (words,) = warnings
    assert str(module) in words
    assert words.startswith("passed over, truncated: ")


def test_the_file_and_the_build_that_a_scan_makes_of_it_are_judged_alike(tmp_path: Path) -> None:
    python = _with_ssl(tmp_path)
    _, build = only_install(scan_folder(tmp_path), python.path)
    artefact, _ = read(python.executable)
    assert build is not None
    for offer in (_offer(), _offer("libssl.so.9")):
        mine, theirs = check_artefact(artefact, offer), check_build(build, offer)
        assert mine.state is theirs.state
        assert [(one.kind, one.needs, one.module) for one in mine.degraded] == [
            (one.kind, one.needs, one.module) for one in theirs.degraded
        ]


def test_a_tls_module_that_others_added_is_the_files_and_not_the_builds(tmp_path: Path) -> None:
    """A build is what its builder made; whoever takes the file along wants to know whether TLS will be there."""
    python = make_python(tmp_path)
    ssl, crypto = make_crypto(tmp_path / "usr/lib/x86_64-linux-gnu")
    added = python.add_module(ssl, f"-Wl,-rpath-link,{crypto.parent}")
    added.rename(added.with_name("_ssl.other-build.so"))
    _, build = only_install(scan_folder(tmp_path), python.path)
    artefact, _ = read(python.executable)
    assert build is not None
    assert check_build(build, _offer()).degraded == ()
    assert _missing(artefact, _offer()) == [("_ssl.other-build", ReasonKind.SONAME, "libssl.so.9", True)]
