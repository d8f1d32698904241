"""Everything that can go wrong in the operator's command, and the exit code that it ends with.

    OperatorError
    ├── ArgumentError            the arguments do not fit, or name what is not there   exit 2
    ├── ConfigurationError       a setting is wrong                                    exit 3
    ├── UnreachableError         the collector cannot be reached                       exit 4
    ├── IdentityError            TLS or identity was refused                           exit 5
    └── CollectorAnswerError     the collector answered what cannot be used            exit 70

Every message names the thing, its place and the remedy; none shows a traceback to a user.
"""

from __future__ import annotations

EXIT_CODES: tuple[tuple[int, str], ...] = (
    (0, "fine"),
    (1, "a policy was not met (--fail-on, --require), or an artefact is blocked"),
    (2, "usage: an argument is wrong, or names what is not there"),
    (3, "configuration: a setting is wrong"),
    (4, "the collector cannot be reached"),
    (5, "TLS or identity was refused"),
    (6, "partial: a probe failed, or a verdict is unknown and none is blocked"),
    (70, "internal error"),
)
"""The exit codes of every command, as the help and the documentation show them."""


class OperatorError(Exception):
    """Base of all errors that a user of the operator's command can meet."""

    exit_code = 70


class ArgumentError(OperatorError):
    """The arguments do not fit together, or name what is not there."""

    exit_code = 2


class ConfigurationError(OperatorError):
    """A setting is wrong."""

    exit_code = 3


class UnreachableError(OperatorError):
    """The collector cannot be reached."""

    exit_code = 4


class IdentityError(OperatorError):
    """TLS failed, or the collector does not accept who asks."""

    exit_code = 5


class CollectorAnswerError(OperatorError):
    """The collector answered what cannot be used."""
