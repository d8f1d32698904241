"""Settings: which source wins, what is refused and how it is told."""

from __future__ import annotations

from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest

from libcensus.agent.config import AgentConfig, list_settings, load_config
from libcensus.agent.errors import ConfigurationError
from libcensus.agent.settings import ScanSettings

FLAG = {"collector.address": ("--collector", "127.0.0.1:3")}
ENVIRONMENT = {"LIBCENSUS_AGENT_COLLECTOR_ADDRESS": "127.0.0.1:2"}
FILE = '[collector]\naddress = "127.0.0.1:1"\n'


@pytest.fixture
def toml(tmp_path: Path) -> Path:
    path = tmp_path / "agent.toml"
    path.write_text(FILE)
    return path


@pytest.fixture(autouse=True)
def no_file_of_this_machine(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("libcensus.agent.config.DEFAULT_FILE", tmp_path / "absent.toml")


def load(
    text: str | None = None,
    *,
    flags: Any = None,
    environment: dict[str, str] | None = None,
    tmp_path: Path | None = None,
) -> AgentConfig:
    path = None
    if text is not None:
        assert tmp_path is not None
        path = tmp_path / "given.toml"
        path.write_text(text)
    return load_config(flags or {}, environment={"HOME": "/home/u", **(environment or {})}, file=path, user_id=0)


@pytest.mark.parametrize(
    ("has_flag", "has_environment", "has_file", "value", "origin", "place"),
    [
        (True, True, True, "127.0.0.1:3", "flag", "--collector"),
        (False, True, True, "127.0.0.1:2", "environment", "LIBCENSUS_AGENT_COLLECTOR_ADDRESS"),
        (False, False, True, "127.0.0.1:1", "file", "agent.toml"),
        (False, False, False, "127.0.0.1:9444", "default", ""),
    ],
    ids=["flag", "environment", "file", "default"],
)
def test_flag_goes_before_environment_before_file_before_default(
    toml: Path, has_flag: bool, has_environment: bool, has_file: bool, value: str, origin: str, place: str
) -> None:
    config = load_config(
        FLAG if has_flag else {},
        environment=ENVIRONMENT if has_environment else {},
        file=toml if has_file else None,
        user_id=0,
    )
    one = config.values["collector.address"]
    assert (one.value, one.origin) == (value, origin)
    assert one.place.endswith(place)
    assert config.collector.address == value


def test_the_file_can_be_named_by_the_environment(toml: Path) -> None:
    config = load_config({}, environment={"LIBCENSUS_AGENT_CONFIG": str(toml)}, user_id=0)
    assert config.collector.address == "127.0.0.1:1"


def test_the_file_at_its_default_place_is_read(toml: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("libcensus.agent.config.DEFAULT_FILE", toml)
    config = load()
    assert (config.collector.address, config.file) == ("127.0.0.1:1", toml)


def test_every_setting_can_be_set_in_the_file_and_in_the_environment(tmp_path: Path) -> None:
    text = """
[collector]
address = "[::1]:1"
timeout_seconds = 1
upload_timeout_seconds = 2.5
attempts = 2
max_message_bytes = 65536
[state]
folder = "/s"
max_reports = 3
max_bytes = 65536
[log]
level = "debug"
format = "json"
[scan]
exclude = ["/a", "/b"]
max_files = 10
max_seconds = "none"
"""
    from_file = load(text, tmp_path=tmp_path)
    environment = {
        one.setting.variable: ":".join(one.value) if isinstance(one.value, tuple) else str(one.value).lower()
        for one in from_file.values.values()
        if one.value not in ((), None)
    }
    environment["LIBCENSUS_AGENT_SCAN_MAX_SECONDS"] = "none"
    from_environment = load(environment=environment)
    assert {name: one.value for name, one in from_environment.values.items()} == {
        name: one.value for name, one in from_file.values.items()
    }
    assert from_file.scan == ScanSettings(exclude=("/a", "/b"), max_files=10)
    assert from_file.state.folder == Path("/s")
    assert (from_file.log.level, from_file.log.format) == ("debug", "json")
    assert from_file.collector.upload_timeout_seconds == 2.5


def test_every_field_of_the_scan_can_be_set() -> None:
    names = {setting.name for setting in list_settings({}, 0)}
    assert {f"scan.{field.name}" for field in fields(ScanSettings)} <= names
    assert load().scan == ScanSettings()


REFUSED_FILES = [
    ("[collector]\nadress = 'x'\n", "collector.adress is not a setting; did you mean collector.address?"),
    (
        "[collector]\nzzz = 1\n",
        "collector.zzz is not a setting; known are collector.address, collector.attempts, collector.ca, ",
    ),
    ("[collectors]\naddress = 'x'\n", "'collectors' is not known at the top level; expected [collector], [log]"),
    ("address = 'x'\n", "'address' is not known at the top level"),
    ("collector = 3\n", "'collector' is not known at the top level"),
    ("[collector\n", "is not TOML: "),
    ("[collector]\nattempts = 0\n", "collector.attempts is 0; it must be a whole number from 1 to 20"),
    ("[collector]\nattempts = true\n", "collector.attempts is True; it must be a whole number from 1 to 20"),
    ("[collector]\nattempts = 1.5\n", "collector.attempts is 1.5; it must be a whole number"),
    ("[collector]\ntimeout_seconds = 0\n", "collector.timeout_seconds is 0; it must be a number above 0"),
    ("[collector]\ntimeout_seconds = nan\n", "collector.timeout_seconds is nan; it must be a number above 0"),
    ("[collector]\naddress = ''\n", "collector.address is ''; it must be a text"),
    ("[collector]\naddress = 5\n", "collector.address is 5; it must be a text"),
    ("[state]\nfolder = 'here'\n", "state.folder is 'here'; it must be an absolute path"),
    ("[log]\nlevel = 'loud'\n", "log.level is 'loud'; it must be one of debug, info, warning, error"),
    ("[scan]\nexclude = '/a'\n", "scan.exclude is '/a'; it must be a list of texts"),
    ("[scan]\nexclude = [1]\n", "scan.exclude is [1]; it must be a list of texts"),
    ("[scan]\nmax_files = 'few'\n", "scan.max_files is 'few'; it must be a whole number from 0, or \"none\""),
    ("[scan]\nmax_depth = 'none'\n", "scan.max_depth is 'none'; it must be a whole number"),
]


@pytest.mark.parametrize(("text", "message"), REFUSED_FILES, ids=[message[:40] for _, message in REFUSED_FILES])
def test_a_wrong_file_is_refused_with_its_name_the_setting_and_what_is_allowed(
    text: str, message: str, tmp_path: Path
) -> None:
    with pytest.raises(ConfigurationError) as caught:
        load(text, tmp_path=tmp_path)
    assert "given.toml" in str(caught.value)
    assert message in str(caught.value)
    assert caught.value.exit_code == 3


@pytest.mark.parametrize(
    ("variable", "value", "allowed"),
    [
        ("LIBCENSUS_AGENT_COLLECTOR_ATTEMPTS", "many", "a whole number from 1 to 20"),
        ("LIBCENSUS_AGENT_COLLECTOR_ATTEMPTS", "0", "a whole number from 1 to 20"),
        ("LIBCENSUS_AGENT_COLLECTOR_TIMEOUT_SECONDS", "inf", "a number above 0, at most 3600"),
        ("LIBCENSUS_AGENT_LOG_FORMAT", "xml", "one of text, json, journal"),
        ("LIBCENSUS_AGENT_SCAN_MAX_FILES", "-1", 'a whole number from 0, or "none"'),
        ("LIBCENSUS_AGENT_STATE_FOLDER", "relative", "an absolute path"),
        ("LIBCENSUS_AGENT_COLLECTOR_ADDRESS", "", "a text"),
    ],
)
def test_a_wrong_variable_is_refused_by_its_name(variable: str, value: str, allowed: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        load(environment={variable: value})
    assert str(caught.value) == f"{variable} is {value!r}; it must be {allowed}"


def test_a_wrong_flag_is_refused_by_its_name() -> None:
    with pytest.raises(ConfigurationError, match=r"^--state-dir is 'x'; it must be an absolute path$"):
        load(flags={"state.folder": ("--state-dir", "x")})


def test_a_named_file_must_exist(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"none\.toml does not exist; give --config a file that does"):
        load_config({}, environment={}, file=tmp_path / "none.toml", user_id=0)


def test_a_folder_is_no_file(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="cannot be read: Is a directory"):
        load_config({}, environment={}, file=tmp_path, user_id=0)


def test_a_file_that_is_no_text_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "agent.toml"
    path.write_bytes(b"\xff\xfe")
    with pytest.raises(ConfigurationError, match="is not TOML"):
        load_config({}, environment={}, file=path, user_id=0)


@pytest.mark.parametrize(
    ("environment", "user_id", "folder"),
    [
        ({}, 0, "/var/lib/libcensus-agent"),
        ({"XDG_STATE_HOME": "/x"}, 0, "/var/lib/libcensus-agent"),
        ({"XDG_STATE_HOME": "/x", "HOME": "/home/u"}, 1000, "/x/libcensus-agent"),
        ({"HOME": "/home/u"}, 1000, "/home/u/.local/state/libcensus-agent"),
        ({"XDG_STATE_HOME": "relative", "HOME": "/home/u"}, 1000, "/home/u/.local/state/libcensus-agent"),
        ({"STATE_DIRECTORY": "/var/lib/private/libcensus-agent"}, 1000, "/var/lib/private/libcensus-agent"),
        ({"STATE_DIRECTORY": "/var/lib/a:/var/lib/b"}, 0, "/var/lib/a"),
    ],
    ids=["root", "root-ignores-xdg", "xdg", "home", "relative-xdg", "systemd", "systemd-two"],
)
def test_where_state_lies_by_default(environment: dict[str, str], user_id: int, folder: str) -> None:
    config = load_config({}, environment=environment, user_id=user_id)
    assert str(config.state.folder) == folder
