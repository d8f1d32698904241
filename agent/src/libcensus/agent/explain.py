"""What a scan found, as lines for people: a table, and with ``--explain`` the proof of each statement.

One line is one statement; nothing is wrapped or cut here. Rendering for a terminal is the command's affair.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from libcensus.agent.document import prefix_of
from libcensus.facts.requirement import merge_requirements
from libcensus.facts.vocabulary import EvidenceKind, Linkage, ProbeState

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from libcensus.agent.scan import Scan
    from libcensus.facts.crypto import CryptoUse
    from libcensus.facts.evidence import Evidence
    from libcensus.facts.host import Host
    from libcensus.facts.interpreter import Build, Install

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


def table_rows(scan: Scan) -> Iterator[Row]:
    """Yield one row per install, in order of root and path."""
    for install in scan.installs.installs:
        build = None if install.build is None else scan.builds.get(install.build)
        yield Row(
            interpreter=install.path,
            kind=str(install.kind),
            version=_version(install, build),
            provider="-" if build is None else _with(str(build.provider), build.provider_build),
            glibc="-" if build is None else _glibc(build),
            crypto=_crypto(install.crypto),
            linkage=str(install.crypto.linkage),
            crypto_path=install.crypto.path or install.crypto.needed or "-",
        )


def table_lines(scan: Scan) -> Iterator[str]:
    """Yield the table as plain text, one line per install, columns aligned and never cut."""
    rows = [TABLE_HEADER, *table_rows(scan)]
    widths = [max(len(row[column]) for row in rows) for column in range(len(TABLE_HEADER))]
    for row in rows:
        yield "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()


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
    yield ""
    yield from probe_lines(scan)


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
