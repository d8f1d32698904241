"""The collector's settings: what there is, what is allowed, and where each value came from.

Precedence: flag, then environment (``LIBCENSUS_COLLECTOR_<SETTING>``), then the TOML file, then the default. A value
that is not allowed is refused with its source, its name and what is allowed; nothing is corrected silently.
"""

from __future__ import annotations

import difflib
import os
import re
import tomllib
from collections.abc import Mapping  # noqa: TC003  the dataclass decorator of slots needs it at run time
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

from libcensus.collector.errors import ConfigurationError
from libcensus.collector.log import LOG_FORMATS, LOG_LEVELS
from libcensus.collector.metrics.shard import ALL_HOSTS, MOST_SHARDS, Shard
from libcensus.collector.posture.selector import InvalidLabelError, check_key

if TYPE_CHECKING:
    from collections.abc import Callable

ENVIRONMENT_PREFIX = "LIBCENSUS_COLLECTOR_"
DEFAULT_CONFIG = Path("/etc/libcensus/collector.toml")
METRICS_DETAILS = ("fleet", "host", "install")

_NAME = re.compile(r"(?!-)[A-Za-z0-9_*-]{1,63}(\.[A-Za-z0-9_-]{1,63})*\.?|[0-9A-Fa-f:.]{2,45}")
_TRUST_DOMAIN = re.compile(r"[a-z0-9][a-z0-9._-]{0,62}")
_DURATION = re.compile(r"(\d+(?:\.\d+)?)\s*(ms|s|m|h|d)?")
_SECONDS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
_SIZE = re.compile(r"(\d+)\s*(B|KiB|MiB|GiB)?")
_BYTES = {"B": 1, "KiB": 1024, "MiB": 1024**2, "GiB": 1024**3}


class _NotAllowedError(ValueError):
    """A value that a setting cannot have; the text says what is allowed."""


def _parse_text(value: Any) -> str:
    if not isinstance(value, str) or not value.strip():
        raise _NotAllowedError("a text that is not empty")
    return value.strip()


def _one_of(*allowed: str) -> Callable[[Any], str]:
    def parse(value: Any) -> str:
        if value not in allowed:
            raise _NotAllowedError(f"one of {', '.join(allowed)}")
        return str(value)

    return parse


def _whole_number(low: int, high: int) -> Callable[[Any], int]:
    def parse(value: Any) -> int:
        allowed = f"a whole number from {low} to {high}"
        if isinstance(value, str) and value.strip().isascii() and value.strip().isdigit():
            value = int(value)
        if not isinstance(value, int) or isinstance(value, bool) or not low <= value <= high:
            raise _NotAllowedError(allowed)
        return value

    return parse


def _duration(low: float, high: float) -> Callable[[Any], float]:
    def parse(value: Any) -> float:
        allowed = f"a time from {show_seconds(low)} to {show_seconds(high)}, such as 90s, 15m, 1h"
        if isinstance(value, str):
            match = _DURATION.fullmatch(value.strip())
            if match is None:
                raise _NotAllowedError(allowed)
            value = float(match[1]) * _SECONDS[match[2] or "s"]
        if isinstance(value, bool) or not isinstance(value, int | float) or not low <= value <= high:
            raise _NotAllowedError(allowed)
        return float(value)

    return parse


def parse_seconds(text: str, low: float, high: float) -> float:
    """Return the seconds of a time such as ``15m``; raises ValueError, whose text says what is allowed."""
    return _duration(low, high)(text)


def _size(low: int, high: int) -> Callable[[Any], int]:
    def parse(value: Any) -> int:
        allowed = f"a size from {show_bytes(low)} to {show_bytes(high)}, such as 4MiB"
        if isinstance(value, str):
            match = _SIZE.fullmatch(value.strip())
            if match is None:
                raise _NotAllowedError(allowed)
            value = int(match[1]) * _BYTES[match[2] or "B"]
        if not isinstance(value, int) or isinstance(value, bool) or not low <= value <= high:
            raise _NotAllowedError(allowed)
        return value

    return parse


def _addresses(value: Any) -> dict[str, tuple[str, ...]]:
    """Return addresses by the name of what they are for; the names are checked where the feeds are known."""
    allowed = 'NAME=https://… for each feed, separated by spaces; in the file a table: debian = "https://…"'
    pairs: list[tuple[str, Any]] = []
    if isinstance(value, str):
        pairs = [(name, url) for name, _, url in (word.partition("=") for word in value.split())]
    elif isinstance(value, dict):
        pairs = [
            (name, one) for name, urls in value.items() for one in (urls if isinstance(urls, list) and urls else [urls])
        ]
    found: dict[str, tuple[str, ...]] = {}
    for name, url in pairs:
        if not name or not isinstance(url, str) or not url.startswith("https://") or len(url.split()) != 1:
            raise _NotAllowedError(allowed)
        found[name] = (*found.get(name, ()), url)
    if not found and value not in ("", {}):
        raise _NotAllowedError(allowed)
    return found


def _boolean(value: Any) -> bool:
    words = {"true": True, "yes": True, "1": True, "false": False, "no": False, "0": False}
    if isinstance(value, str):
        value = words.get(value.strip().lower())
    if not isinstance(value, bool):
        raise _NotAllowedError("true or false")
    return value


def _matching(pattern: re.Pattern[str], allowed: str) -> Callable[[Any], str]:
    def parse(value: Any) -> str:
        if not isinstance(value, str) or not pattern.fullmatch(value.strip()):
            raise _NotAllowedError(allowed)
        return value.strip()

    return parse


def _names(value: Any) -> tuple[str, ...]:
    """Return DNS names and IP addresses; in a flag or variable they are separated by commas or spaces."""
    names = value.replace(",", " ").split() if isinstance(value, str) else value
    if not isinstance(names, list | tuple) or not all(
        isinstance(name, str) and _NAME.fullmatch(name) for name in names
    ):
        raise _NotAllowedError("DNS names and IP addresses, such as census.example,192.0.2.7")
    return tuple(dict.fromkeys(names))


def _count_or_all(value: Any) -> int | None:
    """Return a number of things, None for all of them."""
    if value == "all":
        return None
    try:
        return _whole_number(0, 1_000_000)(value)
    except _NotAllowedError:
        raise _NotAllowedError("all, or a whole number from 0 to 1000000") from None


def _show_count_or_all(value: int | None) -> str:
    return "all" if value is None else str(value)


def _shard(value: Any) -> Shard:
    """Return one of several parts of the hosts."""
    try:
        return Shard.read(value.strip() if isinstance(value, str) else "")
    except ValueError:
        raise _NotAllowedError(f"I/N, with I from 1 to N and N up to {MOST_SHARDS}, such as 2/3") from None


def _label_keys(value: Any) -> tuple[str, ...]:
    """Return keys of labels; in a flag or variable they are separated by commas or spaces."""
    keys = value.replace(",", " ").split() if isinstance(value, str) else value
    try:
        if isinstance(keys, list | tuple) and all(isinstance(key, str) and check_key(key) for key in keys):
            return tuple(dict.fromkeys(keys))
    except InvalidLabelError:
        pass
    raise _NotAllowedError("keys of labels, such as env,team,example.com/zone")


def show_boolean(value: bool) -> str:
    """Return a switch as settings write it."""
    return "true" if value else "false"


def _show_optional(value: str | None) -> str:
    return value or ""


def show_addresses(addresses: Mapping[str, tuple[str, ...]]) -> str:
    """Return addresses as the flag takes them."""
    return " ".join(f"{name}={url}" for name, urls in addresses.items() for url in urls)


def show_seconds(seconds: float) -> str:
    """Return a time as settings write it, in the largest unit that it is whole in."""
    for unit in ("d", "h", "m", "s"):
        if seconds >= _SECONDS[unit] and seconds % _SECONDS[unit] == 0:
            return f"{seconds / _SECONDS[unit]:g}{unit}"
    return f"{seconds:g}s"


def show_bytes(count: int) -> str:
    """Return a size as settings write it, in the largest unit that it is whole in."""
    for unit in ("GiB", "MiB", "KiB"):
        if count and count % _BYTES[unit] == 0:
            return f"{count // _BYTES[unit]}{unit}"
    return f"{count}B"


@dataclass(frozen=True, slots=True)
class CollectorSettings:
    """Everything that an operator can choose; the defaults serve a fleet of 10,000 hosts on one collector.

    Times are in seconds and sizes in bytes. ``database``, ``advisories_dir``, ``vex_dir``, ``speeds_dir``, ``pki_dir``
    and ``audit_log`` are absent here where the default place is meant, which depends on who runs the collector: see
    :func:`state_folder`.
    """

    listen: str = "127.0.0.1:9444"
    http_listen: str = "127.0.0.1:9445"
    database: str | None = None
    report_interval: float = 3600.0
    metrics_detail: str = "install"
    metrics_labels: tuple[str, ...] = ()
    metrics_advisories: int | None = 100
    shard: Shard = ALL_HOSTS
    series_limit: int = 100_000
    max_message_bytes: int = 16 * 1024**2
    max_upload_bytes: int = 32 * 1024**2
    max_upload_facts: int = 10_000
    workers: int = 64
    max_concurrent_calls: int = 256
    max_queued: int = 1024
    max_connections: int = 2_000
    host_calls_per_second: int = 10
    host_burst: int = 600
    call_seconds: float = 30.0
    grace_seconds: float = 20.0
    advisories_dir: str | None = None
    advisory_urls: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    vex_dir: str | None = None
    speeds_dir: str | None = None
    enroll_listen: str | None = None
    pki_dir: str | None = None
    trust_domain: str = "libcensus"
    server_names: tuple[str, ...] = ()
    tls_certificate: str | None = None
    tls_key: str | None = None
    tls_client_ca: str | None = None
    certificate_lifetime: float = 7 * 86400.0
    renewal_grace: float = 30 * 86400.0
    web_config: str | None = None
    http_open: bool = False
    audit_log: str | None = None
    log_format: str = "text"
    log_level: str = "info"


@dataclass(frozen=True, slots=True)
class Setting:
    """One setting: how its text is read, how it is shown, and what it is for."""

    name: str
    parse: Callable[[Any], Any]
    meaning: str
    show: Callable[[Any], str] = str

    @property
    def environment(self) -> str:
        """The environment variable that sets it."""
        return ENVIRONMENT_PREFIX + self.name.upper()

    @property
    def flag(self) -> str:
        """The command-line flag that sets it."""
        return "--" + self.name.replace("_", "-")


SETTINGS: tuple[Setting, ...] = (
    Setting("listen", _parse_text, "address and port of the gRPC services; loopback only without TLS"),
    Setting("http_listen", _parse_text, "address and port of /metrics and /healthz; loopback only"),
    Setting("database", _parse_text, "where facts are kept: sqlite:////path/file.db or postgresql://user@host/name"),
    Setting("report_interval", _duration(10, 30 * 86400), "how often each host is asked to report", show_seconds),
    Setting("metrics_labels", _label_keys, "labels of hosts that /metrics exports as libcensus_host_labels", " ".join),
    Setting("metrics_detail", _one_of(*METRICS_DETAILS), "the finest series that /metrics exports"),
    Setting(
        "metrics_advisories",
        _count_or_all,
        "advisories that /metrics has series of, the worst first, or all",
        _show_count_or_all,
    ),
    Setting(
        "shard", _shard, "part of the hosts that /metrics tells of one by one, I/N: I of N collectors of one database"
    ),
    Setting("series_limit", _whole_number(1, 100_000_000), "number of series above which /metrics warns"),
    Setting("max_message_bytes", _size(64 * 1024, 256 * 1024**2), "largest message, also after unpacking", show_bytes),
    Setting("max_upload_bytes", _size(64 * 1024, 1024**3), "largest sum of facts in one upload", show_bytes),
    Setting("max_upload_facts", _whole_number(1, 1_000_000), "largest number of facts in one upload"),
    Setting("workers", _whole_number(2, 1024), "threads that serve calls; one call holds one until it is durable"),
    Setting("max_concurrent_calls", _whole_number(2, 100_000), "calls served or waiting; further ones are refused"),
    Setting("max_queued", _whole_number(1, 1_000_000), "reports and uploads waiting for the database"),
    Setting("max_connections", _whole_number(16, 1_000_000), "connections open at once; each takes some 80 KiB"),
    Setting("host_calls_per_second", _whole_number(1, 100_000), "calls that one host may make in the long run"),
    Setting("host_burst", _whole_number(1, 1_000_000), "calls that one host may make at once, such as after an outage"),
    Setting("call_seconds", _duration(1, 600), "longest time that one call may take", show_seconds),
    Setting("grace_seconds", _duration(0, 600), "time for calls in flight to end when stopping", show_seconds),
    Setting("advisories_dir", _parse_text, "folder with the last good state of each feed of advisories"),
    Setting("advisory_urls", _addresses, "addresses of feeds, NAME=URL, instead of the projects' own", show_addresses),
    Setting("vex_dir", _parse_text, "folder with OpenVEX documents that state which risks are accepted"),
    Setting("speeds_dir", _parse_text, "folder with documents of measured speed that `libcensus speed` wrote"),
    Setting(
        "enroll_listen",
        _parse_text,
        "address and port of enrollment; without it port 9446 where `listen` is, as long as there is a CA",
        _show_optional,
    ),
    Setting("pki_dir", _parse_text, "folder with the certificate authority that `ca init` made"),
    Setting(
        "trust_domain",
        _matching(_TRUST_DOMAIN, "1 to 63 of a-z, 0-9, dot, dash and underscore"),
        "first part of the names in certificates: spiffe://TRUST-DOMAIN/agent/HOST-ID",
    ),
    Setting("server_names", _names, "names by which agents reach this collector, for its certificate", " ".join),
    Setting("tls_certificate", _parse_text, "server certificate chain (PEM) of an external CA", _show_optional),
    Setting("tls_key", _parse_text, "key (PEM) of tls_certificate", _show_optional),
    Setting("tls_client_ca", _parse_text, "roots (PEM) of an external CA of agents and operators", _show_optional),
    Setting("certificate_lifetime", _duration(600, 397 * 86400), "how long certificates are good", show_seconds),
    Setting("renewal_grace", _duration(0, 366 * 86400), "how long after its end one can be renewed", show_seconds),
    Setting("web_config", _parse_text, "web.config.yml with TLS and users of the HTTP pages", _show_optional),
    Setting("http_open", _boolean, "show the HTTP pages beyond loopback without TLS and users", show_boolean),
    Setting("audit_log", _parse_text, "file of the audit log, JSON lines"),
    Setting("log_format", _one_of(*LOG_FORMATS), "form of the log on standard error"),
    Setting("log_level", _one_of(*LOG_LEVELS), "least serious message that is logged"),
)

_BY_NAME = {setting.name: setting for setting in SETTINGS}


@dataclass(frozen=True, slots=True)
class LoadedSettings:
    """Settings with the origin of each, and warnings about what was given and means nothing."""

    settings: CollectorSettings
    origins: Mapping[str, str]
    warnings: tuple[str, ...] = ()


def state_folder(environment: Mapping[str, str], user_id: int | None = None) -> Path:
    """Return the folder for the collector's state: ``/var/lib/libcensus`` for root, the XDG state folder otherwise."""
    if (os.geteuid() if user_id is None else user_id) == 0:
        return Path("/var/lib/libcensus")
    base = environment.get("XDG_STATE_HOME", "")
    # The XDG specification says that a relative path there is to be ignored.
    folder = Path(base) if base.startswith("/") else Path(environment.get("HOME") or "~").expanduser() / ".local/state"
    return folder / "libcensus"


def default_database(environment: Mapping[str, str], user_id: int | None = None) -> str:
    """Return the URL of the embedded database in the state folder."""
    return f"sqlite:///{state_folder(environment, user_id) / 'collector.db'}"


def _suggest(name: str, known: list[str]) -> str:
    close = difflib.get_close_matches(name, known, n=1)
    return f"did you mean {close[0]}?" if close else f"allowed are {', '.join(known)}"


def _read_file(path: Path) -> dict[str, Any]:
    try:
        text = path.read_bytes()
    except OSError as error:
        raise ConfigurationError(f"{path}: cannot be read: {error.strerror}") from error
    try:
        return tomllib.loads(text.decode())
    except UnicodeDecodeError as error:
        raise ConfigurationError(f"{path}: is not UTF-8 text (byte {error.start})") from error
    except tomllib.TOMLDecodeError as error:
        raise ConfigurationError(f"{path}: is not TOML: {error}") from error


def _parse_value(setting: Setting, value: Any, place: str) -> Any:
    try:
        return setting.parse(value)
    except _NotAllowedError as error:
        raise ConfigurationError(f"{place}: {value!r} is not allowed; allowed is {error}") from None


def load_settings(
    flags: Mapping[str, Any],
    environment: Mapping[str, str],
    config: Path | None = None,
    *,
    default_config: Path = DEFAULT_CONFIG,
) -> LoadedSettings:
    """Join flags, environment, file and defaults into settings, remembering where each value came from.

    ``flags`` holds those that were given. The file is ``config``, or ``LIBCENSUS_COLLECTOR_CONFIG``, which must exist,
    or ``/etc/libcensus/collector.toml``, which need not. Raises :class:`ConfigurationError` naming place, name and
    what is allowed.
    """
    named = environment.get(f"{ENVIRONMENT_PREFIX}CONFIG")
    path = config or (Path(named) if named else default_config)
    from_file: dict[str, Any] = {}
    if config is not None or named or path.exists():
        from_file = _read_file(path)
        for key in from_file:
            if key not in _BY_NAME:
                raise ConfigurationError(f"{path}: {key}: is no setting; {_suggest(key, list(_BY_NAME))}")
    values: dict[str, Any] = {}
    origins: dict[str, str] = {}
    for setting in SETTINGS:
        name = setting.name
        if flags.get(name) is not None:
            values[name] = _parse_value(setting, flags[name], setting.flag)
            origins[name] = f"flag {setting.flag}"
        elif setting.environment in environment:
            values[name] = _parse_value(setting, environment[setting.environment], setting.environment)
            origins[name] = f"environment {setting.environment}"
        elif name in from_file:
            values[name] = _parse_value(setting, from_file[name], f"{path}: {name}")
            origins[name] = f"file {path}"
        else:
            origins[name] = "default"
    values.setdefault("database", default_database(environment))
    values.setdefault("advisories_dir", str(state_folder(environment) / "advisories"))
    values.setdefault("vex_dir", str(state_folder(environment) / "vex"))
    values.setdefault("speeds_dir", str(state_folder(environment) / "speeds"))
    values.setdefault("pki_dir", str(state_folder(environment) / "pki"))
    values.setdefault("audit_log", str(state_folder(environment) / "audit.jsonl"))
    settings = CollectorSettings(**values)
    _check_together(settings, origins)
    return LoadedSettings(settings, origins, _unknown_variables(environment))


def _check_together(settings: CollectorSettings, origins: Mapping[str, str]) -> None:
    if settings.max_concurrent_calls < settings.workers:
        place = next((origins[name] for name in ("max_concurrent_calls", "workers") if origins[name] != "default"), "")
        raise ConfigurationError(
            f"max_concurrent_calls: {settings.max_concurrent_calls} is less than workers ({settings.workers}), so some "
            f"workers would never have a call ({place}); allowed is a number not below workers"
        )
    if settings.max_upload_bytes < settings.max_message_bytes:
        raise ConfigurationError(
            f"max_upload_bytes: {show_bytes(settings.max_upload_bytes)} is less than max_message_bytes "
            f"({show_bytes(settings.max_message_bytes)}): a fact that may arrive could not be stored; raise "
            "max_upload_bytes"
        )


def _unknown_variables(environment: Mapping[str, str]) -> tuple[str, ...]:
    """Tell variables that look like settings and are none.

    No error: Kubernetes sets variables such as ``LIBCENSUS_COLLECTOR_SERVICE_HOST`` for a service of that name.
    """
    known = {setting.environment for setting in SETTINGS} | {f"{ENVIRONMENT_PREFIX}CONFIG"}
    from_kubernetes = re.compile(re.escape(ENVIRONMENT_PREFIX) + r"(SERVICE_HOST|SERVICE_PORT.*|PORT(_.*)?)")
    return tuple(
        f"environment variable {name} is no setting of the collector and was ignored; {_suggest(name, sorted(known))}"
        for name in sorted(environment)
        if name.startswith(ENVIRONMENT_PREFIX) and name not in known and not from_kubernetes.fullmatch(name)
    )


def hide_password(database: str) -> str:
    """Return a database URL that can be shown: the password is replaced by ``***``."""
    shown = re.sub(r"(?<=://)([^/@:]*):[^/]*@", r"\1:***@", database)
    return re.sub(r"(?<=[?&]password=)[^&]*", "***", shown)


def show_settings(loaded: LoadedSettings) -> list[tuple[str, str, str]]:
    """Return name, value and origin of every setting, in the documented order; passwords are hidden."""
    rows: list[tuple[str, str, str]] = []
    for setting in SETTINGS:
        value = getattr(loaded.settings, setting.name)
        text = hide_password(value) if setting.name == "database" else setting.show(value)
        rows.append((setting.name, text, loaded.origins[setting.name]))
    return rows


if {field.name for field in fields(CollectorSettings)} != set(_BY_NAME):
    raise AssertionError("every setting is declared twice, here and in the dataclass, or not at all")
