"""Read, never run: nothing that a scan finds is executed, mapped as code, or opened where opening alone does something.

Watched from outside by strace(1), which this test needs: it is a system package of the test suite, and its absence is
a failure, not a reason to skip.
"""

from __future__ import annotations

import ast
import json
import os
import re
import shutil
import socket
import stat
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

AGENT = Path(sys.prefix) / "bin" / "libcensus-agent"
SOURCES = sorted((Path(__file__).resolve().parents[2] / "agent" / "src").rglob("*.py"))

CALLS = "execve,execveat,mmap,mprotect,open,openat,openat2,memfd_create,clone,clone3,fork,vfork"

BIG = ("/root", "/home", "/var", "/srv", "/opt", "/tmp", "/mnt", "/media", "/work", "/workspace", "/builds")


@dataclass(frozen=True)
class Call:
    """One line of strace: the call, its arguments, and what it returned."""

    name: str
    arguments: str
    result: str

    @property
    def path(self) -> str | None:
        """The file that a mapping is of, or that an opening returned."""
        text = self.arguments if self.name == "mmap" else self.result
        found = re.search(r"\d+<(/[^>]*)>", text)
        return found[1].removesuffix(" (deleted)") if found else None

    @property
    def is_opening(self) -> bool:
        return self.name in {"open", "openat", "openat2"} and "O_PATH" not in self.arguments and self.path is not None

    @property
    def is_execution(self) -> bool:
        return self.name in {"execve", "execveat"}

    @property
    def maps_code(self) -> bool:
        return self.name in {"mmap", "mprotect"} and "PROT_EXEC" in self.arguments


def parse_trace(text: str) -> list[Call]:
    """Return the calls of a log of strace -f; one that another process interrupted is put together again."""
    calls = []
    begun: dict[str, str] = {}
    for line in text.splitlines():
        process, _, rest = line.partition(" ")
        rest = rest.strip()
        if rest.startswith(("+++", "---")):
            continue
        if rest.endswith("<unfinished ...>"):
            begun[process] = rest.removesuffix("<unfinished ...>")
            continue
        if resumed := re.match(r"<\.\.\. \w+ resumed>", rest):
            rest = begun.pop(process) + rest[resumed.end() :]
        found = re.match(r"(\w+)\((.*)\)\s+= (.*)$", rest)
        assert found, line
        calls.append(Call(*found.groups()))
    return calls


def trace(*command: str | Path, log: Path) -> tuple[list[Call], subprocess.CompletedProcess[str]]:
    strace = shutil.which("strace")
    assert strace is not None, "strace is missing: install the system package strace"
    result = subprocess.run(
        [strace, "-f", "-y", "-qq", "--seccomp-bpf", "-s", "4096", "-e", f"trace={CALLS}", "-o", log, *command],
        capture_output=True,
        text=True,
        check=False,
        timeout=250,
    )
    calls = parse_trace(log.read_text(errors="backslashreplace"))
    assert any(call.is_execution for call in calls), "strace saw nothing: is ptrace(2) allowed here?"
    return calls, result


def executions(calls: list[Call]) -> list[Call]:
    """The programs that were started after the agent itself; the kernel runs its interpreter within the same call."""
    return [call for call in calls if call.is_execution][1:]


def special_openings(calls: list[Call]) -> list[str]:
    """The FIFOs, sockets and devices that were opened, the ones that every process has or Python uses aside."""
    usual = {"/dev/null", "/dev/urandom", "/dev/random", "/dev/tty"}
    found = []
    for call in calls:
        if call.is_opening and call.path not in usual:
            try:
                mode = os.lstat(str(call.path)).st_mode
            except OSError:
                continue
            if not (stat.S_ISREG(mode) or stat.S_ISDIR(mode)):
                found.append(str(call.path))
    return found


@pytest.fixture(scope="module")
def hostile(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A root with real interpreters, and with everything that an incautious scanner would fall for."""
    root = tmp_path_factory.mktemp("hostile")
    python = Path(sys.executable).resolve()
    version = f"{sys.version_info.major}.{sys.version_info.minor}"
    (root / "etc").mkdir()
    (root / "etc" / "os-release").write_text("ID=debian\nVERSION_ID=12\n")
    shutil.copytree("/lib64", root / "lib64")
    prefix = root / "opt" / "python"
    (prefix / "bin").mkdir(parents=True)
    shutil.copy2(python, prefix / "bin" / f"python{version}")
    (prefix / "bin" / "python3").symlink_to(f"python{version}")
    library = Path(sys.base_prefix) / "lib"
    modules = prefix / "lib" / f"python{version}" / "lib-dynload"
    modules.mkdir(parents=True)
    for shared in library.glob(f"libpython{version}*.so*"):
        shutil.copy2(shared, prefix / "lib")
    for module in list((library / f"python{version}" / "lib-dynload").glob("_*.so"))[:20]:
        shutil.copy2(module, modules)
    headers = prefix / "include" / f"python{version}"
    headers.mkdir(parents=True)
    (headers / "patchlevel.h").write_text(f'#define PY_VERSION "{sys.version.split()[0]}"\n')
    (prefix / "lib" / f"python{version}" / "os.py").write_text("open('/ran', 'w')\n")
    folder = root / "usr" / "bin"
    folder.mkdir(parents=True)
    script = folder / "python3.9"
    script.write_text(f"#!/bin/sh\ntouch {root}/ran\n")
    script.chmod(0o4755)
    os.mkfifo(folder / "python3")
    with socket.socket(socket.AF_UNIX) as server:
        here = Path.cwd()
        os.chdir(folder)  # the path of a socket may have 107 bytes only
        try:
            server.bind("python3.10")
        finally:
            os.chdir(here)
    if os.geteuid() == 0:
        os.mknod(folder / "python3.11", 0o666 | stat.S_IFCHR, os.makedev(1, 5))
    (folder / "python3.12").symlink_to("/proc/self/exe")
    (folder / "python3.13").symlink_to("/dev/stdin")
    venv = root / "srv" / "venv"
    (venv / "bin").mkdir(parents=True)
    (venv / "pyvenv.cfg").write_text(f"home = /opt/python/bin\nversion = {sys.version.split()[0]}\n")
    (venv / "bin" / "python").symlink_to("/opt/python/bin/python3")
    (venv / "bin" / "sitecustomize.py").write_text(f"open('{root}/ran', 'w')\n")
    return root


def test_a_scan_of_a_hostile_tree_runs_maps_and_opens_nothing_of_it(hostile: Path, tmp_path: Path) -> None:
    calls, result = trace(AGENT, "scan", "--root", hostile, "--output", "json", log=tmp_path / "log")
    assert result.returncode == 0, result.stderr
    scanned = json.loads(result.stdout)
    found = {install["path"] for install in scanned["installs"]}
    assert any(path.startswith("/opt/python/bin/") for path in found), "the tree's interpreter was not found at all"
    assert executions(calls) == []
    inside = str(hostile)
    assert [call for call in calls if call.name == "mmap" and (call.path or "").startswith(inside)] == []
    assert special_openings(calls) == []
    opened = {call.path for call in calls if call.is_opening}
    assert any(path is not None and path.startswith(f"{inside}/opt/python/bin/") for path in opened)
    assert not (hostile / "ran").exists()


def test_a_scan_of_the_own_root_maps_no_code_beyond_what_the_agent_itself_is_made_of(tmp_path: Path) -> None:
    empty = tmp_path / "empty"
    empty.mkdir()
    of_empty, result = trace(AGENT, "scan", "--root", empty, log=tmp_path / "log-empty")
    assert result.returncode == 0, result.stderr
    excluded = [one for path in BIG for one in ("--exclude", path)]
    of_own, result = trace(AGENT, "scan", *excluded, "--output", "json", log=tmp_path / "log-own")
    assert result.returncode == 0, result.stderr
    assert json.loads(result.stdout)["host"]["kernel"]
    assert executions(of_own) == []
    own_code = {call.path for call in of_empty if call.maps_code}
    assert {call.path for call in of_own if call.maps_code} <= own_code
    assert not [call for call in of_own if call.name == "mprotect" and call.maps_code]
    assert special_openings(of_own) == []
    assert not [call for call in of_own if call.name in {"fork", "vfork", "memfd_create"}]


def test_requires_runs_nothing_of_what_it_reads(hostile: Path, tmp_path: Path) -> None:
    calls, result = trace(AGENT, "requires", hostile / "opt", hostile / "usr", log=tmp_path / "log")
    assert result.returncode in {0, 2}, result.stderr
    assert executions(calls) == []
    assert [call for call in calls if call.name == "mmap" and (call.path or "").startswith(str(hostile))] == []
    assert special_openings(calls) == []


def test_the_watch_sees_a_program_that_runs_maps_and_opens(hostile: Path, tmp_path: Path) -> None:
    # Control: the same checks, on a program that does what the agent must not.
    library = next((hostile / "opt").rglob("_*.so"))
    fifo = hostile / "usr" / "bin" / "python3"
    script = (
        "import os, mmap, subprocess\n"
        f"subprocess.run(['/bin/true'], check=True)\n"
        f"fd = os.open({str(library)!r}, os.O_RDONLY)\n"
        "mmap.mmap(fd, 4096, prot=mmap.PROT_READ | mmap.PROT_EXEC, flags=mmap.MAP_PRIVATE)\n"
        f"os.open({str(fifo)!r}, os.O_RDONLY | os.O_NONBLOCK)\n"
    )
    calls, result = trace(sys.executable, "-c", script, log=tmp_path / "log")
    assert result.returncode == 0, result.stderr
    assert ["/bin/true" in call.arguments for call in executions(calls)] == [True]
    assert [call.path for call in calls if call.maps_code and (call.path or "").startswith(str(hostile))] == [
        str(library)
    ]
    assert special_openings(calls) == [str(fifo)]


# --- the sources ------------------------------------------------------------------------------------------------------

FORBIDDEN_MODULES = frozenset(
    (
        *(
            "_ctypes",
            "_posixsubprocess",
            "cffi",
            "code",
            "codeop",
            "ctypes",
            "dill",
            "imp",
            "marshal",
            "multiprocessing",
        ),
        *("pickle", "pip", "pkgutil", "posix", "pty", "runpy", "shelve", "subprocess", "venv", "zipimport"),
    )
)
ALLOWED_OF_IMPORTLIB = frozenset(
    ("importlib", "importlib.metadata", "importlib.resources", "from importlib.metadata", "from importlib.resources")
)
FORBIDDEN_OF_OS = re.compile(r"exec\w*|spawn\w*|posix_spawn\w*|system|popen|fork|forkpty|startfile")
FORBIDDEN_CALLS = frozenset(("eval", "exec", "compile", "__import__", "breakpoint"))

A_COPY_OF_ITSELF = {"agent/apart.py": ["os.fork"]}
"""A renewal goes on in a fork, for its memory; nothing is executed in it, and no scan makes one."""


def ways_to_run_code(source: str) -> list[str]:
    """Every way in a module's source to run code that is not its own."""
    found = []
    for node in ast.walk(ast.parse(source)):
        names: list[str] = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module is not None:
            names = [f"{node.module}.{alias.name}" for alias in node.names]
            if node.module == "os":
                found += [name for name in names if FORBIDDEN_OF_OS.fullmatch(name.removeprefix("os."))]
        for name in names:
            top = name.split(".")[0]
            place = f"from {node.module}" if isinstance(node, ast.ImportFrom) else name
            if top in FORBIDDEN_MODULES or (top == "importlib" and not {place, name} & ALLOWED_OF_IMPORTLIB):
                found.append(name)
        if (
            isinstance(node, ast.Attribute)
            and isinstance(node.value, ast.Name)
            and node.value.id == "os"
            and FORBIDDEN_OF_OS.fullmatch(node.attr)
        ):
            found.append(f"os.{node.attr}")
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in FORBIDDEN_CALLS:
            found.append(node.func.id)
    return found + imports_by_name(ast.parse(source))


def imports_by_name(tree: ast.Module) -> list[str]:
    """The uses of importlib itself, but for a module of the standard library whose name is written down there."""
    allowed = {
        id(node.func)
        for node in ast.walk(tree)
        if isinstance(node, ast.Call)
        and [type(argument) for argument in node.args] == [ast.Constant]
        and ast.unparse(node.args[0]).strip("'").split(".")[0] in sys.stdlib_module_names | {"compression"}
        and ast.unparse(node.args[0]).strip("'").split(".")[0] not in FORBIDDEN_MODULES
        and not node.keywords
        and ast.unparse(node.func) == "importlib.import_module"
    }
    return [
        ast.unparse(node)
        for node in ast.walk(tree)
        if isinstance(node, ast.Attribute)
        and isinstance(node.value, ast.Name)
        and node.value.id == "importlib"
        and node.attr not in {"metadata", "resources"}
        and id(node) not in allowed
    ]


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: path.relative_to(SOURCES[0].parents[1]).as_posix())
def test_no_module_of_the_agent_can_run_code(path: Path) -> None:
    name = path.relative_to(SOURCES[0].parents[1]).as_posix()
    assert ways_to_run_code(path.read_text()) == A_COPY_OF_ITSELF.get(name, [])


def test_all_modules_of_the_agent_are_looked_at() -> None:
    assert len(SOURCES) > 20


@pytest.mark.parametrize(
    "source",
    [
        "import subprocess",
        "import ctypes.util",
        "from ctypes import CDLL",
        "import importlib\nimportlib.import_module(name)",
        "import importlib\nimportlib.import_module('subprocess')",
        "import importlib\nimportlib.import_module('.x', 'y')",
        "import importlib\nload = importlib.import_module",
        "from importlib import import_module",
        "import importlib.util",
        "import os\nos.system('x')",
        "import os\nos.execv('x', [])",
        "from os import posix_spawn",
        "import pickle",
        "eval('1')",
        "exec('1')",
        "__import__('x')",
    ],
)
def test_the_look_at_the_sources_finds_a_way_to_run_code(source: str) -> None:
    assert ways_to_run_code(source)


def test_the_look_at_the_sources_lets_metadata_and_resources_pass() -> None:
    assert not ways_to_run_code("from importlib.metadata import version\nfrom importlib import resources\nimport os")
    assert not ways_to_run_code("from importlib.resources import files\nimport importlib.metadata")
    assert not ways_to_run_code("import importlib\nimportlib.import_module('compression.zstd')")
