"""Whether a report is due, for timers that fire more often than the collector wants to hear of a host."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from libcensus.agent.credentials import remembered_facts, tell_moment
from libcensus.agent.state import StateFolder

if TYPE_CHECKING:
    from collections.abc import Mapping

    from libcensus.agent.config import AgentConfig
    from libcensus.agent.credentials import IdentityFacts

EARLY = 0.1
"""By which part of the interval a report may be early: a timer that fires at just that interval must not skip one."""


def due_at(state: Mapping[str, Any], now: datetime) -> datetime:
    """Return when the next report is due: at once after a failure, unless the collector asked to wait."""
    failure = state.get("last_failure")
    if isinstance(failure, dict):
        return _moment(failure.get("not_before")) or now
    acknowledged = state.get("last_acknowledged")
    if not isinstance(acknowledged, dict):
        return now
    last, interval = _moment(acknowledged.get("at")), acknowledged.get("next_interval_seconds")
    if last is None or last > now or not isinstance(interval, int | float) or interval <= 0:
        # An acknowledgement in the future is a clock that was set right meanwhile, and proves nothing.
        return now
    return last + timedelta(seconds=interval * (1 - EARLY))


def is_renewal_due(state: Mapping[str, Any], facts: IdentityFacts | None, now: datetime) -> bool:
    """Tell whether the certificate is to be renewed, and no failure has put that off."""
    if facts is None or now < facts.renew_at:
        return False
    failure = state.get("renewal")
    put_off = _moment(failure.get("next_try")) if isinstance(failure, dict) else None
    return put_off is None or put_off <= now


def wait_until_due(config: AgentConfig) -> str | None:
    """Return the moment before which no report is due, as text; None where one is due now, or a renewal is."""
    now = datetime.now(UTC)
    state = StateFolder(config.state.folder).read()
    moment = due_at(state, now)
    if moment <= now or is_renewal_due(state, remembered_facts(config.state.folder), now):
        return None
    return tell_moment(moment)


def _moment(text: object) -> datetime | None:
    try:
        return datetime.fromisoformat(text) if isinstance(text, str) else None
    except ValueError:
        return None
