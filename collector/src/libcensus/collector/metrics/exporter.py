"""Keeps the fleet's exposition: text is rendered when a host changes, and joined at the scrape.

A scrape asks the store for the stamp of every host and reads only those that changed since the last one. Hosts with
equal facts share one assessment and one rendered template. Scrapes at the same time get the same page; nothing here
writes to the store, and nothing is dropped: above the limit of series a warning is logged and the numbers say so.
"""

from __future__ import annotations

import logging
import threading
from collections import Counter
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from libcensus.collector.acceptance.fleet import nothing_accepted
from libcensus.collector.exposures import ExposureReader
from libcensus.collector.heap import collection_paused
from libcensus.collector.hostfacts import HostFacts, wanted, wanted_by_roots
from libcensus.collector.metrics.exposition import (
    END_OF_OPENMETRICS,
    Format,
    Lines,
    escape_value,
    negotiate,
    render_header,
    render_histograms,
    render_samples,
)
from libcensus.collector.metrics.families import (
    EXPOSED,
    FACTS_FAMILIES,
    FLEET_FAMILIES,
    HOST_LABELS,
    PATCH_LATENCY,
    REPORT_FAMILIES,
    SERIES,
    collisions,
    host_labels,
    label_names,
)
from libcensus.collector.metrics.view import (
    Count,
    Detail,
    ExposedPlace,
    FleetView,
    HostView,
    ReportView,
    covered_by,
    exposed_places,
    tally_host,
)
from libcensus.collector.posture.newest import newest_of_line
from libcensus.collector.postureindex import PostureIndex, end_of
from libcensus.facts.host import Inventory
from libcensus.facts.interpreter import Build
from libcensus.facts.platform import Platform
from libcensus.facts.vocabulary import Implementation, Provider

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from libcensus.collector.acceptance.fleet import FleetAcceptances
    from libcensus.collector.metrics.exposition import Labels
    from libcensus.collector.metrics.families import Family
    from libcensus.collector.posture.acceptance import Acceptances, HostScope, Matched
    from libcensus.collector.posture.assessment import Assessor
    from libcensus.collector.posture.newest import NewestBuild
    from libcensus.collector.posture.speed import SpeedRun
    from libcensus.collector.posture.verdict import Verdict
    from libcensus.collector.postureindex import JudgedHost
    from libcensus.collector.store.contract import HostStamp, HostState, Store
    from libcensus.facts.codec import Fact
    from libcensus.facts.host import Host

log = logging.getLogger(__name__)

DEFAULT_SERIES_LIMIT = 100_000

DEFAULT_LISTED_ADVISORIES = 100
"""How many advisories are labels of a series unless somebody wants more."""

_NAME = "\0"
_NAME_BYTES = _NAME.encode()
"""Stands for the host's name in a template; no fact can hold a NUL."""

_BATCH = 500
"""Hosts that are read from the store at once: enough to be quick, few enough to keep memory flat."""


@dataclass(frozen=True, slots=True)
class _ShapeKey:
    """What two hosts must have in common to share their verdicts: everything but their name and its proofs.

    ``groups`` are those of accepted risks.
    """

    host: Host
    platform: str
    installs: str
    builds: tuple[str, ...]
    crypto_copies: str | None
    roots: str | None
    changelogs: tuple[str, ...]
    tools: str | None
    groups: Matched


@dataclass(slots=True)
class _Shape:
    """The facts that one or many hosts have in common, as far as the exposition needs them.

    ``inventory`` is the address of one host's: with it they can be judged anew.
    """

    key: _ShapeKey
    inventory: str
    tally: tuple[tuple[Count, Labels, int], ...]
    templates: tuple[bytes, ...]
    series: Counter[Detail]
    exposed: tuple[ExposedPlace, ...] = ()
    hosts: int = 0


@dataclass(frozen=True, slots=True)
class _Entry:
    """One host as it stands in the exposition; ``shape`` is absent where its facts cannot be read.

    ``told`` are the series of its report alone, ``labels`` the values of those that are exposed.
    """

    stamp: HostStamp
    shape: _Shape | None
    reported: tuple[bytes, ...]
    facts: tuple[bytes, ...]
    told: Counter[Detail]
    groups: Matched
    labels: Labels


class FleetExporter:
    """Renders the fleet's metrics at one level of detail.

    ``assessor_for`` is asked at every scrape; another assessor than the last time (a new day, new advisories) means
    that all verdicts are computed anew, once for all hosts with the same facts. ``index`` keeps the hosts' past.
    ``label_keys`` are the labels of hosts that are exposed; ``listed_advisories`` is how many advisories get series of
    their own, None for all; ``measured`` gives the runs in which somebody measured the speed of builds, the same object
    until one changes.
    Methods may be called from several threads at once.
    """

    def __init__(
        self,
        store: Store,
        assessor_for: Callable[[], Assessor],
        detail: Detail | str = Detail.INSTALL,
        series_limit: int = DEFAULT_SERIES_LIMIT,
        index: PostureIndex | None = None,
        accepted_for: Callable[[], FleetAcceptances] = nothing_accepted,
        label_keys: Sequence[str] = (),
        *,
        listed_advisories: int | None = DEFAULT_LISTED_ADVISORIES,
        measured: Callable[[], tuple[SpeedRun, ...]] = tuple,
    ) -> None:
        self._listed_advisories = listed_advisories
        self._store = store
        self._measured_now = measured
        self._measured: tuple[SpeedRun, ...] = ()
        self._accepted_for = accepted_for
        self._accepted = nothing_accepted()
        self._judged_with: Acceptances | None = None
        self._host_scopes: tuple[HostScope, ...] = ()
        self._assessor_for = assessor_for
        self._index = PostureIndex(store, assessor_for) if index is None else index
        self._exposures: ExposureReader | None = None
        self._moved: dict[str, JudgedHost] = {}
        self._detail = Detail(detail)
        self._series_limit = series_limit
        self._label_keys = tuple(sorted(set(label_keys)))
        labels = host_labels(self._label_keys)
        for together in collisions(self._label_keys):
            log.warning(
                "metrics_labels: %s become one label of a metric; they are told apart as %s",
                " and ".join(together),
                " and ".join(label_names(self._label_keys)[key] for key in together),
            )
        families = (labels if family is HOST_LABELS else family for family in REPORT_FAMILIES)
        self._report_families = tuple(f for f in families if self._detail.includes(f.detail))
        self._facts_families = tuple(f for f in FACTS_FAMILIES if self._detail.includes(f.detail))
        self._exposed = tuple(
            (position, family, EXPOSED[family])
            for position, family in enumerate(self._facts_families)
            if family in EXPOSED
        )
        self._lock = threading.Lock()
        self._assessor: Assessor | None = None
        self._entries: dict[str, _Entry] = {}
        self._order: list[str] = []
        self._shapes: dict[_ShapeKey, _Shape] = {}
        self._counts: dict[Count, Counter[Labels]] = {what: Counter() for what in Count}
        self._interned: dict[Labels, Labels] = {}
        self._label_values: dict[Labels, Labels] = {}
        self._told: Counter[Detail] = Counter()
        self._builds: dict[str, Build] = {}
        self._needed_glibc: dict[str, str] = {}
        self._platforms: dict[str, Platform] = {}
        self._pages: dict[Format, bytes] = {}
        self._above_limit = False

    def render(self, accept: str = "", process: Callable[[Format], bytes] | None = None) -> tuple[str, bytes]:
        """Return the content type and the page for an ``Accept`` header.

        ``process`` renders the collector's own families in the format that was agreed on, without an end mark; they
        come after the fleet's. Raises StoreError when the store cannot be read.
        """
        output = negotiate(accept)
        parts = [self.render_fleet(output)]
        if process is not None:
            parts.append(process(output))
        if output is Format.OPENMETRICS:
            parts.append(END_OF_OPENMETRICS)
        return output, b"".join(parts)

    def render_fleet(self, output: Format) -> bytes:
        """Return the families of the fleet in one format, without an end mark. Raises StoreError."""
        with self._lock:
            self._update()
            page = self._pages.get(output)
            if page is None:
                page = self._pages[output] = self._join(output)
            return page

    # --- what changed ---------------------------------------------------------------------------------------------

    def _update(self) -> None:
        """Bring everything up to the store's present state.

        Pages go before the first change, so that an error of the store midway leaves none that is out of date.
        """
        assessor, accepted = self._assessor_for(), self._accepted_for()
        judged_anew = assessor is not self._assessor or accepted.acceptances is not self._judged_with
        self._accepted = accepted
        measured = self._measured_now()
        if measured is not self._measured:
            self._pages.clear()
            self._measured = measured
        stamps = self._store.host_stamps()
        known = {stamp.host_id for stamp in stamps}
        gone = [host_id for host_id in self._entries if host_id not in known]
        has_changes = not judged_anew and any(self._has_changed(stamp) for stamp in stamps)
        if judged_anew or gone or has_changes:
            self._pages.clear()
            self._look_back()
        for host_id in gone:
            self._release(self._entries.pop(host_id))
        if accepted.acceptances.host_scopes != self._host_scopes:
            # The numbers of groups mean others now: every host is read again.
            self._forget()
            self._host_scopes = accepted.acceptances.host_scopes
        if judged_anew:
            with collection_paused():
                self._judge_anew(assessor)
            self._assessor, self._judged_with = assessor, accepted.acceptances
        # What could not be judged anew has no entry any more, and is read again.
        changed = [stamp for stamp in stamps if self._has_changed(stamp)] if judged_anew or has_changes else []
        for start in range(0, len(changed), _BATCH):
            self._read({stamp.host_id: stamp for stamp in changed[start : start + _BATCH]}, assessor)
        if not self._pages:
            self._order = [stamp.host_id for stamp in stamps if stamp.host_id in self._entries]
            self._purge()

    def _has_changed(self, stamp: HostStamp) -> bool:
        old = self._entries.get(stamp.host_id)
        if old is None or old.stamp != stamp:
            return True
        # A label may have changed.
        if self._label_keys and old.labels != self._labels_of(stamp.host_id):
            return True
        return old.groups != self._accepted.groups_of(stamp.host_id, stamp.name)

    def _labels_of(self, host_id: str) -> Labels:
        """Return the values of a host's labels that are exposed; an empty one where it has none."""
        own = self._accepted.labels_of(host_id)
        return tuple(own.get(key, "") for key in self._label_keys)

    def _forget(self) -> None:
        self._entries, self._shapes, self._told = {}, {}, Counter()
        self._counts = {what: Counter() for what in Count}

    def _judge_anew(self, assessor: Assessor) -> None:
        """Judge and render each shape once, and give its hosts the new text: their facts are the same."""
        fresh: dict[_ShapeKey, _Shape] = {}
        renewed: dict[int, _Shape] = {}
        keys = list(self._shapes)
        for start in range(0, len(keys), _BATCH):
            part = {key: self._shapes[key].inventory for key in keys[start : start + _BATCH]}
            found = self._store.facts(set(part.values()))
            inventories = {key: one for key, digest in part.items() if isinstance(one := found.get(digest), Inventory)}
            facts = self._facts_of(inventories.values())
            for key, inventory in inventories.items():
                shape = self._shape(key, part[key], inventory, self._gather(inventory, facts), assessor)
                if shape is not None:
                    shape.hosts = self._shapes[key].hosts
                    fresh[key] = renewed[id(self._shapes[key])] = shape
        self._shapes = fresh
        self._counts = {what: Counter() for what in Count}
        for shape in fresh.values():
            for what, labels, amount in shape.tally:
                self._counts[what][labels] += amount * shape.hosts
        entries, self._entries = self._entries, {}
        for host_id, entry in entries.items():
            known = None if entry.shape is None else renewed.get(id(entry.shape))
            if known is not None:
                self._entries[host_id] = self._entry(entry.stamp, known, entry.reported, entry.told, entry.labels)
            elif entry.shape is not None:
                self._told.subtract(entry.told)

    def _facts_of(self, inventories: Iterable[HostState | Inventory]) -> dict[str, Fact]:
        """Return the facts that hosts need and that are not kept: builds and platforms are, from now on."""
        needed: set[str] = set()
        for one in inventories:
            needed |= wanted(one) - self._platforms.keys() - self._builds.keys()
        facts = dict(self._store.facts(needed)) if needed else {}
        inner = wanted_by_roots(facts) - self._platforms.keys() - facts.keys()
        # The platforms of roots in a host are judged by and let go: no family tells of them.
        others = self._store.facts(inner) if inner else {}
        for digest, fact in facts.items():
            if isinstance(fact, Build):
                self._builds[digest] = fact
                self._needed_glibc[digest] = _needed_glibc(fact)
            elif isinstance(fact, Platform):
                self._platforms[digest] = fact
        return {**facts, **others}

    def _look_back(self) -> None:
        """Ask the index what changed on hosts, and when."""
        fleet = self._index.fleet()
        if fleet is not None:
            self._exposures = ExposureReader(fleet)
            self._moved = {host.host_id: host for host in fleet.hosts if host.past}

    def _read(self, stamps: dict[str, HostStamp], assessor: Assessor) -> None:
        """Read hosts that changed, and render what each of them needs."""
        states = self._store.hosts(stamps)
        facts = self._facts_of(state for state in states if self._shape_key(state) not in self._shapes)
        # A host that was removed since its stamp was read is not among the states, and keeps no entry.
        for host_id in stamps:
            if host_id in self._entries:
                self._release(self._entries.pop(host_id))
        for state in states:
            key = self._shape_key(state)
            if key not in self._shapes:
                shape = self._shape(key, state.inventory, state, self._gather(state, facts), assessor)
                if shape is not None:
                    self._shapes[key] = shape
            self._admit(stamps[state.host_id], state, key)

    def _gather(self, state: HostState | Inventory, read: Mapping[str, Fact]) -> dict[str, Fact]:
        """Return a host's facts: those just read, and those that another host had already."""
        roots = {} if state.roots is None or state.roots not in read else {state.roots: read[state.roots]}
        found: dict[str, Fact] = {}
        held: tuple[Mapping[str, Fact], ...] = (self._builds, self._platforms, read)
        for digest in wanted(state) | wanted_by_roots(roots):
            fact = next((source[digest] for source in held if digest in source), None)
            if fact is not None:
                found[digest] = fact
        return found

    def _shape_key(self, state: HostState) -> _ShapeKey:
        return _ShapeKey(
            replace(state.host, hostname="-", evidence=()),
            state.platform,
            state.installs,
            state.builds,
            state.crypto_copies,
            state.roots,
            state.changelogs,
            state.tools,
            self._accepted.groups_of(state.host_id, state.name),
        )

    def _shape(
        self,
        key: _ShapeKey,
        inventory: str,
        state: HostState | Inventory,
        facts: Mapping[str, Fact],
        assessor: Assessor,
    ) -> _Shape | None:
        """Judge and render facts that no host had so far; None where the store does not have them all."""
        known = HostFacts.of(state, facts)
        if known is None:
            return None
        assessment = known.assess(assessor)
        view = HostView(
            name=_NAME,
            host=state.host,
            platform_digest=state.platform,
            platform=known.platform,
            installs=known.installs,
            builds=known.builds,
            needed_glibc={digest: self._needed_glibc[digest] for digest in known.builds},
            assessment=assessment,
            covered=covered_by(self._accepted.acceptances, assessment, key.groups),
            exposed=exposed_places(self._accepted.acceptances, assessment, key.groups),
            tools=known.tools,
        )
        tally = tuple(
            (what, self._interned.setdefault(labels, labels), amount)
            for (what, labels), amount in tally_host(view).items()
        )
        lines = [render_samples(family.name, family.labels, family.samples(view)) for family in self._facts_families]
        return _Shape(
            key,
            inventory,
            tally,
            tuple(each.text for each in lines),
            _count_series(self._facts_families, lines),
            view.exposed if self._exposed else (),
        )

    def _admit(self, stamp: HostStamp, state: HostState, key: _ShapeKey) -> None:
        shape = self._shapes.get(key)
        labels = self._labels_of(stamp.host_id)
        labels = self._label_values.setdefault(labels, labels)
        if shape is None:
            log.warning("host %s: its stored facts cannot be read; metrics leave it out until it changes", stamp.name)
            self._entries[stamp.host_id] = _Entry(stamp, None, (), (), Counter(), key.groups, labels)
            return
        shape.hosts += 1
        for what, labels, amount in shape.tally:
            self._counts[what][labels] += amount
        view = ReportView(
            stamp.name,
            state.host_id,
            state.host,
            state.report,
            state.last_report,
            state.outdated_processes,
            self._accepted.labels_of(state.host_id),
            state.certificate_expires_at,
        )
        lines = [render_samples(family.name, family.labels, family.samples(view)) for family in self._report_families]
        told = _count_series(self._report_families, lines)
        self._told.update(told)
        self._entries[stamp.host_id] = self._entry(stamp, shape, tuple(each.text for each in lines), told, labels)

    def _entry(
        self, stamp: HostStamp, shape: _Shape, reported: tuple[bytes, ...], told: Counter[Detail], labels: Labels
    ) -> _Entry:
        """Return a host's entry; ``told`` are the series of its report."""
        name = escape_value(stamp.name).encode()
        facts = tuple([template.replace(_NAME_BYTES, name) for template in shape.templates])
        return _Entry(stamp, shape, reported, self._with_past(stamp, shape, facts), told, shape.key.groups, labels)

    def _with_past(self, stamp: HostStamp, shape: _Shape, facts: tuple[bytes, ...]) -> tuple[bytes, ...]:
        """Return a host's text with what counts from its own changes; the series are the same, their values are not."""
        host = self._moved.get(stamp.host_id)
        if host is None or self._exposures is None or not shape.exposed:
            return facts
        began = self._exposures.began(host)
        told = list(facts)
        for position, family, samples_of in self._exposed:
            samples = samples_of(stamp.name, shape.exposed, began)
            told[position] = render_samples(family.name, family.labels, samples).text
        return tuple(told)

    def _release(self, entry: _Entry) -> None:
        if entry.shape is None:
            return
        shape = entry.shape
        shape.hosts -= 1
        for what, labels, amount in shape.tally:
            self._counts[what][labels] -= amount
        self._told.subtract(entry.told)

    def _purge(self) -> None:
        """Let go of what no host has any more."""
        for key in [key for key, shape in self._shapes.items() if not shape.hosts]:
            del self._shapes[key]
        for counts in self._counts.values():
            for labels in [labels for labels, amount in counts.items() if not amount]:
                del counts[labels]
                self._interned.pop(labels, None)
        if self._label_keys:
            self._label_values = {entry.labels: entry.labels for entry in self._entries.values()}
        builds = {digest for (digest,) in self._counts[Count.BUILDS]}
        platforms = {digest for (digest,) in self._counts[Count.PLATFORMS]}
        for held, alive in ((self._builds, builds), (self._needed_glibc, builds), (self._platforms, platforms)):
            for digest in held.keys() - alive:
                del held[digest]

    # --- joining --------------------------------------------------------------------------------------------------

    def _join(self, output: Format) -> bytes:
        assessor = self._assessor
        if assessor is None:
            raise AssertionError("nothing was judged yet")

        def verdict_of(build: str, platform: str) -> Verdict:
            return assessor.verdict(build, self._builds[build], self._platforms[platform], platform)

        def newest_of(implementation: str, branch: str, provider: str) -> NewestBuild | None:
            what = Provider(provider), Implementation(implementation), branch
            return newest_of_line(*what, assessor.catalogue, assessor.today)

        entries = [self._entries[host_id] for host_id in self._order]
        view = FleetView(
            counts=self._counts,
            builds=self._builds,
            platforms=self._platforms,
            verdict_of=verdict_of,
            snapshot_date=assessor.catalogue.snapshot_date,
            reaches=assessor.catalogue.reaches,
            unreadable_hosts=sum(entry.shape is None for entry in entries),
            series={},
            series_limit=self._series_limit,
            acceptances=self._accepted.acceptances,
            newest_of=newest_of,
            listed_advisories=self._listed_advisories,
            patching={} if self._exposures is None else self._exposures.tally(end_of(assessor.today)),
            measured=self._measured,
        )
        fleet = [render_samples(family.name, family.labels, family.samples(view)) for family in FLEET_FAMILIES]
        latency = render_histograms(PATCH_LATENCY.name, PATCH_LATENCY.labels, PATCH_LATENCY.values(view))
        series = Counter(self._told)
        for shape in self._shapes.values():
            for detail, number in shape.series.items():
                series[detail] += number * shape.hosts
        series[Detail.FLEET] = sum(lines.number for lines in (*fleet, latency))
        self._watch_limit(series)
        view = replace(view, series=series)
        parts: list[bytes] = []
        for family, lines in zip(FLEET_FAMILIES, fleet, strict=True):
            told = render_samples(family.name, family.labels, family.samples(view)) if family is SERIES else lines
            parts += (_header(family, output), told.text)
        parts += (_header(PATCH_LATENCY, output), latency.text)
        readable = [entry for entry in entries if entry.shape is not None]
        for position, reported in enumerate(self._report_families):
            parts += (_header(reported, output), *[entry.reported[position] for entry in readable])
        for position, known in enumerate(self._facts_families):
            parts += (_header(known, output), *[entry.facts[position] for entry in readable])
        return b"".join(parts)

    def _watch_limit(self, series: Counter[Detail]) -> None:
        total = series.total()
        above = total > self._series_limit
        if above and not self._above_limit:
            log.warning(
                "%d series are exposed, more than the limit of %d (%s); nothing is dropped: choose a lower level with "
                "--metrics-detail, or raise --series-limit",
                total,
                self._series_limit,
                ", ".join(f"{series[detail]} of level {detail}" for detail in Detail),
            )
        self._above_limit = above


def _needed_glibc(build: Build) -> str:
    """Return the highest glibc version that a build's files need, empty where none is."""
    return build.requirement().glibc or ""


def _header(family: Family, output: Format) -> bytes:
    return render_header(family.name, family.kind, family.help, output)


def _count_series(families: Sequence[Family], lines: Sequence[Lines]) -> Counter[Detail]:
    counts: Counter[Detail] = Counter()
    for family, rendered in zip(families, lines, strict=True):
        counts[family.detail] += rendered.number
    return counts
