"""The names, tags and records of wheels."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from packaging.utils import InvalidWheelFilename, parse_wheel_filename

from libcensus.agent.artefact.wheel import location_of, parse_name
from libcensus.agent.errors import ArtefactError

GOOD = (
    "pip-25.0-py3-none-any.whl",
    "six-1.16.0-py2.py3-none-any.whl",
    "numpy-2.4.0-cp312-cp312-manylinux_2_27_x86_64.manylinux_2_28_x86_64.whl",
    "cryptography-46.0-cp311-abi3-musllinux_1_2_aarch64.whl",
    "thing-1.0-1-cp39-cp39-linux_x86_64.whl",
    "thing-1.0+local.1-20240101_a-cp313-cp313t-win_amd64.whl",
    "pkg-1!2.0-pp310-pypy310_pp73-macosx_10_15_x86_64.whl",
)


@pytest.mark.parametrize("name", GOOD)
def test_tags_are_those_that_installers_take_from_the_name(name: str) -> None:
    _, _, _, tags = parse_wheel_filename(name)
    assert {str(tag) for tag in parse_name(name).tags} == {str(tag) for tag in tags}


def test_a_variant_is_the_last_part_behind_the_tags() -> None:
    named = parse_name("numpy-2.4.0-1-cp312-cp312-linux_x86_64-x86_64_v3.whl")
    assert (named.variant, [str(tag) for tag in named.tags]) == ("x86_64_v3", ["cp312-cp312-linux_x86_64"])


@pytest.mark.parametrize(
    "name",
    [
        "a.whl",
        ".whl",
        "a-1-py3-none.whl",
        "a--py3-none-any.whl",
        "a-1-py3-none-.whl",
        "a-1-py3-none-any.zip",
        "a-1-py3-no ne-any.whl",
        "a-1-py3..py2-none-any.whl",
        "a-1-x-py3-none-any-more-parts.whl",
        "a-1-" + ".".join(f"p{number}" for number in range(200)) + "-" + ".".join(map(str, range(200))) + "-any.whl",
        "a-1-" + "p" * 200 + "-none-any.whl",
    ],
)
def test_a_name_that_no_installer_takes_is_refused(name: str) -> None:
    with pytest.raises(ArtefactError):
        parse_name(name)


@given(st.text(alphabet="ap3-._1! \n", max_size=40))
def test_a_name_is_parsed_or_refused_and_agrees_with_installers(text: str) -> None:
    name = f"{text}.whl"
    try:
        named = parse_name(name)
    except ArtefactError:
        return
    try:
        _, _, _, tags = parse_wheel_filename(name)
    except InvalidWheelFilename:
        # Versions and names are checked by installers, and variants are newer than they are.
        return
    assert {str(tag) for tag in named.tags} == {str(tag) for tag in tags}


@pytest.mark.parametrize(
    ("name", "place"),
    [
        ("pkg/_x.so", "lib/python3/site-packages/pkg/_x.so"),
        ("pkg-1.data/purelib/pkg/_x.so", "lib/python3/site-packages/pkg/_x.so"),
        ("pkg-1.data/platlib/pkg/_x.so", "lib/python3/site-packages/pkg/_x.so"),
        ("pkg-1.data/scripts/tool", "bin/tool"),
        ("pkg-1.data/data/lib/libx.so", "lib/libx.so"),
        ("pkg-1.data/headers/x.h", "include/site/python3/x.h"),
        ("pkg-1.data/other/x", "lib/python3/site-packages/pkg-1.data/other/x"),
        ("pkg.data/x", "lib/python3/site-packages/pkg.data/x"),
    ],
)
def test_members_lie_where_installers_put_them(name: str, place: str) -> None:
    assert location_of(name) == place
