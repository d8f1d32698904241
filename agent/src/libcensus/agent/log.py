"""Logging to standard error, in one of three forms; standard output belongs to results.

``text`` is for people, ``json`` one object per line for collectors of logs, ``journal`` puts the priority in front of
the line as ``sd-daemon(3)`` says, which is what journald reads from a unit's standard error. A message never spans
lines: control characters of names that were found are escaped, so that no file name can forge a log line.
"""

from __future__ import annotations

import json
import logging
import sys
from datetime import UTC, datetime
from typing import TYPE_CHECKING, TextIO

if TYPE_CHECKING:
    from collections.abc import Iterator

LEVELS = ("debug", "info", "warning", "error")
FORMATS = ("text", "json", "journal")

_PRIORITIES = {logging.DEBUG: 7, logging.INFO: 6, logging.WARNING: 4, logging.ERROR: 3, logging.CRITICAL: 2}


def escape_control(text: str) -> str:
    """Return the text on one line: control characters, line ends and unpaired surrogates are escaped."""
    if text.isprintable():
        return text
    return "".join(
        one if one.isprintable() else one.encode("unicode_escape", "surrogatepass").decode("ascii") for one in text
    )


class _ErrorInOneLine(logging.Filter):
    """Puts an error into the message and leaves its traceback out: that is for those who ask for debug alone."""

    def filter(self, record: logging.LogRecord) -> bool:
        """Let every record pass, changed."""
        if record.exc_info and (error := record.exc_info[1]) is not None:
            record.msg = f"{record.getMessage()}: {type(error).__name__}: {error}"
            record.args = None
            record.exc_info = None
        return True


def _traceback_lines(record: logging.LogRecord) -> Iterator[str]:
    if record.exc_info:
        yield from logging.Formatter().formatException(record.exc_info).splitlines()


class TextFormatter(logging.Formatter):
    """Time, level, message; a traceback follows on lines of its own, each escaped."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the record for a person to read."""
        moment = datetime.fromtimestamp(record.created, tz=UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        lines = [f"{moment} {record.levelname.lower()} {escape_control(record.getMessage())}"]
        lines.extend(escape_control(line) for line in _traceback_lines(record))
        return "\n".join(lines)


class JsonFormatter(logging.Formatter):
    """One JSON object per line: ``time``, ``level``, ``logger``, ``message``, and ``traceback`` where there is one."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the record as one JSON object."""
        entry = {
            "time": datetime.fromtimestamp(record.created, tz=UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
        }
        if lines := list(_traceback_lines(record)):
            entry["traceback"] = "\n".join(lines)
        return json.dumps(entry)


class JournalFormatter(logging.Formatter):
    """Each line starts with its syslog priority in angle brackets; the journal adds the time itself."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the record with the prefix of sd-daemon(3) on every line."""
        priority = _PRIORITIES.get(record.levelno, 6)
        lines = [record.getMessage(), *_traceback_lines(record)]
        return "\n".join(f"<{priority}>{escape_control(line)}" for line in lines)


_FORMATTERS: dict[str, type[logging.Formatter]] = {
    "text": TextFormatter,
    "json": JsonFormatter,
    "journal": JournalFormatter,
}


def start_logging(level: str, form: str, stream: TextIO | None = None) -> None:
    """Send the agent's log to ``stream`` (standard error by default); calling again replaces what was set.

    Tracebacks are shown at the level ``debug`` alone.
    """
    handler = logging.StreamHandler(sys.stderr if stream is None else stream)
    handler.setFormatter(_FORMATTERS[form]())
    if level != "debug":
        handler.addFilter(_ErrorInOneLine())
    logger = logging.getLogger("libcensus")
    for old in list(logger.handlers):
        logger.removeHandler(old)
    logger.addHandler(handler)
    logger.setLevel(level.upper())
    logger.propagate = False
