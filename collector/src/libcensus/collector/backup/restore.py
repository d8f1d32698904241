"""Puts a backup back: everything is compared and laid ready first, then it takes the place of what is there.

The last step is the database's, which is one rename or one transaction. Files beside it are moved before that, and a
journal says which and where to: a restore that was cut short is undone by the next one (or ``restore --recover``), and
finished where the database's step had been made. ``serve`` refuses to start in between.

============================  ==========================================================================
database, ``pki``, ``vex``    take the place of what is there, which must be empty unless ``replace``
settings, web, tls            are put where nothing is; what is there stays
advisories, audit             the same: what is there is newer, and an audit log is never replaced
============================  ==========================================================================
"""

from __future__ import annotations

import grp
import json
import os
import pwd
import shutil
import tempfile
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from libcensus.collector.backup.archive import DATABASE, ArchiveReader, BackupError
from libcensus.collector.backup.parts import PKI_FILES, vex_documents
from libcensus.collector.errors import CollectorError, ConfigurationError, StoreError
from libcensus.collector.pki.authority import Authority, fingerprint
from libcensus.collector.pki.keyfiles import make_folder, read_certificates, write_file
from libcensus.collector.pki.ownership import give_to_owner_of_folder
from libcensus.collector.store.address import DatabaseAddress
from libcensus.collector.store.contract import Restoration
from libcensus.collector.store.copying import RestoreTarget, check_revision, last_restoration

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from libcensus.collector.backup.archive import Manifest, Part
    from libcensus.collector.config import CollectorSettings

    Progress = Callable[[str, float], None]

JOURNAL = "restore.journal"
_REPLACED = ("pki", "vex")
_STAGED, _BEFORE = "restoring", "before-restore"
_TEMPORARY = ".restore."


@dataclass(frozen=True, slots=True)
class Swap:
    """A file that takes a place: ``staged`` is moved to ``target``, and what was there to ``before``.

    Without ``staged`` the target is only taken away; without ``before`` nothing was there.
    """

    target: Path
    staged: Path | None
    before: Path | None


@dataclass(slots=True)
class Outcome:
    """What a restore did: files that were put in place, that were there and stayed, and that have no place here."""

    manifest: Manifest
    restored_at: datetime
    placed: list[str] = field(default_factory=list)
    kept: list[str] = field(default_factory=list)
    homeless: list[str] = field(default_factory=list)
    authority: str = "none"
    """``restored``, ``same`` or ``other`` than the backup's (what is here), ``missing`` here, or ``none`` in either."""


def journal_of(settings: CollectorSettings) -> Path:
    """Return where the journal of a restore lies while it is under way: beside the folder of the authority."""
    if settings.pki_dir is None:
        raise ConfigurationError("pki_dir: is not set; name a folder with --pki-dir")
    return Path(settings.pki_dir).parent / JOURNAL


def refuse_half_restored(settings: CollectorSettings) -> None:
    """Raise ConfigurationError where a restore was cut short: parts of two collectors may be mixed."""
    if settings.pki_dir is not None and (journal := journal_of(settings)).exists():
        raise ConfigurationError(
            f"{journal}: a restore was cut short, or is under way; run libcensus-collector restore --recover, which "
            "undoes or finishes it, or restore again"
        )


def restore(
    reader: ArchiveReader,
    settings: CollectorSettings,
    config: Path,
    *,
    replace: bool,
    progress: Progress,
    clock: Callable[[], datetime],
) -> Outcome:
    """Put a backup into the places that the settings name; ``config`` is where the settings file belongs.

    Raises BackupError for an archive that is damaged or of a newer version, and where something would be replaced
    without ``replace``; StoreBusyError while a collector uses the database; then nothing has changed.
    """
    if settings.database is None:
        raise ConfigurationError("database: is not set; for example sqlite:////var/lib/libcensus/collector.db")
    manifest = reader.manifest
    if DATABASE not in {part.name for part in manifest.parts}:
        raise BackupError(f"{reader.path}: holds no {DATABASE}; take another backup")
    check_revision(manifest.revision, str(reader.path))
    reader.check(lambda share: progress("checking the archive", share))
    recover(settings)
    with ExitStack() as stack:
        target = stack.enter_context(RestoreTarget.open(settings.database))
        restored_at = clock()
        outcome = Outcome(manifest, restored_at)
        wanted = _places(reader, settings, config, outcome)
        conflicts = ([target.shown] if target.holds else []) + _conflicts(reader, settings, wanted)
        if conflicts and not replace:
            raise BackupError(
                f"{', '.join(conflicts)}: holds something already; back it up, and replace it with --replace; nothing "
                "was changed"
            )
        _clean(settings)
        _refuse_obstacles(wanted)
        journal = journal_of(settings)
        _make_parent(journal)
        folder = Path(stack.enter_context(_temporary_folder(settings, journal.parent)))
        copy = folder / DATABASE
        _extract(reader, next(part for part in manifest.parts if part.name == DATABASE), copy)
        target.prepare(copy, Restoration(restored_at, manifest.taken_at), lambda s: progress("laying ready", s))
        swaps = _stage(reader, wanted, settings, outcome)
        with ExitStack() as undo:
            # The last is done first: the journal stays until everything is in its place again.
            undo.callback(journal.unlink, missing_ok=True)
            undo.callback(_roll_back, swaps)
            _write_journal(journal, restored_at, swaps)
            _move(swaps)
            undo.pop_all()
        try:
            target.commit()
        except StoreError:
            # Where the answer was lost, the database alone knows whether it took place.
            if recover(settings) != "finished":
                raise
        _finish(swaps)
        journal.unlink(missing_ok=True)
    outcome.authority = _authority_state(settings, outcome)
    return outcome


def recover(settings: CollectorSettings) -> str | None:
    """Undo a restore that was cut short, or finish it; returns ``undone``, ``finished``, or nothing where none was.

    Raises ConfigurationError, StoreError; then it can be tried again.
    """
    journal = journal_of(settings)
    try:
        document = json.loads(journal.read_bytes())
    except FileNotFoundError:
        return None
    except OSError as error:
        raise ConfigurationError(f"{journal}: cannot be read: {error.strerror}") from error
    restored_at = datetime.fromisoformat(document["restored_at"])
    swaps = [
        Swap(Path(one["target"]), *(None if one[name] is None else Path(one[name]) for name in ("staged", "before")))
        for one in document["swaps"]
    ]
    last = None if settings.database is None else last_restoration(settings.database)
    is_committed = last is not None and last.restored_at == restored_at
    if is_committed:
        _finish(swaps)
    else:
        _roll_back(swaps)
    _clean(settings)
    journal.unlink()
    return "finished" if is_committed else "undone"


# --- what goes where ------------------------------------------------------------------------------------------------


def _places(
    reader: ArchiveReader, settings: CollectorSettings, config: Path, outcome: Outcome
) -> list[tuple[Part, Path]]:
    found: list[tuple[Part, Path]] = []
    for part in reader.manifest.parts:
        if part.kind == "database":
            continue
        place = _place_of(part, settings, config)
        if place is None:
            outcome.homeless.append(part.name)
        else:
            found.append((part, place))
    return found


def _place_of(part: Part, settings: CollectorSettings, config: Path) -> Path | None:
    name = part.name.partition("/")[2]
    match part.kind:
        case "settings":
            return config
        case "pki" if name in PKI_FILES and settings.pki_dir is not None:
            return Path(settings.pki_dir) / name
        case "vex" if name.endswith(".json") and settings.vex_dir is not None:
            return Path(settings.vex_dir) / name
        case "advisories" if name.endswith(".json") and settings.advisories_dir is not None:
            return Path(settings.advisories_dir) / name
        case "audit" if settings.audit_log is not None:
            return Path(settings.audit_log)
        case "web" | "tls" if part.place is not None:
            # An archive may name any path: it is believed within the folder of the settings alone.
            place, folder = Path(os.path.normpath(part.place)), Path(os.path.abspath(config)).parent  # noqa: PTH100
            return place if folder in place.parents else None
        case _:
            return None


def _conflicts(reader: ArchiveReader, settings: CollectorSettings, wanted: Iterable[tuple[Part, Path]]) -> list[str]:
    """Return the folders that hold something else than the archive's."""
    found: list[str] = []
    places = {place: part for part, place in wanted if part.kind in _REPLACED}
    for present in _present(settings, reader.manifest):
        part = places.get(present)
        if (part is None or not _is_same(reader, part, present)) and str(present.parent) not in found:
            found.append(str(present.parent))
    return found


def _present(settings: CollectorSettings, manifest: Manifest) -> list[Path]:
    """Return the files whose place is the archive's: keys where it has some, documents also where it has none."""
    found: list[Path] = []
    if any(part.kind == "pki" for part in manifest.parts) and settings.pki_dir is not None:
        found += [path for name in PKI_FILES if (path := Path(settings.pki_dir) / name).exists()]
    if settings.vex_dir is not None:
        found += vex_documents(Path(settings.vex_dir))
    return found


def _is_same(reader: ArchiveReader, part: Part, present: Path) -> bool:
    try:
        return present.stat().st_size == part.size and present.read_bytes() == reader.read(part)
    except OSError:
        return False


def _refuse_obstacles(wanted: Iterable[tuple[Part, Path]]) -> None:
    """Raise ConfigurationError where something stands in the way that is no file of a collector's."""
    for _, place in wanted:
        for one in (place, _beside(place, _BEFORE)):
            if one.is_dir() or (one != place and one.exists()):
                raise ConfigurationError(f"{one}: is in the way; move it to another place; nothing was changed")


def _clean(settings: CollectorSettings) -> None:
    """Take away what a restore laid ready that was killed before anything was moved."""
    folders = {Path(one) for one in (settings.pki_dir, settings.vex_dir, settings.advisories_dir) if one is not None}
    database = DatabaseAddress.parse(settings.database or "").path
    folders |= {journal_of(settings).parent} | (set() if database is None else {database.parent})
    for folder in folders:
        for left in folder.glob(f".*.{_STAGED}"):
            left.unlink(missing_ok=True)
        for left in folder.glob(f"{_TEMPORARY}*"):
            if left.is_dir():
                shutil.rmtree(left, ignore_errors=True)
            else:
                left.unlink(missing_ok=True)


# --- laying ready ---------------------------------------------------------------------------------------------------


def _temporary_folder(settings: CollectorSettings, otherwise: Path) -> tempfile.TemporaryDirectory[str]:
    """Make a folder on the file system of a SQLite database, so that its copy can be moved there; else in the state."""
    path = DatabaseAddress.parse(settings.database or "").path
    folder = otherwise if path is None else path.parent
    try:
        return tempfile.TemporaryDirectory(dir=folder, prefix=_TEMPORARY)
    except OSError as error:
        raise ConfigurationError(f"{folder}: cannot be written: {error.strerror}") from error


def _extract(reader: ArchiveReader, part: Part, to: Path) -> None:
    try:
        with os.fdopen(os.open(to, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600), "wb") as file:
            reader.extract(part, file)
    except OSError as error:
        raise _unwritten(to.parent, error) from error


def _unwritten(folder: Path, error: OSError) -> ConfigurationError:
    if error.errno in {28, 122}:
        return ConfigurationError(
            f"{folder}: no space left, and restoring needs room for the database a second time; free some and try "
            "again; nothing was changed"
        )
    return ConfigurationError(f"{folder}: cannot be written: {error.strerror or error}; nothing was changed")


def _stage(
    reader: ArchiveReader, wanted: list[tuple[Part, Path]], settings: CollectorSettings, outcome: Outcome
) -> list[Swap]:
    """Lay every file ready beside its place, durably; returns what is to be moved.

    What was laid is taken away again where one fails.
    """
    swaps: list[Swap] = []
    places = {place for _, place in wanted}
    try:
        for part, place in wanted:
            if place.exists() and _is_same(reader, part, place):
                continue
            if place.exists() and part.kind not in _REPLACED:
                outcome.kept.append(str(place))
                continue
            swaps.append(Swap(place, _beside(place, _STAGED), _beside(place, _BEFORE) if place.exists() else None))
            _lay_ready(reader, part, swaps[-1])
            outcome.placed.append(str(place))
        gone = [present for present in _present(settings, reader.manifest) if present not in places]
        swaps += [Swap(present, None, _beside(present, _BEFORE)) for present in gone]
    except BaseException:
        _roll_back(swaps)
        raise
    return swaps


def _beside(place: Path, what: str) -> Path:
    return place.with_name(f".{place.name}.{what}")


def _lay_ready(reader: ArchiveReader, part: Part, swap: Swap) -> None:
    staged = swap.staged
    if staged is None:
        raise AssertionError
    _make_parent(swap.target)
    try:
        staged.unlink(missing_ok=True)
        mode = 0o600 if part.mode is None else part.mode
        with os.fdopen(os.open(staged, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600), "wb") as file:
            _give(file.fileno(), part, staged)
            os.fchmod(file.fileno(), mode)
            reader.extract(part, file)
            file.flush()
            os.fsync(file.fileno())
    except OSError as error:
        raise _unwritten(staged.parent, error) from error


def _give(descriptor: int, part: Part, path: Path) -> None:
    """Give a file that root makes to whom it belonged, where that user is known here; else to the folder's owner."""
    if os.geteuid() != 0:
        return
    folder = path.parent.stat()
    if folder.st_uid != 0:
        give_to_owner_of_folder(descriptor, path)
        return
    user, group = -1, -1
    with suppress(KeyError):
        user = pwd.getpwnam(part.owner or "").pw_uid
    with suppress(KeyError):
        group = grp.getgrnam(part.group or "").gr_gid
    os.fchown(descriptor, user, group)


def _make_parent(place: Path) -> None:
    if not place.parent.exists():
        make_folder(place.parent)


# --- moving ---------------------------------------------------------------------------------------------------------


def _write_journal(journal: Path, restored_at: datetime, swaps: list[Swap]) -> None:
    shown: dict[str, Any] = {
        "restored_at": restored_at.astimezone(UTC).isoformat(),
        "swaps": [
            {
                "target": str(one.target),
                "staged": None if one.staged is None else str(one.staged),
                "before": None if one.before is None else str(one.before),
            }
            for one in swaps
        ],
    }
    write_file(journal, json.dumps(shown, indent=1).encode(), 0o600)


def _move(swaps: list[Swap]) -> None:
    for one in swaps:
        try:
            if one.before is not None:
                one.target.replace(one.before)
            if one.staged is not None:
                one.staged.replace(one.target)
        except OSError as error:
            raise ConfigurationError(f"{one.target}: cannot be replaced: {error.strerror}") from error
    _sync(one.target.parent for one in swaps)


def _roll_back(swaps: list[Swap]) -> None:
    """Bring every file back to its place, as far as it had left it; may be done again after it was cut short."""
    for one in reversed(swaps):
        # Where it lies ready still, it never was in its place.
        if one.staged is not None and not one.staged.exists() and (one.before is None or one.before.exists()):
            one.target.unlink(missing_ok=True)
        if one.before is not None and one.before.exists():
            one.before.replace(one.target)
        if one.staged is not None:
            one.staged.unlink(missing_ok=True)
    _sync(one.target.parent for one in swaps)


def _finish(swaps: list[Swap]) -> None:
    for one in swaps:
        if one.before is not None:
            one.before.unlink(missing_ok=True)
        if one.staged is not None:
            one.staged.unlink(missing_ok=True)
    _sync(one.target.parent for one in swaps)


def _sync(folders: Iterable[Path]) -> None:
    for folder in {one for one in folders if one.exists()}:
        descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def _authority_state(settings: CollectorSettings, outcome: Outcome) -> str:
    """Return whether the authority that is here now is the one that the hosts of the backup trust."""
    folder = None if settings.pki_dir is None else Path(settings.pki_dir)
    if not outcome.manifest.fingerprints:
        return "none"
    if folder is None or not Authority.exists(folder):
        return "missing"
    here: set[str] = set()
    with suppress(CollectorError):
        here = {fingerprint(root) for root in read_certificates(folder / "roots.pem")}
    return "same" if here & set(outcome.manifest.fingerprints) else "other"
