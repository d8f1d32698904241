"""Where the database is: what ``--database`` accepts, and how a message names it without its password."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from sqlalchemy import URL, make_url
from sqlalchemy.exc import ArgumentError

from libcensus.collector.errors import ConfigurationError

_FORMS = "write sqlite:////absolute/path.db, a path with a slash in it, or postgresql://user@host/database"


@dataclass(frozen=True, slots=True)
class DatabaseAddress:
    """One database: a SQLite file (``path``, absolute, symbolic links resolved) or a PostgreSQL URL.

    ``shown`` is what messages call it; it never holds a password.
    """

    url: URL
    path: Path | None
    shown: str

    @classmethod
    def parse(cls, text: str) -> DatabaseAddress:
        """Return the address that ``text`` means.

        Accepted: ``sqlite:////absolute/path.db``, ``sqlite:///relative/path.db``, a plain path with a slash in it (a
        name without slash would turn a mistyped URL into a file), ``postgresql://user@host/database`` with libpq's
        parameters in the query. Raises ConfigurationError for everything else, without repeating what may hold a
        password.
        """
        if "://" not in text:
            if "/" not in text:
                raise ConfigurationError(f"database: {text!r} is neither a URL nor a path; {_FORMS}")
            return cls._sqlite(text)
        try:
            url = make_url(text)
        except (ArgumentError, ValueError):
            raise ConfigurationError(f"database: the URL cannot be read; {_FORMS}") from None
        match url.get_backend_name():
            case "sqlite":
                if not url.database or url.database == ":memory:" or url.database.startswith("file:"):
                    raise ConfigurationError(
                        f"database: {text!r} names no file, and a census that is lost with the process is of no use; "
                        f"{_FORMS}"
                    )
                if url.host or url.query:
                    raise ConfigurationError(
                        f"database: {text!r} has a host or parameters, which a SQLite file does not take; "
                        "an absolute path needs four slashes: sqlite:////var/lib/libcensus/collector.db"
                    )
                return cls._sqlite(url.database)
            case "postgresql" | "postgres":
                return cls._postgresql(url)
            case other:
                raise ConfigurationError(f"database: {other!r} is no kind of database that is supported; {_FORMS}")

    @classmethod
    def _sqlite(cls, name: str) -> DatabaseAddress:
        path = Path(os.path.realpath(name))
        return cls(URL.create("sqlite+pysqlite", database=str(path)), path, str(path))

    @classmethod
    def _postgresql(cls, url: URL) -> DatabaseAddress:
        if not url.database:
            raise ConfigurationError(
                "database: the PostgreSQL URL names no database; write postgresql://user@host/name"
            )
        host = url.host or url.query.get("host") or os.environ.get("PGHOST") or "the local socket"
        where = host if isinstance(host, str) else ", ".join(host)
        if url.port is not None:
            where = f"{where}:{url.port}"
        shown = f"PostgreSQL database {url.database!r} on {where}"
        return cls(url.set(drivername="postgresql+psycopg"), None, shown)
