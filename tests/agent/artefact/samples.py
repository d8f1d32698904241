"""How the tests of artefacts get theirs: compiled, packed into wheels and archives, and what ``ldd`` says of them."""

from __future__ import annotations

import base64
import hashlib
import io
import os
import re
import subprocess
import tarfile
import zipfile
from typing import TYPE_CHECKING

from libcensus.agent.artefact import ArtefactSettings, read_artefact
from tests.agent.elf.samples import FIXTURES

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from libcensus.facts.artefact import Artefact, ArtefactFile

PROGRAM = (FIXTURES / "x86_64-linux-gnu" / "program").read_bytes()
LIBRARY = (FIXTURES / "x86_64-linux-gnu" / "libfixture.so.1").read_bytes()
METADATA = "Metadata-Version: 2.1\nName: pkg\nVersion: 1.0\nRequires-Python: >=3.9,<4\n\nRequires-Python: no header\n"


def link(target: Path, *flags: str, source: str = "int f(void) { return 1; }", needs: tuple[Path, ...] = ()) -> Path:
    """Link one shared object, or a program where the source has a main; ``needs`` are libraries that it is to want."""
    target.parent.mkdir(parents=True, exist_ok=True)
    text = target.with_name(f"{target.name}.c")
    text.write_text(source)
    shape = () if "main(" in source else ("-shared", "-fPIC")
    wanted = [str(need) for need in needs]
    subprocess.run(
        [
            "gcc",
            *shape,
            "-o",
            str(target),
            str(text),
            "-Wl,--no-as-needed",
            *wanted,
            "-Wl,--allow-shlib-undefined",
            *flags,
        ],
        check=True,
        capture_output=True,
    )
    text.unlink()
    return target


def tar_of(path: Path, *members: tarfile.TarInfo | tuple[str, bytes], mode: str = "w") -> Path:
    """Write a tar archive of files and of members made by hand."""
    with tarfile.open(path, mode) as archive:  # type: ignore[call-overload]
        for member in members:
            if isinstance(member, tarfile.TarInfo):
                archive.addfile(member)
            else:
                info = tarfile.TarInfo(member[0])
                info.size = len(member[1])
                archive.addfile(info, io.BytesIO(member[1]))
    return path


def special(name: str, kind: bytes, target: str = "") -> tarfile.TarInfo:
    """Return a member that is no file: a link, a device, a FIFO."""
    info = tarfile.TarInfo(name)
    info.type = kind
    info.linkname = target
    return info


def zip_of(path: Path, members: Mapping[str, bytes], head: bytes = b"") -> Path:
    """Write a zip archive, behind a first line where there is one."""
    with path.open("wb") as file:
        file.write(head)
        with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
            for name, content in members.items():
                archive.writestr(name, content)
    return path


def record_line(name: str, content: bytes) -> str:
    """Return a file's line in RECORD."""
    digest = base64.urlsafe_b64encode(hashlib.sha256(content).digest()).rstrip(b"=").decode()
    return f"{name},sha256={digest},{len(content)}\n"


def wheel_of(
    path: Path,
    members: Mapping[str, bytes],
    *,
    tags: tuple[str, ...] = ("cp312-cp312-linux_x86_64",),
    record: str | None = None,
    **others: str,
) -> Path:
    """Write a wheel as a build tool would; ``record`` replaces the right RECORD, ``others`` texts of its records."""
    info = "pkg-1.0.dist-info"
    files = dict(members)
    files[f"{info}/WHEEL"] = ("Wheel-Version: 1.0\n" + "".join(f"Tag: {tag}\n" for tag in tags)).encode()
    files[f"{info}/METADATA"] = METADATA.encode()
    files.update({f"{info}/{name.replace('_', '.')}": text.encode() for name, text in others.items()})
    right = "".join(record_line(name, content) for name, content in files.items()) + f"{info}/RECORD,,\n"
    files[f"{info}/RECORD"] = (right if record is None else record).encode()
    return zip_of(path, files)


def read(path: Path | str, **fields: int) -> tuple[Artefact, list[str]]:
    """Return an artefact and what was said about it."""
    warnings: list[str] = []
    artefact = read_artefact(path, ArtefactSettings(**fields), on_warning=lambda _name, words: warnings.append(words))
    return artefact, warnings


def file_of(artefact: Artefact, path: str) -> ArtefactFile:
    """Return one file of an artefact."""
    return next(file for file in artefact.files if file.path == path)


def mapped(artefact: Artefact, path: str) -> set[str]:
    """Return the files of the artefact that are mapped for one of them, and itself."""
    files = {file.path: file for file in artefact.files}
    seen: set[str] = set()
    pending = [path]
    while pending:
        one = pending.pop()
        if one not in seen:
            seen.add(one)
            pending += files[one].uses
    return seen


def ldd(path: Path, *, is_library: bool = True) -> tuple[set[str], set[str]]:
    """Return the real paths of what the loader of this machine maps for a file, and the names that it does not find."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("LD_")}
    # ldd starts the loader itself, so that it cannot ask the kernel where the program really lies.
    command = ["ldd", str(path)] if is_library else [str(path)]
    environment |= {} if is_library else {"LD_TRACE_LOADED_OBJECTS": "1"}
    done = subprocess.run(command, check=False, capture_output=True, text=True, env=environment)
    found: set[str] = set()
    missing: set[str] = set()
    for line in done.stdout.splitlines():
        if match := re.match(r"\s*(\S+) => not found", line):
            missing.add(match[1])
        elif match := re.match(r"\s*(?:\S+ => )?(/\S+) \(0x", line):
            found.add(os.path.realpath(match[1]))
    return found, missing
