"""What is told where a Python has no TLS of its own, as the bundle's: the same as far as it can be known."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

from libcensus.agent.enrollment import fetch_ca
from libcensus.agent.errors import UnreachableError
from libcensus.agent.handshake import can_shake_hands, problem_of_pair, served_validity
from libcensus.agent.target import parse_target
from tests.agent.authority import Authority, key_pem, publishing

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture(params=["with-ssl", "without-ssl"])
def tls(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> bool:
    """Whether the standard library has TLS: with None in its place, ``import ssl`` fails as where there is none."""
    if request.param == "without-ssl":
        monkeypatch.setitem(sys.modules, "ssl", None)
    return bool(request.param == "with-ssl")


def write_pair(folder: Path, authority: Authority) -> tuple[Path, Path]:
    key = ec.generate_private_key(ec.SECP256R1())
    leaf = authority.client("a" * 32, key.public_key())
    chain, own = folder / "chain.pem", folder / "key.pem"
    chain.write_bytes(leaf.public_bytes(serialization.Encoding.PEM))
    own.write_bytes(key_pem(key))
    return chain, own


def test_a_pair_is_judged_alike_with_and_without_the_standard_librarys_tls(tls: bool, tmp_path: Path) -> None:
    assert can_shake_hands() is tls
    authority = Authority()
    chain, key = write_pair(tmp_path, authority)
    assert problem_of_pair(chain, key, authority.pem) is None
    assert problem_of_pair(chain, key, b"nothing") == "collector.ca holds no certificate in PEM"
    assert problem_of_pair(tmp_path / "absent", key, authority.pem) is not None
    good = key.read_bytes()
    key.write_bytes(key_pem(ec.generate_private_key(ec.SECP256R1())))
    assert problem_of_pair(chain, key, authority.pem) == f"the key in {key} is not that of the certificate in {chain}"
    wrong = f"{chain} and {key} must hold a certificate and its unencrypted key in PEM"
    key.write_bytes(b"nothing")
    assert problem_of_pair(chain, key, authority.pem) == wrong
    encrypted = serialization.BestAvailableEncryption(b"secret")
    private = serialization.load_pem_private_key(good, None)
    key.write_bytes(private.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, encrypted))
    assert problem_of_pair(chain, key, authority.pem) == wrong
    key.write_bytes(good)
    chain.write_bytes(b"nothing")
    assert problem_of_pair(chain, key, authority.pem) == wrong


def test_a_ca_that_https_alone_offers_is_not_fetched_without_tls_and_the_file_is_the_way_out(
    tls: bool, tmp_path: Path
) -> None:
    authority = Authority()
    key, chain = authority.server()
    (tmp_path / "pair.pem").write_bytes(key + chain)
    with publishing(authority.pem, pair=tmp_path / "pair.pem") as (port, _):
        if tls:
            assert list(fetch_ca(parse_target("127.0.0.1"), port, timeout=5).values()) == [authority.pem]
            return
        with pytest.raises(UnreachableError, match="speaks no HTTPS by itself") as caught:
            fetch_ca(parse_target("127.0.0.1"), port, timeout=5)
        assert "give it with --ca FILE" in str(caught.value)


def test_nothing_is_told_of_a_servers_times_without_tls(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ssl", None)
    assert served_validity(parse_target("127.0.0.1:1"), b"") is None
