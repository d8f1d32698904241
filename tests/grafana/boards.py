"""What the committed dashboards hold, read as Grafana would read it."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from grafana.generation import FOLDER

if TYPE_CHECKING:
    from collections.abc import Iterator

BOARDS: dict[str, dict[str, Any]] = {
    path.stem: json.loads(path.read_text(encoding="utf-8")) for path in sorted(FOLDER.glob("*.json"))
}


@dataclass(frozen=True)
class Asked:
    """One query of a panel or variable."""

    board: str
    panel: str
    kind: str
    ref: str
    expr: str
    instant: bool
    legend: str = ""

    def __str__(self) -> str:
        return f"{self.board}: {self.panel} [{self.ref}]"


def panels(board: dict[str, Any]) -> list[dict[str, Any]]:
    return [panel for panel in board["panels"] if panel["type"] != "row"]


def queries() -> list[Asked]:
    return [
        Asked(
            uid,
            panel["title"],
            panel["type"],
            target["refId"],
            target["expr"],
            bool(target.get("instant")),
            target.get("legendFormat", ""),
        )
        for uid, board in BOARDS.items()
        for panel in panels(board)
        for target in panel["targets"]
    ]


def filled(text: str, values: dict[str, str]) -> str:
    """Replace variables as Grafana does."""

    def value(found: re.Match[str]) -> str:
        return values[found[1] or found[2]]

    return re.sub(r"\$(?:([a-z_]\w*)|\{([a-z_]\w*)[^}]*\})", value, text)


def strings(value: object) -> Iterator[str]:
    """Yield every text in a piece of JSON."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for item in value.values():
            yield from strings(item)
    elif isinstance(value, list):
        for item in value:
            yield from strings(item)
