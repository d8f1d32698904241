"""Who built an interpreter and what installed it, in the layouts that tools document.

The layouts of conda, nix, snap, hatch and the like are built from a compiler's files: no sample of them is on the
machines that run these tests. Wheels that ship an interpreter, and uv's own folders, are real ones in other tests.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from libcensus.agent.host import Root
from libcensus.agent.interpreters.conda import find_record, is_cached_package
from libcensus.agent.interpreters.installer import find_installer
from libcensus.agent.interpreters.nix import store_name
from libcensus.agent.interpreters.pypi import find_wheel
from libcensus.agent.interpreters.snap import find_snap
from libcensus.facts.vocabulary import Installer, Linkage, Provider
from tests.agent.roots import (
    Python,
    add_dpkg,
    make_crypto,
    make_python,
    needs_gcc,
    only_install,
    scan_folder,
    skips_of,
)

if TYPE_CHECKING:
    from pathlib import Path

PBS = "\"'--prefix=/install' '--with-openssl=/tools/deps' '--enable-optimizations'\""
STORE = "/nix/store/0c9v3s1h0d1qy2wnx7s0mz8hf3pjv4ka-python3-3.99.1"


def add_conda_record(python: Python, *, name: str = "python", build: str = "h1234_0_cpython", **fields: object) -> Path:
    """Write the record that conda keeps of a package, as conda itself writes it."""
    folder = python.folder / "conda-meta"
    folder.mkdir(exist_ok=True)
    record = {
        "build": build,
        "build_number": 0,
        "channel": "https://conda.anaconda.org/conda-forge/linux-64",
        "files": ["bin/python", "bin/python3.99", "lib/libpython3.99.so.1.0"],
        "name": name,
        "version": "3.99.1",
        **fields,
    }
    path = folder / f"{name}-3.99.1-{build}.json"
    path.write_text(json.dumps(record, indent=2))
    (folder / "history").write_text("==> 2026-01-01 00:00:00 <==\n")
    return path


# --- conda -------------------------------------------------------------------------------------------------------


@needs_gcc
@pytest.mark.parametrize(
    "prefix",
    [
        pytest.param("/opt/conda", id="base environment"),
        pytest.param("/home/u/miniconda3/envs/work", id="named environment"),
        pytest.param("/home/u/project/.pixi/envs/default", id="pixi"),
        pytest.param("/home/u/micromamba/envs/x", id="micromamba"),
    ],
)
def test_conda_environment_is_a_base_with_its_build_and_own_library(tmp_path: Path, prefix: str) -> None:
    python = make_python(tmp_path, prefix, configured="/feedstock/prefix")
    ssl, _ = make_crypto(python.folder / "lib")
    # conda writes RPATH, which counts for what a library needs in turn, and not RUNPATH.
    python.add_module(ssl, "-Wl,--disable-new-dtags,-rpath,$ORIGIN/../..")
    record = add_conda_record(python)
    install, build = only_install(scan_folder(tmp_path), python.path)
    assert build is not None
    assert (build.provider, build.provider_build) == (Provider.CONDA, "h1234_0_cpython")
    assert (install.installer, install.crypto.linkage) == (Installer.CONDA, Linkage.BUNDLED)
    assert install.crypto.path == f"{prefix}/lib/libcrypto.so.9"
    proofs = [item for item in install.evidence if item.subject == "provider"]
    assert [item.file for item in proofs] == [f"{prefix}/conda-meta/{record.name}"]
    assert "channel: https://conda.anaconda.org/conda-forge/linux-64" in proofs[0].detail


@needs_gcc
def test_conda_claims_only_what_a_record_lists(tmp_path: Path) -> None:
    python = make_python(tmp_path, "/opt/conda")
    add_conda_record(python, files=["bin/other"])
    install, build = only_install(scan_folder(tmp_path), python.path)
    assert build is not None
    assert (build.provider, install.installer) == (Provider.UNKNOWN, Installer.UNKNOWN)


@needs_gcc
def test_python_that_pip_brought_into_a_conda_environment_is_no_condas(tmp_path: Path) -> None:
    conda = make_python(tmp_path, "/opt/conda")
    add_conda_record(conda)
    with Root.open(str(tmp_path)) as root:
        assert find_record(root, "/opt/conda", "/opt/conda/bin/node") is None
        found = find_record(root, "/opt/conda", "/opt/conda/bin/python3.99")
    assert found is not None
    assert (found.name, found.version, found.build) == ("python", "3.99.1", "h1234_0_cpython")


@needs_gcc
def test_environment_made_on_conda_follows_it(tmp_path: Path) -> None:
    python = make_python(tmp_path, "/opt/conda/envs/py3.99.1")
    add_conda_record(python)
    binaries = tmp_path / "env/bin"
    binaries.mkdir(parents=True)
    (binaries / "python").symlink_to(python.path)
    (tmp_path / "env/pyvenv.cfg").write_text(f"home = {python.prefix}/bin\nversion = 3.99.0\n")
    env, _ = only_install(scan_folder(tmp_path), "/env/bin/python")
    assert env.state == "follows"
    told = [item.detail for item in env.evidence if item.subject == "recorded_version"]
    assert told == ["made with 3.99.0; its interpreter is 3.99.1 now"]


def test_package_in_condas_cache_is_told_from_an_environment(tmp_path: Path) -> None:
    package = tmp_path / "opt/conda/pkgs/python-3.99.1-h1234_0_cpython"
    (package / "info").mkdir(parents=True)
    (package / "info/index.json").write_text("{}")
    with Root.open(str(tmp_path)) as root:
        assert not is_cached_package(root, "/opt/conda/pkgs/python-3.99.1-h1234_0_cpython")
        (package / "info/repodata_record.json").write_text("{}")
        assert is_cached_package(root, "/opt/conda/pkgs/python-3.99.1-h1234_0_cpython")
        assert not is_cached_package(root, "/opt/conda")


@needs_gcc
@pytest.mark.parametrize(
    ("prefix", "marks", "skips"),
    [
        ("/opt/conda/pkgs/python-3.99.1-h_0", ("{}/info/index.json", "/opt/conda/pkgs/urls.txt"), {"package-cache": 1}),
        ("/home/u/.cache/uv/archive-v0/x1/runtime", ("/home/u/.cache/uv/CACHEDIR.TAG",), {"package-cache": 1}),
        ("/home/u/archive-v0/x1/runtime", (), {}),
        (
            "/c/archive-v0/x1/lib/python3.12/site-packages/r",
            ("/c/CACHEDIR.TAG", "/c/archive-v0/x1/pyvenv.cfg"),
            {},
        ),
    ],
    ids=["conda's", "uv's", "no cache", "environment of uvx"],
)
def test_package_in_a_cache_is_no_install(
    tmp_path: Path, prefix: str, marks: tuple[str, ...], skips: dict[str, int]
) -> None:
    make_python(tmp_path, prefix)
    for mark in marks:
        file = tmp_path / mark.format(prefix).lstrip("/")
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text("")
    found = scan_folder(tmp_path)
    assert skips_of(found, "interpreters") == skips
    assert len(found.installs.installs) == (0 if skips else 1)


@pytest.mark.parametrize("content", [b"", b"{", b"\xff\xfe" * 50, b'{"files": ["bin/python3.99"'])
def test_damaged_record_is_no_error(tmp_path: Path, content: bytes) -> None:
    folder = tmp_path / "opt/conda/conda-meta"
    folder.mkdir(parents=True)
    (folder / "python-3.99.1-h_0.json").write_bytes(content)
    with Root.open(str(tmp_path)) as root:
        found = find_record(root, "/opt/conda", "/opt/conda/bin/python3.99")
    assert (found is None) is (b"python3.99" not in content)


# --- nix and snap ------------------------------------------------------------------------------------------------


@needs_gcc
def test_store_path_of_nix(tmp_path: Path) -> None:
    python = make_python(tmp_path, STORE, version=None)
    install, build = only_install(scan_folder(tmp_path), python.path)
    assert build is not None
    assert (build.provider, build.version, install.installer) == (Provider.NIX, "3.99.1", Installer.NIX)
    assert build.provider_build == STORE.rpartition("/")[2]


@pytest.mark.parametrize(
    ("path", "name"),
    [
        (f"{STORE}/bin/python3", STORE.rpartition("/")[2]),
        (f"/home/u/.local/share/nix/root{STORE}/bin/python3", STORE.rpartition("/")[2]),
        ("/nix/store/short-python3/bin/python3", None),
        ("/nix/store/eeeeeeeeeeeeeeeeeeeeeeeeeeeeeeee-x/bin/python3", None),
        ("/home/u/nix/python3", None),
    ],
)
def test_names_of_store_paths(path: str, name: str | None) -> None:
    assert store_name(path) == name


@needs_gcc
def test_python_in_a_snap(tmp_path: Path) -> None:
    python = make_python(tmp_path, "/snap/tool/123/usr", configured="/usr")
    (tmp_path / "snap/tool/123/meta").mkdir()
    (tmp_path / "snap/tool/123/meta/snap.yaml").write_text("name: tool\nversion: '1.2-3'\nbase: core22\n")
    (tmp_path / "snap/tool/current").symlink_to("123")
    install, build = only_install(scan_folder(tmp_path), python.path)
    assert build is not None
    assert (build.provider, build.provider_build, install.installer) == (
        Provider.SNAP,
        "tool 1.2-3 (123)",
        Installer.SNAP,
    )


@pytest.mark.parametrize(
    ("path", "text", "expected"),
    [
        ("/snap/a/x1/bin/python3", "name: a\nversion: 1\n", ("a", "x1", "1")),
        ("/var/lib/snapd/snap/a/7/bin/python3", 'name: a\nversion: "2.0"\n', ("a", "7", "2.0")),
        ("/snap/a/7/bin/python3", "name: a\n", ("a", "7", None)),
        ("/snap/a/7/bin/python3", "nothing: here\n", None),
        ("/home/snap/a/7/bin/python3", "name: a\n", None),
        ("/snap/a/current/bin/python3", "name: a\n", None),
    ],
)
def test_description_of_a_snap(tmp_path: Path, path: str, text: str, expected: tuple[str, ...] | None) -> None:
    folder = tmp_path / path.removeprefix("/").removesuffix("/bin/python3") / "meta"
    folder.mkdir(parents=True)
    (folder / "snap.yaml").write_text(text)
    with Root.open(str(tmp_path)) as root:
        found = find_snap(root, path)
    assert (None if found is None else found[:3]) == expected


# --- python-build-standalone by its installers ------------------------------------------------------------------


@needs_gcc
@pytest.mark.parametrize(
    ("prefix", "installer"),
    [
        ("/home/u/.local/share/uv/python/cpython-3.99.1-linux-x86_64-gnu", Installer.UV),
        ("/var/pythons/cpython-3.99.1-linux-x86_64-gnu", Installer.UV),
        ("/home/u/.rye/py/cpython@3.99.1", Installer.RYE),
        ("/home/u/.rye/py/cpython@3.99.1/install", Installer.RYE),
        ("/home/u/.local/share/mise/installs/python/3.99.1", Installer.MISE),
        ("/home/u/.asdf/installs/python/3.99.1", Installer.ASDF),
        ("/home/u/.local/share/pipx/py/3.99", Installer.PIPX),
        ("/home/u/.pyenv/versions/3.99.1", Installer.PYENV),
    ],
)
def test_standalone_builds_by_the_folder_of_their_installer(tmp_path: Path, prefix: str, installer: Installer) -> None:
    python = make_python(tmp_path, prefix, arguments=PBS, configured="/install")
    install, build = only_install(scan_folder(tmp_path), python.path)
    assert build is not None
    assert (build.provider, install.installer) == (Provider.PBS, installer)


@needs_gcc
def test_hatch_keeps_the_address_of_the_download(tmp_path: Path) -> None:
    python = make_python(tmp_path, "/data/pythons/3.99/python", arguments=PBS, configured="/install")
    source = (
        "https://github.com/astral-sh/python-build-standalone/releases/download/20290107/"
        "cpython-3.99.1%2B20290107-x86_64-unknown-linux-gnu-install_only.tar.gz"
    )
    record = python.folder.parent / "hatch-dist.json"
    record.write_text(json.dumps({"source": source, "python_path": "python/bin/python3"}))
    install, build = only_install(scan_folder(tmp_path), python.path)
    assert build is not None
    assert (build.provider, build.provider_build, install.installer) == (Provider.PBS, "20290107", Installer.HATCH)
    assert "/data/pythons/3.99/hatch-dist.json" in [
        item.file for item in install.evidence if item.subject == "provider_build"
    ]


@needs_gcc
@pytest.mark.parametrize("text", ["", "[]", '{"source": 3}', '{"source": "https://example.com/20290107/"}', "[" * 9999])
def test_other_record_of_hatchs_name_tells_no_build(tmp_path: Path, text: str) -> None:
    python = make_python(tmp_path, "/data/pythons/3.99/python", arguments=PBS, configured="/install")
    (python.folder.parent / "hatch-dist.json").write_text(text)
    _, build = only_install(scan_folder(tmp_path), python.path)
    assert build is not None
    assert build.provider_build is None


@needs_gcc
def test_build_that_says_itself_that_it_is_standalone(tmp_path: Path) -> None:
    python = make_python(tmp_path, "/data/py", arguments="'',\n 'PYTHON_BUILD_STANDALONE': 1", configured="/x")
    _, build = only_install(scan_folder(tmp_path), python.path)
    assert build is not None
    assert build.provider is Provider.PBS


@pytest.mark.parametrize(
    ("prefix", "tool"),
    [
        ("/home/u/.nvm/versions/node/v20.11.0", "nvm"),
        ("/home/u/.local/share/fnm/node-versions/v20.11.0/installation", "fnm"),
        ("/home/u/.volta/tools/image/node/20.11.0", "Volta"),
        ("/usr/local/n/versions/node/20.11.0", "n"),
        ("/home/u/.rbenv/versions/3.3.0", "rbenv"),
        ("/usr/local/rvm/rubies/ruby-3.3.0", "RVM"),
        ("/home/u/perl5/perlbrew/perls/perl-5.38.0", "perlbrew"),
        ("/home/u/.local/share/pdm/python/cpython@3.12.6", "PDM"),
        ("/home/u/.cache/pypoetry/python/cpython@3.12.6", "Poetry"),
        ("/c/external/rules_python++python+python_3_12_x86_64-unknown-linux-gnu", "Bazel's rules_python"),
    ],
)
def test_tools_without_a_word_of_their_own_are_named_in_the_evidence(tmp_path: Path, prefix: str, tool: str) -> None:
    (tmp_path / "home/u/.rbenv/shims").mkdir(parents=True)
    with Root.open(str(tmp_path)) as root:
        installer, (proof,) = find_installer(root, prefix, f"{prefix}/bin/x", None)
    assert installer is Installer.UNKNOWN
    assert proof.detail.endswith(f" is one of {tool}")


# --- source ------------------------------------------------------------------------------------------------------


@needs_gcc
@pytest.mark.parametrize(
    ("prefix", "provider"),
    [
        ("/home/u/.asdf/installs/python/3.99.1", Provider.SOURCE),
        ("/home/u/.local/share/mise/installs/python/3.99.1", Provider.SOURCE),
        ("/home/u/tools/python", Provider.UNKNOWN),
    ],
)
def test_what_version_managers_compile_is_built_from_source(tmp_path: Path, prefix: str, provider: Provider) -> None:
    python = make_python(tmp_path, prefix)
    _, build = only_install(scan_folder(tmp_path), python.path)
    assert build is not None
    assert build.provider is provider


# --- wheels ------------------------------------------------------------------------------------------------------


def add_wheel(packages: Path, files: tuple[str, ...], *, installer: str | None = "pip") -> Path:
    """Write the records of an installed wheel."""
    folder = packages / "some_runtime-1.2.3.dist-info"
    folder.mkdir(parents=True)
    (folder / "RECORD").write_text("".join(f"{file},sha256=x,1\n" for file in files))
    if installer is not None:
        (folder / "INSTALLER").write_text(f"{installer}\n")
    return folder


@needs_gcc
@pytest.mark.parametrize(
    ("installer", "expected"), [("pip", Installer.PIP), ("uv", Installer.UV), (None, Installer.PIP)]
)
def test_python_that_a_wheel_ships(tmp_path: Path, installer: str | None, expected: Installer) -> None:
    packages = "/env/lib/python3.12/site-packages"
    python = make_python(tmp_path, f"{packages}/some_runtime/python", configured="/build")
    add_wheel(tmp_path / packages[1:], ("a.py", "some_runtime/python/bin/python3.99"), installer=installer)
    install, build = only_install(scan_folder(tmp_path), python.path)
    assert build is not None
    assert (build.provider, build.provider_build) == (Provider.PYPI, "some_runtime 1.2.3")
    assert install.installer is expected
    assert install.kind == "base"


@needs_gcc
def test_file_that_no_record_lists_is_no_wheels(tmp_path: Path) -> None:
    packages = "/env/lib/python3.12/site-packages"
    python = make_python(tmp_path, f"{packages}/some_runtime/python", configured="/build")
    add_wheel(tmp_path / packages[1:], ("some_runtime/python/bin/python3.99.pyc",))
    _, build = only_install(scan_folder(tmp_path), python.path)
    assert build is not None
    assert build.provider is Provider.UNKNOWN


def test_program_that_a_wheel_put_beside_the_interpreter(tmp_path: Path) -> None:
    add_wheel(tmp_path / "env/lib/python3.12/site-packages", ("../../../bin/node",))
    with Root.open(str(tmp_path)) as root:
        found = find_wheel(root, "/env/bin/node")
        assert find_wheel(root, "/env/bin/python3") is None
    assert found is not None
    assert (found.name, found.version, found.installer) == ("some_runtime", "1.2.3", "pip")


# --- packages ----------------------------------------------------------------------------------------------------


@needs_gcc
def test_package_counts_before_where_a_build_lies_and_after_what_it_is(tmp_path: Path) -> None:
    python = make_python(tmp_path, "/opt/python", arguments=PBS, configured="/install")
    vendor = "Maintainer: Some Company <https://example.com/>\n"
    add_dpkg(tmp_path, {"product": ("528.0.0-0", vendor, (python.path,))})
    install, build = only_install(scan_folder(tmp_path), python.path)
    assert build is not None
    assert (build.provider, install.installer) == (Provider.PBS, Installer.DPKG)
    assert install.package is not None
    assert install.package.name == "product"
