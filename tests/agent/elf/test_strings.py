"""Which crypto library a file holds: real copies by compilers and wheels, and the texts that only look like one."""

from __future__ import annotations

import dataclasses
import hashlib
import re
import subprocess
import sys
from importlib.metadata import distribution
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from libcensus.agent.elf import strings
from libcensus.agent.elf.reader import BytesSource, Elf, ElfType, read_elf
from libcensus.agent.elf.strings import (
    ContentMarks,
    CryptoInFile,
    CryptoPresence,
    CryptoScanner,
    MarkKind,
    crypto_in_file,
    is_crypto_soname,
)
from libcensus.facts.vocabulary import CryptoFamily
from tests.agent.elf.samples import compile_c

if TYPE_CHECKING:
    from collections.abc import Iterable

USES_ALL = """
#include <openssl/ssl.h>
#include <openssl/crypto.h>
const char *fixture_version(void) { return OpenSSL_version(OPENSSL_VERSION); }
void *fixture_context(void) { return SSL_CTX_new(TLS_method()); }
"""

USES_A_DIGEST = """
#include <openssl/evp.h>
int fixture_digest(const void *data, unsigned long size, unsigned char *out) {
    return EVP_Digest(data, size, out, 0, EVP_sha256(), 0);
}
"""

ONLY_NAMES = """
#include <openssl/ssl.h>
const char *fixture_compiled = OPENSSL_VERSION_TEXT;
const char *fixture_decoy = "For OpenSSL 3.0.0 and newer it returns the state of the default provider";
void *fixture_context(void) { return SSL_CTX_new(TLS_method()); }
"""

HIDDEN = ("-shared", "-fPIC", "-Wl,--exclude-libs,ALL", "-Wl,--gc-sections", "-s")
STATIC = ("-Wl,-Bstatic", "-lssl", "-lcrypto", "-Wl,-Bdynamic", "-ldl", "-lpthread")


def scan(data: bytes, cuts: Iterable[int] = ()) -> ContentMarks:
    scanner = CryptoScanner()
    start = 0
    for cut in (*sorted(cuts), len(data)):
        scanner.feed(data[start:cut])
        start = max(start, cut)
    return scanner.result()


def judge(path: Path) -> CryptoInFile | None:
    data = path.read_bytes()
    return crypto_in_file(scan(data), read_elf(BytesSource(data)))


def member(package: str, name: str) -> Path:
    """Return the file of an installed distribution whose path matches."""
    found = [file for file in distribution(package).files or () if re.search(name, str(file))]
    assert found, f"{package} has no file like {name}"
    return Path(str(found[0].locate()))


@pytest.fixture(scope="session")
def openssl_version() -> str:
    """Return the version of the OpenSSL that the compiler finds, as its headers say it."""
    text = subprocess.run(
        ["gcc", "-E", "-dM", "-include", "openssl/opensslv.h", "-xc", "/dev/null"],
        check=True,
        capture_output=True,
        text=True,
    ).stdout
    match = re.search(r'OPENSSL_VERSION_TEXT "OpenSSL (\S+)', text)
    assert match is not None
    return match[1]


@pytest.fixture(scope="session")
def crypto_files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Compile extension modules against the machine's libssl-dev; it must be installed."""
    folder = tmp_path_factory.mktemp("crypto")
    compile_c(folder, "static.so", USES_ALL, *HIDDEN, *STATIC)
    compile_c(folder, "static-digest.so", USES_A_DIGEST, *HIDDEN, *STATIC)
    compile_c(folder, "static-libcrypto.so.9", USES_ALL, *HIDDEN, *STATIC, "-Wl,-soname,libcrypto.so.9")
    compile_c(folder, "dynamic.so", ONLY_NAMES, "-shared", "-fPIC", "-lssl", "-lcrypto")
    libressl = 'const char *a = "LibreSSL 3.8.2", *b = "OPENSSLDIR: \\"/etc/ssl\\"";'
    compile_c(folder, "libressl.so", libressl, "-shared", "-fPIC")
    compile_c(folder, "libressl-headers.so", 'const char *a = "LibreSSL 3.8.2";', "-shared", "-fPIC")
    compile_c(folder, "nothing.so", "int x;", "-shared", "-fPIC")
    return folder


def test_a_static_copy_is_found_with_its_version(crypto_files: Path, openssl_version: str) -> None:
    found = judge(crypto_files / "static.so")
    assert found is not None
    assert (found.family, found.version, found.presence) == (
        CryptoFamily.OPENSSL,
        openssl_version,
        CryptoPresence.STATIC,
    )
    assert found.is_held
    data = (crypto_files / "static.so").read_bytes()
    for proof in found.proofs:
        assert proof.offset is not None
        assert data[proof.offset :].startswith(proof.detail.encode())


def test_a_static_copy_without_version_text_is_still_a_copy(crypto_files: Path) -> None:
    found = judge(crypto_files / "static-digest.so")
    assert found is not None
    assert (found.family, found.version, found.presence) == (CryptoFamily.OPENSSL, None, CryptoPresence.STATIC)


def test_the_library_itself_is_no_static_copy(crypto_files: Path, openssl_version: str) -> None:
    found = judge(crypto_files / "static-libcrypto.so.9")
    assert found is not None
    assert (found.version, found.presence) == (openssl_version, CryptoPresence.LIBRARY)


def test_the_compilers_text_is_no_copy(crypto_files: Path, openssl_version: str) -> None:
    found = judge(crypto_files / "dynamic.so")
    assert found is not None
    assert found.presence is CryptoPresence.COMPILED_AGAINST
    assert not found.is_held
    assert found.version is None, "the version in the headers is never the version in use"
    assert found.compiled_against == openssl_version


def test_libressl_is_known_by_its_own_text(crypto_files: Path) -> None:
    held, headers = judge(crypto_files / "libressl.so"), judge(crypto_files / "libressl-headers.so")
    assert held is not None
    assert headers is not None
    assert (held.family, held.version, held.presence) == (CryptoFamily.LIBRESSL, "3.8.2", CryptoPresence.STATIC)
    assert (headers.family, headers.version, headers.is_held) == (CryptoFamily.LIBRESSL, None, False)


def test_a_file_without_crypto_holds_none(crypto_files: Path) -> None:
    assert judge(crypto_files / "nothing.so") is None


def test_boringssl_in_a_published_wheel_is_no_openssl_1_1_1() -> None:
    found = judge(member("grpcio", r"cygrpc.*\.so$"))
    assert found is not None
    assert (found.family, found.version, found.presence) == (CryptoFamily.BORINGSSL, None, CryptoPresence.STATIC)


def test_aws_lc_in_a_published_wheel_is_no_openssl_1_1_1(aws_lc_module: Path) -> None:
    found = judge(aws_lc_module)
    assert found is not None
    assert (found.family, found.presence) == (CryptoFamily.AWS_LC, CryptoPresence.STATIC)
    assert found.version is not None
    assert re.fullmatch(r"\d+\.\d+\.\d+", found.version)


def test_the_wheel_of_cryptography_holds_the_version_that_it_says_when_it_runs() -> None:
    code = "from cryptography.hazmat.backends.openssl.backend import backend; print(backend.openssl_version_text())"
    text = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout
    found = judge(member("cryptography", r"_rust.*\.so$"))
    assert found is not None
    assert found.version == text.split()[1]
    assert found.presence is CryptoPresence.STATIC


def test_a_bundled_library_with_a_hashed_name_is_a_library() -> None:
    found = judge(member("psycopg-binary", r"libcrypto-[0-9a-f]+\.so"))
    assert found is not None
    assert (found.family, found.presence) == (CryptoFamily.OPENSSL, CryptoPresence.LIBRARY)
    assert found.version is not None


@pytest.mark.parametrize(
    ("text", "version"),
    [
        ("OpenSSL 3.0.13 30 Jan 2024", "3.0.13"),
        ("OpenSSL 1.1.1w  11 Sep 2023", "1.1.1w"),
        ("OpenSSL 1.0.2k-fips  26 Jan 2017", "1.0.2k"),
        ("OpenSSL 1.1.1k  FIPS 25 Mar 2021", "1.1.1k"),
        ("OpenSSL 3.5.0-beta1 25 Mar 2025", "3.5.0-beta1"),
        ("OpenSSL 1.1.1-pre3 (beta) 20 Mar 2018", None),
        ("OpenSSL 3.0.0-alpha17 20 May 2021", "3.0.0-alpha17"),
        ("OpenSSL 3.2.0-dev xx XXX xxxx", "3.2.0-dev"),
        ("OpenSSL 3.0.10+quic 1 Aug 2023", "3.0.10"),
        ("OpenSSL 1.0.2zk 5 Sep 2024", "1.0.2zk"),
        ("OpenSSL 3.0.0 and newer it returns the state", None),
        ("requires OpenSSL 1.0.1 or later.", None),
        ("OpenSSL 3.0", None),
        ("OpenSSL 99999.1.1 1 Jan 2020", None),
    ],
)
def test_version_texts_are_told_from_sentences(text: str, version: str | None) -> None:
    found = [mark.version for mark in scan(b"\0" + text.encode() + b"\0").of(MarkKind.OPENSSL_TEXT)]
    assert found == ([] if version is None else [version])


def elf(**fields: object) -> Elf:
    return Elf(64, True, ElfType.DYN, 62, "x86_64", **fields)  # type: ignore[arg-type]


OPENSSL = b"\0OpenSSL 3.0.13 30 Jan 2024\0"
OLDER = b"\0OpenSSL 1.1.1w  11 Sep 2023\0"
DIRECTORY = b'\0OPENSSLDIR: "/etc/ssl"\0'
SOURCES = b"\0crypto/evp/digest.c\0../crypto/evp/evp_lib.c\0"
BORING = b"\0external/boringssl/src/crypto/evp/evp.c\0external/boringssl/src/ssl/ssl_lib.cc\0"
NO_DIRECTORY = b"\0OPENSSLDIR: n/a\0"
AWS_SOURCES = b"\0/tmp/aws-lc/crypto/bio/bio.c\0/tmp/aws-lc/crypto/x509/x.c\0"


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        pytest.param(OPENSSL + DIRECTORY, ("openssl", "3.0.13", "static"), id="openssl"),
        pytest.param(
            OPENSSL + DIRECTORY + b"BoringSSL " * 22, ("openssl", "3.0.13", "static"), id="names-boringssl-too"
        ),
        pytest.param(
            OLDER + bytes(999) + OPENSSL + DIRECTORY, ("openssl", "3.0.13", "static"), id="text-beside-directory"
        ),
        pytest.param(OPENSSL, ("openssl", None, "compiled-against"), id="headers-only"),
        pytest.param(OPENSSL + SOURCES, ("openssl", None, "static"), id="sources-and-headers"),
        pytest.param(DIRECTORY + SOURCES, ("openssl", None, "static"), id="directory-and-sources"),
        pytest.param(DIRECTORY, ("unknown", None, "static"), id="directory-only"),
        pytest.param(SOURCES, ("openssl", None, "static"), id="sources-only"),
        pytest.param(b"\0crypto/evp/digest.c\0", None, id="one-source-name"),
        pytest.param(BORING, ("boringssl", None, "static"), id="boringssl-sources"),
        pytest.param(b"\0BoringSSL\0" + NO_DIRECTORY, ("boringssl", None, "static"), id="boringssl-version-function"),
        pytest.param(b"BoringSSL " * 200, None, id="mere-name-of-boringssl"),
        pytest.param(
            b"OpenSSL 1.1.1 (compatible; BoringSSL)\0", ("boringssl", None, "compiled-against"), id="boringssl-headers"
        ),
        pytest.param(
            b"OpenSSL 1.1.1 (compatible; AWS-LC 1.34.2)\0" + NO_DIRECTORY, ("aws-lc", "1.34.2", "static"), id="aws-lc"
        ),
        pytest.param(
            b"OpenSSL 1.1.1 (compatible; AWS-LC 1.34.2)\0", ("aws-lc", None, "compiled-against"), id="aws-lc-headers"
        ),
        pytest.param(b"\0AWS-LC KEM method\0", ("aws-lc", None, "static"), id="aws-lc-code"),
        pytest.param(AWS_SOURCES + BORING, ("aws-lc", None, "static"), id="aws-lc-with-its-ancestor's-names"),
        pytest.param(NO_DIRECTORY, ("unknown", None, "static"), id="some-fork"),
        pytest.param(b"null AWS-LC EVP_PKEY pointer", None, id="mere-name-of-aws-lc"),
        pytest.param(b"LibreSSL 2.5.0 and newer", None, id="sentence-about-libressl"),
        pytest.param(b"", None, id="empty"),
    ],
)
def test_marks_are_judged_together(data: bytes, expected: tuple[str, str | None, str] | None) -> None:
    found = crypto_in_file(scan(data), elf())
    assert (None if found is None else (found.family.value, found.version, found.presence.value)) == expected
    assert found is None or found.proofs


def test_source_names_prove_nothing_where_the_library_is_needed() -> None:
    found = crypto_in_file(scan(SOURCES), elf(needed=("libcrypto.so.3",)))
    assert found is None


@pytest.mark.parametrize(
    ("soname", "is_crypto"),
    [
        ("libcrypto.so.3", True),
        ("libssl.so.1.1", True),
        ("libcrypto-3a0647ea.so.3", True),
        ("libcrypto-awslc.so", True),
        ("libcryptopp.so.8", False),
        ("libssl3.so", False),
        ("libcrypt.so.1", False),
    ],
)
def test_sonames_of_openssl_are_known(soname: str, is_crypto: bool) -> None:
    assert is_crypto_soname(soname) is is_crypto


def test_digest_and_size_are_those_of_the_file(crypto_files: Path) -> None:
    data = (crypto_files / "static.so").read_bytes()
    marks = scan(data, range(0, len(data), 4093))
    assert (marks.sha256, marks.size) == (hashlib.sha256(data).hexdigest(), len(data))
    assert marks == scan(data)


PIECES = st.sampled_from(
    [
        OPENSSL,
        OLDER,
        DIRECTORY,
        SOURCES,
        BORING,
        NO_DIRECTORY,
        AWS_SOURCES,
        b"BoringSSL",
        b"AWS-LC 1.2.3",
        b"\0",
        b"x" * 90,
    ]
)


@given(pieces=st.lists(st.one_of(PIECES, st.binary(max_size=300)), max_size=12), data=st.data())
def test_the_result_does_not_depend_on_the_cuts(pieces: list[bytes], data: st.DataObject) -> None:
    content = b"".join(pieces)
    cuts = data.draw(st.lists(st.integers(0, len(content)), max_size=20))
    assert scan(content, cuts) == scan(content)


def test_a_file_made_of_one_word_is_bounded_and_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(strings, "MAX_HITS", 50)
    marks = scan(b"OpenSSL 3.0.13 30 Jan 2024 " * 100)
    assert marks.count(MarkKind.OPENSSL_TEXT) == 50
    assert marks.saturated == ("OpenSSL ",)


def test_a_word_that_is_given_up_hides_no_other_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(strings, "MAX_HITS", 50)
    marks = scan(b"OpenSSL " * 100 + DIRECTORY + b"BoringSSL " * 100 + BORING + b"OpenSSL " * 9)
    assert len(marks.of(MarkKind.OPENSSLDIR)) == 1
    assert len(marks.of(MarkKind.BORINGSSL_SOURCE)) == 2
    assert marks.saturated == ("OpenSSL ", "oringSSL")


def test_a_digest_is_made_only_where_it_is_wanted() -> None:
    scanner = CryptoScanner(with_digest=False)
    scanner.feed(OPENSSL + DIRECTORY)
    found, whole = scanner.result(), scan(OPENSSL + DIRECTORY)
    assert found.sha256 == ""
    assert dataclasses.replace(found, sha256=whole.sha256) == whole


def test_many_texts_of_a_kind_are_counted_and_not_all_kept() -> None:
    content = b"".join(b"OpenSSL 3.0.%d 30 Jan 2024\0" % number for number in range(200))
    marks = scan(content)
    assert marks.count(MarkKind.OPENSSL_TEXT) == 200
    assert len(marks.of(MarkKind.OPENSSL_TEXT)) == strings.MAX_TEXTS
