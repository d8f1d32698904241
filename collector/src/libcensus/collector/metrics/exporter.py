"""Keeps the fleet's exposition: text is rendered when a host changes, and joined at the scrape where it changed.

A scrape asks the store for the stamp of every host and reads only those that changed since the last one. Hosts with
equal facts share one assessment and one rendered template; the text of hosts lies in blocks, which are joined again
for the families that changed. Scrapes at the same time get the same page; nothing here writes to the store, and nothing
is dropped: above the limit of series a warning is logged and the numbers say so.
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
from libcensus.collector.metrics.blocks import HostBlocks
from libcensus.collector.metrics.exposition import (
    END_OF_OPENMETRICS,
    Format,
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
from libcensus.collector.metrics.shard import ALL_HOSTS
from libcensus.collector.metrics.view import (
    Count,
    Detail,
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
    from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
    from datetime import date

    from libcensus.collector.acceptance.fleet import FleetAcceptances
    from libcensus.collector.metrics.exposition import Labels, Lines
    from libcensus.collector.metrics.families import Family
    from libcensus.collector.metrics.shard import Shard
    from libcensus.collector.metrics.view import ExposedPlace
    from libcensus.collector.posture.acceptance import Acceptances, HostScope, Matched
    from libcensus.collector.posture.assessment import Assessor
    from libcensus.collector.posture.newest import NewestBuild
    from libcensus.collector.posture.speed import SpeedRun
    from libcensus.collector.posture.verdict import Verdict
    from libcensus.collector.postureindex import JudgedFleet, JudgedHost
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

    ``inventory`` is the address of one host's: with it they can be judged anew. ``templates`` is the text of each
    family of facts, with the mark of a name; it is made when a host of this shard has it.
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

    ``reported`` is the text of each family of its report, and ``told`` are the series in it; both are empty where
    another shard tells of the host. ``own`` is text that differs from its shape's, by the family's place among those
    of facts. ``labels`` are the values of those that are exposed.
    """

    stamp: HostStamp
    shape: _Shape | None
    is_shown: bool
    reported: tuple[bytes, ...]
    told: Counter[Detail]
    own: Mapping[int, bytes]
    groups: Matched
    labels: Labels


_NO_TEXT: Mapping[int, bytes] = {}
_NO_SERIES: Counter[Detail] = Counter()

Page = tuple[bytes, ...]
"""A page in pieces, in their order: nobody copies hundreds of megabytes to have it in one."""


@dataclass(frozen=True, slots=True)
class _FleetText:
    """The text of each family of the fleet, and what it was told from; the numbers of series are told at the join."""

    view: FleetView
    families: tuple[Lines, ...]
    latency: Lines


@dataclass(frozen=True, slots=True)
class Glance:
    """What the last scrape found: hosts of the whole fleet and of this shard, series by level, day of the facts."""

    hosts: int
    shown_hosts: int
    series: Mapping[Detail, int]
    facts_day: date


class FleetExporter:
    """Renders the fleet's metrics at one level of detail.

    ``assessor_for`` is asked at every scrape; another assessor than the last time (a new day, new advisories) means
    that all verdicts are computed anew, once for all hosts with the same facts. ``index`` keeps the hosts' past.
    ``label_keys`` are the labels of hosts that are exposed; ``listed_advisories`` is how many advisories get series of
    their own, None for all; ``measured`` gives the runs in which somebody measured the speed of builds, the same object
    until one changes. The levels of hosts and installs tell of the hosts of one ``shard``, the fleet's of all.
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
        shard: Shard = ALL_HOSTS,
    ) -> None:
        self._listed_advisories = listed_advisories
        self.shard = shard
        self.detail = Detail(detail)
        self._store = store
        self._measured_now = measured
        self._measured: tuple[SpeedRun, ...] = ()
        self._accepted_for = accepted_for
        self._accepted = nothing_accepted()
        self._labels = self._accepted.labels
        self._judged_with: Acceptances | None = None
        self._host_scopes: tuple[HostScope, ...] = ()
        self._assessor_for = assessor_for
        self._index = PostureIndex(store, assessor_for) if index is None else index
        self._fleet: JudgedFleet | None = None
        self._exposures: ExposureReader | None = None
        self._moved: dict[str, JudgedHost] = {}
        self.series_limit = series_limit
        self._label_keys = tuple(sorted(set(label_keys)))
        labels = host_labels(self._label_keys)
        for together in collisions(self._label_keys):
            log.warning(
                "metrics_labels: %s become one label of a metric; they are told apart as %s",
                " and ".join(together),
                " and ".join(label_names(self._label_keys)[key] for key in together),
            )
        families = (labels if family is HOST_LABELS else family for family in REPORT_FAMILIES)
        self._report_families = tuple(f for f in families if self.detail.includes(f.detail))
        self._facts_families = tuple(f for f in FACTS_FAMILIES if self.detail.includes(f.detail))
        # Of all text of a host, in the order of the page: first that of its report, then that of its facts.
        self._facts_from = len(self._report_families)
        self._all_facts = range(self._facts_from, self._facts_from + len(self._facts_families))
        self._exposed = tuple(
            (position, family, EXPOSED[family])
            for position, family in enumerate(self._facts_families)
            if family in EXPOSED
        )
        self._lock = threading.Lock()
        self._assessor: Assessor | None = None
        self._entries: dict[str, _Entry] = {}
        self._blocks = HostBlocks(self._all_facts.stop, self._text_of)
        self._shapes: dict[_ShapeKey, _Shape] = {}
        self._counts: dict[Count, Counter[Labels]] = {what: Counter() for what in Count}
        self._interned: dict[Labels, Labels] = {}
        self._label_values: dict[Labels, Labels] = {}
        self._told: Counter[Detail] = Counter()
        self._tolds: dict[frozenset[tuple[Detail, int]], Counter[Detail]] = {}
        self._unreadable = 0
        self._builds: dict[str, Build] = {}
        self._needed_glibc: dict[str, str] = {}
        self._platforms: dict[str, Platform] = {}
        self._fleet_text: _FleetText | None = None
        self._pages: dict[Format, Page] = {}
        self._glance: Glance | None = None
        # Whether all that was found out last time was read to its end, and the index knows the same hosts.
        self._is_settled = False
        self._seen: Sequence[HostStamp] = ()
        self._above_limit = False

    @property
    def glance(self) -> Glance | None:
        """What the last scrape found; None before the first."""
        return self._glance

    def render(self, accept: str = "", process: Callable[[Format], bytes] | None = None) -> tuple[str, bytes]:
        """Return the content type and the page for an ``Accept`` header, in one piece; see :meth:`pieces`."""
        output, page = self.pieces(accept, process)
        return output, b"".join(page)

    def pieces(self, accept: str = "", process: Callable[[Format], bytes] | None = None) -> tuple[str, Page]:
        """Return the content type and the page for an ``Accept`` header, as it is at one moment.

        ``process`` renders the collector's own families in the format that was agreed on, without an end mark; they
        come after the fleet's. Raises StoreError when the store cannot be read.
        """
        output = negotiate(accept)
        page = self._render(output)
        if process is not None:
            page = (*page, process(output))
        return output, ((*page, END_OF_OPENMETRICS) if output is Format.OPENMETRICS else page)

    def render_fleet(self, output: Format) -> bytes:
        """Return the families of the fleet in one format, without an end mark. Raises StoreError."""
        return b"".join(self._render(output))

    def _render(self, output: Format) -> Page:
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
        relabelled = _relabelled(self._labels, accepted.labels)
        self._accepted = accepted
        measured = self._measured_now()
        if measured is not self._measured:
            self._measured = measured
            self._fleet_text = None
            self._is_settled = False
        stamps = self._store.host_stamps()
        changed = [] if judged_anew else self._changed(stamps, relabelled)
        gone: list[str] = []
        new = sum(stamp.host_id not in self._entries for stamp in (stamps if judged_anew else changed))
        if len(self._entries) + new != len(stamps):
            known = {stamp.host_id for stamp in stamps}
            gone = [host_id for host_id in self._entries if host_id not in known]
        if self._is_settled and not judged_anew and not gone and not changed:
            self._labels = accepted.labels
            return
        self._is_settled = False
        self._pages.clear()
        self._look_back(stamps)
        for host_id in gone:
            self._replace(host_id, None)
        if accepted.acceptances.host_scopes != self._host_scopes:
            # The numbers of groups mean others now: every host is read again.
            self._forget()
            self._host_scopes = accepted.acceptances.host_scopes
        if judged_anew:
            with collection_paused():
                self._judge_anew(assessor)
            self._assessor, self._judged_with = assessor, accepted.acceptances
            # What could not be judged anew has no entry any more, and is read again; statements may cover others now.
            changed = self._changed(stamps, None)
        for stamp in changed:
            # Names that go must be gone before others take them.
            old = self._entries.get(stamp.host_id)
            if old is not None and old.stamp.name != stamp.name:
                self._replace(stamp.host_id, None)
        is_settled = True
        for start in range(0, len(changed), _BATCH):
            is_settled &= self._read({stamp.host_id: stamp for stamp in changed[start : start + _BATCH]}, assessor)
        if relabelled and self._label_keys:
            self._label_values = {entry.labels: entry.labels for entry in self._entries.values()}
        self._labels = accepted.labels
        self._purge()
        self._seen = stamps
        self._is_settled = is_settled

    def _changed(self, stamps: Sequence[HostStamp], relabelled: Collection[str] | None) -> list[HostStamp]:
        """Return the stamps of hosts that have to be read again; without ``relabelled``, labels of all are compared."""
        entries = self._entries
        # The store gives the same object as long as nothing changed, mostly in the same place: to compare costs little.
        perhaps = stamps
        if self._is_settled and relabelled is not None and len(self._seen) == len(stamps):
            perhaps = [stamp for seen, stamp in zip(self._seen, stamps, strict=True) if seen is not stamp]
        changed = [
            stamp
            for stamp in perhaps
            if (old := entries.get(stamp.host_id)) is None or (old.stamp is not stamp and old.stamp != stamp)
        ]
        if relabelled is None or relabelled:
            known = {stamp.host_id for stamp in changed}
            changed += [
                stamp
                for stamp in stamps
                if stamp.host_id not in known
                and (relabelled is None or stamp.host_id in relabelled)
                and self._is_labelled_anew(stamp)
            ]
        return changed

    def _is_labelled_anew(self, stamp: HostStamp) -> bool:
        old = self._entries[stamp.host_id]
        if self._label_keys and old.labels != self._labels_of(stamp.host_id):
            return True
        return old.groups != self._accepted.groups_of(stamp.host_id, stamp.name)

    def _labels_of(self, host_id: str) -> Labels:
        """Return the values of a host's labels that are exposed; an empty one where it has none."""
        own = self._accepted.labels_of(host_id)
        return tuple(own.get(key, "") for key in self._label_keys)

    def _forget(self) -> None:
        self._entries, self._shapes, self._told, self._unreadable = {}, {}, Counter(), 0
        self._counts = {what: Counter() for what in Count}
        self._blocks.clear()
        self._fleet_text = None

    def _judge_anew(self, assessor: Assessor) -> None:
        """Judge and render each shape once, and give it to its hosts: their facts are the same."""
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
                    fresh[key] = renewed[id(self._shapes[key])] = shape
        entries = self._entries
        self._forget()
        self._shapes = fresh
        for host_id, entry in entries.items():
            shape = None if entry.shape is None else renewed.get(id(entry.shape))
            if shape is not None or entry.shape is None:
                own = _NO_TEXT if shape is None else self._own_text(entry.stamp, shape, is_shown=entry.is_shown)
                self._replace(host_id, replace(entry, shape=shape, own=own))

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

    def _look_back(self, stamps: Sequence[HostStamp]) -> None:
        """Ask the index what changed on hosts, and when; of the same fleet the answer is the same."""
        fleet = self._index.fleet(stamps=stamps)
        if fleet is not None and fleet is not self._fleet:
            self._fleet = fleet
            self._exposures = ExposureReader(fleet)
            self._moved = {host.host_id: host for host in fleet.hosts if host.past}
            self._fleet_text = None

    def _read(self, stamps: Mapping[str, HostStamp], assessor: Assessor) -> bool:
        """Read hosts that changed, and render what each of them needs; tells whether all were still there."""
        states = self._store.hosts(stamps)
        keys = {state.host_id: self._shape_key(state) for state in states}
        facts = self._facts_of(state for state in states if keys[state.host_id] not in self._shapes)
        # A host that was removed since its stamp was read is not among the states, and keeps no entry.
        gone = stamps.keys() - keys.keys()
        for host_id in gone:
            self._replace(host_id, None)
        for state in states:
            key = keys[state.host_id]
            shape = self._shapes.get(key)
            if shape is None:
                shape = self._shape(key, state.inventory, state, self._gather(state, facts), assessor)
                if shape is not None:
                    self._shapes[key] = shape
            self._replace(state.host_id, self._entry(stamps[state.host_id], state, shape, key.groups))
        return not gone

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

    def _entry(self, stamp: HostStamp, state: HostState, shape: _Shape | None, groups: Matched) -> _Entry:
        """Return what the exposition has of a host that was read."""
        found = self._labels_of(stamp.host_id)
        labels = self._label_values.setdefault(found, found)
        if shape is None:
            log.warning("host %s: its stored facts cannot be read; metrics leave it out until it changes", stamp.name)
        is_shown = shape is not None and bool(self._report_families) and self.shard.holds(stamp.host_id)
        if shape is None or not is_shown:
            return _Entry(stamp, shape, is_shown, (), _NO_SERIES, _NO_TEXT, groups, labels)
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
        told = self._tolds.setdefault(frozenset(told.items()), told)
        own = self._own_text(stamp, shape, is_shown=is_shown)
        return _Entry(stamp, shape, is_shown, tuple(each.text for each in lines), told, own, groups, labels)

    def _own_text(self, stamp: HostStamp, shape: _Shape, *, is_shown: bool) -> Mapping[int, bytes]:
        """Return the text of a host that its own changes decide; the series are its shape's, their values are not."""
        host = self._moved.get(stamp.host_id)
        if host is None or self._exposures is None or not shape.exposed or not is_shown:
            return _NO_TEXT
        began = self._exposures.began(host)
        found = {}
        for position, family, samples_of in self._exposed:
            samples = samples_of(stamp.name, shape.exposed, began)
            found[position] = render_samples(family.name, family.labels, samples).text
        return found

    def _replace(self, host_id: str, new: _Entry | None) -> None:
        """Put the entry of a host in the place of the one that it had, if any; counts and blocks follow."""
        old = self._entries.pop(host_id, None)
        old_shape, new_shape = (None if entry is None else entry.shape for entry in (old, new))
        if old_shape is not new_shape:
            self._count(old_shape, -1)
            self._count(new_shape, 1)
        was_unreadable, is_unreadable = (entry is not None and entry.shape is None for entry in (old, new))
        if was_unreadable != is_unreadable:
            self._unreadable += is_unreadable - was_unreadable
            self._fleet_text = None
        if old is not None and old.is_shown:
            self._told.subtract(old.told)
            self._told.subtract({} if old_shape is None else old_shape.series)
        if new is not None and new.is_shown:
            self._told.update(new.told)
            self._told.update({} if new_shape is None else new_shape.series)
        if new is not None:
            self._entries[host_id] = new
        self._place(host_id, old, new)

    def _place(self, host_id: str, old: _Entry | None, new: _Entry | None) -> None:
        """Have the blocks tell what is new of a host."""
        before = old if old is not None and old.is_shown else None
        after = new if new is not None and new.is_shown else None
        if before is not None and after is not None and before.stamp.name == after.stamp.name:
            self._blocks.touch(after.stamp.name, self._differing(before, after))
            return
        if before is not None:
            self._blocks.remove(before.stamp.name)
        if after is not None:
            self._blocks.insert(after.stamp.name, host_id)

    def _differing(self, old: _Entry, new: _Entry) -> list[int]:
        """Return the families, by their place on the page, whose text differs between two entries of a host."""
        pairs = zip(old.reported, new.reported, strict=True)
        found = [position for position, (one, other) in enumerate(pairs) if one != other]
        if old.shape is not new.shape or old.own != new.own:
            found += [
                position
                for position in self._all_facts
                if self._template(old, position) != self._template(new, position)
            ]
        return found

    def _template(self, entry: _Entry, position: int) -> bytes:
        """Return a family's text of facts of a host, with the mark for its name where it is its shape's."""
        number = position - self._facts_from
        own = entry.own.get(number)
        if own is not None:
            return own
        return b"" if entry.shape is None else entry.shape.templates[number]

    def _text_of(self, host_ids: Sequence[str], position: int) -> bytes:
        """Return the text of some hosts for a family by its place on the page."""
        entries = [self._entries[host_id] for host_id in host_ids]
        if position < self._facts_from:
            return b"".join([entry.reported[position] for entry in entries])
        number = position - self._facts_from
        texts = []
        for entry in entries:
            text = entry.own.get(number) if entry.own else None
            if text is None and entry.shape is not None and (template := entry.shape.templates[number]):
                text = template.replace(_NAME_BYTES, escape_value(entry.stamp.name).encode())
            texts.append(text or b"")
        return b"".join(texts)

    def _count(self, shape: _Shape | None, times: int) -> None:
        """Add a host with a shape to the fleet's counts, or take it out."""
        if shape is None:
            return
        shape.hosts += times
        for what, labels, amount in shape.tally:
            self._counts[what][labels] += amount * times
        self._fleet_text = None

    def _purge(self) -> None:
        """Let go of what no host has any more."""
        if self._fleet_text is not None:
            return
        for key in [key for key, shape in self._shapes.items() if not shape.hosts]:
            del self._shapes[key]
        for counts in self._counts.values():
            for labels in [labels for labels, amount in counts.items() if not amount]:
                del counts[labels]
                self._interned.pop(labels, None)
        builds = {digest for (digest,) in self._counts[Count.BUILDS]}
        platforms = {digest for (digest,) in self._counts[Count.PLATFORMS]}
        for held, alive in ((self._builds, builds), (self._needed_glibc, builds), (self._platforms, platforms)):
            for digest in held.keys() - alive:
                del held[digest]

    # --- joining --------------------------------------------------------------------------------------------------

    def _join(self, output: Format) -> Page:
        told = self._fleet_text
        if told is None:
            told = self._fleet_text = self._tell_fleet()
        series = Counter(self._told)
        series[Detail.FLEET] = sum(lines.number for lines in (*told.families, told.latency))
        self._watch_limit(series)
        self._glance = Glance(len(self._entries), len(self._blocks), series, told.view.snapshot_date)
        view = replace(told.view, series=series)
        head: list[bytes] = []
        for family, lines in zip(FLEET_FAMILIES, told.families, strict=True):
            text = render_samples(family.name, family.labels, family.samples(view)) if family is SERIES else lines
            head += (_header(family, output), text.text)
        head += (_header(PATCH_LATENCY, output), told.latency.text)
        parts = [b"".join(head)]
        families = (*self._report_families, *self._facts_families)
        for one, column in zip(families, self._blocks.columns(), strict=True):
            parts += (_header(one, output), *column)
        return tuple(parts)

    def _tell_fleet(self) -> _FleetText:
        """Return the families of the fleet."""
        assessor = self._assessor
        if assessor is None:
            raise AssertionError("nothing was judged yet")

        def verdict_of(build: str, platform: str) -> Verdict:
            return assessor.verdict(build, self._builds[build], self._platforms[platform], platform)

        def newest_of(implementation: str, branch: str, provider: str) -> NewestBuild | None:
            what = Provider(provider), Implementation(implementation), branch
            return newest_of_line(*what, assessor.catalogue, assessor.today)

        view = FleetView(
            counts=self._counts,
            builds=self._builds,
            platforms=self._platforms,
            verdict_of=verdict_of,
            snapshot_date=assessor.catalogue.snapshot_date,
            reaches=assessor.catalogue.reaches,
            unreadable_hosts=self._unreadable,
            series={},
            series_limit=self.series_limit,
            acceptances=self._accepted.acceptances,
            newest_of=newest_of,
            listed_advisories=self._listed_advisories,
            patching={} if self._exposures is None else self._exposures.tally(end_of(assessor.today)),
            measured=self._measured,
        )
        return _FleetText(
            view,
            tuple(render_samples(family.name, family.labels, family.samples(view)) for family in FLEET_FAMILIES),
            render_histograms(PATCH_LATENCY.name, PATCH_LATENCY.labels, PATCH_LATENCY.values(view)),
        )

    def _watch_limit(self, series: Counter[Detail]) -> None:
        total = series.total()
        above = total > self.series_limit
        if above and not self._above_limit:
            log.warning(
                "%d series are exposed, more than the limit of %d (%s); nothing is dropped: choose a lower level with "
                "--metrics-detail, divide the hosts with --shard, or raise --series-limit",
                total,
                self.series_limit,
                ", ".join(f"{series[detail]} of level {detail}" for detail in Detail),
            )
        self._above_limit = above


def _relabelled(old: Mapping[str, Mapping[str, str]], new: Mapping[str, Mapping[str, str]]) -> set[str]:
    """Return the hosts whose labels differ."""
    if old is new or old == new:
        return set()
    return {host_id for host_id in old.keys() | new.keys() if old.get(host_id) != new.get(host_id)}


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
