"""Where the collector and the facts are: flag, then environment, then the file, then the default; and who said so.

The file is ``libcensus/config.toml`` in the user's configuration folder (``XDG_CONFIG_HOME``, else ``~/.config``), or
``/etc/libcensus/operator.toml`` where the user has none. A wrong value or an unknown name is refused with the place
where it stands.
"""

from __future__ import annotations

import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from libcensus.cli.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Mapping

ADDRESS_VARIABLE = "LIBCENSUS_COLLECTOR_ADDRESS"
ADVISORIES_VARIABLE = "LIBCENSUS_ADVISORIES_DIR"
DEFAULT_ADDRESS = "127.0.0.1:9444"
SYSTEM_FILE = Path("/etc/libcensus/operator.toml")


@dataclass(frozen=True, slots=True)
class CollectorAddress:
    """The collector's address and where it was said (a flag, a variable, a file, or ``default``)."""

    address: str
    origin: str

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


def user_file(environment: Mapping[str, str]) -> Path:
    """Return where the user's own file is looked for."""
    base = environment.get("XDG_CONFIG_HOME", "")
    if not base.startswith("/"):
        base = f"{environment.get('HOME') or '/'}/.config"
    return Path(base) / "libcensus" / "config.toml"


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


def _address_in(path: Path) -> str | None:
    content = _read(path)
    if content is None:
        return None
    for name in content:
        if name not in {"collector", "advisories_dir"}:
            raise ConfigurationError(f"{path}: {name!r} is not known; there are only [collector] and advisories_dir")
    table = content.get("collector", {})
    if not isinstance(table, dict):
        raise ConfigurationError(f"{path}: collector must be a table: [collector]")
    for name in table:
        if name != "address":
            hint = "; write it above [collector]" if name == "advisories_dir" else ""
            raise ConfigurationError(f"{path}: collector.{name} is not known; there is only collector.address{hint}")
    address = table.get("address")
    if address is not None and (not isinstance(address, str) or not address):
        raise ConfigurationError(f"{path}: collector.address must be a text such as {DEFAULT_ADDRESS!r}")
    return address


def _folder_in(path: Path) -> str | None:
    """Return the folder that a file names; what it says of a collector is of no concern to who judges here."""
    content = _read(path)
    folder = None if content is None else content.get("advisories_dir")
    if folder is not None and (not isinstance(folder, str) or not folder):
        raise ConfigurationError(f"{path}: advisories_dir must be a text, the path of a folder")
    return folder


def find_collector(
    flag: str | None, environment: Mapping[str, str], system_file: Path = SYSTEM_FILE
) -> CollectorAddress:
    """Return the collector's address; raises ConfigurationError when a file says it wrongly."""
    if flag:
        return CollectorAddress(flag, "--collector")
    if given := environment.get(ADDRESS_VARIABLE):
        return CollectorAddress(given, ADDRESS_VARIABLE)
    for path in (user_file(environment), system_file):
        if address := _address_in(path):
            return CollectorAddress(address, str(path))
    return CollectorAddress(DEFAULT_ADDRESS, "default")


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
