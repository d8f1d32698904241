"""Where the collector and the facts are, and by what the operator is known: flag, environment, file, then default.

Whoever says the first word about the operator's identity says all of it: an identity file, or the three files of an
external CA. The configuration file is ``libcensus/config.toml`` in the user's configuration folder
(``XDG_CONFIG_HOME``, else ``~/.config``), or ``/etc/libcensus/operator.toml`` where the user has none. A wrong value or
an unknown name is refused with the place where it stands.
"""

from __future__ import annotations

import tomllib
from dataclasses import dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

from libcensus.cli.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Mapping

ADDRESS_VARIABLE = "LIBCENSUS_COLLECTOR_ADDRESS"
ADVISORIES_VARIABLE = "LIBCENSUS_ADVISORIES_DIR"
ENROLL_VARIABLE = "LIBCENSUS_ENROLL_ADDRESS"
DEFAULT_ADDRESS = "127.0.0.1:9444"
ENROLLMENT_PORT = 9446
"""Where a collector renews identities, unless `enroll_address` says otherwise."""

NO_IDENTITY = "none"
"""What is said in the place of an identity file by whoever wants none: plaintext, to this machine alone."""

SYSTEM_FILE = Path("/etc/libcensus/operator.toml")


@dataclass(frozen=True, slots=True)
class IdentityFiles:
    """Files by which an operator is known, and where they were said: ``identity`` alone, or the other three.

    ``identity`` is one PEM file with the key, the certificate chain and the trusted roots, and renews itself.
    """

    origin: str
    identity: str | None = None
    ca: str | None = None
    certificate: str | None = None
    key: str | None = None


@dataclass(frozen=True, slots=True)
class IdentityFlags:
    """What the flags say of the identity; each absent where it is not given."""

    identity: str | None = None
    ca: str | None = None
    certificate: str | None = None
    key: str | None = None


_IDENTITY_NAMES = tuple(one.name for one in fields(IdentityFlags))
_EXTERNAL_NAMES = _IDENTITY_NAMES[1:]
_COLLECTOR_NAMES = ("address", "enroll_address", *_IDENTITY_NAMES)


@dataclass(frozen=True, slots=True)
class CollectorAddress:
    """The collector's address and where it was said (a flag, a variable, a file, or ``default``).

    ``identity`` is absent where there is none, and the collector is spoken to in plaintext. ``enroll_address`` is where
    it renews identities, absent for port 9446 of the same host.
    """

    address: str
    origin: str
    identity: IdentityFiles | None = None
    enroll_address: str | None = None

    def __str__(self) -> str:
        """Return the address with its origin, as messages show it."""
        return f"{self.address} ({self.origin})"


@dataclass(frozen=True, slots=True)
class AdvisoriesFolder:
    """A folder with the states of feeds, as a collector keeps them, and where it was said."""

    path: str
    origin: str

    def __str__(self) -> str:
        """Return the folder with its origin, as messages show it."""
        return f"{self.path} ({self.origin})"


def user_folder(environment: Mapping[str, str]) -> Path:
    """Return the folder of the user's own settings."""
    base = environment.get("XDG_CONFIG_HOME", "")
    if not base.startswith("/"):
        base = f"{environment.get('HOME') or '/'}/.config"
    return Path(base) / "libcensus"


def user_file(environment: Mapping[str, str]) -> Path:
    """Return where the user's own file is looked for."""
    return user_folder(environment) / "config.toml"


def default_identity(environment: Mapping[str, str]) -> Path:
    """Return where the user's identity file is looked for when nobody names one."""
    return user_folder(environment) / "operator.pem"


def _read(path: Path) -> Mapping[str, Any] | None:
    try:
        content = path.read_bytes()
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        raise ConfigurationError(f"{path} cannot be read: {error.strerror}") from None
    try:
        return tomllib.loads(content.decode())
    except (UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise ConfigurationError(f"{path} is not TOML: {error}") from None


def _collector_in(path: Path) -> Mapping[str, str]:
    """Return what a file says of the collector."""
    content = _read(path)
    if content is None:
        return {}
    for name in content:
        if name not in {"collector", "advisories_dir"}:
            raise ConfigurationError(f"{path}: {name!r} is not known; there are only [collector] and advisories_dir")
    table = content.get("collector", {})
    if not isinstance(table, dict):
        raise ConfigurationError(f"{path}: collector must be a table: [collector]")
    for name, value in table.items():
        if name not in _COLLECTOR_NAMES:
            hint = "; write it above [collector]" if name == "advisories_dir" else ""
            known = ", ".join(f"collector.{one}" for one in _COLLECTOR_NAMES)
            raise ConfigurationError(f"{path}: collector.{name} is not known; there are only {known}{hint}")
        if not isinstance(value, str) or not value:
            example = DEFAULT_ADDRESS if name in _COLLECTOR_NAMES[:2] else f"/etc/libcensus/{name}.pem"
            raise ConfigurationError(f"{path}: collector.{name} must be a text such as {example!r}")
    return table


def _folder_in(path: Path) -> str | None:
    """Return the folder that a file names; what it says of a collector is of no concern to who judges here."""
    content = _read(path)
    folder = None if content is None else content.get("advisories_dir")
    if folder is not None and (not isinstance(folder, str) or not folder):
        raise ConfigurationError(f"{path}: advisories_dir must be a text, the path of a folder")
    return folder


def find_collector(
    flag: str | None,
    environment: Mapping[str, str],
    system_file: Path = SYSTEM_FILE,
    identity: IdentityFlags = IdentityFlags(),
) -> CollectorAddress:
    """Return where the collector is and by what the operator is known there.

    Raises ConfigurationError when a file says it wrongly, or an identity is said by halves.
    """
    address, origin = _find_address(flag, environment, system_file)
    files = find_identity(identity, environment, system_file)
    return CollectorAddress(address, origin, files, _find_enroll_address(environment, system_file))


def _find_address(flag: str | None, environment: Mapping[str, str], system_file: Path) -> tuple[str, str]:
    if flag:
        return flag, "--collector"
    if given := environment.get(ADDRESS_VARIABLE):
        return given, ADDRESS_VARIABLE
    for path in (user_file(environment), system_file):
        if address := _collector_in(path).get("address"):
            return address, str(path)
    return DEFAULT_ADDRESS, "default"


def _find_enroll_address(environment: Mapping[str, str], system_file: Path) -> str | None:
    if given := environment.get(ENROLL_VARIABLE):
        return given
    for path in (user_file(environment), system_file):
        if address := _collector_in(path).get("enroll_address"):
            return address
    return None


def find_identity(
    flags: IdentityFlags, environment: Mapping[str, str], system_file: Path = SYSTEM_FILE
) -> IdentityFiles | None:
    """Return by what the operator is known; None for nothing. Raises ConfigurationError for what is said by halves."""
    said = {name: value for name in _IDENTITY_NAMES if (value := getattr(flags, name))}
    if said:
        return _identity_files(said, {name: f"--{name}" for name in _IDENTITY_NAMES}, None, environment)
    variables = {name: f"LIBCENSUS_{name.upper()}" for name in _IDENTITY_NAMES}
    said = {name: value for name, variable in variables.items() if (value := environment.get(variable))}
    if said:
        return _identity_files(said, variables, None, environment)
    for path in (user_file(environment), system_file):
        table = _collector_in(path)
        said = {name: table[name] for name in _IDENTITY_NAMES if name in table}
        if said:
            return _identity_files(said, {name: f"collector.{name}" for name in _IDENTITY_NAMES}, path, environment)
    default = default_identity(environment)
    return IdentityFiles("default", identity=str(default)) if default.exists() else None


def _identity_files(
    said: Mapping[str, str], called: Mapping[str, str], file: Path | None, environment: Mapping[str, str]
) -> IdentityFiles | None:
    """Return the files that one place says; ``called`` is what their names are there, ``file`` the place as a file."""
    where = "" if file is None else f"{file}: "
    external = [name for name in _EXTERNAL_NAMES if name in said]
    if "identity" in said:
        if external:
            raise ConfigurationError(
                f"{where}{called['identity']} holds key, certificate and roots already; leave out "
                f"{', '.join(called[name] for name in external)}"
            )
        if said["identity"] == NO_IDENTITY:
            return None
    elif absent := [called[name] for name in _EXTERNAL_NAMES if name not in said]:
        raise ConfigurationError(
            f"{where}{', '.join(called[name] for name in external)} of an external CA: {', '.join(absent)} must be "
            "given beside; all three belong together"
        )
    paths = {name: _path_of(value, file, environment) for name, value in said.items()}
    return IdentityFiles(str(file) if file is not None else ", ".join(called[name] for name in said), **paths)


def _path_of(text: str, file: Path | None, environment: Mapping[str, str]) -> str:
    """Return a path; in a file it is relative to that file's folder."""
    if text == "~" or text.startswith("~/"):
        text = f"{environment.get('HOME') or '/'}{text[1:]}"
    return text if file is None else str(file.parent / text)


def find_advisories(
    flag: str | None, environment: Mapping[str, str], system_file: Path = SYSTEM_FILE
) -> AdvisoriesFolder | None:
    """Return the folder of feeds that is named, None for the facts on board alone.

    Raises ConfigurationError when a file says it wrongly.
    """
    if flag:
        return AdvisoriesFolder(flag, "--advisories-dir")
    if given := environment.get(ADVISORIES_VARIABLE):
        return AdvisoriesFolder(given, ADVISORIES_VARIABLE)
    for path in (user_file(environment), system_file):
        if folder := _folder_in(path):
            return AdvisoriesFolder(folder, str(path))
    return None
