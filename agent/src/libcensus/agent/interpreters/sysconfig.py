"""Reads the variables of a CPython's own build from ``_sysconfigdata*.py``, as text.

The file is Python source that CPython would import; here only the wanted entries of its one dictionary are picked out,
so that a crafted file costs no more than one pass over its text. It never evaluates the file.
"""

from __future__ import annotations

import ast
import re

WANTED = (
    "ABIFLAGS",
    "CFLAGS",
    "CONFIG_ARGS",
    "CONFIGURE_CFLAGS_NODIST",
    "CONFIGURE_LDFLAGS_NODIST",
    "DEF_MAKE_ALL_RULE",
    "EXT_SUFFIX",
    "HOST_GNU_TYPE",
    "LDFLAGS",
    "PGO_PROF_USE_FLAG",
    "PY_CFLAGS",
    "PY_CORE_CFLAGS",
    "PY_CORE_LDFLAGS",
    "PYTHON_BUILD_STANDALONE",
    "PY_LDFLAGS",
    "Py_DEBUG",
    "Py_GIL_DISABLED",
    "Py_TRACE_REFS",
    "VERSION",
    "prefix",
)
"""The variables that decide on flags, provider and layout."""

_ENTRY = re.compile(
    r"""^[ {]*['"](?P<name>"""
    + "|".join(WANTED)
    + r""")['"]:\s*(?P<value>-?\d+|(?:(?:'(?:[^'\\\n]|\\.)*'|"(?:[^"\\\n]|\\.)*")\s*)+)[,}]""",
    re.MULTILINE,
)
_START = re.compile(r"^(?:build_time_vars|build_time_vars_\w+) *= *\{", re.MULTILINE)
_MAX_VALUE = 64 << 10


def parse_sysconfig(text: str) -> dict[str, str] | None:
    """Return the wanted variables of a ``_sysconfigdata`` module's text; None when it holds no ``build_time_vars``."""
    start = _START.search(text)
    if start is None:
        return None
    # The first entry may stand on the line of the brace.
    body = "{" + text[start.end() :]
    values: dict[str, str] = {}
    for match in _ENTRY.finditer(body):
        raw = match["value"].strip()
        if len(raw) > _MAX_VALUE or match["name"] in values:
            continue
        try:
            # Only string literals beside each other, or a number, can match the pattern above.
            values[match["name"]] = str(ast.literal_eval(f"({raw})"))
        except (ValueError, SyntaxError):
            continue
    return values


def configure_arguments(values: dict[str, str]) -> list[str]:
    """Return the arguments of ``configure`` that CONFIG_ARGS quotes, in order."""
    return re.findall(r"'([^']*)'", values.get("CONFIG_ARGS", ""))
