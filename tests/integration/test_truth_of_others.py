"""What the scan says of this machine's Node.js, Perl, Ruby, PHP and PyPy, against what they say themselves.

A Perl is on every Debian; the others are taken where they are. The tests run interpreters; the product never does.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from libcensus.facts.vocabulary import Implementation, InstallKind, Linkage
from tests.integration.test_truth import build_of, machine

if TYPE_CHECKING:
    import pytest

    from libcensus.facts.interpreter import Install

PROGRAMS: dict[Implementation, tuple[str, ...]] = {
    Implementation.NODEJS: (
        "-p",
        "JSON.stringify({version: process.versions.node, openssl: process.versions.openssl || null})",
    ),
    Implementation.PERL: (
        "-e",
        (
            "my $tls = eval { require Net::SSLeay; (split / /, Net::SSLeay::SSLeay_version(0))[1] }; "
            'printf q({"version": "%vd", "openssl": %s}), $^V, $tls ? qq("$tls") : "null";'
        ),
    ),
    Implementation.RUBY: (
        "-rjson",
        "-e",
        (
            "tls = begin; require 'openssl'; OpenSSL::OPENSSL_LIBRARY_VERSION.split[1]; rescue LoadError; nil; end; "
            "puts JSON.generate({version: RUBY_VERSION, openssl: tls})"
        ),
    ),
    Implementation.PHP: ("-r", "echo json_encode(['version' => PHP_VERSION]);"),
    Implementation.PYPY: (
        "-c",
        "import sys, json; print(json.dumps({'version': '.'.join(map(str, sys.pypy_version_info[:3]))}))",
    ),
}
"""What each is asked; PHP and PyPy only know which OpenSSL they were compiled with."""


def others() -> list[Install]:
    return [
        one
        for one in machine().installs.installs
        if one.root == "/"
        and one.kind is InstallKind.BASE
        and one.implementation in PROGRAMS
        and build_of(one).arch == os.uname().machine
        and "fpm" not in one.path
        and "cgi" not in one.path
    ]


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Collect the machine's interpreters only where a test asks for them."""
    if "other" in metafunc.fixturenames:
        metafunc.parametrize("other", others(), ids=lambda install: install.path)


@cache
def truth(path: str, implementation: Implementation) -> dict[str, Any]:
    environment = {"PATH": "/usr/bin:/bin", "HOME": "/nonexistent"}
    command = [path, *PROGRAMS[implementation]]
    done = subprocess.run(command, capture_output=True, text=True, check=True, env=environment)
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def test_a_perl_is_found() -> None:
    """Debian's base system has one, so this suite never runs over nothing."""
    assert any(one.implementation is Implementation.PERL for one in others())


def test_every_other_interpreter_that_a_shell_would_find_is_known() -> None:
    known = {path for one in machine().installs.installs for path in (one.path, one.realpath, *one.aliases)}
    for folder in ("/usr/bin", "/usr/local/bin"):
        for file in Path(folder).iterdir():
            if re.fullmatch(r"node(js)?|perl[\d.]*|ruby[\d.]*|php[\d.]*|pypy[\d.]*", file.name) and file.exists():
                real = file.resolve()
                if real.read_bytes()[:4] == b"\x7fELF":
                    assert str(real) in known


def test_version_is_its_own(other: Install) -> None:
    assert build_of(other).version == truth(other.path, other.implementation)["version"]


def test_openssl_is_the_one_that_it_loads(other: Install) -> None:
    told = truth(other.path, other.implementation)
    if "openssl" not in told:
        return
    crypto = other.crypto
    if told["openssl"] is None:
        assert crypto.linkage is Linkage.NONE
        return
    assert crypto.library is not None
    assert crypto.library.version == told["openssl"]


def test_resolution_is_that_of_ldd(other: Install) -> None:
    """Where a file asks for libcrypto, the loader of this machine finds the one that the scan names."""
    needs = [item.file for item in other.evidence if item.subject == "crypto" and item.kind == "elf-needed"]
    for file in needs:
        listing = subprocess.run(["ldd", file], capture_output=True, text=True, check=True).stdout
        (path,) = re.findall(r"libcrypto\.so\S* => (\S+)", listing)
        assert other.crypto.path == str(Path(path).resolve())
    if other.crypto.linkage is Linkage.STATIC:
        assert other.crypto.path is not None
        listing = subprocess.run(["ldd", other.crypto.path], capture_output=True, text=True, check=True).stdout
        assert "libcrypto" not in listing
