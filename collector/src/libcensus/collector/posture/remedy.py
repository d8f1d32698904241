"""What brings a fix to an install or a copy: the command or step of whoever built it or put it there.

A remedy names only what was published. Where the provider has no fixed build, it says so instead of naming a command
that would change nothing.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from libcensus.collector.posture.finding import FILE, Component
from libcensus.collector.posture.versions import branch_of
from libcensus.facts.vocabulary import Implementation, Installer, Linkage, Provider

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from libcensus.collector.posture.catalogue import Catalogue, PbsBuild
    from libcensus.facts.crypto import CopyOwner, CryptoUse
    from libcensus.facts.package import Package

_UPGRADES = {
    "dpkg": "apt-get update && apt-get install --only-upgrade {name}",
    "rpm": "dnf upgrade {name}",
    "apk": "apk add --upgrade {name}",
    "pacman": "pacman -Syu",
}

_PBS_COMMANDS = {
    Installer.UV: "uv self update && uv python upgrade {minor}",
    Installer.RYE: "rye toolchain fetch {minor}",
    Installer.HATCH: "hatch python update {minor}",
    Installer.MISE: "mise upgrade python@{minor}",
}


_NAMES = {
    Implementation.CPYTHON: "Python",
    Implementation.PYPY: "PyPy",
    Implementation.NODEJS: "Node.js",
    Implementation.RUBY: "Ruby",
    Implementation.PERL: "Perl",
    Implementation.PHP: "PHP",
}


@dataclass(frozen=True, slots=True)
class Circumstances:
    """All that a security verdict depends on, beside what the world published: equal ones are judged once.

    ``version`` and ``provider_build`` are the interpreter's, and ``manager`` is the version manager that keeps it,
    where that is no installer of its own. A crypto copy is no interpreter: ``owner`` is what brought it, and
    ``environment`` is the word that stands for the folder that loads it; each is absent where nothing tells. No path is
    in here.
    """

    crypto: CryptoUse
    provider: Provider
    installer: Installer
    version: str | None
    provider_build: str | None
    implementation: Implementation = Implementation.CPYTHON
    owner: CopyOwner | None = None
    environment: str | None = None
    is_copy: bool = False
    manager: str | None = None

    @property
    def minor(self) -> str | None:
        """The interpreter's release line, such as ``3.12``."""
        return None if self.version is None else branch_of(Component.CPYTHON, self.version)


def is_pbs_copy(circumstances: Circumstances, package: Package | None) -> bool:
    """Tell whether a newer python-build-standalone is what changes the copy.

    It is not where a third party's package ships such a build: that party decides which one.
    """
    inside = circumstances.crypto.linkage in {Linkage.STATIC, Linkage.BUNDLED}
    return circumstances.provider is Provider.PBS and inside and package is None


def pbs_fix(circumstances: Circumstances, catalogue: Catalogue, is_fixed: Callable[[str], bool]) -> PbsBuild | None:
    """Return the first python-build-standalone build of the same minor whose OpenSSL is fixed, and newer than this one.

    Builds are ordered by date, because one tag's name is wrong; builds whose OpenSSL is unknown prove nothing.
    """
    tag = (circumstances.provider_build or "")[:8]
    own = next((build.date for build in catalogue.pbs_builds if build.tag == tag), None)
    return next(
        (
            build
            for build in catalogue.pbs_builds
            if (own is None or build.date > own)
            and circumstances.minor in build.cpython
            and build.openssl is not None
            and is_fixed(build.openssl)
        ),
        None,
    )


def pbs_with(circumstances: Circumstances, catalogue: Catalogue, is_fixed: Callable[[str], bool]) -> PbsBuild | None:
    """Return the first python-build-standalone build whose CPython of the same minor is fixed."""
    minor = circumstances.minor
    return next((b for b in catalogue.pbs_builds if minor in b.cpython and is_fixed(b.cpython[minor or ""])), None)


def first_uv(catalogue: Catalogue, build: PbsBuild) -> str | None:
    """Return the first uv release whose newest python-build-standalone is this build or a later one.

    None where the oldest uv of the catalogue knows it: an older one may have known it, too.
    """
    days = {item.tag: item.date for item in catalogue.pbs_builds}
    is_first = True
    for uv, tag in catalogue.uv_newest_pbs.items():
        if days[tag] >= build.date:
            return None if is_first else uv
        is_first = False
    return None


def pbs_command(installer: Installer, minor: str) -> str | None:
    """Return the command that brings the newest python-build-standalone of a minor; None where nobody has one."""
    command = _PBS_COMMANDS.get(installer)
    return None if command is None else command.format(minor=minor)


def remedy_for_package(package: Package, version: str | None = None) -> str | None:
    """Return the command that brings whatever the package's builder has fixed; None for an unknown manager.

    ``version`` is the source package's that has the fix; a binary package of it can have another number, so it is
    named beside the command and not in it.
    """
    command = _UPGRADES.get(package.manager)
    if command is None:
        return None
    text = command.format(name=package.name)
    return text if version is None else f"{text} ({package.source} {version} or newer)"


def remedy_for_affected(
    circumstances: Circumstances,
    catalogue: Catalogue,
    *,
    pbs: PbsBuild | None = None,
    package: Package | None = None,
    fixed: str | None = None,
    unfixed: str = "no fix published",
    supported: tuple[str, ...] = (),
) -> str:
    """Return what to do about a copy that upstream's ranges hold for.

    ``fixed`` is the branch's fixed version that everybody can get; where there is none, ``unfixed`` says why and
    ``supported`` are the branches that still get fixes. ``pbs`` is the first fixed build, for a build of
    python-build-standalone.
    """
    if is_pbs_copy(circumstances, package):
        return _pbs_remedy(circumstances, catalogue, pbs)
    if fixed is not None:
        return _step(circumstances, package, f"OpenSSL {fixed} or newer")
    branches = f" ({', '.join(supported)})" if supported else ""
    return f"{unfixed}: {_step(circumstances, package, f'a supported OpenSSL{branches}')}"


def remedy_for_python(
    circumstances: Circumstances,
    catalogue: Catalogue,
    fixed: str | None,
    *,
    pbs: PbsBuild | None = None,
    package: Package | None = None,
) -> str:
    """Return what brings a fixed CPython of the same line; ``pbs`` is the first such build, for a build of theirs."""
    minor = circumstances.minor
    if fixed is None:
        return f"no fix published for CPython {minor}: move to a line that is supported"
    target = f"CPython {fixed} or newer"
    if package is not None:
        return f"update package {package.name} to one of its vendor's versions that holds {target}"
    if circumstances.provider is Provider.PBS:
        if pbs is None:
            return f"no fix published: no python-build-standalone build of {target} is known"
        wanted = f"build {pbs.tag} or newer, CPython {pbs.cpython[minor or '']}"
        return _pbs_step(circumstances, catalogue, pbs, wanted) or f"install python-build-standalone {wanted}"
    if circumstances.provider is Provider.PYENV:
        return f"pyenv install {fixed}, then make its environments again"
    if circumstances.provider is Provider.CONDA:
        return f"conda update python in this environment, to {target}"
    if circumstances.provider is Provider.DOCKER_OFFICIAL:
        return f"pull a newer image that holds {target}"
    return f"install {target} from whoever made this one"


_NODE_COMMANDS = {
    Installer.MISE: "mise install node@{fixed}",
    Installer.ASDF: "asdf install nodejs {fixed}",
    Installer.SNAP: "snap refresh node --channel={line}",
}
"""What installs a release of Node.js by its installer."""

_NODE_MANAGERS: Mapping[str, tuple[re.Pattern[str], str]] = {
    "nvm": (re.compile(r"/\.nvm/(?:versions/node/)?v[^/]+/bin/"), "nvm install {fixed}"),
    "fnm": (re.compile(r"/fnm/node-versions/[^/]+/installation/bin/"), "fnm install {fixed}"),
    "volta": (re.compile(r"/\.volta/tools/image/node/[^/]+/bin/"), "volta install node@{fixed}"),
    "n": (re.compile(r"/n/versions/node/[^/]+/bin/"), "n {fixed}"),
    "nodenv": (re.compile(r"/\.?nodenv/versions/[^/]+/bin/"), "nodenv install {fixed}"),
}
"""Version managers of Node.js that leave no record of what they install: where they keep it, and their command."""


def node_manager(implementation: Implementation, path: str) -> str | None:
    """Return the version manager that keeps a Node.js, by its real path; None where none is known by it."""
    if implementation is not Implementation.NODEJS:
        return None
    return next((name for name, (folder, _) in _NODE_MANAGERS.items() if folder.search(path)), None)


def remedy_for_nodejs(
    circumstances: Circumstances, fixed: str | None, supported: tuple[str, ...], package: Package | None
) -> str:
    """Return what brings a fixed Node.js of the same line; ``supported`` are the lines that still get fixes.

    ``package`` is a third party's that owns the interpreter: NodeSource's for one.
    """
    line = branch_of(Component.NODEJS, circumstances.version or "")
    if fixed is None:
        lines = f" ({', '.join(supported)})" if supported else ""
        return f"no fix published for Node.js {line}: move to a line that is supported{lines}"
    target = f"Node.js {fixed} or newer"
    if package is not None:
        command = remedy_for_package(package)
        step = f"update package {package.name}" if command is None else command
        return f"{step}, to one of its vendor's versions that holds {target}"
    command = _NODE_COMMANDS.get(circumstances.installer)
    if command is None and circumstances.manager is not None:
        _, command = _NODE_MANAGERS[circumstances.manager]
    if command is not None:
        return f"{command.format(fixed=fixed, line=line)} ({target})"
    if circumstances.provider is Provider.CONDA:
        return f"conda update nodejs in this environment, to {target}"
    if circumstances.provider is Provider.DOCKER_OFFICIAL:
        return f"pull a newer image that holds {target}"
    if circumstances.provider is Provider.PYPI:
        return f"pip install --upgrade the distribution that ships this interpreter, to one that holds {target}"
    if circumstances.provider is Provider.UPSTREAM:
        return f"install the project's build of {target}"
    return f"install {target} from whoever made this one"


def _step(circumstances: Circumstances, package: Package | None, target: str) -> str:
    """Return the step that changes the copy, by who owns it, then by how it is linked, then by who built it."""
    if package is not None:
        return f"update package {package.name} to one of its vendor's versions that holds {target}"
    if circumstances.owner is not None:
        return _step_of_owner(circumstances.owner, circumstances.environment, target)
    if circumstances.crypto.linkage is Linkage.LOCAL or circumstances.is_copy:
        return f"replace {FILE} by {target}, then restart what uses it"
    if circumstances.provider is Provider.PYENV:
        return f"rebuild with {target}: pyenv install --force {circumstances.version or 'VERSION'}"
    if circumstances.provider is Provider.CONDA:
        return f"conda update openssl in this environment, to {target}"
    if circumstances.provider is Provider.DOCKER_OFFICIAL:
        return f"pull a newer image that holds {target}"
    if circumstances.provider is Provider.UPSTREAM:
        name = _NAMES.get(circumstances.implementation, "this interpreter")
        return f"install a newer build of {name} by its project, one that holds {target}"
    if circumstances.provider is Provider.PYPI:
        return f"pip install --upgrade the distribution that ships this interpreter, to one that holds {target}"
    return f"rebuild this interpreter with {target}, or get a newer build from whoever made it"


def _step_of_owner(owner: CopyOwner, environment: str | None, target: str) -> str:
    """Return the step that changes a copy, by the ecosystem of what brought it."""
    place = "" if environment is None else f" in {environment}"
    holder, command = _OWNER_STEPS.get(owner.ecosystem, (f"{owner.ecosystem} package", None))
    step = f"upgrade the {holder} {owner.name}{place} to one that holds {target}"
    if command is None:
        return step
    return f"{step}: {command(owner.name, environment)}"


def _pip(name: str, environment: str | None) -> str:
    return f"pip{'' if environment is None else f' --python {environment}'} install --upgrade {name}"


def _conda(name: str, environment: str | None) -> str:
    return f"conda update{'' if environment is None else f' --prefix {environment}'} {name}"


_OWNER_STEPS: Mapping[str, tuple[str, Callable[[str, str | None], str] | None]] = {
    "pypi": ("wheel", _pip),
    "npm": ("npm package", lambda name, _: f"npm update {name}"),
    "gem": ("gem", lambda name, _: f"gem update {name}"),
    "conda": ("conda package", _conda),
}
"""What each ecosystem calls what it installs, and its command."""


def _pbs_remedy(circumstances: Circumstances, catalogue: Catalogue, build: PbsBuild | None) -> str:
    minor = circumstances.minor
    if build is None:
        line = "this interpreter's release line" if minor is None else f"CPython {minor}"
        return f"no fix published: no fixed python-build-standalone build of {line} is known; move to a newer line"
    wanted = f"build {build.tag} or newer, with OpenSSL {build.openssl}"
    step = _pbs_step(circumstances, catalogue, build, wanted)
    return step or f"install python-build-standalone {wanted}, of CPython {minor}"


def _pbs_step(circumstances: Circumstances, catalogue: Catalogue, build: PbsBuild, wanted: str) -> str | None:
    """Return the installer's own command that brings a build; None where it has none."""
    command = _PBS_COMMANDS.get(circumstances.installer)
    if command is None:
        return None
    uv = first_uv(catalogue, build) if circumstances.installer is Installer.UV else None
    known = f"; uv {uv} is the first to know it" if uv else ""
    return f"{command.format(minor=circumstances.minor)} ({wanted}{known})"
