"""Reports that no collector has acknowledged yet.

A report is written here before it is sent and removed when it is acknowledged, so that neither a dead collector nor a
dead agent loses it. Facts are kept by address beside the reports and shared by them: a host that nobody could reach
for a week, and on which nothing changed, costs one set of facts and a week of tiny reports.

The spool is bounded by number and bytes. What has to go first are facts that the collector has acknowledged already
with an earlier report and that the newest does not name: it will hardly ask for them, and the report that names them
stays. The oldest go first, and then the oldest reports. How much went is remembered for good, and told.
"""

from __future__ import annotations

import logging
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Protocol

from libcensus.agent.state import remove_unfinished, sync_folder, write_durably
from libcensus.facts.codec import decode_fact, decode_report, encode_report
from libcensus.facts.digest import FactKind, fact_digest
from libcensus.facts.host import Inventory
from libcensus.facts.root import RootSet
from libcensus.facts.validation import InvalidFactError

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from libcensus.facts.codec import Fact
    from libcensus.facts.report import Report

_LOG = logging.getLogger(__name__)

REPORT_SUFFIX = ".report"
DROPPED_FILE = "dropped"
KNOWN_FILE = "known"

AddressedFact = tuple[FactKind, str, bytes]


class FactSource(Protocol):
    """Gives facts by address to whoever sends them."""

    def size(self, digest: str) -> int | None:
        """Return how many bytes a fact has, or None when it is not here."""

    def read(self, digest: str) -> tuple[FactKind, bytes]:
        """Return a fact; raises KeyError when it is not here."""


class HeldFacts:
    """Facts in memory: for a report that could not be written to a full disk."""

    def __init__(self, facts: Iterable[AddressedFact]) -> None:
        self._facts = {digest: (kind, payload) for kind, digest, payload in facts}

    def size(self, digest: str) -> int | None:
        """Return how many bytes a fact has, or None when it is not here."""
        found = self._facts.get(digest)
        return None if found is None else len(found[1])

    def read(self, digest: str) -> tuple[FactKind, bytes]:
        """Return a fact; raises KeyError when it is not here."""
        return self._facts[digest]


@dataclass(frozen=True, slots=True)
class WaitingReport:
    """A report in the spool, and the file that holds it."""

    report: Report
    file: Path


@dataclass(frozen=True, slots=True)
class Dropped:
    """What was given up since the folder was made, and when the last of it was."""

    reports: int = 0
    facts: int = 0
    last: datetime | None = None


@dataclass(frozen=True, slots=True)
class DamagedReport:
    """A file of the spool that holds no report any more."""

    file: Path
    problem: str


def _read_report(file: Path) -> WaitingReport | DamagedReport | None:
    try:
        return WaitingReport(decode_report(file.read_bytes()), file)
    except FileNotFoundError:
        return None
    except OSError as error:
        return DamagedReport(file, str(error.strerror))
    except InvalidFactError as error:
        return DamagedReport(file, str(error))


class Spool:
    """The reports that wait below one folder; a :class:`FactSource` for their facts. One process at a time writes."""

    def __init__(self, folder: Path, *, max_reports: int, max_bytes: int) -> None:
        self._folder = folder
        self._reports = folder / "reports"
        self._facts = folder / "facts"
        self._max_reports = max_reports
        self._max_bytes = max_bytes

    @property
    def folder(self) -> Path:
        """Where the spool lies."""
        return self._folder

    def add(self, report: Report, facts: Iterable[AddressedFact]) -> WaitingReport:
        """Keep a report with its facts; durable on return. Raises OSError when it cannot be written."""
        for folder in (self._folder, self._reports, self._facts):
            folder.mkdir(mode=0o700, exist_ok=True)
        for kind, digest, payload in facts:
            place = self._place(kind, digest)
            if not place.exists():
                write_durably(place, payload)
        file = self._reports / f"{_sortable(report.scanned_at)}-{report.report_id.hex()}{REPORT_SUFFIX}"
        write_durably(file, encode_report(report))
        kept = WaitingReport(report, file)
        self._keep_bounds(kept)
        return kept

    def waiting(self) -> list[WaitingReport]:
        """Return the reports that wait, the oldest scan first; damaged ones are left out and nothing is changed."""
        return [one for one in map(_read_report, self._files()) if isinstance(one, WaitingReport)]

    def discard_damaged(self) -> int:
        """Remove and count the reports that cannot be read any more, and what a run that died left half written."""
        for folder in (self._folder, self._reports, self._facts):
            remove_unfinished(folder)
        damaged = [one for one in map(_read_report, self._files()) if isinstance(one, DamagedReport)]
        for one in damaged:
            _LOG.warning("spooled report %s is damaged and was removed: %s", one.file, one.problem)
            one.file.unlink(missing_ok=True)
        if damaged:
            self.count_dropped(len(damaged))
            self._sweep()
        return len(damaged)

    def remove(self, waiting: WaitingReport) -> None:
        """Forget a report, and the facts that no other report in the spool needs."""
        waiting.file.unlink(missing_ok=True)
        self._sync()
        self._sweep()

    def size(self, digest: str) -> int | None:
        """Return how many bytes a kept fact has, or None when it is not here."""
        for kind in FactKind:
            with suppress(OSError):
                return self._place(kind, digest).stat().st_size
        return None

    def read(self, digest: str) -> tuple[FactKind, bytes]:
        """Return a kept fact; raises KeyError when it is not here, or no longer what it was."""
        for kind in FactKind:
            try:
                payload = self._place(kind, digest).read_bytes()
            except OSError:
                continue
            if fact_digest(kind, payload) == digest:
                return kind, payload
            _LOG.warning("spooled fact %s is damaged", self._place(kind, digest))
        raise KeyError(digest)

    @property
    def total_bytes(self) -> int:
        """How many bytes the spool holds."""
        total = 0
        for folder in (self._reports, self._facts):
            with suppress(FileNotFoundError):
                for file in folder.iterdir():
                    with suppress(FileNotFoundError):
                        total += file.stat().st_size
        return total

    @property
    def dropped(self) -> Dropped:
        """What was given up since the folder was made."""
        try:
            words = (self._folder / DROPPED_FILE).read_text(encoding="ascii").split()
            last = datetime.fromisoformat(words[2]) if len(words) > 2 else None
            return Dropped(int(words[0]), int(words[1]) if len(words) > 1 else 0, last)
        except (OSError, ValueError, IndexError):
            return Dropped()

    def note_known(self, inventory: str) -> None:
        """Remember that the collector has the facts that a kept inventory names. Raises OSError."""
        needed = sorted(self._needed_by({inventory}))
        content = "".join(f"{digest}\n" for digest in needed).encode()
        try:
            if (self._folder / KNOWN_FILE).read_bytes() == content:
                return
        except OSError:
            pass
        write_durably(self._folder / KNOWN_FILE, content)

    def forget_known(self) -> None:
        """Forget what the collector has: another one is spoken to. Raises OSError."""
        (self._folder / KNOWN_FILE).unlink(missing_ok=True)

    def count_dropped(self, reports: int = 0, facts: int = 0) -> None:
        """Remember what was given up; durable on return. Raises OSError."""
        before = self.dropped
        now = datetime.now(UTC).isoformat(timespec="seconds")
        text = f"{before.reports + reports} {before.facts + facts} {now}\n"
        write_durably(self._folder / DROPPED_FILE, text.encode())

    def _place(self, kind: FactKind, digest: str) -> Path:
        return self._facts / f"{digest}.{kind}"

    def _files(self) -> list[Path]:
        with suppress(FileNotFoundError):
            return sorted(file for file in self._reports.iterdir() if file.name.endswith(REPORT_SUFFIX))
        return []

    def _keep_bounds(self, newest: WaitingReport) -> None:
        """Give up known facts, then the oldest reports, until the bounds hold; the newest report always stays whole."""
        files = [file for file in self._files() if file != newest.file]
        surplus = max(0, len(files) + 1 - self._max_reports)
        reports = self._drop_oldest(files, surplus)
        facts = 0
        if self.total_bytes > self._max_bytes:
            self._sweep()
            facts = self._drop_known(newest.report)
        while files and self.total_bytes > self._max_bytes:
            reports += self._drop_oldest(files, 1)
        if reports or facts:
            self._sync()
            self.count_dropped(reports, facts)
            _LOG.warning(
                "the spool %s is full (at most %d reports, %d bytes): the %d oldest reports that no collector has "
                "acknowledged were given up, and %d facts that it knows",
                self._folder,
                self._max_reports,
                self._max_bytes,
                reports,
                facts,
            )

    def _drop_oldest(self, files: list[Path], number: int) -> int:
        """Remove so many of the reports, and what they alone needed; returns how many."""
        for _ in range(number):
            files.pop(0).unlink(missing_ok=True)
        if number:
            self._sweep()
        return number

    def _drop_known(self, newest: Report) -> int:
        """Remove facts that the collector has and the newest report does not name, the oldest first, until it fits."""
        try:
            known = set((self._folder / KNOWN_FILE).read_text(encoding="ascii").split())
        except (OSError, UnicodeDecodeError):
            return 0
        # Inventories stay: they say which facts a report still needs.
        kept = self._needed_by({newest.inventory}) | {one.report.inventory for one in self.waiting()}
        known -= kept
        dropped = 0
        for file in sorted(self._facts.iterdir(), key=lambda one: (one.stat().st_mtime_ns, one.name)):
            if self.total_bytes <= self._max_bytes:
                break
            if file.name.split(".", 1)[0] in known:
                file.unlink(missing_ok=True)
                dropped += 1
        return dropped

    def _sync(self) -> None:
        with suppress(FileNotFoundError):
            sync_folder(self._reports)

    def _decoded(self, digest: str) -> Fact | None:
        try:
            return decode_fact(*self.read(digest))
        except (KeyError, InvalidFactError):
            return None

    def _needed_by(self, inventories: set[str]) -> set[str]:
        """Return these inventories and all facts that they name, as far as they are here."""
        needed = set(inventories)
        found = [fact for digest in inventories if isinstance(fact := self._decoded(digest), Inventory)]
        needed.update(reference for inventory in found for reference in inventory.references)
        for digest in {one.roots for one in found if one.roots is not None}:
            if isinstance(roots := self._decoded(digest), RootSet):
                needed.update(roots.references)
        return needed

    def _sweep(self) -> None:
        """Remove the facts that no waiting report needs; a report whose inventory is lost keeps nothing."""
        needed = self._needed_by({one.report.inventory for one in self.waiting()})
        with suppress(FileNotFoundError):
            for file in list(self._facts.iterdir()):
                if file.name.split(".", 1)[0] not in needed:
                    file.unlink(missing_ok=True)


def _sortable(moment: datetime) -> str:
    """Return a moment as text whose order is that of time."""
    return moment.strftime("%Y%m%dT%H%M%S.%fZ")
