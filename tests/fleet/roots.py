"""Real Debian roots, made by debootstrap from the mirror that this machine's apt uses.

A root is made once per machine and kept in a cache folder, because the suite reads it and never changes it.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

CACHE = Path(os.environ.get("LIBCENSUS_TEST_ROOTS", "/var/tmp/libcensus-test-roots"))


def mirror() -> str:
    """Return the address of the Debian archive that apt on this machine is set to."""
    listing = subprocess.run(
        ["apt-get", "indextargets", "--format", "$(ORIGIN)|$(RELEASE)|$(REPO_URI)", "Created-By: Packages"],
        check=True,
        capture_output=True,
        text=True,
    ).stdout
    for line in sorted(set(listing.splitlines())):
        origin, release, address = line.split("|", 2)
        if origin == "Debian" and "security" not in address and "/" not in release:
            return address
    raise AssertionError("apt knows no Debian archive here; run apt-get update first")


def debian_root(suite: str, *packages: str) -> Path:
    """Return a folder with a minimal Debian of this suite and these packages; made when it is not there yet."""
    name = "-".join([suite, *sorted(packages)])
    root = CACHE / name
    stamp = root.with_suffix(".complete")
    if stamp.exists():
        return root
    CACHE.mkdir(mode=0o700, parents=True, exist_ok=True)
    shutil.rmtree(root, ignore_errors=True)
    command = ["debootstrap", "--variant=minbase", f"--include={','.join(packages)}", suite, str(root), mirror()]
    log = root.with_suffix(".log")
    with log.open("w", encoding="utf-8") as output:
        done = subprocess.run(command, stdout=output, stderr=subprocess.STDOUT, check=False)
    assert done.returncode == 0, f"debootstrap {suite} failed:\n{log.read_text(encoding='utf-8')[-2000:]}"
    stamp.touch()
    return root


def run_inside(root: Path, *command: str) -> str:
    """Run a command in the root and return what it prints: the test may run what the product only reads."""
    environment = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "LANG": "C.UTF-8"}
    done = subprocess.run(["chroot", str(root), *command], check=True, capture_output=True, text=True, env=environment)
    return done.stdout
