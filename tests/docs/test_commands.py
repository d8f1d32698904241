"""Every command and option of ours that a page names exists: in code blocks, in inline code, in tables of commands."""

from __future__ import annotations

import re
import shlex
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import click
import pytest

from libcensus.agent.cli import agent
from libcensus.cli.main import libcensus as operator
from libcensus.collector.cli import cli as collector

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).parents[2]
PROGRAMS: dict[str, click.Command] = {
    "libcensus": operator,
    "libcensus-agent": agent,
    "libcensus-collector": collector,
}
GENERATED = {"cli.md"}
"""Pages that are made from the commands themselves."""

PAGES = sorted(
    path
    for path in (
        ROOT / "README.md",
        ROOT / "SECURITY.md",
        *(ROOT / "docs").rglob("*.md"),
        *(ROOT / "prometheus").rglob("*.md"),
        *(ROOT / "ansible").rglob("*.md"),
    )
    if path.name not in GENERATED and "adr" not in path.parts
)

_FENCE = re.compile(r"^```[^\n]*\n(.*?)^```", re.MULTILINE | re.DOTALL)
_INLINE = re.compile(r"(?<!`)`([^`\n]+(?:\n[^`\n]+)?)`(?!`)")
_CALL = re.compile(r"(?<![\w./-])(?<!-[a-z] )(libcensus(?:-agent|-collector)?)(?= )")
_NO_CALLS = ("libcensus machine id v1",)
"""Texts that begin as a command does and are none."""
_WORD = re.compile(r"[a-z][a-z0-9-]*")
_OPTION = re.compile(r"-{1,2}[a-zA-Z][a-zA-Z0-9-]*")
_ENDS = {"|", "||", "&&", "&", ";", ">", ">>", "<", "2>", "#", "\\"}


@dataclass(frozen=True)
class Call:
    """One call that a page shows: the program and the words behind it."""

    program: str
    words: tuple[str, ...]

    def __str__(self) -> str:
        return " ".join((self.program, *self.words))


def snippets(text: str) -> Iterator[str]:
    """Yield the code of a page: each line of a block, continued ones joined, and each piece of inline code."""
    for block in _FENCE.findall(text):
        yield from block.replace("\\\n", " ").splitlines()
    for piece in _INLINE.findall(_FENCE.sub("", text)):
        yield " ".join(piece.split())


def calls(text: str) -> Iterator[Call]:
    for snippet in snippets(text):
        if snippet in _NO_CALLS:
            continue
        for found in _CALL.finditer(snippet):
            yield Call(found[1], tuple(words_of(snippet[found.end() :])))


def words_of(rest: str) -> Iterator[str]:
    """Yield the words of a call until something that is the shell's."""
    # What may be left out, and what stands for several, is written in brackets and with bars.
    plain = re.sub(r"[\[\]()…]", " ", rest.replace("\\|", " "))
    try:
        words = shlex.split(plain, comments=True)
    except ValueError:
        words = plain.split()
    for word in words:
        if word in _ENDS or word.startswith(("|", ">", "`")):
            return
        yield word.rstrip(",;:.")
        if word.endswith(";"):
            return


def problem_of(call: Call) -> str | None:
    """Return what is wrong with a call, as far as its words tell."""
    command, past_commands = PROGRAMS[call.program], False
    options = {name for parameter in command.params for name in parameter.opts + parameter.secondary_opts}
    options |= {"--help", "-h", "--version"}
    for word in call.words:
        if word.startswith("-") and word != "-":
            name = word.partition("=")[0]
            if _OPTION.fullmatch(name) and name not in options:
                return f"{call}: there is no option {name}"
        elif isinstance(command, click.Group) and not past_commands:
            if word in command.commands:
                command = command.commands[word]
                options |= {name for one in command.params for name in one.opts + one.secondary_opts}
            elif _WORD.fullmatch(word):
                return f"{call}: there is no command {word}"
            else:
                past_commands = True
    return None


@pytest.mark.parametrize("page", PAGES, ids=lambda path: str(path.relative_to(ROOT)))
def test_every_command_and_option_of_a_page_exists(page: Path) -> None:
    problems = [problem for call in calls(page.read_text()) if (problem := problem_of(call))]
    assert problems == []


def test_the_table_of_the_collectors_commands_is_what_there_is() -> None:
    text = (ROOT / "docs" / "collector-cli.md").read_text().split("## Commands")[1].split("\n## ")[0]
    rows = re.findall(r"^\| (`.*?`(?:, `.*?`)*) \|", text, re.MULTILINE)
    shown = [Call("libcensus-collector", tuple(words_of(one))) for row in rows for one in re.findall(r"`([^`]+)`", row)]
    # What stands behind a comma repeats only what differs: `ban HOST`, `unban`, `bans`.
    assert [problem for call in shown if (problem := problem_of(call))] == []
    named = {leaf(call) for call in shown}
    assert named == set(leaves(collector))


def leaf(call: Call) -> str:
    """Return the command that a call is of."""
    command, path = PROGRAMS[call.program], []
    for word in call.words:
        if isinstance(command, click.Group) and word in command.commands:
            command = command.commands[word]
            path.append(word)
    return " ".join(path)


def leaves(group: click.Command, before: str = "") -> Iterator[str]:
    if isinstance(group, click.Group):
        for name, command in group.commands.items():
            yield from leaves(command, f"{before} {name}".strip())
    else:
        yield before


@pytest.mark.parametrize("page", ["operations.md", "security-model.md"])
def test_every_option_that_stands_alone_is_one_of_ours(page: str) -> None:
    text = (ROOT / "docs" / page).read_text()
    ours = {
        name
        for program in PROGRAMS.values()
        for command in every(program)
        for one in command.params
        for name in one.opts
    }
    alone = {word.partition("=")[0] for piece in snippets(text) for word in piece.split()[:1] if word.startswith("--")}
    assert alone <= ours | {"--help"}


def every(command: click.Command) -> Iterator[click.Command]:
    yield command
    if isinstance(command, click.Group):
        for one in command.commands.values():
            yield from every(one)


def test_what_does_not_exist_is_noticed() -> None:
    """The check itself can fail."""
    block = "```\nlibcensus hosts --nothing | head\nlibcensus-agent scan --root /x\n```"
    text = f"`libcensus-collector ca rotat`, and:\n{block}"
    assert [problem_of(call) for call in calls(text)] == [
        "libcensus hosts --nothing: there is no option --nothing",
        None,
        "libcensus-collector ca rotat: there is no command rotat",
    ]
