"""Reads the package manager's records: which package owns a file, and whose package that is.

dpkg's files are read (``/var/lib/dpkg``; dpkg(1), deb-src-control(5)), no tool is run. The other managers' databases
are recognised and named as not read yet. Ownership is looked up for the paths that matter, one pass over the file lists
for each batch, because an index of every path of a host would cost more memory than the whole agent may use.

Origin is never guessed: ``distribution`` and ``vendor`` need a record that says so, all else is ``unknown``.
"""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import os
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, BinaryIO, cast

from libcensus.agent.errors import UnreadableError
from libcensus.agent.host import shown
from libcensus.agent.probes.context import ProbeSkippedError
from libcensus.agent.probes.platform import read_os_release
from libcensus.facts.package import Package
from libcensus.facts.validation import InvalidFactError
from libcensus.facts.vocabulary import PackageOrigin

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from libcensus.agent.host import Root, RootedFile
    from libcensus.agent.probes.context import ScanContext
    from libcensus.agent.probes.skips import Skips

_DPKG = "/var/lib/dpkg"
_APT_LISTS = "/var/lib/apt/lists"
_MAX_STATUS = 128 << 20
_MAX_LIST = 64 << 20
_MAX_APT_LIST = 1 << 30

_OTHER_DATABASES = (
    ("rpm", ("/var/lib/rpm", "/usr/lib/sysimage/rpm")),
    ("apk", ("/lib/apk/db/installed", "/usr/lib/apk/db/installed")),
    ("pacman", ("/var/lib/pacman/local",)),
)

_DISTRIBUTION_DOMAINS = {
    "debian.org": ("debian", "ubuntu"),
    "debian.net": ("debian", "ubuntu"),
    "ubuntu.com": ("ubuntu",),
    "canonical.com": ("ubuntu",),
    "raspbian.org": ("raspbian", "debian"),
    "kali.org": ("kali",),
    "linuxmint.com": ("linuxmint",),
    "system76.com": ("pop",),
    "devuan.org": ("devuan",),
}
"""Domains of maintainer addresses, and the distributions (ID or ID_LIKE of os-release) for which they speak."""

_DISTRIBUTION_ORIGINS = {
    "debian": ("debian", "ubuntu"),
    "debian backports": ("debian",),
    "ubuntu": ("ubuntu",),
    "raspbian": ("raspbian",),
    "raspberry pi foundation": ("raspbian", "debian"),
    "kali": ("kali",),
    "linuxmint": ("linuxmint",),
    "devuan": ("devuan",),
    "pop-os-release-ubuntu": ("pop",),
}
"""The field Origin of a Release file or a package, and the distributions whose own archive it is."""

_VENDOR_DOMAINS = frozenset(
    [
        "amazon.com",
        "amazonaws.com",
        "anaconda.com",
        "broadcom.com",
        "chef.io",
        "confluent.io",
        "continuum.io",
        "crowdstrike.com",
        "datadoghq.com",
        "docker.com",
        "elastic.co",
        "gitlab.com",
        "google.com",
        "grafana.com",
        "hashicorp.com",
        "influxdata.com",
        "mariadb.com",
        "microsoft.com",
        "mongodb.com",
        "newrelic.com",
        "nodesource.com",
        "nvidia.com",
        "oracle.com",
        "percona.com",
        "puppet.com",
        "qualys.com",
        "saltproject.io",
        "sentinelone.com",
        "splunk.com",
        "tenable.com",
        "vmware.com",
        "wazuh.com",
        "zabbix.com",
    ]
)
"""Companies that publish packages from archives of their own; none of them is a distribution that dpkg runs on."""

_FOREIGN_VERSION = re.compile(
    r"ppa\d*\b|sury\.org|nodesource\d*$|\+(?:trusty|xenial|bionic|focal|jammy|noble|plucky|questing|resolute)\d+$"
)
"""Marks that third-party archives put into versions, also of packages whose maintainer field they copied."""

_ADDRESS = re.compile(r"^(?P<name>[^<]*?)\s*(?:<(?P<address>[^>]*)>)?$")


@dataclass(frozen=True, slots=True)
class _Diversion:
    source: str
    target: str
    package: str


class PackageDatabase:
    """The records of one root's package manager; empty where there is none that is read.

    Look-ups are cached: asking again for a path costs nothing.
    """

    def __init__(self, root: Root, skips: Skips, distribution_ids: tuple[str, ...] = ()) -> None:
        self._root = root
        self._skips = skips
        self._ids = distribution_ids
        self._owners: dict[str, Package | None] = {}
        self._packages: dict[str, Package | None] = {}
        self._told_lists: set[str] = set()
        self._release_origins: dict[str, str | None] = {}
        self._has_status = root.is_file(f"{_DPKG}/status")
        self._has_status_folder = root.is_folder(f"{_DPKG}/status.d")
        self._merged = self._merged_folders()
        self._diversions = self._read_diversions() if self._has_status else []

    @property
    def manager(self) -> str | None:
        """The package manager whose records are read, or None."""
        return "dpkg" if self._has_status or self._has_status_folder else None

    def owners(self, paths: Iterable[str]) -> dict[str, Package]:
        """Return the owning package of each of these real paths that a package owns."""
        asked = set(paths)
        unknown = asked - self._owners.keys()
        if unknown and self.manager is not None:
            self._look_up(unknown)
        return {path: package for path in asked if (package := self._owners.get(path)) is not None}

    def owner(self, path: str) -> Package | None:
        """Return the package that owns one real path; ask for many at once by :meth:`owners`."""
        return self.owners((path,)).get(path)

    # --- files ------------------------------------------------------------------------------------------------------

    def _merged_folders(self) -> tuple[str, ...]:
        """Return the folders of a merged /usr: those of the top that are links to their namesake below it."""
        merged = []
        for name in ("bin", "sbin", "lib", "lib32", "lib64", "libx32"):
            try:
                if self._root.readlink(f"/{name}").strip("/") == f"usr/{name}":
                    merged.append(f"/usr/{name}/")
            except UnreadableError:
                continue
        return tuple(merged)

    def _read_diversions(self) -> list[_Diversion]:
        """Read dpkg-divert(1)'s file: groups of three lines, from, to, and the package (``:`` is the administrator)."""
        try:
            lines = self._text(f"{_DPKG}/diversions", _MAX_LIST).split("\n")
        except UnreadableError:
            return []
        return [_Diversion(*lines[at : at + 3]) for at in range(0, len(lines) - 2, 3)]

    def _text(self, path: str, limit: int) -> str:
        return os.fsdecode(self._root.read_bytes(path, limit))

    def _names_of(self, path: str) -> Iterator[tuple[str, str | None, bool]]:
        """Yield the names under which the records may hold a path; with a diverting package, and whether it must own.

        (name, package, True): only this package's entry counts; (name, package, False): every other one's.
        """
        for name in self._aliases(path):
            diverted = [diversion for diversion in self._diversions if name in (diversion.source, diversion.target)]
            for diversion in diverted:
                yield diversion.source, diversion.package, name == diversion.source
            if not any(diversion.source == name for diversion in diverted):
                yield name, None, False

    def _aliases(self, path: str) -> Iterator[str]:
        yield path
        if path.startswith(self._merged):
            yield path.removeprefix("/usr")

    def _look_up(self, paths: set[str]) -> None:
        wanted: dict[bytes, list[tuple[str, str | None, bool]]] = {}
        for path in paths:
            self._owners[path] = None
            for name, package, must_own in self._names_of(path):
                wanted.setdefault(os.fsencode(name), []).append((path, package, must_own))
        names = wanted.keys()
        found: dict[str, str] = {}
        for key, entries in self._file_lists():
            for entry in names & entries:
                package_name = key.partition(":")[0]
                for path, package, must_own in wanted[entry]:
                    if package is None or (package_name == package) is must_own:
                        found.setdefault(path, key)
        self._read_records(set(found.values()))
        for path, key in found.items():
            self._owners[path] = self._packages.get(key)

    def _file_lists(self) -> Iterator[tuple[str, set[bytes]]]:
        """Yield each package's key (``name`` or ``name:arch``) with its files."""
        info = f"{_DPKG}/info"
        if self._has_status:
            for name in self._listdir(info):
                if name.endswith(".list"):
                    data = self._read(f"{info}/{name}")
                    yield name.removesuffix(".list"), set(data.split(b"\n"))
        if self._has_status_folder:
            for name in self._listdir(f"{_DPKG}/status.d"):
                if name.endswith(".md5sums"):
                    data = self._read(f"{_DPKG}/status.d/{name}")
                    entries = {b"/" + line[34:].removeprefix(b"./") for line in data.split(b"\n") if len(line) > 34}
                    yield name.removesuffix(".md5sums"), entries

    def _listdir(self, path: str) -> list[str]:
        try:
            return self._root.listdir(path)
        except UnreadableError as error:
            self._skips.add_error(error)
            return []

    def _read(self, path: str) -> bytes:
        try:
            return self._root.read_bytes(path, _MAX_LIST)
        except UnreadableError as error:
            self._skips.add_error(error)
            return b""

    # --- records ----------------------------------------------------------------------------------------------------

    def _read_records(self, keys: set[str]) -> None:
        """Read the status records of the packages ``keys`` and decide on their origin."""
        missing = keys - self._packages.keys()
        if not missing:
            return
        by_name: dict[str, list[str]] = {}
        for key in missing:
            self._packages[key] = None
            by_name.setdefault(key.partition(":")[0], []).append(key)
        records: dict[str, dict[str, str]] = {}
        for record in self._records(by_name):
            for key in by_name[record["package"]]:
                arch = key.partition(":")[2]
                if not arch or arch == record.get("architecture"):
                    records[key] = record
        listed = self._listed_origins({record["package"]: record for record in records.values()})
        for key, record in records.items():
            try:
                self._packages[key] = _package_of(record, self._ids, listed.get(record["package"]))
            except InvalidFactError as error:
                self._skips.add("invalid-record", f"{_DPKG}/status: {shown(key)}: {error}")

    def _records(self, names: Iterable[str]) -> Iterator[dict[str, str]]:
        wanted = set(names)
        texts = []
        if self._has_status:
            texts.append(f"{_DPKG}/status")
        if self._has_status_folder:
            texts += [f"{_DPKG}/status.d/{name}" for name in self._listdir(f"{_DPKG}/status.d") if name in wanted]
        for path in texts:
            try:
                data = self._root.read_bytes(path, _MAX_STATUS)
            except UnreadableError as error:
                self._skips.add_error(error)
                continue
            for paragraph in _paragraphs(data):
                name = _field(paragraph, b"Package")
                if name in wanted:
                    record = parse_paragraph(paragraph.decode("utf-8", "backslashreplace"))
                    state = record.get("status", "install ok installed").split(" ")[-1]
                    if state not in ("not-installed", "config-files"):
                        yield record

    def _listed_origins(self, records: dict[str, dict[str, str]]) -> dict[str, str]:
        """Return the archive's Origin of each package whose exact version one of apt's lists names."""
        origins: dict[str, str] = {}
        if not records or not self._root.is_folder(_APT_LISTS):
            return origins
        names = self._listdir(_APT_LISTS)
        releases = {n.rpartition("_")[0]: n for n in names if n.endswith(("_InRelease", "_Release"))}
        for name in names:
            match = re.search(r"_Packages(?:\.(gz|xz|bz2|lz4|zst))?$", name)
            if match is None:
                continue
            release = next((r for base, r in releases.items() if name.startswith(f"{base}_")), None)
            origin = self._release_origin(release) if release is not None else None
            if origin is None:
                continue
            if match[1] in ("lz4", "zst"):
                if name in self._told_lists:
                    continue
                self._told_lists.add(name)
                self._skips.add(
                    "compressed-apt-list",
                    f"{_APT_LISTS}/{shown(name)}: compressed by {match[1]}; origins are told by the maintainer instead",
                )
                continue
            try:
                found = self._root.examine(
                    f"{_APT_LISTS}/{name}",
                    lambda file, kind=match[1]: _listed(file, kind, records),  # type: ignore[misc]
                )
            except UnreadableError as error:
                self._skips.add_error(error)
                continue
            for package in found:
                # A distribution's archive outweighs a copy of its package elsewhere.
                if package not in origins or origin.lower() in _DISTRIBUTION_ORIGINS:
                    origins[package] = origin
        return origins

    def _release_origin(self, name: str) -> str | None:
        if name not in self._release_origins:
            self._release_origins[name] = self._read_release_origin(name)
        return self._release_origins[name]

    def _read_release_origin(self, name: str) -> str | None:
        try:
            head = self._root.read_text(f"{_APT_LISTS}/{name}", 16 << 20)
        except UnreadableError as error:
            self._skips.add_error(error)
            return None
        match = re.search(r"^Origin: *(.+)$", head[:8192], re.MULTILINE)
        return match[1].strip()[:256] if match else None


class _FileStream(io.RawIOBase):
    """A rooted file as a raw stream, for the decompressors of the standard library."""

    def __init__(self, file: RootedFile) -> None:
        self._file = file
        self._offset = 0

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: object) -> int:
        view = memoryview(cast("bytearray", buffer))
        data = self._file.read_at(self._offset, len(view))
        view[: len(data)] = data
        self._offset += len(data)
        return len(data)


def _listed(file: RootedFile, kind: str | None, records: dict[str, dict[str, str]]) -> set[str]:
    """Return which of the packages an apt list names with the very version that is installed."""
    wanted = re.compile(
        rb"^Package: (" + b"|".join(re.escape(name.encode()) for name in sorted(records)) + rb")$", re.MULTILINE
    )
    stream: BinaryIO = io.BufferedReader(_FileStream(file), 1 << 18)
    found: set[str] = set()
    try:
        if kind == "gz":
            # The file below is closed by whoever opened it; these readers own nothing.
            stream = cast("BinaryIO", gzip.GzipFile(fileobj=stream))
        elif kind == "xz":
            stream = cast("BinaryIO", lzma.LZMAFile(stream))  # noqa: SIM115
        elif kind == "bz2":
            stream = cast("BinaryIO", bz2.BZ2File(stream))
        rest = b""
        total = 0
        while chunk := stream.read(1 << 20):
            total += len(chunk)
            if total > _MAX_APT_LIST:
                raise UnreadableError("too-large", f"{shown(file.path)}: more than {_MAX_APT_LIST} bytes")
            rest += chunk
            cut = rest.rfind(b"\n\n") + 2
            if cut < 2:
                if len(rest) > _MAX_LIST:
                    raise UnreadableError("damaged-list", f"{shown(file.path)}: a paragraph of {len(rest)} bytes")
                continue
            found.update(_matching(rest[:cut], wanted, records))
            rest = rest[cut:]
        found.update(_matching(rest, wanted, records))
    except (OSError, EOFError, lzma.LZMAError) as error:
        raise UnreadableError("damaged-list", f"{shown(file.path)}: {error}") from None
    return found


def _matching(block: bytes, wanted: re.Pattern[bytes], records: dict[str, dict[str, str]]) -> Iterator[str]:
    for match in wanted.finditer(block):
        end = block.find(b"\n\n", match.end())
        version = _field(block[match.start() : end if end >= 0 else len(block)], b"Version")
        name = match[1].decode()
        if version == records[name].get("version"):
            yield name


def _paragraphs(data: bytes) -> Iterator[bytes]:
    start = 0
    while start < len(data):
        end = data.find(b"\n\n", start)
        if end < 0:
            end = len(data)
        if end > start:
            yield data[start:end]
        start = end + 2


def _field(paragraph: bytes, name: bytes) -> str | None:
    match = re.search(rb"^" + name + rb": *(.*)$", paragraph, re.MULTILINE)
    return match[1].decode("utf-8", "backslashreplace").strip() if match else None


def parse_paragraph(text: str) -> dict[str, str]:
    """Parse one paragraph of a control file (deb822(5)) into its fields, by lower-case name; bodies are left out."""
    fields: dict[str, str] = {}
    for line in text.splitlines():
        name, separator, value = line.partition(":")
        if separator and name and not name[0].isspace():
            fields.setdefault(name.lower(), value.strip())
    return fields


def _package_of(record: dict[str, str], ids: tuple[str, ...], listed: str | None) -> Package:
    name, version = record["package"], record.get("version", "")
    source, source_version = name, version
    if match := re.fullmatch(r"(\S+)(?: \((\S+)\))?", record.get("source", "")):
        source, source_version = match[1], match[2] or version
    origin, vendor = judge_origin(record, ids, listed)
    return Package(
        manager="dpkg",
        name=name,
        version=version,
        source=source,
        source_version=source_version,
        arch=record.get("architecture") or None,
        origin=origin,
        vendor=vendor,
    )


def judge_origin(
    record: dict[str, str], ids: tuple[str, ...], listed: str | None = None
) -> tuple[PackageOrigin, str | None]:
    """Return whose package a dpkg record is, and the vendor's name, from what the records say.

    ``ids`` are ID and ID_LIKE of os-release (empty: not known, any distribution counts), ``listed`` the Origin of the
    archive that offers this very version. The archive outweighs the record's Origin, this a foreign mark in the
    version, and that the maintainer's address.
    """
    match = _ADDRESS.match(record.get("maintainer", ""))
    name = (match["name"].strip() if match else "") or None
    address = (match["address"] or "").lower() if match else ""
    for origin in (listed, record.get("origin")):
        if origin:
            speaks_for = _DISTRIBUTION_ORIGINS.get(origin.lower(), ())
            if _is_one_of(speaks_for, ids):
                return PackageOrigin.DISTRIBUTION, origin
            return PackageOrigin.VENDOR, name or origin
    if _FOREIGN_VERSION.search(record.get("version", "")):
        return PackageOrigin.VENDOR, name
    if "://" in address:
        # A distribution's policy asks for a mail address here (Debian Policy 5.6.2); a link is a third party's.
        return PackageOrigin.VENDOR, name
    domain = address.rpartition("@")[2]
    for known, speaks_for in _DISTRIBUTION_DOMAINS.items():
        if (domain == known or domain.endswith(f".{known}")) and _is_one_of(speaks_for, ids):
            return PackageOrigin.DISTRIBUTION, name
    if any(domain == known or domain.endswith(f".{known}") for known in _VENDOR_DOMAINS):
        return PackageOrigin.VENDOR, name
    return PackageOrigin.UNKNOWN, name


def _is_one_of(speaks_for: tuple[str, ...], ids: tuple[str, ...]) -> bool:
    return bool(speaks_for) and (not ids or any(one in ids for one in speaks_for))


def probe_packages(context: ScanContext, skips: Skips) -> None:
    """Open the root's package database; raises ProbeSkippedError where there is none that is read."""
    release, _ = read_os_release(context.root, skips)
    ids = tuple(one for one in (release.id, *release.id_like) if one)
    context.packages = PackageDatabase(context.root, skips, ids)
    others = [name for name, paths in _OTHER_DATABASES if any(context.root.exists(path) for path in paths)]
    if context.packages.manager is None:
        if others:
            raise ProbeSkippedError(
                f"the databases of {', '.join(others)} are there and not read yet; owners of files stay unknown"
            )
        raise ProbeSkippedError("no package database is there")
    for name in others:
        skips.add("database-not-read", f"{name}: its database is there beside dpkg's and not read yet")
