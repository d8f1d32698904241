"""What simulated systems offer, against the libraries of the machine that runs the tests."""

from __future__ import annotations

import platform as machine
from pathlib import Path

import pytest
from elftools.elf.elffile import ELFFile
from elftools.elf.gnuversions import GNUVerDefSection

from libcensus.collector.advisories.snapshot import load_snapshot
from libcensus.collector.simulation.systems import OpensslPackage, glibc_versions, known_systems, platform_of
from libcensus.facts.requirement import glibc_number

SYSTEMS = {known.system.name: known for known in known_systems(load_snapshot())}
NEWEST = OpensslPackage("3.5.7-1", "3.5.7")


def defined_here(soname: str) -> set[str]:
    """Return what a library of this machine defines; nothing where it is not there."""
    folders = [f"/usr/lib/{machine.machine()}-linux-gnu", "/usr/lib64", f"/lib/{machine.machine()}-linux-gnu"]
    file = next((path for folder in folders if (path := Path(folder) / soname).exists()), None)
    if file is None:
        return set()
    with file.open("rb") as stream:
        section = ELFFile(stream).get_section_by_name(".gnu.version_d")
        assert isinstance(section, GNUVerDefSection)
        return {next(iter(names)).name for _, names in section.iter_versions()} - {soname}


@pytest.mark.parametrize(
    "soname",
    ["libc.so.6", "libm.so.6", "libpthread.so.0", "libdl.so.2", "librt.so.1", "libutil.so.1", "libgcc_s.so.1"],
)
def test_a_library_defines_what_that_of_this_machine_does(soname: str) -> None:
    own = [number for version in defined_here("libc.so.6") if (number := glibc_number(version)) is not None]
    if not own or machine.machine() not in {"x86_64", "aarch64"}:
        pytest.skip("no glibc of an architecture that is simulated")
    # The newest simulated system that is not newer than this machine.
    known = max(
        (one for one in SYSTEMS.values() if one.glibc is not None and (2, one.glibc) <= max(own)),
        key=lambda one: one.glibc or 0,
    )
    made = platform_of(known, machine.machine(), None, NEWEST, known.system.kernel)
    (simulated,) = [library for library in made.libraries if library.soname == soname]
    assert simulated.versions
    assert set(simulated.versions) <= defined_here(soname)
    if soname == "libc.so.6" and (2, known.glibc) == max(own):
        numbered = {version for version in defined_here(soname) if glibc_number(version) is not None}
        assert {version for version in simulated.versions if glibc_number(version) is not None} == numbered


@pytest.mark.parametrize(
    ("arch", "minor", "wanted", "versions"),
    [
        ("x86_64", 36, ["2.2.5", "2.34", "2.38"], ("GLIBC_2.2.5", "GLIBC_2.34")),
        ("aarch64", 36, ["2.2.5", "2.14", "2.17", "2.34"], ("GLIBC_2.17", "GLIBC_2.34")),
        ("x86_64", 17, ["2.17", "2.18"], ("GLIBC_2.17",)),
        ("aarch64", 17, [], ()),
    ],
)
def test_versions_end_at_the_hosts_glibc_and_begin_at_the_architectures(
    arch: str, minor: int, wanted: list[str], versions: tuple[str, ...]
) -> None:
    assert glibc_versions(arch, wanted, minor) == versions


@pytest.mark.parametrize(
    ("version", "generation"), [("1.0.2k", "10"), ("1.1.1w", "1.1"), ("3.0.2", "3"), ("3.5.7", "3"), ("4.0.1", "4")]
)
def test_a_soname_ends_with_the_generation_of_openssl(version: str, generation: str) -> None:
    assert OpensslPackage("1", version).generation == generation


@pytest.mark.parametrize("name", sorted(SYSTEMS))
@pytest.mark.parametrize("arch", ["x86_64", "aarch64"])
def test_every_system_offers_a_libc_of_its_version_and_a_loader(name: str, arch: str) -> None:
    known = SYSTEMS[name]
    made = platform_of(known, arch, None, known.openssl[0], known.system.kernel)
    assert (made.glibc is None) == (known.glibc is None)
    assert (made.libc_family, made.libc_version) == (known.libc_family, known.libc_version)
    assert len(made.loaders) == 1
    sonames = {library.soname for library in made.libraries}
    assert f"libssl.so.{known.openssl[0].generation}" in sonames
    if known.glibc is not None:
        assert made.glibc is not None
        # glibc 2.37 and 2.40 gave libc no new symbol.
        assert 0 <= known.glibc - int(made.glibc.split(".")[1]) <= 1
