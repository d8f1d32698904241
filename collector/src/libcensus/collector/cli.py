"""The command ``libcensus-collector``: starts a collector, and shows how it is configured.

Errors are one line on standard error that names the thing, its place and the remedy; exit codes follow one table. A
user never sees a traceback.
"""

from __future__ import annotations

import json
import logging
import os
import platform
import resource
import signal
import sys
import threading
from importlib.metadata import version as distribution_version
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import rich_click as click
from click import Command as BaseCommand
from click import Group as BaseGroup
from click import HelpFormatter
from click.exceptions import Abort, NoArgsIsHelpError, UsageError
from click.shell_completion import get_completion_class

from libcensus.collector.config import (
    DEFAULT_CONFIG,
    ENVIRONMENT_PREFIX,
    METRICS_DETAILS,
    SETTINGS,
    CollectorSettings,
    LoadedSettings,
    load_settings,
    parse_seconds,
    show_settings,
    state_folder,
)
from libcensus.collector.errors import CollectorError, ConfigurationError
from libcensus.collector.log import LOG_FORMATS, LOG_LEVELS, escape_control, start_logging
from libcensus.collector.notify import notify_service_manager

if TYPE_CHECKING:
    from collections.abc import Callable, Container

_LOGGER = logging.getLogger(__name__)

PROGRAM = "libcensus-collector"
_EXIT_INTERNAL = 70
_HELP_WIDTH = 100
_SHELLS = ("bash", "zsh", "fish")

_EXIT_CODES = """\
\b
Exit codes: 0 stopped in good order; 2 wrong usage; 3 a setting is wrong or refused, or the
database cannot be used; 70 internal error."""

_ADVISORIES_EXIT_CODES = """\
\b
Exit codes: 0 every feed is as new as its source; 6 some feeds failed; if all failed: 1 refused
(broken, older, shrunken), 4 unreachable, 5 a source did not prove who it is; 2 wrong usage;
3 a setting is wrong, or a file or the folder cannot be used; 70 internal error."""

_VEX_EXIT_CODES = """\
\b
Exit codes: 0 every statement counts; 1 a document is refused; 6 some statement has expired, is not
in force yet, or matches nothing; 2 wrong usage; 3 a setting is wrong, or the database cannot be
used; 70 internal error."""

_LABELS_EXIT_CODES = """\
\b
Exit codes: 0 fine; 2 wrong usage, a label that is none, no such host; 3 a setting is wrong, or the
database cannot be used; 70 internal error."""

_TRUST_EXIT_CODES = """\
\b
Exit codes: 0 fine; 1 hosts would be cut off; 2 wrong usage, no such token, host, operator or
certificate; 3 a setting is wrong, or the authority, the database or a file cannot be used; 70
internal error."""

_BACKUP_EXIT_CODES = """\
\b
Exit codes: 0 fine; 1 refused: the archive is damaged, no backup or of a newer version, or something
that is there would be overwritten; 2 wrong usage; 3 a setting is wrong, or the database or a file
cannot be used, or no space is left; 70 internal error."""

_DEFAULT_PLACES = {
    "database": f"sqlite file below {state_folder(os.environ)}",
    "advisories_dir": f"{state_folder(os.environ) / 'advisories'}",
    "vex_dir": f"{state_folder(os.environ) / 'vex'}",
    "speeds_dir": f"{state_folder(os.environ) / 'speeds'}",
    "pki_dir": f"{state_folder(os.environ) / 'pki'}",
    "audit_log": f"{state_folder(os.environ) / 'audit.jsonl'}",
    "enroll_listen": "port 9446",
    "tls_certificate": "none",
    "tls_key": "none",
    "tls_client_ca": "none",
    "web_config": "none",
}

_Function = TypeVar("_Function", bound="Callable[..., Any]")

_CHOICES = {"metrics_detail": METRICS_DETAILS, "log_format": LOG_FORMATS, "log_level": LOG_LEVELS}
_METAVARS = {
    "listen": "ADDRESS:PORT",
    "enroll_listen": "ADDRESS:PORT",
    "pki_dir": "FOLDER",
    "trust_domain": "NAME",
    "server_names": "NAME,…",
    "tls_certificate": "FILE",
    "tls_key": "FILE",
    "tls_client_ca": "FILE",
    "certificate_lifetime": "TIME",
    "renewal_grace": "TIME",
    "web_config": "FILE",
    "http_open": "true|false",
    "audit_log": "FILE",
    "http_listen": "ADDRESS:PORT",
    "database": "URL",
    "advisories_dir": "FOLDER",
    "vex_dir": "FOLDER",
    "speeds_dir": "FOLDER",
    "advisory_urls": "NAME=URL",
    "metrics_labels": "KEYS",
    "metrics_advisories": "NUMBER|all",
    "shard": "I/N",
    "report_interval": "TIME",
    "call_seconds": "TIME",
    "grace_seconds": "TIME",
    "max_message_bytes": "SIZE",
    "max_upload_bytes": "SIZE",
}


def _print(text: str) -> None:
    """Write a result; a reader that has enough of it, such as ``head``, is no error."""
    try:
        click.echo(text)
        sys.stdout.flush()
    except BrokenPipeError:
        # Nothing may be flushed to the closed pipe when the process ends.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _setting_options(command: _Function, only: Container[str] | None = None) -> _Function:
    """Give a command one flag for each setting, or for some, and ``--config``."""
    defaults = CollectorSettings()
    for setting in reversed(SETTINGS):
        if only is not None and setting.name not in only:
            continue
        default = getattr(defaults, setting.name)
        shown = _DEFAULT_PLACES.get(setting.name) if default is None else setting.show(default) or "none"
        choices = _CHOICES.get(setting.name)
        # Values are checked by the settings themselves, so that a flag, a variable and a file are told alike.
        command = click.option(
            setting.flag,
            setting.name,
            metavar="|".join(choices) if choices else _METAVARS.get(setting.name, "NUMBER"),
            help=f"{setting.meaning[0].upper()}{setting.meaning[1:]}. [default: {shown}]",
        )(command)
    return click.option(
        "--config",
        type=click.Path(path_type=Path),
        metavar="FILE",
        help=f"TOML file with settings; must exist when named. [default: {DEFAULT_CONFIG}, if it is there]",
    )(command)


def _advisory_options(command: _Function) -> _Function:
    """Give a command the flags of the settings that feeds have."""
    return _setting_options(command, {"advisories_dir", "advisory_urls"})


def _setting_options_of(*names: str) -> Callable[[_Function], _Function]:
    """Give a command the flags of some settings."""
    return lambda command: _setting_options(command, names)


def _plain_help(command: BaseCommand, ctx: click.Context) -> str:
    """Return a command's help as plain text, for pipes and files."""
    formatter = HelpFormatter(width=_HELP_WIDTH)
    BaseCommand.format_usage(command, ctx, formatter)
    BaseCommand.format_help_text(command, ctx, formatter)
    BaseCommand.format_options(command, ctx, formatter)
    if isinstance(command, BaseGroup):
        BaseGroup.format_commands(command, ctx, formatter)
    BaseCommand.format_epilog(command, ctx, formatter)
    return formatter.getvalue().rstrip("\n")


class _Command(click.RichCommand):
    """A command whose help is decorated on a terminal only."""

    def get_help(self, ctx: click.Context) -> str:
        """Return the help."""
        return str(super().get_help(ctx)) if sys.stdout.isatty() else _plain_help(self, ctx)


class _Group(click.RichGroup):
    """A group of commands whose help is decorated on a terminal only."""

    command_class = _Command
    group_class = type

    def get_help(self, ctx: click.Context) -> str:
        """Return the help."""
        return str(super().get_help(ctx)) if sys.stdout.isatty() else _plain_help(self, ctx)


@click.group(
    name=PROGRAM,
    cls=_Group,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": _HELP_WIDTH},
    epilog=_EXIT_CODES,
)
@click.version_option(distribution_version("libcensus-collector"), prog_name=PROGRAM)
def cli() -> None:
    """Receive the reports of a fleet's agents, judge them, and show Prometheus what is found.

    \b
    Try it on this machine, with everything in one folder:
      libcensus-collector serve --database sqlite:////tmp/census.db
      libcensus-agent report --collector 127.0.0.1:9444
      curl http://127.0.0.1:9445/metrics

    Settings come from flags, then LIBCENSUS_COLLECTOR_… variables, then /etc/libcensus/collector.toml, then defaults;
    `config show --origin` tells which one won.
    """  # noqa: D301


@cli.command(epilog=_EXIT_CODES)
@_setting_options
def serve(config: Path | None, **flags: Any) -> None:
    """Take reports over gRPC and show metrics over HTTP, until SIGTERM or Ctrl-C.

    With a certificate authority (`ca init`), or certificates of an external one, gRPC is mutual TLS 1.3 on any
    address, and hosts enroll on a port of its own; without either it is plaintext, on loopback only. Stopping is
    graceful: new calls are refused, calls in flight end, and everything acknowledged is in the database.

    \b
    Examples:
      libcensus-collector serve
      libcensus-collector serve --listen 0.0.0.0:9444 --server-names census.example
      libcensus-collector serve --listen [::1]:9444 --log-format journal
      libcensus-collector serve --database postgresql://census@db.example/census
      libcensus-collector serve --metrics-detail host --report-interval 15m
      LIBCENSUS_COLLECTOR_DATABASE=sqlite:////srv/census.db libcensus-collector serve
    """  # noqa: D301
    loaded = load_settings(flags, os.environ, config)
    settings = loaded.settings
    start_logging(settings.log_level, settings.log_format)
    for warning in loaded.warnings:
        _LOGGER.warning("%s", warning)
    if loaded.origins["database"] == "default":
        _make_state_folder(state_folder(os.environ))
    _serve_until_told(settings)


def _make_state_folder(folder: Path) -> None:
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise ConfigurationError(
            f"database: the folder {folder} cannot be made: {error.strerror}; name another place with "
            "--database sqlite:////path/file.db"
        ) from error


def _allow_connections() -> None:
    """Raise the bound of open files to what the service manager allows: each agent's connection is one."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))


def _serve_until_told(settings: CollectorSettings) -> None:
    # Imported here: `--help`, `version` and `config show` need no database, gRPC or snapshot, and answer at once.
    from libcensus.collector.app import Collector  # noqa: PLC0415
    from libcensus.collector.backup.restore import refuse_half_restored  # noqa: PLC0415

    refuse_half_restored(settings)
    _allow_connections()

    told = threading.Event()
    names: list[str] = []

    def tell(number: int, _frame: object) -> None:
        if told.is_set():
            # The second signal says that the wait is too long. What was acknowledged is durable already.
            raise SystemExit(128 + number)
        names.append(signal.Signals(number).name)
        told.set()

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, tell)
    collector = Collector(settings)
    try:
        collector.start()
        if not told.is_set():
            notify_service_manager(f"READY=1\nSTATUS=serving gRPC on {collector.grpc_address}", os.environ)
        told.wait()
        _LOGGER.info("stopping on %s", names[0])
        notify_service_manager("STOPPING=1\nSTATUS=finishing calls in flight", os.environ)
    finally:
        collector.stop()
    _LOGGER.info("stopped")


@cli.group(name="advisories")
def advisories_group() -> None:
    """Look at the published facts that verdicts rest on, and bring them up to date.

    The facts on board work offline. Official feeds are fetched by `update`, or taken from files by `import`; a feed
    that is broken, older or shrunken is refused and its last good state stays. A running collector takes up a new
    state by itself.
    """


_FORCE = "Take a feed although it is older or smaller than the present state; nothing else is let through."


@advisories_group.command(name="update", epilog=_ADVISORIES_EXIT_CODES)
@_advisory_options
@click.argument("feeds", nargs=-1, metavar="[FEED]…")
@click.option("--force", is_flag=True, help=_FORCE)
def update_advisories(config: Path | None, feeds: tuple[str, ...], *, force: bool, **flags: Any) -> int:
    """Fetch official feeds over HTTPS: all of them, or those that are named.

    \b
    Examples:
      libcensus-collector advisories update
      libcensus-collector advisories update openssl debian
      libcensus-collector advisories update debian --advisory-urls debian=https://mirror.example/tracker.json
    """  # noqa: D301
    from libcensus.collector.advisories.command import run_update  # noqa: PLC0415

    return run_update(load_settings(flags, os.environ, config).settings, feeds, force=force, write=_print)


@advisories_group.command(name="import", epilog=_ADVISORIES_EXIT_CODES)
@_advisory_options
@click.argument("files", nargs=-1, required=True, metavar="FILE…", type=click.Path(path_type=Path))
@click.option("--feed", metavar="NAME", help="Feed that the files are of; otherwise their content tells.")
@click.option("--force", is_flag=True, help=_FORCE)
def import_advisories(
    config: Path | None, files: tuple[Path, ...], *, feed: str | None, force: bool, **flags: Any
) -> int:
    """Take feeds from files, for networks without a way out.

    A file is what the source publishes, or the state of a feed from another collector's folder (see `advisories
    show`). Give all files of one feed together: they take the place of what it had. Where `FILE.sha256` lies beside a
    FILE, it is compared.

    \b
    Examples:
      libcensus-collector advisories import osv-all.tar.xz
      libcensus-collector advisories import --feed debian json
      libcensus-collector advisories import /media/usb/advisories/*.json
    """  # noqa: D301
    from libcensus.collector.advisories.command import run_import  # noqa: PLC0415

    return run_import(load_settings(flags, os.environ, config).settings, files, feed, force=force, write=_print)


@advisories_group.command(name="show", epilog=_ADVISORIES_EXIT_CODES)
@_advisory_options
@click.option("--output", type=click.Choice(["table", "json"]), default="table", show_default=True)
def show_advisories(config: Path | None, *, output: str, **flags: Any) -> int:
    """Show the state of each feed: newest day, when it was taken, number of facts, checksum and source.

    \b
    Examples:
      libcensus-collector advisories show
      libcensus-collector advisories show --output json
    """  # noqa: D301
    from libcensus.collector.advisories.command import run_show  # noqa: PLC0415

    return run_show(load_settings(flags, os.environ, config).settings, output, write=_print)


@cli.group(name="vex")
def vex_group() -> None:
    """Check and look at the OpenVEX documents that state which risks are accepted.

    A running collector takes up a change in its folder by itself; a document that is broken does not replace what it
    said before.
    """


@vex_group.command(name="check", epilog=_VEX_EXIT_CODES)
@_setting_options_of("advisories_dir")
@click.argument("paths", nargs=-1, required=True, metavar="PATH…", type=click.Path(path_type=Path))
@click.option("--output", type=click.Choice(["table", "json"]), default="table", show_default=True)
def check_vex(config: Path | None, paths: tuple[Path, ...], *, output: str, **flags: Any) -> int:
    """Check documents, or folders of them, without a collector: what is wrong, and what each statement is about.

    \b
    Examples:
      libcensus-collector vex check accepted.json
      libcensus-collector vex check /etc/libcensus/vex --output json
    """  # noqa: D301
    from libcensus.collector.acceptance.command import run_check  # noqa: PLC0415

    return run_check(load_settings(flags, os.environ, config).settings, paths, output, write=_print)


@vex_group.command(name="show", epilog=_VEX_EXIT_CODES)
@_setting_options_of("vex_dir", "advisories_dir", "database")
@click.option("--output", type=click.Choice(["table", "json"]), default="table", show_default=True)
def show_vex(config: Path | None, *, output: str, **flags: Any) -> int:
    """Show every accepted risk of the collector's folder: until when, and how many findings and hosts it covers now.

    \b
    Examples:
      libcensus-collector vex show
      libcensus-collector vex show --vex-dir ./vex --output json
    """  # noqa: D301
    from libcensus.collector.acceptance.command import run_show  # noqa: PLC0415

    return run_show(load_settings(flags, os.environ, config).settings, output, write=_print)


@cli.group(name="labels")
def labels_group() -> None:
    """Give hosts labels, by which the other commands and accepted risks choose them.

    Labels are kept in the collector's database, and count at once, also where a collector is running on it.
    """


@labels_group.command(name="set", epilog=_LABELS_EXIT_CODES)
@_setting_options_of("database", "audit_log")
@click.argument("host")
@click.argument("labels", nargs=-1, required=True, metavar="KEY=VALUE…")
def set_labels(config: Path | None, host: str, labels: tuple[str, ...], **flags: Any) -> int:
    """Give a host, by name or id, labels; one that it has already gets the new value.

    \b
    Examples:
      libcensus-collector labels set web-1 env=prod team=payments
      libcensus-collector labels set web-1 example.com/zone=b --database postgresql://census@db.example/census
    """  # noqa: D301
    from libcensus.collector.labels import run_set  # noqa: PLC0415

    return run_set(load_settings(flags, os.environ, config).settings, host, labels, write=_print)


@labels_group.command(name="remove", epilog=_LABELS_EXIT_CODES)
@_setting_options_of("database", "audit_log")
@click.argument("host")
@click.argument("keys", nargs=-1, required=True, metavar="KEY…")
def remove_labels(config: Path | None, host: str, keys: tuple[str, ...], **flags: Any) -> int:
    """Take labels from a host, by name or id.

    \b
    Examples:
      libcensus-collector labels remove web-1 team
    """  # noqa: D301
    from libcensus.collector.labels import run_remove  # noqa: PLC0415

    return run_remove(load_settings(flags, os.environ, config).settings, host, keys, write=_print)


@labels_group.command(name="list", epilog=_LABELS_EXIT_CODES)
@_setting_options_of("database")
@click.option("-l", "--selector", metavar="SELECTOR", help="Only hosts with these labels, such as env=prod,team!=web.")
@click.option("--output", type=click.Choice(["table", "json"]), default="table", show_default=True)
def list_labels(config: Path | None, *, selector: str | None, output: str, **flags: Any) -> int:
    """List the hosts with their labels.

    \b
    Examples:
      libcensus-collector labels list
      libcensus-collector labels list -l 'env in (prod,staging),!legacy' --output json
    """  # noqa: D301
    from libcensus.collector.labels import run_list  # noqa: PLC0415

    return run_list(load_settings(flags, os.environ, config).settings, selector, output, write=_print)


def _seconds(low: float, high: float) -> Callable[[click.Context, click.Parameter, str | None], float | None]:
    """Return what reads an option's time, such as ``15m``."""

    def read(_context: click.Context, _parameter: click.Parameter, value: str | None) -> float | None:
        try:
            return None if value is None else parse_seconds(value, low, high)
        except ValueError as error:
            raise click.BadParameter(f"{value!r} is not allowed; allowed is {error}") from None

    return read


_OUTPUT = click.option("--output", type=click.Choice(["table", "json"]), default="table", show_default=True)
_OPERATOR = click.option("--operator", metavar="NAME", help="Operator instead of a host.")


@cli.group(name="ca")
def ca_group() -> None:
    """Make and look after the certificate authority, by which hosts, operators and collectors know each other.

    A running collector takes up a change by itself, without a lost connection.
    """


@ca_group.command(name="init", epilog=_TRUST_EXIT_CODES)
@_setting_options_of("pki_dir", "trust_domain", "server_names", "audit_log")
@_OUTPUT
def init_ca(config: Path | None, *, output: str, **flags: Any) -> int:
    """Make a certificate authority: a root and an issuing key, apart, that their owner alone can read.

    Run it as the collector's user. The root's key can be kept offline from then on; only `ca rotate` needs it.

    \b
    Examples:
      libcensus-collector ca init
      libcensus-collector ca init --pki-dir /srv/pki --trust-domain census.example
    """  # noqa: D301
    from libcensus.collector.pki.ca_command import run_init  # noqa: PLC0415

    return run_init(load_settings(flags, os.environ, config).settings, output, write=_print)


@ca_group.command(name="show", epilog=_TRUST_EXIT_CODES)
@_setting_options_of("pki_dir", "trust_domain")
@click.option("--pem", is_flag=True, help="Print the trusted roots as PEM, for an agent's --ca.")
@_OUTPUT
def show_ca(config: Path | None, *, pem: bool, output: str, **flags: Any) -> int:
    """Show the fingerprints that agents are told, until when each key is good, and where the root's key is.

    \b
    Examples:
      libcensus-collector ca show
      libcensus-collector ca show --pem > ca.pem
    """  # noqa: D301
    from libcensus.collector.pki.ca_command import run_show  # noqa: PLC0415

    return run_show(load_settings(flags, os.environ, config).settings, output, pem=pem, write=_print)


@ca_group.command(name="rotate", epilog=_TRUST_EXIT_CODES)
@_setting_options_of("pki_dir", "trust_domain", "certificate_lifetime", "audit_log")
@click.option("--root", is_flag=True, help="Replace the root too; the old one stays trusted until `ca retire`.")
@_OUTPUT
def rotate_ca(config: Path | None, *, root: bool, output: str, **flags: Any) -> int:
    """Make a new issuing key; what was issued stays good, and nobody is cut off. Needs root.key in the folder.

    \b
    Examples:
      libcensus-collector ca rotate
      libcensus-collector ca rotate --root
    """  # noqa: D301
    from libcensus.collector.pki.ca_command import run_rotate  # noqa: PLC0415

    return run_rotate(load_settings(flags, os.environ, config).settings, output, root=root, write=_print)


@ca_group.command(name="retire", epilog=_TRUST_EXIT_CODES)
@_setting_options_of("pki_dir", "trust_domain", "database", "renewal_grace", "audit_log")
@click.argument("fingerprint")
@click.option("--force", is_flag=True, help="Retire it although somebody who is enrolled would be cut off.")
@_OUTPUT
def retire_ca(config: Path | None, fingerprint: str, *, force: bool, output: str, **flags: Any) -> int:
    """Trust an old root no longer. Refused while somebody has no certificate of a newer root yet.

    \b
    Examples:
      libcensus-collector ca retire 3f0c…
    """  # noqa: D301
    from libcensus.collector.pki.ca_command import run_retire  # noqa: PLC0415

    settings = load_settings(flags, os.environ, config).settings
    return run_retire(settings, fingerprint, output, force=force, write=_print)


@cli.group(name="token")
def token_group() -> None:
    """Make and look after join tokens: each lets hosts in as often as it says, until its end."""


@token_group.command(name="create", epilog=_TRUST_EXIT_CODES)
@_setting_options_of(
    "database", "pki_dir", "trust_domain", "server_names", "listen", "http_listen", "enroll_listen", "audit_log"
)
@click.option("--uses", type=click.IntRange(1, 1_000_000), default=1, show_default=True, help="Hosts that may join.")
@click.option(
    "--ttl",
    callback=_seconds(10, 366 * 86400),
    metavar="TIME",
    default="1h",
    show_default=True,
    help="How long it is good.",
)
@click.option("--host", metavar="NAME", help="Only for a host that calls itself so.")
@click.option(
    "--labels", "labels", multiple=True, metavar="KEY=VALUE[,…]", help="Labels for whoever joins; may be repeated."
)
@click.option("--replace", is_flag=True, help="Also for a host that is enrolled: its older certificates are revoked.")
@click.option(
    "--file", type=click.Path(path_type=Path, dir_okay=False), metavar="FILE", help="Write the token to a new file."
)
@click.option("--collector", metavar="HOST", help="Name of this collector in the command that is printed.")
@click.option("-q", "--quiet", is_flag=True, help="Print the token alone, to pipe it on.")
@_OUTPUT
def create_token(
    config: Path | None,
    *,
    uses: int,
    ttl: float,
    host: str | None,
    labels: tuple[str, ...],
    replace: bool,
    file: Path | None,
    collector: str | None,
    quiet: bool,
    output: str,
    **flags: Any,
) -> int:
    """Make a join token, and print it once with the CA's fingerprint and the command that enrolls a host.

    The token goes to the host by a file or by standard input, never as an argument, which `ps` would show.

    \b
    Examples:
      libcensus-collector token create
      libcensus-collector token create --uses 200 --ttl 8h --labels env=prod,team=payments --file batch.token
      libcensus-collector token create --host web-1 --replace      # web-1 was installed anew
    """  # noqa: D301
    from libcensus.collector.pki.token_command import Choices, run_create  # noqa: PLC0415

    choices = Choices(uses, ttl, host, labels, replaces=replace, file=file, collector=collector)
    settings = load_settings(flags, os.environ, config).settings
    return run_create(settings, choices, output, quiet=quiet, write=_print)


@token_group.command(name="list", epilog=_TRUST_EXIT_CODES)
@_setting_options_of("database")
@_OUTPUT
def list_tokens(config: Path | None, *, output: str, **flags: Any) -> int:
    """List the tokens with what is left of them; never their secrets, which nobody keeps.

    \b
    Examples:
      libcensus-collector token list
    """  # noqa: D301
    from libcensus.collector.pki.token_command import run_list  # noqa: PLC0415

    return run_list(load_settings(flags, os.environ, config).settings, output, write=_print)


@token_group.command(name="revoke", epilog=_TRUST_EXIT_CODES)
@_setting_options_of("database", "audit_log")
@click.argument("token_id", metavar="ID")
def revoke_token(config: Path | None, token_id: str, **flags: Any) -> int:
    """Make a token useless at once, on every collector. Hosts that joined by it stay enrolled.

    \b
    Examples:
      libcensus-collector token revoke k3v5q2xa
    """  # noqa: D301
    from libcensus.collector.pki.token_command import run_revoke  # noqa: PLC0415

    return run_revoke(load_settings(flags, os.environ, config).settings, token_id, write=_print)


@cli.group(name="operator")
def operator_group() -> None:
    """Let people and programs read the fleet."""


@operator_group.command(name="create", epilog=_TRUST_EXIT_CODES)
@_setting_options_of("database", "pki_dir", "trust_domain", "certificate_lifetime", "audit_log")
@click.argument("name")
@click.option(
    "--output", "file", type=click.Path(path_type=Path, dir_okay=False), metavar="FILE", help="[default: NAME.pem]"
)
@click.option(
    "--lifetime",
    callback=_seconds(600, 397 * 86400),
    metavar="TIME",
    help="How long it is good, if not as agents' are.",
)
def create_operator(config: Path | None, name: str, *, file: Path | None, lifetime: float | None, **flags: Any) -> int:
    """Make an operator's certificate: one new file (PEM, mode 0600) with key, certificate and trusted roots.

    \b
    Examples:
      libcensus-collector operator create ada
      libcensus-collector operator create grafana --output /etc/libcensus/grafana.pem --lifetime 90d
    """  # noqa: D301
    from libcensus.collector.pki.certificate_command import run_create_operator  # noqa: PLC0415

    settings = load_settings(flags, os.environ, config).settings
    return run_create_operator(settings, name, file, lifetime, write=_print)


@cli.group(name="certificates")
def certificates_group() -> None:
    """Look at the certificates that were issued, and revoke them."""


@certificates_group.command(name="list", epilog=_TRUST_EXIT_CODES)
@_setting_options_of("database", "trust_domain")
@click.option("--host", metavar="HOST", help="Only those of a host, by name or id.")
@click.option("--operator", metavar="NAME", help="Only those of an operator.")
@click.option("--all", "everything", is_flag=True, help="Also those that have expired.")
@_OUTPUT
def list_certificates(
    config: Path | None, *, host: str | None, operator: str | None, everything: bool, output: str, **flags: Any
) -> int:
    """List certificates: serial, state, holder, when it was issued, ends, and was first used.

    \b
    Examples:
      libcensus-collector certificates list
      libcensus-collector certificates list --host web-1 --all --output json
    """  # noqa: D301
    from libcensus.collector.pki.certificate_command import run_list  # noqa: PLC0415

    settings = load_settings(flags, os.environ, config).settings
    return run_list(settings, host, operator, output, everything=everything, write=_print)


@certificates_group.command(name="revoke", epilog=_TRUST_EXIT_CODES)
@_setting_options_of("database", "trust_domain", "audit_log")
@click.option("--serial", metavar="SERIAL", help="One certificate.")
@click.option("--host", metavar="HOST", help="All certificates of a host, by name or id.")
@click.option("--operator", metavar="NAME", help="All certificates of an operator.")
@click.option("--reason", default="revoked by an operator", show_default=True, help="Why, for the audit log.")
def revoke_certificates(
    config: Path | None, *, serial: str | None, host: str | None, operator: str | None, reason: str, **flags: Any
) -> int:
    """Revoke certificates: every collector refuses them within seconds, on open connections too.

    \b
    Examples:
      libcensus-collector certificates revoke --host web-1 --reason 'disk sold'
      libcensus-collector certificates revoke --serial 4a5f…
    """  # noqa: D301
    from libcensus.collector.pki.certificate_command import run_revoke  # noqa: PLC0415

    settings = load_settings(flags, os.environ, config).settings
    return run_revoke(settings, serial, host, operator, reason, write=_print)


@cli.command(epilog=_TRUST_EXIT_CODES)
@_setting_options_of("database", "trust_domain", "audit_log")
@click.argument("host", required=False)
@_OPERATOR
@click.option("--reason", required=True, help="Why, for the audit log and for whoever is refused.")
def ban(config: Path | None, host: str | None, *, operator: str | None, reason: str, **flags: Any) -> int:
    """Refuse a host, by name or id, or an operator, whatever certificate or token it shows, until `unban`.

    \b
    Examples:
      libcensus-collector ban web-1 --reason 'compromised, ticket 4711'
      libcensus-collector ban --operator zoe --reason 'left the team'
    """  # noqa: D301
    from libcensus.collector.pki.certificate_command import run_ban  # noqa: PLC0415

    return run_ban(load_settings(flags, os.environ, config).settings, host, operator, reason, write=_print)


@cli.command(epilog=_TRUST_EXIT_CODES)
@_setting_options_of("database", "trust_domain", "audit_log")
@click.argument("host", required=False)
@_OPERATOR
def unban(config: Path | None, host: str | None, *, operator: str | None, **flags: Any) -> int:
    """Lift a ban.

    \b
    Examples:
      libcensus-collector unban web-1
    """  # noqa: D301
    from libcensus.collector.pki.certificate_command import run_unban  # noqa: PLC0415

    return run_unban(load_settings(flags, os.environ, config).settings, host, operator, write=_print)


@cli.command(epilog=_TRUST_EXIT_CODES)
@_setting_options_of("database")
@_OUTPUT
def bans(config: Path | None, *, output: str, **flags: Any) -> int:
    """List who is banned, since when and why.

    \b
    Examples:
      libcensus-collector bans
    """  # noqa: D301
    from libcensus.collector.pki.certificate_command import run_list_bans  # noqa: PLC0415

    return run_list_bans(load_settings(flags, os.environ, config).settings, output, write=_print)


_setting_options_of_a_backup = _setting_options_of(
    *("database", "pki_dir", "trust_domain", "vex_dir", "speeds_dir", "advisories_dir", "web_config"),
    *("tls_certificate", "tls_key", "tls_client_ca", "audit_log"),
)


def _settings_place(config: Path | None) -> Path:
    """Return where the settings file is, or would be."""
    named = os.environ.get(f"{ENVIRONMENT_PREFIX}CONFIG")
    return config or (Path(named) if named else DEFAULT_CONFIG)


@cli.command(epilog=_BACKUP_EXIT_CODES)
@_setting_options_of_a_backup
@click.option(
    "--output",
    "file",
    type=click.Path(path_type=Path),
    required=True,
    metavar="FILE",
    help="Archive to write (ZIP, mode 0600): whole or not at all.",
)
@click.option("--with-keys", is_flag=True, help="Also the keys of the certificate authority and of TLS.")
@click.option("--overwrite", is_flag=True, help="Replace FILE where it is there; it stays until the new one is whole.")
def backup(config: Path | None, file: Path, *, with_keys: bool, overwrite: bool, **flags: Any) -> int:
    """Write all that a collector is into one archive, while it goes on serving.

    The archive holds the database as it was at one moment, with every report that was acknowledged before, the settings
    file, web.config.yml, accepted risks, measured speeds, the state of advisories and the audit log. Keys stand in it
    only with --with-keys; without them, keep a copy of the folder pki_dir elsewhere. Run it as the collector's user, or
    as root.

    \b
    Examples:
      libcensus-collector backup --output /backup/census-$(date +%F).zip
      libcensus-collector backup --output /backup/census.zip --overwrite
      libcensus-collector backup --output census.zip --with-keys && age -r age1… -o census.zip.age census.zip
    """  # noqa: D301
    from libcensus.collector.backup.command import run_backup  # noqa: PLC0415

    place = _settings_place(config)
    return run_backup(
        load_settings(flags, os.environ, config).settings,
        place if place.exists() else None,
        file,
        with_keys=with_keys,
        overwrite=overwrite,
        write=_print,
        warn=lambda text: click.echo(f"{PROGRAM}: {text}", err=True),
    )


@cli.command(epilog=_BACKUP_EXIT_CODES)
@_setting_options_of_a_backup
@click.argument("file", type=click.Path(path_type=Path), required=False, metavar="[FILE]")
@click.option("--replace", is_flag=True, help="Also where database, authority or documents are there already.")
@click.option("--check", is_flag=True, help="Compare the archive with its manifest, say what is in it, change nothing.")
@click.option("--recover", is_flag=True, help="Undo, or finish, a restore that was cut short; without FILE.")
@_OUTPUT
def restore(
    config: Path | None,
    file: Path | None,
    *,
    replace: bool,
    check: bool,
    recover: bool,
    output: str,
    **flags: Any,
) -> int:
    """Put a backup back, as a whole or not at all; no collector may be running on the database.

    Everything goes where the settings of this machine say; where it has no settings file, the archive's is put there
    and holds. SQLite and PostgreSQL take backups of each other. Backups of older versions are brought up to date.

    \b
    Examples:
      libcensus-collector restore --check /backup/census.zip
      libcensus-collector restore /backup/census.zip
      libcensus-collector restore /backup/census.zip --replace
      libcensus-collector restore /backup/census.zip --database postgresql://census@db.example/census
    """  # noqa: D301
    from libcensus.collector.backup.command import run_check, run_recover, run_restore  # noqa: PLC0415

    if recover:
        if file is not None or check or replace:
            raise click.UsageError("--recover stands alone: what it undoes or finishes is written down")
        return run_recover(load_settings(flags, os.environ, config).settings, write=_print)
    if file is None:
        raise click.UsageError("missing argument FILE, the archive that `backup` wrote")
    if check:
        return run_check(file, output, write=_print)
    place = _settings_place(config)

    def load(fallback: Path | None) -> tuple[CollectorSettings, Path]:
        return load_settings(flags, os.environ, config if place.exists() else fallback).settings, place

    return run_restore(file, load, output, replace=replace, write=_print)


@cli.group(name="config")
def config_group() -> None:
    """Look at the settings."""


@config_group.command(name="show", epilog=_EXIT_CODES)
@_setting_options
@click.option("--origin", is_flag=True, help="Say where each value came from.")
@click.option("--output", type=click.Choice(["table", "json"]), default="table", show_default=True)
def show_config(config: Path | None, *, origin: bool, output: str, **flags: Any) -> None:
    """Show the settings that `serve` would use with the same flags and environment.

    \b
    Examples:
      libcensus-collector config show --origin
      libcensus-collector config show --output json
      libcensus-collector config show --config ./collector.toml
    """  # noqa: D301
    loaded = load_settings(flags, os.environ, config)
    _print(_show_json(loaded) if output == "json" else _show_table(loaded, origin=origin))
    for warning in loaded.warnings:
        click.echo(f"{PROGRAM}: warning: {escape_control(warning)}", err=True)


def _show_table(loaded: LoadedSettings, *, origin: bool) -> str:
    rows = show_settings(loaded)
    name_width = max(len(name) for name, _, _ in rows)
    value_width = max(len(value) for _, value, _ in rows)
    lines = [
        f"{name:<{name_width}}  {value:<{value_width}}  {source}" if origin else f"{name:<{name_width}}  {value}"
        for name, value, source in rows
    ]
    return "\n".join(line.rstrip() for line in lines)


def _show_json(loaded: LoadedSettings) -> str:
    shown = {
        name: {"value": text if name == "database" else getattr(loaded.settings, name), "origin": source}
        for name, text, source in show_settings(loaded)
    }
    # What JSON has no word for is shown as it is written.
    return json.dumps(shown, indent=2, default=str)


@cli.command()
def version() -> None:
    """Show the versions of the collector and of the Python that runs it."""
    _print(f"{PROGRAM} {distribution_version('libcensus-collector')} (Python {platform.python_version()})")


@cli.command()
@click.argument("shell", type=click.Choice(_SHELLS))
def completion(shell: str) -> None:
    """Print the script that completes this command's words in a shell.

    \b
    Examples:
      source <(libcensus-collector completion bash)
      libcensus-collector completion fish > ~/.config/fish/completions/libcensus-collector.fish
    """  # noqa: D301
    completer = get_completion_class(shell)
    if completer is None:
        raise ConfigurationError(f"{shell}: completion is not known for this shell; it is for {', '.join(_SHELLS)}")
    _print(completer(cli, {}, PROGRAM, "_LIBCENSUS_COLLECTOR_COMPLETE").source())


def main() -> None:
    """Run the command, and end with the exit code that the outcome has."""
    sys.exit(run(sys.argv[1:]))


def run(arguments: list[str]) -> int:
    """Run the command with these arguments; returns the exit code instead of leaving the process."""
    try:
        # Not rich-click's own: it prints errors itself and leaves the process.
        outcome = BaseCommand.main(
            cli,
            args=arguments,
            prog_name=PROGRAM,
            standalone_mode=False,
            complete_var="_LIBCENSUS_COLLECTOR_COMPLETE",
        )
    except CollectorError as error:
        click.echo(f"{PROGRAM}: error: {escape_control(str(error))}", err=True)
        return error.exit_code
    except Abort:
        return 130
    except NoArgsIsHelpError as error:
        click.echo(error.format_message(), err=True)
        return error.exit_code
    except click.ClickException as error:
        hint = ""
        if isinstance(error, UsageError) and error.ctx is not None:
            hint = f"; see `{error.ctx.command_path} --help`"
        message = escape_control(error.format_message()).rstrip(".")
        click.echo(f"{PROGRAM}: error: {message[:1].lower()}{message[1:]}{hint}", err=True)
        return error.exit_code
    except Exception as error:
        if os.environ.get(f"{ENVIRONMENT_PREFIX}LOG_LEVEL") == "debug":
            # The error may have come before the command began to log.
            start_logging("debug", "text")
        _LOGGER.debug("internal error", exc_info=error)
        click.echo(
            f"{PROGRAM}: error: internal error: {type(error).__name__}: {escape_control(str(error))}; "
            f"run it again with {ENVIRONMENT_PREFIX}LOG_LEVEL=debug to see where",
            err=True,
        )
        return _EXIT_INTERNAL
    return outcome if isinstance(outcome, int) else 0
