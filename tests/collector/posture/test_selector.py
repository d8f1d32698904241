"""Labels and selectors: Kubernetes' syntax, and what a selector chooses."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from libcensus.collector.posture.selector import (
    InvalidLabelError,
    Operator,
    Requirement,
    Selector,
    check_key,
    check_value,
    parse_labels,
)

NAMES = st.from_regex(r"[A-Za-z0-9]([A-Za-z0-9_.-]{0,8}[A-Za-z0-9])?", fullmatch=True)
KEYS = NAMES | st.tuples(st.from_regex(r"[a-z0-9]{1,5}(\.[a-z0-9]{1,5}){0,2}", fullmatch=True), NAMES).map("/".join)
VALUES = NAMES | st.just("")
REQUIREMENTS = st.one_of(
    st.builds(
        Requirement,
        KEYS,
        st.sampled_from([Operator.IN, Operator.NOT_IN]),
        st.sets(VALUES, min_size=1, max_size=3).map(lambda values: tuple(sorted(values))),
    ),
    st.builds(Requirement, KEYS, st.sampled_from([Operator.EXISTS, Operator.ABSENT])),
)
LABELS = st.dictionaries(KEYS, VALUES, max_size=4)


@given(st.lists(REQUIREMENTS, min_size=1, max_size=4))
def test_a_selector_is_read_back_as_it_is_written(requirements: list[Requirement]) -> None:
    selector = Selector.parse(",".join(map(str, requirements)))
    assert set(selector.requirements) == set(requirements)
    assert Selector.parse(str(selector)) == selector


@given(st.lists(REQUIREMENTS, min_size=1, max_size=4), LABELS)
def test_a_selector_chooses_what_every_requirement_does(
    requirements: list[Requirement], labels: dict[str, str]
) -> None:
    selector = Selector.parse(",".join(map(str, requirements)))
    assert selector.matches(labels) == all(one.matches(labels) for one in requirements)


@given(LABELS, st.lists(KEYS, min_size=1, max_size=3), VALUES)
def test_a_requirement_and_its_opposite(labels: dict[str, str], keys: list[str], value: str) -> None:
    for key in keys:
        assert Selector.parse(f"{key}={value}").matches(labels) is not Selector.parse(f"{key}!={value}").matches(labels)
        assert Selector.parse(key).matches(labels) is not Selector.parse(f"!{key}").matches(labels)


@given(st.text(max_size=30))
def test_any_text_is_a_selector_or_told_to_be_none(text: str) -> None:
    try:
        selector = Selector.parse(text)
    except InvalidLabelError:
        return
    assert Selector.parse(str(selector)) == selector


@given(LABELS)
def test_labels_are_read_back(labels: dict[str, str]) -> None:
    assert parse_labels(f"{key}={value}" for key, value in labels.items()) == labels


@pytest.mark.parametrize(
    ("selector", "chosen"),
    [
        ("env=prod", {"a", "b"}),
        ("env==prod", {"a", "b"}),
        ("env != prod", {"c", "d"}),
        ("env=prod,team=web", {"a"}),
        ("env=prod, team!=web", {"b"}),
        ("env", {"a", "b", "c"}),
        ("!env", {"d"}),
        ("! env", {"d"}),
        ("env in (prod, staging),team notin (web)", {"b", "c"}),
        ("team=", {"c"}),
        ("env=prod,env=staging", set()),
    ],
)
def test_what_a_selector_chooses(selector: str, chosen: set[str]) -> None:
    hosts = {"a": {"env": "prod", "team": "web"}, "b": {"env": "prod"}, "c": {"env": "staging", "team": ""}, "d": {}}
    assert {name for name, labels in hosts.items() if Selector.parse(selector).matches(labels)} == chosen


@pytest.mark.parametrize(
    ("selector", "message"),
    [
        ("", "holds an empty condition; write KEY=VALUE"),
        ("env=prod,", "holds an empty condition"),
        ("=prod", "'' is no key of a label: a key is at most 63"),
        ("env=a b", "'a b' is no value of a label: a value is empty"),
        ("env in prod", "'env in prod' is no key"),
        ("env in (a b)", "'a b' is no value"),
        ("a/b/c=x", "'a/b/c' is no key"),
        ("UPPER.example/x", "'UPPER.example/x' is no key"),
        ("/x", "'/x' is no key"),
        (f"{'k' * 64}=x", "…' is no key|' is no key"),
        (f"k={'v' * 64}", "' is no value"),
        ("k" * 5000, "has 5000 characters; at most 4096 are allowed"),
    ],
)
def test_what_is_no_selector(selector: str, message: str) -> None:
    with pytest.raises(InvalidLabelError, match=message):
        Selector.parse(selector)


def test_the_longest_there_are() -> None:
    key = f"{'d' * 253}/{'k' * 63}"
    assert check_key(key) == key
    assert check_value("v" * 63) == "v" * 63
    with pytest.raises(InvalidLabelError, match="is no key"):
        check_key(f"{'d' * 254}/k")


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["env"], "'env' sets no label: write KEY=VALUE, such as env=prod"),
        (["env=a", "env=b"], "the label 'env' is given twice"),
        (["env=a=b"], "'a=b' is no value"),
        (["-env=a"], "'-env' is no key"),
    ],
)
def test_what_sets_no_label(words: list[str], message: str) -> None:
    with pytest.raises(InvalidLabelError, match=message):
        parse_labels(words)
