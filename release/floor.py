"""Proves what an artefact needs of a host, with the product's own engine, and refuses one that needs more."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from release.errors import ReleaseError
from release.toolchain import GLIBC

if TYPE_CHECKING:
    from collections.abc import Iterator

GLIBCXX = "3.4.19"
"""What the manylinux2014 policy allows, and EL 7's libstdc++ defines."""

OF_GLIBC = frozenset(
    {"libc.so.6", "libm.so.6", "libdl.so.2", "libpthread.so.0", "librt.so.1", "libutil.so.1"}
    | {"ld-linux-x86-64.so.2", "ld-linux-aarch64.so.1"}
)
OF_GCC = frozenset({"libstdc++.so.6", "libgcc_s.so.1"})
"""libstdc++ never comes without libgcc_s, which it needs itself."""

HIGHEST = {"GLIBC": GLIBC, "GLIBCXX": GLIBCXX, "CXXABI": "1.3.7", "GCC": "4.8.0"}
"""The highest version of each family of symbols: those of manylinux2014 (PEP 599) and EL 7."""


def prove_floor(path: Path, arch: str) -> list[dict[str, Any]]:
    """Return what ``libcensus-agent requires`` says of an artefact; raises ReleaseError where it is too much."""
    command = [str(Path(sys.executable).with_name("libcensus-agent")), "requires", path.name, "--output", "json"]
    # By its name alone: the answer, which is published, tells nothing of the builder's folders.
    done = subprocess.run(command, check=False, capture_output=True, text=True, cwd=path.parent)
    if done.returncode != 0:
        raise ReleaseError(f"what {path} needs cannot be told: {done.stderr.strip()}")
    document: list[dict[str, Any]] = json.loads(done.stdout)
    if problems := list(find_problems(document, arch)):
        raise ReleaseError(f"{path.name} needs more of a host than it may: {'; '.join(problems)}")
    return document


def find_problems(document: list[dict[str, Any]], arch: str) -> Iterator[str]:
    """Yield what an answer of ``requires`` holds beyond the floor."""
    if [entry["arch"] for entry in document] != [arch]:
        yield f"files for {[entry['arch'] for entry in document]}, where {arch} alone is expected"
    for entry in document:
        if not entry["files"]:
            yield "no program at all is in it"
        for soname in entry["sonames"]:
            if soname not in OF_GLIBC | OF_GCC:
                yield f"{soname}, which is neither glibc's nor GCC's"
        for soname, versions in entry["symbol_versions"].items():
            for version in versions:
                family, _, number = version.partition("_")
                highest = HIGHEST.get(family)
                if highest is None or not number or _order(number) > _order(highest):
                    yield f"{version} of {soname}"
        if (entry["x86_64_level"] or 1) > 1:
            yield f"x86-64-v{entry['x86_64_level']}"
        for skipped in entry["skipped"]:
            yield f"{skipped['path']} was not read ({skipped['reason']})"


def _order(number: str) -> tuple[int, ...]:
    return tuple(int(part) if part.isdigit() else 1 << 30 for part in number.split("."))
