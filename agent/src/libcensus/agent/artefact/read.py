"""Reads anything that somebody wants to run or install into the :class:`~libcensus.facts.artefact.Artefact` fact.

What a path is is told by its content, not by its name; only a wheel's name says something by itself. One path that
cannot be read is an error of its own, with what helps; what is passed over inside of it is a warning. Nothing is run,
and nothing is written.
"""

from __future__ import annotations

import os
import re
import zipfile
from collections import Counter
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

from libcensus.agent.artefact import interpreter
from libcensus.agent.artefact.beside import Beside, is_below
from libcensus.agent.artefact.gather import ArtefactSettings, Gatherer
from libcensus.agent.artefact.linking import Part, link
from libcensus.agent.artefact.source import FileSource, shown
from libcensus.agent.artefact.streams import ZIP_MAGICS, damage_told, is_tar
from libcensus.agent.artefact.wheel import SUFFIX, Wheel, is_wheel, location_of, parse_name, read_wheel
from libcensus.agent.elf.reader import MAGIC
from libcensus.agent.errors import ArtefactError, UnreadableError
from libcensus.agent.probes.venvs import parse_pyvenv, recorded_version
from libcensus.facts.artefact import Artefact
from libcensus.facts.validation import InvalidFactError
from libcensus.facts.vocabulary import ArtefactKind, FileRole, Implementation

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from libcensus.agent.artefact.gather import Member
    from libcensus.agent.artefact.interpreter import Install, MainFile, Placed
    from libcensus.agent.elf.reader import Elf, Source
    from libcensus.agent.walk import Progress

_ARCHIVE_MOUNT = "/(archive)"
"""Where the members of an archive are thought to lie: no RPATH of a real file names it."""

_LIBRARY = re.compile(r"lib.+\.so(?:\.[\d.]+)?|.+\.so\.[\d.]+|ld-.*\.so(?:\.\d+)?")
_MODULE = re.compile(r"(?P<name>[^/.]+)\.(?:cpython|pypy|abi3)[^/]*\.so")
_SHEBANG = re.compile(rb"#![^\n]*?[/ ]python(?P<version>[23](?:\.\d{1,3})?)?[td]?(?=[\s\r]|\Z)[^\n]*")
_HEAD_BYTES = 4096
_NOT_TOLD = frozenset({"not-loadable"})
"""Object files and the like: no loader has to do with them."""

_FATAL_IN_A_WHEEL = frozenset({"damaged", "encrypted", "unknown-compression"})
"""What makes an installer give up."""

_REMEDIES = {
    "absurd-header": "copy or build the file again",
    "damaged": "download or build it again",
    "debug-only": "give the program itself",
    "not-a-regular-file": "give a file, a folder or an archive",
    "not-an-artefact": "give one of these",
    "not-elf": "copy or build the file again",
    "not-loadable": "give the program or library that is linked from it",
    "truncated": "copy or build the file again",
    "unknown-compression": "unpack it and give the folder",
}


def read_artefacts(
    paths: Iterable[str | os.PathLike[str]],
    settings: ArtefactSettings | None = None,
    on_error: Callable[[str, str], None] | None = None,
    progress: Progress | None = None,
    *,
    on_warning: Callable[[str, str], None] | None = None,
) -> list[Artefact]:
    """Return what each path is, in the order given.

    A path that cannot be read raises ArtefactError; with ``on_error`` its name and the message go there instead, and
    the other paths are still read. ``on_warning`` is told what was passed over in a path that was read.
    """
    given = [os.fspath(path) for path in paths]
    found = []
    for number, path in enumerate(given):
        if progress is not None:
            progress("artefacts", number, len(given))
        try:
            found.append(read_artefact(path, settings, on_warning=on_warning))
        except ArtefactError as error:
            if on_error is None:
                raise
            on_error(shown(path), error.detail or error.reason)
    if progress is not None:
        progress("artefacts", len(given), len(given))
    return found


def read_artefact(
    path: str | os.PathLike[str],
    settings: ArtefactSettings | None = None,
    *,
    on_warning: Callable[[str, str], None] | None = None,
) -> Artefact:
    """Return what a path is; raises ArtefactError, which names the path, what is wrong with it, and what helps."""
    text = os.fspath(path)
    reader = _Reader(text, settings or ArtefactSettings())
    try:
        artefact = reader.read()
    except ArtefactError as error:
        remedy = _REMEDIES.get(error.reason)
        if remedy is None or ";" in error.detail:
            raise
        raise ArtefactError(error.reason, f"{error.detail}; {remedy}") from error
    except UnreadableError as error:
        raise ArtefactError(error.reason, f"{shown(text)}: {error.detail}; give its parts one by one") from error
    except InvalidFactError as error:
        raise ArtefactError("too-large", f"{shown(text)}: {error}; give its parts one by one") from error
    if on_warning is not None:
        for words in reader.warnings:
            on_warning(shown(text), words)
    return artefact


@dataclass(slots=True)
class _Reader:
    """Reads one path."""

    path: str
    settings: ArtefactSettings
    warnings: list[str] = field(default_factory=list)
    _roles: dict[str, FileRole] = field(default_factory=dict)
    _mains: list[MainFile] = field(default_factory=list)
    _wheel: Wheel | None = None

    @property
    def name(self) -> str:
        return shown(self.path)

    def read(self) -> Artefact:
        try:
            if Path(self.path).is_dir():
                return self._folder()
            if not os.path.lexists(self.path) and self.path.endswith(SUFFIX):
                named = parse_name(shown(Path(self.path).name))
                return Artefact(self.name, ArtefactKind.WHEEL_NAME, tags=tuple(sorted(named.tags)))
            with FileSource(self.path) as source:
                return self._file(source)
        except FileNotFoundError:
            raise ArtefactError(
                "not-found", f"{self.name}: no such file or folder; give a path that exists, or a wheel's name"
            ) from None
        except OSError as error:
            raise _unreadable(self.name, error) from None
        except ValueError:
            raise ArtefactError("not-found", f"{self.name}: no path holds a NUL byte") from None

    def _file(self, source: FileSource) -> Artefact:
        head = source.read_at(0, _HEAD_BYTES)
        if head.startswith(MAGIC):
            return self._elf_file()
        is_named_wheel = self.path.endswith(SUFFIX)
        with source.stream() as stream:
            # A tar archive may end with a zip archive, and would be taken for that one.
            if head.startswith(ZIP_MAGICS) or is_named_wheel or (not is_tar(head) and zipfile.is_zipfile(stream)):
                return self._zip(source, head, is_named_wheel=is_named_wheel)
        return self._tar()

    # --- kinds ----------------------------------------------------------------------------------------------------

    def _elf_file(self) -> Artefact:
        gatherer = self._gather()
        (member,) = gatherer.members
        role = self._roles[member.name]
        # Not made shorter: before a `..` there may be a link.
        given = self.path if self.path.startswith("/") else f"{Path.cwd()}/{self.path}"
        real = os.path.realpath(given)
        placed = self._install_around(given) if role is FileRole.EXECUTABLE else None
        # The kernel tells the loader where a program really lies, and a program where it opens a library.
        opened = real if role is FileRole.EXECUTABLE else given
        found = Beside(None if placed is None else placed.prefix)
        main = found.begin(Part(member.name, real, member.elf, role, member.requirement, opened))
        defaults: tuple[str, ...] = ()
        if placed is not None:
            defaults = self._take_install(placed, main, found)
        for name, error in sorted(found.unread.items()):
            self.warnings.append(f"passed over, {error.reason}: {name}: {error.detail}")
        parts = list(found.parts.values())
        kind = ArtefactKind.EXECUTABLE if role is FileRole.EXECUTABLE else ArtefactKind.SHARED_OBJECT
        if placed is None:
            return Artefact(self.name, kind, files=link(parts, found.links, folders=()))
        parts = [_with_level(part, placed.install.x86_64_level) for part in parts]
        paths = {path for part in parts for path in part.requirement.runpath}
        own = {path.rstrip("/") for path in paths if is_below(path, placed.prefix)}
        return Artefact(
            self.name,
            ArtefactKind.INTERPRETER,
            files=link(parts, found.links, main, defaults=defaults, folders=own),
            implementation=placed.install.implementation,
            version=placed.install.version,
        )

    def _install_around(self, path: str) -> Placed | None:
        try:
            return interpreter.installed_around(path)
        except UnreadableError as error:
            self.warnings.append(f"whether it is an interpreter is not known: {error.detail or error.reason}")
            return None

    @staticmethod
    def _take_install(placed: Placed, main: Part, found: Beside) -> tuple[str, ...]:
        """Take what the install of a main program has; return the folder in which the loader finds its library."""
        wanted = [(path, FileRole.MODULE) for path in placed.modules]
        if placed.library is not None:
            wanted.insert(0, (placed.library, FileRole.LIBRARY))
        for path, role in wanted:
            if (part := found.add(path, role, main)) is not None:
                found.follow([main, part])
        return () if placed.library is None else (placed.library.rpartition("/")[0],)

    def _zip(self, source: FileSource, head: bytes, *, is_named_wheel: bool) -> Artefact:
        with source.stream() as stream:
            if is_named_wheel and not zipfile.is_zipfile(stream):
                what = "is empty" if source.size == 0 else "is no zip archive, or its end is missing"
                raise ArtefactError("not-a-wheel", f"{self.name}: {what}; download or build the wheel again")
            with damage_told(self.name), zipfile.ZipFile(stream) as archive:
                names = archive.namelist()
                if is_named_wheel or is_wheel(names):
                    base = shown(Path(self.path).name) if is_named_wheel else None
                    self._wheel = read_wheel(archive, self.name, base)
        if self._wheel is not None:
            return self._read_wheel(self._wheel)
        gatherer = self._gather()
        shebang = _SHEBANG.match(head)
        if shebang is not None or "__main__.py" in names:
            version = None if shebang is None or shebang["version"] is None else f"=={shebang['version'].decode()}.*"
            files = link(self._parts(gatherer, _ARCHIVE_MOUNT), _links(gatherer, _ARCHIVE_MOUNT))
            return Artefact(self.name, ArtefactKind.ZIPAPP, files=files, requires_python=version)
        return self._archive(gatherer)

    def _read_wheel(self, wheel: Wheel) -> Artefact:
        gatherer = self._gather()
        self.warnings += wheel.warnings
        parts = self._parts(gatherer, _ARCHIVE_MOUNT, location_of)
        parts = [_with_level(part, wheel.x86_64_level) for part in parts]
        return Artefact(
            self.name,
            ArtefactKind.WHEEL,
            files=link(parts, _links(gatherer, _ARCHIVE_MOUNT, location_of)),
            tags=tuple(sorted(wheel.tags)),
            requires_python=wheel.requires_python,
        )

    def _tar(self) -> Artefact:
        return self._archive(self._gather())

    def _archive(self, gatherer: Gatherer) -> Artefact:
        if gatherer.seen == 0:
            raise ArtefactError("empty", f"{self.name}: there is nothing in the archive; build it again")
        install = interpreter.archived(self.path, self._mains, gatherer.texts)
        return self._with_install(gatherer, ArtefactKind.ARCHIVE, _ARCHIVE_MOUNT, install)

    def _folder(self) -> Artefact:
        gatherer = self._gather()
        if gatherer.seen == 0:
            unread = next((one for one in gatherer.skipped if one.reason == "unreadable"), None)
            if unread is not None:
                raise ArtefactError(
                    "unreadable", f"{self.name}: {unread.detail}; give it to somebody who may read it, or run as root"
                )
            raise ArtefactError("empty", f"{self.name}: the folder is empty; give the one that holds the files")
        top = shown(os.path.realpath(self.path))
        if "pyvenv.cfg" in gatherer.texts:
            return self._environment(gatherer, top)
        install = interpreter.installed_in(os.path.realpath(self.path), self._mains)
        kind = ArtefactKind.FOLDER if install is None else ArtefactKind.INTERPRETER
        return self._with_install(gatherer, kind, top, install)

    def _environment(self, gatherer: Gatherer, top: str) -> Artefact:
        values = parse_pyvenv(gatherer.texts["pyvenv.cfg"])
        names = [name.lower() for name in (values.get("implementation", ""), values.get("home", ""))]
        is_pypy = any("pypy" in name for name in names)
        return Artefact(
            self.name,
            ArtefactKind.ENVIRONMENT,
            files=link(self._parts(gatherer, top), _links(gatherer, top)),
            implementation=Implementation.PYPY if is_pypy else Implementation.CPYTHON,
            version=recorded_version(values),
            home=shown(values["home"]) if values.get("home") else None,
        )

    def _with_install(self, gatherer: Gatherer, kind: ArtefactKind, mount: str, install: Install | None) -> Artefact:
        parts = self._parts(gatherer, mount)
        if install is None:
            return Artefact(self.name, kind, files=link(parts, _links(gatherer, mount)))
        mains = {main.name for main in self._mains if main.program.implementation is install.implementation}
        parts = [
            # A tool that lies beside the interpreter is started later, if at all.
            replace(part, role=FileRole.MODULE)
            if kind is ArtefactKind.INTERPRETER and part.role is FileRole.EXECUTABLE and part.name not in mains
            else part
            for part in parts
        ]
        parts = [_with_level(part, install.x86_64_level) for part in parts]
        opener = next((part for part in parts if part.name == install.executable), None)
        return Artefact(
            self.name,
            kind,
            files=link(parts, _links(gatherer, mount), opener),
            implementation=install.implementation,
            version=install.version,
        )

    # --- files ----------------------------------------------------------------------------------------------------

    def _gather(self) -> Gatherer:
        gatherer = Gatherer(
            self.path, self.settings, is_strict=True, keep=_is_kept, verify=self._verify, examine=self._examine
        )
        gatherer.gather()
        is_environment = "pyvenv.cfg" in gatherer.texts
        told: Counter[str] = Counter()
        first: dict[str, str] = {}
        for one in sorted(gatherer.skipped):
            if one.reason in _NOT_TOLD or (is_environment and one.reason == "link-outside"):
                continue
            words = f"{one.path}: {one.detail}" if one.detail else one.path
            if self._wheel is not None and one.reason in _FATAL_IN_A_WHEEL:
                raise ArtefactError(one.reason, f"{self.name}: {words}; download or build the wheel again")
            told[one.reason] += 1
            first.setdefault(one.reason, words)
        for reason, count in sorted(told.items()):
            more = f", and {count - 1} more" if count > 1 else ""
            self.warnings.append(f"passed over, {reason}: {first[reason]}{more}")
        return gatherer

    def _verify(self, name: str, source: Source) -> None:
        """Refuse a file that is not the one of the wheel's RECORD; a wheel inside another archive is only a file."""
        if self._wheel is not None and "!" not in name:
            self._wheel.check(name, source)

    def _examine(self, member: Member, elf: Elf, source: Source) -> None:
        """Take what only an ELF file's content tells, while it is there."""
        self._roles[member.name] = _role(member.name, elf)
        main = interpreter.recognise(member.name, elf, source)
        if main is not None:
            self._mains.append(main)

    def _parts(self, gatherer: Gatherer, mount: str, place: Callable[[str], str] = lambda name: name) -> list[Part]:
        # The last of several members of one name is the one that unpacking leaves.
        members = {member.name: member for member in gatherer.members}
        return [
            Part(name, f"{mount.rstrip('/')}/{_unnested(place(name))}", one.elf, self._roles[name], one.requirement)
            for name, one in members.items()
        ]


def _links(gatherer: Gatherer, mount: str, place: Callable[[str], str] = lambda name: name) -> dict[str, str]:
    """Return the links by location; a hard link of an archive is one to the member that it repeats."""
    base = mount.rstrip("/")
    found = {f"{base}/{_unnested(place(name))}": target for name, target in gatherer.links.items()}
    for name, target in gatherer.copies.items():
        found[f"{base}/{_unnested(place(name))}"] = f"{base}/{_unnested(place(target))}"
    return found


def _unnested(name: str) -> str:
    """Return the name with a folder for each archive inside another one."""
    return name.replace(".whl!", ".whl!/").replace(".zip!", ".zip!/")


def _role(name: str, elf: Elf) -> FileRole:
    """Return what a file does: programs are started, extension modules opened, libraries mapped for others."""
    if elf.is_executable:
        return FileRole.EXECUTABLE
    base = name.rsplit("/", 1)[-1]
    if _MODULE.fullmatch(base) is not None:
        return FileRole.MODULE
    if elf.defines(f"PyInit_{base.split('.', 1)[0]}"):
        return FileRole.MODULE
    return FileRole.LIBRARY if elf.soname is not None or _LIBRARY.fullmatch(base) is not None else FileRole.MODULE


def _with_level(part: Part, level: int | None) -> Part:
    """Raise a file's x86-64 level to what its builder says; a note in the file may say more."""
    if level is None or part.elf.arch != "x86_64":
        return part
    need = part.requirement
    return replace(part, requirement=replace(need, x86_64_level=max(level, need.x86_64_level or 1)))


def _is_kept(name: str) -> bool:
    return name == "pyvenv.cfg" or interpreter.is_kept(name)


def _unreadable(name: str, error: OSError) -> ArtefactError:
    remedy = "; give it to somebody who may read it, or run as root" if isinstance(error, PermissionError) else ""
    return ArtefactError("unreadable", f"{name}: {error.strerror or error}{remedy}")
