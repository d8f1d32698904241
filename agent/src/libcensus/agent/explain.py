"""What a scan found, as lines for people: a table, and with ``--explain`` the proof of each statement.

One line is one statement; nothing is wrapped or cut here. Rendering for a terminal is the command's affair.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from libcensus.agent.document import prefix_of
from libcensus.facts.requirement import merge_requirements
from libcensus.facts.vocabulary import (
    EnvironmentState,
    EvidenceKind,
    Implementation,
    Linkage,
    MappingState,
    ProbeState,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from libcensus.agent.scan import Scan
    from libcensus.facts.changelog import PackageChangelog
    from libcensus.facts.crypto import CryptoUse
    from libcensus.facts.evidence import Evidence
    from libcensus.facts.host import Host
    from libcensus.facts.interpreter import Build, Install
    from libcensus.facts.root import ScannedRoot

_OLD = (MappingState.DELETED, MappingState.REPLACED)

TABLE_HEADER = ("interpreter", "kind", "version", "provider", "glibc", "crypto", "linkage", "crypto path")


class Row(NamedTuple):
    """One install in the table; the fields are those of :data:`TABLE_HEADER`, ``-`` where nothing is known."""

    interpreter: str
    kind: str
    version: str
    provider: str
    glibc: str
    crypto: str
    linkage: str
    crypto_path: str


def host_lines(scan: Scan) -> Iterator[str]:
    """Yield what the host is, in a few lines."""
    host = scan.host
    yield f"host      {host.hostname} ({scan.root})"
    yield f"system    {_system(host)}"
    libc = host.libc
    package = f" ({libc.package.name} {libc.package.version})" if libc.package is not None else ""
    yield f"libc      {libc.family} {libc.version or 'version unknown'}{package}"
    yield f"platform  {len(scan.platform.libraries)} libraries, loaders {', '.join(scan.platform.loaders) or 'none'}"


def _system(host: Host) -> str:
    release = host.os_release
    parts = [release.pretty_name or release.id or "no os-release", host.arch or "architecture unknown"]
    if host.x86_64_level is not None:
        parts.append(f"x86-64-v{host.x86_64_level}")
    if host.kernel is not None:
        parts.append(f"kernel {host.kernel}")
    return ", ".join(parts)


class Section(NamedTuple):
    """A table with what stands above it; rows hold text only, ``-`` where nothing is known."""

    title: str
    header: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]


def sections(scan: Scan) -> Iterator[Section]:
    """Yield the tables of a scan: the installs of each root, crypto copies, tools, and what runs on old files."""
    for root in scan.roots.roots:
        rows = tuple(table_rows(scan, root.name))
        if rows or root.name == scan.root:
            yield Section("" if root.name == scan.root else root_line(root), TABLE_HEADER, rows)
    yield from (section for section in (_copies(scan), _tools(scan), _stale(scan)) if section.rows)


def root_line(root: ScannedRoot) -> str:
    """Return one line that tells what a root is."""
    words = [root.os_release.pretty_name or root.os_release.id or "no os-release"]
    if root.libc.version is not None:
        words.append(f"{root.libc.family} {root.libc.version}")
    if root.container is not None and root.container.image is not None:
        words.append(f"image {root.container.image}")
    if root.created is not None:
        words.append(f"of {root.created[:10]}")
    return f"{root.kind} {root.name}: {', '.join(words)}"


def table_rows(scan: Scan, root: str | None = None) -> Iterator[Row]:
    """Yield one row per install, in order of root and path; with ``root`` those of one root."""
    for install in scan.installs.installs:
        if root is not None and install.root != root:
            continue
        build = None if install.build is None else scan.builds.get(install.build)
        yield Row(
            interpreter=install.path,
            kind=_kind(install),
            version=_named_version(install, build),
            provider="-" if build is None else _with(str(build.provider), build.provider_build),
            glibc="-" if build is None else _glibc(build),
            crypto=_crypto(install.crypto),
            linkage=str(install.crypto.linkage),
            crypto_path=install.crypto.path or install.crypto.needed or "-",
        )


def _place(scan: Scan, root: str, path: str) -> str:
    return path if root == scan.root else f"{root} {path}"


def _copies(scan: Scan) -> Section:
    rows = tuple(
        (
            f"{copy.library.family} {copy.library.version or 'version unknown'}",
            str(copy.linkage),
            "-" if copy.owner is None else " ".join(filter(None, (copy.owner.name, copy.owner.version))),
            copy.environment or "-",
            _place(scan, copy.root, copy.path),
        )
        for copy in scan.crypto_copies.copies
    )
    title = "crypto copies that no interpreter's own update reaches"
    return Section(title, ("crypto", "linkage", "came with", "environment", "file"), rows)


def _tools(scan: Scan) -> Section:
    rows = tuple(
        (
            f"{tool.name} {tool.version or 'version unknown'}",
            tool.newest_build or "-",
            _place(scan, tool.root, tool.path),
        )
        for tool in scan.tools.tools
    )
    return Section("tools that bring interpreters", ("tool", "newest build it knows", "file"), rows)


def _stale(scan: Scan) -> Section:
    """Return the processes that run or have mapped what is not on disk any more."""
    rows = []
    for group in () if scan.processes is None else scan.processes.groups:
        old = [(one.path, str(one.state), one.processes) for one in group.libraries if one.state in _OLD]
        if group.state in _OLD:
            old.insert(0, (group.executable, str(group.state), group.processes))
        examples = ", ".join(f"{one.pid} {one.unit}" if one.unit else str(one.pid) for one in group.examples)
        rows += [
            (str(count), _place(scan, group.root, group.install or group.executable), path, state, examples or "-")
            for path, state, count in old
        ]
    title = "processes that still use what is not on disk any more: restart them"
    return Section(title, ("processes", "interpreter", "mapped file", "it is", "for example"), tuple(rows))


def _kind(install: Install) -> str:
    return str(install.kind) if install.state is EnvironmentState.UNKNOWN else f"{install.kind}, {install.state}"


def _named_version(install: Install, build: Build | None) -> str:
    version = _version(install, build)
    return version if install.implementation is Implementation.UNKNOWN else f"{install.implementation} {version}"


def _version(install: Install, build: Build | None) -> str:
    version = "-" if build is None or build.version is None else build.version
    recorded = install.recorded_version
    return version if recorded in (None, version) else f"{version} (made with {recorded})"


def _with(word: str, detail: str | None) -> str:
    return word if detail is None else f"{word} {detail}"


def _glibc(build: Build) -> str:
    parts = (file.requirement for file in build.files if file.requirement is not None)
    return merge_requirements(parts, brought=build.sonames).glibc or "-"


def _crypto(use: CryptoUse) -> str:
    if use.library is None:
        return "none" if use.linkage is Linkage.NONE else "-"
    return f"{use.library.family} {use.library.version or 'version unknown'}"


def probe_lines(scan: Scan) -> Iterator[str]:
    """Yield how each probe ended, and what it passed over with examples."""
    for probe in scan.probes:
        reason = f": {probe.reason}" if probe.reason else ""
        yield f"probe {probe.name}: {probe.state} in {probe.seconds:.3f} s{reason}"
        for skip in probe.skips:
            yield f"  {skip.reason}: {skip.count}"
            for example in skip.examples:
                yield f"    {example}"


def notice_lines(scan: Scan) -> Iterator[str]:
    """Yield what a reader of the table must know: probes that did not end well, and how much was passed over."""
    for probe in scan.probes:
        if probe.state is not ProbeState.OK:
            yield f"probe {probe.name} {probe.state}: {probe.reason}"
        if probe.skips:
            parts = ", ".join(f"{skip.reason} {skip.count}" for skip in probe.skips)
            yield f"probe {probe.name} passed over: {parts} (--explain shows examples)"


def explain_lines(scan: Scan) -> Iterator[str]:
    """Yield every statement of a scan with its proof: host, installs, probes."""
    yield from host_lines(scan)
    yield from (f"  {line}" for line in evidence_lines(scan.host.evidence))
    for install in scan.installs.installs:
        build = None if install.build is None else scan.builds.get(install.build)
        yield ""
        yield from install_lines(install, build)
    for copy in scan.crypto_copies.copies:
        yield ""
        library = copy.library
        yield f"{_place(scan, copy.root, copy.path)}: {library.family} {library.version or 'version unknown'}"
        yield from (f"  {line}" for line in evidence_lines(copy.evidence))
    for tool in scan.tools.tools:
        yield ""
        yield f"{_place(scan, tool.root, tool.path)}: {tool.name} {tool.version or 'version unknown'}"
        yield from (f"  {line}" for line in evidence_lines(tool.evidence))
    for setting in scan.tools.settings:
        yield ""
        yield f"{_place(scan, setting.root, setting.path)}: {setting.tool} {setting.name} = {setting.value}"
        yield from (f"  {line}" for line in evidence_lines(setting.evidence))
    for log in scan.changelogs.values():
        yield ""
        yield from changelog_lines(log)
    for root in scan.roots.roots:
        if root.evidence:
            yield ""
            yield root_line(root)
            yield from (f"  {line}" for line in evidence_lines(root.evidence))
    yield ""
    yield from probe_lines(scan)


def changelog_lines(log: PackageChangelog) -> Iterator[str]:
    """Yield what a package's changelog says is fixed, one line per advisory."""
    words = f"{log.entries} entries" if log.reason is None else log.reason
    package = f"{log.package.name} {log.package.version}"
    yield f"changelog of {package}: {log.state}, {words}, names {len(log.fixes)} as fixed"
    for fix in log.fixes:
        yield f"  {fix.advisory} in {fix.version}: {fix.text} <- {log.file or '-'} [changelog]"


def install_lines(install: Install, build: Build | None) -> Iterator[str]:
    """Yield one install: its statements, each followed by the proofs."""
    by_subject: dict[str, list[Evidence]] = {}
    for item in install.evidence:
        by_subject.setdefault(item.subject, []).append(item)
    prefix = "" if build is None else prefix_of(install, build)
    if build is not None:
        for item in build.evidence:
            place = item.file if item.file.startswith("/") else f"{prefix}/{item.file}"
            by_subject.setdefault(item.subject, []).append(
                type(item)(item.subject, item.kind, place, item.detail, item.offset)
            )
    yield install.path
    for subject, words in _statements(install, build):
        yield f"  {subject}: {words}"
        yield from (f"    {line}" for line in evidence_lines(by_subject.pop(subject, ())))
    for subject, items in sorted(by_subject.items()):
        yield f"  {subject}"
        yield from (f"    {line}" for line in evidence_lines(items))
    if build is not None:
        need = merge_requirements(
            (file.requirement for file in build.files if file.requirement is not None), brought=build.sonames
        )
        for one in need.raised_by:
            yield f"  needs {one.version} of {one.soname}: {one.symbol or 'no symbol uses it'} <- {prefix}/{one.file}"


def _statements(install: Install, build: Build | None) -> Iterator[tuple[str, str]]:
    kind = str(install.kind) if install.base is None else f"{install.kind} of {install.base}"
    yield "kind", kind
    if install.realpath != install.path:
        yield "realpath", install.realpath
    if install.aliases:
        yield "aliases", ", ".join(install.aliases)
    yield "implementation", str(install.implementation)
    yield "version", _version(install, build)
    if build is not None:
        yield "provider", _with(str(build.provider), build.provider_build)
    yield "installer", str(install.installer)
    if build is not None:
        yield "flags", ", ".join(build.flags) or "none proved"
        yield "requirement", f"glibc {_glibc(build)}"
        yield "build", install.build or "-"
    use = install.crypto
    place = f" in {use.path}" if use.path is not None else ""
    asked = f", asked for as {use.needed}" if use.needed is not None else ""
    yield "crypto", f"{_crypto(use)}, {use.linkage}{place}{asked}"


def evidence_lines(items: Iterable[Evidence]) -> Iterator[str]:
    """Yield each proof: what was read, the file, the kind of proof, and the byte where it stands."""
    for item in items:
        place = f"{item.file or '(kernel)'}" if item.kind is EvidenceKind.KERNEL else item.file
        offset = "" if item.offset is None else f" @{item.offset}"
        yield f"{item.detail} <- {place} [{item.kind}{offset}]"
