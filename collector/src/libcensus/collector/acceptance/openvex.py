"""Reads OpenVEX v0.2.0 documents into accepted risks: bytes in, statements out.

A document is taken whole or not at all: one statement that cannot be taken refuses all of it, because a document that
counts in part says something that nobody wrote. It is refused for what its JSON schema does not allow, and for what
would accept a risk without an end or without a reason:

- every statement ends: a line ``Expires: YYYY-MM-DD`` in ``status_notes``, which is free text in OpenVEX;
- the status is ``not_affected``, with a justification or an impact statement, or ``affected``, with an action
  statement; that something is fixed, or looked into, is told by the facts;
- products and subcomponents are named by the URNs of :mod:`~libcensus.collector.acceptance.naming`, and by nothing
  beside: a package URL that went unread would make a statement say more than was meant.

https://github.com/openvex/spec
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, date, datetime
from typing import TYPE_CHECKING, Any

from libcensus.collector.acceptance.naming import UnknownNameError, parse_product, parse_subcomponent
from libcensus.collector.advisories.feeds.reading import FeedFormatError, parse_json
from libcensus.collector.posture.acceptance import Scope, Statement
from libcensus.collector.posture.finding import VexStatus

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

CONTEXT = "https://openvex.dev/ns/v0.2.0"
"""What ``@context`` of a document of this version is."""

LARGEST = 1024**2
"""Bytes that a document may have."""

MOST_STATEMENTS = 5000
"""Statements that a document may have."""

MOST_SCOPES = 1000
"""Products and subcomponents that a statement may have."""

JUSTIFICATIONS = (
    "component_not_present",
    "vulnerable_code_not_present",
    "vulnerable_code_not_in_execute_path",
    "vulnerable_code_cannot_be_controlled_by_adversary",
    "inline_mitigations_already_exist",
)

_EXPIRES = re.compile(r"^[ \t]*expires[ \t]*:[ \t]*(?P<day>.*?)[ \t]*$", re.IGNORECASE | re.MULTILINE)
_EXPIRY_REMEDY = 'add a line such as "Expires: 2027-01-31" to status_notes: the last day on which the risk is accepted'
_DAY = re.compile(r"\d{4}-\d{2}-\d{2}")
_MOMENT = re.compile(r"\d{4}-\d{2}-\d{2}[Tt ]\d{2}:\d{2}:\d{2}(\.\d+)?([Zz]|[+-]\d{2}:\d{2})")
_IRI = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*:[^\s<>\"{}|\\^`]+")

_DOCUMENT_KEYS = frozenset(
    {"@context", "@id", "author", "role", "timestamp", "last_updated", "version", "tooling", "statements"}
)
_STATEMENT_KEYS = frozenset(
    {
        "@id",
        "version",
        "vulnerability",
        "timestamp",
        "last_updated",
        "products",
        "status",
        "supplier",
        "status_notes",
        "justification",
        "impact_statement",
        "action_statement",
        "action_statement_timestamp",
    }
)
_VULNERABILITY_KEYS = frozenset({"@id", "name", "description", "aliases"})
_COMPONENT_KEYS = frozenset({"@id", "identifiers", "hashes"})


class OpenVexError(ValueError):
    """A document that is not taken; ``problems`` are its mistakes, each with the place and what mends it."""

    def __init__(self, problems: tuple[str, ...]) -> None:
        super().__init__("; ".join(problems))
        self.problems = problems


@dataclass(frozen=True, slots=True)
class Document:
    """One document with its statements, in their order."""

    id: str
    author: str
    statements: tuple[Statement, ...]


class _ReadError(ValueError):
    """One mistake, with its place."""

    def __init__(self, place: str, problem: str) -> None:
        super().__init__(f"{place}: {problem}")


def read_document(content: bytes) -> Document:
    """Return the document of a file's content; raises OpenVexError with everything that is wrong with it."""
    if len(content) > LARGEST:
        raise OpenVexError(
            (f"has more than {LARGEST // 1024} KiB, which is the most that is read; split the document",)
        )
    try:
        frame, listed = _frame(_table(parse_json(content, "document"), "document", _DOCUMENT_KEYS))
    except (FeedFormatError, _ReadError) as error:
        raise OpenVexError((str(error),)) from None
    problems: list[str] = []
    statements: list[Statement] = []
    for number, value in enumerate(listed, start=1):
        place = f"statement {number}"
        try:
            statements.append(_statement(value, place, frame, number))
        except _ReadError as error:
            problems.append(str(error))
    problems += _repeated([_canonical(value) for value in listed], "statements")
    ids = [one.id for one in statements]
    problems += [f"statement @id {one!r} is there twice" for one in sorted({one for one in ids if ids.count(one) > 1})]
    if problems:
        raise OpenVexError(tuple(problems))
    return Document(frame.document, frame.author, tuple(statements))


@dataclass(frozen=True, slots=True)
class _Frame:
    """What a statement inherits of its document."""

    document: str
    author: str
    since: date


def _frame(table: Mapping[str, Any]) -> tuple[_Frame, list[Any]]:
    """Return what a document says of itself, and its statements as they stand there."""
    context = _text(table, "@context", "document")
    if context != CONTEXT:
        raise _ReadError("document: @context", f"is {context[:100]!r}; documents of {CONTEXT} are read")
    frame = _Frame(
        _iri(table, "@id", "document"), _text(table, "author", "document"), _moment(table, "timestamp", "document")
    )
    _number(table, "version", "document")
    _check_optional(table, "document", texts=("role", "tooling"), moments=("last_updated",))
    listed = _list(table.get("statements"), "document: statements", least=1)
    if len(listed) > MOST_STATEMENTS:
        raise _ReadError("document: statements", f"are {len(listed)}, more than {MOST_STATEMENTS}; split the document")
    return frame, listed


def _statement(value: object, place: str, frame: _Frame, number: int) -> Statement:
    item = _table(value, place, _STATEMENT_KEYS)
    advisories = _advisories(item.get("vulnerability"), f"{place}: vulnerability")
    place = f"{place} ({advisories[0]})"
    _check_optional(
        item,
        place,
        texts=("supplier", "status_notes", "impact_statement", "action_statement"),
        moments=("last_updated", "action_statement_timestamp"),
    )
    if "version" in item:
        _number(item, "version", place)
    status, justification, reason = _status(item, place)
    return Statement(
        id=_iri(item, "@id", place) if "@id" in item else f"{frame.document}#{number}",
        document=frame.document,
        author=frame.author,
        advisories=advisories,
        status=status,
        justification=justification,
        reason=reason,
        scopes=_scopes(item.get("products"), place),
        since=_moment(item, "timestamp", place) if "timestamp" in item else frame.since,
        expires=_expiry(item, place),
    )


def _advisories(value: object, place: str) -> tuple[str, ...]:
    item = _table(value, place, _VULNERABILITY_KEYS)
    if "@id" in item:
        _iri(item, "@id", place)
    _check_optional(item, place, texts=("description",))
    name = _text(item, "name", place)
    aliases = _list(item.get("aliases", []), f"{place}.aliases")
    for alias in aliases:
        if not isinstance(alias, str) or not alias.strip():
            raise _ReadError(f"{place}.aliases", f"{alias!r} is no text")
    _refuse_repeated(aliases, f"{place}.aliases")
    # Advisories are known by upper-case ids, and people write them as they like.
    return tuple(dict.fromkeys(one.strip().upper() for one in (name, *aliases)))


def _status(item: Mapping[str, Any], place: str) -> tuple[VexStatus, str | None, str]:
    status = _text(item, "status", place)
    justification = item.get("justification")
    if justification is not None and justification not in JUSTIFICATIONS:
        raise _ReadError(f"{place}: justification", f"{justification!r} is none of {', '.join(JUSTIFICATIONS)}")
    impact, action = item.get("impact_statement", "").strip(), item.get("action_statement", "").strip()
    if status == VexStatus.NOT_AFFECTED:
        if justification is None and not impact:
            raise _ReadError(
                place,
                f"says not_affected and not why; add a justification ({', '.join(JUSTIFICATIONS)}) or an "
                "impact_statement",
            )
        return VexStatus.NOT_AFFECTED, justification, impact
    if status == VexStatus.AFFECTED:
        if not action:
            raise _ReadError(place, "says affected and not what is done about it; add an action_statement")
        if justification is not None:
            raise _ReadError(f"{place}: justification", "is for not_affected; the status is affected")
        return VexStatus.AFFECTED, None, action
    if status in set(VexStatus):
        raise _ReadError(
            f"{place}: status",
            f"is {status}, which the facts of each host tell and nobody states; a risk is accepted with not_affected "
            "and a justification, or with affected and an action_statement",
        )
    raise _ReadError(f"{place}: status", f"{status[:80]!r} is none of {', '.join(VexStatus)}")


def _scopes(value: object, place: str) -> tuple[Scope, ...]:
    products = _list(value if value is not None else [], f"{place}: products")
    if not products:
        raise _ReadError(place, "names no products; urn:libcensus:fleet is the whole fleet")
    _refuse_repeated([_canonical(product) for product in products], f"{place}: products")
    found: dict[Scope, None] = {}
    for number, product in enumerate(products, start=1):
        where = f"{place}: product {number}"
        item = _table(product, where, _COMPONENT_KEYS | {"subcomponents"})
        scope = _named(item, where, parse_product)
        parts = _list(item.get("subcomponents", []), f"{where}: subcomponents")
        _refuse_repeated([_canonical(part) for part in parts], f"{where}: subcomponents")
        if parts and scope.places is not None:
            raise _ReadError(
                f"{where}: subcomponents",
                "are below a build, which has none; name hosts as the product and the build as a subcomponent",
            )
        for index, part in enumerate(parts, start=1):
            inner = f"{where}: subcomponent {index}"
            places = _named(_table(part, inner, _COMPONENT_KEYS), inner, parse_subcomponent)
            found[Scope(scope.hosts, places)] = None
        if not parts:
            found[scope] = None
        if len(found) > MOST_SCOPES:
            raise _ReadError(f"{place}: products", f"are more than {MOST_SCOPES}; name groups of hosts by label")
    return tuple(found)


def _named(item: Mapping[str, Any], place: str, parse: Callable[[str], Any]) -> Any:
    for key in ("identifiers", "hashes"):
        if key in item:
            raise _ReadError(f"{place}: {key}", "are not read; name what is meant by its @id alone")
    try:
        return parse(_text(item, "@id", place))
    except UnknownNameError as error:
        raise _ReadError(place, str(error)) from None


def _expiry(item: Mapping[str, Any], place: str) -> date:
    days = [match["day"] for match in _EXPIRES.finditer(item.get("status_notes", ""))]
    if not days:
        raise _ReadError(place, f"has no expiry; {_EXPIRY_REMEDY}")
    if len(days) > 1:
        raise _ReadError(place, f"has {len(days)} lines with an expiry in status_notes; leave one")
    try:
        if _DAY.fullmatch(days[0]) is None:
            raise ValueError  # noqa: TRY301 - other forms of ISO 8601 are told as what is no day
        return date.fromisoformat(days[0])
    except ValueError:
        raise _ReadError(place, f"expires on {days[0][:40]!r}, which is no day; {_EXPIRY_REMEDY}") from None


# --- what JSON's schema says ------------------------------------------------------------------------------------


def _table(value: object, place: str, allowed: frozenset[str]) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise _ReadError(place, "is missing" if value is None else "is no object")
    unknown = sorted(value.keys() - allowed)
    if unknown:
        raise _ReadError(place, f"{unknown[0]!r} is no key of OpenVEX here; allowed are {', '.join(sorted(allowed))}")
    return value


def _list(value: object, place: str, least: int = 0) -> list[Any]:
    if not isinstance(value, list):
        raise _ReadError(place, "is missing" if value is None else "is no list")
    if len(value) < least:
        raise _ReadError(place, "is empty")
    return value


def _text(item: Mapping[str, Any], key: str, place: str) -> str:
    value = item.get(key)
    if not isinstance(value, str) or not value.strip():
        raise _ReadError(f"{place}: {key}", "is missing" if value is None else "is no text that is not empty")
    return value.strip()


def _iri(item: Mapping[str, Any], key: str, place: str) -> str:
    text = _text(item, key, place)
    if _IRI.fullmatch(text) is None:
        raise _ReadError(f"{place}: {key}", f"{text[:100]!r} is no IRI, such as https://example.com/vex/2026-1")
    return text


def _number(item: Mapping[str, Any], key: str, place: str) -> None:
    value = item.get(key)
    if not isinstance(value, int) or isinstance(value, bool) or value < 1:
        raise _ReadError(f"{place}: {key}", "is missing" if value is None else "is no whole number from 1 up")


def _moment(item: Mapping[str, Any], key: str, place: str) -> date:
    """Return the day, in UTC, of a moment."""
    text = _text(item, key, place)
    try:
        if _MOMENT.fullmatch(text) is None:
            raise ValueError  # noqa: TRY301 - RFC 3339 is narrower than what Python reads
        return datetime.fromisoformat(text.upper()).astimezone(UTC).date()
    except (ValueError, OverflowError):
        raise _ReadError(f"{place}: {key}", f"{text[:40]!r} is no time in RFC 3339, 2026-07-01T09:00:00Z") from None


def _check_optional(
    item: Mapping[str, Any], place: str, *, texts: tuple[str, ...] = (), moments: tuple[str, ...] = ()
) -> None:
    for key in texts:
        if key in item and not isinstance(item[key], str):
            raise _ReadError(f"{place}: {key}", "is no text")
    for key in moments:
        if key in item:
            _moment(item, key, place)


def _canonical(value: object) -> str:
    return repr(sorted(value.items())) if isinstance(value, dict) else repr(value)


def _repeated(values: list[Any], place: str) -> Iterator[str]:
    if len(set(values)) != len(values):
        yield f"{place}: one is there twice"


def _refuse_repeated(values: list[Any], place: str) -> None:
    for _ in _repeated(values, place):
        raise _ReadError(place, "one is there twice")
