"""PyPy, Node.js, Ruby, Perl and PHP: told by what their files are, with version, parts and crypto library.

The layouts are stand-ins that gcc made with the marks of the real ones. What this machine really has (always a Perl)
is held against what it says itself in ``tests/integration/test_truth_of_others.py``, whole roots in ``tests/fleet``.
"""

from __future__ import annotations

import os
import shutil
from typing import TYPE_CHECKING

import pytest

from libcensus.agent.elf.reader import BytesSource
from libcensus.agent.interpreters.mainprogram import is_interpreter_name, is_python_name, recognise_main_program
from libcensus.agent.interpreters.php import TRAITS as PHP
from libcensus.agent.interpreters.ruby import parse_rbconfig
from libcensus.agent.interpreters.version import upstream_version
from libcensus.facts.vocabulary import CryptoFamily, FileRole, Implementation, Linkage
from tests.agent.interpreters.stand_ins import (
    NODE_CODE,
    NODE_MAIN,
    PERL_CALLS,
    PERL_CODE,
    PERL_MAIN,
    RBCONFIG,
    RUBY_CODE,
    RUBY_MAIN,
    add_tls_module,
    make_node,
    make_perl,
    make_php,
    make_pypy,
    make_ruby,
)
from tests.agent.roots import (
    DEBIAN,
    VENDOR,
    add_dpkg,
    compile_c,
    make_crypto,
    make_python,
    needs_gcc,
    only_install,
    scan_folder,
    shared,
    skips_of,
)

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from libcensus.facts.interpreter import Build, Install

MARKS = b'\0OpenSSL 3.5.4 30 Sep 2025\0OPENSSLDIR: "/install/ssl"\0'


@pytest.mark.parametrize(
    ("name", "is_any", "is_python"),
    [
        ("pypy3", True, True),
        ("pypy3.9", True, True),
        ("pypy3.9-c", True, True),
        ("python3.11", True, True),
        ("node", True, False),
        ("nodejs", True, False),
        ("node-20", True, False),
        ("node20", True, False),
        ("ruby3.1", True, False),
        ("ruby-mri", True, False),
        ("ruby.ruby3.4", True, False),
        ("perl", True, False),
        ("perl5.36.0", True, False),
        ("perl5.36-x86_64-linux-gnu", True, False),
        ("php", True, False),
        ("php8.2", True, False),
        ("php82", True, False),
        ("php-fpm8.2", True, False),
        ("php-cgi", True, False),
        ("phpdbg8.2", True, False),
        ("lsphp", True, False),
        ("node-gyp", False, False),
        ("node_modules", False, False),
        ("perldoc", False, False),
        ("perlbug", False, False),
        ("rubocop", False, False),
        ("php-config", False, False),
        ("phpize", False, False),
        ("pypy3compile", False, False),
    ],
)
def test_names(name: str, is_any: bool, is_python: bool) -> None:
    assert is_interpreter_name(name) is is_any
    assert is_python_name(name) is is_python


def test_package_that_went_back_tells_the_version_that_it_went_back_to() -> None:
    assert upstream_version("3.1.7+really3.1.2-0+deb12u1") == "3.1.2"
    assert upstream_version("18.20.4+dfsg-1~deb12u2") == "18.20.4"


def told(file: Path, name: str) -> tuple[Implementation, bool] | None:
    program = recognise_main_program(BytesSource(file.read_bytes()), name)
    return None if program is None else (program.implementation, program.is_certain)


@needs_gcc
@pytest.mark.parametrize(
    ("source", "name", "expected"),
    [
        pytest.param(NODE_CODE, "node", (Implementation.NODEJS, True), id="node"),
        pytest.param(NODE_CODE, "slack", (Implementation.NODEJS, False), id="a program with Node.js in it"),
        pytest.param(RUBY_CODE + RUBY_MAIN, "ruby", (Implementation.RUBY, True), id="ruby"),
        pytest.param(RUBY_CODE + RUBY_MAIN, "app", (Implementation.RUBY, False), id="a program with Ruby in it"),
        pytest.param(PERL_CODE + PERL_MAIN, "perl5.99.1", (Implementation.PERL, True), id="perl"),
        pytest.param(PERL_CODE + PERL_MAIN, "app", (Implementation.PERL, False), id="a program with Perl in it"),
        pytest.param("int main(void) { return 0; }\n", "node", None, id="the packet radio's node"),
        pytest.param("int main(void) { return 0; }\n", "perl", None, id="another perl"),
    ],
)
def test_programs_that_hold_the_code(
    tmp_path: Path, source: str, name: str, expected: tuple[Implementation, bool] | None
) -> None:
    assert told(compile_c(tmp_path / "file", source, "-rdynamic"), name) == expected


@needs_gcc
@pytest.mark.parametrize(
    ("texts", "name", "implementation"),
    [
        (("NODE_EXTRA_CA_CERTS", "NODE_OPTIONS", "node.js/v99.8.1"), "node", Implementation.NODEJS),
        (("RUBYOPT", "RUBYLIB", "ruby - Copyright (C)"), "ruby", Implementation.RUBY),
        (("PERL5LIB", "PERL5OPT", "PERL_HASH_SEED"), "perl", Implementation.PERL),
        (("PHP_INI_SCAN_DIR", "X-Powered-By: PHP/9.8.1"), "php", Implementation.PHP),
    ],
)
def test_static_and_stripped_programs_are_known_by_their_start_up_texts(
    tmp_path: Path, texts: tuple[str, ...], name: str, implementation: Implementation
) -> None:
    words = ", ".join(f'"{text}"' for text in texts)
    source = f"const char *texts[] = {{{words}}};\nint main(int c, char **v) {{ return texts[c][0]; }}\n"
    file = compile_c(tmp_path / "file", source, "-static", "-s")
    assert told(file, name) == (implementation, True)
    assert told(file, "app") is None


@needs_gcc
def test_program_that_runs_perl_code_embeds_it(tmp_path: Path) -> None:
    library = shared(
        tmp_path / "libperl.so.5.99", f"{PERL_CODE}int Perl_eval_pv(void) {{ return 0; }}\n", "libperl.so.5.99"
    )
    source = f"{PERL_CALLS}extern int Perl_eval_pv(void);\n{PERL_MAIN.replace('return ', 'return Perl_eval_pv() + ')}"
    assert told(compile_c(tmp_path / "editor", source, str(library)), "editor") is None
    assert told(compile_c(tmp_path / "own", PERL_CALLS + PERL_MAIN, str(library)), "own") == (Implementation.PERL, True)


@needs_gcc
def test_program_that_uses_much_of_rubys_api_embeds_it(tmp_path: Path) -> None:
    many = "".join(f"int rb_function{number}(void) {{ return 0; }}\n" for number in range(20))
    library = shared(tmp_path / "libruby-9.8.so.9.8", RUBY_CODE + many, "libruby-9.8.so.9.8")
    calls = "".join(f"extern int rb_function{n}(void);\n" for n in range(20))
    body = " + ".join(f"rb_function{n}()" for n in range(20))
    file = compile_c(tmp_path / "vim", calls + RUBY_MAIN.replace("return ", f"return {body} + "), str(library))
    assert told(file, "vim") is None


# --- whole layouts ----------------------------------------------------------------------------------------------------

MAKERS: dict[str, Callable[[Path], str]] = {
    "nodejs": make_node,
    "ruby": make_ruby,
    "perl": make_perl,
    "php": make_php,
    "pypy": make_pypy,
}
VERSIONS = {"nodejs": "99.8.1", "ruby": "9.8.1", "perl": "5.99.1", "php": "9.8.1", "pypy": "7.98.1"}


def made(top: Path, path: str, **settings: object) -> tuple[Install, Build]:
    install, build = only_install(scan_folder(top, **settings), path)
    assert build is not None
    return install, build


@needs_gcc
@pytest.mark.parametrize("implementation", sorted(MAKERS))
def test_version_is_the_implementations_own_and_proved(tmp_path: Path, implementation: str) -> None:
    path = MAKERS[implementation](tmp_path)
    install, build = made(tmp_path, path)
    assert install.implementation == build.implementation == implementation
    assert build.version == VERSIONS[implementation]
    subjects = {item.subject for item in install.evidence}
    assert {"implementation", "version", "crypto"} <= subjects


@needs_gcc
@pytest.mark.parametrize("implementation", sorted(MAKERS))
def test_without_a_tls_module_there_is_none_and_the_places_are_named(tmp_path: Path, implementation: str) -> None:
    path = MAKERS[implementation](tmp_path)
    install, _ = made(tmp_path, path)
    assert install.crypto.linkage is Linkage.NONE
    assert any(item.subject == "crypto" and item.kind == "absence" for item in install.evidence)


@needs_gcc
@pytest.mark.parametrize("implementation", ["nodejs", "perl", "php", "ruby"])
def test_copy_in_the_code_is_static(tmp_path: Path, implementation: str) -> None:
    path = MAKERS[implementation](tmp_path)
    file = tmp_path / path.lstrip("/")
    file.write_bytes(file.read_bytes() + MARKS)
    crypto = made(tmp_path, path)[0].crypto
    assert crypto.linkage is Linkage.STATIC
    assert crypto.path == path
    assert crypto.library is not None
    assert (crypto.library.family, crypto.library.version) == (CryptoFamily.OPENSSL, "3.5.4")


TLS_MODULES = {
    "ruby": "/opt/ruby/lib/ruby/9.8.0/x86_64-linux/openssl.so",
    "perl": "/opt/perl/lib/site_perl/5.99.1/x86_64-linux/auto/Net/SSLeay/SSLeay.so",
    "php": "/opt/php/lib/php/20990101/openssl.so",
    "pypy": "/opt/pypy/lib/pypy3.99/_pypy_openssl.pypy399-pp73-x86_64-linux-gnu.so",
}


@needs_gcc
@pytest.mark.parametrize("implementation", sorted(TLS_MODULES))
def test_library_that_the_tls_module_needs_is_the_one_in_use(tmp_path: Path, implementation: str) -> None:
    path = MAKERS[implementation](tmp_path)
    ssl, _ = make_crypto(tmp_path / "usr/lib64", text="OpenSSL 3.0.22 25 Aug 2026")
    module = add_tls_module(tmp_path / TLS_MODULES[implementation].lstrip("/"), ssl)
    module.write_bytes(module.read_bytes() + b"\0OpenSSL 3.0.11 19 Sep 2023\0")
    files = ("/usr/lib64/libcrypto.so.9", "/usr/lib64/libssl.so.9")
    add_dpkg(tmp_path, {"libssl9": ("9.8.7-1", f"Source: openssl\n{DEBIAN}", files)})
    install, build = made(tmp_path, path)
    crypto = install.crypto
    assert (crypto.linkage, crypto.path) == (Linkage.SYSTEM, "/usr/lib64/libcrypto.so.9")
    assert crypto.library is not None
    assert crypto.library.version == "3.0.22"
    needs = [item.file for item in install.evidence if item.subject == "crypto" and item.kind == "elf-needed"]
    assert needs == [TLS_MODULES[implementation]]
    names = {file.path.rpartition("/")[2] for file in build.files if file.role is FileRole.MODULE}
    assert (module.name in names) is (implementation != "perl")


@needs_gcc
@pytest.mark.parametrize("implementation", sorted(TLS_MODULES))
def test_tls_module_that_cannot_be_read_leaves_it_unknown(tmp_path: Path, implementation: str) -> None:
    path = MAKERS[implementation](tmp_path)
    module = tmp_path / TLS_MODULES[implementation].lstrip("/")
    module.parent.mkdir(parents=True, exist_ok=True)
    module.write_bytes(b"\x7fELF damaged")
    assert made(tmp_path, path)[0].crypto.linkage is Linkage.UNKNOWN


@needs_gcc
def test_another_package_that_brings_the_tls_module_leaves_the_build_alone(tmp_path: Path) -> None:
    path = make_perl(tmp_path, "/usr")
    ssl, _ = make_crypto(tmp_path / "usr/lib64")
    before = made(tmp_path, path)[0].build
    module = "/usr/lib/site_perl/5.99.1/x86_64-linux/auto/Net/SSLeay/SSLeay.so"
    add_tls_module(tmp_path / module.lstrip("/"), ssl)
    install, _ = made(tmp_path, path)
    assert install.build == before
    assert install.crypto.linkage is Linkage.LOCAL


# --- Node.js ----------------------------------------------------------------------------------------------------------


@needs_gcc
def test_nodes_code_in_libnode(tmp_path: Path) -> None:
    ssl, crypto = make_crypto(tmp_path / "usr/lib64")
    library = shared(
        tmp_path / "usr/lib64/libnode.so.99", NODE_CODE, "libnode.so.99", "-Wl,--no-as-needed", str(ssl), str(crypto)
    )
    compile_c(tmp_path / "usr/bin/node", NODE_MAIN, str(library), "-Wl,--allow-shlib-undefined")
    (tmp_path / "usr/bin/nodejs").symlink_to("node")
    install, build = made(tmp_path, "/usr/bin/node")
    assert install.aliases == ("/usr/bin/nodejs",)
    assert build.version == "99.8.1"
    assert [(file.path, file.role) for file in build.files] == [
        ("bin/node", FileRole.EXECUTABLE),
        ("lib64/libnode.so.99", FileRole.LIBRARY),
    ]
    assert install.crypto.linkage is Linkage.LOCAL
    assert install.crypto.path == "/usr/lib64/libcrypto.so.9"


@needs_gcc
def test_libnode_that_is_missing_leaves_the_crypto_unknown(tmp_path: Path) -> None:
    library = shared(tmp_path / "elsewhere/libnode.so.99", NODE_CODE, "libnode.so.99")
    compile_c(tmp_path / "usr/bin/node", NODE_MAIN, str(library))
    found = scan_folder(tmp_path)
    install, build = only_install(found, "/usr/bin/node")
    assert build is not None
    assert build.version is None
    assert install.crypto.linkage is Linkage.UNKNOWN
    assert skips_of(found, "interpreters") == {"library-not-found": 1}


@needs_gcc
def test_program_with_nodejs_in_it_is_no_install(tmp_path: Path) -> None:
    make_node(tmp_path, "/usr")
    make_node(tmp_path, "/opt/chat", name="chat", headers=False)
    found = scan_folder(tmp_path)
    assert [install.path for install in found.installs.installs] == ["/usr/bin/node"]
    assert skips_of(found, "interpreters") == {"embeds-nodejs": 1}


@needs_gcc
@pytest.mark.parametrize(
    ("configured", "binary", "provider"),
    [
        ("'node_release_urlbase': 'https://nodejs.org/download/release/'", b"", "upstream"),
        ("'node_release_urlbase': ''", b"", "unknown"),
        (None, b'{"node_release_urlbase": "https://nodejs.org/download/release/","x":1}', "upstream"),
        (None, b"https://nodejs.org/download/release/v99.8.1/node-v99.8.1.tar.gz", "unknown"),
    ],
)
def test_downloads_of_nodejs_org_are_told_by_their_own_configuration(
    tmp_path: Path, configured: str | None, binary: bytes, provider: str
) -> None:
    path = make_node(tmp_path)
    if configured is not None:
        (tmp_path / "opt/node/include/node/config.gypi").write_text(f"{{ 'variables': {{ {configured} }} }}\n")
    file = tmp_path / path.lstrip("/")
    file.write_bytes(file.read_bytes() + b"\0" + binary + b"\0")
    assert made(tmp_path, path)[1].provider == provider


@needs_gcc
@pytest.mark.parametrize(
    ("implementation", "configured", "provider"),
    [
        ("nodejs", "/opt/node", "source"),
        ("nodejs", "/elsewhere", "unknown"),
        ("php", "/opt/php", "source"),
        ("php", "/elsewhere", "unknown"),
        ("perl", "/opt/perl", "source"),
        ("ruby", "/opt/ruby", "source"),
    ],
)
def test_built_for_where_it_lies_is_built_from_source(
    tmp_path: Path, implementation: str, configured: str, provider: str
) -> None:
    path = make_php(tmp_path, configured=configured) if implementation == "php" else MAKERS[implementation](tmp_path)
    if implementation == "nodejs":
        text = f"{{ 'variables': {{ 'node_prefix': '{configured}', 'node_release_urlbase': '' }} }}\n"
        (tmp_path / "opt/node/include/node/config.gypi").write_text(text)
    assert made(tmp_path, path)[1].provider == provider


@needs_gcc
def test_third_partys_package_comes_before_its_content(tmp_path: Path) -> None:
    path = make_node(tmp_path, "/usr")
    (tmp_path / "usr/include/node/config.gypi").write_text(
        "{ 'variables': { 'node_release_urlbase': 'https://nodejs.org/download/release/' } }\n"
    )
    add_dpkg(tmp_path, {"nodejs": ("99.8.1-1nodesource1", VENDOR, (path,))})
    install, build = made(tmp_path, path)
    assert (build.provider, install.installer) == ("vendor", "dpkg")


# --- Ruby -------------------------------------------------------------------------------------------------------------


@needs_gcc
@pytest.mark.parametrize("is_shared", [True, False])
def test_parts_of_a_ruby(tmp_path: Path, is_shared: bool) -> None:
    path = make_ruby(tmp_path, is_shared=is_shared)
    install, build = made(tmp_path, path)
    library = ["lib/libruby.so.9.8"] if is_shared else []
    assert [file.path for file in build.files] == [
        "bin/ruby", *library, "lib/ruby/9.8.0/x86_64-linux/stringio.so"
    ]  # fmt: skip
    assert ("shared" in build.flags) is is_shared
    assert build.provider == "source"
    assert install.installer == "unknown"


@needs_gcc
def test_ruby_below_a_rbenv_is_no_python_of_pyenv(tmp_path: Path) -> None:
    path = make_ruby(tmp_path, "/home/u/.rbenv/versions/9.8.1")
    (tmp_path / "home/u/.rbenv/shims").mkdir()
    install, build = made(tmp_path, path)
    assert build.provider != "pyenv"
    assert install.installer != "pyenv"


@needs_gcc
@pytest.mark.parametrize(
    ("gem", "is_newer"), [("3.3.0", True), ("3.1.0", False), ("3.2.0", False)], ids=["newer", "older", "the same"]
)
def test_newer_gem_is_the_one_in_use(tmp_path: Path, gem: str, is_newer: bool) -> None:
    path = make_ruby(tmp_path)
    ssl, _ = make_crypto(tmp_path / "usr/lib64", text="OpenSSL 3.0.22 25 Aug 2026")
    standard = add_tls_module(tmp_path / TLS_MODULES["ruby"].lstrip("/"), ssl)
    gems = tmp_path / "opt/ruby/lib/ruby/gems/9.8.0"
    (gems / "specifications/default").mkdir(parents=True)
    (gems / "specifications/default/openssl-3.2.0.gemspec").write_text("")
    added = add_tls_module(gems / f"gems/openssl-{gem}/lib/openssl.so", ssl)
    added.write_bytes(added.read_bytes() + MARKS)
    install, build = made(tmp_path, path)
    assert install.crypto.linkage is (Linkage.STATIC if is_newer else Linkage.LOCAL)
    needed = next(
        item.file for item in install.evidence if item.kind in ("string", "elf-needed") and "openssl.so" in item.file
    )
    assert needed == f"/{(added if is_newer else standard).relative_to(tmp_path)}"
    assert not any("gems" in file.path for file in build.files)


@needs_gcc
def test_fedoras_folders_of_ruby(tmp_path: Path) -> None:
    path = make_ruby(tmp_path, "/usr")
    (tmp_path / "usr/lib64").mkdir()
    (tmp_path / "usr/lib/ruby/9.8.0/x86_64-linux").rename(tmp_path / "usr/lib64/ruby")
    ssl, _ = make_crypto(tmp_path / "usr/lib64")
    for number in ("3.2.0", "3.10.0"):
        add_tls_module(tmp_path / f"usr/lib64/gems/ruby/openssl-{number}/openssl.so", ssl)
    install, build = made(tmp_path, path)
    assert [file.path for file in build.files if file.role is FileRole.MODULE] == ["lib64/ruby/stringio.so"]
    needs = [item.file for item in install.evidence if item.kind == "elf-needed"]
    assert needs == ["/usr/lib64/gems/ruby/openssl-3.10.0/openssl.so"]


def test_rbconfig_is_read_as_text() -> None:
    values = parse_rbconfig(RBCONFIG.format(prefix="/opt/x"))
    assert values["TOPDIR"] == "/lib/ruby/9.8.0/x86_64-linux"
    assert values["configured_prefix"] == "/opt/x"
    assert values["prefix"] == "/opt/x"
    assert values["vendorarchdir"] == "$(rubylibprefix)/vendor_ruby/$(ruby_version)/$(sitearch)"


@needs_gcc
@pytest.mark.parametrize(
    "text",
    [
        "",
        "\0\xff",
        '  CONFIG["sitearchdir"] = "$(a)"\n  CONFIG["a"] = "$(a)$(a)$(a)"\n',
        '  CONFIG["sitearchdir"] = "$(missing)/x"\n',
        '  CONFIG["sitearchdir"] = "../../../etc"\n',
        '  CONFIG["MAJOR"] = "²"\n  CONFIG["MINOR"] = "1"\n  CONFIG["TEENY"] = "1"\n',
    ],
)
def test_odd_configurations_cost_nothing_but_themselves(tmp_path: Path, text: str) -> None:
    path = make_ruby(tmp_path)
    (tmp_path / "opt/ruby/lib/ruby/9.8.0/x86_64-linux/rbconfig.rb").write_text(text, encoding="latin-1")
    install, build = made(tmp_path, path)
    assert build.version == "9.8.1"
    assert install.crypto.linkage is Linkage.NONE


# --- Perl -------------------------------------------------------------------------------------------------------------


@needs_gcc
def test_hard_link_of_perl_is_one_install_and_the_shared_one_another(tmp_path: Path) -> None:
    path = make_perl(tmp_path)
    os.link(tmp_path / path.lstrip("/"), tmp_path / "opt/perl/bin/perl5.99.1")
    other = make_perl(tmp_path, is_shared=True, name="perl5.99-x86_64-linux-gnu")
    found = scan_folder(tmp_path)
    assert [(one.path, one.aliases) for one in found.installs.installs] == [
        (path, ("/opt/perl/bin/perl5.99.1",)),
        (other, ()),
    ]
    _, build = only_install(found, other)
    assert build is not None
    assert build.flags == ("shared", "threads")


@needs_gcc
def test_modules_of_perl_are_those_below_auto(tmp_path: Path) -> None:
    path = make_perl(tmp_path)
    assert [file.path for file in made(tmp_path, path)[1].files] == [
        "bin/perl",
        "lib/perl/5.99.1/x86_64-linux/auto/POSIX/POSIX.so",
    ]


@needs_gcc
def test_perl_without_its_configuration_leaves_the_crypto_unknown(tmp_path: Path) -> None:
    path = make_perl(tmp_path)
    shutil.rmtree(tmp_path / "opt/perl/lib")
    install, build = made(tmp_path, path)
    assert build.version == "5.99.1"
    assert install.crypto.linkage is Linkage.UNKNOWN


@needs_gcc
def test_relocatable_perl_finds_its_folders_from_its_executable(tmp_path: Path) -> None:
    path = make_perl(tmp_path, is_relocatable=True)
    ssl, _ = make_crypto(tmp_path / "usr/lib64")
    add_tls_module(tmp_path / TLS_MODULES["perl"].lstrip("/"), ssl)
    install, build = made(tmp_path, path)
    assert build.version == "5.99.1"
    assert [item.file for item in install.evidence if item.kind == "elf-needed"] == [TLS_MODULES["perl"]]


@needs_gcc
def test_site_comes_before_vendor_and_standard(tmp_path: Path) -> None:
    path = make_perl(tmp_path)
    ssl, _ = make_crypto(tmp_path / "usr/lib64")
    for folder in ("lib/perl", "lib/site_perl"):
        add_tls_module(tmp_path / f"opt/perl/{folder}/5.99.1/x86_64-linux/auto/Net/SSLeay/SSLeay.so", ssl)
    install, _ = made(tmp_path, path)
    needs = [item.file for item in install.evidence if item.kind == "elf-needed"]
    assert needs == [TLS_MODULES["perl"]]


# --- PHP --------------------------------------------------------------------------------------------------------------


@needs_gcc
def test_each_program_of_php_is_an_install_and_links_are_names(tmp_path: Path) -> None:
    path = make_php(tmp_path, "/usr")
    make_php(tmp_path, "/usr", name="php-fpm9.8")
    (tmp_path / "etc/alternatives").mkdir(parents=True)
    (tmp_path / "etc/alternatives/php").symlink_to("/usr/bin/php9.8")
    (tmp_path / "usr/bin/php").symlink_to("/etc/alternatives/php")
    found = scan_folder(tmp_path)
    assert [(one.path, one.aliases) for one in found.installs.installs] == [
        ("/usr/bin/php-fpm9.8", ()),
        (path, ("/etc/alternatives/php", "/usr/bin/php")),
    ]


@needs_gcc
@pytest.mark.parametrize(
    ("setting", "kind"),
    [
        ("extension=openssl\n", "text-line"),
        ("  extension = openssl.so ; TLS\n", "text-line"),
        ("; extension=openssl\n", "absence"),
        ("extension=openssl_x\n", "absence"),
    ],
)
def test_whether_a_setting_loads_the_module_is_said(tmp_path: Path, setting: str, kind: str) -> None:
    path = make_php(tmp_path)
    ssl, _ = make_crypto(tmp_path / "usr/lib64")
    add_tls_module(tmp_path / TLS_MODULES["php"].lstrip("/"), ssl)
    (tmp_path / "opt/php/etc/php/conf.d/00_openssl.ini").write_text(setting)
    install, _ = made(tmp_path, path)
    assert install.crypto.linkage is Linkage.LOCAL
    proofs = [item.kind for item in install.evidence if item.subject == "crypto" and "load" in item.detail + item.file]
    loads = [item for item in install.evidence if item.file.endswith("00_openssl.ini")]
    assert bool(loads) is (kind == "text-line")
    assert ("absence" in proofs) is (kind == "absence")


@needs_gcc
def test_folder_of_extensions_in_the_settings_comes_first(tmp_path: Path) -> None:
    path = make_php(tmp_path)
    ssl, _ = make_crypto(tmp_path / "usr/lib64")
    add_tls_module(tmp_path / "srv/extensions/openssl.so", ssl)
    (tmp_path / "opt/php/etc/php/php.ini").write_text('extension_dir = "/srv/extensions"\nextension=openssl\n')
    install, _ = made(tmp_path, path)
    assert install.crypto.linkage is Linkage.LOCAL
    assert [item.file for item in install.evidence if item.kind == "elf-needed"] == ["/srv/extensions/openssl.so"]


@needs_gcc
def test_thread_safe_debug_build_says_so(tmp_path: Path) -> None:
    path = make_php(tmp_path, threads="TS,debug")
    assert made(tmp_path, path)[1].flags == ("debug", "zts")


@needs_gcc
def test_official_image_of_php_is_told_by_its_scripts(tmp_path: Path) -> None:
    path = make_php(tmp_path, "/usr/local", name="php")
    assert made(tmp_path, path)[1].provider == "source"
    (tmp_path / "usr/local/bin/docker-php-ext-install").write_text("#!/bin/sh\n")
    assert made(tmp_path, path)[1].provider == "docker-official"


def test_php_is_registered_under_its_name() -> None:
    assert PHP.implementation is Implementation.PHP


# --- PyPy -------------------------------------------------------------------------------------------------------------


@needs_gcc
def test_parts_and_language_of_a_pypy(tmp_path: Path) -> None:
    path = make_pypy(tmp_path)
    install, build = made(tmp_path, path)
    assert install.aliases == ("/opt/pypy/bin/pypy3", "/opt/pypy/bin/python")
    assert build.flags == ("python-3.99", "shared")
    assert any(item.detail == "sys.version: 3.99.16" for item in build.evidence)
    assert [file.path for file in build.files] == [
        "bin/pypy3.99",
        "lib/libpypy3.99-c.so",
        "lib/pypy3.99/_lzma_cffi.pypy399-pp73-x86_64-linux-gnu.so",
    ]


@needs_gcc
def test_download_of_pypy_is_told_by_its_folder(tmp_path: Path) -> None:
    path = make_pypy(tmp_path, "/opt/pypy3.99-v7.98.1-linux64")
    assert made(tmp_path, path)[1].provider == "upstream"


@needs_gcc
def test_environment_of_a_pypy_follows_it(tmp_path: Path) -> None:
    path = make_pypy(tmp_path)
    folder = tmp_path / "srv/env"
    (folder / "bin").mkdir(parents=True)
    (folder / "pyvenv.cfg").write_text("home = /opt/pypy/bin\nversion = 3.99.16\n")
    (folder / "bin/pypy3").symlink_to(path)
    (folder / "bin/python").symlink_to("pypy3")
    install, build = only_install(scan_folder(tmp_path), "/srv/env/bin/python")
    assert install.base == path
    assert build is not None
    assert build.implementation is Implementation.PYPY


# --- beside each other ------------------------------------------------------------------------------------------------


@needs_gcc
def test_all_in_one_prefix_are_told_apart(tmp_path: Path) -> None:
    make_python(tmp_path, "/usr", rpath="/usr/lib")
    (tmp_path / "usr/bin/python").unlink()
    paths = [maker(tmp_path, "/usr") for maker in (make_node, make_ruby, make_perl, make_php, make_pypy)]
    found = scan_folder(tmp_path)
    told_paths = {install.path: install.implementation for install in found.installs.installs}
    assert {path: told_paths[path] for path in paths} == dict(
        zip(paths, ("nodejs", "ruby", "perl", "php", "pypy"), strict=True)
    )
    assert told_paths["/usr/bin/python3.99"] == "cpython"
    assert len(told_paths) == 6


@needs_gcc
@pytest.mark.parametrize("size", [100, 700, 4000])
@pytest.mark.parametrize("implementation", sorted(MAKERS))
def test_cut_programs_cost_a_skip(tmp_path: Path, implementation: str, size: int) -> None:
    path = MAKERS[implementation](tmp_path)
    file = tmp_path / path.lstrip("/")
    file.write_bytes(file.read_bytes()[:size] + b"\0" * 2000)
    found = scan_folder(tmp_path)
    assert all(probe.state == "ok" or probe.reason is not None for probe in found.probes)
    assert all(probe.state != "failed" for probe in found.probes)
