"""Texts in an interpreter's code are found wherever the pieces of a file are cut, and cost one pass at most."""

from __future__ import annotations

import re
import time
from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from libcensus.agent.elf.reader import BytesSource
from libcensus.agent.interpreters import nodejs, perl, php, pypy, ruby, texts
from libcensus.agent.interpreters.ruby import parse_rbconfig
from libcensus.agent.interpreters.texts import holds_texts, matches

if TYPE_CHECKING:
    from collections.abc import Callable

WORD = re.compile(rb"word-(\d{1,3})(?![0-9])")

PATTERNS = {
    "node-version": nodejs._VERSION_TEXT,
    "node-release": nodejs._RELEASE,
    "ruby-version": ruby._VERSION_TEXT,
    "perl-folders": perl._FOLDER_TEXT,
    "perl-version": perl._VERSION_TEXT,
    "php-version": php._VERSION_TEXT,
    "php-folders": php._FOLDER_TEXT,
    "php-settings": php._SETTINGS_TEXT,
    "php-interface": php._MODULE_API,
    "pypy-version": pypy._VERSION_TEXT,
    "pypy-language": pypy._BEHIND_LANGUAGE,
}


@given(data=st.lists(st.sampled_from([b"word-1", b"word-22", b"word-333", b"\0", b"x", b"wor", b"d-4"]), max_size=60))
@settings(deadline=None)
def test_result_does_not_depend_on_where_the_file_is_cut(data: list[bytes]) -> None:
    content = b"".join(data)
    expected: dict[str, int] = {}
    for match in WORD.finditer(content):
        expected.setdefault(match[1].decode(), match.start(1))
    with pytest.MonkeyPatch.context() as patch:
        for window, overlap in ((7, 16), (64, 16), (1 << 20, 512)):
            patch.setattr(texts, "_WINDOW", window)
            patch.setattr(texts, "_OVERLAP", overlap)
            assert matches(BytesSource(content), WORD) == expected


def test_matches_stop_at_their_bound() -> None:
    content = b"".join(b"word-%d " % number for number in range(900))
    assert len(matches(BytesSource(content), WORD, 10)) == 10
    assert len(matches(BytesSource(content), WORD)) == texts.MAX_MATCHES


def test_texts_across_a_cut_are_held() -> None:
    content = b"x" * ((1 << 20) - 3) + b"wanted" + b"y" * 100
    assert holds_texts(BytesSource(content), (b"wanted", b"yyy"))
    assert not holds_texts(BytesSource(content), (b"wanted", b"zzz"))


HOSTILE: dict[str, Callable[[int], bytes]] = {
    "nuls and slashes": lambda size: b"\0/" * (size // 2),
    "one endless path": lambda size: b"\0/" + b"perl/" * (size // 5),
    "many long paths": lambda size: (b"\0/" + b"perl" * 79 + b"\x80") * (size // 320),
    "digits": lambda size: b"\0" + b"5." * (size // 2),
    "starts of texts": lambda size: b"node.js/v1.ruby 1.[PyPy X-Powered-By: PHP/1." * (size // 46),
    "folders": lambda size: b"\0/" + b"12345678/modules/conf.d/" * (size // 24),
}


@pytest.mark.parametrize("name", sorted(HOSTILE))
@pytest.mark.parametrize("pattern", sorted(PATTERNS))
def test_cost_of_hostile_bytes_grows_with_their_number_only(name: str, pattern: str) -> None:
    costs = []
    for size in (1 << 18, 1 << 20):
        source = BytesSource(HOSTILE[name](size))
        started = time.process_time()
        matches(source, PATTERNS[pattern])
        costs.append(time.process_time() - started)
    # Four times the bytes may cost eight times the time and a moment; a pattern that backtracks costs sixteen and more.
    assert costs[1] <= 8 * costs[0] + 0.25


@given(st.text(max_size=400))
def test_any_configuration_of_ruby_is_parsed_without_error(text: str) -> None:
    assert isinstance(parse_rbconfig(text), dict)


@given(
    st.lists(st.sampled_from(['  CONFIG["a"] = "', "$(a)", '"\n', "\\", "\n", "(TOPDIR || DESTDIR + "]), max_size=80)
)
def test_pieces_of_a_configuration_of_ruby_are_parsed_without_error(pieces: list[str]) -> None:
    assert isinstance(parse_rbconfig("".join(pieces)), dict)
