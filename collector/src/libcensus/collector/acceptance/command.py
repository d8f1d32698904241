"""The commands ``vex check`` and ``vex show``: what they print, and the code that they end with."""

from __future__ import annotations

import json
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from libcensus.collector.acceptance.fleet import AcceptancesOfTheDay
from libcensus.collector.acceptance.folder import AcceptanceSource, read_files
from libcensus.collector.advisories.published import load_catalogue
from libcensus.collector.documents import documents_in
from libcensus.collector.errors import ConfigurationError, StoreError
from libcensus.collector.log import escape_control
from libcensus.collector.posture.acceptance import StatementState, why_unknown

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from datetime import date

    from libcensus.collector.acceptance.folder import AcceptedState
    from libcensus.collector.config import CollectorSettings
    from libcensus.collector.posture.acceptance import Statement
    from libcensus.collector.posture.catalogue import Catalogue
    from libcensus.collector.service.posture_codec import AcceptedRisk

_REFUSED = 1
_IDLE = 6
_COLUMNS = ("STATE", "EXPIRES", "FINDINGS", "HOSTS", "ADVISORY", "SAYS", "ABOUT", "STATEMENT")


def _today() -> date:
    return datetime.now(UTC).date()


def run_check(
    settings: CollectorSettings,
    paths: Sequence[Path],
    output: str,
    *,
    write: Callable[[str], None],
    today: Callable[[], date] = _today,
) -> int:
    """Check documents and print what each statement is about; returns the exit code. Raises ConfigurationError."""
    day, catalogue = today(), _catalogue(settings)
    state = read_files(_files(paths))
    notes = {one: _note(one, day, catalogue) for one in state.statements}
    if output == "json":
        write(json.dumps(_checked(state, notes, day), indent=2))
    else:
        for name, document in sorted(state.documents.items()):
            number = len(document.statements)
            write(escape_control(f"{name}: ok: {number} {'statement' if number == 1 else 'statements'}"))
            for one in document.statements:
                note = f": {notes[one]}" if notes[one] else ""
                about = "; ".join(map(str, one.scopes))
                told = f"  {one.advisories[0]} {_says(one)} until {one.expires.isoformat()} for {about}{note}"
                write(escape_control(told))
    return _tell_problems(state, is_idle=any(notes.values()))


def run_show(
    settings: CollectorSettings,
    output: str,
    *,
    write: Callable[[str], None],
    today: Callable[[], date] = _today,
) -> int:
    """Print every statement of the folder with what it covers; returns the exit code. Raises ConfigurationError."""
    if settings.vex_dir is None:
        raise ConfigurationError("vex_dir: is not set; name a folder with --vex-dir")
    source = AcceptanceSource(Path(settings.vex_dir))
    state, day, catalogue = source(), today(), _catalogue(settings)
    risks = _covered(settings, source, catalogue, day)
    rows = [_row(one, risks.get((one.document, one.id)), day, catalogue) for one in state.statements]
    rows.sort(key=lambda row: (row["expires"], row["document"], row["statement"]))
    if output == "json":
        write(json.dumps({"folder": settings.vex_dir, "statements": rows, "problems": _problems(state)}, indent=2))
    elif rows:
        write(_table(rows))
    else:
        write(escape_control(f"no statement in {settings.vex_dir}"))
    return _tell_problems(state, is_idle=any(row["note"] for row in rows))


def _catalogue(settings: CollectorSettings) -> Catalogue:
    return load_catalogue(None if settings.advisories_dir is None else Path(settings.advisories_dir))


def _files(paths: Sequence[Path]) -> list[Path]:
    found: list[Path] = []
    for path in paths:
        try:
            found += documents_in(path) if path.is_dir() else [path]
        except OSError as error:
            raise ConfigurationError(f"{path}: cannot be read: {error.strerror}") from None
        if not path.exists():
            raise ConfigurationError(f"{path}: there is no such file or folder")
    return list(dict.fromkeys(found))


def _note(one: Statement, day: date, catalogue: Catalogue) -> str:
    """Return what is to be said of a statement without looking at a fleet; nothing where it counts."""
    state = one.state(day)
    if state is StatementState.EXPIRED:
        return "expired, and counts no more"
    if state is StatementState.PENDING:
        return f"not in force before {one.since.isoformat()}"
    return why_unknown(one, frozenset(known.id for known in catalogue.advisories), catalogue.snapshot_date)


def _says(one: Statement) -> str:
    return one.status.value if one.justification is None else f"{one.status.value} ({one.justification})"


def _statement(one: Statement, day: date) -> dict[str, Any]:
    return {
        "statement": one.id,
        "document": one.document,
        "author": one.author,
        "advisories": list(one.advisories),
        "status": one.status.value,
        "justification": one.justification,
        "reason": one.reason,
        "about": [str(scope) for scope in one.scopes],
        "since": f"{one.since.isoformat()}T00:00:00Z",
        "expires": f"{one.expires.isoformat()}T00:00:00Z",
        "state": one.state(day).value,
    }


def _checked(state: AcceptedState, notes: Mapping[Statement, str], day: date) -> dict[str, Any]:
    documents = [
        {
            "file": name,
            "id": document.id,
            "author": document.author,
            "statements": [{**_statement(one, day), "note": notes[one]} for one in document.statements],
        }
        for name, document in sorted(state.documents.items())
    ]
    return {"documents": documents, "problems": _problems(state)}


def _problems(state: AcceptedState) -> list[dict[str, str]]:
    return [{"file": one.file, "problem": one.text} for one in state.problems]


def _covered(
    settings: CollectorSettings, source: AcceptanceSource, catalogue: Catalogue, day: date
) -> Mapping[tuple[str, str], AcceptedRisk]:
    """Return what the statements cover of the database's hosts; nothing, with a warning, where it cannot be read."""
    # Imported here: `vex check` needs no database.
    from libcensus.collector.labels import open_store  # noqa: PLC0415
    from libcensus.collector.posture.assessment import Assessor  # noqa: PLC0415
    from libcensus.collector.postureindex import PostureIndexes  # noqa: PLC0415
    from libcensus.collector.service.posture import PostureReader, Question  # noqa: PLC0415

    assessor = Assessor(catalogue, day)
    try:
        with open_store(settings) as store:
            accepted_for = AcceptancesOfTheDay(source, store, lambda: day)
            indexes = PostureIndexes(store, lambda: assessor, accepted_for.on)
            answer = PostureReader(indexes).posture(Question(limit=1))
    except StoreError as error:
        _warn(f"what the statements cover is not known: {error}")
        return {}
    return {(one.document, one.statement): one for one in answer.accepted_risks}


def _row(one: Statement, risk: AcceptedRisk | None, day: date, catalogue: Catalogue) -> dict[str, Any]:
    note = _note(one, day, catalogue)
    return {
        **_statement(one, day),
        "findings": None if risk is None else risk.findings,
        "hosts": None if risk is None else risk.hosts,
        "note": note or ("" if risk is None else risk.note),
    }


def _table(rows: Sequence[Mapping[str, Any]]) -> str:
    cells = [_COLUMNS]
    for row in rows:
        numbers = ("-" if row[key] is None else str(row[key]) for key in ("findings", "hosts"))
        says = row["status"] if row["justification"] is None else f"{row['status']} ({row['justification']})"
        about = "; ".join(row["about"])
        cells.append((row["state"], row["expires"][:10], *numbers, row["advisories"][0], says, about, row["statement"]))
    widths = [max(len(row[column]) for row in cells) for column in range(len(_COLUMNS) - 1)]
    lines = []
    for number, line in enumerate(cells):
        padded = (cell.ljust(width) for cell, width in zip(line, widths, strict=False))
        lines.append(escape_control("  ".join((*padded, line[-1]))))
        if number and rows[number - 1]["note"]:
            lines.append(escape_control(f"  {rows[number - 1]['note']}"))
    return "\n".join(lines)


def _tell_problems(state: AcceptedState, *, is_idle: bool) -> int:
    for problem in state.problems:
        print(f"libcensus-collector: error: {escape_control(str(problem))}", file=sys.stderr)  # noqa: T201
    if state.problems:
        return _REFUSED
    return _IDLE if is_idle else 0


def _warn(text: str) -> None:
    print(f"libcensus-collector: warning: {escape_control(text)}", file=sys.stderr)  # noqa: T201
