"""Run in a root by the root's own Python (3.9 or newer), with nothing but its standard library: starts what it is told.

Reads a list of jobs from the file that is named first, and writes what happened to the one that is named second. It
judges nothing: what a start or an import said is judged outside, in :mod:`tests.fleet.reality`.
"""

from __future__ import annotations

import errno
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

LIMIT = 120
LOADER = "/lib64/ld-linux-x86-64.so.2"

PYTHON_PROBE = r"""
import importlib, importlib.machinery, importlib.util, json, os, sys
jobs = json.load(sys.stdin)
sys.path[:0] = jobs["paths"]
answers = {}
def mapped():
    with open("/proc/self/maps") as maps:
        return sorted({line.split(None, 5)[5].strip() for line in maps if line.count("/") and ".so" in line})
def attempt(job):
    name, path = job["name"], job["path"]
    if name is not None:
        try:
            module = importlib.import_module(name)
            found = getattr(module, "__file__", None)
            if found is None or os.path.realpath(found) != os.path.realpath(path):
                return {"opened": "elsewhere", "error": "imported from %s" % found}
            return {"opened": "imported", "error": None}
        except BaseException as error:
            first = "%s: %s" % (type(error).__name__, error)
        # Another module that is not there, or no module of this Python: its own loader opens it all the same.
        try:
            leaf = name.rpartition(".")[2]
            loader = importlib.machinery.ExtensionFileLoader(leaf, path)
            importlib.util.module_from_spec(importlib.machinery.ModuleSpec(leaf, loader, origin=path))
            last = None
        except BaseException as error:
            last = "%s: %s" % (type(error).__name__, error)
        # What the loader refuses leaves no map; what it opened may still dislike what it found then.
        if last is None or os.path.realpath(path) in mapped():
            return {"opened": "by its loader", "error": None, "first": first}
        return {"opened": None, "error": last, "first": first}
    import ctypes
    try:
        ctypes.CDLL(path)
    except OSError as error:
        return {"opened": None, "error": "OSError: %s" % error}
    return {"opened": "by ctypes", "error": None}
for job in jobs["modules"]:
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(reader)
        quiet = os.open(os.devnull, os.O_RDWR)
        for number in (0, 1, 2):
            os.dup2(quiet, number)
        try:
            answer = attempt(job)
            answer["mapped"] = mapped() if answer["opened"] else []
        except BaseException as error:
            answer = {"opened": None, "error": "%s: %s" % (type(error).__name__, error)}
        with os.fdopen(writer, "wb") as stream:
            stream.write(json.dumps(answer).encode())
        os._exit(0)
    os.close(writer)
    with os.fdopen(reader, "rb") as stream:
        text = stream.read()
    status = os.waitpid(child, 0)[1]
    answers[job["path"]] = json.loads(text) if text else {"opened": None, "error": "died with status %d" % status}
print(json.dumps(answers))
"""

PERL_PROBE = r"""
use JSON::PP; use DynaLoader;
local $/; my $jobs = decode_json(<STDIN>); my %answers;
for my $job (@{$jobs->{modules}}) {
    pipe(my $reader, my $writer) or die; my $child = fork();
    if (!$child) {
        close $reader;
        my $there = DynaLoader::dl_load_file($job->{path}, 0);
        print $writer encode_json({opened => $there ? "by DynaLoader" : undef,
                                   error => $there ? undef : DynaLoader::dl_error()});
        close $writer; require POSIX; POSIX::_exit(0);
    }
    close $writer; my $text = <$reader>; waitpid($child, 0);
    $answers{$job->{path}} = $text ? decode_json($text) : {opened => undef, error => "died with status $?"};
}
print encode_json(\%answers);
"""


def started(command: list[str], settings: dict[str, str], given: str = "") -> dict[str, Any]:
    """Start a program and return what happened, the kernel's refusal too."""
    environment = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "LANG": "C", "HOME": "/tmp", **settings}
    try:
        done = subprocess.run(
            command, input=given, capture_output=True, text=True, errors="replace", env=environment, timeout=LIMIT,
            cwd="/", check=False,
        )  # fmt: skip
    except OSError as error:
        return {"errno": errno.errorcode[error.errno or 0], "code": None, "stdout": "", "stderr": ""}
    except subprocess.TimeoutExpired:
        return {"errno": None, "code": None, "stdout": "", "stderr": f"no end after {LIMIT} seconds"}
    return {"errno": None, "code": done.returncode, "stdout": done.stdout, "stderr": done.stderr}


def listed(path: str) -> str:
    """Return what the root's loader lists, as ldd lets it: every library that is not found, every missing version."""
    environment = {"PATH": "/usr/bin:/bin", "LANG": "C", "LD_TRACE_LOADED_OBJECTS": "1"}
    done = subprocess.run(
        [LOADER, path], capture_output=True, text=True, errors="replace", check=False, timeout=LIMIT, env=environment
    )
    return done.stdout + done.stderr


def opened(command: list[str], settings: dict[str, str], probe: dict[str, Any]) -> dict[str, Any]:
    """Let a started interpreter open modules, a process for each; what fails, the loader lists."""
    if not probe["modules"]:
        return {}
    done = started(command, settings, json.dumps(probe))
    if done["code"] != 0:
        raise RuntimeError(f"{command[0]} could not open modules: {done}"[:2000])
    answers: dict[str, Any] = json.loads(done["stdout"])
    for path, answer in answers.items():
        if answer["opened"] is None:
            answer["listed"] = listed(path)
    return answers


def probe_of(job: dict[str, Any]) -> list[str]:
    """Return the arguments with which the job's interpreter opens modules."""
    return ["-e", PERL_PROBE] if job["probe"] == "perl" else ["-E", "-s", "-B", "-c", PYTHON_PROBE]


def program(job: dict[str, Any]) -> dict[str, Any]:
    """Start a program, and when it starts, let it open its modules; what travels in an archive is unpacked first."""
    if job["unpacked"]:
        Path(job["unpacked"]).mkdir()
        subprocess.run(["tar", "--extract", "--file", job["path"], "--directory", job["unpacked"]], check=True)
    answer = started(job["command"], job["settings"])
    answer["listed"] = listed(job["command"][0]) if answer["code"] != 0 else ""
    answer["modules"] = {}
    if answer["code"] == 0 and job["modules"]:
        # A program that is no interpreter has its plugins opened by the root's Python.
        command = [job["command"][0] if job["probe"] else "/usr/bin/python3", *probe_of(job)]
        answer["modules"] = opened(command, job["settings"], {"paths": [], "modules": job["modules"]})
    return answer


def library(job: dict[str, Any]) -> dict[str, Any]:
    """Open shared objects in the root's own Python."""
    return {"modules": opened(["/usr/bin/python3", *probe_of(job)], {}, {"paths": [], "modules": job["modules"]})}


def wheel(job: dict[str, Any]) -> dict[str, Any]:
    """Install a wheel for each Python, and open all that it holds."""
    return {"pythons": {python: _installed(job, python, number) for number, python in enumerate(job["pythons"])}}


def _installed(job: dict[str, Any], python: str, number: int) -> dict[str, Any]:
    target = f"{job['work']}/{job['id']}-{number}"
    options = ["-q", "--offline", "--no-deps", "--cache-dir", f"{job['work']}/cache", "--python", python]
    command = [job["uv"], "pip", "install", *options, "--target", target, job["path"]]
    answer = started(command, {})
    answer["modules"] = answer["programs"] = {}
    if answer["code"] == 0:
        modules = [{"name": name, "path": f"{target}/{path}"} for name, path in job["modules"]]
        answer["modules"] = opened([python, *probe_of(job)], {}, {"paths": [target], "modules": modules})
        for one in answer["modules"].values():
            one["mapped"] = [path.removeprefix(f"{target}/") for path in one.get("mapped", [])]
        answer["modules"] = {path.removeprefix(f"{target}/"): one for path, one in answer["modules"].items()}
        for name in job["programs"]:
            program_path = f"{target}/{name}"
            told = started([program_path, "--version"], {})
            answer["programs"][name] = {**told, "listed": listed(program_path) if told["code"] != 0 else ""}
    subprocess.run(["rm", "-rf", target], check=True)
    return answer


ACTIONS = {"program": program, "library": library, "wheel": wheel}

if __name__ == "__main__":
    todo = json.loads(Path(sys.argv[1]).read_text(encoding="utf-8"))
    result = {job["id"]: ACTIONS[job["action"]](job) for job in todo}
    Path(sys.argv[2]).write_text(json.dumps(result), encoding="utf-8")
