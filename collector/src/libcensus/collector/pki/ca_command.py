"""The commands ``ca init``, ``show``, ``rotate`` and ``retire``: what they print, and the code that they end with."""

from __future__ import annotations

import json
from contextlib import closing
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from libcensus.collector.errors import StoreError
from libcensus.collector.labels import open_store
from libcensus.collector.pki.audit import AuditEvent
from libcensus.collector.pki.authority import Authority, fingerprint, retire_root, rotate_issuing, rotate_root
from libcensus.collector.pki.command_line import audit_log, now_utc, pairs, pki_folder, rfc3339, who_runs_this
from libcensus.collector.pki.errors import CutOffError

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime
    from pathlib import Path

    from libcensus.collector.config import CollectorSettings

_SUBJECT = "ca"
_MARGIN = timedelta(minutes=5)
"""How long after a rotation a collector may still have issued with what it had read before."""

_OFFLINE = """\
Only `ca rotate` needs root.key. Keep it where no collector runs, and bring it back for that:
  mv {folder}/root.key /media/safe/"""


def run_init(
    settings: CollectorSettings,
    output: str,
    *,
    write: Callable[[str], None],
    clock: Callable[[], datetime] = now_utc,
) -> int:
    """Make a certificate authority and say what comes next; returns the exit code. Raises ConfigurationError."""
    folder = pki_folder(settings)
    authority = Authority.init(folder, settings.trust_domain, clock())
    _audit(settings, AuditEvent.CA_INITIALISED, f"fingerprint {authority.fingerprints[0]}")
    if output == "json":
        write(json.dumps(_document(authority, folder, clock()), indent=2))
        return 0
    write(_shown(authority, folder, clock()))
    write("\n" + _OFFLINE.format(folder=folder))
    names = "" if settings.server_names else " --server-names census.example"
    write(
        "\nNext, with the names by which hosts reach this collector:\n"
        f"  libcensus-collector serve --listen 0.0.0.0:9444{names}\n"
        "  libcensus-collector token create"
    )
    return 0


def run_show(
    settings: CollectorSettings,
    output: str,
    *,
    pem: bool,
    write: Callable[[str], None],
    clock: Callable[[], datetime] = now_utc,
) -> int:
    """Print fingerprints and ends, or the trusted roots; returns the exit code. Raises ConfigurationError."""
    folder, now = pki_folder(settings), clock()
    authority = Authority.load(folder, settings.trust_domain, now)
    if pem:
        write(authority.roots_pem.decode().rstrip("\n"))
    elif output == "json":
        write(json.dumps(_document(authority, folder, now), indent=2))
    else:
        write(_shown(authority, folder, now))
    return 0


def run_rotate(
    settings: CollectorSettings,
    output: str,
    *,
    root: bool,
    write: Callable[[str], None],
    clock: Callable[[], datetime] = now_utc,
) -> int:
    """Make a new issuing key, or a new root too; returns the exit code. Raises ConfigurationError."""
    folder, now = pki_folder(settings), clock()
    (rotate_root if root else rotate_issuing)(folder, now)
    authority = Authority.load(folder, settings.trust_domain, now)
    what = f"a new root and issuing key, fingerprint {authority.fingerprints[0]}" if root else "a new issuing key"
    _audit(settings, AuditEvent.CA_ROTATED, what)
    if output == "json":
        write(json.dumps(_document(authority, folder, now), indent=2))
        return 0
    write(_shown(authority, folder, now))
    write(f"\nRunning collectors take this up within seconds; on other machines copy {folder} (without root.key).")
    if root:
        life, old = timedelta(seconds=settings.certificate_lifetime), authority.fingerprints[1]
        write(
            f"The old root stays trusted. Hosts that are on have renewed within {life.days or 1} days; after that:\n"
            f"  libcensus-collector ca retire {old}"
        )
    if (folder / "root.key").exists():
        write("\n" + _OFFLINE.format(folder=folder))
    return 0


def run_retire(
    settings: CollectorSettings,
    root_fingerprint: str,
    output: str,
    *,
    force: bool,
    write: Callable[[str], None],
    clock: Callable[[], datetime] = now_utc,
) -> int:
    """Stop trusting an old root; returns the exit code. Raises ConfigurationError, StoreError, CutOffError."""
    folder, now = pki_folder(settings), clock()
    if not force:
        _refuse_cut(settings, folder, root_fingerprint, now)
    retired = retire_root(folder, root_fingerprint)
    _audit(settings, AuditEvent.CA_ROOT_RETIRED, f"fingerprint {fingerprint(retired)}")
    authority = Authority.load(folder, settings.trust_domain, now)
    if output == "json":
        write(json.dumps(_document(authority, folder, now), indent=2))
    else:
        write(f"retired {fingerprint(retired)}\n{_shown(authority, folder, now)}")
    return 0


def _refuse_cut(settings: CollectorSettings, folder: Path, root_fingerprint: str, now: datetime) -> None:
    """Raise CutOffError where somebody has no certificate of a later root yet."""
    authority = Authority.load(folder, settings.trust_domain, now)
    wanted = root_fingerprint.replace(":", "").lower()
    if wanted not in authority.fingerprints[1:]:
        return  # to be told by whoever retires it
    later = authority.roots[authority.fingerprints.index(wanted) - 1]
    made_at = later.not_valid_before_utc + timedelta(days=1)
    try:
        with open_store(settings) as store:
            certificates = store.certificates()
    except StoreError as error:
        raise StoreError(f"{error}; who has renewed cannot be told: --force retires the root all the same") from error
    grace = timedelta(seconds=settings.renewal_grace)
    newest: dict[str, Any] = {}
    for one in certificates:
        if one.revoked_at is None:
            newest.setdefault(one.subject, one)
    waiting = sorted(
        f"{one.hostname or one.subject}"
        for one in newest.values()
        if one.issued_at < made_at + _MARGIN and one.expires_at + grace > now
    )
    if waiting:
        shown = ", ".join(waiting[:5]) + (f" and {len(waiting) - 5} more" if len(waiting) > 5 else "")
        raise CutOffError(
            f"{len(waiting)} of those enrolled have not renewed since the root after {wanted} was made, and would have "
            f"to be enrolled again: {shown}; wait until they have, or retire it all the same with --force"
        )


def _audit(settings: CollectorSettings, event: AuditEvent, reason: str) -> None:
    with closing(audit_log(settings)) as log:
        log.record(event, subject=_SUBJECT, peer=who_runs_this(), reason=reason)


def _document(authority: Authority, folder: Path, now: datetime) -> dict[str, Any]:
    return {
        "folder": str(folder),
        "trust_domain": authority.trust_domain,
        "fingerprint": authority.fingerprints[0],
        "roots": [
            {"fingerprint": known, "expires": rfc3339(root.not_valid_after_utc)}
            for known, root in zip(authority.fingerprints, authority.roots, strict=True)
        ],
        "issuing_expires": rfc3339(authority.issuing_expires_at),
        "rotate_soon": authority.should_rotate(now),
        "root_key_present": (folder / "root.key").exists(),
    }


def _shown(authority: Authority, folder: Path, now: datetime) -> str:
    rows = [("trust domain", authority.trust_domain), ("folder", str(folder))]
    for known, root in zip(authority.fingerprints, authority.roots, strict=True):
        name = "fingerprint" if root is authority.roots[0] else "older root"
        rows.append((name, f"{known}  until {rfc3339(root.not_valid_after_utc)}"))
    soon = "  run libcensus-collector ca rotate soon" if authority.should_rotate(now) else ""
    rows.append(("issuing", f"until {rfc3339(authority.issuing_expires_at)}{soon}"))
    rows.append(("root key", "in the folder" if (folder / "root.key").exists() else "not in the folder"))
    return pairs(rows)
