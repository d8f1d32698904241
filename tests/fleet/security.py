"""Small Debian roots without and with what the security archive has, for verdicts about really open packages."""

from __future__ import annotations

import shutil
import subprocess
from typing import TYPE_CHECKING

from tests.fleet.roots import CACHE, ENVIRONMENT, SCRIPTS, digest_of, inside, mirror, security_mirror

if TYPE_CHECKING:
    from pathlib import Path

SUITES = {"bullseye": "11", "bookworm": "12", "trixie": "13"}
"""The suites with a table on board, and what os-release calls them."""

_UPGRADE = """
set -eu
echo "deb $1 $2-security main" > /etc/apt/sources.list.d/security.list
apt() { apt-get -q -o Acquire::Check-Valid-Until=false -o APT::Sandbox::User=root "$@"; }
apt update
apt upgrade -y
apt clean
rm -rf /var/lib/apt/lists/*
"""


def open_root(suite: str) -> Path:
    """Return a root as its release's archive has it, with Python and without any security update."""
    root = CACHE / f"open-{suite}"
    script = suite if (SCRIPTS / suite).exists() else "sid"
    command = ["debootstrap", "--variant=minbase", "--include=python3", suite, str(root), mirror(), script]
    return _made(root, digest_of(*command[:-2]), command)


def secured_root(suite: str) -> Path:
    """Return the same root with the security archive's updates."""
    plain = open_root(suite)
    root = CACHE / f"secured-{suite}"
    recipe = digest_of(suite, _UPGRADE, str(plain.with_suffix(".packages").stat().st_mtime_ns))
    if not _is_made(root, recipe):
        shutil.rmtree(root, ignore_errors=True)
        subprocess.run(["cp", "-a", str(plain), str(root)], check=True)
    return _made(
        root, recipe, inside(root, "/bin/sh", "-c", _UPGRADE, "upgrade", security_mirror(), suite), fresh=False
    )


def _is_made(root: Path, recipe: str) -> bool:
    stamp = root.with_suffix(".packages")
    return stamp.exists() and stamp.read_text(encoding="ascii") == recipe


def _made(root: Path, recipe: str, command: list[str], *, fresh: bool = True) -> Path:
    """Return the root; made by the command where it isn't there yet by this recipe."""
    if _is_made(root, recipe):
        return root
    CACHE.mkdir(mode=0o700, parents=True, exist_ok=True)
    root.with_suffix(".packages").unlink(missing_ok=True)
    if fresh:
        shutil.rmtree(root, ignore_errors=True)
    log = root.with_suffix(".log")
    with log.open("w", encoding="utf-8") as output:
        done = subprocess.run(command, stdout=output, stderr=subprocess.STDOUT, check=False, env=ENVIRONMENT)
    assert done.returncode == 0, f"making {root} failed:\n{log.read_text(encoding='utf-8')[-2000:]}"
    root.with_suffix(".packages").write_text(recipe, encoding="ascii")
    return root
