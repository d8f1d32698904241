"""Join tokens: their text, what is kept of them, and that no error repeats one."""

from __future__ import annotations

import hashlib
import traceback
from contextlib import suppress
from dataclasses import replace

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from libcensus.collector.pki.errors import TokenError
from libcensus.collector.pki.tokens import is_token_id, make_token, parse_token
from tests.collector.pki.made import HOUR, NOON


def test_a_token_is_kept_without_its_secret() -> None:
    kept, text = make_token(NOON, HOUR, uses=3, hostname="web-1", labels={"env": "prod"}, replaces=True)
    prefix, token_id, secret = text.split("-")
    assert (prefix, token_id, len(text)) == ("lct1", kept.token_id, 66)
    assert is_token_id(token_id)
    assert kept.secret_sha256 == hashlib.sha256(secret.encode()).digest()
    assert (kept.created_at, kept.expires_at) == (NOON, NOON + HOUR)
    assert (kept.uses, kept.uses_left, kept.hostname, kept.labels) == (3, 3, "web-1", {"env": "prod"})
    assert kept.replaces
    assert secret not in repr(kept)


def test_what_was_made_is_read_again_and_proves_itself_alone() -> None:
    kept, text = make_token(NOON, HOUR)
    other, other_text = make_token(NOON, HOUR)
    for written in (text, f"  {text}\n"):
        assert parse_token(written).token_id == kept.token_id
        assert parse_token(written).proves(kept)
    assert not parse_token(other_text).proves(kept)
    # The id of one with the secret of another.
    mixed = f"lct1-{kept.token_id}-{other_text.split('-')[2]}"
    assert not parse_token(mixed).proves(kept)
    assert parse_token(mixed).proves(replace(other, token_id=kept.token_id))
    assert kept.secret_sha256.hex() not in repr(parse_token(text))


def test_no_two_tokens_are_alike() -> None:
    texts = [make_token(NOON, HOUR)[1] for _ in range(1000)]
    assert len({text.split("-")[1] for text in texts}) == len({text.split("-")[2] for text in texts}) == 1000


@given(st.text(max_size=300))
@example("")
@example("lct1-aaaaaaaa-" + "a" * 51)
@example("lct1-aaaaaaaa-" + "a" * 53)
@example("lct2-aaaaaaaa-" + "a" * 52)
@example("lct1-aaaaaaaa-" + "1" * 52)
@example("LCT1-AAAAAAAA-" + "A" * 52)
@example(" " * 1000 + "lct1-aaaaaaaa-" + "a" * 52)
@example("lct1-aaaaaaaa-" + "а" * 52)  # noqa: RUF001 - Cyrillic letters are no token
def test_what_is_no_token_is_refused_without_being_repeated(text: str) -> None:
    with pytest.raises(TokenError) as caught:
        parse_token(text)
    told = "".join(traceback.format_exception(caught.value)) + repr(caught.value)
    assert len(text.strip()) < 8 or text.strip() not in told


@given(st.integers(0, 65), st.characters())
def test_a_token_with_one_character_changed_is_refused_or_proves_nothing(place: int, character: str) -> None:
    kept, text = make_token(NOON, HOUR)
    changed = text[:place] + character + text[place + 1 :]
    with suppress(TokenError):
        presented = parse_token(changed)
        assert (presented.token_id == kept.token_id and presented.proves(kept)) == (changed.strip() == text)


@pytest.mark.parametrize("text", ["", "a" * 7, "a" * 9, "A" * 8, "0" * 8, "../../..", "aaaaaaa\n"])
def test_what_is_no_id_of_a_token(text: str) -> None:
    assert not is_token_id(text)
