"""How many days after a fix each provider's reach the hosts, and how far its installs are behind its newest build."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from libcensus.cli.exports.page.markup import (
    Head,
    Markup,
    Shown,
    card,
    counted,
    folded,
    grid,
    paragraph,
    percent,
    rest,
    section,
    table,
    tile,
    tiles,
)
from libcensus.cli.exports.page.plots import Bar, Series, bars
from libcensus.cli.exports.page.words import ALL, SEVERITY_SERIES, alarming, badge
from libcensus.cli.rows import COMPONENT_NAMES
from libcensus.collector.posture.staleness import StalenessKind

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from libcensus.cli.exports.page.figures import FleetFigures
    from libcensus.collector.service.providers_codec import PatchedShare, ProviderPatching, ProvidersAnswer

BUILDS_SHOWN = 25
ROWS_SHOWN = 40

_WITHIN = (7, 30, 90)
_DAY_STYLES = {7: "green", 30: "blue", 90: "grey"}

_AGE_SERIES: Mapping[str, Series] = {
    "current": Series("newest of its line", "green"),
    "stale": Series("a newer one is out", "vermilion"),
    "unknown": Series("nobody tells", "pale"),
}


def providers(figures: FleetFigures) -> Markup:
    """Return the part about providers."""
    answer = figures.providers
    since = (
        "no report is known" if answer.watched_since is None else f"watched since {answer.watched_since.isoformat()}"
    )
    return section(
        "providers",
        "Providers",
        f"How many days after a fix does each provider reach the hosts, and how far are its installs behind? "
        f"{counted(answer.hosts, 'host')}, {since}; a fix counts that came while its host was watched.",
        _tiles(figures),
        grid(card(_within(answer)), card(_open(answer)), card(_newest(figures))),
        card(*_patching(figures)),
        grid(card(*_builds(figures)), card(*_lags(answer))),
    )


def _tiles(figures: FleetFigures) -> Markup:
    answer = figures.providers
    measured = sum(one.measured for one in answer.patching)
    seconds = sum(one.seconds for one in answer.patching)
    late = sum(one.open for one in answer.patching)
    behind = _stale(figures, StalenessKind.BEHIND_PROVIDER)
    uv = _stale(figures, StalenessKind.UV_TOO_OLD)
    mean = f"{seconds / measured / 86400:.0f} days" if measured else "unknown"
    return tiles(
        tile(f"{measured:,}", "fixes arrived", "and both days are known"),
        tile(mean, "from fix to host", "on average" if measured else "no fix arrived while a host was watched"),
        tile(f"{late:,}", "fixes not installed", "the provider has them", "bad" if late else "good"),
        tile(
            f"{behind:,}",
            "behind their provider",
            "installs: a newer build of their line is out",
            "warn" if behind else "good",
        ),
        tile(f"{uv:,}", "wait for a newer uv", "the uv there knows no build with the fix", "warn" if uv else "good"),
    )


def _stale(figures: FleetFigures, kind: StalenessKind) -> int:
    return sum(one.stale for one in figures.posture.staleness if one.kind is kind)


def _within(answer: ProvidersAnswer) -> Markup:
    found: dict[tuple[str, int], tuple[int, int]] = {}
    for one in answer.patching:
        for share in one.within:
            patched, total = found.get((one.provider, share.days), (0, 0))
            found[one.provider, share.days] = (patched + share.patched, total + share.total)
    rows, told = [], {}
    for provider in sorted({name for name, _ in found}):
        for days in _WITHIN:
            patched, total = found.get((provider, days), (0, 0))
            if total:
                label = f"{provider}, {days} days"
                rows.append(Bar(label, {"all": round(100 * patched / total)}, _DAY_STYLES[days]))
                told[label] = f"{percent(patched, total)} of {total:,}"
    return bars(
        "How soon fixes were on the hosts",
        "Share that was there within 7, 30 and 90 days, of the fixes that could be applied at least so long ago; all "
        "components and severities.",
        "% of the fixes",
        rows,
        ALL,
        is_percent=True,
        told=told,
    )


def _open(answer: ProvidersAnswer) -> Markup:
    found: dict[str, Counter[str]] = {}
    for one in answer.patching:
        if one.open:
            found.setdefault(one.provider, Counter())[one.severity] += one.open
    ordered = sorted(found.items(), key=lambda item: (-item[1].total(), item[0]))
    return bars(
        "Fixes that are out and not installed",
        "Affected findings whose provider has the fix.",
        "findings",
        [Bar(name, numbers) for name, numbers in ordered],
        SEVERITY_SERIES,
    )


def _newest(figures: FleetFigures) -> Markup:
    rows = [
        Bar(one.provider, {"current": one.current, "stale": one.stale, "unknown": one.unknown})
        for one in figures.posture.staleness
        if one.kind is StalenessKind.BEHIND_PROVIDER
    ]
    rows.sort(key=lambda one: (-one.total, one.label))
    return bars(
        "The newest build against the fleet",
        "Installs by whether their provider has a newer build of the same release line.",
        "installs",
        rows,
        _AGE_SERIES,
    )


def _patching(figures: FleetFigures) -> Iterable[Markup]:
    answer = figures.providers
    dated = [one for one in answer.patching if any((one.measured, one.unmeasured, one.removed, one.open, one.unfixed))]
    dated.sort(key=lambda one: (one.provider, one.component, -one.severity.rank))
    if not dated:
        yield paragraph("Nothing is affected, and nothing was.", class_="fine")
    else:
        yield table(
            "From the fix to the hosts, by provider, component and severity",
            (
                Head("Provider"),
                Head("Component"),
                Head("Severity"),
                Head("Not installed", "A fix could be applied, and was not yet"),
                Head("Oldest since"),
                Head("Arrived", "And both days are known"),
                Head("Median days"),
                Head("90 % within days"),
                *(Head(f"In {days} days") for days in _WITHIN),
            ),
            [_patching_row(one) for one in dated[:ROWS_SHOWN]],
        )
        yield rest(ROWS_SHOWN, len(dated), "rows", *figures.words("providers"))
    undated: Counter[str] = Counter()
    for one in answer.patching:
        undated[one.provider] += one.undated
    told = ", ".join(f"{name} ({number:,})" for name, number in sorted(undated.items()) if number)
    if told:
        yield paragraph(f"Unknown: no source tells when the fixes could be had of {told}.")
    unmeasured, removed = sum(one.unmeasured for one in answer.patching), sum(one.removed for one in answer.patching)
    if unmeasured or removed:
        yield paragraph(
            f"Not measured: {unmeasured:,} were fixed before their host was watched, {removed:,} went without the fix. "
            "How fast a provider's builds run is not measured here."
        )


def _patching_row(one: ProviderPatching) -> tuple[str | int | Shown | None, ...]:
    shares = {share.days: share for share in one.within}
    return (
        one.provider,
        COMPONENT_NAMES[one.component],
        badge(one.severity),
        alarming(one.open),
        None if one.oldest_open is None else one.oldest_open.isoformat(),
        one.measured,
        one.median_days,
        one.p90_days,
        *(_share(shares.get(days)) for days in _WITHIN),
    )


def _share(share: PatchedShare | None) -> Shown | None:
    if share is None or not share.total:
        return None
    done = share.patched / share.total
    style = "heat-good" if done >= 0.8 else "heat-warn" if done >= 0.5 else "heat-bad"
    return Shown(percent(share.patched, share.total), f"n {style}")


def _builds(figures: FleetFigures) -> Iterable[Markup]:
    found: dict[tuple[str, str], int] = {}
    for one in figures.posture.installs:
        if one.provider == "pbs":
            key = one.provider_build or "unknown", f"{one.implementation} {one.version or 'of unknown version'}"
            found[key] = found.get(key, 0) + one.installs
    if not found:
        yield paragraph("No python-build-standalone build is in use (uv, rye, hatch and mise bring these).")
    else:
        by_build: Counter[str] = Counter()
        for (build, _), number in found.items():
            by_build[build] += number
        recent = sorted(by_build, key=lambda build: (build != "unknown", build), reverse=True)
        yield bars(
            "python-build-standalone's builds in use, the newest first",
            "Installs by the build's date: what uv, rye, hatch and mise bring.",
            "installs",
            [Bar(build, {"all": by_build[build]}) for build in recent[:BUILDS_SHOWN]],
            ALL,
            total=by_build.total(),
        )
        yield rest(BUILDS_SHOWN, len(recent), "builds", *figures.words("fleet", "matrix", "--provider", "pbs"))
    versions: Counter[tuple[str, str]] = Counter()
    for one in figures.posture.installs:
        versions[one.provider, f"{one.implementation} {one.version or 'of unknown version'}"] += one.installs
    ordered = sorted(versions.items(), key=lambda item: (-item[1], item[0]))
    yield folded(
        "Versions in use, by provider",
        table(
            "Installs by provider and version",
            (Head("Provider"), Head("Version"), Head("Installs")),
            [(provider, version, number) for (provider, version), number in ordered[:ROWS_SHOWN]],
        ),
        rest(ROWS_SHOWN, len(ordered), "versions", *figures.words("posture", "--output", "json")),
    )


def _lags(answer: ProvidersAnswer) -> Iterable[Markup]:
    if not answer.lags:
        yield paragraph("No source tells how fast providers are.")
        return
    yield table(
        "From the advisory to the fix: days until a fix was there, whatever hosts did",
        (
            Head("Fixes from"),
            Head("Component"),
            Head("Fixes"),
            Head("Median days"),
            Head("90 % within"),
            Head("Longest"),
        ),
        [
            (one.channel, COMPONENT_NAMES[one.component], one.fixes, one.median, one.p90, one.longest)
            for one in answer.lags[:ROWS_SHOWN]
        ],
    )
    yield rest(ROWS_SHOWN, len(answer.lags), "channels", "providers")
