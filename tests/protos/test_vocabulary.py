"""The words of the domain and the numbers of the contract are the same words, both ways."""

from __future__ import annotations

import inspect
import re
from enum import StrEnum
from typing import TYPE_CHECKING

import pytest

from libcensus.facts import vocabulary
from libcensus.facts.digest import FactKind
from libcensus.v1 import vocabulary_pb2

if TYPE_CHECKING:
    from collections.abc import Mapping

    from google.protobuf.descriptor import EnumDescriptor

DOMAIN: Mapping[str, type[StrEnum]] = {
    name: member
    for name, member in {**vars(vocabulary), "FactKind": FactKind}.items()
    if inspect.isclass(member) and issubclass(member, StrEnum) and member is not StrEnum
}
WIRE: Mapping[str, EnumDescriptor] = dict(vocabulary_pb2.DESCRIPTOR.enum_types_by_name)


def prefix(name: str) -> str:
    return re.sub(r"(?<!^)(?=[A-Z])", "_", name).upper()


def test_the_same_enumerations_are_on_both_sides() -> None:
    assert set(DOMAIN) == set(WIRE)


@pytest.mark.parametrize("name", sorted(DOMAIN))
def test_each_word_has_a_number_and_each_number_a_word(name: str) -> None:
    wire = {value.name.removeprefix(f"{prefix(name)}_") for value in WIRE[name].values}
    domain = {"UNSPECIFIED" if member.name == "UNKNOWN" else member.name for member in DOMAIN[name]}
    assert wire == domain


@pytest.mark.parametrize("name", sorted(WIRE))
def test_zero_is_unspecified_and_unknown_is_the_first_word(name: str) -> None:
    assert WIRE[name].values_by_number[0].name == f"{prefix(name)}_UNSPECIFIED"
    assert next(iter(DOMAIN[name])).name == "UNKNOWN"
    assert next(iter(DOMAIN[name])).value == "unknown"


@pytest.mark.parametrize("name", sorted(DOMAIN))
def test_words_are_written_in_lower_case(name: str) -> None:
    separator = "_" if name == "FactKind" else "-"
    for member in DOMAIN[name]:
        assert member.value == member.name.lower().replace("_", separator)
