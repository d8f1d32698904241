"""Whether a build or a file starts on a platform, judged as the dynamic loader would.

Symbol versions are compared with the set that the platform's library defines, because distributions add some and omit
others; no number is compared. Weak versions never block. What the platform does not tell makes a verdict unknown, not
blocked and not fine.
"""

from __future__ import annotations

import re
from dataclasses import replace
from typing import TYPE_CHECKING

from libcensus.collector.posture.offer import Offer
from libcensus.collector.posture.verdict import PortabilityState, Reason, ReasonKind, Verdict
from libcensus.facts.requirement import glibc_number, version_key
from libcensus.facts.vocabulary import FileRole, LibcFamily, LoaderKind, Provider

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from libcensus.facts.interpreter import Build, BuildFile
    from libcensus.facts.platform import Platform
    from libcensus.facts.requirement import Requirement

_X86_32 = frozenset({"i386", "i486", "i586", "i686"})
_ARM_32 = frozenset({"arm", "armv5l", "armv6l", "armv7l", "armv8l"})
_RUNS_ALSO: Mapping[str, frozenset[str]] = {"x86_64": _X86_32, "aarch64": _ARM_32, "ppc64": frozenset({"ppc"})}
"""Machines whose kernel may be built to run another one's programs as well."""

_OWN_LIBRARIES = frozenset({Provider.CONDA, Provider.NIX, Provider.SNAP})
"""Providers whose builds bring a folder of libraries that is no part of the interpreter's build."""

_LIBC_KERNELS = {"aarch64": (3, 7), "riscv64": (4, 15), "loongarch64": (5, 19)}
_LIBC_KERNEL = (3, 2)
"""The oldest kernel on which glibc 2.26 and later start at all (its NEWS, 2.24 and 2.26, and each port's)."""

_VDSO = re.compile(r"linux-(?:vdso|gate)(?:32|64)?\.so\.\d+")
_MODULE = re.compile(r"(?:.*/)?([^/]+?)(?:\.(?:cpython|pypy|abi)[^/]*)?\.so(?:\.[\d.]+)?")

GLIBC_REMEDY = "use a build that needs an older glibc (python-build-standalone needs 2.17), or a host with a newer one"


def check(
    requirement: Requirement,
    platform: Platform | Offer,
    *,
    module: str | None = None,
    file: str | None = None,
    brought: frozenset[str] = frozenset(),
    own_folders: bool = False,
) -> Verdict:
    """Return whether what the requirement is of starts on the platform, with every reason in documented order.

    ``brought`` are the sonames that travel with it, ``file`` its name where no symbol tells it, and ``own_folders``
    says that it has library folders of its own that nobody listed. With ``module`` the same obstacles degrade that
    module instead of stopping the start.
    """
    offer = platform if isinstance(platform, Offer) else Offer.of(platform)
    found = _obstacles(requirement, offer, brought, own_folders=own_folders or _has_own_folders(requirement))
    reasons = _in_order(replace(reason, file=reason.file or file, module=module) for reason in found)
    if module is not None:
        return Verdict(PortabilityState.RUNS, (), reasons)
    return Verdict(_state(reasons), reasons)


def check_build(build: Build, platform: Platform | Offer) -> Verdict:
    """Return whether a build starts on the platform, and which of its modules would not load there.

    What stops the start are the needs of its executables and of the libraries that they bring; the needs of an
    extension module, and of a library that only modules use, degrade that module.
    """
    offer = platform if isinstance(platform, Offer) else Offer.of(platform)
    starting, modules = split_by_start(build)
    if not any(file.requirement is not None for file in starting):
        return Verdict(PortabilityState.UNKNOWN, (_unread(build),))
    # The loader also finds a library by the name of its file.
    brought = build.sonames | {f.path.rsplit("/", 1)[-1] for f in build.files if f.role is FileRole.LIBRARY}
    own_folders = build.provider in _OWN_LIBRARIES
    stops: list[Reason] = []
    for file in starting:
        if file.requirement is None:
            stops.append(Reason(ReasonKind.REQUIREMENT, needs="its file to be readable", file=file.path, known=False))
            continue
        verdict = check(file.requirement, offer, file=file.path, brought=brought, own_folders=own_folders)
        stops.extend(verdict.reasons)
    known = {_identity(reason) for reason in stops}
    degraded: list[Reason] = []
    for file in modules:
        if file.requirement is not None:
            name = _module_name(file.path)
            verdict = check(
                file.requirement, offer, module=name, file=file.path, brought=brought, own_folders=own_folders
            )
            degraded.extend(reason for reason in verdict.degraded if _identity(reason) not in known)
    reasons = _in_order(stops)
    return Verdict(_state(reasons), reasons, _in_order(reason for reason in degraded if reason.known))


def split_by_start(build: Build) -> tuple[tuple[BuildFile, ...], tuple[BuildFile, ...]]:
    """Return the files that must load for the build to start, and those that only a module needs.

    A library counts to the start unless modules are the only files that want it.
    """
    by_soname = {file.path.rsplit("/", 1)[-1]: file for file in build.files if file.role is FileRole.LIBRARY}
    by_soname.update({file.soname: file for file in build.files if file.soname is not None})

    def reached(roots: Iterable[BuildFile]) -> set[str]:
        seen: set[str] = set()
        pending = list(roots)
        while pending:
            wanted = pending.pop().requirement
            for soname in () if wanted is None else wanted.sonames:
                target = by_soname.get(soname.rsplit("/", 1)[-1])
                if target is not None and target.path not in seen:
                    seen.add(target.path)
                    pending.append(target)
        return seen

    by_start = reached(file for file in build.files if file.role is FileRole.EXECUTABLE)
    by_module = reached(file for file in build.files if file.role is FileRole.MODULE)
    starting: list[BuildFile] = []
    modules: list[BuildFile] = []
    for file in build.files:
        starts = file.role is FileRole.EXECUTABLE or file.path in by_start
        if file.role is FileRole.LIBRARY:
            starts = starts or file.path not in by_module
        (starting if starts else modules).append(file)
    return tuple(starting), tuple(modules)


def _unread(build: Build) -> Reason:
    what = "an executable that could be read" if build.files else "files that could be read"
    return Reason(ReasonKind.REQUIREMENT, needs=what, known=False)


def _module_name(path: str) -> str:
    match = _MODULE.fullmatch(path)
    return match[1] if match else path.rsplit("/", 1)[-1]


def _identity(reason: Reason) -> tuple[ReasonKind, str | None, str]:
    return reason.kind, reason.library, reason.needs


def _in_order(reasons: Iterable[Reason]) -> tuple[Reason, ...]:
    """Return the reasons in documented order; of equal obstacles (of one module) the first file's is kept."""
    kept: dict[tuple[object, ...], Reason] = {}
    for reason in reasons:
        kept.setdefault((*_identity(reason), reason.known, reason.module), reason)
    return tuple(sorted(kept.values(), key=_sort_key))


def _sort_key(reason: Reason) -> tuple[object, ...]:
    return (
        reason.kind.rank,
        not reason.known,
        reason.module or "",
        reason.library or "",
        version_key(reason.needs),
    )


def _state(reasons: tuple[Reason, ...]) -> PortabilityState:
    if any(reason.known for reason in reasons):
        return PortabilityState.BLOCKED
    return PortabilityState.UNKNOWN if reasons else PortabilityState.RUNS


def _has_own_folders(requirement: Requirement) -> bool:
    """Tell whether the loader would look into folders that a platform doesn't list; ``$ORIGIN`` ones are brought."""
    return any(not path.startswith(("$ORIGIN", "${ORIGIN}")) for path in requirement.runpath)


def _obstacles(requirement: Requirement, offer: Offer, brought: frozenset[str], *, own_folders: bool) -> list[Reason]:
    foreign = _is_foreign(requirement, offer.platform)
    reasons = [
        *_arch(requirement, offer.platform),
        *_loader(requirement, offer.platform),
        *_level(requirement, offer.platform),
        *_kernel(requirement, offer.platform),
    ]
    if any(reason.kind is ReasonKind.ARCH and reason.known for reason in reasons):
        # Libraries of another architecture say nothing about this one's.
        return reasons
    missing = _sonames(requirement, offer, brought, unsure=foreign or own_folders)
    absent = {reason.needs for reason in missing}
    if foreign:
        return reasons + missing
    return reasons + missing + _versions(requirement, offer, brought | absent)


def _is_foreign(requirement: Requirement, platform: Platform) -> bool:
    """Tell whether a loader other than the host's native one would search: the platform lists only what that finds."""
    if requirement.arch is not None and platform.arch is not None and requirement.arch != platform.arch:
        return True
    native = {LibcFamily.GLIBC: LoaderKind.GLIBC, LibcFamily.MUSL: LoaderKind.MUSL}.get(platform.libc_family)
    wanted = requirement.loader_kind
    return (
        wanted in {LoaderKind.GLIBC, LoaderKind.MUSL, LoaderKind.OTHER}
        and native is not None
        and wanted is not native
        and requirement.loader in platform.loaders
    )


def _arch(requirement: Requirement, platform: Platform) -> list[Reason]:
    wanted, offered = requirement.arch, platform.arch
    if wanted is None or wanted == offered:
        return []
    if offered is None:
        return [Reason(ReasonKind.ARCH, needs=wanted, known=False)]
    if wanted in _RUNS_ALSO.get(offered, frozenset()) and (
        requirement.loader is None or requirement.loader in platform.loaders
    ):
        return [Reason(ReasonKind.ARCH, needs=wanted, has=offered, known=False)]
    return [Reason(ReasonKind.ARCH, needs=wanted, has=offered, remedy=f"use the build for {offered}")]


def _loader(requirement: Requirement, platform: Platform) -> list[Reason]:
    """Return the obstacle of a missing program interpreter; the kernel opens the very path that the file names."""
    wanted = requirement.loader
    if wanted is None or wanted in platform.loaders:
        return []
    if not platform.loaders and platform.libc_family is LibcFamily.UNKNOWN:
        return [Reason(ReasonKind.LOADER, needs=wanted, known=False)]
    remedy = None
    if requirement.loader_kind is LoaderKind.MUSL:
        remedy = "use the glibc build, or install musl"
    elif requirement.loader_kind is LoaderKind.GLIBC:
        remedy = "use the musl or the static build"
    return [Reason(ReasonKind.LOADER, needs=wanted, has=", ".join(platform.loaders) or None, remedy=remedy)]


def _level(requirement: Requirement, platform: Platform) -> list[Reason]:
    wanted, offered = requirement.x86_64_level, platform.x86_64_level
    if wanted is None or wanted == 1 or (offered is not None and offered >= wanted):
        return []
    needs = f"x86-64-v{wanted}"
    if offered is None:
        return [Reason(ReasonKind.X86_64_LEVEL, needs=needs, known=False)]
    return [
        Reason(ReasonKind.X86_64_LEVEL, needs=needs, has=f"x86-64-v{offered}", remedy="use the build for x86-64 (v1)")
    ]


def _kernel(requirement: Requirement, platform: Platform) -> list[Reason]:
    """Return the obstacle of an old kernel; a platform tells major and minor only.

    Where the platform tells no kernel (a root that is not running), its own glibc tells how old one can be there.
    """
    wanted = None if requirement.kernel is None else _numbers(requirement.kernel)
    if wanted is None:
        return []
    needs = f"Linux {requirement.kernel}"
    offered = None if platform.kernel is None else _numbers(platform.kernel)
    if offered is None:
        return [] if wanted <= _libc_kernel(platform) else [Reason(ReasonKind.KERNEL, needs=needs, known=False)]
    if offered[:2] != wanted[:2]:
        return [] if offered > wanted else [Reason(ReasonKind.KERNEL, needs=needs, has=f"Linux {platform.kernel}")]
    exact = wanted[2:] in {(), (0,)} or (len(offered) > 2 and offered >= wanted)
    return [] if exact else [Reason(ReasonKind.KERNEL, needs=needs, has=f"Linux {platform.kernel}", known=False)]


def _libc_kernel(platform: Platform) -> tuple[int, ...]:
    number = None if platform.glibc is None else glibc_number(f"GLIBC_{platform.glibc}")
    if number is None or number < (2, 26):
        return ()
    return (*_LIBC_KERNELS.get(platform.arch or "", _LIBC_KERNEL), 0)


def _numbers(text: str) -> tuple[int, ...] | None:
    """Return the leading numbers of a kernel's release, without what a distribution adds."""
    match = re.match(r"\d{1,9}(?:\.\d{1,9}){1,2}", text, re.ASCII)
    return tuple(int(part) for part in match[0].split(".")) if match else None


def _sonames(requirement: Requirement, offer: Offer, brought: frozenset[str], *, unsure: bool) -> list[Reason]:
    """Return the libraries that the loader would not find; each is one obstacle, whatever was wanted of it."""
    reasons = []
    for soname in requirement.sonames:
        name = soname.rsplit("/", 1)[-1]
        if name in brought or _is_there(soname, offer):
            continue
        known = bool(offer.libraries) and not unsure and "/" not in soname
        reasons.append(Reason(ReasonKind.SONAME, needs=soname, library=soname, known=known))
    return reasons


def _is_there(soname: str, offer: Offer) -> bool:
    """Tell whether the loader finds a soname; itself, the kernel's own and what musl holds are always there."""
    if soname in offer.libraries or soname in offer.loader_names or _VDSO.fullmatch(soname) is not None:
        return True
    is_musl_libc = soname == "libc.so" or soname.startswith("libc.musl-")
    return is_musl_libc and any(name.startswith("ld-musl-") for name in offer.loader_names)


def _versions(requirement: Requirement, offer: Offer, settled: frozenset[str]) -> list[Reason]:
    """Return the symbol versions that the platform's libraries do not define.

    A library without any version is taken as it is: the loader only warns then.
    """
    raised = {(entry.soname, entry.version): entry for entry in reversed(requirement.raised_by)}
    reasons = []
    for need in requirement.needs:
        if need.soname.rsplit("/", 1)[-1] in settled or need.soname in settled:
            continue
        defined = _defined(need.soname, offer)
        if not defined:
            continue
        for version in need.versions:
            if version in defined:
                continue
            by = raised.get((need.soname, version))
            reasons.append(
                Reason(
                    ReasonKind.SYMBOL_VERSION,
                    needs=version,
                    has=_highest(version, defined),
                    library=need.soname,
                    file=None if by is None else by.file,
                    symbol=None if by is None else by.symbol or None,
                    remedy=GLIBC_REMEDY if version.startswith("GLIBC_") else None,
                )
            )
    return reasons


def _defined(soname: str, offer: Offer) -> frozenset[str]:
    """Return the versions that a library defines; a loader that is not listed is as new as the libc it belongs to."""
    own = offer.libraries.get(soname)
    if own is None and soname in offer.loader_names:
        return next((offer.libraries[name] for name in offer.libraries if name.startswith("libc.so.")), frozenset())
    return own or frozenset()


def _highest(version: str, defined: frozenset[str]) -> str | None:
    """Return the highest numbered version of the same family that is there."""
    family = version_key(version)[0]
    numbered = [item for item in defined if version_key(item)[0] == family and version_key(item)[1]]
    return max(numbered, key=version_key, default=None)
