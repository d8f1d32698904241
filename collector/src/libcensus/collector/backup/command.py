"""The commands ``backup`` and ``restore``: what they print, and the code that they end with."""

from __future__ import annotations

import json
import signal
import sys
import tempfile
from contextlib import closing, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, TextIO

from libcensus.collector.backup.archive import ArchiveReader
from libcensus.collector.backup.make import make_backup
from libcensus.collector.backup.restore import recover, restore
from libcensus.collector.log import escape_control
from libcensus.collector.pki.audit import AuditEvent
from libcensus.collector.pki.command_line import audit_log, now_utc, pairs, rfc3339, who_runs_this

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from datetime import datetime

    from libcensus.collector.backup.archive import Manifest
    from libcensus.collector.backup.restore import Outcome
    from libcensus.collector.config import CollectorSettings

_SUBJECT = "collector"

_KEYS_INSIDE = """\
warning: {path} holds the keys of the certificate authority: whoever reads it can make a certificate of any host and
operator. Encrypt it where it is kept, and keep it apart from what can be read by others."""

_KEYS_OUTSIDE = """\
The keys of the certificate authority are not in it: with a new authority every host has to be enrolled again. Keep a
copy of {pki} elsewhere, or back up with --with-keys."""

_AUTHORITY = {
    "none": "the backup is of a collector without a certificate authority of its own",
    "same": "the one that the hosts of the backup trust: they go on reporting by themselves",
    "other": (
        "ANOTHER than the one that the hosts of the backup trust: they cannot report; put the keys of {fingerprint} "
        "into {pki}, or enroll them again (libcensus-collector token create --replace)"
    ),
    "missing": (
        "none is here, and hosts cannot report: put the keys of {fingerprint} into {pki}, or run libcensus-collector "
        "ca init and enroll the hosts again (libcensus-collector token create --replace)"
    ),
}


def run_backup(
    settings: CollectorSettings,
    config: Path | None,
    output: Path,
    *,
    with_keys: bool,
    overwrite: bool,
    write: Callable[[str], None],
    warn: Callable[[str], None],
    clock: Callable[[], datetime] = now_utc,
) -> int:
    """Make a backup and say what is in it; returns the exit code.

    Raises BackupError, ConfigurationError, StoreError.
    """
    with _progress(sys.stderr) as progress, _ended_in_order():
        manifest = make_backup(
            settings, config, output, with_keys=with_keys, overwrite=overwrite, progress=progress, clock=clock
        )
    with closing(audit_log(settings)) as log:
        keys = "with keys" if manifest.with_keys else "without keys"
        log.record(AuditEvent.BACKED_UP, subject=_SUBJECT, peer=who_runs_this(), reason=f"{output}, {keys}")
    write(_shown(output, manifest))
    if any(part.kind == "pki" for part in manifest.parts):
        warn(_KEYS_INSIDE.format(path=output))
    elif manifest.fingerprints:
        write(_KEYS_OUTSIDE.format(pki=settings.pki_dir))
    return 0


def run_check(path: Path, output: str, *, write: Callable[[str], None]) -> int:
    """Compare every part of an archive with its manifest and show what is in it; returns the exit code.

    Raises BackupError where it is damaged, or no backup.
    """
    with ArchiveReader.open(path) as reader:
        with _progress(sys.stderr) as progress:
            reader.check(lambda share: progress("checking the archive", share))
        if output == "json":
            write(json.dumps(reader.manifest.document(), indent=2))
        else:
            write(_shown(path, reader.manifest))
    return 0


def run_restore(
    path: Path,
    load: Callable[[Path | None], tuple[CollectorSettings, Path]],
    output: str,
    *,
    replace: bool,
    write: Callable[[str], None],
    clock: Callable[[], datetime] = now_utc,
) -> int:
    """Put a backup back and say what is where; returns the exit code.

    ``load`` returns the settings, and where their file belongs; it gets a file to use where none is there. Raises
    BackupError, ConfigurationError, StoreError; then nothing has changed.
    """
    with ArchiveReader.open(path) as reader, _progress(sys.stderr) as progress, _ended_in_order():
        settings, config = _load_with(reader, load)
        outcome = restore(reader, settings, config, replace=replace, progress=progress, clock=clock)
    with closing(audit_log(settings)) as log:
        reason = f"{path}, of {rfc3339(outcome.manifest.taken_at)}"
        log.record(AuditEvent.RESTORED, subject=_SUBJECT, peer=who_runs_this(), reason=reason)
    write(json.dumps(_document(path, outcome), indent=2) if output == "json" else _told(path, outcome, settings))
    return 0


def run_recover(settings: CollectorSettings, *, write: Callable[[str], None]) -> int:
    """Undo or finish a restore that was cut short; returns the exit code. Raises ConfigurationError, StoreError."""
    match recover(settings):
        case None:
            write("no restore was cut short; nothing to do")
        case "finished":
            write("the restore had taken place, and is finished now")
        case _:
            write("the restore was undone: everything is as it was before")
    return 0


def _load_with(
    reader: ArchiveReader, load: Callable[[Path | None], tuple[CollectorSettings, Path]]
) -> tuple[CollectorSettings, Path]:
    """Return the settings that hold after the restore: those of this machine, or where it has none the archive's."""
    part = next((one for one in reader.manifest.parts if one.kind == "settings"), None)
    if part is None:
        return load(None)
    with tempfile.NamedTemporaryFile(prefix="libcensus-", suffix=".toml") as file:
        file.write(reader.read(part))
        file.flush()
        return load(Path(file.name))


def _shown(path: Path, manifest: Manifest) -> str:
    rows = manifest.rows
    kinds = sorted({part.kind for part in manifest.parts} - {"database"})
    lines = [
        ("archive", f"{path}, {path.stat().st_size:,} bytes"),
        ("taken", f"{rfc3339(manifest.taken_at)} by libcensus-collector {manifest.version}"),
        ("database", f"{manifest.database}, revision {manifest.revision}: {_counts(rows)}"),
        ("files", ", ".join(kinds) or "none"),
        ("keys", "inside" if manifest.with_keys else "not inside"),
    ]
    lines += [("CA", one) for one in manifest.fingerprints]
    return pairs([(name, escape_control(value)) for name, value in lines])


def _counts(rows: Mapping[str, int]) -> str:
    named = (
        ("hosts", "hosts"),
        ("facts", "facts"),
        ("install_intervals", "intervals"),
        ("certificates", "certificates"),
    )
    return ", ".join(f"{rows.get(table, 0):,} {name}" for table, name in named)


def _told(path: Path, outcome: Outcome, settings: CollectorSettings) -> str:
    manifest = outcome.manifest
    wanted = manifest.fingerprints[0] if manifest.fingerprints else ""
    authority = _AUTHORITY[outcome.authority].format(fingerprint=wanted, pki=settings.pki_dir)
    rows = [
        ("restored", f"{path}, taken {rfc3339(manifest.taken_at)}"),
        ("database", _counts(manifest.rows)),
        *(("placed", one) for one in outcome.placed),
        *(("kept", f"{one}, which was here") for one in outcome.kept),
        *(
            ("not placed", f"{one}: has no place here; unpack it with unzip where it is wanted")
            for one in outcome.homeless
        ),
        ("authority", authority),
    ]
    return (
        pairs([(name, escape_control(value)) for name, value in rows])
        + "\n\nWhat happened since the backup is forgotten: look again at bans, revoked certificates and tokens\n"
        "(libcensus-collector bans, certificates list, token list). Agents send what is newer by themselves."
    )


def _document(path: Path, outcome: Outcome) -> dict[str, object]:
    return {
        "archive": str(path),
        "taken_at": rfc3339(outcome.manifest.taken_at),
        "restored_at": rfc3339(outcome.restored_at),
        "rows": dict(outcome.manifest.rows),
        "placed": outcome.placed,
        "kept": outcome.kept,
        "not_placed": outcome.homeless,
        "authority": outcome.authority,
        "fingerprints": list(outcome.manifest.fingerprints),
    }


@contextmanager
def _progress(stream: TextIO) -> Iterator[Callable[[str, float], None]]:
    """Give what shows the progress on a terminal, on one line that is gone at the end; elsewhere nothing is shown."""
    if not stream.isatty():
        yield lambda _what, _share: None
        return
    last = ""

    def show(what: str, share: float) -> None:
        nonlocal last
        text = f"{what}: {min(1.0, share):.0%}"
        if text != last:
            stream.write(f"\r\x1b[K{text}")
            stream.flush()
            last = text

    try:
        yield show
    finally:
        stream.write("\r\x1b[K")
        stream.flush()


@contextmanager
def _ended_in_order() -> Iterator[None]:
    """End on SIGTERM as on an error: what lies ready is taken away."""

    def end(number: int, _frame: object) -> None:
        raise SystemExit(128 + number)

    before = signal.signal(signal.SIGTERM, end)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
