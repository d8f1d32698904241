"""Interpreters: one file per implementation and per provider, and what all installs have in common.

:data:`PROVIDERS` is the one registration: a provider is a module with ``claim``, asked in this order; the first that
answers built it. What a file's own contents prove comes before who owns it, and that before where it lies.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from libcensus.agent.interpreters import (
    conda,
    distro,
    docker_official,
    nix,
    nodejs,
    pbs,
    php,
    pyenv,
    pypi,
    pypy,
    snap,
    source,
    vendor,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from libcensus.agent.interpreters.candidate import Claim, Subject

PROVIDERS: tuple[Callable[[Subject], Claim | None], ...] = (
    pbs.claim,
    conda.claim,
    nix.claim,
    snap.claim,
    distro.claim,
    vendor.claim,
    pypi.claim,
    pyenv.claim,
    docker_official.claim,
    nodejs.claim,
    pypy.claim,
    php.claim,
    source.claim,
)

PYTHON_PROVIDERS = frozenset({pbs.claim, pyenv.claim})
"""Those that build Pythons only: what lies where they put theirs may be another implementation's."""
