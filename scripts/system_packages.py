"""Make sure that the system packages which a make target needs are there.

As root on a Debian-like system, what is missing is installed; otherwise it is named, and the run fails: a test that
cannot run is never skipped silently. Uses the standard library only, because it runs before anything is installed.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

# What proves that a package is there, and the Debian package that brings it.
NEEDS: dict[str, list[tuple[str, str]]] = {
    "test": [
        ("gcc", "gcc"),
        ("readelf", "binutils"),
        ("strace", "strace"),
        ("promtool", "prometheus"),
        ("prometheus", "prometheus"),
        ("amtool", "prometheus-alertmanager"),
        ("/usr/lib/postgresql/*/bin/initdb", "postgresql"),
        ("/usr/include/openssl/ssl.h", "libssl-dev"),
        ("/usr/include/stdio.h", "libc6-dev"),
        ("/usr/include/zlib.h", "zlib1g-dev"),
        ("find", "findutils"),
        ("git", "git"),
        ("unshare", "util-linux"),
        ("ps", "procps"),
        ("rpm", "rpm"),
        ("zstd", "zstd"),
        ("chromium", "chromium"),
        ("systemd-analyze", "systemd"),
        ("/usr/lib/*/faketime/libfaketimeMT.so.1", "libfaketime"),
    ],
    "fleet-test": [
        ("debootstrap", "debootstrap"),
        ("systemd-nspawn", "systemd-container"),
        ("ip", "iproute2"),
        ("ssh", "openssh-client"),
        ("nsenter", "util-linux"),
        ("chroot", "coreutils"),
        ("mount", "mount"),
        ("qemu-aarch64-static", "qemu-user-static"),
    ],
    "bundle": [("make", "make")],
    "lint": [("shellcheck", "shellcheck")],
    "demo-grafana": [("prometheus", "prometheus"), ("promtool", "prometheus")],
    "bench": [
        ("nm", "binutils"),
        ("find", "findutils"),
        ("time", "time"),
        ("prometheus", "prometheus"),
        ("promtool", "prometheus"),
    ],
}


def is_present(proof: str) -> bool:
    """Tell whether a command is on the PATH, or a file that matches a pattern exists."""
    if proof.startswith("/"):
        return any(Path("/").glob(proof.lstrip("/")))
    return shutil.which(proof) is not None


def main() -> None:
    """Check the needs of the targets given as arguments."""
    needs = [need for target in sys.argv[1:] for need in NEEDS[target]]
    missing = sorted({package for proof, package in needs if not is_present(proof)})
    if not missing:
        return
    command = ["apt-get", "install", "-y", "--no-install-recommends", *missing]
    if os.geteuid() != 0 or shutil.which("apt-get") is None:
        sys.exit(
            f"missing system packages: {' '.join(missing)}\ninstall them (as root: {' '.join(command)}) and run again"
        )
    print(f"installing system packages: {' '.join(missing)}", flush=True)
    environment = os.environ | {"DEBIAN_FRONTEND": "noninteractive"}
    subprocess.run(["apt-get", "update", "-q"], check=True, env=environment, stdout=subprocess.DEVNULL)
    subprocess.run(command, check=True, env=environment, stdout=subprocess.DEVNULL)
    still = sorted({package for proof, package in needs if not is_present(proof)})
    if still:
        sys.exit(f"installed, but not found afterwards: {' '.join(still)}")


if __name__ == "__main__":
    main()
