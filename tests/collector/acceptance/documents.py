"""OpenVEX documents for tests: a good one, and changes to it."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pathlib import Path

DOCUMENT = "https://example.com/vex/2026-1"
BUILD = "ab" * 32


def statement(**changes: Any) -> dict[str, Any]:
    """Return a statement that is taken; a change to None takes the key away."""
    made: dict[str, Any] = {
        "vulnerability": {"name": "CVE-2025-15467"},
        "products": [{"@id": "urn:libcensus:fleet"}],
        "status": "not_affected",
        "justification": "vulnerable_code_not_in_execute_path",
        "impact_statement": "CMS messages are never parsed here",
        "status_notes": "Reviewed by the platform team.\nExpires: 2027-01-31",
    }
    made.update(changes)
    return {key: value for key, value in made.items() if value is not None}


def document(*statements: dict[str, Any], **changes: Any) -> dict[str, Any]:
    """Return a document that is taken."""
    made: dict[str, Any] = {
        "@context": "https://openvex.dev/ns/v0.2.0",
        "@id": DOCUMENT,
        "author": "Platform team <platform@example.com>",
        "timestamp": "2026-07-01T09:00:00Z",
        "version": 1,
        "statements": list(statements) or [statement()],
    }
    made.update(changes)
    return {key: value for key, value in made.items() if value is not None}


def text(*statements: dict[str, Any], **changes: Any) -> bytes:
    """Return a document's bytes."""
    return json.dumps(document(*statements, **changes)).encode()


def put(folder: Path, name: str, content: bytes) -> Path:
    """Write a document into a folder, which is made where it is missing."""
    folder.mkdir(exist_ok=True)
    place = folder / name
    place.write_bytes(content)
    return place
