"""The commands ``advisories update``, ``import`` and ``show``: what they print, and the code that they end with."""

from __future__ import annotations

import difflib
import json
import shutil
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from libcensus.collector.advisories.feeds.registry import ADDRESSES, BY_NAME, FEEDS, NAMES
from libcensus.collector.advisories.fetch import Fetcher
from libcensus.collector.advisories.published import embedded_tables
from libcensus.collector.advisories.state import StateFolder
from libcensus.collector.advisories.update import Outcome, Result, Updater, exit_code_of
from libcensus.collector.errors import ConfigurationError
from libcensus.collector.log import escape_control

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from libcensus.collector.advisories.state import FeedState
    from libcensus.collector.config import CollectorSettings

_MIB = 1024**2
_SECONDS_BETWEEN_STEPS = 0.1


def run_update(
    settings: CollectorSettings,
    names: Sequence[str],
    *,
    force: bool,
    write: Callable[[str], None],
    fetcher: Fetcher | None = None,
) -> int:
    """Fetch feeds and print one line for each; returns the exit code. Raises ConfigurationError."""
    for name in names:
        check_feed(name)
    progress = Progress()
    updater = Updater(
        StateFolder(folder_of(settings)),
        addresses_of(settings),
        fetcher or Fetcher(),
        force=force,
        progress=progress.step if sys.stderr.isatty() else None,
    )

    def tell(outcome: Outcome) -> None:
        progress.clear()
        _tell(outcome, write)

    return exit_code_of(updater.update(dict.fromkeys(names) or NAMES, tell))


def run_import(
    settings: CollectorSettings,
    files: Sequence[Path],
    name: str | None,
    *,
    force: bool,
    write: Callable[[str], None],
) -> int:
    """Import files and print one line for each feed; returns the exit code. Raises ConfigurationError, FeedError."""
    if name is not None:
        check_feed(name)
    for path in files:
        if not path.is_file():
            raise ConfigurationError(f"{path}: is no file; name the files themselves")
    updater = Updater(StateFolder(folder_of(settings)), addresses_of(settings), force=force)
    return exit_code_of(updater.load(files, name, lambda outcome: _tell(outcome, write)))


def run_show(settings: CollectorSettings, output: str, *, write: Callable[[str], None]) -> int:
    """Print the state of each feed; returns 0, or 6 where the state of some feed is damaged."""
    stored = StateFolder(folder_of(settings)).load()
    meta = embedded_tables()["snapshot"]
    addresses = addresses_of(settings)
    if output == "json":
        feeds = [
            _shown(feed.name, stored.states.get(feed.name), stored.damaged.get(feed.name), addresses) for feed in FEEDS
        ]
        on_board = {"newest": meta["date"], "reaches": meta["reaches"]}
        write(json.dumps({"folder": str(folder_of(settings)), "on_board": on_board, "feeds": feeds}, indent=2))
    else:
        write(_table(stored.states, stored.damaged, meta, addresses))
    for problem in stored.damaged.values():
        print(f"libcensus-collector: warning: {escape_control(problem)}", file=sys.stderr)  # noqa: T201
    return 6 if stored.damaged else 0


def folder_of(settings: CollectorSettings) -> Path:
    """Return the folder with the states; raises ConfigurationError where none is set."""
    if settings.advisories_dir is None:
        raise ConfigurationError("advisories_dir: is not set; name a folder with --advisories-dir")
    return Path(settings.advisories_dir)


def addresses_of(settings: CollectorSettings) -> Mapping[str, tuple[str, ...]]:
    """Return the address of everything that is fetched: the setting's, else the project's own."""
    for name, urls in settings.advisory_urls.items():
        if name not in ADDRESSES:
            raise ConfigurationError(f"advisory_urls: {name!r} is nothing that is fetched; {_suggest(name, ADDRESSES)}")
        is_each = name not in BY_NAME
        if is_each and (len(urls) != 1 or "{part}" not in urls[0]):
            raise ConfigurationError(f"advisory_urls: {name} is one address with {{part}} in it: {ADDRESSES[name][0]}")
    return {**ADDRESSES, **settings.advisory_urls}


def check_feed(name: str) -> None:
    """Raise ConfigurationError for a name of no feed."""
    if name not in BY_NAME:
        raise ConfigurationError(f"{name!r} is no feed; {_suggest(name, NAMES)}")


def _suggest(name: str, known: Mapping[str, Any] | Sequence[str]) -> str:
    close = difflib.get_close_matches(name, list(known), n=1)
    return f"did you mean {close[0]}?" if close else f"known are {', '.join(known)}"


def _tell(outcome: Outcome, write: Callable[[str], None]) -> None:
    if outcome.error is not None:
        print(f"libcensus-collector: error: {escape_control(str(outcome.error))}", file=sys.stderr)  # noqa: T201
        kept = "kept" if outcome.state is not None else "none"
        write(f"{outcome.feed}: {Result.FAILED} (last good state: {kept})")
        return
    state = outcome.state
    facts = "" if state is None else f": {state.count} facts up to {state.newest.isoformat()}"
    write(f"{outcome.feed}: {outcome.result}{facts}")


def _shown(
    name: str, state: FeedState | None, problem: str | None, addresses: Mapping[str, tuple[str, ...]]
) -> dict[str, Any]:
    shown: dict[str, Any] = {
        "feed": name,
        "title": BY_NAME[name].title,
        "state": "damaged" if problem is not None else "never" if state is None else "good",
        "urls": list(addresses[name]),
    }
    if problem is not None:
        shown["problem"] = problem
    if state is not None:
        shown |= {
            "newest": state.newest.isoformat(),
            "fetched_at": _moment(state.fetched_at),
            "checked_at": _moment(state.checked_at),
            "facts": state.count,
            "sha256": state.checksum,
            "documents": [
                {
                    "source": one.source,
                    "sha256": one.sha256,
                    "checksum_from": one.checksum_from,
                    "bytes": one.size,
                    "facts": len(one.rows),
                }
                for one in state.documents
            ],
        }
    return shown


def _moment(moment: Any) -> str:
    return str(moment.isoformat()).replace("+00:00", "Z")


def _table(
    states: Mapping[str, FeedState],
    damaged: Mapping[str, str],
    meta: Mapping[str, Any],
    addresses: Mapping[str, tuple[str, ...]],
) -> str:
    rows = [("FEED", "NEWEST", "FETCHED", "FACTS", "SHA256", "SOURCE")]
    for name in NAMES:
        state = states.get(name)
        source = addresses[name][0] + (f" (+{len(addresses[name]) - 1})" if len(addresses[name]) > 1 else "")
        if state is None:
            rows.append((name, "damaged" if name in damaged else "never", "-", "-", "-", source))
            continue
        first = state.documents[0].source
        rows.append(
            (
                name,
                state.newest.isoformat(),
                _moment(state.fetched_at),
                str(state.count),
                state.checksum[:12],
                first if first.startswith("file ") else source,
            )
        )
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]) - 1)]
    lines = [
        "  ".join((*(cell.ljust(width) for cell, width in zip(row, widths, strict=False)), row[-1])) for row in rows
    ]
    return "\n".join((*lines, f"facts on board: up to {meta['date']}"))


class Progress:
    """One line on a terminal that says how far a download is, and goes away."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._shown: float | None = None

    def step(self, feed: str, received: int, expected: int | None) -> None:
        """Show bytes received, and of how many, some times a second."""
        now = self._clock()
        if self._shown is not None and now - self._shown < _SECONDS_BETWEEN_STEPS:
            return
        self._shown = now
        of = "" if expected is None else f" of {expected / _MIB:.1f}"
        text = f"{feed}: {received / _MIB:.1f}{of} MiB"
        sys.stderr.write(f"\r{text[: shutil.get_terminal_size().columns - 1]}\x1b[K")
        sys.stderr.flush()

    def clear(self) -> None:
        """Take the line away."""
        if self._shown is not None:
            sys.stderr.write("\r\x1b[K")
            sys.stderr.flush()
            self._shown = None
