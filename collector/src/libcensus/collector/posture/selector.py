"""Labels of hosts, and selectors that choose hosts by them.

The syntax is that of Kubernetes, because operators know it: a key is a name of at most 63 characters, with the prefix
of a domain and a slash before it where it has one; a value is empty or such a name. A selector is a list of
requirements that must all hold.
https://kubernetes.io/docs/concepts/overview/working-with-objects/labels/
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Self

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

LONGEST_SELECTOR = 4096
"""Characters that a selector may have."""

MOST_LABELS = 64
"""Labels that one host may have."""

_NAME = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9_.-]{0,61}[A-Za-z0-9])?")
_DOMAIN = re.compile(r"(?=.{1,253}\Z)[a-z0-9](?:[a-z0-9-]*[a-z0-9])?(?:\.[a-z0-9](?:[a-z0-9-]*[a-z0-9])?)*")
_KEY_RULE = (
    "a key is at most 63 letters, digits, '-', '_' and '.', and begins and ends with a letter or digit; a domain in "
    "lower case and a slash may stand before it"
)
_VALUE_RULE = "a value is empty, or at most 63 letters, digits, '-', '_' and '.' between letters or digits"
_SET = re.compile(r"(?P<key>\S+)\s+(?P<word>in|notin)\s*\((?P<values>[^()]*)\)")


class InvalidLabelError(ValueError):
    """A key, a value or a selector that is none; the text says what is wrong with which, and what is allowed."""


class Operator(StrEnum):
    """What a requirement asks of a label."""

    IN = "in"
    NOT_IN = "notin"
    EXISTS = "exists"
    ABSENT = "absent"


def check_key(key: str) -> str:
    """Return the key of a label; raises InvalidLabelError where it is none."""
    prefix, slash, name = key.rpartition("/")
    if _NAME.fullmatch(name) is None or (slash and _DOMAIN.fullmatch(prefix) is None):
        raise InvalidLabelError(f"{_shown(key)} is no key of a label: {_KEY_RULE}")
    return key


def check_value(value: str) -> str:
    """Return the value of a label; raises InvalidLabelError where it is none."""
    if value and _NAME.fullmatch(value) is None:
        raise InvalidLabelError(f"{_shown(value)} is no value of a label: {_VALUE_RULE}")
    return value


def parse_labels(words: Iterable[str]) -> Mapping[str, str]:
    """Return the labels of words such as ``env=prod``; raises InvalidLabelError, also for a key that is there twice."""
    labels: dict[str, str] = {}
    for word in words:
        key, equals, value = word.partition("=")
        if not equals:
            raise InvalidLabelError(f"{_shown(word)} sets no label: write KEY=VALUE, such as env=prod")
        if check_key(key) in labels:
            raise InvalidLabelError(f"the label {key!r} is given twice")
        labels[key] = check_value(value)
    return labels


@dataclass(frozen=True, slots=True)
class Requirement:
    """One condition on one label; ``values`` are sorted, and empty where only presence is asked."""

    key: str
    operator: Operator
    values: tuple[str, ...] = ()

    def matches(self, labels: Mapping[str, str]) -> bool:
        """Tell whether labels meet it; a label that is not there is different from every value."""
        value = labels.get(self.key)
        match self.operator:
            case Operator.IN:
                return value in self.values
            case Operator.NOT_IN:
                return value not in self.values
            case Operator.EXISTS:
                return value is not None
            case Operator.ABSENT:
                return value is None

    def __str__(self) -> str:
        """Return the requirement as a selector writes it, without spaces where that can be."""
        if self.operator is Operator.EXISTS:
            return self.key
        if self.operator is Operator.ABSENT:
            return f"!{self.key}"
        if len(self.values) == 1:
            return f"{self.key}{'=' if self.operator is Operator.IN else '!='}{self.values[0]}"
        return f"{self.key} {self.operator.value} ({','.join(self.values)})"


@dataclass(frozen=True, slots=True)
class Selector:
    """Requirements that must all hold; sorted, so that equal selectors are equal however they were written."""

    requirements: tuple[Requirement, ...]

    @classmethod
    def parse(cls, text: str) -> Self:
        """Return the selector of a text such as ``env=prod,team!=web,!legacy,zone in (a,b)``.

        Raises InvalidLabelError for anything else, the empty text among it: it would choose every host.
        """
        if len(text) > LONGEST_SELECTOR:
            raise InvalidLabelError(f"the selector has {len(text)} characters; at most {LONGEST_SELECTOR} are allowed")
        found = {_requirement(part.strip(), text) for part in _parts(text)}
        return cls(tuple(sorted(found, key=lambda one: (one.key, one.operator, one.values))))

    def matches(self, labels: Mapping[str, str]) -> bool:
        """Tell whether a host with these labels is chosen."""
        return all(requirement.matches(labels) for requirement in self.requirements)

    def unknown_keys(self, labels: Iterable[Mapping[str, str]]) -> tuple[str, ...]:
        """Return its keys that none of these hosts has a label of, sorted: likely a slip of who wrote it.

        A label that must not be there is none of them: that no host has it is what was hoped for.
        """
        wanted = {one.key for one in self.requirements if one.operator is not Operator.ABSENT}
        for own in labels:
            if not wanted:
                break
            wanted.difference_update(own)
        return tuple(sorted(wanted))

    def __str__(self) -> str:
        """Return the selector as it is written."""
        return ",".join(map(str, self.requirements))


def _parts(text: str) -> list[str]:
    """Return what stands between the commas that are in no parentheses."""
    parts, depth = [""], 0
    for character in text:
        depth += (character == "(") - (character == ")")
        if character == "," and depth == 0:
            parts.append("")
        else:
            parts[-1] += character
    return parts


def _requirement(part: str, text: str) -> Requirement:
    if not part:
        raise InvalidLabelError(
            f"the selector {_shown(text)} holds an empty condition; write KEY=VALUE, KEY!=VALUE, KEY, !KEY or "
            "KEY in (A,B)"
        )
    within = _SET.fullmatch(part)
    if within is not None:
        values = tuple(sorted({check_value(value.strip()) for value in within["values"].split(",")}))
        return Requirement(check_key(within["key"]), Operator(within["word"]), values)
    for sign, operator in (("!=", Operator.NOT_IN), ("==", Operator.IN), ("=", Operator.IN)):
        key, found, value = part.partition(sign)
        if found:
            return Requirement(check_key(key.strip()), operator, (check_value(value.strip()),))
    if part.startswith("!"):
        return Requirement(check_key(part[1:].strip()), Operator.ABSENT)
    return Requirement(check_key(part), Operator.EXISTS)


def _shown(text: str) -> str:
    return repr(text if len(text) <= 80 else f"{text[:80]}…")
