"""Where things start: C libraries, what wheels' tags reach, and builds on platforms with what stops them."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from libcensus.cli.answers import Share
from libcensus.cli.exports.page.markup import (
    Head,
    Markup,
    Shown,
    card,
    command,
    count,
    counted,
    folded,
    grid,
    paragraph,
    percent,
    rest,
    section,
    table,
    tag,
    tile,
    tiles,
)
from libcensus.cli.exports.page.plots import Bar, Series, bars, meter
from libcensus.cli.exports.page.words import ALL
from libcensus.cli.fleet_tables import name_of, runs_of
from libcensus.cli.judgement import brief, deciding
from libcensus.collector.posture.reach import floors, policy_reach
from libcensus.collector.posture.verdict import PortabilityState, ReasonKind
from libcensus.facts.requirement import version_key

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from libcensus.cli.exports.page.figures import FleetFigures
    from libcensus.cli.exports.page.markup import TableCell
    from libcensus.collector.posture.reach import TagReach
    from libcensus.collector.posture.verdict import Verdict
    from libcensus.collector.service.portability_codec import Matrix, MatrixBuild, PlatformHosts

BUILDS_SHOWN = 40
"""Builds of each architecture in the matrix: those that most hosts have."""

COLUMNS_SHOWN = 24
LIBCS_SHOWN = 40
ARCHS_SHOWN = 4

_REASONS: dict[ReasonKind, tuple[str, str, str]] = {
    ReasonKind.SYMBOL_VERSION: ("G", "glibc or another library is too old", "vermilion"),
    ReasonKind.LOADER: ("L", "another C library (glibc or musl)", "purple"),
    ReasonKind.X86_64_LEVEL: ("C", "the CPU lacks instructions", "orange"),
    ReasonKind.SONAME: ("S", "a shared library is missing", "orange"),
    ReasonKind.KERNEL: ("K", "the kernel is too old", "orange"),
    ReasonKind.ARCH: ("A", "another architecture", "grey"),
}
"""What stops a build, as the matrix marks it: a letter, words, a colour."""

_OTHER = ("X", "another reason", "grey")


@dataclass(slots=True)
class _Column:
    """The platforms with one C library."""

    family: str
    version: str
    hosts: int = 0
    systems: Counter[str] = field(default_factory=Counter)
    positions: list[int] = field(default_factory=list)

    @property
    def name(self) -> str:
        return f"{self.family} {self.version}"

    @property
    def named(self) -> str:
        """The systems that most of its hosts have."""
        ordered = sorted(self.systems.items(), key=lambda item: (-item[1], item[0]))
        return ordered[0][0] + (", …" if len(ordered) > 1 else "")


@dataclass(slots=True)
class _Field:
    """One build on the platforms with one C library, in hosts."""

    states: Counter[PortabilityState] = field(default_factory=Counter)
    kinds: Counter[ReasonKind] = field(default_factory=Counter)
    why: Counter[str] = field(default_factory=Counter)
    degraded: int = 0

    def add(self, verdict: Verdict, hosts: int) -> None:
        """Count the hosts of a platform in."""
        self.states[verdict.state] += hosts
        if verdict.reasons:
            reason = deciding(verdict)
            self.kinds[reason.kind] += hosts
            self.why[brief(reason)] += hosts
        elif verdict.degraded:
            self.degraded += hosts


def portability(figures: FleetFigures) -> Markup:
    """Return the part about portability."""
    libcs = figures.libcs.libcs
    tags = policy_reach(libcs)
    archs = [floor.arch for floor in floors(libcs)]
    return section(
        "portability",
        "Portability",
        "What would a wheel or binary for this glibc reach, and which builds do not start where, and why not?",
        _tiles(figures),
        grid(
            card(_libcs(figures)),
            *[card(_reach(arch, [one for one in tags if one.arch == arch])) for arch in archs[:2]],
        ),
        grid(*[card(*_lost(arch, [one for one in tags if one.arch == arch], figures)) for arch in archs[:ARCHS_SHOWN]]),
        rest(ARCHS_SHOWN, len(archs), "architectures", *figures.words("fleet", "glibc")),
        card(*_matrices(figures)),
    )


def _tiles(figures: FleetFigures) -> Markup:
    shown = []
    for floor in floors(figures.libcs.libcs)[:2]:
        note = f"on {floor.hosts:,} of {counted(floor.total, 'host')}"
        shown.append(tile(floor.version or "unknown", f"oldest glibc, {floor.arch}", note))
    if figures.matrix is not None:
        failing = _failing(figures.matrix)
        note = "CPU, kernel, glibc or a library is too old there"
        shown.append(
            tile(
                f"{failing:,} of {len(figures.matrix.builds):,}",
                "builds fail somewhere",
                note,
                "warn" if failing else "good",
            )
        )
    return tiles(*shown)


def _failing(matrix: Matrix) -> int:
    """Return how many builds would not start on some host of their architecture and C library.

    A distribution's own are left out: they are made for it.
    """
    others = {ReasonKind.ARCH, ReasonKind.LOADER}
    return sum(
        build.provider != "distro"
        and any(
            verdict.state is PortabilityState.BLOCKED and verdict.first_reason not in others for verdict in verdicts
        )
        for build, verdicts in zip(matrix.builds, matrix.verdicts, strict=True)
    )


def _libcs(figures: FleetFigures) -> Markup:
    found: dict[tuple[str, str], Counter[str]] = {}
    for one in figures.libcs.libcs:
        found.setdefault((one.family, one.version), Counter())[one.arch] += one.hosts
    archs = Counter[str]()
    for numbers in found.values():
        archs.update(numbers)
    styles = ("blue", "orange", "green", "purple")
    named = [arch for arch, _ in sorted(archs.items(), key=lambda item: (-item[1], item[0]))]
    series = {arch: Series(arch, styles[min(number, 3)]) for number, arch in enumerate(named)}
    ordered = sorted(found.items(), key=lambda item: (item[0][0], version_key(item[0][1])))
    return bars(
        "Hosts by C library, the oldest first",
        "What needs a newer one than a host has does not start there.",
        "hosts",
        [Bar(f"{family} {version}", numbers) for (family, version), numbers in ordered[:LIBCS_SHOWN]],
        series,
    )


def _reach(arch: str, tags: Sequence[TagReach]) -> Markup:
    rows = []
    told = {}
    for run in runs_of(tags):
        first, last = run[0], run[-1]
        label = first.policy if first is last else f"{first.policy} … {last.policy.rpartition('_')[2]}"
        share = round(100 * last.hosts / last.total) if last.total else 0
        style = "green" if last.hosts == last.total else "vermilion" if share < 80 else "orange"
        rows.append(Bar(label, {"all": share}, style))
        told[label] = f"{Share(last.hosts, last.total).percent} ({last.hosts:,})"
    return bars(
        f"What a wheel reaches, {arch}",
        f"Share of the {arch} hosts on which pip and uv take a wheel with this tag. manylinux2014 is manylinux_2_17; "
        "musllinux is for musl.",
        f"% of the {arch} hosts",
        rows,
        ALL,
        is_percent=True,
        told=told,
    )


def _lost(arch: str, tags: Sequence[TagReach], figures: FleetFigures) -> Iterable[Markup]:
    rows: list[tuple[TableCell, ...]] = []
    for run in runs_of(tags):
        first, last = run[0], run[-1]
        if first.lost:
            lost = ", ".join(f"{loss.hosts:,} with {loss.family} {loss.version}" for loss in first.lost)
            gone = sum(loss.hosts for loss in first.lost)
            rows.append((first.policy, Shown(gone, "bad"), lost, last.hosts, meter(last.hosts, last.total)))
    if not rows:
        yield paragraph(f"On {arch} no move of the floor to a newer tag loses a host.", class_="fine")
        return
    yield table(
        f"What is lost on {arch} when the floor moves to a tag from the one before",
        (Head("New floor"), Head("Hosts lost"), Head("Which"), Head("Hosts left"), Head("Share")),
        rows[:LIBCS_SHOWN],
    )
    yield rest(LIBCS_SHOWN, len(rows), "steps", *figures.words("fleet", "glibc"))


# --- the matrix ---------------------------------------------------------------------------------------------------


def _matrices(figures: FleetFigures) -> Iterable[Markup]:
    yield tag("h3", "Which builds start where")
    matrix = figures.matrix
    if matrix is None:
        yield paragraph(
            "There are too many builds and platforms to judge all at once. A part of them: ",
            command(*figures.words("fleet", "matrix", "--provider", "pbs")),
            class_="rest",
        )
        return
    if not matrix.builds:
        yield paragraph("No build has been reported.", class_="fine")
        return
    yield paragraph(
        "Every interpreter build that some host has, judged on the C libraries of all hosts of its architecture, "
        "wherever it is installed now. Rows come by the glibc that a build needs, columns by the one that hosts offer. "
        "A number is the share of the hosts on which it starts."
    )
    yield _key()
    archs = Counter[str]()
    for platform in matrix.platforms:
        archs[platform.arch or "unknown"] += platform.hosts
    ordered = sorted(archs.items(), key=lambda item: (-item[1], item[0]))
    for number, (arch, hosts) in enumerate(ordered):
        own = [position for position, build in enumerate(matrix.builds) if (build.arch or "unknown") == arch]
        if own:
            title = f"{arch}: {counted(len(own), 'build')} on {counted(hosts, 'host')}"
            yield folded(title, *_matrix(figures, matrix, arch, own), is_open=number == 0)
    strange = [one for one in matrix.builds if (one.arch or "unknown") not in archs]
    if strange:
        named = ", ".join(sorted({one.arch or "unknown" for one in strange}))
        told = f"{counted(len(strange), 'build')} for an architecture that no host has ({named}) "
        yield paragraph(f"{told}{'starts' if len(strange) == 1 else 'start'} nowhere, or nobody can tell.")


def _key() -> Markup:
    marks = [
        ("✓", "starts", "runs"),
        ("m", "starts; modules would fail to load", "part"),
        ("40 %", "starts on this share", "part"),
        *[(letter, words, style) for letter, words, style in _REASONS.values() if letter != "A"],
        ("?", "nobody can tell", "unknown"),
    ]
    return tag(
        "div",
        *[tag("span", tag("b", mark, class_=f"mark {style}"), words) for mark, words, style in marks],
        class_="legend",
    )


def _matrix(figures: FleetFigures, matrix: Matrix, arch: str, own: Sequence[int]) -> Iterable[Markup]:
    columns = _columns(matrix.platforms, arch)
    shown = sorted(own, key=lambda row: (-matrix.builds[row].hosts, row))[:BUILDS_SHOWN]
    shown.sort(key=lambda row: (*_needs(matrix.builds[row]), row))
    told = columns[:COLUMNS_SHOWN]
    heads = [
        tag("th", name, scope="col", class_=style)
        for name, style in (("Build", None), ("Built by", None), ("Needs glibc", None), ("On hosts", None))
    ]
    heads += [
        tag(
            "th",
            tag("span", column.name),
            tag("span", column.named, class_="systems"),
            tag("span", count(column.hosts), class_="systems"),
            scope="col",
            class_="turned",
            title=", ".join(sorted(column.systems)),
        )
        for column in told
    ]
    heads.append(tag("th", f"Starts on (of {sum(column.hosts for column in columns):,})", scope="col"))
    rows = [tag("tr", *_row(matrix, row, columns, told)) for row in shown]
    yield tag(
        "div",
        tag(
            "table",
            tag("caption", f"Builds for {arch} on the C libraries of the {arch} hosts; below each its hosts"),
            tag("thead", tag("tr", *heads)),
            tag("tbody", *rows),
            class_="matrix",
        ),
        class_="scroll",
    )
    words = figures.words("fleet", "matrix", "--arch", arch, "--explain")
    yield rest(len(told), len(columns), "C libraries", *words)
    if len(shown) < len(own):
        yield paragraph(
            f"The {len(shown):,} of {len(own):,} builds that most hosts have; all of them, with every reason: ",
            command(*words),
            class_="rest",
        )


def _columns(platforms: Iterable[PlatformHosts], arch: str) -> list[_Column]:
    """Return the platforms of an architecture by their C library, glibc before others, the oldest first."""
    found: dict[tuple[str, str], _Column] = {}
    for position, one in enumerate(platforms):
        if (one.arch or "unknown") != arch:
            continue
        key = one.libc_family or "unknown", one.libc_version or "unknown"
        column = found.setdefault(key, _Column(*key))
        column.hosts += one.hosts
        # A label ends with C library and architecture, which stand elsewhere.
        column.systems[one.label.rsplit(", ", 2)[0]] += one.hosts
        column.positions.append(position)
    return sorted(found.values(), key=lambda one: (one.family != "glibc", one.family, version_key(one.version)))


def _needs(build: MatrixBuild) -> tuple[object, ...]:
    """Return how builds are ordered: by the glibc that they need; those that need none come last."""
    return build.glibc is None, version_key(build.glibc or "0"), build.provider, name_of(build)


def _row(matrix: Matrix, row: int, columns: Sequence[_Column], told: Sequence[_Column]) -> Iterable[Markup]:
    build, verdicts = matrix.builds[row], matrix.verdicts[row]
    name = name_of(build)
    yield tag("th", name, scope="row", title=build.digest)
    yield tag("td", build.provider)
    yield tag("td", build.glibc or "—")
    yield tag("td", count(build.hosts), class_="n")
    runs = total = 0
    for column in columns:
        cell = _Field()
        for position in column.positions:
            cell.add(verdicts[position], matrix.platforms[position].hosts)
        runs += cell.states[PortabilityState.RUNS]
        total += column.hosts
        if column in told:
            mark, style, words = _mark(cell, column.hosts)
            yield tag("td", mark, class_=f"mark {style}", title=f"{name} on {column.name}: {words}")
    yield tag("td", meter(runs, total, "green"), class_="starts")


def _mark(cell: _Field, hosts: int) -> tuple[str, str, str]:
    """Return how a field is marked: what stands there, its colour, and what it means."""
    runs, unknown = cell.states[PortabilityState.RUNS], cell.states[PortabilityState.UNKNOWN]
    why = "; ".join(f"{text} ({counted(number, 'host')})" for text, number in cell.why.most_common(3))
    if runs == hosts:
        if cell.degraded:
            return "m", "part", f"starts on all {hosts:,}; modules would fail to load on {cell.degraded:,}"
        return "✓", "runs", f"starts on all {hosts:,}"
    if runs:
        return percent(runs, hosts), "part", f"starts on {runs:,} of {hosts:,}; {why}"
    if unknown == hosts:
        return "?", "unknown", f"nobody can tell: {why}"
    letter, _, style = _REASONS.get(cell.kinds.most_common(1)[0][0] if cell.kinds else ReasonKind.TAG, _OTHER)
    return letter, style, f"starts on none of {hosts:,}: {why}"
