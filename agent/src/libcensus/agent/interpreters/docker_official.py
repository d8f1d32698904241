"""Docker's official images of Python, Ruby and Node.js: in /usr/local, as their Dockerfile templates leave it.

Python and Ruby are compiled there with the template's own arguments; Node.js is the project's own build, unpacked, and
is known as the image's by its entry point. (PHP's are known by their scripts, in ``php``.) The image's name and tag are
not in the file system; so no build is told. Sources: ``Dockerfile-linux.template`` of
https://github.com/docker-library/python, ``Dockerfile.template`` of https://github.com/docker-library/ruby, and
``docker-entrypoint.sh`` of https://github.com/nodejs/docker-node.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from libcensus.agent.errors import UnreadableError
from libcensus.agent.host import shown
from libcensus.agent.interpreters.candidate import Claim
from libcensus.agent.interpreters.sysconfig import configure_arguments
from libcensus.facts.evidence import Evidence
from libcensus.facts.vocabulary import EvidenceKind, Implementation, Provider

if TYPE_CHECKING:
    from libcensus.agent.host import Root
    from libcensus.agent.interpreters.candidate import Subject

_PYTHON_MARKS = ("--enable-loadable-sqlite-extensions", "--enable-option-checking=fatal", "--enable-shared")
_RUBY_MARKS = ("--disable-install-doc", "--enable-shared")
_RUBY_ARGUMENTS = re.compile(r"""^  CONFIG\["configure_args"\] = "((?:[^"\\\n]|\\.)*)"$""", re.MULTILINE)
_RUBY_SETTINGS = "/usr/local/etc/gemrc"
_NODE_ENTRY_POINT = "/usr/local/bin/docker-entrypoint.sh"
_NODE_MARK = 'set -- node "$@"'
_MAX_TEXT = 256 << 10


def claim(subject: Subject) -> Claim | None:
    """Return the claim when what the image's template leaves is there."""
    layout = subject.layout
    if layout.prefix != "/usr/local" or subject.package is not None:
        return None
    proof: Evidence | None = None
    if layout.implementation is Implementation.CPYTHON:
        proof = _python(subject)
    elif layout.implementation is Implementation.RUBY:
        proof = _ruby(subject)
    elif layout.implementation is Implementation.NODEJS and _NODE_MARK in _text(subject.root, _NODE_ENTRY_POINT):
        proof = Evidence("provider", EvidenceKind.TEXT_LINE, _NODE_ENTRY_POINT, _NODE_MARK)
    return None if proof is None else Claim(Provider.DOCKER_OFFICIAL, evidence=(proof,))


def _python(subject: Subject) -> Evidence | None:
    layout = subject.layout
    if layout.sysconfig_file is None:
        return None
    arguments = configure_arguments(dict(layout.sysconfig))
    return _configured(layout.sysconfig_file, arguments, _PYTHON_MARKS, "CONFIG_ARGS")


def _ruby(subject: Subject) -> Evidence | None:
    """Ask for the template's settings of RubyGems too: its arguments of configure are few."""
    file = subject.layout.sysconfig_file
    if file is None or "--no-document" not in _text(subject.root, _RUBY_SETTINGS):
        return None
    match = _RUBY_ARGUMENTS.search(_text(subject.root, file))
    arguments = [] if match is None else configure_arguments({"CONFIG_ARGS": match[1]})
    return _configured(file, arguments, _RUBY_MARKS, "configure_args")


def _configured(file: str, arguments: list[str], marks: tuple[str, ...], name: str) -> Evidence | None:
    has_prefix = any(argument.startswith("--prefix") for argument in arguments)
    if has_prefix or not all(mark in arguments for mark in marks):
        return None
    return Evidence("provider", EvidenceKind.TEXT_LINE, shown(file), f"{name}: {' '.join(marks)}")


def _text(root: Root, path: str) -> str:
    try:
        return root.read_text(path, _MAX_TEXT)
    except UnreadableError:
        return ""
