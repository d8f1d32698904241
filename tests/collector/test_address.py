"""Where the collector may listen: loopback, and nothing that merely looks like it."""

from __future__ import annotations

import socket

import pytest

from libcensus.collector.address import Endpoint, probe_endpoints, require_loopback, resolve, split_address
from libcensus.collector.errors import ConfigurationError


def resolve_loopback(text: str) -> tuple[Endpoint, ...]:
    endpoints = resolve("listen", text)
    require_loopback("listen", text, endpoints, "nothing protects it", "make it safe")
    return endpoints


@pytest.mark.parametrize(
    ("text", "host", "port"),
    [
        ("127.0.0.1:9444", "127.0.0.1", 9444),
        ("localhost:0", "localhost", 0),
        ("[::1]:9444", "::1", 9444),
        ("example.org:65535", "example.org", 65535),
    ],
)
def test_an_address_is_host_and_port(text: str, host: str, port: int) -> None:
    assert split_address("listen", text) == (host, port)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("127.0.0.1", "not ADDRESS:PORT"),
        (":9444", "not ADDRESS:PORT"),
        ("", "not ADDRESS:PORT"),
        ("::1:9444", "in brackets"),
        ("127.0.0.1:", "not a port"),
        ("127.0.0.1:65536", "not a port"),
        ("127.0.0.1:-1", "not a port"),
        ("127.0.0.1:9444 ", "not a port"),
        ("127.0.0.1:٣", "not a port"),
        ("unix:/run/x.sock", "not a port"),
    ],
)
def test_what_is_no_address_is_refused_with_the_settings_name(text: str, said: str) -> None:
    with pytest.raises(ConfigurationError) as refused:
        split_address("http_listen", text)
    assert str(refused.value).startswith("http_listen: ")
    assert said in str(refused.value)


@pytest.mark.parametrize("text", ["127.0.0.1:1", "127.255.0.9:1", "[::1]:1", "[::ffff:127.0.0.1]:1", "localhost:1"])
def test_loopback_is_allowed(text: str) -> None:
    assert all(endpoint.port == 1 for endpoint in resolve_loopback(text))


@pytest.mark.parametrize(
    "text",
    [
        "0.0.0.0:9444",
        "[::]:9444",
        "192.0.2.1:9444",
        "[2001:db8::1]:9444",
        "[::ffff:192.0.2.1]:9444",
        "169.254.1.1:9444",
        "10.0.0.1:9444",
        "0:9444",
    ],
)
def test_anything_else_is_refused_and_what_to_do_is_said(text: str) -> None:
    with pytest.raises(ConfigurationError) as refused:
        resolve_loopback(text)
    message = str(refused.value)
    assert message.startswith("listen: ")
    for words in ("reached from other hosts", "127.0.0.1:9444", "nothing protects it", "make it safe"):
        assert words in message


def test_a_name_is_allowed_only_if_every_address_behind_it_is_loopback(monkeypatch: pytest.MonkeyPatch) -> None:
    def resolve(host: str, port: None, type: int) -> list[tuple[object, ...]]:  # noqa: A002  the library's own name
        return [(None, None, None, "", ("127.0.0.1", 0)), (None, None, None, "", ("192.0.2.7", 0))]

    monkeypatch.setattr(socket, "getaddrinfo", resolve)
    with pytest.raises(ConfigurationError, match=r"mixed\.example \(192\.0\.2\.7\) can be reached"):
        resolve_loopback("mixed.example:1")


def test_a_name_that_cannot_be_resolved_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    def resolve(host: str, port: None, type: int) -> list[tuple[object, ...]]:  # noqa: A002  the library's own name
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", resolve)
    with pytest.raises(ConfigurationError, match=r"'nowhere\.invalid' cannot be resolved: Name or service not known"):
        resolve_loopback("nowhere.invalid:1")


@pytest.mark.parametrize("host", ["a" * 300, ".", "a..b", "%"], ids=["long", "dot", "empty label", "percent"])
def test_a_name_that_is_no_name_is_told(host: str) -> None:
    with pytest.raises(ConfigurationError):
        resolve_loopback(f"{host}:1")


def test_an_interface_is_no_part_of_an_address() -> None:
    with pytest.raises(ConfigurationError, match="names a network interface"):
        resolve("listen", "[fe80::1%lo]:1")


def test_a_port_in_use_is_named() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen(1)
        endpoint = Endpoint("127.0.0.1", taken.getsockname()[1])
        with pytest.raises(ConfigurationError) as refused:
            probe_endpoints("listen", (endpoint,))
    assert f"listen: {endpoint} is in use" in str(refused.value)


def test_a_free_port_is_free_and_one_family_is_enough() -> None:
    loopback = Endpoint("127.0.0.1", 0)
    # 2001:db8::/32 is for documentation and on no interface: it stands for an address family that the host lacks.
    absent = Endpoint("2001:db8::1", 0)
    assert probe_endpoints("listen", (absent, loopback)) == (loopback,)
    with pytest.raises(ConfigurationError, match="cannot be bound"):
        probe_endpoints("listen", (absent,))


@pytest.mark.parametrize(
    ("endpoint", "shown"), [(Endpoint("127.0.0.1", 1), "127.0.0.1:1"), (Endpoint("::1", 2), "[::1]:2")]
)
def test_an_endpoint_is_written_as_urls_write_it(endpoint: Endpoint, shown: str) -> None:
    assert str(endpoint) == shown
