"""Renews a certificate in a copy of this process, so that the memory that this needs ends with it.

A renewal needs a cryptographic library, which a report does not, and together they would need more memory than a report
may. The copy is a fork of this program and goes on in it: nothing is executed. It is the one place of the agent that
makes a process, and only `report` does so, before it has met gRPC and the scanner, while it has one thread.
"""

from __future__ import annotations

import logging
import os
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from libcensus.agent.credentials import IdentityFolder, read_given_file
from libcensus.agent.errors import AgentError, ConfigurationError
from libcensus.agent.renewal import reason_to_renew

if TYPE_CHECKING:
    from libcensus.agent.config import AgentConfig

_LOG = logging.getLogger(__name__)


def renew_apart(config: AgentConfig) -> None:
    """Renew the certificate where that is due, and wait for the end of it.

    What fails here is met again, and told, by whoever delivers the report.
    """
    if config.collector.certificate is not None:
        return
    try:
        identity = IdentityFolder(config.state.folder).current()
        given = None if config.collector.ca is None else read_given_file("collector.ca", config.collector.ca)
    except ConfigurationError:
        return
    if identity is None or reason_to_renew(identity, given, datetime.now(UTC)) is None:
        return
    child = os.fork()
    if child == 0:
        _renew_and_end(config)
    os.waitpid(child, 0)


def _renew_and_end(config: AgentConfig) -> None:
    """Renew, and end this process whatever happens: what called it belongs to the other one."""
    try:
        from libcensus.agent.delivery import Courier  # noqa: PLC0415 - only whoever renews needs it

        Courier(config).renew()
    except (AgentError, OSError) as error:
        _LOG.debug("the renewal failed: %s", error)
    finally:
        os._exit(0)
