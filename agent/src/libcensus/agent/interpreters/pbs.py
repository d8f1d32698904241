"""python-build-standalone: CPythons that uv, rye, hatch, mise, Bazel and vendors install, wherever they lie.

They are known by what their build leaves: the prefix ``/install`` and dependencies below ``/tools`` in the configure
arguments, or ``$ORIGIN`` inside the name of the needed libpython, which no other builder writes; newer builds, and uv
for all that it installs, also say ``PYTHON_BUILD_STANDALONE``. The build's date stands in ``BUILD`` where uv installed
it, in the address that hatch keeps in ``hatch-dist.json``, or in the names of folder and archive; else it is not known.
Source: https://github.com/astral-sh/python-build-standalone, ``docs/distributions.rst``.
"""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING

from libcensus.agent.errors import UnreadableError
from libcensus.agent.host import shown
from libcensus.agent.interpreters.candidate import Claim
from libcensus.agent.interpreters.sysconfig import configure_arguments
from libcensus.facts.evidence import Evidence
from libcensus.facts.vocabulary import EvidenceKind, Provider

if TYPE_CHECKING:
    from collections.abc import Iterator

    from libcensus.agent.host import Root
    from libcensus.agent.interpreters.candidate import Subject

_BUILD = re.compile(r"20\d{6}(?:T\d{4})?")
_NAMED_BUILD = re.compile(r"(?:^|[-+@/])(20[12]\d{5})(?=$|[-/T])")
_TRIPLE_LEVEL = re.compile(r"^x86_64_v([234])-")
_KEY_LEVEL = re.compile(r"-(?:linux-)?x86_64_v([234])-")
_OPTIONS = {"pgo": "pgo", "lto": "lto", "bolt": "bolt", "debug": "debug", "freethreaded": "free-threaded"}
_DOWNLOAD = re.compile(r"/python-build-standalone/releases/download/(20\d{6}(?:T\d{4})?)/")
_ORIGIN_NEEDED = re.compile(r"\$ORIGIN/\.\./lib/libpython\d")


def claim(subject: Subject) -> Claim | None:
    """Return the claim when the build's own traces are there."""
    traces = list(_traces(subject))
    info = _python_json(subject)
    if not traces and info is None:
        return None
    build, build_evidence, evidence = _build(subject)
    flags: set[str] = set()
    if info is not None:
        path, values = info
        detail = ", ".join(f"{name}: {value}" for name, value in values.items())
        evidence = (*evidence, Evidence("provider", EvidenceKind.TEXT_LINE, shown(path), shown(detail)[:512]))
        flags.update(_OPTIONS[word] for word in values.get("build_options", "").split("+") if word in _OPTIONS)
        flags.update(f"x86-64-v{level}" for level in _TRIPLE_LEVEL.findall(values["target_triple"]))
    if match := _KEY_LEVEL.search(subject.layout.prefix):
        flags.add(f"x86-64-v{match[1]}")
        proof = Evidence("requirement", EvidenceKind.PATH, shown(subject.layout.prefix), match[0].strip("-"))
        evidence = (*evidence, proof)
    return Claim(
        Provider.PBS, build, tuple(sorted(flags)), evidence=evidence, build_evidence=(*traces, *build_evidence)
    )


def _traces(subject: Subject) -> Iterator[Evidence]:
    layout = subject.layout
    for needed in subject.needed:
        if _ORIGIN_NEEDED.search(needed):
            yield Evidence("provider", EvidenceKind.ELF_NEEDED, _relative(subject, layout.executable), needed)
    if layout.sysconfig_file is not None:
        arguments = configure_arguments(dict(layout.sysconfig))
        tools = [one for one in arguments if re.search(r"=/tools/(?:deps|host)\b", one)]
        if "--prefix=/install" in arguments and tools:
            detail = f"CONFIG_ARGS: --prefix=/install {tools[0]}"
            yield Evidence("provider", EvidenceKind.TEXT_LINE, _relative(subject, layout.sysconfig_file), detail)
        if layout.sysconfig.get("PYTHON_BUILD_STANDALONE") == "1":
            where = _relative(subject, layout.sysconfig_file)
            yield Evidence("provider", EvidenceKind.TEXT_LINE, where, "PYTHON_BUILD_STANDALONE: 1")


def _relative(subject: Subject, path: str) -> str:
    return shown(path.removeprefix(subject.layout.prefix).lstrip("/"))


def _python_json(subject: Subject) -> tuple[str, dict[str, str]] | None:
    """Return PYTHON.json's path and decisive fields; full archives carry it beside their ``install`` folder."""
    prefix = subject.layout.prefix
    for path in (f"{prefix}/PYTHON.json", f"{prefix.rpartition('/')[0]}/PYTHON.json"):
        try:
            data = json.loads(subject.root.read_text(path))
        except (UnreadableError, ValueError, RecursionError):
            continue
        if isinstance(data, dict) and isinstance(data.get("target_triple"), str):
            wanted = ("target_triple", "build_options", "python_version")
            return path, {name: data[name] for name in wanted if isinstance(data.get(name), str)}
    return None


def _build(subject: Subject) -> tuple[str | None, tuple[Evidence, ...], tuple[Evidence, ...]]:
    """Return the build's date, with proof inside the build or around it."""
    prefix = subject.layout.prefix
    try:
        text = subject.root.read_text(f"{prefix}/BUILD", 4096).strip()
    except UnreadableError:
        text = ""
    if _BUILD.fullmatch(text):
        return text, (Evidence("provider_build", EvidenceKind.TEXT_LINE, "BUILD", text),), ()
    if (told := _told_by_hatch(subject.root, prefix)) is not None:
        return told[0], (), (Evidence("provider_build", EvidenceKind.TEXT_LINE, shown(told[1]), told[2]),)
    if match := _NAMED_BUILD.search(prefix):
        return match[1], (), (Evidence("provider_build", EvidenceKind.PATH, shown(prefix), match[1]),)
    return None, (), ()


def _told_by_hatch(root: Root, prefix: str) -> tuple[str, str, str] | None:
    """Return the build's date, hatch's record of the download, and the address in it."""
    path = f"{prefix.rpartition('/')[0]}/hatch-dist.json"
    try:
        data = json.loads(root.read_text(path, 64 << 10))
    except (UnreadableError, ValueError, RecursionError):
        return None
    source = data.get("source") if isinstance(data, dict) else None
    match = _DOWNLOAD.search(source) if isinstance(source, str) else None
    return None if match is None else (match[1], path, shown(match.string)[:512])
