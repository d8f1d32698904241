"""Where the collector's address comes from, and what is refused with its place."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from libcensus.cli.config import AdvisoriesFolder, CollectorAddress, find_advisories, find_collector
from libcensus.cli.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.cli.conftest import Outcome


def write(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    return path


def test_flag_then_environment_then_own_file_then_system_file_then_default(tmp_path: Path) -> None:
    own = write(tmp_path / "libcensus" / "config.toml", '[collector]\naddress = "own:1"\n')
    system = write(tmp_path / "operator.toml", '[collector]\naddress = "system:1"\n')
    environment = {"XDG_CONFIG_HOME": str(tmp_path), "LIBCENSUS_COLLECTOR_ADDRESS": "variable:1"}
    assert find_collector("flag:1", environment, system) == CollectorAddress("flag:1", "--collector")
    assert find_collector(None, environment, system) == CollectorAddress("variable:1", "LIBCENSUS_COLLECTOR_ADDRESS")
    del environment["LIBCENSUS_COLLECTOR_ADDRESS"]
    assert find_collector(None, environment, system) == CollectorAddress("own:1", str(own))
    own.unlink()
    assert find_collector(None, environment, system) == CollectorAddress("system:1", str(system))
    system.unlink()
    assert find_collector(None, environment, system) == CollectorAddress("127.0.0.1:9444", "default")


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("[collector", "is not TOML"),
        ("[colector]\n", "'colector' is not known; there are only [collector] and advisories_dir"),
        ("collector = 1\n", "collector must be a table"),
        (
            '[collector]\nadress = "x"\n',
            "collector.adress is not known; there are only collector.address, collector.enroll_address",
        ),
        ("[collector]\naddress = 9444\n", "collector.address must be a text such as '127.0.0.1:9444'"),
        ('[collector]\naddress = ""\n', "collector.address must be a text"),
        ('[collector]\nadvisories_dir = "/x"\n', "collector.key; write it above [collector]"),
    ],
    ids=["no-toml", "section", "no-table", "name", "number", "empty", "folder"],
)
def test_a_wrong_file_is_refused_with_its_path(tmp_path: Path, text: str, problem: str) -> None:
    path = write(tmp_path / "operator.toml", text)
    with pytest.raises(ConfigurationError) as caught:
        find_collector(None, {"HOME": str(tmp_path / "nobody")}, path)
    assert str(caught.value).startswith(str(path))
    assert problem in str(caught.value)


def test_a_file_that_is_a_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="cannot be read: Is a directory"):
        find_collector(None, {}, tmp_path)


def test_config_show_tells_value_and_origin(run: Callable[..., Outcome], monkeypatch: pytest.MonkeyPatch) -> None:
    assert [line.split() for line in run("config", "show").out.splitlines()[1:]] == [
        ["collector.address", "127.0.0.1:9444"],
        ["collector.identity", "-"],
        ["advisories_dir", "-"],
    ]
    monkeypatch.setenv("LIBCENSUS_COLLECTOR_ADDRESS", "[::1]:1")
    told = json.loads(run("config", "show", "--origin", "--output", "json", "--advisories-dir", "/srv/feeds").out)
    assert told == {
        "collector.address": {"value": "[::1]:1", "origin": "LIBCENSUS_COLLECTOR_ADDRESS"},
        "collector.identity": {"value": None, "origin": "default"},
        "advisories_dir": {"value": "/srv/feeds", "origin": "--advisories-dir"},
    }


def test_the_folder_of_feeds_comes_from_flag_environment_own_file_and_system_file(tmp_path: Path) -> None:
    own = write(tmp_path / "libcensus" / "config.toml", 'advisories_dir = "/own"\n')
    system = write(tmp_path / "operator.toml", 'advisories_dir = "/system"\n[collector]\naddress = 9444\n')
    environment = {"XDG_CONFIG_HOME": str(tmp_path), "LIBCENSUS_ADVISORIES_DIR": "/variable"}
    assert find_advisories("/flag", environment, system) == AdvisoriesFolder("/flag", "--advisories-dir")
    found = find_advisories(None, environment, system)
    assert found == AdvisoriesFolder("/variable", "LIBCENSUS_ADVISORIES_DIR")
    assert str(found) == "/variable (LIBCENSUS_ADVISORIES_DIR)"
    del environment["LIBCENSUS_ADVISORIES_DIR"]
    assert find_advisories(None, environment, system) == AdvisoriesFolder("/own", str(own))
    own.write_text("", encoding="utf-8")
    # What a file says wrongly of a collector does not concern who judges here.
    assert find_advisories(None, environment, system) == AdvisoriesFolder("/system", str(system))
    system.unlink()
    assert find_advisories(None, environment, system) is None
    own.write_text("advisories_dir = 1\n", encoding="utf-8")
    with pytest.raises(ConfigurationError, match="advisories_dir must be a text, the path of a folder"):
        find_advisories(None, environment, system)
