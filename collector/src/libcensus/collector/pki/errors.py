"""What enrollment and renewal refuse.

Each text is meant for whoever asked, and names the remedy.
"""

from __future__ import annotations

from libcensus.collector.errors import CollectorError, ConfigurationError


class PkiError(CollectorError):
    """Base of what enrollment and renewal refuse."""

    exit_code = 5


class TokenError(PkiError):
    """A join token is none, or is good no more: expired, used up, revoked, or bound to another host."""


class SigningRequestError(PkiError):
    """A certificate signing request cannot be used: broken, too large, of a wrong key, or not signed by its key."""


class CloneError(PkiError):
    """Another machine speaks, or spoke, as this host: a copied disk, or an installation anew."""


class RenewalError(PkiError):
    """A certificate cannot be renewed: it is not this collector's, revoked, or its key was not proved."""


class ExpiredCertificateError(RenewalError):
    """A certificate's end is longer ago than the grace period allows."""


class ChallengeError(RenewalError):
    """A challenge is older than a minute, or not one of this collector's; a new one helps."""


class BannedError(PkiError):
    """An operator banned this host, or this operator."""


class AuthorityExpiredError(ConfigurationError):
    """The certificate authority has ended, and issues nothing until its keys are rotated."""


class ArgumentError(CollectorError):
    """A command was given the name of something that there is none of, or a value that cannot be."""

    exit_code = 2


class CutOffError(CollectorError):
    """A command would cut off somebody who is enrolled, and was not told to do so all the same."""

    exit_code = 1
