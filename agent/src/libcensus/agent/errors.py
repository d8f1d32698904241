"""Everything that can go wrong in the agent, and the exit code that a command ends with.

    AgentError
    ├── UsageError              the arguments do not fit                               exit 2
    ├── ConfigurationError      a setting is wrong                                     exit 3
    ├── UnreachableError        the collector cannot be reached; the report is spooled exit 4
    ├── IdentityError           TLS or identity was refused                            exit 5
    ├── RefusedError            the collector understood and refused the report        exit 70
    │   └── LostFactsError      it asks for facts that the agent has lost
    └── UnreadableError         a file cannot be read or is not what it says           (counted, a skip in a scan)
        ├── ElfError            not an ELF file, truncated, or with absurd contents
        └── ArtefactError       a wheel, archive or folder that cannot be read

Every message names the thing, its place and the remedy; none shows a traceback to a user.
"""

from __future__ import annotations


class AgentError(Exception):
    """Base of all errors that a user of the agent can meet."""

    exit_code = 70


class UsageError(AgentError):
    """The arguments do not fit together."""

    exit_code = 2


class ConfigurationError(AgentError):
    """A setting is wrong."""

    exit_code = 3


class UnreachableError(AgentError):
    """The collector cannot be reached; the report is kept and sent later.

    ``retry_after_seconds`` is when the collector asked to be tried again, None where it did not.
    """

    exit_code = 4

    def __init__(self, message: str, retry_after_seconds: float | None = None) -> None:
        super().__init__(message)
        self.retry_after_seconds = retry_after_seconds


class IdentityError(AgentError):
    """TLS failed, or the collector does not accept who speaks."""

    exit_code = 5


class RefusedError(AgentError):
    """The collector understood the report and refused it: an error in one of the two programs."""


class LostFactsError(RefusedError):
    """The collector asks for facts that the agent does not have any more."""


class UnreadableError(AgentError):
    """A file cannot be read or is not what it says; ``reason`` is the short, countable form."""

    exit_code = 2

    def __init__(self, reason: str, detail: str = "") -> None:
        super().__init__(f"{reason}: {detail}" if detail else reason)
        self.reason = reason
        self.detail = detail


class ElfError(UnreadableError):
    """Not an ELF file, a truncated one, or one with absurd contents."""


class ArtefactError(UnreadableError):
    """A wheel, archive or folder that cannot be read."""
