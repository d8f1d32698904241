"""Everything that can go wrong in the collector, and the exit code that a command ends with.

    CollectorError
    ├── ConfigurationError     a setting is wrong or refused                           exit 3
    ├── StoreError             the database cannot be used                             exit 3
    │   ├── StoreBusyError     another collector holds the SQLite file
    │   ├── StoreFullError     no space left
    │   ├── StoreReadOnlyError the database or its folder cannot be written
    │   └── StoreCorruptError  the database's content is not what this version wrote
    ├── SnapshotError          the embedded facts are broken: a mistake in the build   exit 70
    ├── FeedError              a feed of advisories was not taken                      exit 1
    │   ├── FeedUnreachableError  its source does not answer, or broke off           exit 4
    │   └── FeedIdentityError     its source's certificate is not trusted            exit 5
    ├── BackupError            an archive or its place is refused, see backup/archive.py exit 1
    ├── LabelError             a label, a selector or the host of one is none          exit 2
    ├── PkiError               enrollment or renewal was refused, see pki/errors.py    exit 5
    ├── SimulationError        a fleet cannot be simulated so, or not into this place  exit 2
    └── InconsistentFactsError one report's facts contradict each other                (a refusal, never an exit)

Every message names the thing, its place and the remedy; none shows a traceback to a user.
"""

from __future__ import annotations


class CollectorError(Exception):
    """Base of all errors that a user of the collector can meet."""

    exit_code = 70


class ConfigurationError(CollectorError):
    """A setting is wrong, or refused because it would be unsafe."""

    exit_code = 3


class StoreError(CollectorError):
    """The database cannot be used."""

    exit_code = 3


class StoreBusyError(StoreError):
    """Another collector holds the SQLite file."""


class StoreFullError(StoreError):
    """No space is left for the database."""


class StoreReadOnlyError(StoreError):
    """The database or its folder cannot be written."""


class StoreCorruptError(StoreError):
    """The database's content is not what this version wrote."""


class InconsistentFactsError(CollectorError):
    """The facts that a report names are all there and contradict each other.

    ``field`` is the dotted name of the field that is wrong, ``problem`` what is wrong with it.
    """

    def __init__(self, field: str, problem: str) -> None:
        super().__init__(f"{field}: {problem}")
        self.field = field
        self.problem = problem


class LabelError(CollectorError):
    """A label cannot be set, removed or asked for so: its syntax is wrong, or there is no such host."""

    exit_code = 2


class FeedError(CollectorError):
    """A feed of advisories is not taken, and its last good state stays: it is broken, too large, older or smaller."""

    exit_code = 1


class FeedUnreachableError(FeedError):
    """A feed's source does not answer, answers with an error, or breaks off."""

    exit_code = 4


class FeedIdentityError(FeedError):
    """A feed's source does not prove who it is."""

    exit_code = 5
