"""OpenVEX documents: what is taken, what is refused, and with which words."""

from __future__ import annotations

import json
from datetime import date
from typing import Any

import jsonschema
import pytest

from libcensus.collector.acceptance.openvex import LARGEST, OpenVexError, read_document
from libcensus.collector.posture.acceptance import HostScope, PlaceScope, Scope
from libcensus.collector.posture.finding import VexStatus
from libcensus.collector.posture.selector import Selector
from tests.collector.acceptance import structure
from tests.collector.acceptance.documents import BUILD, DOCUMENT, document, statement, text


def is_valid(content: bytes) -> bool:
    return jsonschema.Draft202012Validator(structure.DOCUMENT).is_valid(json.loads(content))


GOOD: list[tuple[str, dict[str, Any], dict[str, Any]]] = [
    ("justified", {}, {"status": VexStatus.NOT_AFFECTED, "justification": "vulnerable_code_not_in_execute_path"}),
    ("with a reason alone", {"justification": None}, {"justification": None}),
    (
        "affected until then",
        {"status": "affected", "justification": None, "impact_statement": None, "action_statement": "replaced in May"},
        {"status": VexStatus.AFFECTED, "reason": "replaced in May"},
    ),
    ("lower case", {"vulnerability": {"name": "cve-2025-15467"}}, {"advisories": ("CVE-2025-15467",)}),
    (
        "aliases",
        {"vulnerability": {"name": "PSF-2025-1", "aliases": ["CVE-2025-15467"], "description": "x"}},
        {"advisories": ("PSF-2025-1", "CVE-2025-15467")},
    ),
    ("own id", {"@id": "https://example.com/vex/2026-1/a"}, {"id": "https://example.com/vex/2026-1/a"}),
    ("no id", {}, {"id": f"{DOCUMENT}#1", "document": DOCUMENT}),
    ("the document's day", {}, {"since": date(2026, 7, 1), "expires": date(2027, 1, 31)}),
    ("its own day, in UTC", {"timestamp": "2026-08-01T00:30:00+02:00"}, {"since": date(2026, 7, 31)}),
    ("expiry first, in any case", {"status_notes": "  EXPIRES :2026-12-01  \nx"}, {"expires": date(2026, 12, 1)}),
    (
        "several products",
        {"products": [{"@id": "urn:libcensus:host:web-1"}, {"@id": "urn:libcensus:label:env=prod,team!=web"}]},
        {
            "scopes": (
                Scope(HostScope(host="web-1")),
                Scope(HostScope(selector=Selector.parse("team!=web,env=prod"))),
            )
        },
    ),
    (
        "a build",
        {"products": [{"@id": f"urn:libcensus:build:sha256:{BUILD.upper()}"}]},
        {"scopes": (Scope(HostScope(), PlaceScope(build=BUILD)),)},
    ),
    (
        "things on a host",
        {
            "products": [
                {
                    "@id": "urn:libcensus:host:web%201",
                    "subcomponents": [
                        {"@id": "urn:libcensus:path:/usr/bin/python3"},
                        {"@id": "urn:libcensus:path:/opt/a%3Fb?=root=web"},
                        {"@id": "urn:libcensus:root:web"},
                        {"@id": f"urn:libcensus:build:sha256:{BUILD}"},
                    ],
                }
            ]
        },
        {
            "scopes": (
                Scope(HostScope(host="web 1"), PlaceScope(root="/", path="/usr/bin/python3")),
                Scope(HostScope(host="web 1"), PlaceScope(root="web", path="/opt/a?b")),
                Scope(HostScope(host="web 1"), PlaceScope(root="web")),
                Scope(HostScope(host="web 1"), PlaceScope(build=BUILD)),
            )
        },
    ),
]


@pytest.mark.parametrize(("changes", "expected"), [case[1:] for case in GOOD], ids=[case[0] for case in GOOD])
def test_a_good_statement_is_taken(changes: dict[str, Any], expected: dict[str, Any]) -> None:
    content = text(statement(**changes))
    assert is_valid(content)
    [taken] = read_document(content).statements
    assert {name: getattr(taken, name) for name in expected} == expected


BROKEN: list[tuple[str, dict[str, Any], str]] = [
    (
        "no expiry",
        {"status_notes": None},
        r'statement 1 \(CVE-2025-15467\): has no expiry; add a line such as "Expires: 2',
    ),
    ("notes without expiry", {"status_notes": "until January"}, "has no expiry; add a line"),
    ("two expiries", {"status_notes": "Expires: 2027-01-31\nExpires: 2028-01-31"}, "has 2 lines with an expiry"),
    ("no day", {"status_notes": "Expires: next year"}, "expires on 'next year', which is no day; add a line such"),
    ("no such day", {"status_notes": "Expires: 2027-02-30"}, "'2027-02-30', which is no day"),
    ("another form", {"status_notes": "Expires: 20270130"}, "'20270130', which is no day"),
    ("fixed", {"status": "fixed"}, "status: is fixed, which the facts of each host tell and nobody states; a risk is"),
    ("looked into", {"status": "under_investigation"}, "is under_investigation, which the facts"),
    ("no status of VEX", {"status": "ok"}, "'ok' is none of affected, fixed, not_affected, under_investigation"),
    ("no status", {"status": None}, "status: is missing"),
    ("no reason", {"justification": None, "impact_statement": None}, "says not_affected and not why; add a justif"),
    ("an empty reason", {"justification": None, "impact_statement": " "}, "says not_affected and not why"),
    ("no action", {"status": "affected", "justification": None}, "says affected and not what is done about it; add an"),
    ("no justification of VEX", {"justification": "wontfix"}, "'wontfix' is none of component_not_present, vuln"),
    (
        "a justification of what is affected",
        {"status": "affected", "action_statement": "x"},
        "justification: is for not_affected; the status is affected",
    ),
    ("no products", {"products": None}, "names no products; urn:libcensus:fleet is the whole fleet"),
    ("products empty", {"products": []}, "names no products"),
    ("products twice", {"products": [{"@id": "urn:libcensus:fleet"}] * 2}, "products: one is there twice"),
    (
        "a package URL",
        {"products": [{"@id": "pkg:deb/debian/libssl3"}]},
        "product 1: 'pkg:deb/debian/libssl3' names nothing of a fleet; allowed are urn:libcensus:fleet, urn",
    ),
    (
        "a package URL beside",
        {"products": [{"@id": "urn:libcensus:fleet", "identifiers": {"purl": "pkg:deb/debian/libssl3"}}]},
        "product 1: identifiers: are not read; name what is meant by its @id alone",
    ),
    ("hashes", {"products": [{"@id": "urn:libcensus:fleet", "hashes": {"sha-256": "ab"}}]}, "hashes: are not read"),
    ("a path as the product", {"products": [{"@id": "urn:libcensus:path:/x"}]}, "names nothing of a fleet"),
    ("more than the fleet", {"products": [{"@id": "urn:libcensus:fleet:all"}]}, "says more than the fleet"),
    ("a host without name", {"products": [{"@id": "urn:libcensus:host"}]}, "names no host"),
    ("a broken escape", {"products": [{"@id": "urn:libcensus:host:a%2"}]}, "write %25 for the sign itself"),
    ("a NUL", {"products": [{"@id": "urn:libcensus:host:a%00"}]}, "holds a NUL"),
    ("a short digest", {"products": [{"@id": "urn:libcensus:build:sha256:ab"}]}, "64 hexadecimal digits, as `libc"),
    ("a broken selector", {"products": [{"@id": "urn:libcensus:label:env=,,"}]}, "holds an empty condition"),
    ("a long name", {"products": [{"@id": f"urn:libcensus:host:{'a' * 9000}"}]}, "at most 8192 are read"),
    (
        "below a build",
        {
            "products": [
                {
                    "@id": f"urn:libcensus:build:sha256:{BUILD}",
                    "subcomponents": [{"@id": "urn:libcensus:root:web"}],
                }
            ]
        },
        "subcomponents: are below a build, which has none; name hosts as the product",
    ),
    (
        "a relative path",
        {"products": [{"@id": "urn:libcensus:fleet", "subcomponents": [{"@id": "urn:libcensus:path:usr/bin"}]}]},
        "product 1: subcomponent 1: 'urn:libcensus:path:usr/bin' names no absolute path",
    ),
    (
        "too many",
        {"products": [{"@id": f"urn:libcensus:host:h{number}"} for number in range(1001)]},
        "products: are more than 1000; name groups of hosts by label",
    ),
]
OUTSIDE_THE_SCHEMA: list[tuple[str, dict[str, Any], str]] = [
    ("a key of nobody", {"expires": "2027-01-31"}, r"'expires' is no key of OpenVEX here; allowed are @id, act"),
    ("no vulnerability", {"vulnerability": None}, "statement 1: vulnerability: is missing"),
    ("a name alone", {"vulnerability": "CVE-2025-15467"}, "statement 1: vulnerability: is no object"),
    ("no name", {"vulnerability": {"aliases": []}}, "vulnerability: name: is missing"),
    ("an alias that is none", {"vulnerability": {"name": "x", "aliases": [1]}}, "aliases: 1 is no text"),
    ("aliases twice", {"vulnerability": {"name": "x", "aliases": ["a", "a"]}}, "aliases: one is there twice"),
    ("a number as notes", {"status_notes": 1}, "status_notes: is no text"),
    ("a version that is none", {"version": 0}, "version: is no whole number from 1 up"),
    ("products that are no list", {"products": {}}, "products: is no list"),
    ("a product without name", {"products": [{}]}, "product 1: @id: is missing"),
    ("a time that is none", {"timestamp": "yesterday"}, "timestamp: 'yesterday' is no time in RFC 3339, 2026"),
    ("a time without zone", {"last_updated": "2026-07-01T09:00:00"}, "last_updated: '2026-07-01T09:00:00' is no time"),
    ("an id that is none", {"@id": "first"}, "@id: 'first' is no IRI, such as https"),
]


@pytest.mark.parametrize(("changes", "message"), [case[1:] for case in BROKEN], ids=[case[0] for case in BROKEN])
def test_a_statement_that_is_not_taken_is_told_with_its_remedy(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(OpenVexError, match=message):
        read_document(text(statement(**changes)))


@pytest.mark.parametrize(
    ("changes", "message"),
    [case[1:] for case in OUTSIDE_THE_SCHEMA],
    ids=[case[0] for case in OUTSIDE_THE_SCHEMA],
)
def test_what_the_schema_does_not_allow_is_not_taken(changes: dict[str, Any], message: str) -> None:
    content = text(statement(**changes))
    if "time" not in message and "IRI" not in message:  # formats are not checked by the validator without more packages
        assert not is_valid(content)
    with pytest.raises(OpenVexError, match=message):
        read_document(content)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"@context": "https://openvex.dev/ns/v0.0.1"}, r"@context: is 'https://openvex.dev/ns/v0.0.1'; documents of"),
        ({"@context": None}, "document: @context: is missing"),
        ({"@id": None}, "document: @id: is missing"),
        ({"author": ""}, "document: author: is no text that is not empty"),
        ({"timestamp": "2026-13-01T00:00:00Z"}, "document: timestamp: '2026-13-01T00:00:00Z' is no time"),
        ({"version": True}, "document: version: is no whole number"),
        ({"statements": []}, "document: statements: is empty"),
        ({"statements": None}, "document: statements: is missing"),
        ({"statements": [1]}, "statement 1: is no object"),
        ({"statements": [{}] * 5001}, "document: statements: are 5001, more than 5000; split the document"),
        ({"statements": [statement()] * 2}, "statements: one is there twice"),
        ({"signature": "x"}, "document: 'signature' is no key of OpenVEX here"),
    ],
)
def test_a_document_that_is_not_taken(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(OpenVexError, match=message):
        read_document(text(**changes))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "document: is empty"),
        (b"{", "is no JSON: .* looks cut off"),
        (b"[]", "document: is no object"),
        (b"\xff{}", "is no UTF-8 text"),
        (b"[" * 100_000, "is nested too deeply"),
        (b'{"author": 1, "author": 2}', "the key 'author' is there twice"),
        (b" " * (LARGEST + 1), "has more than 1024 KiB, which is the most that is read; split the document"),
    ],
)
def test_what_is_no_document(content: bytes, message: str) -> None:
    with pytest.raises(OpenVexError, match=message):
        read_document(content)


def test_everything_that_is_wrong_is_told_at_once() -> None:
    wrong = statement(status="fixed"), statement(), statement(status_notes=None)
    with pytest.raises(OpenVexError) as caught:
        read_document(text(*wrong))
    assert [problem[:11] for problem in caught.value.problems] == ["statement 1", "statement 3"]


def test_two_statements_of_one_id() -> None:
    own = "https://example.com/vex/a"
    with pytest.raises(OpenVexError, match=r"@id 'https://example.com/vex/a' is there twice"):
        read_document(text(statement(**{"@id": own}), statement(**{"@id": own, "supplier": "x"})))


def test_the_good_document_is_valid_by_the_specification() -> None:
    jsonschema.validate(document(), structure.DOCUMENT)
