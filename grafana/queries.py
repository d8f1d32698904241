"""How the dashboards ask: each series once, however many collectors tell of the same fleet."""

from __future__ import annotations

import re
from typing import Final

from libcensus.collector.metrics.families import FAMILIES

_LABELS: Final = {family.name: family.labels for family in FAMILIES}
_SELECTOR: Final = re.compile(r"(?<![\w:])(libcensus_\w+)\{(?:\$\{[^}]*\}|[^}])*\}")
_CONDITION: Final = re.compile(r"(\band on \([\w, ]+\) \(?|\bor |\b(min|max) by \([\w, ]+\) \(+)$")
_ENDING: Final = re.compile(r"_(bucket|count|sum)$")


def counted_once(expr: str) -> str:
    """Return an expression on one line, with every family of the fleet reduced to its own labels and `job`.

    Collectors that run side by side on one database tell the same of the fleet: without this, sums would hold each host
    as often as there are collectors. Recorded series, families about a collector itself, what is only a condition
    (`and on (…)`), and what a minimum or maximum takes anyhow stay as they are.
    """
    return _SELECTOR.sub(_once, " ".join(expr.split()))


def _once(found: re.Match[str]) -> str:
    name = found[1]
    if _CONDITION.search(found.string[: found.start()]):
        return found[0]
    family = _ENDING.sub("", name)
    labels = _LABELS.get(name)
    if labels is None and family in _LABELS:
        labels = (*_LABELS[family], "le") if name.endswith("_bucket") else _LABELS[family]
    return found[0] if labels is None else f"max by ({', '.join(('job', *labels))}) ({found[0]})"
