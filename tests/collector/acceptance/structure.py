"""OpenVEX 0.2.0's structure as a JSON Schema, written from its specification: keys, kinds of values, what is required.

Formats (IRIs, times) are not in here: a validator checks them only with further packages.
"""

from __future__ import annotations

from typing import Any


def _text() -> dict[str, Any]:
    return {"type": "string"}


def _closed(required: tuple[str, ...] = (), **properties: dict[str, Any]) -> dict[str, Any]:
    named = {name.replace("_at_", "@"): value for name, value in properties.items()}
    return {"type": "object", "properties": named, "required": list(required), "additionalProperties": False}


def _unique(items: dict[str, Any], least: int = 0) -> dict[str, Any]:
    return {"type": "array", "items": items, "uniqueItems": True, "minItems": least}


VERSION = {"type": "integer", "minimum": 1}
NAMED = {"anyOf": [{"required": ["@id"]}, {"required": ["identifiers"]}]}
IDENTIFIERS = {
    **_closed(purl=_text(), cpe22=_text(), cpe23=_text()),
    "anyOf": [{"required": ["purl"]}, {"required": ["cpe22"]}, {"required": ["cpe23"]}],
}
HASHES = {"type": "object", "additionalProperties": _text()}
SUBCOMPONENT = {**_closed(_at_id=_text(), identifiers=IDENTIFIERS, hashes=HASHES), **NAMED}
PRODUCT = {
    **_closed(_at_id=_text(), identifiers=IDENTIFIERS, hashes=HASHES, subcomponents=_unique(SUBCOMPONENT)),
    **NAMED,
}
VULNERABILITY = _closed(("name",), _at_id=_text(), name=_text(), description=_text(), aliases=_unique(_text()))
JUSTIFICATIONS = (
    "component_not_present",
    "vulnerable_code_not_present",
    "vulnerable_code_not_in_execute_path",
    "vulnerable_code_cannot_be_controlled_by_adversary",
    "inline_mitigations_already_exist",
)
STATEMENT = {
    **_closed(
        ("vulnerability", "status"),
        _at_id=_text(),
        version=VERSION,
        vulnerability=VULNERABILITY,
        timestamp=_text(),
        last_updated=_text(),
        products=_unique(PRODUCT),
        status={"enum": ["not_affected", "affected", "fixed", "under_investigation"]},
        supplier=_text(),
        status_notes=_text(),
        justification={"enum": list(JUSTIFICATIONS)},
        impact_statement=_text(),
        action_statement=_text(),
        action_statement_timestamp=_text(),
    ),
    "allOf": [
        {
            "if": {"properties": {"status": {"const": "not_affected"}}},
            "then": {"anyOf": [{"required": ["justification"]}, {"required": ["impact_statement"]}]},
        },
        {"if": {"properties": {"status": {"const": "affected"}}}, "then": {"required": ["action_statement"]}},
    ],
}
DOCUMENT = _closed(
    ("@context", "@id", "author", "timestamp", "version", "statements"),
    _at_context=_text(),
    _at_id=_text(),
    author=_text(),
    role=_text(),
    timestamp=_text(),
    last_updated=_text(),
    version=VERSION,
    tooling=_text(),
    statements=_unique(STATEMENT, 1),
)
