"""Where every setting comes from: flag, then environment, then file, then default, and which of them it was.

Between file and default stands the enrollment of this host, which remembers its collector.


A setting's dotted name is its place in the TOML file (``collector.address`` is ``address`` in ``[collector]``) and, in
capitals with ``LIBCENSUS_AGENT_`` in front, its environment variable (``LIBCENSUS_AGENT_COLLECTOR_ADDRESS``). A wrong
value or an unknown name in the file is refused with the place where it stands: a typing error must not leave a host
unscanned in silence.
"""

from __future__ import annotations

import os
import tomllib
import typing
from dataclasses import MISSING, dataclass, fields
from difflib import get_close_matches
from pathlib import Path
from types import NoneType, UnionType
from typing import TYPE_CHECKING, Any, Literal, cast

from libcensus.agent.credentials import IDENTITY_FOLDER, remembered_facts
from libcensus.agent.errors import ConfigurationError
from libcensus.agent.log import FORMATS, LEVELS
from libcensus.agent.priority import PRIORITIES
from libcensus.agent.settings import ScanSettings
from libcensus.agent.state import default_state_folder

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from libcensus.agent.priority import Priority

DEFAULT_FILE = Path("/etc/libcensus/agent.toml")
PREFIX = "LIBCENSUS_AGENT_"
FILE_VARIABLE = f"{PREFIX}CONFIG"
DEFAULT_PORT = 9444
PRIORITY = "scan.priority"
ADDRESS = "collector.address"
ENROLL_PORT = "collector.enroll_port"

DEFAULT_ENROLL_PORT = 9446

Origin = Literal["flag", "environment", "file", "enrollment", "default"]


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of value: how it is described to a user, checked when typed, and read from one text."""

    allowed: str
    check: Callable[[Any], Any]
    parse: Callable[[str], Any]


@dataclass(frozen=True, slots=True)
class Setting:
    """One thing that can be set."""

    name: str
    kind: Kind
    default: Any

    @property
    def variable(self) -> str:
        """The environment variable of the setting."""
        return PREFIX + self.name.replace(".", "_").upper()


@dataclass(frozen=True, slots=True)
class Value:
    """What a setting is, and where that was said (``place`` names the flag, variable or file)."""

    setting: Setting
    value: Any
    origin: Origin
    place: str


@dataclass(frozen=True, slots=True)
class CollectorSettings:
    """How to reach the collector; times in seconds.

    ``certificate`` and ``key`` are files of an external authority, which take the place of enrollment; ``ca`` holds the
    roots by which the collector is known, in place of those that enrollment brought. ``enroll_port`` is where an
    enrolled host renews its certificate.
    """

    address: str
    timeout_seconds: float
    upload_timeout_seconds: float
    attempts: int
    max_message_bytes: int
    ca: Path | None = None
    certificate: Path | None = None
    key: Path | None = None
    enroll_port: int = DEFAULT_ENROLL_PORT


@dataclass(frozen=True, slots=True)
class StateSettings:
    """Where the agent remembers, and how much may wait there."""

    folder: Path
    max_reports: int
    max_bytes: int


@dataclass(frozen=True, slots=True)
class LogSettings:
    """How loud the agent is, and in which form."""

    level: str
    format: str


@dataclass(frozen=True, slots=True)
class RunSettings:
    """When the resident agent scans; times in seconds, ``jitter`` a part of the interval.

    After a change it waits until nothing has changed for ``quiet_seconds``, ``patience_seconds`` at most.
    ``stall_seconds`` is how long one step of a scan may take before the agent stops telling the watchdog that it lives.
    An enrolled host waits for up to ``start_spread_seconds`` before its first scan.
    """

    interval_seconds: float
    jitter: float
    watch: bool
    quiet_seconds: float
    patience_seconds: float
    poll_seconds: float
    stall_seconds: float
    start_spread_seconds: float


class _UnfitValueError(ValueError):
    """A value is not of its kind; the message goes on where it stands."""


def _whole(low: int, high: int | None) -> Kind:
    allowed = f"a whole number from {low}" + ("" if high is None else f" to {high}")

    def check(value: Any) -> int:
        if isinstance(value, bool) or not isinstance(value, int) or value < low or (high is not None and value > high):
            raise _UnfitValueError
        return value

    def parse(text: str) -> int:
        try:
            return check(int(text, 10))
        except ValueError:
            raise _UnfitValueError from None

    return Kind(allowed, check, parse)


def _number(low: float, high: float) -> Kind:
    allowed = f"a number above {low:g}, at most {high:g}"

    def check(value: Any) -> float:
        if isinstance(value, bool) or not isinstance(value, int | float) or not low < value <= high:
            raise _UnfitValueError
        return float(value)

    def parse(text: str) -> float:
        try:
            return check(float(text))
        except ValueError:
            raise _UnfitValueError from None

    return Kind(allowed, check, parse)


def _from_zero(high: float) -> Kind:
    within = _number(-1, high)

    def check(value: Any) -> float:
        if (number := cast("float", within.check(value))) < 0:
            raise _UnfitValueError
        return number

    def parse(text: str) -> float:
        return check(within.parse(text))

    return Kind(f"a number from 0 to {high:g}", check, parse)


def _word(*words: str) -> Kind:
    def check(value: Any) -> str:
        if value not in words:
            raise _UnfitValueError
        return cast("str", value)

    return Kind(f"one of {', '.join(words)}", check, check)


def _check_text(value: Any) -> str:
    if not isinstance(value, str) or not value or "\0" in value:
        raise _UnfitValueError
    return value


def _check_boolean(value: Any) -> bool:
    if not isinstance(value, bool):
        raise _UnfitValueError
    return value


def _parse_boolean(text: str) -> bool:
    words = {"true": True, "yes": True, "1": True, "false": False, "no": False, "0": False}
    if text.lower() not in words:
        raise _UnfitValueError
    return words[text.lower()]


def _check_texts(value: Any) -> tuple[str, ...]:
    if not isinstance(value, list | tuple):
        raise _UnfitValueError
    return tuple(_check_text(item) for item in value)


def _parse_texts(text: str) -> tuple[str, ...]:
    return tuple(item for item in text.split(":") if item)


def _check_folder(value: Any) -> Path:
    text = str(value) if isinstance(value, Path) else _check_text(value)
    if not text.startswith("/"):
        raise _UnfitValueError
    return Path(text)


TEXT = Kind("a text", _check_text, _check_text)
BOOLEAN = Kind("true or false", _check_boolean, _parse_boolean)
TEXTS = Kind("a list of texts (in the environment: separated by colons)", _check_texts, _parse_texts)
FOLDER = Kind("an absolute path", _check_folder, _check_folder)


def _optional(kind: Kind) -> Kind:
    """Let the word ``none`` stand for no bound."""

    def check(value: Any) -> Any:
        return None if value is None or value == "none" else kind.check(value)

    def parse(text: str) -> Any:
        return None if text == "none" else kind.parse(text)

    return Kind(f'{kind.allowed}, or "none"', check, parse)


def _kind_of(annotation: Any) -> Kind:
    """Return the kind of value of a field of :class:`ScanSettings`."""
    if isinstance(annotation, UnionType) and NoneType in typing.get_args(annotation):
        (inner,) = (part for part in typing.get_args(annotation) if part is not NoneType)
        return _optional(_kind_of(inner))
    kinds: dict[Any, Kind] = {
        bool: BOOLEAN,
        int: _whole(0, None),
        float: _number(0, 1e9),
        str: TEXT,
        tuple[str, ...]: TEXTS,
        frozenset[str]: TEXTS,
    }
    return kinds[annotation]


def _scan_settings() -> tuple[Setting, ...]:
    hints = typing.get_type_hints(ScanSettings)
    found = []
    for field in fields(ScanSettings):
        default = field.default if field.default_factory is MISSING else field.default_factory()
        found.append(Setting(f"scan.{field.name}", _kind_of(hints[field.name]), default))
    return tuple(found)


def list_settings(environment: Mapping[str, str], user_id: int) -> tuple[Setting, ...]:
    """Return everything that can be set, with its default for this user, in the order of the documentation."""
    return (
        Setting(ADDRESS, TEXT, f"127.0.0.1:{DEFAULT_PORT}"),
        Setting("collector.timeout_seconds", _number(0, 3600), 30.0),
        Setting("collector.upload_timeout_seconds", _number(0, 86400), 300.0),
        Setting("collector.attempts", _whole(1, 20), 4),
        Setting("collector.max_message_bytes", _whole(65536, 2**31 - 1), 16 * 1024 * 1024),
        Setting("collector.ca", _optional(FOLDER), None),
        Setting("collector.certificate", _optional(FOLDER), None),
        Setting("collector.key", _optional(FOLDER), None),
        Setting(ENROLL_PORT, _whole(1, 65535), DEFAULT_ENROLL_PORT),
        Setting("state.folder", FOLDER, default_state_folder(environment, user_id)),
        Setting("state.max_reports", _whole(1, 100_000), 168),
        Setting("state.max_bytes", _whole(65536, None), 64 * 1024 * 1024),
        Setting("log.level", _word(*LEVELS), "warning"),
        Setting("log.format", _word(*FORMATS), "text"),
        *_scan_settings(),
        Setting(PRIORITY, _word(*PRIORITIES), "idle"),
        Setting("run.interval_seconds", _number(0, 7 * 86400), 3600.0),
        Setting("run.jitter", _from_zero(0.5), 0.1),
        Setting("run.watch", BOOLEAN, default=True),
        Setting("run.quiet_seconds", _number(0, 3600), 15.0),
        Setting("run.patience_seconds", _number(0, 86400), 300.0),
        Setting("run.poll_seconds", _number(0, 86400), 60.0),
        Setting("run.stall_seconds", _number(0, 86400), 300.0),
        Setting("run.start_spread_seconds", _from_zero(86400), 300.0),
    )


@dataclass(frozen=True, slots=True)
class AgentConfig:
    """Every setting with its value and origin."""

    values: Mapping[str, Value]
    file: Path | None
    warnings: tuple[str, ...] = ()

    def _group(self, name: str) -> dict[str, Any]:
        prefix = f"{name}."
        return {key.removeprefix(prefix): one.value for key, one in self.values.items() if key.startswith(prefix)}

    @property
    def collector(self) -> CollectorSettings:
        """How to reach the collector."""
        return CollectorSettings(**self._group("collector"))

    @property
    def state(self) -> StateSettings:
        """Where the agent remembers."""
        return StateSettings(**self._group("state"))

    @property
    def log(self) -> LogSettings:
        """How the agent logs."""
        return LogSettings(**self._group("log"))

    @property
    def run(self) -> RunSettings:
        """When the resident agent scans."""
        return RunSettings(**self._group("run"))

    @property
    def priority(self) -> Priority:
        """How a scan that nobody waits for takes its turn at processor and disk."""
        return cast("Priority", self.values[PRIORITY].value)

    @property
    def interactive_priority(self) -> Priority:
        """The same for a scan that somebody waits for: normal, unless the setting was given."""
        return "normal" if self.values[PRIORITY].origin == "default" else self.priority

    @property
    def scan(self) -> ScanSettings:
        """What a scan looks at, and its bounds."""
        group = self._group("scan")
        del group[PRIORITY.removeprefix("scan.")]
        try:
            return ScanSettings(**group)
        except ValueError as error:
            raise ConfigurationError(f"the settings of [scan] do not fit: {error}") from None


def _read_file(path: Path, *, named: bool) -> dict[str, Any]:
    """Return the table of a TOML file; a file that nobody named may be missing."""
    try:
        with path.open("rb") as file:
            return tomllib.load(file)
    except FileNotFoundError:
        if named:
            raise ConfigurationError(
                f"configuration file {path} does not exist; give --config a file that does, or leave it out"
            ) from None
        return {}
    except OSError as error:
        raise ConfigurationError(f"configuration file {path} cannot be read: {error.strerror}") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigurationError(f"configuration file {path} is not TOML: {error}") from None


def _flatten(path: Path, table: Mapping[str, Any], known: Mapping[str, Setting]) -> dict[str, Any]:
    """Return the file's values by dotted name; raises ConfigurationError for a name that nothing has."""
    sections = {name.split(".", 1)[0] for name in known}
    flat: dict[str, Any] = {}
    for section, content in table.items():
        if section not in sections or not isinstance(content, dict):
            expected = ", ".join(f"[{name}]" for name in sorted(sections))
            raise ConfigurationError(f"{path}: {section!r} is not known at the top level; expected {expected}")
        for key, value in content.items():
            name = f"{section}.{key}"
            if name not in known:
                siblings = sorted(one for one in known if one.startswith(f"{section}."))
                near = get_close_matches(key, [one.split(".", 1)[1] for one in siblings], 1, 0.6)
                wanted = f"did you mean {section}.{near[0]}?" if near else f"known are {', '.join(siblings)}"
                raise ConfigurationError(f"{path}: {name} is not a setting; {wanted}")
            flat[name] = value
    return flat


def load_config(
    flags: Mapping[str, tuple[str, Any]],
    *,
    environment: Mapping[str, str],
    file: Path | None = None,
    user_id: int | None = None,
) -> AgentConfig:
    """Return every setting; raises ConfigurationError naming place, setting and what is allowed.

    ``flags`` holds by setting's name the flag as it is written and its value; ``file`` is a file that the user named.
    """
    if file is None and (variable := environment.get(FILE_VARIABLE)):
        file = Path(variable)
    path = DEFAULT_FILE if file is None else file
    known = {
        setting.name: setting for setting in list_settings(environment, os.geteuid() if user_id is None else user_id)
    }
    in_file = _flatten(path, _read_file(path, named=file is not None), known)
    values: dict[str, Value] = {}
    for name, setting in known.items():
        origin: Origin
        if name in flags:
            (place, raw), origin, read = flags[name], "flag", setting.kind.check
        elif (text := environment.get(setting.variable)) is not None:
            place, raw, origin, read = setting.variable, text, "environment", setting.kind.parse
        elif name in in_file:
            place, raw, origin, read = str(path), in_file[name], "file", setting.kind.check
        else:
            place, raw, origin, read = "", setting.default, "default", _take
        try:
            value = read(raw)
        except _UnfitValueError:
            where = f"{place}: {name}" if origin == "file" else place
            raise ConfigurationError(f"{where} is {raw!r}; it must be {setting.kind.allowed}") from None
        values[name] = Value(setting, value, origin, place)
    _take_from_enrollment(values)
    _check_certificate(values)
    warnings = _tell_unknown_variables(environment, known)
    config = AgentConfig(values, path if in_file or file is not None else None, warnings)
    _ = config.scan
    return config


def _take_from_enrollment(values: dict[str, Value]) -> None:
    """Let what this host was enrolled at stand where nobody said otherwise."""
    folder: Path = values["state.folder"].value
    facts = remembered_facts(folder)
    if facts is None:
        return
    for name, value in ((ADDRESS, facts.collector), (ENROLL_PORT, facts.enroll_port)):
        if values[name].origin == "default":
            values[name] = Value(values[name].setting, value, "enrollment", str(folder / IDENTITY_FOLDER))


def _check_certificate(values: Mapping[str, Value]) -> None:
    """Raise ConfigurationError where the files of an external authority are not given together."""
    given = {name: values[f"collector.{name}"] for name in ("certificate", "key", "ca")}
    if given["certificate"].value is None and given["key"].value is None:
        return
    if absent := [name for name, one in given.items() if one.value is None]:
        place = next(one.place for one in given.values() if one.value is not None)
        raise ConfigurationError(
            f"{place}: collector.{absent[0]} is missing: a certificate of an external authority needs "
            "collector.certificate, collector.key and collector.ca"
        )


def _tell_unknown_variables(environment: Mapping[str, str], known: Mapping[str, Setting]) -> tuple[str, ...]:
    """Return a warning for each variable that looks like a setting and is none; it may be somebody else's."""
    variables = {setting.variable for setting in known.values()} | {FILE_VARIABLE}
    warnings = []
    for name in sorted(environment):
        if name.startswith(PREFIX) and name not in variables:
            near = get_close_matches(name, variables, 1, 0.8)
            warnings.append(f"{name} is no setting and is ignored" + (f"; did you mean {near[0]}?" if near else ""))
    return tuple(warnings)


def _take(value: Any) -> Any:
    return value
