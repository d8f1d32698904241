"""``libcensus-agent enroll``: makes this host known to a collector, with a join token and the CA's fingerprint."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import click

from libcensus.agent.commands.options import common_options, load, setting_option, state_option, teach
from libcensus.agent.commands.terminal import print_line
from libcensus.agent.errors import AgentError, IdentityError, UsageError

if TYPE_CHECKING:
    from libcensus.agent.credentials import StoredIdentity

_EPILOG = teach(
    "libcensus-agent enroll --collector census.example --token-file token --ca-fingerprint $SHA256",
    "libcensus-agent enroll --collector census.example --token-file - --ca-fingerprint $SHA256   # asks for it",
    "libcensus-agent enroll --collector [2001:db8::7]:9444 --ca root.pem --token-file token --ca-fingerprint $SHA256",
    codes=(0, 2, 3, 4, 5, 70),
)


@click.command("enroll", short_help="Make this host known to a collector.", epilog=_EPILOG)
@setting_option(
    "--collector",
    "collector.address",
    metavar="HOST[:PORT]",
    help="The collector, by a name that its certificate holds; PORT is that of reports.  [default port: 9444]",
)
@click.option(
    "--token-file",
    required=True,
    metavar="FILE|-",
    help="File with the join token, or - for standard input. There is no flag for the token: `ps` would show it.",
)
@click.option(
    "--ca-fingerprint",
    required=True,
    metavar="SHA256",
    help="SHA-256 of the CA's certificate, as `libcensus-collector token create` prints it.",
)
@click.option(
    "--ca",
    "ca_file",
    type=click.Path(path_type=Path, dir_okay=False),
    help="CA certificates (PEM) from a file, instead of /ca.pem from the collector's HTTP port.",
)
@setting_option(
    "--enroll-port", "collector.enroll_port", type=int, metavar="PORT", help="Port of enrollment.  [default: 9446]"
)
@click.option(
    "--http-port",
    type=click.IntRange(1, 65535),
    default=9445,
    show_default=True,
    metavar="PORT",
    help="Port from which /ca.pem is fetched.",
)
@click.option("--force", is_flag=True, help="Enroll although this host is enrolled already.")
@state_option
@common_options
@click.pass_context
def enroll_command(
    context: click.Context, token_file: str, ca_fingerprint: str, ca_file: Path | None, http_port: int, *, force: bool
) -> int:
    """Get a certificate for this host from a collector, so that it can report there.

    The CA's certificate is fetched and compared with the fingerprint before anything is sent: whoever stands between
    learns nothing, not even the token. The key is made here and never leaves this host. `report` and `run` renew the
    certificate by themselves from then on.

    A host whose machine id is enrolled already is refused (exit 5): it is a copy of another machine, or was installed
    anew, for which the collector gives tokens of their own.
    """
    config = load(context)

    from libcensus.agent.credentials import IdentityFolder  # noqa: PLC0415 - `--help` must not pay for it
    from libcensus.agent.identity import find_identity  # noqa: PLC0415
    from libcensus.agent.state import StateFolder  # noqa: PLC0415
    from libcensus.agent.target import parse_target  # noqa: PLC0415

    if config.values["collector.address"].origin == "default":
        raise UsageError("--collector is missing: name the collector by a name that its certificate holds")
    target = parse_target(config.collector.address)
    if target.host is None:
        raise UsageError("a collector that is reached by a unix socket needs no enrollment")
    folder = IdentityFolder(config.state.folder)
    if not force and (present := folder.current()) is not None:
        return _tell_present(present, ca_fingerprint)

    from libcensus.agent.enrollment import Request, enroll, parse_fingerprint, read_token  # noqa: PLC0415

    wanted = parse_fingerprint(ca_fingerprint)
    state = StateFolder(config.state.folder)
    state.create()
    token = read_token(token_file)
    with state.lock():
        request = Request(
            target=target,
            enroll_port=config.collector.enroll_port,
            http_port=http_port,
            ca_fingerprint=wanted,
            ca_file=ca_file,
            host_id=find_identity(state.path).host_id,
        )
        try:
            identity = enroll(request, token, folder, config.collector)
        except OSError as error:
            raise AgentError(
                f"the identity of this host cannot be kept in {folder.path}: {error.strerror}; make room there and run "
                "the same command again"
            ) from None
        state.update({"renewal": None, "last_failure": None})
    print_line(f"enrolled: host {identity.facts.host_id} at {identity.facts.collector}")
    _tell_certificate(identity)
    print_line("next: libcensus-agent report (or start its timer, or libcensus-agent run)")
    return 0


def _tell_present(present: StoredIdentity, ca_fingerprint: str) -> int:
    """Say that this host is enrolled already; raises IdentityError where that is of no use for what was asked."""
    from libcensus.agent.credentials import certificates_in, fingerprint, tell_moment  # noqa: PLC0415 - as above
    from libcensus.agent.enrollment import parse_fingerprint  # noqa: PLC0415

    wanted = parse_fingerprint(ca_fingerprint)
    if wanted not in {fingerprint(der) for der in certificates_in(present.credentials.roots)}:
        raise IdentityError(
            f"this host is enrolled already, at {present.facts.collector} and under another CA than {wanted}; use "
            "--force to enroll it at this one"
        )
    if present.facts.not_after <= datetime.now(UTC):
        print_line(
            f"the certificate of this host expired on {tell_moment(present.facts.not_after)}; `libcensus-agent report` "
            "renews it as long as the collector's grace period lasts, and --force enrolls anew"
        )
    print_line(f"enrolled already: host {present.facts.host_id} at {present.facts.collector}; --force does it again")
    _tell_certificate(present)
    return 0


def _tell_certificate(identity: StoredIdentity) -> None:
    from libcensus.agent.credentials import tell_moment  # noqa: PLC0415 - as above

    facts = identity.facts
    print_line(
        f"certificate: {facts.uri}, good until {tell_moment(facts.not_after)}, renewed from "
        f"{tell_moment(facts.renew_at)} on by `report` and `run`"
    )
