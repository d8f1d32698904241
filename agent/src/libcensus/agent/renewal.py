"""When a certificate is renewed, and what happens where that fails: a warning, as long as the present one is good.

Due at two thirds of its life, once it has ended (within a grace period the collector renews it still), and when the
operator gave other roots in ``collector.ca``. A failure puts the next try off, up to twice as long each time and by
chance, so that a fleet whose collector was away does not come back at once.
"""

from __future__ import annotations

import logging
import random
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from libcensus.agent.credentials import (
    ENROLL_AGAIN,
    IdentityFolder,
    digest_of_roots,
    read_given_file,
    tell_moment,
)
from libcensus.agent.errors import AgentError, IdentityError, UnreachableError
from libcensus.agent.target import parse_target

if TYPE_CHECKING:
    from collections.abc import Callable

    from libcensus.agent.config import CollectorSettings
    from libcensus.agent.credentials import StoredIdentity
    from libcensus.agent.state import StateFolder

_LOG = logging.getLogger(__name__)

RENEWAL = "renewal"
"""Where the state remembers failures: ``failures``, ``at``, ``message``, ``next_try``."""

RETRY_SECONDS = 300.0
LONGEST_RETRY_SECONDS = 6 * 3600.0

_RANDOM = random.SystemRandom()


def reason_to_renew(identity: StoredIdentity, given_roots: bytes | None, now: datetime) -> str | None:
    """Return why a certificate is due for renewal; None where it is not."""
    if now >= identity.facts.not_after:
        return "it has expired"
    if now >= identity.facts.renew_at:
        return "two thirds of its life are over"
    if given_roots is not None and digest_of_roots(given_roots) != identity.facts.given_roots:
        return "collector.ca changed"
    return None


def renew_when_due(
    identity: StoredIdentity,
    settings: CollectorSettings,
    state: StateFolder,
    *,
    before_call: Callable[[], None] | None = None,
    now: Callable[[], datetime] = lambda: datetime.now(UTC),
    spread: Callable[[float, float], float] = _RANDOM.uniform,
) -> StoredIdentity:
    """Return the identity to go on with: a renewed one where that was due and succeeded, else the present one.

    Raises an error only where the present one has expired and could not be renewed: IdentityError where the collector
    refused, UnreachableError where it was not to be reached.
    """
    given_roots = None if settings.ca is None else read_given_file("collector.ca", settings.ca)
    moment = now()
    reason = reason_to_renew(identity, given_roots, moment)
    if reason is None:
        return identity
    has_expired = moment >= identity.facts.not_after
    before = _remembered(state)
    next_try = before.get("next_try")
    if not has_expired and isinstance(next_try, str) and moment < datetime.fromisoformat(next_try):
        return identity
    from libcensus.agent.enrollment import renew  # noqa: PLC0415 - cryptography is imported for a renewal alone

    try:
        target = parse_target(settings.address).with_port(settings.enroll_port)
        facts = replace(identity.facts, given_roots=None if given_roots is None else digest_of_roots(given_roots))
        renewed = renew(
            replace(identity, facts=facts),
            IdentityFolder(state.path),
            settings,
            target,
            given_roots,
            before_call=before_call,
            now=now,
        )
    except (AgentError, OSError) as error:
        _remember(state, _failure(before, error, moment, spread))
        end = tell_moment(identity.facts.not_after)
        if has_expired:
            message = f"this host's certificate expired on {end} and could not be renewed: {error}"
            if isinstance(error, UnreachableError):
                raise UnreachableError(message, error.retry_after_seconds) from None
            if isinstance(error, AgentError):
                raise IdentityError(f"{message}; {ENROLL_AGAIN}") from None
            raise IdentityError(f"{message}; the state folder {state.path} must be writable") from None
        _LOG.warning("this host's certificate could not be renewed (%s), and is good until %s: %s", reason, end, error)
        return identity
    _remember(state, None)
    _LOG.info(
        "this host's certificate was renewed (%s), and is good until %s", reason, tell_moment(renewed.facts.not_after)
    )
    return renewed


def _failure(
    before: dict[str, Any], error: Exception, now: datetime, spread: Callable[[float, float], float]
) -> dict[str, object]:
    earlier = before.get("failures")
    failures = (earlier if isinstance(earlier, int) else 0) + 1
    longest = min(LONGEST_RETRY_SECONDS, RETRY_SECONDS * 2.0 ** min(failures - 1, 20))
    asked = getattr(error, "retry_after_seconds", None) or 0.0
    pause = timedelta(seconds=asked + spread(0, longest))
    return {
        "failures": failures,
        "at": tell_moment(now),
        "message": str(error),
        "next_try": tell_moment(now + pause),
    }


def _remembered(state: StateFolder) -> dict[str, Any]:
    found = state.read().get(RENEWAL)
    return found if isinstance(found, dict) else {}


def _remember(state: StateFolder, failure: dict[str, object] | None) -> None:
    try:
        state.update({RENEWAL: failure})
    except OSError as error:
        _LOG.warning("state folder %s cannot be written: %s", state.path, error)
