"""Which crypto library an install really uses: static, bundled, system, local, none, unresolved; never a decoy."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from libcensus.facts.vocabulary import CryptoFamily, EvidenceKind, Linkage, PackageOrigin
from tests.agent.roots import (
    DEBIAN,
    LIBPYTHON,
    MODULE,
    VENDOR,
    Python,
    add_dpkg,
    crypto_source,
    make_crypto,
    make_python,
    needs_gcc,
    only_install,
    scan_folder,
    shared,
)

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = needs_gcc

OWN = "-Wl,-rpath,$ORIGIN/../.."


def add_marks(target: Path, text: str, *, has_code: bool = True) -> None:
    """Append a library's marks to a real ELF file, where a linker would have put them in its data."""
    directory = b'\0OPENSSLDIR: "/install/ssl"\0' if has_code else b"\0"
    target.write_bytes(target.read_bytes() + b"\0" + text.encode() + directory)


def with_module(python: Python, ssl: Path, *arguments: str) -> None:
    python.add_module(ssl, *arguments)


def test_runpath_of_a_module_does_not_reach_what_its_library_needs(tmp_path: Path) -> None:
    python = make_python(tmp_path)
    ssl, _ = make_crypto(python.folder / "lib")
    with_module(python, ssl, OWN)
    crypto = only_install(scan_folder(tmp_path), python.path)[0].crypto
    assert crypto.linkage is Linkage.UNRESOLVED
    assert crypto.needed == "libssl.so.9"


def test_library_that_a_runpath_reaches_is_bundled(tmp_path: Path) -> None:
    python = make_python(tmp_path)
    ssl, libcrypto = make_crypto(python.folder / "lib")
    make_crypto(tmp_path / "usr/lib", text="OpenSSL 1.1.1 11 Sep 2018")
    libcrypto_of_ssl = shared(
        ssl, "extern int EVP_init(void);\nint SSL_new(void) { return EVP_init(); }\n", "libssl.so.9",
        str(libcrypto), "-Wl,-rpath,$ORIGIN",
    )  # fmt: skip
    with_module(python, libcrypto_of_ssl, OWN)
    install, _ = only_install(scan_folder(tmp_path), python.path)
    crypto = install.crypto
    assert crypto.linkage is Linkage.BUNDLED
    assert crypto.path == "/opt/python/lib/libcrypto.so.9"
    assert crypto.needed == "libssl.so.9"
    assert crypto.library is not None
    assert (crypto.library.family, crypto.library.version) == (CryptoFamily.OPENSSL, "9.8.7")
    kinds = {item.kind for item in install.evidence if item.subject == "crypto"}
    assert {EvidenceKind.ELF_NEEDED, EvidenceKind.LOADER_PATH, EvidenceKind.STRING} <= kinds


@pytest.mark.parametrize(
    ("is_owned", "linkage"),
    [
        pytest.param(True, Linkage.SYSTEM, id="a package owns it"),
        pytest.param(False, Linkage.LOCAL, id="nobody owns it"),
    ],
)
def test_library_outside_the_prefix(tmp_path: Path, is_owned: bool, linkage: Linkage) -> None:
    python = make_python(tmp_path)
    ssl, _ = make_crypto(tmp_path / "usr/lib64")
    with_module(python, ssl)
    files = ("/usr/lib64/libcrypto.so.9", "/usr/lib64/libssl.so.9") if is_owned else ()
    add_dpkg(tmp_path, {"libssl9": ("9.8.7-1", f"Source: openssl\n{DEBIAN}", files)})
    crypto = only_install(scan_folder(tmp_path), python.path)[0].crypto
    assert crypto.linkage is linkage
    assert crypto.path == "/usr/lib64/libcrypto.so.9"
    assert crypto.library is not None
    assert crypto.library.version == "9.8.7"
    package = crypto.library.package
    assert (package is not None and package.source == "openssl") is is_owned


def test_distributions_python_in_usr_uses_the_systems_library(tmp_path: Path) -> None:
    python = make_python(tmp_path, "/usr", rpath="/usr/lib")
    ssl, _ = make_crypto(tmp_path / "usr/lib64")
    module = python.add_module(ssl)
    own = (python.path, "/usr/lib/libpython3.99.so.1.0", f"/usr/lib/python3.99/lib-dynload/{module.name}")
    libraries = ("/usr/lib64/libcrypto.so.9", "/usr/lib64/libssl.so.9")
    add_dpkg(
        tmp_path,
        {"python3.99": ("3.99.1-2", DEBIAN, own), "libssl9": ("9.8.7-1", f"Source: openssl\n{DEBIAN}", libraries)},
    )
    install, build = only_install(scan_folder(tmp_path), python.path)
    assert install.crypto.linkage is Linkage.SYSTEM
    assert build is not None
    assert (build.provider, build.provider_build) == ("distro", "3.99.1-2")


def test_vendors_package_that_brings_both_is_bundled(tmp_path: Path) -> None:
    python = make_python(tmp_path)
    folder = python.folder / "lib"
    ssl, libcrypto = make_crypto(folder)
    add_dpkg(tmp_path, {"product": ("7.1", VENDOR, (python.path, "/opt/python/lib/libcrypto.so.9"))})
    add = python.add_module(ssl, "-Wl,--disable-new-dtags", OWN, str(libcrypto))
    listing = tmp_path / "var/lib/dpkg/info/product.list"
    listing.write_text(f"{listing.read_text()}/opt/python/lib/python3.99/lib-dynload/{add.name}\n")
    install, build = only_install(scan_folder(tmp_path), python.path)
    assert install.crypto.linkage is Linkage.BUNDLED
    assert install.crypto.library is not None
    assert install.crypto.library.package is not None
    assert install.crypto.library.package.origin is PackageOrigin.VENDOR
    assert build is not None
    assert build.provider == "vendor"
    assert install.installer == "dpkg"


def test_owner_is_not_denied_where_the_records_cannot_be_read(tmp_path: Path) -> None:
    python = make_python(tmp_path)
    ssl, _ = make_crypto(tmp_path / "usr/lib64")
    with_module(python, ssl)
    (tmp_path / "var/lib/rpm").mkdir(parents=True)
    (tmp_path / "var/lib/rpm/rpmdb.sqlite").write_bytes(b"damaged")
    install, _ = only_install(scan_folder(tmp_path), python.path)
    assert install.crypto.linkage is Linkage.SYSTEM
    assert any("cannot be read" in item.detail for item in install.evidence)


@pytest.mark.parametrize("holder", ["executable", "libpython", "_ssl", "_hashlib"])
def test_static_copy_is_found_in_each_of_its_places(tmp_path: Path, holder: str) -> None:
    python = make_python(tmp_path)
    for name in ("_ssl", "_hashlib"):
        shared(python.dynload / f"{name}.cpython-399-x86_64-linux-gnu.so", "int PyInit(void) { return 0; }\n", None)
    target = {
        "executable": python.executable,
        "libpython": python.folder / "lib/libpython3.99.so.1.0",
        "_ssl": python.dynload / "_ssl.cpython-399-x86_64-linux-gnu.so",
        "_hashlib": python.dynload / "_hashlib.cpython-399-x86_64-linux-gnu.so",
    }[holder]
    add_marks(target, "OpenSSL 3.5.4 30 Sep 2025")
    install, _ = only_install(scan_folder(tmp_path), python.path)
    crypto = install.crypto
    assert crypto.linkage is Linkage.STATIC
    assert crypto.path == f"/{target.relative_to(tmp_path)}"
    assert crypto.library is not None
    assert (crypto.library.family, crypto.library.version) == (CryptoFamily.OPENSSL, "3.5.4")
    proof = next(item for item in install.evidence if item.detail.startswith("OpenSSL 3.5.4"))
    assert target.read_bytes()[proof.offset :].startswith(b"OpenSSL 3.5.4")


def test_text_of_the_headers_is_never_the_version_in_use(tmp_path: Path) -> None:
    python = make_python(tmp_path)
    ssl, _ = make_crypto(tmp_path / "usr/lib64", text="OpenSSL 3.0.22 25 Aug 2026")
    module = python.add_module(ssl)
    add_marks(module, "OpenSSL 3.0.11 19 Sep 2023", has_code=False)
    install, _ = only_install(scan_folder(tmp_path), python.path)
    assert install.crypto.linkage is Linkage.LOCAL
    assert install.crypto.library is not None
    assert install.crypto.library.version == "3.0.22"
    assert any("compiled against openssl 3.0.11; this is not the version in use" in e.detail for e in install.evidence)


def test_library_without_its_marks_has_no_version(tmp_path: Path) -> None:
    python = make_python(tmp_path)
    ssl, _ = make_crypto(tmp_path / "usr/lib64", has_code=False)
    with_module(python, ssl)
    crypto = only_install(scan_folder(tmp_path), python.path)[0].crypto
    assert crypto.library is not None
    assert crypto.library.version is None


def test_library_that_is_nowhere_is_unresolved(tmp_path: Path) -> None:
    python = make_python(tmp_path)
    ssl, libcrypto = make_crypto(tmp_path / "elsewhere")
    with_module(python, ssl)
    assert libcrypto.exists()
    install, _ = only_install(scan_folder(tmp_path), python.path)
    assert install.crypto.linkage is Linkage.UNRESOLVED
    assert install.crypto.needed == "libssl.so.9"
    assert install.crypto.library is None
    assert any(item.kind is EvidenceKind.ABSENCE and "libssl.so.9" in item.detail for item in install.evidence)


@pytest.mark.parametrize("is_inside", [True, False], ids=["in the snap", "in its base snap"])
def test_a_snap_never_takes_the_hosts_library(tmp_path: Path, is_inside: bool) -> None:
    python = make_python(tmp_path, "/snap/tool/12/usr")
    ssl, _ = make_crypto(python.folder / "lib" if is_inside else tmp_path / "usr/lib64")
    with_module(python, ssl, "-Wl,--disable-new-dtags,-rpath,$ORIGIN/../..")
    install, _ = only_install(scan_folder(tmp_path), python.path)
    if is_inside:
        assert install.crypto.linkage is Linkage.BUNDLED
    else:
        assert (install.crypto.linkage, install.crypto.library) == (Linkage.UNKNOWN, None)
        assert any("comes from its base snap" in item.detail for item in install.evidence)


def test_library_of_another_architecture_is_passed_over(tmp_path: Path) -> None:
    python = make_python(tmp_path)
    ssl, libcrypto = make_crypto(tmp_path / "usr/lib64")
    with_module(python, ssl)
    data = bytearray(libcrypto.read_bytes())
    data[18:20] = (183).to_bytes(2, "little")
    libcrypto.write_bytes(data)
    crypto = only_install(scan_folder(tmp_path), python.path)[0].crypto
    assert crypto.linkage is Linkage.UNRESOLVED


def test_rpath_of_the_executable_reaches_the_module_and_its_library(tmp_path: Path) -> None:
    python = make_python(tmp_path)
    ssl, _ = make_crypto(tmp_path / "srv/tls")
    library = python.folder / "lib/libpython3.99.so.1.0"
    from tests.agent.roots import MAIN, compile_c

    compile_c(python.executable, MAIN, str(library), "-Wl,--disable-new-dtags,-rpath,$ORIGIN/../lib:/srv/tls")
    with_module(python, ssl)
    crypto = only_install(scan_folder(tmp_path), python.path)[0].crypto
    assert crypto.path == "/srv/tls/libcrypto.so.9"
    assert crypto.linkage is Linkage.LOCAL


def test_runpath_of_the_executable_does_not_reach_the_module(tmp_path: Path) -> None:
    python = make_python(tmp_path, rpath="$ORIGIN/../lib:/srv/tls")
    ssl, _ = make_crypto(tmp_path / "srv/tls")
    with_module(python, ssl)
    assert only_install(scan_folder(tmp_path), python.path)[0].crypto.linkage is Linkage.UNRESOLVED


def test_library_that_the_executable_has_loaded_answers_first(tmp_path: Path) -> None:
    python = make_python(tmp_path)
    ssl, libcrypto = make_crypto(tmp_path / "srv/tls", text="OpenSSL 3.1.1 30 May 2023")
    make_crypto(tmp_path / "usr/lib64", text="OpenSSL 1.1.1w 11 Sep 2023")
    library = python.folder / "lib/libpython3.99.so.1.0"
    shared(library, LIBPYTHON, "libpython3.99.so.1.0", "-Wl,--no-as-needed", str(libcrypto), "-Wl,-rpath,/srv/tls")
    with_module(python, ssl)
    crypto = only_install(scan_folder(tmp_path), python.path)[0].crypto
    assert crypto.path == "/srv/tls/libcrypto.so.9"
    assert crypto.library is not None
    assert crypto.library.version == "3.1.1"


def test_python_without_tls_has_none(tmp_path: Path) -> None:
    python = make_python(tmp_path)
    crypto = only_install(scan_folder(tmp_path), python.path)[0].crypto
    assert (crypto.linkage, crypto.library, crypto.path) == (Linkage.NONE, None, None)


def test_tls_module_that_cannot_be_read_leaves_it_unknown(tmp_path: Path) -> None:
    python = make_python(tmp_path)
    (python.dynload / "_ssl.cpython-399-x86_64-linux-gnu.so").write_bytes(b"\x7fELF damaged")
    install, _ = only_install(scan_folder(tmp_path), python.path)
    assert install.crypto.linkage is Linkage.UNKNOWN
    assert any("could not be read" in item.detail for item in install.evidence)


def test_python_without_its_standard_library_leaves_it_unknown(tmp_path: Path) -> None:
    python = make_python(tmp_path)
    (python.folder / "lib/python3.99/os.py").unlink()
    install, build = only_install(scan_folder(tmp_path), python.path)
    assert install.crypto.linkage is Linkage.UNKNOWN
    assert build is not None
    assert len(build.files) == 2


def test_tls_module_that_shows_nothing_leaves_it_unknown(tmp_path: Path) -> None:
    python = make_python(tmp_path)
    source = MODULE.replace("extern int SSL_new(void);", "static int SSL_new(void) { return 1; }")
    shared(python.dynload / "_ssl.cpython-399-x86_64-linux-gnu.so", source, None)
    install, _ = only_install(scan_folder(tmp_path), python.path)
    assert install.crypto.linkage is Linkage.UNKNOWN


@pytest.mark.parametrize(
    ("text", "family"),
    [
        pytest.param("OpenSSL 3.2.1 30 Jan 2024", CryptoFamily.OPENSSL, id="openssl"),
        pytest.param("LibreSSL 3.9.2", CryptoFamily.LIBRESSL, id="libressl"),
    ],
)
def test_family_of_the_library_that_is_loaded(tmp_path: Path, text: str, family: CryptoFamily) -> None:
    python = make_python(tmp_path)
    ssl, _ = make_crypto(tmp_path / "usr/lib64", text=text)
    with_module(python, ssl)
    crypto = only_install(scan_folder(tmp_path), python.path)[0].crypto
    assert crypto.library is not None
    assert crypto.library.family is family
    assert crypto.library.version == text.split()[1]
    assert crypto_source(text)
