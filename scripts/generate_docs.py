"""Writes pages of docs/ (metrics, cli, scan-json, quirks) from the declarations in the code; ``--check`` only compares.

What is declared is documented and what is documented is declared: these files are whole products of this script, and a
test runs the comparison.
"""

from __future__ import annotations

import argparse
import difflib
import json
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from libcensus.agent.cli import agent
from libcensus.agent.document import scan_schema
from libcensus.cli.errors import EXIT_CODES
from libcensus.cli.help import plain_help
from libcensus.cli.main import libcensus
from libcensus.collector.advisories.snapshot import load_snapshot
from libcensus.collector.cli import cli as collector
from libcensus.collector.config import state_folder
from libcensus.collector.metrics.exporter import DEFAULT_LISTED_ADVISORIES, DEFAULT_SERIES_LIMIT
from libcensus.collector.metrics.families import FAMILIES, Family, Stability
from libcensus.collector.metrics.questions import QUESTIONS
from libcensus.collector.metrics.view import Detail
from libcensus.collector.posture.finding import Component, Severity, VexStatus
from libcensus.collector.posture.staleness import StalenessKind, StalenessState
from libcensus.collector.posture.verdict import PortabilityState, ReasonKind
from libcensus.collector.process_metrics import process_families
from libcensus.facts.vocabulary import (
    CryptoFamily,
    Implementation,
    Installer,
    InstallKind,
    LibcFamily,
    Linkage,
    Provider,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from enum import StrEnum

    from libcensus.collector.posture.quirks import QuirkRule, Span

DOCS = Path(__file__).resolve().parent.parent / "docs"
MARK = "<!-- Made by scripts/generate_docs.py from the code; `make docs` makes it anew. -->\n"

_METRICS_HEAD = f"""
# Metrics

The collector serves these families at `http://ADDRESS:PORT/metrics`, in Prometheus' text format 0.0.4 or in
OpenMetrics 1.0, whichever the scraper asks for, compressed when it accepts gzip. All of `libcensus_*` below except the
collector's own are present state: gauges, and two counters that agents keep. Times are Unix timestamps, never ages:
subtract them from `time()`. `_info` series are 1 and carry attributes; join them on `host`. The machine that a series
is about is always the label `host`, never `instance`.

`--metrics-detail fleet|host|install` chooses how much is exposed; each level holds the ones before it, and the default
is `install`. `libcensus_series` tells how many series each level has. Above `--series-limit` ({DEFAULT_SERIES_LIMIT:,})
the collector warns in its log; nothing is dropped.

`--metrics-advisories N|all` chooses how many advisories are labels of `libcensus_advisory_hosts` (the default is
{DEFAULT_LISTED_ADVISORIES}): those that affect a host come first, of these the most severe, of these those that affect
the most hosts. `libcensus_advisories` counts those that are listed and those that are not.

An attribute that could not be read has the value `unknown`; one that does not exist is empty. A zero is exported where
something was judged and nothing was found; what was not judged has no series. Names and labels are kept, unless a
family says that it is experimental.
"""

_SCAN_JSON_HEAD = """
# The JSON of a scan

`libcensus-agent scan --output json` and `libcensus scan --output json` print one JSON object. This page lists its keys;
[`scan.schema.json`](../agent/src/libcensus/agent/scan.schema.json) is the same as JSON Schema (draft 2020-12). A test
compares the two, both ways, and validates a real scan.

- Keys are in snake_case, enumerations in lower case, versions as the project itself writes them.
- What is not known is `null` (or the word `unknown`); it is never left out, and never guessed.
- Paths are absolute as seen inside their root. Bytes of names that are not UTF-8, and control characters, are written
  as `\\xNN`.
- New keys may be added. A key that is here stays and keeps its meaning, or `schema_version` rises.
- `libcensus scan` adds `findings`, `end_of_life`, `verdicts` and `quirks`: see
  [the JSON of verdicts](verdicts-json.md).
- `libcensus check --against FILE` reads the object back and judges artefacts on that host: see
  [portability](portability.md).

"""

_QUIRKS_HEAD = """
# Quirks

Known behaviours of a provider's builds that matter to who moves a program to them. `libcensus scan` and
`libcensus show` name those that a machine's installs have, with the source; `--explain` tells for each install what
they mean and what to do, and `--output json` has them as [`quirks[]`](verdicts-json.md).

Each is what the provider's own documentation says, and is recognised by facts alone: all conditions below must hold,
and a fact that is not known meets none. So a missing quirk does not prove that a build has none. Of a virtual
environment only what its base's build brings along is told. A quirk is no finding: it has no severity, and changes no
verdict.

The rows are data (`libcensus/collector/advisories/data/quirks.json`), checked when they are loaded.

"""

_CONDITIONS = (
    ("implementations", "implementation"),
    ("providers", "provider"),
    ("kinds", "kind"),
    ("installers", "installer"),
    ("unless_installers", "installer is not"),
    ("vendors", "vendor of the package"),
    ("loaders", "loader of"),
    ("flags", "flag"),
    ("any_flag", "flag"),
    ("needs", "the executable or a library needs"),
    ("lacks_module", "extension modules are files and one is absent:"),
)
"""The conditions of a rule and how a person reads them."""

_LEVELS = {
    Detail.FLEET: "About the fleet as a whole; their number follows the variety of the fleet, not its size.",
    Detail.HOST: "About each host.",
    Detail.INSTALL: "About each interpreter install.",
}

_WORDS: tuple[tuple[str, type[StrEnum], str], ...] = (
    ("`implementation`", Implementation, ""),
    ("`provider`", Provider, "who built the interpreter"),
    ("`installer`", Installer, "what put it there and would update it"),
    ("`kind`", InstallKind, ""),
    ("`family`", CryptoFamily, "empty where an install has no crypto library"),
    ("`linkage`", Linkage, "how the crypto library is reached"),
    ("`libc`", LibcFamily, ""),
    ("`component`", Component, "what an advisory or a date of support is about"),
    ("`severity`", Severity, "`unknown` where the advisory's source states none"),
    ("`status`", VexStatus, "the four states of VEX"),
    ("`verdict`", PortabilityState, ""),
    (
        "`reason` of `libcensus_build_hosts`",
        ReasonKind,
        "empty for `runs`; each host is counted under the first that applies, in this order",
    ),
    ("`reason` of what is stale", StalenessKind, "of processes `libcensus_host_outdated_processes` tells alone"),
    ("`state` of `libcensus_branch_installs`", StalenessState, ""),
)

_CLI_HEAD = """
# Commands

Three programs: `libcensus` is the operator's, `libcensus-agent` reads a host and reports it, `libcensus-collector`
receives, stores, judges and exposes. Results go to standard output, everything else to standard error. Off a terminal
output is plain text, one line per row, never wrapped or cut; `NO_COLOR` is honoured.

Where a value comes from: flag, then environment (`LIBCENSUS_…`), then TOML file, then default; `config show --origin`
says which one won.

## Exit codes

Of all commands alike:

| code | means |
|---|---|
"""


def _table(rows: Iterable[tuple[str, str, str, str]]) -> Iterator[str]:
    yield "| family | type | labels | says |\n|---|---|---|---|\n"
    for name, kind, labels, text in rows:
        yield f"| `{name}` | {kind} | {labels} | {_escaped(text)} |\n"


def _escaped(text: str) -> str:
    return text.replace("|", "\\|").replace("<", "&lt;")


def _labels(labels: Iterable[str]) -> str:
    return ", ".join(f"`{label}`" for label in labels) or "none"


def _remark(family: Family) -> str:
    return family.help if family.stability is Stability.STABLE else f"{family.help} ({family.stability})"


def metrics_page() -> str:
    """Return docs/metrics.md."""
    parts = [MARK, _METRICS_HEAD]
    for detail, about in _LEVELS.items():
        parts.append(f"\n## Level `{detail}`\n\n{about}\n\n")
        families = [family for family in FAMILIES if family.detail is detail]
        parts.extend(_table((family.name, family.kind, _labels(family.labels), _remark(family)) for family in families))
    parts.append("\n## The collector itself\n\nAt every level, beside the `process_*` families of its own process.\n\n")
    parts.extend(
        _table((family.name, family.type, _labels(family.labels), family.help) for family in process_families())
    )
    parts.append("\n## Words in labels\n\n| label | values |\n|---|---|\n")
    for label, words, remark in _WORDS:
        values = ", ".join(f"`{word.value}`" for word in words)
        parts.append(f"| {label} | {values}{f' ({remark})' if remark else ''} |\n")
    parts.append("\n## Questions\n\n| question | PromQL |\n|---|---|\n")
    parts.extend(f"| {question.text} | `{question.query}` |\n" for question in QUESTIONS)
    return "".join(parts)


def _commands(command: click.Command, context: click.Context) -> Iterator[tuple[click.Command, click.Context]]:
    yield command, context
    if isinstance(command, click.Group):
        for name in command.list_commands(context):
            found = command.get_command(context, name)
            if found is not None and not found.hidden:
                yield from _commands(found, click.Context(found, info_name=name, parent=context))


def cli_page() -> str:
    """Return docs/cli.md."""
    parts = [MARK, _CLI_HEAD, *(f"| {code} | {meaning} |\n" for code, meaning in EXIT_CODES)]
    # The default folder depends on who runs this script; the page tells a service's.
    own_state = str(state_folder(os.environ))
    for program in (libcensus, agent, collector):
        root = click.Context(program, info_name=program.name, **program.context_settings)
        for command, context in _commands(program, root):
            depth = "##" if command is program else "###"
            text = plain_help(command, context).replace(own_state, "/var/lib/libcensus")
            parts.append(f"\n{depth} {context.command_path}\n\n```text\n{text}\n```\n")
    return "".join(parts)


def _type(node: dict[str, Any]) -> str:
    if "const" in node:
        return f"`{json.dumps(node['const'])}`"
    if "enum" in node:
        return " ".join("null" if word is None else f"`{word}`" for word in node["enum"])
    kinds = node["type"]
    return kinds if isinstance(kinds, str) else " or ".join(kinds)


def _keys(schema: dict[str, Any], node: dict[str, Any], prefix: str = "") -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield every key below a node of the schema by its dotted name, in the schema's order."""
    for below, inner in ((prefix, node), (f"{prefix}[]", _resolved(schema, node.get("items", {})))):
        for name, child in inner.get("properties", {}).items():
            dotted = f"{below}.{name}" if below else name
            found = _resolved(schema, child)
            yield dotted, found
            yield from _keys(schema, found, dotted)


def _resolved(schema: dict[str, Any], node: dict[str, Any]) -> dict[str, Any]:
    if "$ref" not in node:
        return node
    target: dict[str, Any] = schema["$defs"][node["$ref"].rpartition("/")[2]]
    return target | {"description": node["description"]}


def _key_table(rows: Iterable[tuple[str, dict[str, Any]]]) -> Iterator[str]:
    yield "| key | type | meaning |\n|---|---|---|\n"
    for name, node in rows:
        yield f"| `{name}` | {_type(node)} | {node['description']} |\n"


def scan_json_page() -> str:
    """Return docs/scan-json.md."""
    schema = scan_schema()
    rows = list(_keys(schema, schema))
    parts = [MARK, _SCAN_JSON_HEAD, *_key_table(row for row in rows if "." not in row[0])]
    for name in schema["properties"]:
        below = [row for row in rows if row[0].startswith((f"{name}.", f"{name}[]."))]
        if below:
            parts += [f"\n## {name}\n\n", *_key_table(below)]
    return "".join(parts)


def _span(what: str, span: Span | None) -> Iterator[str]:
    if span is not None:
        since = "" if span.since is None else f" {span.since} and newer"
        before = "" if span.before is None else f" before {span.before}"
        yield f"{what}{since}{',' if since and before else ''}{before}"


def _conditions(rule: QuirkRule) -> Iterator[str]:
    """Yield a rule's conditions, each as a person reads it."""
    for name, words in _CONDITIONS:
        held = sorted(getattr(rule, name))
        if held:
            joint = " and " if name == "flags" else " or "
            yield f"{words} {joint.join(f'`{word}`' for word in held)}"
    yield from _span("version", rule.versions)
    yield from _span("build", rule.builds)


def quirks_page() -> str:
    """Return docs/quirks.md."""
    known = load_snapshot().quirks.quirks
    parts = [MARK, _QUIRKS_HEAD, "| quirk | says |\n|---|---|\n"]
    parts.extend(f"| [`{one.quirk.id}`](#{one.quirk.id}) | {_escaped(one.quirk.title)} |\n" for one in known)
    for one in known:
        quirk = one.quirk
        parts.append(f"\n## {quirk.id}\n\n**{_escaped(quirk.title)}.** {_escaped(quirk.means)}\n\n")
        parts.append(f"- What to do: {_escaped(quirk.advice)}\n- Recognised by: {'; '.join(_conditions(one.rule))}.\n")
        parts.append(f"- Source: <{quirk.source}>\n")
    return "".join(parts)


PAGES = {"scan-json.md": scan_json_page, "metrics.md": metrics_page, "cli.md": cli_page, "quirks.md": quirks_page}


def main() -> int:
    """Write the pages, or compare them; returns the exit code."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true", help="compare only; exit with 1 where a page differs")
    arguments = parser.parse_args()
    stale = 0
    for name, make in PAGES.items():
        path, text = DOCS / name, make()
        if arguments.check:
            present = path.read_text(encoding="utf-8") if path.is_file() else ""
            if present != text:
                stale += 1
                lines = difflib.unified_diff(
                    present.splitlines(), text.splitlines(), f"docs/{name}", "made from the code", "", "", 1, ""
                )
                print("\n".join(lines))
        else:
            DOCS.mkdir(exist_ok=True)
            path.write_text(text, encoding="utf-8")
    if stale:
        print("docs/ differs from the code; run `make docs`", file=sys.stderr)
    return 1 if stale else 0


if __name__ == "__main__":
    sys.exit(main())
