"""The documentation of the command tells what the command is, both ways."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import click
import pytest

from libcensus.agent.cli import EXIT_INTERRUPTED, agent
from libcensus.agent.commands.options import EXIT_CODES
from libcensus.agent.commands.terminal import EXIT_BROKEN_PIPE
from libcensus.agent.config import list_settings, load_config

DOCS = Path(__file__).resolve().parents[2] / "docs"
PAGE = (DOCS / "agent-cli.md").read_text()
SETTINGS = {setting.name: setting for setting in list_settings({}, 0)}


def table_under(heading: str) -> list[list[str]]:
    """The rows of the first table after a heading."""
    body = PAGE.split(f"\n{heading}\n", 1)[1]
    rows = re.findall(r"^\|(.*)\|$", body.split("\n#", 1)[0], re.MULTILINE)
    return [[cell.strip() for cell in row.split(" | ")] for row in rows[2:]]


def commands(group: click.Group = agent, before: str = "") -> dict[str, click.Command]:
    found: dict[str, click.Command] = {}
    for name, command in group.commands.items():
        if isinstance(command, click.Group):
            found |= commands(command, f"{before}{name} ")
        else:
            found[f"{before}{name}"] = command
    return found


def test_every_setting_is_documented_with_its_default() -> None:
    documented = {row[0].strip("`"): row[1].strip("`") for row in table_under("## Configuration")}
    assert set(documented) == set(SETTINGS)
    for name, default in documented.items():
        if name != "state.folder":
            expected = {(): "none", None: "none"}.get(SETTINGS[name].default, str(SETTINGS[name].default))
            assert default == expected, name


def test_the_example_holds_every_setting_with_its_default(tmp_path: Path) -> None:
    # What enrollment remembers is commented out: whoever copies the example must not point an enrolled host elsewhere.
    text, count = re.subn(r"^#(?=\w+ = )", "", (DOCS / "agent.toml").read_text(), flags=re.MULTILINE)
    assert count == 2
    example = tomllib.loads(text)
    (tmp_path / "agent.toml").write_text(text)
    assert {f"{section}.{key}" for section, content in example.items() for key in content} == set(SETTINGS)
    config = load_config({}, environment={}, file=tmp_path / "agent.toml", user_id=0)
    assert {name: value.value for name, value in config.values.items()} == {
        name: setting.default for name, setting in SETTINGS.items()
    }


def test_every_command_is_documented_with_its_exit_codes() -> None:
    documented = {row[0].strip("`"): row[2] for row in table_under("## Commands")}
    assert set(documented) == set(commands())
    for name, codes in documented.items():
        epilog = commands()[name].epilog or ""
        told = re.findall(r"^  (\d+) +\S", epilog, re.MULTILINE)
        assert codes.split(", ") == told, name


def test_every_exit_code_is_documented() -> None:
    documented = {int(row[0]) for row in table_under("### Exit codes")}
    assert documented == {*EXIT_CODES, EXIT_INTERRUPTED, EXIT_BROKEN_PIPE}


@pytest.mark.parametrize("name", sorted(commands()))
def test_every_option_that_is_named_exists_and_every_option_has_help(name: str) -> None:
    for parameter in commands()[name].params:
        if isinstance(parameter, click.Option):
            assert parameter.help, parameter.name


def test_options_named_on_the_page_exist() -> None:
    named = set(re.findall(r"--[a-z][a-z-]+", PAGE))
    real = {
        option
        for command in (*commands().values(), agent)
        for one in command.params
        for option in (*one.opts, *one.secondary_opts)
    }
    assert named <= real | {"--help"}
