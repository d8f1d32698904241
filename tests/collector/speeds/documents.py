"""Documents of measured speed as tests need them: interpreters that run so and so fast, without anything being run."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

PARTS = ("objects", "text")

DISTRO = "a" * 64
PBS = "b" * 64
PYENV = "c" * 64
PYPY = "d" * 64


def interpreter(
    path: str = "/usr/bin/python3.12",
    build: str = DISTRO,
    provider: str = "distro",
    version: str | None = "3.12.3",
    times: Sequence[float] = (0.010,) * 8,
    *,
    implementation: str = "cpython",
    language: str = "3.12",
    **changes: Any,
) -> dict[str, Any]:
    """Return an interpreter whose first part takes these times, one for each round, and each further part twice it."""
    parts = [
        {"name": name, "samples": [seconds * (number + 1) for seconds in times]} for number, name in enumerate(PARTS)
    ]
    return {
        "path": path,
        "build": build,
        "implementation": implementation,
        "version": version,
        "language": language,
        "provider": provider,
        "arch": "x86_64",
        "parts": parts,
        **changes,
    }


def document(*interpreters: dict[str, Any], machine: str = "build-1", **changes: Any) -> dict[str, Any]:
    """Return a document; the first interpreter is the baseline."""
    listed = interpreters or (interpreter(),)
    return {
        "schema_version": 1,
        "kind": "speed",
        "measured_at": "2026-11-30T19:30:00Z",
        "machine": {"name": machine},
        "workload": {"version": "0", "digest": "0" * 64, "parts": list(PARTS)},
        "rounds": len(listed[0]["parts"][0]["samples"]) if listed[0]["parts"] else 8,
        "baseline": listed[0]["path"],
        "interpreters": list(listed),
        **changes,
    }


def content(*interpreters: dict[str, Any], **changes: Any) -> bytes:
    """Return a document as a file has it."""
    return json.dumps(document(*interpreters, **changes)).encode()


def put(folder: Path, name: str, data: bytes) -> Path:
    """Write a file as a person would, by renaming; returns it."""
    folder.mkdir(exist_ok=True)
    draft = folder / f".{name}.draft"
    draft.write_bytes(data)
    return draft.rename(folder / name)
