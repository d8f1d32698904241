"""The rules as data: which files there are, what each rule names, and which labels its answer has.

Labels are worked out from the expression alone, as Prometheus would, beginning with what the product declares of each
family; so a rule that groups by, joins on, matches or prints a label that cannot be there is found without a scrape.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import promql_parser as promql
import yaml

from libcensus.collector.metrics.families import FAMILIES
from libcensus.collector.process_metrics import process_families

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "prometheus"
RULE_FILES = tuple(sorted((FOLDER / "rules").glob("*.yml")))
ALERTS = FOLDER / "rules" / "libcensus-alerts.yml"
CASES = tuple(sorted((FOLDER / "tests").glob("*.yml")))

TARGET = frozenset({"job", "instance"})
"""What Prometheus itself puts on everything that it scrapes."""


@dataclass(frozen=True, slots=True)
class Rule:
    """One rule of a file."""

    file: str
    group: str
    name: str
    expr: str
    is_alert: bool
    waits: str
    labels: Mapping[str, str]
    annotations: Mapping[str, str]


class LabelError(ValueError):
    """An expression names a metric or a label that cannot be there."""


def load(path: Path) -> Any:
    """Return a YAML file as data."""
    return yaml.safe_load(path.read_text(encoding="utf-8"))


@cache
def rules() -> tuple[Rule, ...]:
    """Return every rule of every file."""
    return tuple(
        Rule(
            path.name,
            group["name"],
            rule.get("alert") or rule["record"],
            str(rule["expr"]),
            "alert" in rule,
            rule.get("for", ""),
            rule.get("labels", {}),
            rule.get("annotations", {}),
        )
        for path in RULE_FILES
        for group in load(path)["groups"]
        for rule in group["rules"]
    )


def alerts() -> tuple[Rule, ...]:
    """Return the alerts."""
    return tuple(rule for rule in rules() if rule.is_alert)


def records() -> tuple[Rule, ...]:
    """Return the recording rules."""
    return tuple(rule for rule in rules() if not rule.is_alert)


@cache
def declared() -> Mapping[str, frozenset[str]]:
    """Return the labels of every series that a collector exports, by name."""
    found: dict[str, frozenset[str]] = {}
    families = [(one.name, one.labels, one.kind.value) for one in FAMILIES]
    families += [(one.name, one.labels, one.type) for one in process_families()]
    for name, labels, kind in families:
        if kind == "histogram":
            found |= {f"{name}_bucket": frozenset({*labels, "le"})}
            found |= {f"{name}_{part}": frozenset(labels) for part in ("count", "sum")}
        else:
            found[name] = frozenset(labels)
    return found


@cache
def labels_of(name: str) -> frozenset[str]:
    """Return the labels of a series by its name: exported, recorded, or Prometheus' own ``up``."""
    if name == "up":
        return TARGET
    if name in declared():
        return declared()[name] | TARGET
    recording = [rule for rule in records() if rule.name == name]
    if not recording:
        raise LabelError(f"nothing exports or records {name}")
    found = {labels_in(promql.parse(rule.expr)) | frozenset(rule.labels) for rule in recording}
    if len(found) > 1:
        raise LabelError(f"the rules that record {name} do not agree on its labels")
    return found.pop()


def labels_in(expr: Any) -> frozenset[str]:
    """Return the labels of an expression's answer; raises LabelError where it names what cannot be there."""
    if isinstance(expr, promql.VectorSelector):
        return _selected(expr)
    if isinstance(expr, promql.MatrixSelector):
        return _selected(expr.vector_selector)
    if isinstance(expr, promql.ParenExpr | promql.UnaryExpr | promql.SubqueryExpr):
        return labels_in(expr.expr)
    if isinstance(expr, promql.AggregateExpr):
        return _aggregated(expr)
    if isinstance(expr, promql.BinaryExpr):
        return _joined(expr)
    if isinstance(expr, promql.Call):
        return _called(expr)
    return frozenset()


def selected(expr: Any) -> Iterator[str]:
    """Yield the names of all series that an expression asks for."""
    if isinstance(expr, promql.VectorSelector):
        yield expr.name or ""
    elif isinstance(expr, promql.MatrixSelector):
        yield expr.vector_selector.name or ""
    elif isinstance(expr, promql.BinaryExpr):
        yield from selected(expr.lhs)
        yield from selected(expr.rhs)
    elif isinstance(expr, promql.Call):
        for argument in expr.args:
            yield from selected(argument)
    elif hasattr(expr, "expr"):
        yield from selected(expr.expr)


def _demand(wanted: Iterable[str], there: frozenset[str], what: str) -> None:
    missing = sorted(set(wanted) - there)
    if missing:
        raise LabelError(f"{what}: no label {', '.join(missing)} among {', '.join(sorted(there))}")


def _selected(selector: Any) -> frozenset[str]:
    there = labels_of(selector.name)
    _demand((one.name for one in selector.matchers.matchers), there, selector.name)
    return there


def _aggregated(expr: Any) -> frozenset[str]:
    there = labels_in(expr.expr)
    if expr.modifier is None:
        return frozenset()
    _demand(expr.modifier.labels, there, "grouping")
    named = frozenset(expr.modifier.labels)
    return named if expr.modifier.type == promql.AggModifierType.By else there - named


def _called(expr: Any) -> frozenset[str]:
    found = frozenset[str]().union(*(labels_in(argument) for argument in expr.args))
    if expr.func.name in {"scalar", "time", "vector"}:
        return frozenset()
    if expr.func.name == "absent":
        # What it answers has the labels of equality matchers alone.
        return frozenset()
    if expr.func.name in {"label_replace", "label_join"}:
        made = frozenset({expr.args[1].val})
        sources = expr.args[3:4] if expr.func.name == "label_replace" else expr.args[3:]
        _demand((one.val for one in sources if one.val), found, expr.func.name)
        return found | made
    return found - {"le"} if expr.func.name == "histogram_quantile" else found


def _joined(expr: Any) -> frozenset[str]:
    left, right = labels_in(expr.lhs), labels_in(expr.rhs)
    modifier = expr.modifier
    if modifier is None or modifier.matching is None:
        if isinstance(expr.rhs, promql.NumberLiteral) or not right:
            return left
        if not left:
            return right
        if left != right:
            raise LabelError(f"sides without `on` have other labels: {sorted(left)}, {sorted(right)}")
        return left
    on = frozenset(modifier.matching.labels)
    _demand(on, left, "on, left")
    _demand(on, right, "on, right")
    if modifier.card == promql.VectorMatchCardinality.ManyToMany:
        return left
    if modifier.card == promql.VectorMatchCardinality.OneToOne:
        return on
    many, one = (left, right) if modifier.card == promql.VectorMatchCardinality.ManyToOne else (right, left)
    _demand(modifier.group_labels or (), one, "group")
    return many | frozenset(modifier.group_labels or ())
