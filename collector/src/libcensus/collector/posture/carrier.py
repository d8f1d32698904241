"""Whether what carries fixes to an install can carry them: the ``uv`` beside it, the image that it lies in.

Both are judged by the findings that are open: a ``uv`` that knows no newer build is fine until one is needed, and an
image is older than a fix only where the fix is missing.
"""

from __future__ import annotations

from collections.abc import Mapping  # noqa: TC003  the dataclass decorator of slots needs it at run time
from dataclasses import dataclass
from datetime import date
from typing import TYPE_CHECKING

from libcensus.collector.posture.finding import VexStatus
from libcensus.collector.posture.newest import pbs_build
from libcensus.collector.posture.remedy import first_uv, remedy_for_package
from libcensus.collector.posture.staleness import StalenessState, StaleVerdict
from libcensus.facts.evidence import Evidence
from libcensus.facts.vocabulary import EvidenceKind, RootKind

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from libcensus.collector.posture.catalogue import Catalogue
    from libcensus.collector.posture.finding import Judgement, Subject
    from libcensus.facts.root import ScannedRoot
    from libcensus.facts.tool import Tool, ToolSetting

_DOWNLOADS = "python-downloads"
_FORBIDDEN = "never"


@dataclass(frozen=True, slots=True)
class OpenFixes:
    """What is open at one subject: by the day since which a fix could be had, the advisories that it fixes.

    ``undated`` are those of which a fixed version is known and no day.
    """

    dated: Mapping[date, tuple[str, ...]]
    undated: tuple[str, ...] = ()

    @classmethod
    def of(cls, judgements: Iterable[Judgement]) -> OpenFixes:
        """Return what is open among these judgements."""
        dated: dict[date, tuple[str, ...]] = {}
        undated: list[str] = []
        for one in judgements:
            if one.status is not VexStatus.AFFECTED:
                continue
            if one.fix_available is not None:
                dated[one.fix_available] = (*dated.get(one.fix_available, ()), one.advisory)
            elif one.fixed_in is not None:
                undated.append(one.advisory)
        return cls(dated, tuple(undated))


def uv_state(newest_build: str | None, own: OpenFixes, catalogue: Catalogue, today: date) -> StalenessState:
    """Return whether a uv that knows builds up to one is too old for what is open at one install."""
    days = [day for day in own.dated if day <= today]
    if not days:
        return StalenessState.CURRENT
    known = pbs_build(newest_build, catalogue)
    if known is None:
        return StalenessState.UNKNOWN
    return StalenessState.STALE if max(days) > known.date else StalenessState.CURRENT


def image_state(created: date | None, own: OpenFixes, today: date) -> StalenessState:
    """Return whether an image of a day is older than a fix of what is open at one subject in it."""
    days = [day for day in own.dated if day <= today]
    if created is None:
        return StalenessState.UNKNOWN if days else StalenessState.CURRENT
    if days and max(days) > created:
        return StalenessState.STALE
    return StalenessState.UNKNOWN if own.undated else StalenessState.CURRENT


def built_on(root: ScannedRoot, image: ScannedRoot | None) -> date | None:
    """Return the day on which a root's image was built; ``image`` is what a container was started from."""
    told = root.created or (None if image is None else image.created)
    return None if told is None else date.fromisoformat(told[:10])


def _absent(reason: str) -> Evidence:
    return Evidence("staleness", EvidenceKind.ABSENCE, "", f"not known, because {reason}")


def judge_uv(
    tool: Tool, waiting: Mapping[Subject, OpenFixes], settings: Sequence[ToolSetting], catalogue: Catalogue, today: date
) -> tuple[StaleVerdict, tuple[Subject, ...]]:
    """Return whether a uv is too old for what is open on its root, and the installs that it cannot mend.

    ``waiting`` are the installs that uv manages there. A build is needed as soon as one advisory is fixed by it.
    """
    wanted = {subject: days for subject, own in waiting.items() if (days := [day for day in own.dated if day <= today])}
    has = f"uv {tool.version or 'of unknown version'}"
    proofs = tuple(item for item in tool.evidence if item.subject in {"version", "newest_build"})
    if not wanted:
        return StaleVerdict(StalenessState.CURRENT, has, evidence=proofs), tuple(sorted(waiting))
    concerned = tuple(sorted(wanted))
    if tool.newest_build is None:
        reason = "the program does not tell which builds it can install"
        return StaleVerdict(StalenessState.UNKNOWN, has, evidence=(*proofs, _absent(reason))), concerned
    has = f"{has}, which can install builds up to {tool.newest_build}"
    own = pbs_build(tool.newest_build, catalogue)
    if own is None:
        reason = f"the snapshot of {catalogue.snapshot_date.isoformat()} knows no build {tool.newest_build}"
        return StaleVerdict(StalenessState.UNKNOWN, has, evidence=(*proofs, _absent(reason))), concerned
    too_new = {subject: [day for day in days if day > own.date] for subject, days in wanted.items()}
    missed = {subject: days for subject, days in too_new.items() if days}
    if not missed:
        return StaleVerdict(StalenessState.CURRENT, has, evidence=proofs), concerned
    days = sorted({day for found in missed.values() for day in found})
    build = next(one for one in catalogue.pbs_builds if one.date == days[-1])
    uv = first_uv(catalogue, build)
    advisories = _fixed_by(missed, waiting)
    words = f"python-build-standalone {build.tag} of {build.date.isoformat()} is the first build with all that is open "
    words += f"and fixed: {_some(advisories)}; this uv knows {own.tag} of {own.date.isoformat()} at most"
    known = f"no release of uv that can install build {build.tag} is known"
    if uv is not None:
        day = catalogue.uv_dates.get(uv)
        known = f"uv {uv}{'' if day is None else f' of {day.isoformat()}'} is the first that can install {build.tag}"
    evidence = [*proofs, *(Evidence("staleness", EvidenceKind.RELEASE_TABLE, "", text) for text in (words, known))]
    forbidding = [one for one in settings if one.name == _DOWNLOADS and one.value == _FORBIDDEN]
    for one in forbidding:
        evidence += one.evidence or (
            Evidence("setting", EvidenceKind.TEXT_LINE, one.path, f"{one.name} = {one.value}"),
        )
    newest = f"uv {uv}, build {build.tag}" if uv is not None else f"build {build.tag}"
    remedy = _uv_remedy(tool, uv, build.tag, forbidding)
    return StaleVerdict(StalenessState.STALE, has, newest, days[0], remedy, tuple(evidence)), tuple(sorted(missed))


def _uv_remedy(tool: Tool, uv: str | None, tag: str, forbidding: Sequence[ToolSetting]) -> str:
    if uv is None:
        step = f"no release of uv that can install build {tag} is known"
    else:
        step = f"{_uv_update(tool)} (to {uv} or newer), then uv python upgrade"
    if not forbidding:
        return step
    files = ", ".join(sorted({one.path for one in forbidding}))
    return f"{step}; {_DOWNLOADS} = {_FORBIDDEN} in {files} forbids the download, so let it or install it by hand"


def _uv_update(tool: Tool) -> str:
    if tool.package is not None:
        return remedy_for_package(tool.package) or f"update the package {tool.package.name}"
    if tool.environment is not None:
        return f"upgrade the uv of {tool.environment} with what installed it there"
    return "uv self update"


def _fixed_by(days: Mapping[Subject, list[date]], held: Mapping[Subject, OpenFixes]) -> list[str]:
    """Return the advisories that these days brought fixes of."""
    return sorted({name for subject, found in days.items() for day in found for name in held[subject].dated[day]})


def _some(names: Sequence[str], shown: int = 5) -> str:
    more = len(names) - shown
    return ", ".join(names[:shown]) + (f" and {more} more" if more > 0 else "")


def judge_image(
    root: ScannedRoot, image: ScannedRoot | None, inside: Mapping[Subject, OpenFixes], today: date
) -> tuple[StaleVerdict, tuple[Subject, ...]]:
    """Return whether a root's image was built before a fix of what is open in it, and what waits for that.

    ``image`` is the one in storage that a container was started from, where the scan has seen it.
    """
    created = built_on(root, image)
    proofs = root.evidence if root.created is not None or image is None else image.evidence
    dated = {subject: [day for day in own.dated if day <= today] for subject, own in inside.items()}
    has = None if created is None else f"an image of {created.isoformat()}"
    if created is None:
        concerned = tuple(sorted(subject for subject, days in dated.items() if days))
        if not concerned:
            return StaleVerdict(StalenessState.CURRENT), ()
        reason = "nothing tells when its image was built: only images in storage do, with `--images`"
        return StaleVerdict(StalenessState.UNKNOWN, evidence=(*proofs, _absent(reason))), concerned
    late = {subject: [day for day in days if day > created] for subject, days in dated.items()}
    missed = {subject: days for subject, days in late.items() if days}
    if missed:
        days = sorted({day for found in missed.values() for day in found})
        names = _fixed_by(missed, inside)
        words = f"built on {created.isoformat()}; since then there have been fixes of what is open in it, from "
        words += f"{days[0].isoformat()} to {days[-1].isoformat()}: {_some(names)}"
        evidence = (*proofs, Evidence("staleness", EvidenceKind.ADVISORY, "", words))
        newest = f"an image built after {days[-1].isoformat()}"
        return StaleVerdict(StalenessState.STALE, has, newest, days[0], _image_remedy(root), evidence), tuple(
            sorted(missed)
        )
    undated = tuple(sorted(subject for subject, own in inside.items() if own.undated))
    if undated:
        names = sorted({name for own in inside.values() for name in own.undated})
        reason = f"no day is known since which there have been fixes of what is open in it: {_some(names)}"
        return StaleVerdict(StalenessState.UNKNOWN, has, evidence=(*proofs, _absent(reason))), undated
    return StaleVerdict(StalenessState.CURRENT, has, evidence=proofs), tuple(sorted(inside))


def _image_remedy(root: ScannedRoot) -> str:
    image = (root.container and root.container.image) or next(iter(root.tags), root.name)
    step = f"pull or rebuild the image {image}"
    return f"{step}, then start its containers again from it" if root.kind is RootKind.CONTAINER else step
