"""Expected outputs as files: compared byte by byte, rewritten by ``UPDATE_GOLDEN=1 pytest``."""

from __future__ import annotations

import os
from pathlib import Path

FOLDER = Path(__file__).parent


def check_golden(name: str, text: str) -> None:
    """Compare a text with the golden file of this name; ``UPDATE_GOLDEN=1`` writes the file instead."""
    path = FOLDER / name
    if os.environ.get("UPDATE_GOLDEN") == "1":
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    assert path.is_file(), f"{path} is missing; run the test with UPDATE_GOLDEN=1"
    assert text == path.read_text(encoding="utf-8")
