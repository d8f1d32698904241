"""Real Debian roots, made by debootstrap from the mirror that this machine's apt uses.

A root is made once per machine and kept in a cache folder, because the suite reads it and never changes it. What is put
into it beside Debian's packages is in :mod:`tests.fleet.furniture`.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
from pathlib import Path

CACHE = Path(os.environ.get("LIBCENSUS_TEST_ROOTS", "/var/tmp/libcensus-test-roots"))

PYTHONS = {"bullseye": "3.9", "bookworm": "3.11", "trixie": "3.13", "forky": "3.14"}
"""The suites that roots are made of, oldest first, with the Python of each."""

PACKAGES = (
    *("python3", "python3-venv", "python3-cryptography", "virtualenv", "pypy3"),
    *("nodejs", "ruby", "perl", "libnet-ssleay-perl", "php-cli", "php-curl"),
)
"""What is installed in every root; where a release lacks one, :func:`has_package` says so."""

SCRIPTS = Path("/usr/share/debootstrap/scripts")
ENVIRONMENT = {
    "PATH": "/usr/sbin:/usr/bin:/sbin:/bin",
    "LANG": "C.UTF-8",
    "HOME": "/root",
    "DEBIAN_FRONTEND": "noninteractive",
}
_INSTALL = """
set -eu
apt() { apt-get -q -o Acquire::Check-Valid-Until=false -o APT::Sandbox::User=root "$@"; }
apt update
there=$(for name in "$@"; do if apt-cache show "$name" >/dev/null 2>&1; then echo "$name"; fi; done)
apt install -y --no-install-recommends $there
apt clean
rm -rf /var/lib/apt/lists/*
"""


def mirror() -> str:
    """Return the address of the Debian archive that apt on this machine is set to."""
    for address in _archives():
        if "security" not in address:
            return address
    raise AssertionError("apt knows no Debian archive here; run apt-get update first")


def security_mirror() -> str:
    """Return the address of Debian's security archive that apt is set to; that beside the archive where it is not."""
    return next((address for address in _archives() if "security" in address), mirror().rstrip("/") + "-security")


def _archives() -> list[str]:
    listing = subprocess.run(
        ["apt-get", "indextargets", "--format", "$(ORIGIN)|$(RELEASE)|$(REPO_URI)", "Created-By: Packages"],
        check=True,
        capture_output=True,
        text=True,
    ).stdout
    parts = [line.split("|", 2) for line in sorted(set(listing.splitlines()))]
    return [address for origin, release, address in parts if origin == "Debian" and "/" not in release]


def digest_of(*parts: str) -> str:
    """Return what tells whether a root was made by the same recipe."""
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()


def debian_root(suite: str, packages: tuple[str, ...] = PACKAGES, *, kind: str = "fleet") -> Path:
    """Return a folder with a Debian of this suite and these packages; made when it is not there yet."""
    root = CACHE / f"{kind}-{suite}"
    stamp = root.with_suffix(".packages")
    recipe = digest_of(suite, *packages, _INSTALL)
    if stamp.exists() and stamp.read_text(encoding="ascii") == recipe:
        return root
    CACHE.mkdir(mode=0o700, parents=True, exist_ok=True)
    stamp.unlink(missing_ok=True)
    shutil.rmtree(root, ignore_errors=True)
    script = suite if (SCRIPTS / suite).exists() else "sid"
    log = root.with_suffix(".log")
    with log.open("w", encoding="utf-8") as output:
        for command in (
            ["debootstrap", "--variant=minbase", suite, str(root), mirror(), script],
            inside(root, "/bin/sh", "-c", _INSTALL, "install", *packages),
        ):
            done = subprocess.run(command, stdout=output, stderr=subprocess.STDOUT, check=False, env=ENVIRONMENT)
            assert done.returncode == 0, f"making {root} failed:\n{log.read_text(encoding='utf-8')[-2000:]}"
    stamp.write_text(recipe, encoding="ascii")
    return root


def foreign_root(suite: str, arch: str, emulator: Path) -> Path:
    """Return a folder with unpacked packages of another architecture, and an emulator that runs its programs.

    No script of a package has run and dpkg knows nothing there, as in an image that was put together from archives.
    """
    root = CACHE / f"fleet-{suite}-{arch}"
    stamp = root.with_suffix(".packages")
    packages = [name for name in PACKAGES if name not in ("python3-venv", "virtualenv", "pypy3")]
    recipe = digest_of(suite, arch, *packages)
    if stamp.exists() and stamp.read_text(encoding="ascii") == recipe:
        return root
    CACHE.mkdir(mode=0o700, parents=True, exist_ok=True)
    stamp.unlink(missing_ok=True)
    shutil.rmtree(root, ignore_errors=True)
    options = ["--foreign", f"--arch={arch}", "--variant=minbase", f"--include={','.join(packages)}"]
    log = root.with_suffix(".log")
    with log.open("w", encoding="utf-8") as output:
        done = subprocess.run(
            ["debootstrap", *options, suite, str(root), mirror()], stdout=output, stderr=subprocess.STDOUT, check=False
        )
    assert done.returncode == 0, f"making {root} failed:\n{log.read_text(encoding='utf-8')[-2000:]}"
    for archive in sorted((root / "var" / "cache" / "apt" / "archives").glob("*.deb")):
        subprocess.run(["dpkg-deb", "--extract", str(archive), str(root)], check=True)
        archive.unlink()
    shutil.rmtree(root / "debootstrap")
    shutil.copy(emulator, root / "emulator")
    stamp.write_text(recipe, encoding="ascii")
    return root


def has_package(root: Path, name: str) -> bool:
    """Tell whether a package is installed in the root."""
    return name in run_inside(root, "dpkg-query", "-W", "-f", "${Package}\\n").splitlines()


def run_inside(root: Path, *command: str) -> str:
    """Run a command in the root and return what it prints: the test may run what the product only reads."""
    done = subprocess.run(
        inside(root, *command), check=False, capture_output=True, text=True, env=ENVIRONMENT, stdin=subprocess.DEVNULL
    )
    assert done.returncode == 0, f"{' '.join(command)} in {root.name} failed:\n{done.stderr[-2000:]}"
    return done.stdout


def inside(root: Path, *command: str) -> list[str]:
    """Return the command line that runs a command in the root with a /proc of its own, which ends with it."""
    script = 'mount -t proc proc "$1/proc" && exec chroot "$@"'
    return ["unshare", "--mount", "--pid", "--fork", "/bin/sh", "-c", script, "inside", str(root), *command]
