"""The JSON of a scan read back: the same facts as the scan had, and a clear word for everything that is no scan."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from libcensus.agent.document import scan_document
from libcensus.agent.scan import Scan
from libcensus.cli.errors import ArgumentError
from libcensus.cli.scanfile import read_scan_file
from libcensus.collector.posture.offer import pythons_of
from libcensus.facts.interpreter import BuildFile, Install, InstallSet
from libcensus.facts.requirement import LibraryNeed
from libcensus.facts.vocabulary import FileRole, Implementation, InstallKind, LoaderKind, Provider
from tests.collector.metrics import fleet
from tests.protos import strategies

if TYPE_CHECKING:
    from pathlib import Path

    from libcensus.facts.interpreter import Build
    from libcensus.facts.platform import Platform


def scan_of(platform: Platform, builds: list[Build], root: str = "/") -> Scan:
    """Return a scan with an install of each build, an environment beside it, and another root's install."""
    installs: list[Install] = []
    for number, build in enumerate(builds):
        one = replace(
            fleet.install(f"/opt/{number}/bin/python", build, fleet.WITHOUT, root=root),
            implementation=build.implementation,
        )
        installs += [
            one,
            replace(one, path=f"/srv/{number}/bin/python", kind=InstallKind.VENV, base=one.path),
            replace(one, root=f"{root.rstrip('/')}/srv/chroot{number}"),
        ]
    return Scan(
        root,
        fleet.Machine("web-1").host,
        platform,
        InstallSet(tuple(sorted(installs, key=lambda one: (one.root, one.path)))),
        {fleet.digest_of(build): build for build in builds},
        fleet.PROBES,
        fleet.NOON,
        1.5,
    )


def write(folder: Path, document: object) -> str:
    path = folder / "host.json"
    path.write_text(json.dumps(document), encoding="ascii")
    return str(path)


def python_build(
    implementation: Implementation, version: str | None, flags: frozenset[str], kind: LoaderKind, soname: str | None
) -> Build:
    """Return a build whose executable has a loader of this kind, and perhaps a library."""
    plain = fleet.build("3.12.1", Provider.PYENV, "2.17")
    need = plain.files[0].requirement
    assert need is not None
    need = replace(need, loader_kind=kind)
    library = replace(need, loader=None, needs=(LibraryNeed("libm.so.6", ("GLIBC_2.2.5",)),), sonames=("libm.so.6",))
    files = [replace(plain.files[0], requirement=need)]
    if soname is not None:
        files.append(BuildFile("lib/x", FileRole.LIBRARY, "00" * 32, 10, soname, replace(library, raised_by=())))
    return replace(
        plain, implementation=implementation, version=version, flags=tuple(sorted(flags)), files=tuple(files)
    )


PYTHON_BUILDS = st.builds(
    python_build,
    st.sampled_from(Implementation),
    st.sampled_from(["3.12.1", "3.14.0rc1", "7.3.17", None]),
    st.frozensets(st.sampled_from(["debug", "free-threaded", "pgo", "python-3.10.14", "shared"])),
    st.sampled_from([LoaderKind.GLIBC, LoaderKind.MUSL, LoaderKind.NONE]),
    st.sampled_from([None, "libpython3.12.so.1.0"]),
)


@given(
    platform=strategies.platforms,
    builds=st.lists(PYTHON_BUILDS, max_size=4, unique_by=fleet.digest_of),
    root=st.sampled_from(["/", "/mnt/image"]),
)
def test_what_a_scan_prints_is_read_back_as_the_same_facts(
    tmp_path_factory: pytest.TempPathFactory, platform: Platform, builds: list[Build], root: str
) -> None:
    scan = scan_of(platform, builds, root)
    read = read_scan_file(write(tmp_path_factory.mktemp("scan"), scan_document(scan)))
    assert read.hostname == "web-1"
    assert read.platform == platform
    assert read.pythons == pythons_of(scan.installs, scan.builds, root)


def document(**changes: Any) -> dict[str, Any]:
    value = json.loads(json.dumps(scan_document(scan_of(fleet.platform(), [fleet.DISTRO_311]))))
    return {**value, **changes}


def without(key: str) -> dict[str, Any]:
    return {name: value for name, value in document().items() if name != key}


def within(key: str, **changes: Any) -> dict[str, Any]:
    value = document()
    part = value[key] if isinstance(value[key], dict) else value[key][0]
    part.update(changes)
    return value


DAMAGED: dict[str, tuple[object, str]] = {
    "a list": ([document()], "holds JSON, but no scan: it must be one object"),
    "another object": ({"a": 1}, "holds JSON, but no scan: schema_version is missing"),
    "a later version": (document(schema_version=2), "schema_version is 2, and this version of libcensus reads 1"),
    "no platform": (without("platform"), "platform is missing"),
    "a platform that is none": (document(platform=None), "platform is null, and not an object"),
    "no libc": (within("platform", libc="glibc"), 'platform.libc is "glibc", and not an object'),
    "no sonames": (within("platform", sonames={}), "platform.sonames is {}, and not a list"),
    "a soname that is none": (within("platform", sonames=["a", 3]), "platform.sonames[1] is 3, and not a text"),
    "versions that are none": (within("platform", libraries={"a": "b"}), 'platform.libraries.a is "b", and not a list'),
    "an impossible level": (within("platform", x86_64_level=9), "x86_64_level: "),
    "a level that is none": (within("platform", x86_64_level=True), "platform.x86_64_level is true, and not a number"),
    "a relative loader": (within("platform", loaders=["ld.so"]), "loaders: "),
    "no host": (without("host"), "host is missing"),
    "no installs": (without("installs"), "installs is missing"),
    "an install that is none": (document(installs=[1]), "installs[0] is 1, and not an object"),
    "an install without flags": (within("installs", flags=None), "installs[0].flags is null, and not a list"),
    "no root": (without("root"), "root is missing"),
}


@pytest.mark.parametrize(("content", "told"), DAMAGED.values(), ids=DAMAGED)
def test_what_is_no_scan_is_refused_with_file_place_and_remedy(tmp_path: Path, content: object, told: str) -> None:
    path = write(tmp_path, content)
    with pytest.raises(ArgumentError) as raised:
        read_scan_file(path)
    message = str(raised.value)
    assert message.startswith(path)
    assert told in message
    assert "make one with `libcensus scan --output json`" in message


TEXTS: dict[str, tuple[bytes, str]] = {
    "nothing": (b"", " is empty; "),
    "text": (b"PATH ARCH\n/usr/bin x86_64\n", " is not JSON: Expecting value at line 1, column 1; "),
    "the first half": (json.dumps(document(), indent=1).encode()[:2000], " is not JSON: "),
    "another encoding": (b'{"a": "\xff"}', " is not JSON: no text in a Unicode encoding"),
    "very deep": (b"[" * 200_000, " is not JSON: nested too deeply"),
}


@pytest.mark.parametrize(("content", "told"), TEXTS.values(), ids=TEXTS)
def test_what_is_no_json_is_refused_with_file_place_and_remedy(tmp_path: Path, content: bytes, told: str) -> None:
    path = tmp_path / "host.json"
    path.write_bytes(content)
    with pytest.raises(ArgumentError) as raised:
        read_scan_file(str(path))
    assert str(raised.value).startswith(f"{path}{told}")
    assert "make one with `libcensus scan --output json`" in str(raised.value)


def test_a_file_that_cannot_be_read_is_told(tmp_path: Path) -> None:
    with pytest.raises(ArgumentError, match="cannot be read: Is a directory"):
        read_scan_file(str(tmp_path))


def test_words_of_later_versions_are_unknown(tmp_path: Path) -> None:
    content = within("installs", implementation="snakepy")
    content["platform"]["libc"]["family"] = "newlib"
    read = read_scan_file(write(tmp_path, content))
    assert read.pythons == frozenset()
    assert read.platform.libc_family == "unknown"


def test_a_scan_of_before_tells_no_libraries_of_its_builds(tmp_path: Path) -> None:
    content = document()
    for install in content["installs"]:
        del install["requirement"]["brought"]
    assert {python.version for python in read_scan_file(write(tmp_path, content)).pythons} == {"3.11.2"}
