"""Who reports, what the fleet is made of, what is wrong, and would a system upgrade fix it."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from libcensus.cli.answers import Share
from libcensus.cli.exports.objects import moment
from libcensus.cli.exports.page.markup import (
    Head,
    Markup,
    Shown,
    card,
    command,
    count,
    counted,
    grid,
    joined,
    paragraph,
    percent,
    rest,
    section,
    table,
    tag,
    tile,
    tiles,
)
from libcensus.cli.exports.page.plots import Bar, Series, areas, bars
from libcensus.cli.exports.page.words import ALL, SEVERITIES, SEVERITY_SERIES, SEVERITY_WORDS, UPGRADE_SERIES
from libcensus.collector.posture.finding import Upgrade, VexStatus
from libcensus.collector.posture.reach import floors, policy_reach

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from libcensus.cli.exports.page.figures import FleetFigures
    from libcensus.collector.service.fleet_codec import HostSummary

BARS_SHOWN = 16
VERSIONS_SHOWN = 10
HOSTS_SHOWN = 15

_AGES = ((3600, "an hour"), (6 * 3600, "6 hours"), (86400, "a day"), (7 * 86400, "a week"), (30 * 86400, "30 days"))

LINKAGE_SERIES: Mapping[str, Series] = {
    "system": Series("system: the distribution's library", "blue"),
    "static": Series("static: inside the executable", "orange"),
    "bundled": Series("bundled: a library of its own", "vermilion"),
    "local": Series("local: a library that no package owns", "purple"),
    "none": Series("none: no TLS", "grey"),
    "unresolved": Series("unresolved: it was not found", "pale"),
    "unknown": Series("unknown", "pale"),
}


def affected(figures: FleetFigures) -> int:
    """Return how many affected findings there are, accepted ones among them."""
    return sum(one.findings for one in figures.posture.counts if one.status is VexStatus.AFFECTED)


def mended_by(figures: FleetFigures) -> Counter[Upgrade]:
    """Return how many affected findings would be ended by whom."""
    found: Counter[Upgrade] = Counter()
    for one in figures.posture.affected:
        found[one.upgrade] += one.findings
    return found


def glance(figures: FleetFigures) -> Markup:
    """Return the answers in a handful of numbers and sentences."""
    posture, hosts = figures.posture, len(figures.hosts)
    worst = Counter(one.worst_severity for one in figures.hosts)
    severe = sum(number for severity, number in worst.items() if severity is not None and severity.rank >= 3)
    silent = len(figures.silent)
    outdated = sum(bool(one.outdated_processes) for one in figures.hosts)
    failed = sum(bool(one.failed_probes) for one in figures.hosts)
    return joined(
        tiles(
            tile(count(hosts), "hosts", "have reported"),
            tile(count(silent), "silent for a day", "nobody knows what they are now", "warn" if silent else "good"),
            tile(
                count(severe),
                "with critical or high",
                "the worst finding that affects them",
                "bad" if severe else "good",
            ),
            tile(
                count(posture.exposed_hosts),
                "exposed",
                "a fix could have been applied",
                "bad" if posture.exposed_hosts else "good",
            ),
            tile(
                count(posture.ended_places),
                "past their support",
                "installs and copies",
                "bad" if posture.ended_places else "good",
            ),
            tile(count(outdated), "to restart", "processes on replaced files", "warn" if outdated else "good"),
            tile(count(failed), "with a failed probe", "facts are missing", "warn" if failed else "good"),
        ),
        tag("ul", *[tag("li", one) for one in _sentences(figures)], class_="answers"),
    )


def _sentences(figures: FleetFigures) -> Iterable[Markup]:
    posture = figures.posture
    judged = posture.hosts - posture.unreadable_hosts
    total = affected(figures)
    yield joined(
        tag("b", f"{counted(posture.affected_hosts, 'host')} of {judged:,}"),
        f" {'has' if posture.affected_hosts == 1 else 'have'} an affected finding; on {posture.exposed_hosts:,} of "
        f"them a fix could have been applied by now. Something is under investigation on "
        f"{counted(posture.under_investigation_hosts, 'host')}.",
    )
    if posture.affected:
        by = mended_by(figures)
        yield joined(
            "A system upgrade reaches ",
            tag("b", f"{by[Upgrade.SYSTEM]:,} of {total:,} affected findings ({percent(by[Upgrade.SYSTEM], total)})"),
            f", and ends those whose fix the distribution has published; {by[Upgrade.OWN]:,} wait for whoever else "
            f"built the copy, {by[Upgrade.IMAGE]:,} for a new image.",
        )
    elif total:
        yield joined("Unknown: this collector does not tell what would end the findings; a newer one does.")
    for floor in floors(figures.libcs.libcs)[:2]:
        if floor.version is None:
            continue
        tags = [one for one in policy_reach(figures.libcs.libcs) if one.arch == floor.arch]
        best = max((one for one in reversed(tags) if one.hosts), key=lambda one: one.hosts, default=None)
        reach = ""
        if best is not None:
            reach = (
                f"; no wheel reaches more of them than one for {best.policy}: {Share(best.hosts, best.total).percent}"
            )
        yield joined(
            f"{floor.arch}: the oldest glibc is ",
            tag("b", floor.version),
            f", on {floor.hosts:,} of {counted(floor.total, 'host')}{reach}.",
        )
    if posture.unreadable_hosts:
        yield joined(
            tag("b", f"{counted(posture.unreadable_hosts, 'host')} more"),
            " whose facts this collector cannot read are in no count: upgrade the collector.",
        )


def overview(figures: FleetFigures) -> Markup:
    """Return the part about the fleet as a whole."""
    hosts = len(figures.hosts)
    return section(
        "fleet",
        "Fleet",
        "Who reports, what the fleet is made of, what is wrong with it, and would a system upgrade fix it?",
        grid(card(_mended(figures)), card(_worst(figures.hosts)), card(_ages(figures))),
        *_trend(figures),
        grid(
            card(_hosts_by("Hosts by distribution", "os-release of each host", map(_system, figures.hosts), hosts)),
            card(
                _hosts_by(
                    "Hosts by C library",
                    "what is built for a newer one does not start",
                    map(_libc, figures.hosts),
                    hosts,
                )
            ),
            card(_interpreters(figures)),
            card(_providers(figures)),
            card(_linkages(figures)),
            card(_crypto(figures)),
        ),
        grid(card(*_silent(figures)), card(*_agents(figures))),
    )


def _mended(figures: FleetFigures) -> Markup:
    found: dict[str, Counter[str]] = {one: Counter() for one in SEVERITIES}
    for one in figures.posture.affected:
        found[one.severity][one.upgrade] += one.findings
    rows = [Bar(SEVERITY_WORDS[one], found[one]) for one in SEVERITIES]
    return bars(
        "Would a system upgrade reach it?",
        "Affected findings by severity, and by who brings the fix. One advisory against one interpreter, library or "
        "copy on one host is one; most of CPython's are rated by nobody.",
        "affected findings",
        rows if figures.posture.affected else [],
        UPGRADE_SERIES,
    )


def _trend(figures: FleetFigures) -> Iterable[Markup]:
    """Return how the findings went, where somebody asked."""
    if not figures.past:
        return
    values = []
    for answer in figures.past:
        found: Counter[str] = Counter()
        for one in answer.counts:
            if one.status is VexStatus.AFFECTED:
                found[one.severity] += one.findings
        values.append(found)
    heads = [Head("Day"), Head("Hosts"), Head("Affected hosts"), Head("Exposed hosts"), Head("Past support")]
    heads += [Head(SEVERITY_WORDS[severity].capitalize()) for severity in SEVERITIES]
    yield grid(
        card(
            areas(
                f"Affected findings since {figures.past[0].day.isoformat()}",
                "By severity, with the facts that hosts had told and the advisories that were published by each day.",
                "affected findings",
                [answer.day for answer in figures.past],
                values,
                SEVERITY_SERIES,
            )
        ),
        card(
            table(
                "The fleet at the ends of these days (UTC)",
                heads,
                [
                    (
                        answer.day.isoformat(),
                        answer.hosts,
                        answer.affected_hosts,
                        answer.exposed_hosts,
                        answer.ended_places,
                        *(found[severity] for severity in SEVERITIES),
                    )
                    for answer, found in zip(figures.past, values, strict=True)
                ],
            ),
            paragraph("Hosts that had not reported yet are in no count.", class_="rest"),
        ),
    )


def _worst(hosts: Iterable[HostSummary]) -> Markup:
    worst = Counter(one.worst_severity for one in hosts)
    rows = [Bar(SEVERITY_WORDS[one], {"all": worst[one]}, one.value) for one in SEVERITIES]
    rows.append(Bar("nothing affected", {"all": worst[None]}, "green"))
    return bars(
        "Hosts by their worst finding",
        "Each host once, under the highest severity that affects it.",
        "hosts",
        rows,
        ALL,
        total=sum(worst.values()),
    )


def _ages(figures: FleetFigures) -> Markup:
    found: Counter[str] = Counter()
    words = [f"at most {name}" for _, name in _AGES] + [f"more than {_AGES[-1][1]}"]
    for one in figures.hosts:
        seconds = (figures.now - one.last_report).total_seconds()
        found[next((word for (most, _), word in zip(_AGES, words, strict=False) if seconds <= most), words[-1])] += 1
    styles = ("green", "green", "green", "orange", "vermilion", "vermilion")
    return bars(
        "Age of the last report",
        "How old what is told of a host is.",
        "hosts",
        [Bar(word, {"all": found[word]}, style) for word, style in zip(words, styles, strict=True)],
        ALL,
        total=len(figures.hosts),
    )


def most_frequent(found: Counter[str], shown: int = BARS_SHOWN) -> list[Bar]:
    """Return the most frequent words as bars, and all others together as the last one."""
    ordered = sorted(found.items(), key=lambda item: (-item[1], item[0]))
    rows = [Bar(word, {"all": number}) for word, number in ordered[:shown]]
    others = ordered[shown:]
    if others:
        rows.append(Bar(f"{len(others)} others", {"all": sum(number for _, number in others)}, "grey"))
    return rows


def _hosts_by(title: str, about: str, words: Iterable[str], hosts: int) -> Markup:
    return bars(title, f"{about[0].upper()}{about[1:]}.", "hosts", most_frequent(Counter(words)), ALL, total=hosts)


def _system(host: HostSummary) -> str:
    return " ".join(part for part in (host.os_id, host.os_version) if part) or "unknown"


def _libc(host: HostSummary) -> str:
    return " ".join(part for part in (host.libc_family, host.libc_version) if part) or "unknown"


def _interpreters(figures: FleetFigures) -> Markup:
    found: Counter[str] = Counter()
    for one in figures.posture.installs:
        branch = "unknown" if one.version is None else ".".join(one.version.split(".")[:2])
        if one.implementation != "cpython" and one.version is not None:
            branch = one.version.split(".")[0]
        found[branch if one.implementation == "unknown" else f"{one.implementation} {branch}"] += one.installs
    return bars(
        "Interpreters and environments",
        "Installs by implementation and release line, environments among them.",
        "installs",
        most_frequent(found),
        ALL,
        total=found.total(),
    )


def _providers(figures: FleetFigures) -> Markup:
    found: Counter[str] = Counter()
    for one in figures.posture.installs:
        found[one.provider] += one.installs
    return bars(
        "Who built them",
        "Installs by provider: distro is the distribution, pbs is python-build-standalone (uv, rye, hatch, mise).",
        "installs",
        most_frequent(found),
        ALL,
        total=found.total(),
    )


def _linkages(figures: FleetFigures) -> Markup:
    found: Counter[str] = Counter()
    for one in figures.posture.installs:
        found[one.linkage] += one.installs
    rows = [
        Bar(series.name.partition(":")[0], {"all": found[key]}, series.style)
        for key, series in LINKAGE_SERIES.items()
        if found[key]
    ]
    return bars(
        "How OpenSSL is reached",
        "Installs. system: the distribution's shared library, which a system upgrade mends. static, bundled: a copy of "
        "the interpreter's own, which it does not. none: no TLS. unresolved: nothing answers to what is needed.",
        "installs",
        rows,
        ALL,
        total=found.total(),
    )


def _crypto(figures: FleetFigures) -> Markup:
    found: dict[str, Counter[str]] = {}
    for one in figures.posture.installs:
        if one.crypto_family is None:
            continue
        family = "" if one.crypto_family == "openssl" else f"{one.crypto_family} "
        found.setdefault(f"{family}{one.crypto_version or 'version unknown'}", Counter())[one.linkage] += one.installs
    ordered = sorted(found.items(), key=lambda item: (-item[1].total(), item[0]))
    rows = [Bar(word, numbers) for word, numbers in ordered[:VERSIONS_SHOWN]]
    others: Counter[str] = Counter()
    for _, numbers in ordered[VERSIONS_SHOWN:]:
        others.update(numbers)
    if others:
        rows.append(Bar(f"{len(ordered) - VERSIONS_SHOWN} other versions", others))
    series = {key: Series(one.name.partition(":")[0], one.style) for key, one in LINKAGE_SERIES.items()}
    return bars(
        "Which OpenSSL is really used",
        "Installs by the version that their TLS module really loads, read from its bytes, and how it is reached.",
        "installs",
        rows,
        series,
    )


def _silent(figures: FleetFigures) -> Iterable[Markup]:
    silent = figures.silent
    if not silent:
        yield paragraph("Every host has reported within a day.", class_="fine")
        return
    yield table(
        "Silent hosts: no report for a day, the longest silence first",
        (Head("Host", is_path=True), Head("System"), Head("Last report (UTC)"), Head("Days"), Head("Agent")),
        [
            (
                one.name,
                _system(one),
                moment(one.last_report),
                Shown(days := (figures.now - one.last_report).days, "bad" if days >= 7 else "warn"),
                one.agent_version,
            )
            for one in silent[:HOSTS_SHOWN]
        ],
    )
    yield rest(HOSTS_SHOWN, len(silent), "silent hosts", *figures.words("hosts", "--silent", "24h"))


def _agents(figures: FleetFigures) -> Iterable[Markup]:
    versions = Counter(one.agent_version for one in figures.hosts)
    yield table(
        "Agents by version",
        (Head("Version"), Head("Hosts"), Head("Share")),
        [
            (version or "unknown", number, percent(number, len(figures.hosts)))
            for version, number in sorted(versions.items(), key=lambda item: (-item[1], item[0]))[:8]
        ],
    )
    failed = sorted((one for one in figures.hosts if one.failed_probes), key=lambda one: (-one.failed_probes, one.name))
    if failed:
        yield table(
            "Hosts whose last scan could not read something: facts are missing",
            (Head("Host", is_path=True), Head("System"), Head("Failed probes")),
            [(one.name, _system(one), Shown(one.failed_probes, "warn")) for one in failed[:HOSTS_SHOWN]],
        )
        yield rest(HOSTS_SHOWN, len(failed), "hosts with a failed probe", *figures.words("hosts"))
        yield paragraph("What failed on a host, and why: ", command("show", failed[0].name), class_="rest")
    else:
        yield paragraph("No probe failed on any host.", class_="fine")
    telling = [one.agent_state for one in figures.hosts if one.agent_state is not None]
    waiting, dropped = sum(one.waiting_reports for one in telling), sum(one.dropped_reports for one in telling)
    if telling:
        yield paragraph(
            f"{counted(len(telling), 'agent')} hold back {counted(waiting, 'report')}, and have lost {dropped:,}."
        )
    if mute := len(figures.hosts) - len(telling):
        yield paragraph(
            f"Unknown of {counted(mute, 'agent')}: whether reports are held back or lost; they do not tell."
        )
