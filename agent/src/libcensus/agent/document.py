"""The stable JSON object of ``scan --output json``: what users' scripts lean on (``docs/scan-json.md``).

It is made from the facts alone and is not protobuf's JSON form. Keys are in snake_case, enumerations in lower case, an
unknown value is null and never left out. ``scan.schema.json`` beside this module describes it.
"""

from __future__ import annotations

import json
from importlib import resources
from typing import TYPE_CHECKING, Any, cast

from libcensus.agent.interpreters.remedy import moves_on
from libcensus.facts.requirement import merge_requirements
from libcensus.facts.vocabulary import InstallKind

if TYPE_CHECKING:
    from libcensus.agent.scan import Scan
    from libcensus.facts.changelog import PackageChangelog
    from libcensus.facts.crypto import CryptoCopy, CryptoUse
    from libcensus.facts.evidence import Evidence
    from libcensus.facts.host import Host, Libc, OsRelease
    from libcensus.facts.interpreter import Build, Install
    from libcensus.facts.package import Package
    from libcensus.facts.platform import Platform
    from libcensus.facts.process import ProcessGroup
    from libcensus.facts.report import ProbeResult
    from libcensus.facts.requirement import Requirement
    from libcensus.facts.root import ScannedRoot
    from libcensus.facts.tool import Tool, ToolSetting

SCHEMA_VERSION = 1
"""Raised when a key changes its meaning or goes; new keys do not raise it."""


def scan_schema() -> dict[str, Any]:
    """Return the JSON Schema of the object, as committed beside this module."""
    text = resources.files("libcensus.agent").joinpath("scan.schema.json").read_text(encoding="utf-8")
    return cast("dict[str, Any]", json.loads(text))


def scan_document(scan: Scan) -> dict[str, object]:
    """Return the documented JSON object of a scan; installs are in order of root and path."""
    bases = {(one.root, one.path): one for one in scan.installs.installs if one.kind is InstallKind.BASE}
    return {
        "schema_version": SCHEMA_VERSION,
        "root": scan.root,
        "scanned_at": scan.scanned_at.strftime("%Y-%m-%dT%H:%M:%SZ"),
        "seconds": round(scan.seconds, 3),
        "host": _host(scan.host),
        "platform": _platform(scan.platform),
        "installs": [
            install_document(
                install,
                None if install.build is None else scan.builds.get(install.build),
                None if install.base is None else bases.get((install.root, install.base)),
            )
            for install in scan.installs.installs
        ],
        "crypto_copies": [copy_document(copy) for copy in scan.crypto_copies.copies],
        "tools": [tool_document(tool) for tool in scan.tools.tools],
        "tool_settings": [setting_document(setting) for setting in scan.tools.settings],
        "processes": [] if scan.processes is None else [process_document(one) for one in scan.processes.groups],
        "roots": [root_document(one) for one in scan.roots.roots],
        "changelogs": [changelog_document(one) for one in scan.changelogs.values()],
        "probes": [_probe(result) for result in scan.probes],
    }


def _os_release(release: OsRelease) -> dict[str, object]:
    return {
        "id": release.id,
        "version_id": release.version_id,
        "pretty_name": release.pretty_name,
        "version_codename": release.version_codename,
        "id_like": list(release.id_like),
    }


def _host(host: Host) -> dict[str, object]:
    return {
        "hostname": host.hostname,
        "os_release": _os_release(host.os_release),
        "arch": host.arch,
        "x86_64_level": host.x86_64_level,
        "kernel": host.kernel,
        "libc": _libc(host.libc),
        "evidence": [_evidence(item) for item in host.evidence],
    }


def _libc(libc: Libc) -> dict[str, object]:
    return {
        "family": libc.family,
        "version": libc.version,
        "path": libc.path,
        "package": package_object(libc.package),
    }


def _platform(platform: Platform) -> dict[str, object]:
    return {
        "arch": platform.arch,
        "x86_64_level": platform.x86_64_level,
        "kernel": platform.kernel,
        "libc": {"family": platform.libc_family, "version": platform.libc_version},
        "loaders": list(platform.loaders),
        "libraries": {library.soname: list(library.versions) for library in platform.libraries if library.versions},
        "sonames": [library.soname for library in platform.libraries],
    }


def install_document(install: Install, build: Build | None, base: Install | None = None) -> dict[str, object]:
    """Return one install as the object shows it; ``build`` is its build's facts, ``base`` an environment's base."""
    evidence = {
        *install.evidence,
        *(() if build is None else (_absolute(item, install, build) for item in build.evidence)),
    }
    return {
        "path": install.path,
        "realpath": install.realpath,
        "aliases": list(install.aliases),
        "root": install.root,
        "kind": install.kind,
        "implementation": install.implementation,
        "version": None if build is None else build.version,
        "provider": "unknown" if build is None else build.provider,
        "installer": install.installer,
        "provider_build": None if build is None else build.provider_build,
        "flags": [] if build is None else list(build.flags),
        "base": install.base,
        "recorded_version": install.recorded_version,
        "state": install.state if install.kind is InstallKind.VENV else None,
        "moves_on": moves_on(install, build, base),
        "build": install.build,
        "package": package_object(install.package),
        "crypto": _crypto(install.crypto),
        "requirement": None if build is None else requirement_document(build, prefix_of(install, build)),
        "evidence": [_evidence(item) for item in sorted(evidence, key=lambda item: item.sort_key)],
    }


def prefix_of(install: Install, build: Build) -> str:
    """Return the folder that a build's relative files start from in this install: the one that its executable fits."""
    target = install.realpath
    if install.kind is InstallKind.VENV and install.base is not None and not _fits(target, build):
        target = install.base
    for file in build.files:
        if target.endswith(f"/{file.path}"):
            return target.removesuffix(f"/{file.path}")
    return target.rpartition("/")[0].rpartition("/")[0]


def _fits(path: str, build: Build) -> bool:
    return any(path.endswith(f"/{file.path}") for file in build.files)


def _join(prefix: str, relative: str) -> str:
    return f"{prefix.rstrip('/')}/{relative}" if relative and not relative.startswith("/") else relative


def _absolute(item: Evidence, install: Install, build: Build) -> Evidence:
    return type(item)(item.subject, item.kind, _join(prefix_of(install, build), item.file), item.detail, item.offset)


def requirement_document(build: Build, prefix: str) -> dict[str, object]:
    """Return what a build needs of a host, all its files together; files are absolute below ``prefix``."""
    need: Requirement = merge_requirements(
        (file.requirement for file in build.files if file.requirement is not None), brought=build.sonames
    )
    return {
        "arch": need.arch,
        "glibc": need.glibc,
        "symbol_versions": {one.soname: list(one.versions) for one in need.needs if one.versions},
        "weak_symbol_versions": {one.soname: list(one.weak) for one in need.needs if one.weak},
        "sonames": list(need.sonames),
        "brought": sorted(build.sonames),
        "loader": need.loader,
        "loader_kind": need.loader_kind,
        "x86_64_level": need.x86_64_level,
        "kernel": need.kernel,
        "raised_by": [
            {
                "file": _join(prefix, one.file),
                "symbol": one.symbol,
                "version": one.version,
                "soname": one.soname,
            }
            for one in need.raised_by
        ],
    }


def _crypto(use: CryptoUse) -> dict[str, object]:
    library = use.library
    return {
        "family": None if library is None else library.family,
        "version": None if library is None else library.version,
        "linkage": use.linkage,
        "path": use.path,
        "needed": use.needed,
        "package": None if library is None else package_object(library.package),
    }


def package_object(package: Package | None) -> dict[str, object] | None:
    """Return a package as JSON has it."""
    if package is None:
        return None
    return {
        "manager": package.manager,
        "name": package.name,
        "version": package.version,
        "source": package.source,
        "source_version": package.source_version,
        "arch": package.arch,
        "origin": package.origin,
        "vendor": package.vendor,
    }


def _evidence(item: Evidence) -> dict[str, object]:
    return {
        "subject": item.subject,
        "kind": item.kind,
        "file": item.file,
        "detail": item.detail,
        "offset": item.offset,
    }


def copy_document(copy: CryptoCopy) -> dict[str, object]:
    """Return one crypto copy as the object shows it."""
    owner = copy.owner
    return {
        "root": copy.root,
        "path": copy.path,
        "family": copy.library.family,
        "version": copy.library.version,
        "linkage": copy.linkage,
        "environment": copy.environment,
        "owner": None
        if owner is None
        else {"ecosystem": owner.ecosystem, "name": owner.name, "version": owner.version},
        "package": package_object(copy.library.package),
        "evidence": [_evidence(item) for item in copy.evidence],
    }


def tool_document(tool: Tool) -> dict[str, object]:
    """Return one tool as the object shows it."""
    return {
        "root": tool.root,
        "path": tool.path,
        "name": tool.name,
        "version": tool.version,
        "newest_build": tool.newest_build,
        "environment": tool.environment,
        "package": package_object(tool.package),
        "evidence": [_evidence(item) for item in tool.evidence],
    }


def setting_document(setting: ToolSetting) -> dict[str, object]:
    """Return one setting of a tool as the object shows it."""
    return {
        "root": setting.root,
        "path": setting.path,
        "tool": setting.tool,
        "name": setting.name,
        "value": setting.value,
        "evidence": [_evidence(item) for item in setting.evidence],
    }


def process_document(group: ProcessGroup) -> dict[str, object]:
    """Return the processes of one executable as the object shows them."""
    return {
        "root": group.root,
        "executable": group.executable,
        "state": group.state,
        "install": group.install,
        "processes": group.processes,
        "unread": group.unread,
        "libraries": [{"path": one.path, "state": one.state, "processes": one.processes} for one in group.libraries],
        "examples": [{"pid": one.pid, "unit": one.unit} for one in group.examples],
    }


def root_document(root: ScannedRoot) -> dict[str, object]:
    """Return one root as the object shows it."""
    container = root.container
    return {
        "name": root.name,
        "kind": root.kind,
        "path": root.path,
        "os_release": _os_release(root.os_release),
        "arch": root.arch,
        "libc": _libc(root.libc),
        "platform": root.platform,
        "container": None
        if container is None
        else {
            "runtime": container.runtime,
            "id": container.id,
            "name": container.name,
            "image": container.image,
            "image_id": container.image_id,
        },
        "created": root.created,
        "tags": list(root.tags),
        "evidence": [_evidence(item) for item in root.evidence],
    }


def changelog_document(changelog: PackageChangelog) -> dict[str, object]:
    """Return what a package's changelog says, as the object shows it."""
    return {
        "package": package_object(changelog.package),
        "state": changelog.state,
        "reason": changelog.reason,
        "file": changelog.file,
        "entries": changelog.entries,
        "newest": changelog.newest,
        "oldest": changelog.oldest,
        "fixes": [{"advisory": fix.advisory, "version": fix.version, "text": fix.text} for fix in changelog.fixes],
    }


def _probe(result: ProbeResult) -> dict[str, object]:
    return {
        "name": result.name,
        "state": result.state,
        "seconds": round(result.seconds, 3),
        "reason": result.reason,
        "skips": [{"reason": one.reason, "count": one.count, "examples": list(one.examples)} for one in result.skips],
    }
