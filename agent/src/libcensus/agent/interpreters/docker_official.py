"""Docker's official python images: CPython in /usr/local, configured as their Dockerfile template does.

Source: https://github.com/docker-library/python, ``Dockerfile-linux.template``. The image's name and tag are not in
the file system; so no build is told.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from libcensus.agent.host import shown
from libcensus.agent.interpreters.candidate import Claim
from libcensus.agent.interpreters.sysconfig import configure_arguments
from libcensus.facts.evidence import Evidence
from libcensus.facts.vocabulary import EvidenceKind, Provider

if TYPE_CHECKING:
    from libcensus.agent.interpreters.candidate import Subject

_MARKS = ("--enable-loadable-sqlite-extensions", "--enable-option-checking=fatal", "--enable-shared")


def claim(subject: Subject) -> Claim | None:
    """Return the claim when prefix and configure arguments are those of the template."""
    layout = subject.layout
    if layout.prefix != "/usr/local" or subject.package is not None or layout.sysconfig_file is None:
        return None
    arguments = configure_arguments(dict(layout.sysconfig))
    has_prefix = any(argument.startswith("--prefix") for argument in arguments)
    if has_prefix or not all(mark in arguments for mark in _MARKS):
        return None
    proof = Evidence(
        "provider", EvidenceKind.TEXT_LINE, shown(layout.sysconfig_file), f"CONFIG_ARGS: {' '.join(_MARKS)}"
    )
    return Claim(Provider.DOCKER_OFFICIAL, evidence=(proof,))
