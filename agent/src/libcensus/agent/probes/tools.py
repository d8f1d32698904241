"""Finds the programs that bring interpreters, the newest builds that each knows, and what their settings allow.

Today that is uv. A program counts by its content, and its version is that in its own bytes; records beside it (of a
wheel, of conda, of cargo, uv's own receipt) are evidence, and answer only where the bytes do not.
"""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, NamedTuple

from libcensus.agent import uv, wheels
from libcensus.agent.elf.reader import MAGIC
from libcensus.agent.errors import UnreadableError
from libcensus.agent.host import shown
from libcensus.agent.probes.copies import cache_of
from libcensus.facts.evidence import Evidence
from libcensus.facts.tool import Tool, ToolSetting
from libcensus.facts.validation import InvalidFactError
from libcensus.facts.vocabulary import EvidenceKind

if TYPE_CHECKING:
    from collections.abc import Iterator

    from libcensus.agent.host import Root, RootedFile
    from libcensus.agent.probes.context import ScanContext
    from libcensus.agent.probes.skips import Skips
    from libcensus.agent.uv import UvProgram
    from libcensus.facts.package import Package

_MAX_SETTINGS = 512 << 10
_MAX_RECORD = 4 << 20
_WORDS = 1024
_LIBRARIES = ("lib", "lib64")
_PYTHONS = re.compile(r"(?:python|pypy)\d[\d.]*[a-z]*")
_WHEEL = re.compile(r"uv-[^-]+\.dist-info")
_CONDA = re.compile(r"uv-[^-]+-[^-]+\.json")
_CRATE = re.compile(r"uv (\S+) \(")
_UPSTREAM = re.compile(r"(?:\d+:)?(\d+(?:\.\d+)+)")


class _Record(NamedTuple):
    """What a record beside a program says: the version, in which file, and the environment that it belongs to."""

    version: str
    file: str
    environment: str | None = None


def probe_tools(context: ScanContext, skips: Skips) -> None:
    """Put the tools and their settings into the context, each sorted by path."""
    _find_tools(context, skips)
    _find_settings(context, skips)


def _find_tools(context: ScanContext, skips: Skips) -> None:
    files: dict[tuple[int, int], list[str]] = {}
    for path in sorted(set(context.tool_files)):
        try:
            status = context.root.stat(path)
        except UnreadableError as error:
            skips.add_error(error, shown(path))
            continue
        files.setdefault((status.st_dev, status.st_ino), []).append(path)
    owners = context.packages.owners(context.tool_files) if context.packages is not None else {}
    records = _Records(context.root, frozenset(context.environment_folders), skips)
    for number, paths in enumerate(files.values()):
        context.tell("tools", number, len(files))
        try:
            program = _read(context, paths[0])
            if program is None:
                skips.add("not-a-tool", f"{shown(paths[0])}: has a tool's name, and its content is another")
                continue
            for path, found in _one_per_environment(context.root, records, paths, skips):
                context.tools.append(_tool(context, path, program, found, owners.get(path)))
        except UnreadableError as error:
            skips.add_error(error, shown(paths[0]))
        except InvalidFactError as error:
            skips.add("invalid-fact", f"{shown(paths[0])}: {error}")
    context.tools.sort(key=lambda tool: tool.path)


def _read(context: ScanContext, path: str) -> UvProgram | None:
    limit = context.settings.max_file_bytes

    def read(file: RootedFile) -> UvProgram | None:
        if file.read_at(0, 4) != MAGIC:
            return None
        if file.size > limit:
            raise UnreadableError("too-large", f"{shown(path)}: {file.size} bytes; at most {limit} are read")
        return uv.read_uv(file)

    return context.root.examine(path, read)


def _one_per_environment(
    root: Root, records: _Records, paths: list[str], skips: Skips
) -> Iterator[tuple[str, list[_Record]]]:
    """Yield of one file's names the first in each environment; one outside of all only where there is no other."""
    kept: dict[str | None, tuple[str, list[_Record]]] = {}
    for path in paths:
        found = records.of(path)
        environment = _environment(found)
        if cache_of(root, path, environment) is not None:
            skips.add("installer-cache", f"{shown(path)}: lies in a cache, from which packages are installed")
            continue
        kept.setdefault(environment, (path, found))
    if len(kept) > 1:
        kept.pop(None, None)
    yield from kept.values()


def _environment(records: list[_Record]) -> str | None:
    return next((one.environment for one in records if one.environment is not None), None)


class _Records:
    """Finds what installers wrote down of a uv program."""

    def __init__(self, root: Root, environments: frozenset[str], skips: Skips) -> None:
        self._root = root
        self._environments = environments
        self._skips = skips

    def of(self, path: str) -> list[_Record]:
        """Return the records of the program at a path; one without version only names its environment."""
        folder, _, name = path.rpartition("/")
        prefix = folder.rpartition("/")[0]
        if folder.rpartition("/")[2] != "bin":
            return []
        found = [*self._wheels(prefix, name), *self._conda(prefix, name), *self._cargo(prefix, name)]
        found += self._receipt(prefix, folder)
        if prefix in self._environments and _environment(found) is None:
            found.append(_Record("", f"{prefix}/pyvenv.cfg", prefix))
        return found

    def _wheels(self, prefix: str, name: str) -> Iterator[_Record]:
        scripts = {prefix: f"bin/{name}"}
        for library in _LIBRARIES:
            for python in self._names(f"{prefix}/{library}"):
                if _PYTHONS.fullmatch(python):
                    for kind in ("site", "dist"):
                        scripts[f"{prefix}/{library}/{python}/{kind}-packages"] = f"../../../bin/{name}"
        for site, script in scripts.items():
            for info in self._names(site):
                if _WHEEL.fullmatch(info) is None:
                    continue
                record = self._text(f"{site}/{info}/RECORD")
                if record is None or not wheels.record_names(record, frozenset((script,))):
                    continue
                metadata = wheels.read_metadata(self._text(f"{site}/{info}/METADATA") or "")
                if metadata is not None:
                    yield _Record(metadata[1] or "", f"{site}/{info}/METADATA", prefix or "/")

    def _conda(self, prefix: str, name: str) -> Iterator[_Record]:
        folder = f"{prefix}/conda-meta"
        for entry in self._names(folder):
            if _CONDA.fullmatch(entry) is not None:
                values = self._json(f"{folder}/{entry}")
                files = values.get("files")
                if isinstance(files, list) and f"bin/{name}" in files:
                    yield _Record(_text_of(values.get("version")), f"{folder}/{entry}", prefix or "/")

    def _cargo(self, prefix: str, name: str) -> Iterator[_Record]:
        path = f"{prefix}/.crates2.json"
        installs = self._json(path).get("installs")
        for crate, told in installs.items() if isinstance(installs, dict) else ():
            match = _CRATE.match(crate)
            if match is not None and isinstance(told, dict) and name in (told.get("bins") or ()):
                yield _Record(match[1], path)

    def _receipt(self, prefix: str, folder: str) -> Iterator[_Record]:
        home = prefix.rpartition("/")[0]
        path = f"{home}/.config/uv/uv-receipt.json"
        values = self._json(path)
        if _text_of(values.get("install_prefix")).rstrip("/") in (folder, prefix):
            yield _Record(_text_of(values.get("version")), path)

    def _names(self, folder: str) -> list[str]:
        try:
            return self._root.listdir(folder or "/")
        except UnreadableError as error:
            if error.reason != "not-found":
                self._skips.add_error(error)
            return []

    def _text(self, path: str) -> str | None:
        try:
            return self._root.read_text(path, _MAX_RECORD)
        except UnreadableError as error:
            if error.reason != "not-found":
                self._skips.add_error(error, shown(path))
            return None

    def _json(self, path: str) -> dict[str, object]:
        text = self._text(path)
        if text is None:
            return {}
        try:
            values = json.loads(text)
        except (ValueError, RecursionError) as error:
            self._skips.add("damaged-record", f"{shown(path)}: is no JSON: {str(error)[:200]}")
            return {}
        return values if isinstance(values, dict) else {}


def _text_of(value: object) -> str:
    return value if isinstance(value, str) else ""


def _tool(context: ScanContext, path: str, program: UvProgram, records: list[_Record], package: Package | None) -> Tool:
    name = shown(path)
    evidence = [Evidence("name", EvidenceKind.STRING, name, told.text, told.offset) for told in program.proofs]
    own = None if program.version is None else program.version.text
    version = own
    if program.version is not None:
        evidence.append(Evidence("version", EvidenceKind.STRING, name, program.version.text, program.version.offset))
    told = [(shown(one.version)[:64], one.file, one.version) for one in records if one.version]
    if package is not None and (match := _UPSTREAM.match(package.version)) is not None:
        told.append((match[1], path, f"{package.manager}: {package.name} {package.version}"))
    for recorded, file, words in told:
        version = version or recorded
        differs = "" if own in (None, recorded) else f"; the program itself says {own}, which counts"
        evidence.append(
            Evidence("version", EvidenceKind.PACKAGE_RECORD, shown(file), f"{shown(words)}{differs}"[:_WORDS])
        )
    newest = program.newest_build
    if newest is not None:
        where = "in a compressed catalogue" if program.is_compressed else "as text"
        words = f"{newest.text}: the newest of {program.addresses} addresses of builds, {where}"
        evidence.append(Evidence("newest_build", EvidenceKind.STRING, name, words, newest.offset))
    else:
        evidence.append(Evidence("newest_build", EvidenceKind.ABSENCE, name, (program.unread or "")[:_WORDS]))
    environment = _environment(records)
    return Tool(
        root=shown(context.root.name),
        path=name,
        name="uv",
        version=version,
        newest_build=None if newest is None else newest.text,
        environment=None if environment is None else shown(environment),
        package=package,
        evidence=tuple(sorted(set(evidence), key=lambda item: item.sort_key)),
    )


def _find_settings(context: ScanContext, skips: Skips) -> None:
    files = sorted(set(context.setting_files))
    for number, path in enumerate(files):
        context.tell("settings", number, len(files))
        try:
            content = context.root.read_bytes(path, _MAX_SETTINGS)
            settings = uv.read_settings(content, is_project=path.endswith("/pyproject.toml"))
            for one in settings:
                place = f"line {one.line}: {one.text}" if one.line is not None else f"{one.name} = {one.value}"
                proof = Evidence("setting", EvidenceKind.TEXT_LINE, shown(path), shown(place)[:_WORDS])
                context.tool_settings.append(
                    ToolSetting(shown(context.root.name), shown(path), "uv", one.name, shown(one.value)[:256], (proof,))
                )
        except UnreadableError as error:
            skips.add_error(error, shown(path))
        except InvalidFactError as error:
            skips.add("invalid-fact", f"{shown(path)}: {error}")
