"""Logging to standard error in one of three forms; standard output belongs to results.

``text`` is for people, ``json`` one object per line, ``journal`` puts the priority in front of each line as
``sd-daemon(3)`` says. What comes from the wire never reaches the log unescaped: no host name can forge a line or move a
terminal's cursor.
"""

from __future__ import annotations

import json
import logging
import sys
from datetime import UTC, datetime
from typing import TYPE_CHECKING, TextIO

if TYPE_CHECKING:
    from collections.abc import Iterator

LOG_LEVELS = ("debug", "info", "warning", "error")
LOG_FORMATS = ("text", "json", "journal")

_PRIORITIES = {logging.DEBUG: 7, logging.INFO: 6, logging.WARNING: 4, logging.ERROR: 3, logging.CRITICAL: 2}
_LOGGERS = ("libcensus", "grpc", "alembic", "sqlalchemy")


def escape_control(text: str) -> str:
    """Return the text on one line: control characters, line ends and unpaired surrogates are escaped."""
    if text.isprintable():
        return text
    return "".join(
        one if one.isprintable() else one.encode("unicode_escape", "surrogatepass").decode("ascii") for one in text
    )


def _traceback_lines(record: logging.LogRecord) -> Iterator[str]:
    if record.exc_info:
        yield from logging.Formatter().formatException(record.exc_info).splitlines()


class TextFormatter(logging.Formatter):
    """Time, level, message; a traceback follows on lines of its own."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the record for a person to read."""
        moment = datetime.fromtimestamp(record.created, tz=UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        lines = [f"{moment} {record.levelname.lower()} {escape_control(record.getMessage())}"]
        lines.extend(f"  {escape_control(line)}" for line in _traceback_lines(record))
        return "\n".join(lines)


class JsonFormatter(logging.Formatter):
    """One JSON object per line: ``time``, ``level``, ``logger``, ``message`` and, where there is one, ``traceback``."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the record as one JSON object."""
        moment = datetime.fromtimestamp(record.created, tz=UTC).isoformat(timespec="milliseconds")
        entry = {
            "time": moment.replace("+00:00", "Z"),
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
    """Send the collector's log to ``stream`` (standard error by default); calling again replaces what was set.

    The libraries below speak only from ``warning`` on: their chatter is no event of the collector's.
    """
    handler = logging.StreamHandler(sys.stderr if stream is None else stream)
    handler.setFormatter(_FORMATTERS[form]())
    for name in _LOGGERS:
        logger = logging.getLogger(name)
        for old in list(logger.handlers):
            logger.removeHandler(old)
        logger.addHandler(handler)
        logger.setLevel(level.upper() if name == "libcensus" else logging.WARNING)
        logger.propagate = False
