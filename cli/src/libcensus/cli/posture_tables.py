"""How the fleet's findings are told to people: counts, providers, advisories, what to do, and the worst hosts."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from libcensus.cli.rows import COMPONENT_NAMES, SEVERITY_STYLES
from libcensus.cli.stale_tables import print_stale_counts
from libcensus.cli.terminal import Cell, Column
from libcensus.collector.posture.acceptance import StatementState
from libcensus.collector.posture.finding import Severity, VexStatus

if TYPE_CHECKING:
    from collections.abc import Sequence

    from libcensus.cli.terminal import Output
    from libcensus.collector.service.posture_codec import (
        AcceptedRisk,
        AdvisoryPosture,
        HostPosture,
        PostureAnswer,
        ProviderCount,
        RemedyCount,
    )

COUNT_COLUMNS = (
    Column("Component"),
    Column("Severity"),
    Column("Affected"),
    Column("On hosts", "Hosts"),
    Column("Under investigation", "Under inv", yields=1),
    Column("On hosts", "Hosts"),
    Column("Fixed"),
    Column("Not affected", "Not aff", yields=1),
)

PROVIDER_COLUMNS = (
    Column("Provider"),
    Column("Affected"),
    Column("On hosts", "Hosts"),
    Column("Under investigation", "Under inv", yields=1),
    Column("On hosts", "Hosts"),
    Column("Fixed"),
    Column("Not affected", "Not aff", yields=1),
)

ADVISORY_COLUMNS = (
    Column("Advisory"),
    Column("Component"),
    Column("Severity"),
    Column("Published", "Pub", yields=2),
    Column("Affected hosts", "Affected", yields=1),
    Column("Exposed"),
    Column("Under investigation", "Unclear", yields=1),
    Column("Fixed hosts", "Fixed", yields=1),
)

RISK_COLUMNS = (
    Column("Accepted risk"),
    Column("State"),
    Column("Until"),
    Column("Findings"),
    Column("Hosts"),
    Column("About"),
    Column("Why"),
    Column("By"),
    Column("Statement"),
)

REMEDY_COLUMNS = (Column("Findings"), Column("Hosts"), Column("Such as"), Column("Remedy"))

HOST_COLUMNS = (
    Column("Worst hosts", is_path=True),
    *(Column(severity.value.capitalize()) for severity in sorted(Severity, key=lambda one: -one.rank)),
    Column("Exposed"),
    Column("Under investigation", "Under inv", yields=1),
)

_SEVERITIES = tuple(sorted(Severity, key=lambda one: -one.rank))
_EXAMPLES_SHOWN = 3


def _hosts(count: int) -> str:
    return f"{count:,} {'host' if count == 1 else 'hosts'}"


def print_posture(out: Output, answer: PostureAnswer, about: Sequence[str], limit: int, *, one_host: bool) -> None:
    """Print the findings that were asked about; ``about`` are the words of what was chosen, ``limit`` 0 is none."""
    judged = answer.hosts - answer.unreadable_hosts
    told = f"{_hosts(judged)}: {answer.affected_hosts:,} affected, {answer.exposed_hosts:,} exposed (a fix could have "
    told += (
        f"been applied), {answer.under_investigation_hosts:,} with something under investigation; as of {answer.day}"
    )
    told += f", with advisories of {answer.advisories_day}"
    if one_host:
        told = f"as of {answer.day}, with advisories of {answer.advisories_day}"
    out.prose((", ".join(about) or "The fleet", "bold"), (f": {told}", ""))
    if answer.accepted:
        affected = sum(one.findings for one in answer.counts if one.status is VexStatus.AFFECTED)
        out.prose((f"Affected {affected:,}", "bold"), (f", of which {answer.accepted:,} accepted {_until(answer)}", ""))
    if answer.counts:
        out.line()
        out.table(COUNT_COLUMNS, _count_rows(answer))
        out.line()
        out.table(PROVIDER_COLUMNS, _provider_rows(answer.providers))
        _print_advisories(out, answer.advisories, limit)
        _print_remedies(out, answer, one_host=one_host)
        print_stale_counts(out, answer.staleness)
        _print_risks(out, answer.accepted_risks)
        if not one_host:
            _print_hosts(out, answer)
    else:
        out.line()
        out.line("There is no finding.")
        print_stale_counts(out, answer.staleness)
        _print_risks(out, answer.accepted_risks)
    if answer.unreadable_hosts:
        out.line()
        words = f"{_hosts(answer.unreadable_hosts)} more, whose facts this collector cannot read: upgrade the collector"
        out.prose(("Not counted: ", "bold"), (words, ""))


def _until(answer: PostureAnswer) -> str:
    """Return until when what is accepted stays so: the day on which the first of it ends, where it is not one."""
    days = sorted({one.accepted_until for one in answer.advisories if one.accepted_until is not None})
    more = {one.expires for one in answer.accepted_risks if one.findings and one.expires > days[0]}
    return f"until {days[0].isoformat()}{' at the earliest' if more else ''}"


def _print_risks(out: Output, risks: Sequence[AcceptedRisk]) -> None:
    """Print what the operator accepted, those that end first at the top; whatever covers nothing says why."""
    if not risks:
        return
    out.line()
    if not out.is_terminal:
        out.table(RISK_COLUMNS, [_risk_row(one) for one in risks])
        return
    out.line("Accepted risks", "bold")
    for one in risks:
        told = f" {_risk_state(one)}: {one.findings:,} {'finding' if one.findings == 1 else 'findings'} on "
        out.prose((", ".join(one.advisories), "bold"), (f"{told}{_hosts(one.hosts)}", ""), indent=2)
        out.prose((f"{'; '.join(one.scopes)}; {_risk_reason(one)}; by {one.author}", ""), indent=4)
        if one.note:
            out.prose((one.note, "yellow"), indent=4)


def _risk_state(one: AcceptedRisk) -> str:
    if one.state is StatementState.EXPIRED:
        return f"expired on {one.expires.isoformat()}"
    if one.state is StatementState.PENDING:
        return f"from {one.since.isoformat()} until {one.expires.isoformat()}"
    return f"until {one.expires.isoformat()}"


def _risk_reason(one: AcceptedRisk) -> str:
    says = one.status.value.replace("_", " ")
    says += "" if one.justification is None else f" ({one.justification})"
    return f"{says}: {one.reason}" if one.reason else says


def _risk_row(one: AcceptedRisk) -> tuple[Cell, ...]:
    return (
        Cell(", ".join(one.advisories)),
        Cell(f"{one.state.value}, {one.note}" if one.note else one.state.value),
        Cell(one.expires.isoformat()),
        _number(one.findings),
        _number(one.hosts),
        Cell("; ".join(one.scopes)),
        Cell(_risk_reason(one)),
        Cell(one.author),
        Cell(one.statement),
    )


def _number(count: int, style: str = "") -> Cell:
    return Cell(f"{count:,}", style=style if count else "dim")


def _severity_cell(severity: Severity) -> Cell:
    return Cell(severity.value, style=SEVERITY_STYLES[severity])


def _count_rows(answer: PostureAnswer) -> list[tuple[Cell, ...]]:
    found: dict[tuple[object, ...], _Counted] = {}
    for one in answer.counts:
        found.setdefault((one.component, one.severity), {})[one.status] = (one.findings, one.hosts, one.accepted)
    rows = []
    for one in answer.counts:
        own = found.pop((one.component, one.severity), None)
        if own is not None:
            name = Cell(COMPONENT_NAMES[one.component])
            style = SEVERITY_STYLES[one.severity]
            rows.append((name, _severity_cell(one.severity), *_status_cells(own, style)))
    return rows


_Counted = dict[VexStatus, tuple[int, int, int]]
"""Findings, hosts and accepted findings by status."""

_NONE = (0, 0, 0)


def _status_cells(own: _Counted, style: str) -> tuple[Cell, ...]:
    affected = own.get(VexStatus.AFFECTED, _NONE)
    unclear = own.get(VexStatus.UNDER_INVESTIGATION, _NONE)
    return (
        _with_accepted(affected, style),
        _number(affected[1]),
        _with_accepted(unclear),
        _number(unclear[1]),
        _number(own.get(VexStatus.FIXED, _NONE)[0]),
        _number(own.get(VexStatus.NOT_AFFECTED, _NONE)[0]),
    )


def _with_accepted(counted: tuple[int, int, int], style: str = "") -> Cell:
    """Return a number of findings, and how many of them are accepted, where any is."""
    findings, _, accepted = counted
    if not accepted:
        return _number(findings, style)
    return Cell(f"{findings:,} ({accepted:,} accepted)", style=style if findings > accepted else "dim")


def _provider_rows(providers: Sequence[ProviderCount]) -> list[tuple[Cell, ...]]:
    found: dict[str, _Counted] = {}
    for one in providers:
        found.setdefault(one.provider, {})[one.status] = (one.findings, one.hosts, one.accepted)
    ordered = sorted(found.items(), key=lambda item: (-item[1].get(VexStatus.AFFECTED, _NONE)[0], item[0]))
    return [(Cell(name), *_status_cells(own, "red")) for name, own in ordered]


def _print_advisories(out: Output, advisories: Sequence[AdvisoryPosture], limit: int) -> None:
    shown = advisories[:limit] if limit else advisories
    out.line()
    out.table(
        ADVISORY_COLUMNS,
        [
            (
                Cell(one.advisory),
                Cell(COMPONENT_NAMES[one.component]),
                _severity_cell(one.severity),
                Cell(
                    "-" if one.published is None else one.published.isoformat(),
                    "" if one.published is None else f"{one.published:%Y-%m}",
                ),
                _affected_hosts(one),
                _number(one.exposed_hosts),
                _number(one.under_investigation_hosts),
                _number(one.fixed_hosts),
            )
            for one in shown
        ],
    )
    _print_rest(out, len(advisories) - len(shown), "advisory", "advisories")


def _affected_hosts(one: AdvisoryPosture) -> Cell:
    """Return on how many hosts something is affected, and whether all or some of that is accepted."""
    if not one.accepted or one.accepted_until is None:
        return _number(one.affected_hosts, SEVERITY_STYLES[one.severity])
    share = "all" if one.accepted == one.affected else "some"
    told = f"{one.affected_hosts:,} ({share} accepted until {one.accepted_until.isoformat()})"
    return Cell(told, f"{one.affected_hosts:,}", "dim" if share == "all" else SEVERITY_STYLES[one.severity])


def _print_rest(out: Output, rest: int, one: str, several: str) -> None:
    if rest:
        out.line(f"and {rest:,} more {one if rest == 1 else several}: --limit 0 shows all", "dim")


def _print_remedies(out: Output, answer: PostureAnswer, *, one_host: bool) -> None:
    if not answer.remedies:
        return
    out.line()
    if out.is_terminal:
        out.line("What to do", "bold")
        for one in answer.remedies:
            findings = f"{one.findings:,} {'finding' if one.findings == 1 else 'findings'}"
            hosts = "" if one_host else f" on {_hosts(one.hosts)}"
            out.prose((f"{findings}{hosts}", "bold"), ("" if one_host else f" ({_examples(one)})", "dim"), indent=2)
            out.prose((one.remedy or "nothing is known", ""), indent=4)
    else:
        out.table(
            REMEDY_COLUMNS,
            [
                (_number(one.findings), _number(one.hosts), Cell(_examples(one)), Cell(one.remedy or "-"))
                for one in answer.remedies
            ],
        )
    _print_rest(out, answer.remedies_total - len(answer.remedies), "remedy", "remedies")


def _examples(one: RemedyCount) -> str:
    shown = one.examples[:_EXAMPLES_SHOWN]
    return ", ".join(shown) + (", …" if one.hosts > len(shown) else "")


def _print_hosts(out: Output, answer: PostureAnswer) -> None:
    if not answer.worst_hosts:
        return
    out.line()
    out.table(HOST_COLUMNS, [_host_row(one) for one in answer.worst_hosts])
    _print_rest(out, answer.open_hosts - len(answer.worst_hosts), "host", "hosts")


def _host_row(one: HostPosture) -> tuple[Cell, ...]:
    counts: Counter[Severity] = Counter(dict(one.affected))
    return (
        Cell(one.name),
        *(_number(counts[severity], SEVERITY_STYLES[severity]) for severity in _SEVERITIES),
        _number(one.exposed),
        _number(one.under_investigation),
    )
