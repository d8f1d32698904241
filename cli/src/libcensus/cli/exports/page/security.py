"""What is affected, how bad it is, what brings the fix, what is at its end of life, and what must be restarted."""

from __future__ import annotations

from collections import Counter
from datetime import timedelta
from typing import TYPE_CHECKING

from libcensus.cli.exports.page.markup import (
    Head,
    Markup,
    Shown,
    card,
    command,
    counted,
    folded,
    grid,
    joined,
    paragraph,
    rest,
    section,
    table,
)
from libcensus.cli.exports.page.overview import LINKAGE_SERIES, affected
from libcensus.cli.exports.page.plots import Bar, Moment, Series, bars, days_between, meter, timeline
from libcensus.cli.exports.page.words import SEVERITIES, SEVERITY_SERIES, UPGRADE_SERIES, alarming, badge
from libcensus.cli.rows import COMPONENT_NAMES
from libcensus.cli.stale_tables import KIND_NAMES
from libcensus.collector.posture.acceptance import StatementState
from libcensus.collector.posture.finding import Component, Severity, SupportState, VexStatus

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping
    from datetime import date

    from libcensus.cli.exports.page.figures import FleetFigures
    from libcensus.collector.service.posture_codec import (
        AcceptedRisk,
        AdvisoryPosture,
        AffectedCount,
        PostureAnswer,
        SupportCount,
    )

ADVISORIES_SHOWN = 30
HOSTS_SHOWN = 15
BRANCHES_SHOWN = 30
RISKS_SHOWN = 20

SOON = timedelta(days=180)
"""An end of support that is nearer than this is shown as a warning, as the tables do."""


def security(figures: FleetFigures) -> Markup:
    """Return the part about security."""
    posture = figures.posture
    return section(
        "security",
        "Security posture",
        "What is affected, how bad is it, what brings the fix, what is at its end of life, and where must something be "
        "restarted?",
        grid(
            card(
                _by("By component", "What the advisory is about.", posture, lambda one: COMPONENT_NAMES[one.component])
            ),
            card(
                _by(
                    "By who built it",
                    "Provider of the install, or the ecosystem that brought a copy.",
                    posture,
                    lambda one: one.provider,
                )
            ),
            card(_linkage(posture)),
        ),
        card(*_counts(figures)),
        card(*_support(posture.support, posture.day)),
        card(*_advisories(figures)),
        card(*_remedies(figures)),
        grid(card(*_worst(figures)), card(*_outdated(figures))),
        grid(card(*_stale(figures)), card(*_risks(figures))),
    )


def _by(title: str, about: str, posture: PostureAnswer, word: Callable[[AffectedCount], str]) -> Markup:
    found: dict[str, Counter[str]] = {}
    for one in posture.affected:
        found.setdefault(word(one), Counter())[one.severity] += one.findings
    ordered = sorted(found.items(), key=lambda item: (-item[1].total(), item[0]))
    return bars(
        title,
        f"{about} Affected findings, accepted ones among them.",
        "affected findings",
        [Bar(name, numbers) for name, numbers in ordered],
        SEVERITY_SERIES,
    )


def _linkage(posture: PostureAnswer) -> Markup:
    found: dict[str, Counter[str]] = {}
    for one in posture.affected:
        if one.component is Component.OPENSSL and one.linkage is not None:
            found.setdefault(one.linkage, Counter())[one.upgrade] += one.findings
    return bars(
        "OpenSSL: by how it is reached, and what would fix it",
        "Affected findings of OpenSSL. system is the distribution's library; static and bundled are copies that no "
        "system upgrade reaches.",
        "affected findings",
        [Bar(key, found[key]) for key in LINKAGE_SERIES if key in found],
        UPGRADE_SERIES,
    )


def _counts(figures: FleetFigures) -> Iterable[Markup]:
    found: dict[tuple[Component, Severity], dict[VexStatus, tuple[int, int, int]]] = {}
    for one in figures.posture.counts:
        found.setdefault((one.component, one.severity), {})[one.status] = (one.findings, one.hosts, one.accepted)
    if not found:
        yield paragraph("There is no finding.", class_="fine")
        return
    none = (0, 0, 0)
    rows = []
    for (component, severity), own in found.items():
        bad, unclear = own.get(VexStatus.AFFECTED, none), own.get(VexStatus.UNDER_INVESTIGATION, none)
        rows.append(
            (
                COMPONENT_NAMES[component],
                badge(severity),
                alarming(bad[0]),
                bad[1],
                bad[2],
                unclear[0],
                unclear[1],
                own.get(VexStatus.FIXED, none)[0],
                own.get(VexStatus.NOT_AFFECTED, none)[0],
            )
        )
    yield table(
        "Findings by component, severity and status",
        (
            Head("Component"),
            Head("Severity", "As the advisory's source rates it"),
            Head("Affected", "Findings: an advisory at one place"),
            Head("on hosts"),
            Head("accepted", "Covered by an accepted risk"),
            Head("Under investigation"),
            Head("on hosts"),
            Head("Fixed"),
            Head("Not affected"),
        ),
        rows,
    )


def _support(support: Iterable[SupportCount], today: date) -> Iterable[Markup]:
    """Return the time line of ends of support, and what of it nobody knows."""
    found: dict[tuple[Component, str, date | None, str | None, SupportState], tuple[int, int]] = {}
    for one in support:
        key = one.component, one.branch, one.until, one.distribution, one.state
        found[key] = (one.places, one.hosts)
    dated = [(key, numbers) for key, numbers in found.items() if key[2] is not None]
    # What ended long ago is as urgent as what ends next; what most installs are on comes first of what is left out.
    shown = sorted(sorted(dated, key=lambda item: -item[1][0])[:BRANCHES_SHOWN], key=lambda item: str(item[0][2]))
    yield timeline(
        "End of support",
        "The last day on which somebody maintains a branch in use: the distribution that built it, which is "
        "named, else its own project. A square is over, a triangle is within half a year.",
        [_moment(*key, *numbers, today) for key, numbers in shown],
        today,
    )
    if len(shown) < len(dated):
        yield paragraph(
            f"The {len(shown):,} of {len(dated):,} ends that most installs are on; all of them: ",
            command("posture", "--output", "json"),
            class_="rest",
        )
    undated = [(key, numbers) for key, numbers in found.items() if key[2] is None]
    if undated:
        rows = sorted(undated, key=lambda item: (-item[1][0], item[0][0], item[0][1]))
        yield folded(
            f"{counted(len(undated), 'branch', 'branches')} without a day",
            table(
                "Branches of which nobody says when their support ends",
                (Head("Component"), Head("Branch"), Head("Support"), Head("Installs and copies"), Head("Hosts")),
                [
                    (COMPONENT_NAMES[component], branch, _support_state(state), places, hosts)
                    for (component, branch, _, _, state), (places, hosts) in rows[:BRANCHES_SHOWN]
                ],
            ),
            rest(BRANCHES_SHOWN, len(rows), "branches", "posture", "--output", "json"),
        )


def _support_state(state: SupportState) -> Shown:
    style = {SupportState.ENDED: "bad", SupportState.SUPPORTED: "good", SupportState.UNKNOWN: "none"}[state]
    return Shown(state.value, style)


def _moment(
    component: Component,
    branch: str,
    until: date | None,
    distribution: str | None,
    state: SupportState,
    places: int,
    hosts: int,
    today: date,
) -> Moment:
    if until is None:
        raise AssertionError("only what has a day is on a time line")
    style = "good"
    if state is SupportState.ENDED:
        style = "bad"
    elif until - today < SOON:
        style = "warn"
    label = f"{COMPONENT_NAMES[component]} {branch}{'' if distribution is None else f', {distribution}'}"
    text = f"{until.isoformat()}, {days_between(until, today)}: {counted(places, 'place')} on {counted(hosts, 'host')}"
    return Moment(label, until, style, text)


def _advisories(figures: FleetFigures) -> Iterable[Markup]:
    advisories = figures.posture.advisories
    judged = figures.posture.hosts - figures.posture.unreadable_hosts
    if not advisories:
        return
    yield table(
        "Hosts per advisory: those of the highest severity on most hosts first",
        (
            Head("Advisory"),
            Head("Component"),
            Head("Severity"),
            Head("Published"),
            Head("Affected hosts"),
            Head("Share of the hosts"),
            Head("Exposed hosts", "A fix could have been applied by now"),
            Head("Under investigation", "Hosts"),
            Head("Fixed hosts"),
            Head("Accepted"),
        ),
        [
            (
                one.advisory,
                COMPONENT_NAMES[one.component],
                badge(one.severity),
                None if one.published is None else one.published.isoformat(),
                alarming(one.affected_hosts),
                meter(one.affected_hosts, judged, one.severity.value),
                one.exposed_hosts,
                one.under_investigation_hosts,
                one.fixed_hosts,
                _accepted(one),
            )
            for one in advisories[:ADVISORIES_SHOWN]
        ],
    )
    yield rest(ADVISORIES_SHOWN, len(advisories), "advisories", *figures.words("posture", "--limit", "0"))


def _accepted(one: AdvisoryPosture) -> str | None:
    if not one.accepted or one.accepted_until is None:
        return None
    share = "all" if one.accepted == one.affected else f"{one.accepted:,} of {one.affected:,}"
    return f"{share} until {one.accepted_until.isoformat()}"


def _remedies(figures: FleetFigures) -> Iterable[Markup]:
    posture = figures.posture
    if not posture.remedies:
        yield paragraph("There is nothing to mend.", class_="fine")
        return
    total = affected(figures) - posture.accepted
    yield table(
        "What to do: the steps that end most affected findings first",
        (
            Head("Remedy", is_path=True),
            Head("Ends findings"),
            Head("Share of all affected"),
            Head("Hosts"),
            Head("Such as", is_path=True),
        ),
        [
            (
                one.remedy or Shown("nothing is known", "none"),
                one.findings,
                meter(one.findings, total),
                one.hosts,
                ", ".join(one.examples[:3]) + (", …" if one.hosts > len(one.examples[:3]) else ""),
            )
            for one in posture.remedies
        ],
    )
    yield rest(len(posture.remedies), posture.remedies_total, "remedies", *figures.words("posture", "--limit", "0"))


_AGE_SERIES: Mapping[str, Series] = {
    "stale": Series("behind", "vermilion"),
    "unknown": Series("unknown", "pale"),
    "current": Series("up to date", "green"),
}


def _stale(figures: FleetFigures) -> Iterable[Markup]:
    found: dict[str, Counter[str]] = {}
    hosts: Counter[str] = Counter()
    for one in figures.posture.staleness:
        numbers = found.setdefault(KIND_NAMES[one.kind], Counter())
        numbers.update({"stale": one.stale, "unknown": one.unknown, "current": one.current})
        hosts[KIND_NAMES[one.kind]] += one.stale_hosts
    yield bars(
        "Behind what they could be",
        "Interpreters and environments by reason: an environment that stays with an old base, a newer build that the "
        "provider has, a uv or an image from before the fix.",
        "installs",
        [Bar(name, numbers) for name, numbers in found.items()],
        _AGE_SERIES,
    )
    rows = [one for one in figures.posture.staleness if one.stale]
    if rows:
        yield folded(
            "By provider",
            table(
                "Stale installs by reason and provider",
                (
                    Head("Reason"),
                    Head("Provider"),
                    Head("Installs"),
                    Head("Hosts"),
                    Head("Unknown"),
                    Head("Up to date"),
                ),
                [
                    (
                        KIND_NAMES[one.kind],
                        one.provider,
                        alarming(one.stale, "warn"),
                        one.stale_hosts,
                        one.unknown,
                        one.current,
                    )
                    for one in rows
                ],
            ),
        )


def _outdated(figures: FleetFigures) -> Iterable[Markup]:
    found = [(one, one.outdated_processes) for one in figures.hosts if one.outdated_processes]
    found.sort(key=lambda item: (-item[1], item[0].name))
    mute = sum(one.outdated_processes is None for one in figures.hosts)
    if found:
        yield table(
            "Restart something here: processes that still run on a replaced or deleted library or executable",
            (Head("Host", is_path=True), Head("Processes")),
            [(one.name, Shown(number, "warn")) for one, number in found[:HOSTS_SHOWN]],
        )
        yield rest(HOSTS_SHOWN, len(found), "hosts with such processes", *figures.words("hosts", "--output", "json"))
        yield paragraph("Which they are, and what they run on: ", command("show", found[0][0].name), class_="rest")
    else:
        yield paragraph("No process is known to run on a replaced or deleted library or executable.", class_="fine")
    if mute:
        yield paragraph(
            f"Unknown for {counted(mute, 'host')}: the agent did not look, because it may not (CAP_SYS_PTRACE) or was "
            "told not to."
        )


def _worst(figures: FleetFigures) -> Iterable[Markup]:
    posture = figures.posture
    if not posture.worst_hosts:
        return
    rows = []
    for one in posture.worst_hosts:
        numbers: Counter[Severity] = Counter(dict(one.affected))
        rows.append(
            (
                one.name,
                *(Shown(numbers[severity], severity.value) if numbers[severity] else 0 for severity in SEVERITIES),
                one.exposed,
                one.under_investigation,
                one.accepted,
            )
        )
    heads = [SEVERITY_SERIES[severity].name.capitalize() for severity in SEVERITIES]
    yield table(
        "Hosts to look at first: affected findings by severity, without accepted ones",
        (
            Head("Host", is_path=True),
            *(Head(name) for name in heads),
            Head("Exposed", "A fix could have been applied by now"),
            Head("Under investigation"),
            Head("Accepted"),
        ),
        rows,
    )
    yield rest(len(rows), posture.open_hosts, "hosts", *figures.words("posture", "--limit", "0"))
    yield paragraph(
        "A host's own page: ",
        command("export", "--format", "html", "--host", posture.worst_hosts[0].name, "--output", "host.html"),
        class_="rest",
    )


def _risks(figures: FleetFigures) -> Iterable[Markup]:
    posture = figures.posture
    if not posture.accepted_risks:
        yield paragraph("No risk is accepted: no statement of the operator covers a finding.")
        return
    hosts = counted(posture.accepted_hosts, "host")
    yield table(
        f"Accepted risks: they cover {posture.accepted:,} affected findings on {hosts}",
        (
            Head("Advisories"),
            Head("State"),
            Head("Until"),
            Head("Findings"),
            Head("Hosts"),
            Head("About", is_path=True),
            Head("Why", is_path=True),
            Head("By"),
        ),
        [
            (
                ", ".join(one.advisories),
                _risk_state(one),
                one.expires.isoformat(),
                one.findings,
                one.hosts,
                "; ".join(one.scopes),
                joined(one.reason or one.justification or "", f" ({one.note})" if one.note else ""),
                one.author,
            )
            for one in posture.accepted_risks[:RISKS_SHOWN]
        ],
    )
    yield rest(
        RISKS_SHOWN, len(posture.accepted_risks), "accepted risks", *figures.words("posture", "--output", "json")
    )


def _risk_state(one: AcceptedRisk) -> Shown:
    style = {StatementState.ACTIVE: "good", StatementState.PENDING: "none", StatementState.EXPIRED: "bad"}[one.state]
    return Shown(one.state.value, style)
