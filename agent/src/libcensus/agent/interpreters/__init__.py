"""Interpreters: one file per provider, and what all CPython installs have in common.

:data:`PROVIDERS` is the one registration: a provider is a module with ``claim``, asked in this order; the first that
answers built it. What a file's own contents prove comes before who owns it, and that before where it lies.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from libcensus.agent.interpreters import distro, docker_official, pbs, pyenv, source, vendor

if TYPE_CHECKING:
    from collections.abc import Callable

    from libcensus.agent.interpreters.candidate import Claim, Subject

PROVIDERS: tuple[Callable[[Subject], Claim | None], ...] = (
    pbs.claim,
    distro.claim,
    vendor.claim,
    pyenv.claim,
    docker_official.claim,
    source.claim,
)
