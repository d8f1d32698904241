"""The JSON of a scan: valid by its schema, described key by key, and true to the facts."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from libcensus.agent.document import scan_document, scan_schema
from libcensus.facts.vocabulary import (
    CryptoFamily,
    EvidenceKind,
    Implementation,
    Installer,
    InstallKind,
    LibcFamily,
    Linkage,
    LoaderKind,
    PackageOrigin,
    ProbeState,
    Provider,
)
from tests.agent.roots import add_dpkg, make_crypto, make_python, needs_gcc, scan_folder, shared

PAGE = Path(__file__).parents[2] / "docs/scan-json.md"


def resolved(node: dict[str, Any]) -> dict[str, Any]:
    if "$ref" not in node:
        return node
    target: dict[str, Any] = scan_schema()["$defs"][node["$ref"].rpartition("/")[2]]
    return target | {"description": node["description"]}


def keys(node: dict[str, Any], prefix: str = "") -> dict[str, dict[str, Any]]:
    """Return every documented key of the schema by its dotted name."""
    found: dict[str, dict[str, Any]] = {}
    node = resolved(node)
    items = resolved(node.get("items", {}))
    for below, children in ((prefix, node.get("properties", {})), (f"{prefix}[]", items.get("properties", {}))):
        for name, child in children.items():
            dotted = f"{below}.{name}" if below else name
            found[dotted] = resolved(child)
            found |= keys(child, dotted)
    return found


def full_root(tmp_path: Path) -> dict[str, Any]:
    python = make_python(tmp_path)
    ssl, _ = make_crypto(tmp_path / "usr/lib64")
    python.add_module(ssl)
    shared(tmp_path / "lib64/ld-linux-x86-64.so.2", "int start(void) { return 0; }\n", "ld-linux-x86-64.so.2")
    add_dpkg(tmp_path, {"libssl9": ("9.8-1", "Source: openssl\n", ("/usr/lib64/libcrypto.so.9",))})
    (tmp_path / "etc").mkdir()
    (tmp_path / "etc/os-release").write_text("ID=test\nVERSION_ID=1\nID_LIKE=debian\n")
    (tmp_path / "env/bin").mkdir(parents=True)
    (tmp_path / "env/bin/python").symlink_to(python.path)
    (tmp_path / "env/pyvenv.cfg").write_text("home = /opt/python/bin\nversion = 3.99.0\n")
    (tmp_path / "gone/bin").mkdir(parents=True)
    (tmp_path / "gone/bin/python").symlink_to("/nowhere")
    (tmp_path / "gone/pyvenv.cfg").write_text("home = /nowhere\n")
    document: dict[str, Any] = json.loads(json.dumps(scan_document(scan_folder(tmp_path))))
    return document


def test_schema_is_a_schema() -> None:
    jsonschema.Draft202012Validator.check_schema(scan_schema())


@needs_gcc
def test_scan_of_a_root_is_valid(tmp_path: Path) -> None:
    jsonschema.validate(full_root(tmp_path), scan_schema())


def test_scan_of_an_empty_folder_is_valid(tmp_path: Path) -> None:
    jsonschema.validate(json.loads(json.dumps(scan_document(scan_folder(tmp_path)))), scan_schema())


@needs_gcc
def test_scan_has_exactly_the_keys_of_the_schema(tmp_path: Path) -> None:
    document = full_root(tmp_path)

    def names(value: object, prefix: str = "") -> set[str]:
        if isinstance(value, list):
            return {name for item in value for name in names(item, f"{prefix}[]")}
        if not isinstance(value, dict) or prefix.rpartition(".")[2] in (
            "libraries",
            "symbol_versions",
            "weak_symbol_versions",
        ):
            return set()
        found = set()
        for name, child in value.items():
            dotted = f"{prefix}.{name}" if prefix else name
            found |= {dotted} | names(child, dotted)
        return found

    documented = set(keys(scan_schema()))
    written = names(document)
    assert not written - documented
    # A root of one compiler cannot show everything: packages of some files, and what test_inner_roots makes up.
    elsewhere = ("crypto_copies[]", "tools[]", "tool_settings[]", "processes[]", "roots[]", "changelogs[]")
    missing = {name for name in documented - written if ".package." not in name and not name.startswith(elsewhere)}
    assert not missing


def test_page_and_schema_name_the_same_keys() -> None:
    rows = re.findall(r"^\| `([a-z0-9_.\[\]]+)` \| (.*?) \| (.*?) \|$", PAGE.read_text(), re.MULTILINE)
    described = {name: meaning for name, _, meaning in rows}
    schema = keys(scan_schema())
    assert set(described) == set(schema)
    assert described == {name: node["description"] for name, node in schema.items()}


@pytest.mark.parametrize(
    ("key", "words"),
    [
        ("installs[].kind", InstallKind),
        ("installs[].implementation", Implementation),
        ("installs[].provider", Provider),
        ("installs[].installer", Installer),
        ("installs[].crypto.linkage", Linkage),
        ("installs[].crypto.family", CryptoFamily),
        ("installs[].crypto.package.origin", PackageOrigin),
        ("installs[].requirement.loader_kind", LoaderKind),
        ("installs[].evidence[].kind", EvidenceKind),
        ("host.libc.family", LibcFamily),
        ("probes[].state", ProbeState),
    ],
)
def test_schema_knows_every_word(key: str, words: type[Any]) -> None:
    assert {word for word in keys(scan_schema())[key]["enum"] if word is not None} == {str(word) for word in words}


@needs_gcc
def test_facts_of_one_install(tmp_path: Path) -> None:
    document = full_root(tmp_path)
    base, env, gone = (
        next(one for one in document["installs"] if one["path"] == path)
        for path in ("/opt/python/bin/python3.99", "/env/bin/python", "/gone/bin/python")
    )
    assert base["root"] == str(tmp_path)
    assert (base["kind"], base["implementation"], base["version"]) == ("base", "cpython", "3.99.1")
    assert base["crypto"]["linkage"] == "system"
    assert base["crypto"]["path"] == "/usr/lib64/libcrypto.so.9"
    assert base["crypto"]["package"]["source"] == "openssl"
    assert base["requirement"]["loader"].startswith("/lib")
    assert "libssl.so.9" in base["requirement"]["sonames"]
    assert "libpython3.99.so.1.0" not in base["requirement"]["sonames"]
    assert {one["file"] for one in base["requirement"]["raised_by"]} == {"/opt/python/bin/python3.99"}
    assert all(one["file"].startswith("/") for one in base["evidence"])
    assert (env["kind"], env["base"], env["build"]) == ("venv", base["path"], base["build"])
    assert env["requirement"] == base["requirement"]
    assert (env["version"], env["recorded_version"]) == ("3.99.1", "3.99.0")
    assert (gone["build"], gone["requirement"], gone["provider"]) == (None, None, "unknown")
    assert document["platform"]["sonames"] == ["ld-linux-x86-64.so.2", "libcrypto.so.9", "libssl.so.9"]
    assert document["host"]["os_release"]["id_like"] == ["debian"]
