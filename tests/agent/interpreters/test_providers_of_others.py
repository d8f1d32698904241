"""Who built PyPys, Rubies, Perls and Node.js, and what installed them, in the layouts that tools document."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING

import pytest

from libcensus.facts.vocabulary import Installer, Provider
from tests.agent.interpreters.stand_ins import make_node, make_perl, make_pypy, make_ruby
from tests.agent.roots import needs_gcc, only_install, scan_folder

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

RELEASE = "'node_release_urlbase': 'https://nodejs.org/download/release/'"


@needs_gcc
@pytest.mark.parametrize(
    ("make", "prefix", "expected"),
    [
        pytest.param(
            make_pypy,
            "/home/u/.local/share/uv/python/pypy-3.99.16-linux-x86_64-gnu",
            (Provider.UPSTREAM, Installer.UV),
            id="PyPy of uv",
        ),
        pytest.param(
            make_pypy,
            "/home/u/.pyenv/versions/pypy3.99-7.98.1",
            (Provider.UPSTREAM, Installer.PYENV),
            id="PyPy of pyenv",
        ),
        pytest.param(
            make_pypy, "/opt/pypy3.99-v7.98.1-linux64", (Provider.UPSTREAM, Installer.UNKNOWN), id="PyPy unpacked"
        ),
        pytest.param(make_pypy, "/opt/pypy", (Provider.UNKNOWN, Installer.UNKNOWN), id="PyPy in a folder of its own"),
        pytest.param(
            make_ruby, "/home/u/.rbenv/versions/9.8.1", (Provider.SOURCE, Installer.UNKNOWN), id="Ruby of rbenv"
        ),
        pytest.param(
            make_ruby, "/home/u/.asdf/installs/ruby/9.8.1", (Provider.SOURCE, Installer.ASDF), id="Ruby of asdf"
        ),
        pytest.param(make_ruby, "/home/u/ruby", (Provider.UNKNOWN, Installer.UNKNOWN), id="Ruby in a home folder"),
        pytest.param(
            make_perl,
            "/home/u/perl5/perlbrew/perls/perl-5.99.1",
            (Provider.SOURCE, Installer.UNKNOWN),
            id="Perl of perlbrew",
        ),
        pytest.param(
            make_node,
            "/home/u/.local/share/mise/installs/node/99.8.1",
            (Provider.UNKNOWN, Installer.MISE),
            id="Node.js",
        ),
    ],
)
def test_providers_and_installers(
    tmp_path: Path, make: Callable[[Path, str], str], prefix: str, expected: tuple[Provider, Installer]
) -> None:
    (tmp_path / "home/u/.rbenv/shims").mkdir(parents=True)
    path = make(tmp_path, prefix)
    install, build = only_install(scan_folder(tmp_path), path)
    assert build is not None
    assert (build.provider, install.installer) == expected


@needs_gcc
@pytest.mark.parametrize(
    ("prefix", "installer", "tool"),
    [
        ("/home/u/.nvm/versions/node/v99.8.1", Installer.UNKNOWN, "nvm"),
        ("/home/u/.local/share/fnm/node-versions/v99.8.1/installation", Installer.UNKNOWN, "fnm"),
        ("/home/u/.volta/tools/image/node/99.8.1", Installer.UNKNOWN, "Volta"),
        ("/home/u/.asdf/installs/nodejs/99.8.1", Installer.ASDF, ""),
    ],
)
def test_release_of_nodejs_that_a_version_manager_unpacked(
    tmp_path: Path, prefix: str, installer: Installer, tool: str
) -> None:
    path = make_node(tmp_path, prefix)
    (tmp_path / prefix[1:] / "include/node/config.gypi").write_text(f"{{ 'variables': {{ {RELEASE} }} }}")
    install, build = only_install(scan_folder(tmp_path), path)
    assert build is not None
    assert (build.provider, install.installer) == (Provider.UPSTREAM, installer)
    assert any(item.detail.endswith(tool) for item in install.evidence if item.subject == "installer")


@needs_gcc
def test_nodejs_of_a_conda_environment(tmp_path: Path) -> None:
    path = make_node(tmp_path, "/opt/conda/envs/web")
    folder = tmp_path / "opt/conda/envs/web/conda-meta"
    folder.mkdir()
    (folder / "nodejs-99.8.1-hb_0.json").write_text(json.dumps({"files": ["bin/node"], "name": "nodejs"}))
    install, build = only_install(scan_folder(tmp_path), path)
    assert build is not None
    assert (build.provider, build.provider_build, install.installer) == (Provider.CONDA, "hb_0", Installer.CONDA)


@needs_gcc
@pytest.mark.parametrize(
    ("entry_point", "provider"),
    [
        ('#!/bin/sh\nif x; then\n  set -- node "$@"\nfi\nexec "$@"\n', Provider.DOCKER_OFFICIAL),
        ('#!/bin/sh\nexec "$@"\n', Provider.UPSTREAM),
        (None, Provider.UPSTREAM),
    ],
    ids=["official image", "another image", "no image"],
)
def test_nodejs_in_usr_local(tmp_path: Path, entry_point: str | None, provider: Provider) -> None:
    path = make_node(tmp_path, "/usr/local")
    (tmp_path / "usr/local/include/node/config.gypi").write_text(f"{{ 'variables': {{ {RELEASE} }} }}")
    if entry_point is not None:
        (tmp_path / "usr/local/bin/docker-entrypoint.sh").write_text(entry_point)
    _, build = only_install(scan_folder(tmp_path), path)
    assert build is not None
    assert build.provider is provider


@needs_gcc
@pytest.mark.parametrize(
    ("arguments", "settings", "provider"),
    [
        ("'--build=x' '--disable-install-doc' '--enable-shared'", "gem: --no-document\n", Provider.DOCKER_OFFICIAL),
        ("'--build=x' '--disable-install-doc' '--enable-shared'", None, Provider.SOURCE),
        ("'--prefix=/usr/local' '--disable-install-doc' '--enable-shared'", "gem: --no-document\n", Provider.SOURCE),
    ],
    ids=["official image", "without its settings", "with a prefix"],
)
def test_ruby_in_usr_local(tmp_path: Path, arguments: str, settings: str | None, provider: Provider) -> None:
    path = make_ruby(tmp_path, "/usr/local")
    (file,) = (tmp_path / "usr/local/lib/ruby").rglob("rbconfig.rb")
    text = re.sub(r'(CONFIG\["configure_args"\] = ").*(")', rf"\1 {arguments}\2", file.read_text())
    assert arguments in text
    file.write_text(text)
    if settings is not None:
        (tmp_path / "usr/local/etc").mkdir()
        (tmp_path / "usr/local/etc/gemrc").write_text(settings)
    _, build = only_install(scan_folder(tmp_path), path)
    assert build is not None
    assert build.provider is provider
