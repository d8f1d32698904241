"""The commands ``token create``, ``list`` and ``revoke``: what they print, and the code that they end with."""

from __future__ import annotations

import json
import os
import shlex
import socket
from contextlib import closing
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path  # noqa: TC003  the dataclass decorator of slots needs it at run time
from typing import TYPE_CHECKING, Any

from libcensus.collector.errors import ConfigurationError, LabelError
from libcensus.collector.labels import open_store, show_labels
from libcensus.collector.pki.audit import AuditEvent
from libcensus.collector.pki.authority import Authority
from libcensus.collector.pki.command_line import (
    audit_log,
    now_utc,
    pairs,
    pki_folder,
    rfc3339,
    table,
    who_runs_this,
)
from libcensus.collector.pki.errors import ArgumentError
from libcensus.collector.pki.tokens import make_token
from libcensus.collector.posture.selector import MOST_LABELS, InvalidLabelError, parse_labels

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from datetime import datetime

    from libcensus.collector.config import CollectorSettings
    from libcensus.collector.pki.records import JoinToken

_DEFAULT_PORT = 9444
_DEFAULT_ENROLL_PORT = 9446
_DEFAULT_HTTP_PORT = 9445


@dataclass(frozen=True, slots=True)
class Choices:
    """What ``token create`` is asked for. ``lifetime`` is in seconds."""

    uses: int = 1
    lifetime: float = 3600.0
    hostname: str | None = None
    labels: Sequence[str] = ()
    replaces: bool = False
    file: Path | None = None
    collector: str | None = None


def run_create(
    settings: CollectorSettings,
    choices: Choices,
    output: str,
    *,
    quiet: bool,
    write: Callable[[str], None],
    clock: Callable[[], datetime] = now_utc,
) -> int:
    """Make a join token and print it once, or write it to a file; returns the exit code.

    Raises ConfigurationError, LabelError, StoreError.
    """
    labels = _labels(choices.labels)
    now = clock()
    authority = Authority.load(pki_folder(settings), settings.trust_domain, now)
    token, text = make_token(
        now,
        timedelta(seconds=choices.lifetime),
        uses=choices.uses,
        hostname=choices.hostname,
        labels=labels,
        replaces=choices.replaces,
    )
    with open_store(settings) as store:
        # The file first: a token that nobody can read must not be kept.
        if choices.file is not None:
            write_new_file(choices.file, f"{text}\n".encode())
        store.put_token(token)
    with closing(audit_log(settings)) as log:
        log.record(
            AuditEvent.TOKEN_CREATED,
            peer=who_runs_this(),
            host=token.hostname,
            token_id=token.token_id,
            reason=_says(token),
        )
    command = enroll_command(settings, choices.collector, authority.fingerprints[0])
    shown = None if choices.file is not None else text
    if quiet:
        write(shown or str(choices.file))
    elif output == "json":
        fingerprint = {"ca_fingerprint": authority.fingerprints[0], "command": command}
        where = {"token": shown} if choices.file is None else {"file": str(choices.file)}
        write(json.dumps({**where, **_document(token, now), **fingerprint}, indent=2))
    else:
        write(_created(token, shown, choices.file, authority.fingerprints[0], command))
    return 0


def run_list(
    settings: CollectorSettings,
    output: str,
    *,
    write: Callable[[str], None],
    clock: Callable[[], datetime] = now_utc,
) -> int:
    """Print the tokens that are kept; returns the exit code. Raises ConfigurationError, StoreError."""
    now = clock()
    with open_store(settings) as store:
        tokens = store.tokens()
    if output == "json":
        write(json.dumps([_document(token, now) for token in tokens], indent=2))
    elif tokens:
        rows = [
            [
                token.token_id,
                token_state(token, now),
                f"{token.uses - token.uses_left}/{token.uses}",
                rfc3339(token.expires_at) or "",
                token.hostname or "-",
                show_labels(token.labels),
                "yes" if token.replaces else "-",
            ]
            for token in tokens
        ]
        write(table(("TOKEN", "STATE", "USED", "EXPIRES", "HOST", "LABELS", "REPLACES"), rows))
    else:
        write("no token; make one with libcensus-collector token create")
    return 0


def run_revoke(
    settings: CollectorSettings,
    token_id: str,
    *,
    write: Callable[[str], None],
    clock: Callable[[], datetime] = now_utc,
) -> int:
    """Make a token useless; returns the exit code. Raises ArgumentError, ConfigurationError, StoreError."""
    # Who pastes a whole token means its id; the secret goes no further.
    wanted = token_id.split("-")[1] if token_id.count("-") == 2 else token_id
    with open_store(settings) as store:
        token = store.find_token(wanted)
        if token is None:
            raise ArgumentError("there is no token with this id; libcensus-collector token list shows those that are")
        is_new = store.revoke_token(wanted, clock())
    if is_new:
        with closing(audit_log(settings)) as log:
            log.record(AuditEvent.TOKEN_REVOKED, peer=who_runs_this(), host=token.hostname, token_id=wanted)
    write(f"token {wanted} {'is revoked' if is_new else 'was revoked already'}; whoever joined by it stays enrolled")
    return 0


def enroll_command(settings: CollectorSettings, collector: str | None, fingerprint: str) -> str:
    """Return the command that enrolls a host here, for the token on standard input."""
    name = collector or next((one for one in settings.server_names if "*" not in one), None) or socket.getfqdn()
    port = _port(settings.listen, _DEFAULT_PORT)
    if ":" in name and not name.startswith("["):
        name = f"[{name}]"
    words = ["libcensus-agent", "enroll", "--collector", name if port == _DEFAULT_PORT else f"{name}:{port}"]
    words += ["--ca-fingerprint", fingerprint, "--token-file", "-"]
    enroll_port = _port(settings.enroll_listen or "", _DEFAULT_ENROLL_PORT)
    if enroll_port != _DEFAULT_ENROLL_PORT:
        words += ["--enroll-port", str(enroll_port)]
    http_port = _port(settings.http_listen, _DEFAULT_HTTP_PORT)
    if http_port != _DEFAULT_HTTP_PORT:
        words += ["--http-port", str(http_port)]
    return shlex.join(words)


def token_state(token: JoinToken, now: datetime) -> str:
    """Return what a token is good for now: ``good``, ``revoked``, ``expired`` or ``used``."""
    if token.revoked_at is not None:
        return "revoked"
    if token.expires_at <= now:
        return "expired"
    return "good" if token.uses_left else "used"


def write_new_file(path: Path, content: bytes) -> None:
    """Write a file for its owner alone that is not there yet; raises ConfigurationError."""
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    except FileExistsError:
        raise ConfigurationError(f"{path}: is there already; name another file, or remove it") from None
    except OSError as error:
        raise ConfigurationError(f"{path}: cannot be written: {error.strerror}") from error
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
    except OSError as error:
        path.unlink(missing_ok=True)
        raise ConfigurationError(f"{path}: cannot be written: {error.strerror}") from error


def _labels(words: Sequence[str]) -> Mapping[str, str]:
    try:
        labels = parse_labels(one for word in words for one in word.split(",") if one)
    except InvalidLabelError as error:
        raise LabelError(f"--labels: {error}") from None
    if len(labels) > MOST_LABELS:
        raise LabelError(f"--labels: a host has at most {MOST_LABELS} labels")
    return labels


def _created(token: JoinToken, text: str | None, file: Path | None, fingerprint: str, command: str) -> str:
    rows = [
        ("token", text or f"in {file}"),
        ("token id", token.token_id),
        ("good for", f"{_says(token)}, until {rfc3339(token.expires_at)}"),
        ("fingerprint", fingerprint),
    ]
    if token.labels:
        rows.insert(3, ("labels", show_labels(token.labels)))
    return (
        f"{pairs(rows)}\n\n"
        "On the host, as root; it asks for the token, which is shown here only this once:\n"
        f"  {command}\n"
        "In scripts name a file of mode 0600 with the token instead of `-`. Where the host cannot reach the HTTP port\n"
        "here, give it the output of `libcensus-collector ca show --pem` as a file with --ca."
    )


def _says(token: JoinToken) -> str:
    uses = "1 enrollment" if token.uses == 1 else f"{token.uses} enrollments"
    bound = "" if token.hostname is None else f" of {token.hostname}"
    return f"{uses}{bound}{', also in place of one that is enrolled' if token.replaces else ''}"


def _document(token: JoinToken, now: datetime) -> dict[str, Any]:
    return {
        "token_id": token.token_id,
        "state": token_state(token, now),
        "uses": token.uses,
        "uses_left": token.uses_left,
        "created": rfc3339(token.created_at),
        "expires": rfc3339(token.expires_at),
        "revoked": rfc3339(token.revoked_at),
        "host": token.hostname,
        "labels": dict(token.labels),
        "replaces": token.replaces,
    }


def _port(address: str, default: int) -> int:
    port = address.rpartition(":")[2]
    return int(port) if port.isascii() and port.isdigit() and int(port) else default
