"""Runs one target under atheris; ``python -m fuzz`` starts it, in a process of its own.

The parsers are instrumented while they are imported, so this module must import them itself, and first.
"""

from __future__ import annotations

import sys

import atheris

INSTRUMENTED = [
    "libcensus.agent",
    "libcensus.collector.advisories",
    "libcensus.collector.pki",
    "libcensus.collector.service",
    "libcensus.facts",
    "fuzz.targets",
]

with atheris.instrument_imports(include=INSTRUMENTED):
    from fuzz.targets import TARGETS


def main() -> None:
    """Fuzz the target that the first argument names; the others are libFuzzer's."""
    (target,) = [target for target in TARGETS if target.name == sys.argv[1]]
    atheris.Setup([sys.argv[0], *sys.argv[2:]], target.feed)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
