"""The chain of evidence from bytes to verdict and remedy, for one advisory at one path; no IO here.

It is read from the documented JSON of a scan with verdicts, which a collector's host and a file have alike.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from libcensus.cli.errors import ArgumentError
from libcensus.collector.posture.explanation import Explained, Held, Silence, explain_silence
from libcensus.collector.posture.finding import Component

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from libcensus.collector.posture.catalogue import Catalogue


LINKS = ("read", "package", "changelog", "distribution", "advisory", "fix")
"""The links of a chain, in their order: from bytes on the host to what was published."""


@dataclass(frozen=True, slots=True)
class Step:
    """One link of the chain: which question it answers, and what was read or published."""

    link: str
    kind: str | None
    file: str | None
    offset: int | None
    words: str


@dataclass(frozen=True, slots=True)
class Accepted:
    """The operator's statement that covers a finding."""

    statement: str
    document: str
    by: str
    status: str
    justification: str | None
    reason: str
    expires: str


@dataclass(frozen=True, slots=True)
class Explanation:
    """One advisory at one place.

    ``verdict`` is a VEX status, or why there is no finding; ``is_known`` tells whether something is known at all.
    """

    kind: str
    root: str
    path: str
    component: str | None
    advisory: str
    verdict: str
    severity: str | None
    is_known: bool
    words: str
    steps: tuple[Step, ...]
    fixed_in: str | None = None
    fix_available: str | None = None
    remedy: str | None = None
    processes: int | None = None
    reach: str | None = None
    accepted: Accepted | None = None


@dataclass(frozen=True, slots=True)
class _Place:
    """Something that was judged, with every path that leads to it."""

    kind: str
    root: str
    path: str
    paths: frozenset[str]
    realpaths: frozenset[str]
    held: tuple[Held, ...]
    facts: tuple[Mapping[str, Any], ...]
    libraries: frozenset[str]


def explain(
    document: Mapping[str, Any], path: str, advisory: str, catalogue: Catalogue, root: str | None = None
) -> tuple[list[Explanation], list[str]]:
    """Return the explanation of an advisory at every place that a path leads to, and other roots that have the path.

    Without ``root`` the one that was scanned comes first, and the others only where it has no such path. Raises
    ArgumentError where nothing that was judged has the path, with the paths that are alike.
    """
    places = list(_places(document))
    found = [one for one in places if path in one.paths]
    found = found or [one for one in places if path in one.realpaths]
    found = found or [one for one in places if path in one.libraries]
    roots = sorted({one.root for one in found})
    wanted = root if root is not None else document["root"] if document["root"] in roots else None
    chosen = [one for one in found if wanted in {None, one.root}]
    if not chosen:
        raise ArgumentError(_nothing_there(places, path, root, roots))
    told = []
    for one in chosen:
        about = {"kind": one.kind, "root": one.root, "path": one.path}
        findings = [item for item in document["findings"] if item["advisory"] == advisory and item["subject"] == about]
        told += [_of_finding(document, one, item) for item in findings] or [_of_silence(one, advisory, catalogue)]
    return told, [] if wanted is None or root is not None else [one for one in roots if one != wanted]


def _places(document: Mapping[str, Any]) -> Iterator[_Place]:
    """Yield everything on the host that is judged."""
    scanned = document["root"]

    def named(root: str) -> str:
        return scanned if root == "/" else root

    for install in document["installs"]:
        crypto = install["crypto"]
        held = [Held(_component(install["implementation"]), install["version"])]
        if crypto["linkage"] != "none":
            held.append(Held(_component(crypto.get("family")), crypto.get("version")))
        library = crypto.get("path")
        yield _Place(
            "install",
            named(install["root"]),
            install["path"],
            frozenset({install["path"], *install["aliases"]}),
            frozenset({install["realpath"]}),
            tuple(held),
            tuple(install["evidence"]),
            frozenset() if library is None else frozenset({library}),
        )
    for copy in document["crypto_copies"]:
        held = [Held(_component(copy["family"]), copy["version"])]
        own = frozenset({copy["path"]})
        yield _Place(
            "crypto_copy", named(copy["root"]), copy["path"], own, own, tuple(held), tuple(copy["evidence"]), own
        )
    libcs = [(scanned, document["host"]["libc"])]
    libcs += [
        (one["name"], one["libc"]) for one in document["roots"] if one["kind"] != "host" and one["name"] != scanned
    ]
    for root, libc in libcs:
        where = libc["path"] or "libc.so.6"
        if libc["family"] != "unknown":
            held = [Held(_component(libc["family"]), libc["version"])]
            yield _Place("libc", root, where, frozenset({where}), frozenset(), tuple(held), (), frozenset())


def _component(word: str | None) -> Component | None:
    try:
        return Component(word or "")
    except ValueError:
        return None


def _nothing_there(places: Sequence[_Place], path: str, root: str | None, roots: Sequence[str]) -> str:
    import difflib  # noqa: PLC0415 - only an error needs it

    if roots:
        return f"{path} is not in root {root}; the roots that have it: {', '.join(roots)}"
    known = sorted({one for found in places for one in (*found.paths, *found.realpaths, *found.libraries)})
    alike = difflib.get_close_matches(path, known, 3, 0.6) or [one for one in known if one.endswith(f"/{path}")][:3]
    hint = f"did you mean {' or '.join(alike)}?" if alike else "`libcensus show HOST` lists the paths"
    return f"{path} is no interpreter, crypto library or C library that was found on this host; {hint}"


def _of_finding(document: Mapping[str, Any], place: _Place, finding: Mapping[str, Any]) -> Explanation:
    steps = [_step(item) for item in finding["evidence"]]
    if all(step.link != "read" for step in steps):
        steps = [_step(item) for item in place.facts if item["subject"] in {"version", "provider"}] + steps
    steps += _changelogs(document, steps, finding["advisory"])
    steps = list(_in_order(steps))
    return Explanation(
        kind=place.kind,
        root=place.root,
        path=place.path,
        component=finding["component"],
        advisory=finding["advisory"],
        verdict=finding["status"],
        severity=finding["severity"],
        is_known=finding["status"] != "under_investigation",
        words=_why(finding, steps),
        steps=tuple(steps),
        fixed_in=finding["fixed_in"],
        fix_available=finding["fix_available"],
        remedy=finding["remedy"],
        processes=_processes(document, place),
        reach=finding.get("reach"),
        accepted=_accepted(finding.get("accepted")),
    )


def _accepted(told: Mapping[str, Any] | None) -> Accepted | None:
    """Return the statement of a finding; scans of older versions have none."""
    return None if told is None else Accepted(**{name: told[name] for name in Accepted.__slots__})


def _of_silence(place: _Place, advisory: str, catalogue: Catalogue) -> Explanation:
    told = explain_silence(advisory, place.held, catalogue)
    steps = [_step(item) for item in place.facts if _is_about(item["subject"], told)]
    return Explanation(
        kind=place.kind,
        root=place.root,
        path=place.path,
        component=None if told.component is None else told.component.value,
        advisory=advisory,
        verdict=told.silence.value,
        severity=None,
        is_known=told.silence.is_known,
        words=told.words,
        steps=_in_order(steps),
    )


def _is_about(subject: str, told: Explained) -> bool:
    """Tell whether a proof is about the component that an advisory is about; about anything, where that is not here."""
    is_crypto = subject.startswith(("crypto", "openssl"))
    if told.silence is Silence.UNKNOWN_ADVISORY:
        return False
    if told.silence is Silence.OTHER_COMPONENT:
        return is_crypto or subject == "version"
    return is_crypto if told.component is Component.OPENSSL else subject in {"version", "package"}


def _in_order(steps: Iterable[Step]) -> tuple[Step, ...]:
    return tuple(sorted(dict.fromkeys(steps), key=lambda step: LINKS.index(step.link)))


def _step(item: Mapping[str, Any]) -> Step:
    return Step(_link(item), item["kind"], item["file"] or None, item["offset"], item["detail"])


def _link(item: Mapping[str, Any]) -> str:
    """Return which link of the chain a proof is."""
    if item["kind"] == "package-record":
        return "package"
    if item["kind"] == "changelog":
        return "changelog"
    if item["kind"] == "release-table":
        return "fix"
    if item["subject"] == "finding":
        return "advisory"
    return "distribution" if item["subject"] == "fix" else "read"


def _changelogs(document: Mapping[str, Any], steps: Sequence[Step], advisory: str) -> list[Step]:
    """Return what is known of the changelogs of the packages that the chain names, where no step tells of one yet."""
    if any(step.link == "changelog" for step in steps):
        return []
    found = []
    for changelog in document["changelogs"]:
        package = changelog["package"]
        owner = f"owned by {package['name']} {package['version']} ("
        if any(step.link == "package" and step.words.startswith(owner) for step in steps):
            words = f"the changelog of {package['name']} {package['version']} is {changelog['state']}"
            if changelog["reason"]:
                words += f": {changelog['reason']}"
            elif changelog["fixes"]:
                named = sum(fix["advisory"] == advisory for fix in changelog["fixes"])
                words += f", and names {len(changelog['fixes'])} fixes{', this one too' if named else ', not this one'}"
            found.append(Step("changelog", "changelog", changelog["file"], None, words))
    return found


def _why(finding: Mapping[str, Any], steps: Sequence[Step]) -> str:
    """Return the last word of the chain: what the verdict rests on."""
    for link in ("changelog", "distribution", "advisory"):
        told = [step.words for step in steps if step.link == link]
        if told and (link != "changelog" or finding["status"] == "fixed"):
            return told[-1]
    return "no proof was kept"


def _processes(document: Mapping[str, Any], place: _Place) -> int | None:
    """Return how many processes run it now; None where nobody looked, or where it is nothing that runs."""
    if place.kind != "install" or not document["processes"]:
        return None
    return sum(
        int(group["processes"])
        for group in document["processes"]
        if group["root"] in {place.root, "/"} and (group["install"] or group["executable"]) == place.path
    )
