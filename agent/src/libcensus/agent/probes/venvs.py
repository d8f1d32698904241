"""Reads virtual environments: every pyvenv.cfg (PEP 405), and the base that its interpreter leads to now.

An environment is no interpreter of its own: linked, it is its base's build; copied, its own executable with the base's
standard library. A link that leads to nothing, or in a circle, is said so; how it hangs on its base is judged by
:mod:`libcensus.agent.environments`. The version in pyvenv.cfg is that of its creation, and is kept as such.
"""

from __future__ import annotations

import dataclasses
import re
from typing import TYPE_CHECKING

from libcensus.agent.environments import Base, Step, judge
from libcensus.agent.errors import UnreadableError
from libcensus.agent.host import MAX_LINKS, shown
from libcensus.agent.interpreters.candidate import Environment
from libcensus.agent.interpreters.mainprogram import is_python_name
from libcensus.agent.interpreters.version import version_texts
from libcensus.agent.probes.crypto import CryptoReader, TlsSubject
from libcensus.agent.probes.interpreters import read_build_file
from libcensus.facts.crypto import CryptoUse
from libcensus.facts.evidence import Evidence
from libcensus.facts.vocabulary import (
    EnvironmentState,
    EvidenceKind,
    FileRole,
    Implementation,
    Installer,
    Linkage,
    Provider,
)

if TYPE_CHECKING:
    from libcensus.agent.host import Root
    from libcensus.agent.interpreters.candidate import Candidate, Interpreter, ReadFile
    from libcensus.agent.probes.context import ScanContext
    from libcensus.agent.probes.skips import Skips
    from libcensus.facts.interpreter import Build

_MAX_CONFIGURATION = 64 << 10
_NOTHING_THERE = frozenset({"not-found", "symlink-loop"})
"""Why a link leads to nothing; for any other reason, what it leads to could not be seen."""

_VERSION = re.compile(r"(\d+\.\d+\.\d+(?:(?:a|b|rc)\d+)?)(?:\.(?:final|alpha|beta|candidate)\.\d+)?\+?")


def parse_pyvenv(text: str) -> dict[str, str]:
    """Return the assignments of a pyvenv.cfg by lower-case name, the last one of each, as CPython reads them."""
    values: dict[str, str] = {}
    for line in text.splitlines():
        name, separator, value = line.partition("=")
        if separator:
            values[name.strip().lower()] = value.strip()
    return values


def recorded_version(values: dict[str, str]) -> str | None:
    """Return the version of creation: ``version`` of venv, ``version_info`` of virtualenv and uv.

    Where uv links to a minor version, it writes ``3.12`` alone: the patch release of creation is not told.
    """
    for name in ("version", "version_info"):
        if match := _VERSION.fullmatch(values.get(name, "")):
            return match[1]
    return None


def probe_venvs(context: ScanContext, skips: Skips) -> None:
    """Put the environments into the context; the copied ones first, for others may lead to them."""
    drafts = []
    for folder in sorted(set(context.environment_folders)):
        try:
            draft = _read(context.root, folder, skips)
        except UnreadableError as error:
            skips.add_error(error, shown(folder))
            continue
        if draft is not None:
            drafts.append(draft)
    finder = _Bases(context, skips)
    drafts.sort(key=lambda one: (one.real is None or not one.real.startswith(f"{one.folder}/"), one.folder))
    for number, draft in enumerate(drafts):
        context.tell("environments", number, len(drafts))
        if len(context.environments) + len(context.interpreters) >= context.settings.max_installs:
            skips.add("install-limit", f"{shown(draft.folder)}: more than {context.settings.max_installs} installs")
            continue
        try:
            context.environments.append(finder.environment(draft))
        except UnreadableError as error:
            skips.add_error(error, shown(draft.folder))
    context.environments.sort(key=lambda one: one.path)


@dataclasses.dataclass(frozen=True, slots=True)
class _Draft:
    """An environment as it lies there; where its interpreter leads to nothing, ``real`` is None and ``why`` tells."""

    folder: str
    path: str
    aliases: tuple[str, ...]
    values: dict[str, str]
    real: str | None
    why: str | None
    evidence: tuple[Evidence, ...]


def _read(root: Root, folder: str, skips: Skips) -> _Draft | None:
    configuration = f"{folder}/pyvenv.cfg"
    values = parse_pyvenv(root.read_text(configuration, _MAX_CONFIGURATION))
    if "home" not in values:
        skips.add("no-environment", f"{shown(configuration)}: has no home; PEP 405 asks for one")
        return None
    try:
        names = [name for name in root.listdir(f"{folder}/bin") if is_python_name(name)]
    except UnreadableError as error:
        if error.reason != "not-found":
            skips.add_error(error)
            return None
        names = []
    if not names:
        skips.add("no-environment", f"{shown(configuration)}: there is no bin/python beside it")
        return None
    names.sort(key=lambda name: (name != "python", name != "python3", name))
    path = f"{folder}/bin/{names[0]}"
    evidence = [
        Evidence("kind", EvidenceKind.TEXT_LINE, shown(configuration), f"{name} = {shown(values[name])}"[:1024])
        for name in ("home", "version", "version_info", "uv", "virtualenv")
        if name in values
    ]
    evidence += _links(root, path)
    real, why = None, None
    try:
        real = root.realpath(path)
    except UnreadableError as error:
        why = error.reason
        detail = "leads to nothing" if why in _NOTHING_THERE else "leads to what could not be seen"
        evidence.append(Evidence("base", EvidenceKind.ABSENCE, shown(path), f"{detail}: {error.reason}"))
    aliases = tuple(f"{folder}/bin/{name}" for name in names[1:])
    return _Draft(folder, path, aliases, values, real, why, tuple(evidence))


def _links(root: Root, path: str) -> list[Evidence]:
    """Return the chain of links that starts at an environment's interpreter, as proof; bounded, so loops end."""
    found: list[Evidence] = []
    for _ in range(MAX_LINKS):
        try:
            target = root.readlink(path)
        except UnreadableError:
            break
        proof = Evidence("base", EvidenceKind.SYMLINK, shown(path), f"-> {shown(target)}"[:1024])
        if proof in found:
            break
        found.append(proof)
        path = _join(path.rpartition("/")[0], target)
    return found


def trace(root: Root, path: str) -> list[Step]:
    """Return the files and folders on the way from a path to what it leads to, links resolved one by one.

    Bounded by the number of links that the kernel follows; ends where the next part is not there.
    """
    steps: list[Step] = []
    pending: list[tuple[str, str | None]] = [(part, None) for part in reversed(path.split("/"))]
    here, links = "", 0
    while pending:
        part, named_by = pending.pop()
        if part in ("", "."):
            continue
        if part == "..":
            here = here.rpartition("/")[0]
            continue
        place = f"{here}/{part}"
        try:
            target = root.readlink(place)
        except UnreadableError as error:
            if error.reason != "not-a-link":
                break
            here = place
            steps.append(Step(place, named_by))
            continue
        links += 1
        if links > MAX_LINKS:
            break
        if target.startswith("/"):
            here = ""
        pending.extend((name, place) for name in reversed(target.split("/")))
    return steps


def _join(folder: str, target: str) -> str:
    """Return the absolute path of a link's target, ``..`` resolved by name: for showing where it pointed."""
    parts: list[str] = []
    for part in (target if target.startswith("/") else f"{folder}/{target}").split("/"):
        if part == "..":
            del parts[-1:]
        elif part not in ("", "."):
            parts.append(part)
    return "/" + "/".join(parts)


class _Bases:
    """Finds the interpreter behind an environment, and puts the environment together."""

    def __init__(self, context: ScanContext, skips: Skips) -> None:
        self._context = context
        self._skips = skips
        self._folders = frozenset(context.environment_folders)
        self._by_path: dict[str, Interpreter] = {}
        self._copies: dict[str, Environment] = {}
        self._candidates: dict[str, Candidate] = {one.path: one for one in context.candidates}
        self._crypto = CryptoReader(context, context.libraries, skips) if context.libraries is not None else None
        for interpreter in context.interpreters:
            for path in (interpreter.path, interpreter.layout.executable, *interpreter.aliases):
                self._by_path[path] = interpreter

    def environment(self, draft: _Draft) -> Environment:
        """Return the environment, with its base's build and crypto where it leads to one."""
        one = Environment(
            path=draft.path,
            realpath=draft.real or self._last_target(draft),
            base=None,
            interpreter=None,
            recorded_version=recorded_version(draft.values),
            installer=Installer.UV if "uv" in draft.values else Installer.UNKNOWN,
            aliases=draft.aliases,
            crypto=CryptoUse(Linkage.UNRESOLVED if draft.real is None else Linkage.UNKNOWN),
            build=None,
            package=None,
            evidence=list(draft.evidence),
        )
        if draft.real is None:
            one.base = one.realpath if one.realpath != draft.path else None
            if draft.why in _NOTHING_THERE:
                one.state = EnvironmentState.DANGLING
                self._explain_absence(one)
            return one
        if (interpreter := self._by_path.get(draft.real)) is not None:
            self._follow(one, interpreter)
        elif (copy := self._copies.get(draft.real)) is not None:
            one.base, one.interpreter, one.build, one.crypto = copy.base, copy.interpreter, copy.build, copy.crypto
            one.evidence += [proof for proof in copy.evidence if proof.subject == "crypto"]
        elif draft.real in self._candidates:
            self._copy(one, draft, self._candidates[draft.real])
            self._copies[draft.real] = one
        else:
            self._skips.add(
                "unknown-base", f"{shown(draft.path)}: leads to {shown(draft.real)}, no CPython that was found"
            )
            detail = "leads to a file that is no CPython which the scan found"
            one.evidence.append(Evidence("base", EvidenceKind.ABSENCE, shown(draft.real), detail))
        self._judge(one)
        return one

    def _judge(self, one: Environment) -> None:
        """Tell how the environment hangs on its base, and whether it was made with another version than that is now."""
        steps = trace(self._context.root, one.path)
        if not steps or steps[-1].path != one.realpath:
            detail = "the links to the base changed while they were read"
            one.evidence.append(Evidence("state", EvidenceKind.ABSENCE, shown(one.path), detail))
            return
        base = self._base_of(one)
        hold = judge(steps, base, self._folders)
        kind = EvidenceKind.SYMLINK if hold.file != one.realpath else EvidenceKind.PATH
        one.state = hold.state
        one.evidence.append(Evidence("state", kind, shown(hold.file), shown(hold.reason)[:1024]))
        recorded = one.recorded_version
        is_cpython = one.build is not None and one.build.implementation is Implementation.CPYTHON
        if is_cpython and recorded is not None and base.version is not None and recorded != base.version:
            detail = f"made with {recorded}; its interpreter is {base.version} now"
            place = f"{one.path.rpartition('/bin/')[0]}/pyvenv.cfg"
            one.evidence.append(Evidence("recorded_version", EvidenceKind.TEXT_LINE, shown(place), detail))

    @staticmethod
    def _base_of(one: Environment) -> Base:
        interpreter = one.interpreter
        version = None if one.build is None else one.build.version
        if interpreter is None:
            # Environments of interpreters that were not found still tell the version which they were made with.
            minor = ".".join((one.recorded_version or "").split(".")[:2]) or None
            return Base(version, minor)
        return Base(
            version,
            interpreter.layout.version or ".".join((version or "").split(".")[:2]) or None,
            interpreter.build.provider,
            interpreter.installer,
        )

    def _explain_absence(self, one: Environment) -> None:
        """Say that the base may lie outside, where a part of a machine is scanned."""
        release = self._context.os_release
        if one.base is not None and (release is None or release.id is None):
            detail = "the scanned tree has no os-release: it may be a part of a machine, and the base outside it"
            one.evidence.append(Evidence("state", EvidenceKind.ABSENCE, "/etc/os-release", detail))

    def _last_target(self, draft: _Draft) -> str:
        """Return where the chain of links of a dangling environment ends; its own path for a circle."""
        if draft.why == "symlink-loop":
            return draft.path
        links = [proof for proof in draft.evidence if proof.kind is EvidenceKind.SYMLINK]
        if not links:
            return draft.path
        last = links[-1]
        return _join(last.file.rpartition("/")[0], last.detail.removeprefix("-> "))

    @staticmethod
    def _follow(one: Environment, interpreter: Interpreter) -> None:
        one.interpreter = interpreter
        one.base = interpreter.path
        one.build = interpreter.build
        one.crypto = interpreter.crypto
        one.evidence += [proof for proof in interpreter.evidence if proof.subject in ("crypto", "version")]

    def _home(self, draft: _Draft) -> Interpreter | None:
        """Return the interpreter that lies in the folder which pyvenv.cfg names as home, of the same version."""
        home = draft.values["home"]
        if not home.startswith("/"):
            return None
        try:
            real = self._context.root.realpath(home)
        except UnreadableError:
            return None
        candidate = self._candidates[draft.real or ""]
        minor = candidate.program.version or ".".join((recorded_version(draft.values) or "").split(".")[:2])
        found = [
            one
            for path, one in self._by_path.items()
            if path.rpartition("/")[0] == real and one.layout.implementation is candidate.program.implementation
        ]
        # Old PyPys tell nowhere beside their code which Python they speak: what could be another one comes last.
        found.sort(key=lambda one: one.layout.version is None)
        matching = [one for one in found if one.layout.version in (minor, None)] if minor else found
        return matching[0] if matching else None

    def _copy(self, one: Environment, draft: _Draft, candidate: Candidate) -> None:
        """Fill an environment whose executable is a copy: its own bytes, the base's standard library."""
        interpreter = self._home(draft)
        one.interpreter = interpreter
        one.base = None if interpreter is None else interpreter.path
        if interpreter is None:
            detail = "a copied executable, and no interpreter in the folder that pyvenv.cfg names as home"
            one.evidence.append(Evidence("base", EvidenceKind.ABSENCE, shown(draft.path), detail))
            return
        layout = dataclasses.replace(interpreter.layout, prefix=draft.folder, executable=candidate.path)
        root, limit = self._context.root, self._context.settings.max_file_bytes
        executable = read_build_file(root, layout, candidate.path, FileRole.EXECUTABLE, limit)
        if executable.fact.sha256 == interpreter.files[0].fact.sha256:
            one.build = interpreter.build
            words = "a copy of the base's executable, still the same bytes"
        else:
            one.build = self._own_build(interpreter, executable)
            words = "a copy of another executable than the base has now"
        one.evidence.append(Evidence("base", EvidenceKind.PATH, shown(candidate.path), words))
        if self._crypto is not None:
            files = (executable, *interpreter.files[1:])
            subject = TlsSubject(one.path, interpreter.layout, files, interpreter.package)
            one.crypto, proofs = self._crypto.read(subject)
            one.evidence += proofs

    def _own_build(self, interpreter: Interpreter, executable: ReadFile) -> Build:
        """Return the build of an old executable with its base's present files; who built it is not known any more."""
        version = interpreter.build.version
        evidence = set(interpreter.build.evidence)
        if interpreter.layout.library is None and interpreter.layout.version is not None:
            minor = interpreter.layout.version
            texts = self._context.root.examine(executable.path, lambda file: version_texts(file, minor))
            version = next(iter(texts)) if len(texts) == 1 else None
            if version is not None:
                proof = Evidence("version", EvidenceKind.STRING, executable.fact.path, version, texts[version])
                evidence.add(proof)
        files = {fact.path: fact for fact in interpreter.build.files if fact.role is not FileRole.EXECUTABLE}
        files[executable.fact.path] = executable.fact
        return dataclasses.replace(
            interpreter.build,
            version=version,
            provider=Provider.UNKNOWN,
            provider_build=None,
            files=tuple(sorted(files.values(), key=lambda fact: fact.path)),
            evidence=tuple(sorted(evidence, key=lambda item: item.sort_key)),
        )
