"""Tells how a CPython was built, in flags, from its own build variables; a flag that nothing proves is left out.

A missing flag does not mean that the optimisation is missing: Debian, for one, edits these variables afterwards.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from libcensus.agent.interpreters.sysconfig import configure_arguments

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

_FLAG_VARIABLES = ("PY_CORE_CFLAGS", "PY_CORE_LDFLAGS", "PY_CFLAGS", "PY_LDFLAGS", "CFLAGS", "LDFLAGS")
_NODIST_VARIABLES = ("CONFIGURE_CFLAGS_NODIST", "CONFIGURE_LDFLAGS_NODIST")
_MARCH = re.compile(r"-march=x86-64-v([234])\b")

_CONFIGURE = (
    ("pgo", "--enable-optimizations"),
    ("lto", "--with-lto"),
    ("debug", "--with-pydebug"),
    ("free-threaded", "--disable-gil"),
    ("bolt", "--enable-bolt"),
    ("jit", "--enable-experimental-jit"),
    ("tail-call", "--with-tail-call-interp"),
    ("trace-refs", "--with-trace-refs"),
)
_VALUES = (
    ("debug", "Py_DEBUG", "1"),
    ("free-threaded", "Py_GIL_DISABLED", "1"),
    ("trace-refs", "Py_TRACE_REFS", "1"),
    ("pgo", "DEF_MAKE_ALL_RULE", "profile-opt"),
)


def flags_of(values: Mapping[str, str]) -> dict[str, str]:
    """Return each flag that the build variables prove, with the words that prove it."""
    found: dict[str, str] = {}
    for flag, proof in _proofs(values):
        found.setdefault(flag, proof)
    return found


def _proofs(values: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    arguments = configure_arguments(dict(values))
    for flag, argument in _CONFIGURE:
        for given in arguments:
            name, _, value = given.partition("=")
            if name == argument and value not in ("no", "yes-off"):
                yield flag, f"CONFIG_ARGS: {given}"
    for flag, variable, value in _VALUES:
        if values.get(variable) == value:
            yield flag, f"{variable}: {value}"
    for variable in (*_FLAG_VARIABLES, *_NODIST_VARIABLES):
        words = values.get(variable, "").split()
        for word in words:
            if word == "-flto" or word.startswith("-flto="):
                yield "lto", f"{variable}: {word}"
            elif word.startswith(("-fprofile-use", "-fprofile-instr-use")):
                yield "pgo", f"{variable}: {word.partition('=')[0]}"


def x86_64_level(values: Mapping[str, str]) -> tuple[int, str] | None:
    """Return the x86-64 level that the compiler was told to assume, with the words; None where it was told none."""
    for variable in _FLAG_VARIABLES:
        if match := _MARCH.search(values.get(variable, "")):
            return int(match[1]), f"{variable}: {match[0]}"
    return None
