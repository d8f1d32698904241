"""What stands between one requirement and one platform, compared as the dynamic loader and the kernel would.

Symbol versions are compared with the set that the platform's library defines, because distributions add some and omit
others; no number is compared, except where a distribution is known by its name alone. Weak versions never block. What
the platform does not tell is an obstacle that is not known to be one.
"""

from __future__ import annotations

import re
from dataclasses import replace
from functools import lru_cache
from typing import TYPE_CHECKING

from libcensus.collector.posture.verdict import Reason, ReasonKind
from libcensus.facts.manylinux import OLDEST, first_policy
from libcensus.facts.requirement import glibc_number, version_key
from libcensus.facts.vocabulary import LibcFamily, LoaderKind

if TYPE_CHECKING:
    from collections.abc import Mapping

    from libcensus.collector.posture.offer import Offer
    from libcensus.facts.platform import Platform
    from libcensus.facts.requirement import RaisedBy, Requirement

_X86_32 = frozenset({"i386", "i486", "i586", "i686"})
_ARM_32 = frozenset({"arm", "armv5l", "armv6l", "armv7l", "armv8l"})
_RUNS_ALSO: Mapping[str, frozenset[str]] = {"x86_64": _X86_32, "aarch64": _ARM_32, "ppc64": frozenset({"ppc"})}
"""Machines whose kernel may be built to run another one's programs as well."""

_GOVERNED = ("GLIBC_", "GLIBCXX_", "CXXABI_", "GCC_", "LIBATOMIC_", "ZLIB_")
"""The families of symbol versions that the manylinux policies are about."""

_LIBC_KERNELS = {"aarch64": (3, 7), "riscv64": (4, 15), "loongarch64": (5, 19)}
_LIBC_KERNEL = (3, 2)
"""The oldest kernel on which glibc 2.26 and later start at all (its NEWS, 2.24 and 2.26, and each port's)."""

_OLD_KERNEL = (2, 6, 32)
"""The oldest kernel beside an older glibc since 2.12: that of EL 6, the oldest distribution with a manylinux policy
that anybody still runs. glibc 2.20 and later ask for it themselves (its NEWS).
"""

_FIRST_WITHOUT_NOTES = (2, 36)
"""The first glibc whose loader was seen to load a library with a note for a newer kernel; 2.31's was seen not to."""

_VDSO = re.compile(r"linux-(?:vdso|gate)(?:32|64)?\.so\.\d+")

GLIBC_REMEDY = "use a build that needs an older glibc (python-build-standalone needs 2.17), or a host with a newer one"


_USUAL = frozenset({"libgcc_s.so.1", "libstdc++.so.6", "libz.so.1"})
"""What else every installation with a package manager has: dpkg, apt, rpm and dnf are linked to them."""

_LIBC_OWN = frozenset(
    {
        "libBrokenLocale.so.1", "libanl.so.1", "libc.so.6", "libc_malloc_debug.so.0", "libdl.so.2", "libm.so.6",
        "libmvec.so.1", "libnss_dns.so.2", "libnss_files.so.2", "libpthread.so.0", "libresolv.so.2", "librt.so.1",
        "libthread_db.so.1", "libutil.so.1",
    }
)  # fmt: skip
"""The sonames that glibc itself installs: there with any glibc, and not there with musl."""


def obstacles(
    requirement: Requirement,
    offer: Offer,
    brought: frozenset[str] = frozenset(),
    *,
    own_folders: bool = False,
    stray: frozenset[str] = frozenset(),
) -> list[Reason]:
    """Return every obstacle, in no order.

    ``brought`` are the sonames that travel with it or are loaded already. With ``own_folders`` it has library folders
    that nobody listed, and ``stray`` are sonames that something may load before: missing ones are not known to be.
    """
    foreign = is_foreign(requirement, offer.platform)
    reasons = [
        *_arch(requirement, offer.platform),
        *_loader(requirement, offer.platform),
        *_level(requirement, offer.platform),
        *_kernel(requirement, offer.platform),
    ]
    if any(reason.kind is ReasonKind.ARCH and reason.known for reason in reasons):
        # Libraries of another architecture say nothing about this one's.
        return reasons
    missing = _sonames(requirement, offer, brought, stray, unsure=foreign or own_folders)
    absent = {reason.needs for reason in missing}
    if foreign:
        return reasons + missing
    return reasons + missing + _versions(requirement, offer, brought | absent)


def is_foreign(requirement: Requirement, platform: Platform) -> bool:
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

    Nobody reads the note of a program that names a loader. That of a library is read by glibc before 2.36, which
    passes over the file, and that of a static program by the libc inside it. Where the platform tells no kernel (a root
    that is not running), its own glibc tells how old one can be there.
    """
    wanted = None if requirement.kernel is None else _numbers(requirement.kernel)
    if wanted is None or requirement.loader is not None:
        return []
    if requirement.sonames and not reads_notes(platform):
        return []
    needs = f"Linux {requirement.kernel}"
    offered = None if platform.kernel is None else _numbers(platform.kernel)
    if offered is None:
        return [] if wanted <= _libc_kernel(platform) else [Reason(ReasonKind.KERNEL, needs=needs, known=False)]
    if offered[:2] != wanted[:2]:
        return [] if offered > wanted else [Reason(ReasonKind.KERNEL, needs=needs, has=f"Linux {platform.kernel}")]
    exact = wanted[2:] in {(), (0,)} or (len(offered) > 2 and offered >= wanted)
    return [] if exact else [Reason(ReasonKind.KERNEL, needs=needs, has=f"Linux {platform.kernel}", known=False)]


def reads_notes(platform: Platform) -> bool:
    """Tell whether the host's loader may look at the kernel that a library's note asks for."""
    number = _glibc_number(platform)
    if number is not None:
        return number < _FIRST_WITHOUT_NOTES
    return platform.libc_family is not LibcFamily.MUSL


def _glibc_number(platform: Platform) -> tuple[int, ...] | None:
    version = platform.glibc
    if version is None and platform.libc_family is LibcFamily.GLIBC:
        version = platform.libc_version
    return None if version is None else glibc_number(f"GLIBC_{version}")


def _libc_kernel(platform: Platform) -> tuple[int, ...]:
    number = _glibc_number(platform)
    if number is None or number < (2, 12):
        return ()
    if number < (2, 26):
        return _OLD_KERNEL
    return (*_LIBC_KERNELS.get(platform.arch or "", _LIBC_KERNEL), 0)


def _numbers(text: str) -> tuple[int, ...] | None:
    """Return the leading numbers of a kernel's release, without what a distribution adds."""
    match = re.match(r"\d{1,9}(?:\.\d{1,9}){1,2}", text, re.ASCII)
    return tuple(int(part) for part in match[0].split(".")) if match else None


def _sonames(
    requirement: Requirement, offer: Offer, brought: frozenset[str], stray: frozenset[str], *, unsure: bool
) -> list[Reason]:
    """Return the libraries that the loader would not find; each is one obstacle, whatever was wanted of it."""
    reasons = []
    for soname in requirement.sonames:
        name = soname.rsplit("/", 1)[-1]
        if name in brought or _is_there(soname, offer):
            continue
        known = _lists(soname, offer) and not unsure and "/" not in soname and soname not in stray
        reasons.append(Reason(ReasonKind.SONAME, needs=soname, library=soname, remedy=_bringing(soname), known=known))
    return reasons


def _lists(soname: str, offer: Offer) -> bool:
    """Tell whether a soname that is not found is known not to be there."""
    if offer.is_coarse:
        return offer.platform.libc_family is LibcFamily.MUSL and soname in _LIBC_OWN
    return bool(offer.libraries)


def _bringing(soname: str) -> str:
    if soname in _LIBC_OWN:
        return "use the build or wheel for musl (musllinux), or a host with glibc"
    if soname == "libc.so" or soname.startswith("libc.musl-"):
        return "use the build or wheel for glibc (manylinux), or a host with musl"
    return f"install the package that has {soname}, or bring it along (a wheel: auditwheel repair)"


def _is_there(soname: str, offer: Offer) -> bool:
    """Tell whether the loader finds a soname; itself, the kernel's own and what musl holds are always there."""
    if offer.is_coarse and offer.platform.libc_family is LibcFamily.GLIBC and soname in _USUAL | _LIBC_OWN:
        return True
    if soname in offer.libraries or soname in offer.loader_names or _VDSO.fullmatch(soname) is not None:
        return True
    is_musl_libc = soname == "libc.so" or soname.startswith("libc.musl-")
    return is_musl_libc and any(name.startswith("ld-musl-") for name in offer.loader_names)


def _versions(requirement: Requirement, offer: Offer, settled: frozenset[str]) -> list[Reason]:
    """Return the symbol versions that the platform's libraries do not define.

    A library without any version is taken as it is: the loader only warns then.
    """
    reasons = []
    for need in requirement.needs:
        if need.soname.rsplit("/", 1)[-1] in settled or need.soname in settled:
            continue
        if offer.is_coarse:
            reasons += [
                replace(reason, file=by.file, symbol=by.symbol or None)
                if (by := _raising(requirement, need.soname, reason.needs)) is not None
                else reason
                for version in need.versions
                if (reason := _by_number(need.soname, version, requirement, offer)) is not None
            ]
            continue
        defined = _defined(need.soname, offer)
        if not defined or defined.issuperset(need.versions):
            continue
        for version in need.versions:
            if version in defined:
                continue
            by = _raising(requirement, need.soname, version)
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


def _raising(requirement: Requirement, soname: str, version: str) -> RaisedBy | None:
    """Return which file and symbol want a version first."""
    return next((one for one in requirement.raised_by if (one.soname, one.version) == (soname, version)), None)


def _by_number(soname: str, version: str, requirement: Requirement, offer: Offer) -> Reason | None:
    """Return the obstacle of a symbol version where glibc's number is all that is known of the libraries."""
    minor = offer.glibc_minor
    number = glibc_number(version)
    arch = offer.platform.arch or requirement.arch or ""
    if minor is None:
        return Reason(ReasonKind.SYMBOL_VERSION, needs=version, library=soname, known=False)
    has = f"GLIBC_2.{minor}"
    if number is not None:
        if number <= (2, minor):
            return None
        return Reason(ReasonKind.SYMBOL_VERSION, needs=version, has=has, library=soname, remedy=GLIBC_REMEDY)
    first = first_policy(arch, version) if arch in OLDEST and version.startswith(_GOVERNED) else None
    if first is not None and first <= minor:
        return None
    if version == "GLIBC_ABI_DT_RELR":
        return Reason(ReasonKind.SYMBOL_VERSION, needs=version, has=has, library=soname, remedy=GLIBC_REMEDY)
    return Reason(ReasonKind.SYMBOL_VERSION, needs=version, library=soname, known=False)


def _defined(soname: str, offer: Offer) -> frozenset[str]:
    """Return the versions that a library defines; a loader that is not listed is as new as the libc it belongs to."""
    own = offer.libraries.get(soname)
    if own is None and soname in offer.loader_names:
        return next((offer.libraries[name] for name in offer.libraries if name.startswith("libc.so.")), frozenset())
    return own or frozenset()


@lru_cache(maxsize=65536)
def _highest(version: str, defined: frozenset[str]) -> str | None:
    """Return the highest numbered version of the same family that is there."""
    family = version_key(version)[0]
    numbered = [item for item in defined if version_key(item)[0] == family and version_key(item)[1]]
    return max(numbered, key=version_key, default=None)
