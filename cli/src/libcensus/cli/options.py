"""Options and help texts that several commands share."""

from __future__ import annotations

import functools
import os
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

import rich_click as click

from libcensus.cli.config import IdentityFlags, find_advisories, find_collector
from libcensus.cli.errors import EXIT_CODES, ArgumentError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from datetime import date, datetime

    from libcensus.cli.config import AdvisoriesFolder, CollectorAddress

_F = TypeVar("_F", bound="Callable[..., Any]")

COLLECTOR_HELP = (
    "The collector's gRPC address.  [default: LIBCENSUS_COLLECTOR_ADDRESS, the configuration file, or 127.0.0.1:9444]"
)


def teach(*examples: str, codes: tuple[int, ...], words: Mapping[int, str] | None = None) -> str:
    """Return the end of a command's help: examples, then its exit codes, some in the command's own ``words``."""
    words = {**dict(EXIT_CODES), **(words or {})}
    lines = ["\b", "Examples:", *(f"  {example}" for example in examples), "", "\b", "Exit codes:"]
    lines.extend(f"  {code:<3} {words[code]}" for code in codes)
    return "\n".join(lines)


def output_option(command: _F) -> _F:
    """Add the flag that chooses between a table for people and JSON for programs."""
    return click.option(
        "--output",
        type=click.Choice(["table", "json"]),
        default="table",
        show_default=True,
        help="A table for people, or one JSON value for programs.",
    )(command)


def day_option(name: str, words: str) -> Callable[[_F], _F]:
    """Return what adds a flag for a day; the command gets a date or None."""

    def convert(_context: click.Context, _parameter: click.Parameter, value: datetime | None) -> date | None:
        return None if value is None else value.date()

    return click.option(name, type=click.DateTime(["%Y-%m-%d"]), metavar="YYYY-MM-DD", callback=convert, help=words)


def selector_option(command: _F) -> _F:
    """Add the flag that chooses hosts by their labels; the command gets the selector's text, or None.

    What is no selector is refused here, with the words that a collector has for it.
    """

    def check(_context: click.Context, _parameter: click.Parameter, value: str | None) -> str | None:
        if value is None:
            return None
        from libcensus.collector.posture.selector import InvalidLabelError, Selector  # noqa: PLC0415 - most have none

        try:
            return str(Selector.parse(value))
        except InvalidLabelError as error:
            raise ArgumentError(f"-l: {error}") from None

    return click.option(
        "-l",
        "--selector",
        callback=check,
        metavar="SELECTOR",
        help="Only hosts with these labels: env=prod,team!=web,!legacy,'zone in (a,b)'.",
    )(command)


_DURATION = re.compile(r"([0-9]{1,9})([smhdw])")
_UNIT_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86400, "w": 7 * 86400}


def duration_option(name: str, words: str) -> Callable[[_F], _F]:
    """Return what adds a flag for a duration such as ``90m``, ``24h`` or ``7d``; the command gets seconds or None."""

    def convert(_context: click.Context, _parameter: click.Parameter, value: str | None) -> int | None:
        if value is None:
            return None
        match = _DURATION.fullmatch(value.strip().lower())
        if match is None:
            raise ArgumentError(f"{name}: {value[:40]!r} is no duration; write it as 90m, 24h or 7d (s, m, h, d, w)")
        return int(match[1]) * _UNIT_SECONDS[match[2]]

    return click.option(name, metavar="DURATION", callback=convert, help=words)


def exclude_option(command: _F) -> _F:
    """Add the flag that keeps a scan out of a folder."""
    return click.option(
        "--exclude", multiple=True, metavar="PATH", help="Do not enter this folder of the root (repeatable)."
    )(command)


@dataclass(frozen=True, slots=True)
class CollectorFlags:
    """What the flags say of the collector; each absent where it is not given."""

    address: str | None
    identity: IdentityFlags

    @property
    def given(self) -> str | None:
        """The first flag that was given; None where none was."""
        names = ["--collector"] if self.address is not None else []
        names += [f"--{name}" for name in ("identity", "ca", "certificate", "key") if getattr(self.identity, name)]
        return names[0] if names else None

    def find(self) -> CollectorAddress:
        """Return the collector that is meant; raises ConfigurationError where a setting is wrong."""
        return find_collector(self.address, os.environ, identity=self.identity)


_IDENTITY_OPTIONS = (
    click.option(
        "--identity",
        metavar="FILE",
        help="The operator's identity, as `libcensus-collector operator create` makes it; `none` speaks plaintext to "
        "this machine.  [default: LIBCENSUS_IDENTITY, the configuration file, or ~/.config/libcensus/operator.pem]",
    ),
    click.option("--ca", metavar="FILE", help="Roots (PEM) of an external CA, in the place of --identity."),
    click.option("--certificate", metavar="FILE", help="Certificate chain (PEM) of an external CA."),
    click.option("--key", metavar="FILE", help="Key (PEM) of --certificate."),
)


def collector_flags(command: _F) -> _F:
    """Add the flags that name the collector and the operator; the command gets CollectorFlags as ``collector``."""

    @functools.wraps(command)
    def call(
        *arguments: Any,
        collector: str | None,
        identity: str | None,
        ca: str | None,
        certificate: str | None,
        key: str | None,
        **others: Any,
    ) -> Any:
        flags = CollectorFlags(collector, IdentityFlags(identity, ca, certificate, key))
        return command(*arguments, collector=flags, **others)

    wrapped: Any = call
    for option in reversed((click.option("--collector", metavar="HOST:PORT", help=COLLECTOR_HELP), *_IDENTITY_OPTIONS)):
        wrapped = option(wrapped)
    found: _F = wrapped
    return found


def collector_option(command: _F) -> _F:
    """Add the flags that name the collector and the operator; the command gets a CollectorAddress as ``collector``."""

    @functools.wraps(command)
    def call(*arguments: Any, collector: CollectorFlags, **others: Any) -> Any:
        return command(*arguments, collector=collector.find(), **others)

    wrapped: Any = call
    found: _F = collector_flags(wrapped)
    return found


def advisories_option(command: _F) -> _F:
    """Add the flag that names a folder of feeds; the command gets an AdvisoriesFolder, or None for what is on board."""

    def find(_context: click.Context, _parameter: click.Parameter, value: str | None) -> AdvisoriesFolder | None:
        return find_advisories(value, os.environ)

    return click.option(
        "--advisories-dir",
        "advisories",
        callback=find,
        metavar="DIR",
        help="Judge also by the feeds in this folder, which `libcensus-collector advisories update` or `import` "
        "filled.  [default: LIBCENSUS_ADVISORIES_DIR, the configuration file, or what is on board alone]",
    )(command)
