"""Records of installed distributions: sites, names, RECORD, metadata, bills of materials; hostile ones too."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from libcensus.agent import wheels
from libcensus.agent.errors import UnreadableError
from libcensus.agent.wheels import Site, info_folders, normal_name, read_bill, read_metadata, record_names, site_of


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("/opt/venv/lib/python3.12/site-packages/a/b.so", Site("/opt/venv/lib/python3.12/site-packages", "/opt/venv")),
        ("/usr/lib/python3/dist-packages/a.so", Site("/usr/lib/python3/dist-packages", "/usr")),
        ("/usr/local/lib/python3.11/dist-packages/a.so",
         Site("/usr/local/lib/python3.11/dist-packages", "/usr/local")),
        ("/root/.local/lib/python3.13t/site-packages/a.so",
         Site("/root/.local/lib/python3.13t/site-packages", "/root/.local")),
        ("/opt/pypy/lib/pypy3.10/site-packages/a.so", Site("/opt/pypy/lib/pypy3.10/site-packages", "/opt/pypy")),
        ("/venv/lib64/python3.9/site-packages/a.so", Site("/venv/lib64/python3.9/site-packages", "/venv")),
        ("/lib/python3.9/site-packages/a.so", Site("/lib/python3.9/site-packages", "/")),
        ("/a/lib/python3.9/site-packages/b/lib/python3.8/site-packages/c.so",
         Site("/a/lib/python3.9/site-packages/b/lib/python3.8/site-packages",
              "/a/lib/python3.9/site-packages/b")),
        ("/opt/app/site-packages/a.so", Site("/opt/app/site-packages", None)),
        ("/opt/venv/lib/python3.12/site-packages", None),
        ("/usr/lib/libcrypto.so.3", None),
    ],
)  # fmt: skip
def test_site_of_a_file(path: str, expected: Site | None) -> None:
    assert site_of(path) == expected


def test_records_in_a_site_folder() -> None:
    names = ["Some.Pkg-1.0.dist-info", "psycopg2_binary-2.9.9.dist-info", "old-3.1-py3.9.egg-info",
             "odd.egg-info", "nat-1-py3.9-linux-x86_64.egg-info", "pkg", "x.dist-info.bak"]  # fmt: skip
    assert info_folders(names) == {
        "Some.Pkg-1.0.dist-info": "some-pkg",
        "psycopg2_binary-2.9.9.dist-info": "psycopg2-binary",
        "old-3.1-py3.9.egg-info": "old",
        "odd.egg-info": "odd",
        "nat-1-py3.9-linux-x86_64.egg-info": "nat",
    }


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Metadata-Version: 2.4\nName: A.B\nVersion: 1.0\n\nName: not this\n", ("A.B", "1.0")),
        ("name: x\n  folded: y\nVERSION: 2\n", ("x", "2")),
        ("Name: x\n", ("x", None)),
        ("Version: 1\n", None),
        ("", None),
    ],
)
def test_metadata(text: str, expected: tuple[str, str | None] | None) -> None:
    assert read_metadata(text) == expected


def test_record_names_files_with_quotes_and_commas() -> None:
    record = 'a/b.so,sha256=x,1\n"a/odd, name.so",sha256=y,2\n./c.so,,\n"broken\n'
    wanted = frozenset({"a/b.so", "a/odd, name.so", "c.so", "b.so"})
    assert record_names(record, wanted) == {"a/b.so", "a/odd, name.so", "c.so"}
    assert record_names("", wanted) == set()
    assert record_names("xa.so,,\n" * 3000 + "a.so,,\n", frozenset({"a.so"})) == set()


def test_cyclonedx_names_libraries_and_not_bindings() -> None:
    generic = {"name": "openssl", "version": "3.5.4", "purl": "pkg:generic/openssl@3.5.4"}
    document = {
        "components": [
            generic,
            generic,
            {"name": "openssl", "version": "0.10.81", "purl": "pkg:cargo/openssl@0.10.81"},
            {"name": "openssl-sys", "version": "0.9.117"},
            {"name": "pyopenssl", "version": "26.4"},
            {"name": "wrapper", "components": [{"name": "aws-lc", "version": "1.61.0"}]},
            {"name": "openssl"},
            "text",
        ]
    }
    found = [(one.family.value, one.version, one.upstream) for one in read_bill(json.dumps(document).encode())]
    assert sorted(found) == [("aws-lc", "1.61.0", "1.61.0"), ("openssl", "3.5.4", "3.5.4")]


@pytest.mark.parametrize(
    ("version", "purl", "upstream", "is_repackaged"),
    [
        ("1.1.1k-15.el8_6", "pkg:rpm/almalinux/openssl-libs@1.1.1k-15.el8_6", "1.1.1k", True),
        ("1:3.0.7-27.el9", "pkg:rpm/rocky/openssl-libs@3.0.7-27.el9?epoch=1", "3.0.7", True),
        ("3.0.17-1~deb12u2", "pkg:deb/debian/openssl@3.0.17-1~deb12u2", "3.0.17", True),
        ("openssl-3.5.4", "pkg:github/openssl/openssl@openssl-3.5.4", "3.5.4", False),
        ("OpenSSL_1_1_1w", "pkg:github/openssl/openssl@OpenSSL_1_1_1w", "1.1.1w", False),
        ("main", None, None, False),
    ],
)
def test_spdx_versions(version: str, purl: str | None, upstream: str | None, is_repackaged: bool) -> None:
    references = [] if purl is None else [{"referenceType": "purl", "referenceLocator": purl}]
    document = {"packages": [{"name": "openssl", "versionInfo": version, "externalRefs": references}]}
    (found,) = read_bill(json.dumps(document).encode())
    assert (found.upstream, found.is_repackaged, found.package_url) == (upstream, is_repackaged, purl)


def test_bill_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(wheels, "MOST_COMPONENTS", 3)
    document = {"components": [{"name": "openssl", "version": f"3.0.{number}"} for number in range(9)]}
    assert len(read_bill(json.dumps(document).encode())) == 3


@pytest.mark.parametrize("content", [b"", b"{", b"\xff", b"[" * 200_000, b'{"a":' * 200_000])
def test_damaged_bill_is_said(content: bytes) -> None:
    with pytest.raises(UnreadableError, match="damaged-sbom"):
        read_bill(content)


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=9),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(
            st.sampled_from(["components", "packages", "name", "version", "purl", "externalRefs"]), inner, max_size=4
        )
    ),
    max_leaves=20,
)


@given(VALUES)
def test_any_json_is_a_bill_or_none(value: object) -> None:
    assert isinstance(read_bill(json.dumps(value).encode()), tuple)


@given(st.text(max_size=200), st.text(min_size=1, max_size=20))
def test_any_text_is_read(text: str, name: str) -> None:
    read_metadata(text)
    assert record_names(text, frozenset({name})) <= {name}
    assert normal_name(name) == normal_name(normal_name(name))
    info_folders([text])
    site_of(text)
