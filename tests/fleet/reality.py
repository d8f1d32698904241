"""What really happens when samples are started in a root, and what the kernel, the loader and the installer say of it.

Nothing here shares a line with the product. A text that is not understood is an error of this module, never a guess.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
from dataclasses import dataclass, field, replace
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any, NamedTuple

from tests.fleet.samples import readelf
from tests.fleet.truth import interpreters_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from tests.fleet.samples import Sample

UNDEFINED = "undefined_symbol"
"""A symbol that nobody has, and that was wanted without a version: what no comparison of versions can tell."""

PLACE = "/srv"
"""Where the folder of the samples is bound: here, when they are judged, and in every root, when they are started."""

_BIND = """
bind() {
    mount --bind "$1" "$2/srv"
    while read -r from to; do
        mkdir -p "$2$to"
        mount --bind "$1/samples/$from" "$2$to"
    done < "$1/binds"
}
"""
_START = """
set -eu
over=$2/overlay
mount -t tmpfs tmpfs "$over"
mkdir "$over/upper" "$over/work" "$over/merged"
mkdir -p "$2/$3"
mount -t overlay overlay -o "lowerdir=$1,upperdir=$over/upper,workdir=$over/work" "$over/merged"
mount -t proc proc "$over/merged/proc"
bind "$2" "$over/merged"
root=$over/merged
shift 3
exec chroot "$root" "$@"
"""
_JUDGE = """
set -eu
stage=$1
shift
bind "$stage" ""
exec "$@"
"""

_MISSING_VERSION = re.compile(r"(\S+): version `([^']+)' not found \(required by (\S+?)\)")
_NOT_FOUND = re.compile(r"^\s*(\S+) => not found", re.MULTILINE)
_CANNOT_OPEN = re.compile(
    r"(?:error while loading shared libraries: |(?:ImportError|OSError): |^)"
    r"([^\s:]+): cannot open shared object file: No such file or directory"
)
_UNDEFINED = re.compile(r"undefined symbol: (\w+)")
_LOST_PYTHON = re.compile(r"env: .python[\d.]+.: No such file|ModuleNotFoundError: No module named '(?!_)")
_LEVEL = re.compile(r"CPU ISA level is lower than required")
_CLASS = re.compile(r"wrong ELF class|cannot open shared object file: Exec format error|invalid ELF header")


class Obstacle(NamedTuple):
    """What somebody said was in the way: a kind of the product's vocabulary, the library, and what was wanted."""

    kind: str
    library: str
    needs: str

    def __str__(self) -> str:
        """Return it as the page has it."""
        return f"{self.needs} of {self.library}" if self.library else self.needs


@dataclass(frozen=True)
class Reality:
    """What happened to one sample in one root.

    ``obstacles`` stopped it; ``complete`` says that whoever stopped it names all there are (a loader that lists), not
    only the first (the kernel, an installer). ``required`` are the files by which the loader said that a version is
    required. ``failed`` are the modules that did not open, ``opened`` those that did.
    """

    runs: bool
    obstacles: frozenset[Obstacle]
    complete: bool
    failed: Mapping[str, frozenset[Obstacle]]
    opened: frozenset[str]
    said: str
    required: Mapping[Obstacle, frozenset[str]] = field(default_factory=dict)


class NotUnderstoodError(AssertionError):
    """A text that none of the oracle's patterns knows: the table would be a guess."""


def prepare(stage: Path, samples: Sequence[Sample]) -> None:
    """Put what starts samples beside them; ``stage`` holds them in its folder ``samples``."""
    shutil.copy(Path(__file__).with_name("inside.py"), stage / "inside.py")
    shutil.copy("/usr/bin/qemu-x86_64-static", stage / "emulator")
    (stage / "overlay").mkdir()
    binds = [f"{sample.path} {sample.place}\n" for sample in samples if sample.place is not None]
    (stage / "binds").write_text("".join(binds), encoding="utf-8")


def in_place(stage: Path, *command: str) -> subprocess.CompletedProcess[str]:
    """Run a command of this machine with the samples at the place at which the roots have them."""
    return subprocess.run(
        ["unshare", "--mount", "/bin/sh", "-c", _BIND + _JUDGE, "judge", str(stage), *command],
        check=False,
        capture_output=True,
        text=True,
        stdin=subprocess.DEVNULL,
    )


def run_in(root: Path, stage: Path, *command: str) -> subprocess.CompletedProcess[str]:
    """Run one command in an overlay of a root, with the samples at their place; nothing that it writes there stays."""
    script = ["/bin/sh", "-c", _BIND + _START, "start", str(root), str(stage), root.name]
    return subprocess.run(
        ["unshare", "--mount", "--pid", "--fork", *script, *command],
        check=False,
        capture_output=True,
        text=True,
        stdin=subprocess.DEVNULL,
    )


def emulated(root: Path, stage: Path, sample: Sample, *options: str) -> Reality:
    """Start a program in a root on the processor or the kernel that an emulator pretends to be."""
    command = (f"{PLACE}/emulator", *options, inside(sample, sample.command[0]), *sample.command[1:])
    done = run_in(root, stage, *command)
    told = [line for line in done.stderr.splitlines(keepends=True) if "TCG doesn't support" not in line]
    answer: dict[str, Any] = {
        "errno": None,
        "code": done.returncode,
        "stderr": "".join(told),
        "listed": "",
        "modules": {},
    }
    return _program(stage, sample, answer)


def try_all(root: Path, stage: Path, samples: Sequence[Sample], pythons: Sequence[str]) -> dict[str, Reality]:
    """Start every sample in an overlay of the root, which goes away with it, and return what happened."""
    work = {"pythons": list(pythons), "work": f"{PLACE}/{root.name}"}
    jobs = [{**_job(str(number), sample), **work} for number, sample in enumerate(samples)]
    (stage / f"{root.name}.jobs.json").write_text(json.dumps(jobs), encoding="utf-8")
    files = (f"{PLACE}/{root.name}.{what}.json" for what in ("jobs", "answers"))
    done = run_in(root, stage, "/usr/bin/python3", "-E", "-s", "-B", f"{PLACE}/inside.py", *files)
    assert done.returncode == 0, f"starting samples in {root.name} failed:\n{done.stderr[-3000:]}"
    answers = json.loads((stage / f"{root.name}.answers.json").read_text(encoding="utf-8"))
    found = {}
    for number, sample in enumerate(samples):
        answer = answers[str(number)]
        found[sample.name] = replace(_judged(stage, sample, answer), required=_required(answer))
    return found


def pythons_in(root: Path) -> tuple[str, ...]:
    """Return every Python of a root for which wheels can be installed, each once."""
    found = interpreters_of(root, "/usr/bin", "/usr/lib", "/root")
    # A vendor that unpacked a build made copies of its links: one program under several names.
    by_folder = {
        (str(PurePosixPath(one.path).parent), one.version): one.path
        for one in sorted(found, key=lambda one: one.path)
        if one.implementation in {"cpython", "pypy"}
    }
    return tuple(by_folder.values())


def _unpacked(sample: Sample) -> str:
    return f"/tmp/{sample.path}.unpacked"


def inside(sample: Sample, path: str) -> str:
    """Return where a file of a sample lies in a root, and for who judges it."""
    if sample.is_archive and path != sample.path:
        return f"{_unpacked(sample)}/{path}"
    if sample.place is not None:
        return f"{sample.place}{path.removeprefix(sample.path)}"
    return f"{PLACE}/samples/{path}"


def _job(number: str, sample: Sample) -> dict[str, Any]:
    modules: list[Any] = [{"name": name, "path": inside(sample, path)} for name, path in sample.modules]
    command = [inside(sample, sample.command[0]), *sample.command[1:]] if sample.command else []
    if sample.action == "wheel":
        modules = [[name, path] for name, path in sample.modules]
    return {
        "id": number,
        "action": sample.action,
        "path": inside(sample, sample.path),
        "command": command,
        "settings": {key: value.replace("{}", f"{PLACE}/samples") for key, value in sample.settings.items()},
        "modules": modules,
        "programs": list(sample.programs),
        "probe": sample.probe,
        "uv": "/usr/local/bin/uv",
        "unpacked": _unpacked(sample) if sample.is_archive else "",
    }


def _judged(stage: Path, sample: Sample, answer: dict[str, Any]) -> Reality:
    if sample.action == "program":
        return _program(stage, sample, answer)
    if sample.action == "library":
        failed, opened = _modules(answer["modules"])
        return Reality(not failed, frozenset().union(*failed.values()), complete=True, failed={}, opened=opened,
                       said=next((one["error"] for one in answer["modules"].values() if one["error"]), ""))  # fmt: skip
    return _wheel(sample, answer)


def _program(stage: Path, sample: Sample, answer: dict[str, Any]) -> Reality:
    if answer["code"] == 0:
        failed, opened = _modules(answer["modules"])
        return Reality(runs=True, obstacles=frozenset(), complete=True, failed=failed, opened=opened, said="")
    file = stage / "samples" / sample.command[0]
    obstacles, complete = _refusal(file, answer)
    obstacles = frozenset(_passed_over(stage / "samples" / sample.path, one) for one in obstacles)
    return Reality(False, obstacles, complete, failed={}, opened=frozenset(), said=_words(answer))


def _passed_over(sample: Path, obstacle: Obstacle) -> Obstacle:
    """Return a library that is not found as what it is when the sample has it, and it is for a later kernel.

    The loader of an older glibc passes over such a file and says the same as of one that is not there.
    """
    if obstacle.kind == "soname" and sample.is_dir():
        for path in sample.rglob(obstacle.needs):
            note = re.search(r"OS: Linux, ABI: ([\d.]+)", readelf(path, "--notes"))
            if note is not None and _numbers(note[1]) > _numbers(os.uname().release):
                return Obstacle("kernel", "", f"Linux {note[1]}")
    return obstacle


def _numbers(version: str) -> list[int]:
    return [int(number) for number in re.findall(r"\d+", version)[:3]]


def _words(answer: dict[str, Any]) -> str:
    told: dict[str, str] = {"ENOENT": "No such file or directory", "ENOEXEC": "Exec format error"}
    if answer["errno"] is not None:
        return told.get(answer["errno"], str(answer["errno"]))
    return str(answer["stderr"]).strip().splitlines()[0].replace(f"{PLACE}/samples/", "")


def _refusal(file: Path, answer: dict[str, Any]) -> tuple[frozenset[Obstacle], bool]:
    """Return what stopped a program, and whether all of it was told."""
    lost = _LOST_PYTHON.search(answer["stderr"])
    if lost is not None:
        return frozenset({Obstacle("python", "", "")}), False
    header = readelf(file, "--file-header", "--program-headers")
    if answer["errno"] == "ENOEXEC":
        machine = re.search(r"Machine:\s+(.*)", header)
        assert machine is not None
        return frozenset({Obstacle("arch", "", _machine(machine[1].strip()))}), False
    if answer["errno"] == "ENOENT":
        loader = re.search(r"program interpreter: (\S+)\]", header)
        assert loader is not None, f"{file.name} is not there, though it was copied"
        return frozenset({Obstacle("loader", "", loader[1])}), False
    return obstacles_in(answer["stderr"], answer["listed"]), True


_MACHINES = {"AArch64": "aarch64", "Intel 80386": "i386"}


def _machine(text: str) -> str:
    return _MACHINES[text]


def obstacles_in(said: str, listed: str) -> frozenset[Obstacle]:
    """Return what the loader said when it gave up, with what it lists for the same file."""
    first = _understood(said)
    if not first:
        raise NotUnderstoodError(f"nobody knows what this means:\n{said}\n{listed}")
    return first | _understood(listed)


def _understood(text: str) -> frozenset[Obstacle]:
    found = {
        Obstacle("symbol_version", PurePosixPath(library).name, version)
        for library, version, _ in _MISSING_VERSION.findall(text)
    }
    found |= {Obstacle("soname", name, name) for name in _NOT_FOUND.findall(text)}
    found |= {Obstacle("soname", name, name) for line in text.splitlines() for name in _CANNOT_OPEN.findall(line)}
    found |= {Obstacle(UNDEFINED, "", name) for name in _UNDEFINED.findall(text)}
    if _LEVEL.search(text):
        found.add(Obstacle("x86_64_level", "", "x86-64-v3"))
    if _CLASS.search(text):
        found.add(Obstacle("arch", "", ""))
    return frozenset(found)


def _required(answer: Any) -> dict[Obstacle, frozenset[str]]:
    """Return by which files each missing version is required, from all that the loader said for one sample."""
    found: dict[Obstacle, frozenset[str]] = {}
    for library, version, file in _MISSING_VERSION.findall("\n".join(_texts(answer))):
        obstacle = Obstacle("symbol_version", PurePosixPath(library).name, version)
        found[obstacle] = found.get(obstacle, frozenset()) | {PurePosixPath(file).name}
    return found


def _texts(answer: Any) -> Iterator[str]:
    if isinstance(answer, str):
        yield answer
    elif isinstance(answer, dict):
        for value in answer.values():
            yield from _texts(value)


def _modules(answers: Mapping[str, Any]) -> tuple[dict[str, frozenset[Obstacle]], frozenset[str]]:
    """Return what stopped each module by its name, and the names of those that opened.

    A library that does not open by itself and is in the process of a module that did was opened for that; one that
    another file wants which did not open either is no news.
    """
    mapped = {path for one in answers.values() for path in one.get("mapped", ())}
    failing = {path: one for path, one in answers.items() if one["opened"] is None and path not in mapped}
    elsewhere = [(path, one["error"]) for path, one in answers.items() if one["opened"] == "elsewhere"]
    assert not elsewhere, elsewhere
    failed: dict[str, frozenset[Obstacle]] = {}
    for path, one in failing.items():
        wanted = re.compile(rf"^\s*{re.escape(PurePosixPath(path).name)} ", re.MULTILINE)
        if not any(wanted.search(other["listed"]) for at, other in failing.items() if at != path):
            obstacles = obstacles_in(one["error"], one["listed"])
            failed[module_name(path)] = failed.get(module_name(path), frozenset()) | obstacles
    return failed, frozenset(module_name(path) for path in answers.keys() - failing.keys())


def module_name(path: str) -> str:
    """Return the name of a module's file without what says for which Python it is."""
    stem = PurePosixPath(path).name.split(".so")[0]
    return re.sub(r"\.(?:cpython|pypy|abi)[^/]*$", "", stem)


_OF_PYTHON = re.compile(
    r"does not satisfy|no wheels with a matching Python (?:version|ABI) tag|but you're using (?:CPython|PyPy)"
)
_OF_PLATFORM = re.compile(
    r"The wheel is compatible with (.*), but you're on \w+ \(`(?:manylinux|musllinux)_\d+_\d+_(.*)`\)"
)


def _wheel(sample: Sample, answer: dict[str, Any]) -> Reality:
    refusals: set[Obstacle] = set()
    words: list[str] = []
    accepted: list[tuple[dict[str, frozenset[Obstacle]], frozenset[str], str]] = []
    for one in answer["pythons"].values():
        if one["code"] != 0:
            refusals.add(_refused(one["stderr"]))
            words.append(_why(one["stderr"]))
            continue
        accepted.append(_accepted(sample, one))
    if not accepted:
        return Reality(False, frozenset(refusals), complete=False, failed={}, opened=frozenset(), said=words[0])
    # A module that one of the Pythons opens is a module that opens here.
    opened = frozenset().union(*(names for _, names, _ in accepted))
    failed = {
        name: obstacles for failures, _, _ in accepted for name, obstacles in failures.items() if name not in opened
    }
    said = next((text for _, _, text in accepted if text), "") if failed else ""
    runs = _is_usable(failed, opened)
    obstacles = frozenset().union(*failed.values()) if not runs else frozenset()
    return Reality(runs, obstacles, complete=True, failed=failed if runs else {}, opened=opened, said=said)


def _is_usable(failed: Mapping[str, frozenset[Obstacle]], opened: Iterable[str]) -> bool:
    """Tell whether a wheel counts as running: something of it does, and what does not only lacks a library."""
    if not failed:
        return True
    return bool(opened) and all(one.kind == "soname" for obstacles in failed.values() for one in obstacles)


def _refused(text: str) -> Obstacle:
    """Return why uv refuses a wheel for one Python."""
    if _OF_PYTHON.search(text):
        return Obstacle("python", "", "")
    platform = _OF_PLATFORM.search(text)
    if platform is None:
        raise NotUnderstoodError(f"nobody knows what uv means:\n{text}")
    tags = re.findall(r"`(\w+)`", platform[1])
    other = all(re.match("(?:many|musl)?linux", tag) and not tag.endswith(platform[2]) for tag in tags)
    return Obstacle("arch" if other else "tag", "", "")


def _why(text: str) -> str:
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return next((line for line in lines if line.startswith("hint:")), lines[0])


def _accepted(sample: Sample, answer: dict[str, Any]) -> tuple[dict[str, frozenset[Obstacle]], frozenset[str], str]:
    failed, opened = _modules(answer["modules"])
    said = next((one["error"] for one in answer["modules"].values() if one["error"]), "")
    for name, told in answer["programs"].items():
        if told["code"] == 0:
            opened |= {PurePosixPath(name).name}
        else:
            failed[PurePosixPath(name).name] = obstacles_in(told["stderr"], told["listed"])
    return failed, opened, said
