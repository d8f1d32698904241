"""Reads the rows of ``data/quirks.json``: known behaviours of providers' builds, written by hand from their sources.

A misspelt condition would make a rule match more than its source says, so that every word must be one that is known:
what is not is refused, with the row, when the snapshot is loaded.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from libcensus.collector.posture.quirks import KnownQuirk, Quirk, QuirkRule, Span
from libcensus.facts.vocabulary import Implementation, Installer, InstallKind, LoaderKind, Provider

if TYPE_CHECKING:
    from collections.abc import Container

_KEYS = frozenset({"id", "title", "means", "advice", "source", "rule"})
_WORDS = {
    "implementations": Implementation,
    "providers": Provider,
    "kinds": InstallKind,
    "installers": Installer,
    "unless_installers": Installer,
    "loaders": LoaderKind,
}
_TEXTS = frozenset({"vendors", "flags", "any_flag", "needs", "lacks_module"})
_SPANS = frozenset({"versions", "builds"})


def known_quirk(row: dict[str, Any]) -> KnownQuirk:
    """Return the quirk of a row; raises ValueError, KeyError or TypeError for one that says nothing or too much."""
    _check_keys("", row, _KEYS)
    quirk = Quirk(**{name: _text(name, row[name]) for name in ("id", "title", "means", "advice", "source")})
    return KnownQuirk(quirk, quirk_rule(row["rule"]))


def quirk_rule(conditions: dict[str, Any]) -> QuirkRule:
    """Return the rule that conditions by name make up; raises ValueError for a name or word that is not known."""
    _check_keys("rule: ", conditions, _WORDS.keys() | _TEXTS | _SPANS)
    found: dict[str, Any] = {}
    for name, value in conditions.items():
        if name in _SPANS:
            _check_keys(f"rule: {name}: ", value, ("since", "before"))
            found[name] = Span(**{end: _text(end, text) for end, text in value.items()})
        else:
            texts = frozenset(_text(name, text) for text in value)
            if not texts or isinstance(value, str):
                raise ValueError(f"rule: {name} is no list of words")
            found[name] = frozenset(_WORDS[name](text) for text in texts) if name in _WORDS else texts
    return QuirkRule(**found)


def _check_keys(place: str, row: dict[str, Any], known: Container[str]) -> None:
    for name in row:
        if name not in known:
            raise ValueError(f"{place}{name!r} is not known")


def _text(name: str, value: object) -> str:
    if not isinstance(value, str):
        raise TypeError(f"{name} is no text")
    return value
