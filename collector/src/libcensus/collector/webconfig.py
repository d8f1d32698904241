"""``web.config.yml``: TLS, users and headers of the HTTP pages, with the keys of Prometheus' exporter-toolkit.

https://github.com/prometheus/exporter-toolkit/blob/master/docs/web-configuration.md

The file and the certificates that it names are looked at before every connection and every request: what changed holds
from then on, and what is broken then leaves the last good state as it was, with an error in the log. No message holds
a password, a hash or a key.
"""

from __future__ import annotations

import logging
import re
import ssl
import stat
import threading
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeVar

import yaml
from cryptography import x509

from libcensus.collector.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime
    from pathlib import Path

_LOGGER = logging.getLogger(__name__)

_LONGEST_FILE = 1024 * 1024
_MOST_COST = 16
_HASH = re.compile(r"\$2[aby]\$([0-9]{2})\$[./A-Za-z0-9]{53}")
_VERSIONS = {"TLS12": ssl.TLSVersion.TLSv1_2, "TLS13": ssl.TLSVersion.TLSv1_3}
_CLIENT_AUTH = {
    "NoClientCert": ssl.CERT_NONE,
    "VerifyClientCertIfGiven": ssl.CERT_OPTIONAL,
    "RequireAndVerifyClientCert": ssl.CERT_REQUIRED,
}
_HEADERS = (
    "Content-Security-Policy",
    "Strict-Transport-Security",
    "X-Content-Type-Options",
    "X-Frame-Options",
    "X-XSS-Protection",
)
_REFUSED = {
    "tls_server_config.cert": "name the certificate's file with cert_file",
    "tls_server_config.key": "name the key's file with key_file",
    "tls_server_config.client_ca": "name the CA's file with client_ca_file",
    "tls_server_config.cipher_suites": "it is not supported: TLS 1.3 has few, and all of them are good",
    "tls_server_config.curve_preferences": "it is not supported: OpenSSL's own order is used",
    "rate_limit": "it is not supported: attempts that fail are bounded by themselves",
}
"""Keys of exporter-toolkit that mean something that is not done here: whoever wrote them is told."""

_Choice = TypeVar("_Choice")
_Stamp = tuple[tuple[str, int, int, int] | None, ...]


@dataclass(frozen=True)
class WebState:
    """What the file says now. Without ``tls`` pages are plaintext, without ``users`` everybody may read them.

    ``users`` holds bcrypt hashes by name. ``allowed_names`` are the subject alternative names of which a client's
    certificate must have one; empty: any. ``certificate_ends_at`` is the end of the server's certificate.
    """

    tls: ssl.SSLContext | None = None
    users: Mapping[str, bytes] = field(default_factory=dict, repr=False)
    headers: tuple[tuple[str, str], ...] = ()
    allowed_names: frozenset[str] = frozenset()
    certificate_ends_at: datetime | None = None

    @property
    def protects(self) -> bool:
        """Whether not everybody can read what is shown."""
        return self.tls is not None or bool(self.users)


class WebConfig:
    """The file as it is now, or was when it was good last. May be asked from any thread.

    With ``must_protect`` a file without TLS and without users is refused, also when it becomes one later: the pages
    can be reached from other hosts.
    """

    def __init__(self, path: Path, *, must_protect: bool) -> None:
        self._path = path
        self._must_protect = must_protect
        self._lock = threading.Lock()
        self._watched: tuple[Path, ...] = ()
        self._stamp: _Stamp = ()
        self._state = self._load()

    @property
    def current(self) -> WebState:
        """What holds now."""
        with self._lock:
            stamp = _stamp(self._watched)
            if stamp != self._stamp:
                try:
                    self._state = self._load()
                except ConfigurationError as error:
                    _LOGGER.error("%s; what was set before goes on", error)  # noqa: TRY400 - the text says it all
                else:
                    _LOGGER.info("%s was read anew", self._path)
            return self._state

    @property
    def named(self) -> tuple[Path, ...]:
        """The further files that it names: a certificate, its key, and the roots of clients where it has them."""
        return self._watched[1:]

    def certificate_ends(self) -> Mapping[str, datetime]:
        """Return until when the server's certificate is good, as ``http``; nothing without TLS."""
        ends_at = self.current.certificate_ends_at
        return {} if ends_at is None else {"http": ends_at}

    def _load(self) -> WebState:
        """Read everything; what is watched from then on is known whether it was good or not."""
        reader = _Reader(self._path)
        # Looked at before it is read: what changes meanwhile is another stamp than the one that is kept.
        own = _stamp((self._path,))
        try:
            state = reader.read()
        finally:
            self._watched, self._stamp = (self._path, *reader.named), (*own, *reader.stamps)
        if self._must_protect and not state.protects:
            raise ConfigurationError(
                f"web_config: {self._path} has neither tls_server_config nor basic_auth_users, and http_listen can be "
                "reached from other hosts: give it one of them, listen on loopback, or say that the pages may be open "
                "(http_open)"
            )
        if self._must_protect and state.tls is None:
            _LOGGER.warning(
                "web_config: %s has users and no TLS: passwords can be read on the way; add tls_server_config",
                self._path,
            )
        return state


class _Reader:
    """Reads one file; ``named`` are the further files that it names, ``stamps`` theirs before they were read."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self.named: tuple[Path, ...] = ()
        self.stamps: _Stamp = ()

    def read(self) -> WebState:
        """Return what the file says; raises ConfigurationError naming the key."""
        content = self._parse()
        self._known("", content, ("tls_server_config", "http_server_config", "basic_auth_users"))
        users = self._users(self._table(content, "basic_auth_users"))
        http = self._table(content, "http_server_config")
        self._known("http_server_config.", http, ("http2", "headers"))
        if self._boolean(http, "http_server_config.http2", default=False):
            _LOGGER.warning("web_config: %s: http_server_config.http2: only HTTP/1.1 is spoken", self._path)
        headers = self._headers(self._table(http, "headers", "http_server_config."))
        if "tls_server_config" not in content:
            return WebState(users=users, headers=headers)
        tls = self._table(content, "tls_server_config")
        context, names, ends_at = self._tls(tls)
        return WebState(context, users, headers, names, ends_at)

    def _parse(self) -> Mapping[Any, Any]:
        try:
            with self._path.open("rb") as file:
                raw = file.read(_LONGEST_FILE + 1)
        except OSError as error:
            raise ConfigurationError(f"web_config: {self._path} cannot be read: {error.strerror}") from None
        if len(raw) > _LONGEST_FILE:
            raise ConfigurationError(f"web_config: {self._path} is larger than {_LONGEST_FILE} bytes")
        try:
            content = yaml.load(raw, _UniqueKeys)  # noqa: S506 - a safe loader that refuses keys that stand twice
        except yaml.YAMLError as error:
            # Its own text shows the line, which may hold a hash.
            mark = getattr(error, "problem_mark", None)
            where = "" if mark is None else f" in line {mark.line + 1}"
            problem = getattr(error, "problem", None) or "it cannot be read"
            raise ConfigurationError(f"web_config: {self._path} is no YAML{where}: {problem}") from None
        except (UnicodeDecodeError, ValueError, RecursionError):
            raise ConfigurationError(f"web_config: {self._path} is no YAML in UTF-8") from None
        if content is None:
            return {}
        if not isinstance(content, dict):
            raise ConfigurationError(f"web_config: {self._path} holds no keys; see docs/http.md for an example")
        return content

    def _tls(self, table: Mapping[Any, Any]) -> tuple[ssl.SSLContext, frozenset[str], datetime]:
        prefix = "tls_server_config."
        self._known(
            prefix,
            table,
            (
                *("cert_file", "key_file", "client_auth_type", "client_ca_file", "client_allowed_sans"),
                *("min_version", "max_version", "prefer_server_cipher_suites"),
            ),
        )
        certificate, key = self._file(table, "cert_file"), self._file(table, "key_file")
        client_ca = self._file(table, "client_ca_file", is_needed=False)
        self.named = tuple(path for path in (certificate, key, client_ca) if path is not None)
        self.stamps = _stamp(self.named)
        auth = self._choice(table, "client_auth_type", _CLIENT_AUTH, "NoClientCert")
        lowest = self._choice(table, "min_version", _VERSIONS, "TLS13")
        highest = self._choice(table, "max_version", _VERSIONS, "TLS13")
        if lowest > highest:
            raise self._wrong(f"{prefix}min_version", "is above max_version")
        if (auth != ssl.CERT_NONE) != (client_ca is not None):
            raise self._wrong(
                f"{prefix}client_ca_file",
                "and client_auth_type belong together: VerifyClientCertIfGiven or RequireAndVerifyClientCert",
            )
        if certificate is None or key is None:
            raise AssertionError("both are needed")
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.minimum_version, context.maximum_version = lowest, highest
        context.verify_mode = auth
        context.options |= ssl.OP_NO_RENEGOTIATION
        if self._boolean(table, f"{prefix}prefer_server_cipher_suites", default=True):
            context.options |= ssl.OP_CIPHER_SERVER_PREFERENCE
        context.set_alpn_protocols(["http/1.1"])
        ends_at = self._load_certificate(context, certificate, key)
        if client_ca is not None:
            try:
                context.load_verify_locations(client_ca)
            except (OSError, ssl.SSLError) as error:
                raise self._unreadable(f"{prefix}client_ca_file", client_ca, error) from None
        return context, self._names(table, auth), ends_at

    def _load_certificate(self, context: ssl.SSLContext, certificate: Path, key: Path) -> datetime:
        for name, path in (("cert_file", certificate), ("key_file", key)):
            try:
                mode = path.stat().st_mode
                with path.open("rb"):
                    pass
            except OSError as error:
                raise self._unreadable(f"tls_server_config.{name}", path, error) from None
            if path is key and mode & stat.S_IROTH:
                _LOGGER.warning("web_config: %s: %s can be read by everybody on this machine", self._path, path)
        try:
            # An empty password, or OpenSSL would ask for one on the terminal.
            context.load_cert_chain(certificate, key, password="")
            return x509.load_pem_x509_certificate(certificate.read_bytes()).not_valid_after_utc
        except (OSError, ssl.SSLError, ValueError):
            raise self._wrong(
                "tls_server_config.cert_file",
                f"{certificate} and {key} are no PEM certificate chain and its key without a password",
            ) from None

    def _names(self, table: Mapping[Any, Any], auth: ssl.VerifyMode) -> frozenset[str]:
        names: Any = table.get("client_allowed_sans") or []
        if not isinstance(names, list) or not all(isinstance(name, str) and name for name in names):
            raise self._wrong("tls_server_config.client_allowed_sans", "is no list of names")
        if names and auth != ssl.CERT_REQUIRED:
            raise self._wrong(
                "tls_server_config.client_allowed_sans", "needs client_auth_type: RequireAndVerifyClientCert"
            )
        return frozenset(names)

    def _users(self, table: Mapping[Any, Any]) -> dict[str, bytes]:
        users: dict[str, bytes] = {}
        for name, value in table.items():
            if not isinstance(name, str) or not name or ":" in name or not name.isprintable():
                raise self._wrong("basic_auth_users", "a user's name is text without ':' and control characters")
            match = _HASH.fullmatch(value) if isinstance(value, str) else None
            if match is None or not 4 <= int(match[1]) <= _MOST_COST:
                raise self._wrong(
                    f"basic_auth_users.{name}",
                    f"is no bcrypt hash of a cost from 4 to {_MOST_COST}; make one with `htpasswd -nBC 10 {name}`",
                )
            users[name] = value.encode("ascii")
        return users

    def _headers(self, table: Mapping[Any, Any]) -> tuple[tuple[str, str], ...]:
        headers = []
        for name, value in table.items():
            known = next((one for one in _HEADERS if isinstance(name, str) and one.lower() == name.lower()), None)
            if known is None:
                raise self._wrong(f"http_server_config.headers.{name}", f"is none of {', '.join(_HEADERS)}")
            if not isinstance(value, str) or not value.isprintable() or not value.isascii():
                raise self._wrong(f"http_server_config.headers.{name}", "is no text of one line in ASCII")
            headers.append((known, value))
        return tuple(headers)

    # --- values --------------------------------------------------------------------------------------------------

    def _known(self, prefix: str, table: Mapping[Any, Any], names: tuple[str, ...]) -> None:
        for name in table:
            if f"{prefix}{name}" in _REFUSED:
                raise self._wrong(f"{prefix}{name}", _REFUSED[f"{prefix}{name}"])
            if name not in names:
                raise self._wrong(f"{prefix}{name}", f"is not known; there are {', '.join(names)}")

    def _table(self, table: Mapping[Any, Any], name: str, prefix: str = "") -> Mapping[Any, Any]:
        value = table.get(name)
        if value is None:
            return {}
        if not isinstance(value, dict):
            raise self._wrong(f"{prefix}{name}", "holds no keys")
        return value

    def _file(self, table: Mapping[Any, Any], name: str, *, is_needed: bool = True) -> Path | None:
        value = table.get(name)
        if value in (None, "") and not is_needed:
            return None
        if not isinstance(value, str) or not value:
            raise self._wrong(f"tls_server_config.{name}", "must be the path of a PEM file")
        # As exporter-toolkit has it: relative to the file that names it.
        return self._path.parent / value

    def _choice(self, table: Mapping[Any, Any], name: str, choices: Mapping[str, _Choice], default: str) -> _Choice:
        value = table.get(name) or default
        if not isinstance(value, str) or value not in choices:
            raise self._wrong(f"tls_server_config.{name}", f"is none of {', '.join(choices)}")
        return choices[value]

    def _boolean(self, table: Mapping[Any, Any], name: str, *, default: bool) -> bool:
        value = table.get(name.rpartition(".")[2], default)
        if not isinstance(value, bool):
            raise self._wrong(name, "must be true or false")
        return value

    def _wrong(self, key: str, problem: str) -> ConfigurationError:
        return ConfigurationError(f"web_config: {self._path}: {key}: {problem}")

    def _unreadable(self, key: str, path: Path, error: OSError) -> ConfigurationError:
        reason = error.strerror if error.strerror and not isinstance(error, ssl.SSLError) else "it holds no PEM"
        return self._wrong(key, f"{path} cannot be read: {reason}")


class _UniqueKeys(yaml.SafeLoader):
    """Refuses keys that stand twice: which of two passwords holds must not be a matter of luck."""


def _unique_mapping(loader: _UniqueKeys, node: yaml.MappingNode) -> dict[Any, Any]:
    seen = set()
    for key, _ in node.value:
        if isinstance(key, yaml.ScalarNode):
            if key.value in seen:
                raise yaml.constructor.ConstructorError(
                    None, None, f"the key {key.value!r} stands twice", key.start_mark
                )
            seen.add(key.value)
    return loader.construct_mapping(node, deep=True)


_UniqueKeys.add_constructor(yaml.resolver.BaseResolver.DEFAULT_MAPPING_TAG, _unique_mapping)


def _stamp(paths: tuple[Path, ...]) -> _Stamp:
    found: list[tuple[str, int, int, int] | None] = []
    for path in paths:
        try:
            status = path.stat()
        except OSError:
            found.append(None)
        else:
            found.append((str(path), status.st_ino, status.st_mtime_ns, status.st_size))
    return tuple(found)
