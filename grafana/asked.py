"""What the committed dashboards ask of Prometheus: the queries of their panels and variables, as Grafana sends them."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import Any, Final

from grafana.generation import FOLDER
from grafana.panels import ANYTHING

BOARDS: Final[dict[str, dict[str, Any]]] = {
    path.stem: json.loads(path.read_text(encoding="utf-8")) for path in sorted(FOLDER.glob("*.json"))
}
"""Each dashboard by its uid, read as Grafana reads it."""

EVERYTHING: Final = {
    "job": ".+",
    "os_id": ANYTHING,
    "arch": ANYTHING,
    "label": "host",
    "value": ANYTHING,
    "floor": "manylinux_2_28",
    "provider": ANYTHING,
    "implementation": ANYTHING,
    "component": ANYTHING,
    "severity": ANYTHING,
    "instance": ".+",
    "__rate_interval": "1m",
}
"""What Grafana puts in place of variables when everything is chosen; a host is chosen by name."""


@dataclass(frozen=True)
class Asked:
    """One query of a panel; ``width`` is that of the panel, of 24."""

    board: str
    panel: str
    kind: str
    ref: str
    expr: str
    instant: bool
    legend: str = ""
    width: int = 24

    def __str__(self) -> str:
        return f"{self.board}: {self.panel} [{self.ref}]"


def panels(board: dict[str, Any]) -> list[dict[str, Any]]:
    """Return the panels of a dashboard without the headings of its rows."""
    return [panel for panel in board["panels"] if panel["type"] != "row"]


def queries() -> list[Asked]:
    """Return every query of every panel."""
    return [
        Asked(
            uid,
            panel["title"],
            panel["type"],
            target["refId"],
            target["expr"],
            bool(target.get("instant")),
            target.get("legendFormat", ""),
            panel["gridPos"]["w"],
        )
        for uid, board in BOARDS.items()
        for panel in panels(board)
        for target in panel["targets"]
    ]


def filled(text: str, values: dict[str, str]) -> str:
    """Replace variables as Grafana does."""

    def value(found: re.Match[str]) -> str:
        chosen = values[found[1] or found[2]]
        return json.dumps(chosen, ensure_ascii=False) if found[3] == "json" else chosen

    return re.sub(r"\$(?:([a-z_]\w*)|\{([a-z_]\w*)(?::(\w+))?\})", value, text)


@dataclass(frozen=True)
class Lookup:
    """How Grafana finds the values of a variable: an expression, or series that match and one of their labels."""

    board: str
    variable: str
    expr: str = ""
    matches: str = ""
    label: str = ""

    def __str__(self) -> str:
        return f"{self.board}: variable {self.variable}"


def lookups(values: dict[str, str]) -> list[Lookup]:
    """Return how the values of each variable are found, with others filled in; with nothing named: the names of labels."""
    found = []
    for uid, board in BOARDS.items():
        for variable in board["templating"]["list"][1:]:
            text = filled(variable["query"]["query"], values)
            if parts := re.fullmatch(r"label_values\((.+), (\w+)\)", text):
                found.append(Lookup(uid, variable["name"], matches=parts[1], label=parts[2]))
            elif parts := re.fullmatch(r"query_result\((.+)\)", text):
                found.append(Lookup(uid, variable["name"], expr=parts[1]))
            elif text == "label_names()":
                found.append(Lookup(uid, variable["name"]))
            else:
                raise ValueError(f"{uid}: variable {variable['name']}: nobody knows how Grafana asks {text}")
    return found
