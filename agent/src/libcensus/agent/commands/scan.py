"""``libcensus-agent scan``: read this machine, or an unpacked one, and print what is there; nothing is sent."""

from __future__ import annotations

from contextlib import closing
from typing import TYPE_CHECKING

import click

from libcensus.agent.commands.options import common_options, load, output_option, setting_option, teach
from libcensus.agent.commands.terminal import ProgressLine, print_json, print_line, print_table

if TYPE_CHECKING:
    from collections.abc import Iterable

    from libcensus.agent.scan import Scan
    from libcensus.facts.crypto import CryptoUse
    from libcensus.facts.evidence import Evidence
    from libcensus.facts.host import Host
    from libcensus.facts.interpreter import Install
    from libcensus.facts.report import ProbeResult

EXIT_PARTIAL = 6

_EPILOG = teach(
    "libcensus-agent scan",
    "libcensus-agent scan --explain",
    "libcensus-agent scan --output json > this-host.json",
    "libcensus-agent scan --root /mnt/image --exclude /home",
    codes=(0, 2, 3, 6, 70),
)


@click.command("scan", short_help="Scan this machine or an unpacked one, and print it.", epilog=_EPILOG)
@click.option(
    "--root",
    "folder",
    default="/",
    show_default=True,
    metavar="DIR",
    help="Root of the tree to scan: /, an unpacked image, a mounted disk of any architecture.",
)
@output_option
@click.option("--explain", is_flag=True, help="Show for each statement which bytes of which file prove it.")
@setting_option(
    "--exclude", "scan.exclude", multiple=True, metavar="PATH", help="Do not enter this folder (repeatable)."
)
@common_options
@click.pass_context
def scan_command(context: click.Context, folder: str, output: str, *, explain: bool) -> int:
    """Find the interpreters of a machine, what each needs and which OpenSSL it really uses.

    Reads files and runs none of them. Sends nothing and needs no collector. Without root or CAP_DAC_READ_SEARCH it
    sees what its user may read, and says what it could not.
    """
    config = load(context)

    from libcensus.agent.host import Root  # noqa: PLC0415 - `--help` must not pay for the scanner
    from libcensus.agent.scan import scan  # noqa: PLC0415

    progress = ProgressLine()
    with closing(progress), Root.open(folder) as root:
        found = scan(root, config.scan, progress)
    if output == "json":
        from libcensus.agent.document import scan_document  # noqa: PLC0415

        print_json(scan_document(found))
    else:
        print_scan(found, explain=explain)
    return EXIT_PARTIAL if any(probe.state == "failed" for probe in found.probes) else 0


def print_scan(found: Scan, *, explain: bool) -> None:
    """Print a scan for people: the host, one line per install, and what the probes could not do."""
    print_line(_describe_host(found.host, found.root))
    print_line()
    installs = found.installs.installs
    if installs:
        print_table(
            ("INTERPRETER", "PATH", "KIND", "PROVIDER", "INSTALLER", "GLIBC", "CRYPTO", "LINKAGE"),
            (_row(install, found) for install in installs),
        )
    else:
        print_line("No interpreter was found.")
    if explain:
        for install in installs:
            _explain(install, found)
    print_line()
    _print_probes(found.probes, explain=explain)


def _describe_host(host: Host, root: str) -> str:
    system = host.os_release.pretty_name or host.os_release.id or "unknown system"
    level = "" if host.x86_64_level is None else f" (x86-64-v{host.x86_64_level})"
    libc = " ".join(part for part in (host.libc.family, host.libc.version) if part)
    package = "" if host.libc.package is None else f" ({host.libc.package.name} {host.libc.package.version})"
    kernel = "" if host.kernel is None else f", Linux {host.kernel}"
    return f"{host.hostname} [{root}]: {system}, {host.arch or 'unknown architecture'}{level}{kernel}, {libc}{package}"


def _row(install: Install, found: Scan) -> tuple[str, ...]:
    build = None if install.build is None else found.builds.get(install.build)
    version = (build.version if build else None) or install.recorded_version or "?"
    glibc = None if build is None else build.requirement().glibc
    provider = "-" if build is None else str(build.provider)
    if build is not None and build.provider_build:
        provider = f"{provider} {build.provider_build}"
    return (
        f"{install.implementation} {version}",
        install.path,
        str(install.kind),
        provider,
        str(install.installer),
        glibc or "-",
        _describe_crypto(install.crypto),
        str(install.crypto.linkage),
    )


def _describe_crypto(crypto: CryptoUse) -> str:
    if crypto.library is None:
        return crypto.needed or "-"
    return f"{crypto.library.family} {crypto.library.version or '?'}"


def _explain(install: Install, found: Scan) -> None:
    print_line()
    print_line(f"{install.path} -> {install.realpath}" if install.path != install.realpath else install.path)
    if install.aliases:
        print_line(f"  also {', '.join(install.aliases)}")
    if install.base is not None:
        print_line(f"  environment of {install.base}")
    crypto = install.crypto
    if crypto.path is not None:
        owner = crypto.library.package if crypto.library is not None else None
        package = "" if owner is None else f", package {owner.name} {owner.version} ({owner.origin})"
        print_line(f"  crypto: {crypto.path}{package}")
    _print_evidence(install.evidence)
    build = None if install.build is None else found.builds.get(install.build)
    if build is not None:
        print_line(f"  build {install.build}, flags: {' '.join(build.flags) or 'none'}")
        _print_evidence(build.evidence)
        for entry in build.requirement().raised_by:
            print_line(
                f"    requirement: {entry.file} needs {entry.version} of {entry.soname} for {entry.symbol or '?'}"
            )


def _print_evidence(evidence: Iterable[Evidence]) -> None:
    for item in evidence:
        offset = "" if item.offset is None else f" at byte {item.offset}"
        print_line(f"    {item.subject}: {item.kind} in {item.file or '-'}{offset}: {item.detail}")


def _print_probes(probes: Iterable[ProbeResult], *, explain: bool) -> None:
    for probe in probes:
        passed_over = sum(skip.count for skip in probe.skips)
        reason = f", {probe.reason}" if probe.reason else ""
        skips = f", passed over {passed_over}" if passed_over else ""
        print_line(f"probe {probe.name}: {probe.state} in {probe.seconds:.2f} s{skips}{reason}")
        if explain:
            for skip in probe.skips:
                print_line(f"    {skip.reason}: {skip.count}")
                for example in skip.examples:
                    print_line(f"        {example}")
