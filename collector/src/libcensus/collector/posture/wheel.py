"""For which Python of a host a wheel could be installed, decided as installers do: by its tags and Requires-Python.

The tags that a Python accepts come from ``packaging``, which pip and uv follow; only the platform's part is made here,
from the libc and the architecture that the Python itself is built for (PEP 600, PEP 656).
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import TYPE_CHECKING

from packaging.specifiers import InvalidSpecifier, SpecifierSet
from packaging.tags import compatible_tags, cpython_tags, generic_tags
from packaging.version import InvalidVersion, Version

from libcensus.collector.posture.offer import PYTHONS
from libcensus.collector.posture.verdict import Reason, ReasonKind
from libcensus.facts.vocabulary import ArtefactKind, Implementation, LibcFamily

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping

    from libcensus.collector.posture.offer import Offer, OfferedPython
    from libcensus.facts.artefact import Artefact, WheelTag

_WHEEL_ARCHES: Mapping[str, str] = {"i386": "i686", "arm": "armv7l"}
_LEGACY: Mapping[int, str] = {5: "manylinux1", 12: "manylinux2010", 17: "manylinux2014"}
_OLDEST: Mapping[str, int] = {"x86_64": 5, "i686": 5}
_OLDEST_ELSEWHERE = 17
_LEGACY_ARCHES = frozenset({"x86_64", "i686"})
_PLATFORM = re.compile(r"(?:manylinux(?:1|2010|2014|_\d+_\d+)|musllinux_\d+_\d+|linux)_(?P<arch>.+)")
_POLICY = re.compile(r"(manylinux|musllinux)_(\d+)_(\d+)_")
_PYTHON_TAG = re.compile(r"(cp|pp|py)(\d)(\d*)")
_NAMES: Mapping[str, str] = {"cp": "CPython", "pp": "PyPy", "py": "Python"}


def platform_tags(arch: str | None, libc: LibcFamily, version: str | None) -> tuple[str, ...] | None:
    """Return the platform tags that installers accept, the newest policy first; None where nobody can tell."""
    if arch is None:
        return None
    name = _WHEEL_ARCHES.get(arch, arch)
    numbers = re.match(r"(\d{1,4})\.(\d{1,4})", version or "", re.ASCII)
    if numbers is None:
        return None
    major, minor = int(numbers[1]), int(numbers[2])
    tags: list[str] = []
    if libc is LibcFamily.GLIBC and major == 2:
        for number in range(minor, _OLDEST.get(name, _OLDEST_ELSEWHERE) - 1, -1):
            tags.append(f"manylinux_2_{number}_{name}")
            if number in _LEGACY and (number == 17 or name in _LEGACY_ARCHES):
                tags.append(f"{_LEGACY[number]}_{name}")
    elif libc is LibcFamily.MUSL:
        tags += [f"musllinux_{major}_{number}_{name}" for number in range(minor, -1, -1)]
    else:
        return None
    return (*tags, f"linux_{name}")


def arch_of(platform: str) -> str | None:
    """Return the architecture of a wheel's platform tag as the kernel writes it; None for ``any`` and other systems."""
    match = _PLATFORM.fullmatch(platform)
    if match is None:
        return None
    back = {wheel: kernel for kernel, wheel in _WHEEL_ARCHES.items()}
    return back.get(match["arch"], match["arch"])


def _accepted(python: OfferedPython, platforms: tuple[str, ...]) -> frozenset[str]:
    """Return every tag that this Python's installer accepts on these platforms."""
    match = re.match(r"(\d+)\.(\d+)", python.version, re.ASCII)
    if match is None:
        return frozenset()
    return _tags(python.implementation, (int(match[1]), int(match[2])), python.abiflags, platforms)


@lru_cache(maxsize=4096)
def _tags(
    implementation: Implementation, version: tuple[int, int], abiflags: str, platforms: tuple[str, ...]
) -> frozenset[str]:
    digits = f"{version[0]}{version[1]}"
    if implementation is Implementation.PYPY:
        # The second half of PyPy's ABI is its own version line, which changed once since 3.6: pp73.
        abis = [f"pypy{digits}_pp73"]
        tags = {*generic_tags(f"pp{digits}", abis, platforms), *compatible_tags(version, f"pp{digits}", platforms)}
    else:
        threading = "t" if "t" in abiflags else ""
        abis = [f"cp{digits}{threading}"]
        if "d" in abiflags:
            # A debug build loads modules of release builds too, since 3.8.
            abis.insert(0, f"cp{digits}{threading}d")
        if version < (3, 8):
            abis = [f"cp{digits}m"]
        tags = {*cpython_tags(version, abis, platforms), *compatible_tags(version, f"cp{digits}", platforms)}
    return frozenset(map(str, tags))


def installing(
    artefact: Artefact, offer: Offer, pythons: Collection[OfferedPython] | None
) -> tuple[list[Reason], tuple[OfferedPython, ...]]:
    """Return what keeps an installer from installing the artefact, and the Pythons for which it would.

    An artefact that asks for no Python has no obstacle. With ``pythons`` None nobody knows which are installed: then
    the platform's part of the tags alone is judged.
    """
    told = _python_of_environment(artefact) if artefact.kind is ArtefactKind.ENVIRONMENT else artefact.requires_python
    if not artefact.tags and told is None and artefact.kind is not ArtefactKind.ZIPAPP:
        return [], ()
    if pythons is None:
        return _platform_alone(artefact, offer), ()
    try:
        specifier = SpecifierSet(told or "")
    except InvalidSpecifier:
        return [Reason(ReasonKind.PYTHON, needs=f"Python {told}", remedy="correct Requires-Python", known=False)], ()
    candidates = [p for p in sorted(pythons) if artefact.kind is not ArtefactKind.ENVIRONMENT or is_base(p, artefact)]
    able = [python for python in candidates if _meets(python, specifier)]
    if not artefact.tags:
        return ([] if able else [_no_python(artefact, told, pythons)]), tuple(able)
    wanted = {str(tag) for tag in artefact.tags}
    platforms = {python: platform_tags(python.arch, *_libc(python, offer)) for python in able}
    fitting = [p for p in able if (tags := platforms[p]) is not None and wanted & _accepted(p, tags)]
    if fitting:
        return [], tuple(fitting)
    blocked = _platform_alone(artefact, offer)
    if any(tags is None and _might_fit(python, artefact.tags) for python, tags in platforms.items()):
        return [Reason(ReasonKind.TAG, needs=_told({tag.platform for tag in artefact.tags}), known=False)], ()
    if any(reason.known for reason in blocked):
        return blocked, ()
    return [_no_python(artefact, told, pythons)], ()


def _might_fit(python: OfferedPython, tags: Iterable[WheelTag]) -> bool:
    """Tell whether a Python whose libc's version nobody knows would accept a tag, were that libc new enough."""
    marks = {LibcFamily.GLIBC: "manylinux", LibcFamily.MUSL: "musllinux"}
    mark = marks.get(python.libc, "")
    platforms = sorted({tag.platform for tag in tags if tag.platform.startswith(mark) and _is_for(tag, python.arch)})
    # Without any platform packaging would take those of the machine that it runs on.
    return bool(platforms) and not {str(tag) for tag in tags}.isdisjoint(_accepted(python, tuple(platforms)))


def _is_for(tag: WheelTag, arch: str | None) -> bool:
    wanted = arch_of(tag.platform)
    return wanted is not None and arch in (None, wanted)


def _libc(python: OfferedPython, offer: Offer) -> tuple[LibcFamily, str | None]:
    """Return the libc of a Python: the host's, where the Python is linked to that or says nothing."""
    platform = offer.platform
    if python.libc in (platform.libc_family, LibcFamily.UNKNOWN):
        return platform.libc_family, platform.libc_version or platform.glibc
    # A Python for the other libc, whose version no host fact tells.
    return python.libc, None


def _meets(python: OfferedPython, specifier: SpecifierSet) -> bool:
    try:
        return specifier.contains(Version(python.version), prereleases=True)
    except InvalidVersion:
        return False


def _platform_alone(artefact: Artefact, offer: Offer) -> list[Reason]:
    """Judge the platform's part of the tags."""
    wanted = {tag.platform for tag in artefact.tags}
    if not wanted or "any" in wanted:
        return []
    platform = offer.platform
    arches = {arch for text in wanted if (arch := arch_of(text)) is not None}
    if not arches:
        told = ", ".join(sorted(wanted))
        return [Reason(ReasonKind.TAG, needs=told, has="Linux", remedy="use the wheel for Linux")]
    if platform.arch is not None and platform.arch not in arches:
        remedy = f"use the wheel for {platform.arch}"
        return [Reason(ReasonKind.ARCH, needs=", ".join(sorted(arches)), has=platform.arch, remedy=remedy)]
    accepted = platform_tags(platform.arch, platform.libc_family, platform.libc_version or platform.glibc)
    told = _told(wanted)
    if accepted is None:
        if platform.libc_family is LibcFamily.MUSL and not any("musllinux" in text for text in wanted):
            remedy = "use the musllinux wheel"
            return [Reason(ReasonKind.TAG, needs=told, has="musllinux", remedy=remedy)] if _is_glibc(wanted) else []
        return [Reason(ReasonKind.TAG, needs=told, known=False)]
    if wanted & set(accepted):
        return []
    best = accepted[0] if len(accepted) > 1 else platform.libc_family.value
    remedy = f"build it for {best} or older" if best.startswith(("many", "musl")) else "build it for this libc"
    return [Reason(ReasonKind.TAG, needs=told, has=best, remedy=remedy)]


def _is_glibc(wanted: Iterable[str]) -> bool:
    return all(text.startswith("manylinux") for text in wanted)


def _told(platforms: Iterable[str]) -> str:
    """Return the least that is asked for: of several tags any one is enough."""

    def weight(text: str) -> tuple[bool, int, int, str]:
        match = _POLICY.match(text)
        return (match is None, int(match[2]), int(match[3]), text) if match else (True, 0, 0, text)

    return min(platforms, key=weight)


def is_base(python: OfferedPython, artefact: Artefact) -> bool:
    """Tell whether a Python is of the kind that an environment was made for, and lies where it looks for it."""
    if python.implementation is not artefact.implementation:
        return False
    return artefact.home is None or not python.folders or artefact.home.rstrip("/") in python.folders


def without_base(artefact: Artefact, pythons: Collection[OfferedPython]) -> Reason:
    """Return what keeps an environment from running where none of these Pythons is its base."""
    return _no_python(artefact, _python_of_environment(artefact), pythons)


def _python_of_environment(artefact: Artefact) -> str | None:
    """Return the specifier of the Python that an environment was made for; its modules are that release line's."""
    line = re.match(r"\d+\.\d+", artefact.version or "", re.ASCII)
    return None if line is None or artefact.implementation not in PYTHONS else f"=={line[0]}.*"


def _no_python(artefact: Artefact, specifier: str | None, pythons: Collection[OfferedPython]) -> Reason:
    needs = _needed_pythons(artefact.tags)
    if specifier:
        needs = f"{needs} {specifier}" if needs == "Python" else f"{needs} ({specifier})"
    if artefact.implementation is Implementation.PYPY:
        needs = f"PyPy for {needs}"
    names = {Implementation.PYPY: "PyPy for Python"}
    has = [
        f"{names.get(one.implementation, 'CPython')} {one.version}{one.abiflags}"
        + (f" in {one.folders[0]}" if artefact.home is not None and one.folders else "")
        for one in _by_version(pythons)
    ]
    instead = ""
    if has:
        is_environment = artefact.kind is ArtefactKind.ENVIRONMENT
        what = "make the environment again with" if is_environment else "use the wheel for"
        instead = f", or {what} a Python that is there"
    remedy = f"install {needs.replace('Python ==', 'Python ').removesuffix('.*')}{instead}"
    if artefact.home is not None:
        needs += f" in {artefact.home}"
    return Reason(ReasonKind.PYTHON, needs=needs, has=", ".join(dict.fromkeys(has)) or None, remedy=remedy)


def _by_version(pythons: Collection[OfferedPython]) -> list[OfferedPython]:
    return sorted(pythons, key=lambda one: ([int(number) for number in re.findall(r"\d+", one.version)], one))


def _needed_pythons(tags: Iterable[WheelTag]) -> str:
    """Return the Pythons that tags are for as a person says it: ``CPython 3.12``, ``CPython 3.9 or newer``."""
    found: dict[str, None] = {}
    for tag in tags:
        match = _PYTHON_TAG.fullmatch(tag.interpreter)
        if match is None:
            found.setdefault(tag.interpreter)
            continue
        version = f"{match[2]}.{match[3]}" if match[3] else match[2]
        text = f"{_NAMES[match[1]]} {version}"
        if tag.abi.endswith("t") and tag.abi.startswith("cp"):
            text += " free-threaded"
        elif tag.abi.startswith("abi3") or match[1] == "py":
            text += " or newer" if match[3] else ""
        found.setdefault(text)
    return ", ".join(found) or "Python"
