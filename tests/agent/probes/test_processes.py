"""Running interpreters: real processes whose files are replaced while they run, and tables of what kernels show."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from libcensus.agent.host import Root
from libcensus.agent.probes.processes import ProcessReading, RunningRoot, read_processes
from libcensus.agent.probes.skips import Skips
from libcensus.facts.crypto import CryptoUse
from libcensus.facts.interpreter import Install
from libcensus.facts.process import MappedLibrary, ProcessGroup
from libcensus.facts.vocabulary import Implementation, Installer, InstallKind, Linkage, MappingState
from tests.agent.procfs import Procfs, mapping
from tests.agent.roots import as_nobody, make_crypto, needs_gcc

if TYPE_CHECKING:
    from collections.abc import Iterator

PROGRAM = """
import ctypes, sys
if len(sys.argv) > 1:
    ctypes.CDLL(sys.argv[1])
print("ready", flush=True)
sys.stdin.readline()
"""


def install(path: Path | str, realpath: Path | str | None = None, kind: InstallKind = InstallKind.BASE) -> Install:
    return Install(
        root="/",
        path=str(path),
        realpath=str(realpath or path),
        kind=kind,
        implementation=Implementation.CPYTHON,
        installer=Installer.UNKNOWN,
        build=None,
        crypto=CryptoUse(Linkage.UNRESOLVED),
    )


@pytest.fixture
def interpreter(tmp_path: Path) -> Path:
    """A copy of the interpreter that runs the tests: a file of its own, that may be replaced."""
    target = tmp_path / "python/bin/python3"
    target.parent.mkdir(parents=True)
    shutil.copy2(os.path.realpath(sys.executable), target)
    return target


@contextmanager
def running(executable: Path, *arguments: str, argv0: str | None = None) -> Iterator[int]:
    """Run a Python that waits; its modules come from where the tests' own come from."""
    variables = {"PYTHONHOME": sys.base_prefix, "LD_LIBRARY_PATH": f"{sys.base_prefix}/lib", "PATH": "/usr/bin:/bin"}
    child = subprocess.Popen(
        [argv0 or str(executable), "-s", "-c", PROGRAM, *arguments],
        executable=executable,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env=variables,
    )
    with child:
        assert child.stdout is not None
        assert child.stdout.readline() == "ready\n"
        yield child.pid
        child.communicate("\n")


def read(*installs: Install) -> tuple[ProcessReading, Skips]:
    skips = Skips()
    with Root.open("/") as root:
        return read_processes([RunningRoot.of(root, installs)], skips), skips


def group_of(reading: ProcessReading, pid: int) -> ProcessGroup:
    (group,) = [one for one in reading.processes.groups if pid in [example.pid for example in one.examples]]
    return group


def states(group: ProcessGroup) -> dict[str, MappingState]:
    return {library.path.rpartition("/")[2]: library.state for library in group.libraries}


@needs_gcc
def test_a_library_that_changes_on_disk_while_it_is_mapped(tmp_path: Path, interpreter: Path) -> None:
    _, crypto = make_crypto(tmp_path / "lib")
    new = crypto.read_bytes()
    with running(interpreter, str(crypto)) as pid:
        known = install(interpreter)
        group = group_of(read(known)[0], pid)
        assert (group.install, group.state, group.processes) == (str(interpreter), MappingState.CURRENT, 1)
        assert states(group) == {"libcrypto.so.9": MappingState.CURRENT}
        # The way of package managers: a new file takes the name.
        (tmp_path / "lib/new").write_bytes(new)
        (tmp_path / "lib/new").rename(crypto)
        assert states(group_of(read(known)[0], pid)) == {"libcrypto.so.9": MappingState.REPLACED}
        crypto.unlink()
        assert states(group_of(read(known)[0], pid)) == {"libcrypto.so.9": MappingState.DELETED}


@needs_gcc
def test_a_library_that_only_moved_or_was_linked_again_is_current(tmp_path: Path, interpreter: Path) -> None:
    _, crypto = make_crypto(tmp_path / "lib")
    with running(interpreter, str(crypto)) as pid:
        known = install(interpreter)
        (tmp_path / "lib/kept").hardlink_to(crypto)
        crypto.unlink()
        (tmp_path / "lib/kept").rename(crypto)
        assert states(group_of(read(known)[0], pid)) == {"libcrypto.so.9": MappingState.CURRENT}
    with running(interpreter, str(crypto)) as pid:
        crypto.rename(tmp_path / "lib/libcrypto.so.9.old")
        assert states(group_of(read(known)[0], pid)) == {"libcrypto.so.9.old": MappingState.CURRENT}


@needs_gcc
def test_a_library_whose_name_ends_like_the_kernels_mark(tmp_path: Path, interpreter: Path) -> None:
    _, crypto = make_crypto(tmp_path / "lib")
    odd = crypto.rename(tmp_path / "lib/libcrypto.so.9 (deleted)")
    with running(interpreter, str(odd)) as pid:
        assert states(group_of(read(install(interpreter))[0], pid)) == {odd.name: MappingState.CURRENT}


def test_an_interpreter_that_is_replaced_or_gone(interpreter: Path) -> None:
    with running(interpreter) as pid:
        assert group_of(read(install(interpreter))[0], pid).state is MappingState.CURRENT
        new = shutil.copy2(interpreter, interpreter.with_name("new"))
        Path(new).rename(interpreter)
        group = group_of(read(install(interpreter))[0], pid)
        assert (group.state, group.install) == (MappingState.REPLACED, str(interpreter))
        shutil.rmtree(interpreter.parents[1])
        group = group_of(read()[0], pid)
        assert (group.state, group.install, group.executable) == (MappingState.DELETED, None, str(interpreter))


def test_which_environment_runs(tmp_path: Path, interpreter: Path) -> None:
    base = install(interpreter)
    environment = tmp_path / "env/bin/python"
    environment.parent.mkdir(parents=True)
    environment.symlink_to(interpreter)
    other = tmp_path / "other/bin/python"
    venv = install(environment, interpreter, InstallKind.VENV)
    installs = (base, venv, install(other, interpreter, InstallKind.VENV))
    with running(environment) as pid:
        assert group_of(read(*installs)[0], pid).install == str(environment)
    with running(interpreter) as pid:
        assert group_of(read(*installs)[0], pid).install == str(interpreter)
    with running(interpreter, argv0="python3") as pid:
        assert group_of(read(*installs)[0], pid).install == str(interpreter)
        # The only install of an executable is not the one that runs, when nothing says so.
        assert group_of(read(venv)[0], pid).install is None


@needs_gcc
def test_modules_tell_the_environment_when_the_command_line_does_not(tmp_path: Path, interpreter: Path) -> None:
    packages = tmp_path / "env/lib/python3.11/site-packages/thing"
    _, crypto = make_crypto(packages)
    environment = install(tmp_path / "env/bin/python", interpreter, InstallKind.VENV)
    with running(interpreter, str(crypto), argv0="worker") as pid:
        group = group_of(read(install(interpreter), environment)[0], pid)
    assert group.install == environment.path
    assert group.libraries == (MappedLibrary(str(crypto), MappingState.CURRENT, 1),)


def test_processes_of_one_kind_are_one_group_with_a_few_examples(interpreter: Path) -> None:
    children = []
    try:
        for _ in range(7):
            context = running(interpreter)
            context.__enter__()
            children.append(context)
        reading, _ = read(install(interpreter))
    finally:
        for context in children:
            context.__exit__(None, None, None)
    (group,) = [one for one in reading.processes.groups if one.executable == str(interpreter)]
    assert group.processes == 7
    assert len(group.examples) == 5
    assert [one.pid for one in group.examples] == sorted(one.pid for one in group.examples)


def test_without_the_capability_it_says_so(interpreter: Path) -> None:
    users = set()
    for path in Path("/proc").iterdir():
        # A process may end between the listing and the look.
        with suppress(FileNotFoundError, ProcessLookupError):
            if path.name.isdecimal():
                users.add(path.stat().st_uid)
    if os.geteuid() != 0 and users == {os.geteuid()}:
        pytest.skip("every process here is of one user")
    with running(interpreter) as pid, as_nobody():
        reading, skips = read(install(interpreter))
    assert reading.skipped is not None
    assert "CAP_SYS_PTRACE" in reading.skipped
    assert skips.counts["no-ptrace"] >= 1
    if os.geteuid() == 0:
        assert all(pid not in [example.pid for example in one.examples] for one in reading.processes.groups)


def test_a_process_that_ends_meanwhile_is_nothing(interpreter: Path) -> None:
    with running(interpreter) as pid:
        pass
    reading, skips = read(install(interpreter))
    assert not [one for one in reading.processes.groups if one.executable == str(interpreter)]
    assert not any(str(pid) in example for reason in skips.counts for example in skips.examples(reason))


def test_it_is_quick(interpreter: Path) -> None:
    with running(interpreter):
        started = time.process_time()
        read(install(interpreter))
        assert time.process_time() - started < 5


# --- what no test can have in reality -------------------------------------------------------------------------------


@pytest.fixture
def procfs(tmp_path: Path) -> Procfs:
    return Procfs(tmp_path / "proc")


def read_fake(
    procfs: Procfs, *roots: tuple[str, Path, tuple[Install, ...]]
) -> tuple[dict[tuple[str, str], ProcessGroup], Skips, ProcessReading]:
    skips = Skips()
    running_roots = []
    for name, path, installs in roots:
        status = path.stat()
        running_roots.append(RunningRoot(name, status.st_dev, status.st_ino, installs))
    reading = read_processes(running_roots, skips, procfs.proc)
    return {(one.root, one.executable): one for one in reading.processes.groups}, skips, reading


def plant(root: Path, path: str) -> Path:
    target = root / path.lstrip("/")
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_bytes(b"x")
    return target


def test_numbers_of_an_overlay_do_not_make_a_library_look_replaced(tmp_path: Path, procfs: Procfs) -> None:
    exe = plant(tmp_path, "py/bin/python3")
    crypto = plant(tmp_path, "lib/libcrypto.so.3")
    status = crypto.stat()
    lines = {
        1: mapping(crypto, device=os.makedev(0, 99)),
        2: mapping(crypto, device=os.makedev(0, 99), inode=status.st_ino + 1),
        3: mapping(crypto, inode=status.st_ino + 1),
        4: mapping(crypto, device=os.makedev(0, 99), inode=status.st_ino + 1, shown=f"{crypto} (deleted)"),
        5: mapping(crypto, device=status.st_dev, inode=7, shown=f"{tmp_path}/lib/libssl.so.3 (deleted)"),
        6: mapping(crypto, device=status.st_dev, inode=7, shown=f"{tmp_path}/lib/libssl.so.3"),
        7: mapping(crypto, shown="/elsewhere/libcryptsetup.so.12") + mapping(crypto, shown="/usr/lib/libssl3.so"),
    }
    for pid, maps in lines.items():
        # The tree that these processes see is the whole of this machine's.
        procfs.add(pid, str(exe), Path("/"), maps=maps)
    groups, _, _ = read_fake(procfs, ("/", Path("/"), (install(exe),)))
    group = groups["/", str(exe)]
    assert {(one.path.rpartition("/")[2], one.state): one.processes for one in group.libraries} == {
        ("libcrypto.so.3", MappingState.CURRENT): 2,
        ("libcrypto.so.3", MappingState.REPLACED): 2,
        ("libssl.so.3", MappingState.DELETED): 1,
        ("libssl.so.3", MappingState.UNKNOWN): 1,
    }


def test_a_process_belongs_to_the_root_that_it_runs_in(tmp_path: Path, procfs: Procfs) -> None:
    host, chroot, other = tmp_path / "host", tmp_path / "host/srv/chroot", tmp_path / "other"
    for root in (host, chroot, other):
        plant(root, "/usr/bin/python3")
    procfs.add(1, "/sbin/init", Path("/"))
    # A link of /proc shows the kernel's text; the status behind it is that of the tree.
    procfs.add(10, f"{chroot}/usr/bin/python3", chroot)
    procfs.add(11, f"{other}/usr/bin/python3", other, namespace="2")
    procfs.add(12, "/usr/bin/python3", chroot)
    python = install("/usr/bin/python3")
    groups, skips, _ = read_fake(procfs, ("/srv/chroot", chroot, (python,)), ("/", Path("/"), ()))
    assert groups["/srv/chroot", "/usr/bin/python3"].install == "/usr/bin/python3"
    assert [one.pid for one in groups["/srv/chroot", "/usr/bin/python3"].examples] == [10]
    # A program from outside of its root runs in the tree around it.
    assert groups["/", "/usr/bin/python3"].install is None
    assert skips.counts == {"unscanned-root": 1}


def test_units_and_stale_examples_come_first(tmp_path: Path, procfs: Procfs) -> None:
    exe = plant(tmp_path, "py/bin/python3")
    gone = "0-1 r-xp 0 fe:00 9   /lib/libcrypto.so.3 (deleted)\n"
    for pid in range(1, 9):
        maps = gone if pid == 8 else ""
        procfs.add(pid, str(exe), Path("/"), maps=maps, cgroup=f"0::/system.slice/app-{pid}.service\n")
    groups, _, _ = read_fake(procfs, ("/", Path("/"), (install(exe),)))
    examples = groups["/", str(exe)].examples
    assert [(one.pid, one.unit) for one in examples] == [(pid, f"app-{pid}.service") for pid in (1, 2, 3, 4, 8)]


def test_what_runs_and_is_no_interpreter_is_left_out(tmp_path: Path, procfs: Procfs) -> None:
    for pid, name in enumerate(("nginx", "pythonic-tool", "nodeos", "perlbal-proxy", "phpstorm64"), 1):
        procfs.add(pid, str(plant(tmp_path, name)), Path("/"))
    for pid, name in enumerate(("python3.12", "node", "ruby3.1", "perl", "php8.2", "php-fpm8.2", "pypy3"), 20):
        procfs.add(pid, str(plant(tmp_path, name)), Path("/"))
    groups, _, _ = read_fake(procfs, ("/", Path("/"), ()))
    names = {executable.rpartition("/")[2] for _, executable in groups}
    assert names == {"python3.12", "node", "ruby3.1", "perl", "php8.2", "php-fpm8.2", "pypy3"}


def test_an_install_that_a_service_sees_elsewhere_is_known_by_its_file(tmp_path: Path, procfs: Procfs) -> None:
    exe = plant(tmp_path, "py/bin/python3")
    seen = tmp_path / "mounted/python3"
    seen.parent.mkdir()
    seen.hardlink_to(exe)
    procfs.add(1, str(seen), Path("/"))
    groups, _, _ = read_fake(procfs, ("/", Path("/"), (install(exe),)))
    assert groups["/", str(seen)].install == str(exe)


def test_nothing_is_asked_of_file_systems_that_may_block(tmp_path: Path, procfs: Procfs) -> None:
    exe = plant(tmp_path, "remote/bin/python3")
    crypto = plant(tmp_path, "remote/lib/libcrypto.so.3")
    table = f"9 1 0:40 / {tmp_path}/remote rw - nfs4 server:/export rw\n"
    procfs.add(1, str(exe), Path("/"), maps=mapping(crypto), mountinfo=table)
    groups, _, _ = read_fake(procfs, ("/", Path("/"), (install(exe),)))
    group = groups["/", str(exe)]
    assert (group.state, group.install) == (MappingState.UNKNOWN, str(exe))
    assert group.libraries == (MappedLibrary(str(crypto), MappingState.UNKNOWN, 1),)


def test_a_root_that_may_block_is_not_asked_either(tmp_path: Path, procfs: Procfs) -> None:
    exe = plant(tmp_path, "python3")
    procfs.add(1, "/sbin/init", Path("/"))
    table = "9 1 0:40 / / rw - fuse.fuse-overlayfs fuse-overlayfs rw\n"
    procfs.add(2, str(exe), tmp_path, namespace="2", mountinfo=table)
    groups, skips, _ = read_fake(procfs, ("/x", tmp_path, ()))
    assert groups == {}
    assert skips.counts == {"blocking-root": 1}


def test_hidden_processes_are_said(tmp_path: Path, procfs: Procfs) -> None:
    exe = plant(tmp_path, "python3")
    procfs.add(7, str(exe), Path("/"))
    own = procfs.folder / str(os.getpid())
    own.mkdir()
    (own / "status").write_text("CapEff:\t0000000000000000\n")
    _, _, reading = read_fake(procfs, ("/", Path("/"), ()))
    assert reading.skipped is not None
    assert "hidepid" in reading.skipped
    assert len(reading.processes.groups) == 1


def test_a_damaged_process_costs_itself_alone(tmp_path: Path, procfs: Procfs) -> None:
    exe = plant(tmp_path, "python3")
    for pid in (1, 2):
        procfs.add(pid, str(exe), Path("/"))
    (procfs.folder / "1/maps").unlink()
    (procfs.folder / "3").mkdir()
    groups, _, _ = read_fake(procfs, ("/", Path("/"), ()))
    assert groups["/", str(exe)].processes == 1
