"""``libcensus identity show``: who this command is to a collector, and until when."""

from __future__ import annotations

from typing import TYPE_CHECKING

import rich_click as click

from libcensus.cli.help import Command, Group
from libcensus.cli.options import collector_option, output_option, teach

if TYPE_CHECKING:
    from datetime import datetime

    from libcensus.cli.config import CollectorAddress
    from libcensus.cli.credential import Credential
    from libcensus.cli.terminal import Output

EXIT_ENDED = 5


@click.group("identity", cls=Group, short_help="Look at the operator's identity.")
def identity_group() -> None:
    """Look at the operator's identity: what collectors beyond this machine know this command by.

    It is one PEM file (key, certificate chain, trusted roots) that `libcensus-collector operator create NAME --output
    FILE` makes. The file is named by --identity, LIBCENSUS_IDENTITY or the configuration file, or lies at
    ~/.config/libcensus/operator.pem; nobody but its owner may read it. Every command that asks a collector renews it
    when two thirds of its life are over.
    """


@identity_group.command(
    "show",
    cls=Command,
    short_help="Show who this command is to a collector, and until when.",
    epilog=teach(
        "libcensus identity show",
        "libcensus identity show --output json | jq -r .ends",
        codes=(0, 2, 3, 5, 70),
        words={0: "fine, also where there is no identity", 5: "the certificate has ended, or is not good yet"},
    ),
)
@collector_option
@output_option
def show_identity_command(collector: CollectorAddress, output: str) -> int:
    """Show whom the certificate names, until when it is good, when it is renewed, and which roots are trusted.

    Nobody is asked, and nothing is renewed.
    """
    from datetime import UTC, datetime  # noqa: PLC0415 - `--help` must not pay for cryptography

    from libcensus.cli.credential import CREATE, load_credential  # noqa: PLC0415
    from libcensus.cli.terminal import Output  # noqa: PLC0415

    out = Output()
    if collector.identity is None:
        if output == "json":
            out.json(None)
        else:
            out.line(
                f"No identity: only a collector on this machine can be asked, in plaintext. Make one with {CREATE}."
            )
        return 0
    credential, now = load_credential(collector.identity), datetime.now(UTC)
    told = _told(credential, collector, now)
    if output == "json":
        out.json(told)
    else:
        _print(out, credential, told, now)
    return 0 if credential.begins_at <= now < credential.ends_at else EXIT_ENDED


def _told(credential: Credential, collector: CollectorAddress, now: datetime) -> dict[str, object]:
    from libcensus.cli.client import enrollment_address  # noqa: PLC0415

    if now < credential.begins_at:
        state = "not_yet"
    elif now >= credential.ends_at:
        state = "ended"
    else:
        state = "good" if now < credential.renews_at or credential.file is None else "renewal_due"
    renews_itself = credential.file is not None
    return {
        "name": credential.uri or None,
        "state": state,
        "begins": _moment(credential.begins_at),
        "ends": _moment(credential.ends_at),
        "renews": _moment(credential.renews_at) if renews_itself else None,
        "renewed_at": enrollment_address(collector) if renews_itself else None,
        "file": credential.said.removesuffix(f" ({credential.origin})"),
        "origin": credential.origin,
        "serial": f"{credential.leaf.serial_number:x}",
        "issuer": credential.leaf.issuer.rfc4514_string(),
        "roots": list(credential.fingerprints),
    }


def _print(out: Output, credential: Credential, told: dict[str, object], now: datetime) -> None:
    from libcensus.cli.credential import tell_time_left  # noqa: PLC0415

    style = "green" if told["state"] == "good" else "yellow" if told["state"] == "renewal_due" else "red"
    left = "it is not good yet" if told["state"] == "not_yet" else tell_time_left(credential, now)
    renewal = "never by this command: an external CA made it"
    if told["renews"] is not None:
        renewal = f"from {told['renews']} on, at {told['renewed_at'] or 'no address: set collector.enroll_address'}"
    for title, text, look in (
        ("Name", str(told["name"] or "the certificate names nobody"), "bold"),
        ("File", f"{told['file']} ({told['origin']})", ""),
        ("Good", f"{told['begins']} to {told['ends']}, {left}", style),
        ("Renewed", renewal, ""),
        ("Serial", str(told["serial"]), ""),
        ("Issuer", str(told["issuer"]), ""),
        *(("Trusts", f"SHA-256 {root}", "") for root in credential.fingerprints),
    ):
        out.prose((f"{title:<9}", "dim"), (text, look))


def _moment(moment: datetime) -> str:
    return moment.strftime("%Y-%m-%dT%H:%M:%SZ")
