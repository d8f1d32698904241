"""What the roles write on hosts is right: units by systemd's own judgement, settings by the commands that read them."""

from __future__ import annotations

import re
import subprocess
from typing import TYPE_CHECKING

import pytest

from libcensus.agent.config import load_config
from libcensus.collector.config import load_settings

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

AGENT = "libcensus_agent"
COLLECTOR = "libcensus_collector"
UNITS = ("libcensus-agent.service", "libcensus-agent.timer")
THRESHOLD = 21
"""Tenths: the agent's exposure is at most 2.1."""


def exposure(unit: Path) -> float:
    """Return what `systemd-analyze security` says of a unit file."""
    done = subprocess.run(
        ["systemd-analyze", "security", "--offline=true", f"--threshold={THRESHOLD}", "--no-pager", str(unit)],
        check=False,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    match = re.search(r"Overall exposure level for \S+: ([\d.]+)", done.stdout)
    assert match is not None, done.stdout
    return float(match[1])


def verify(*units: Path) -> None:
    """Let systemd read units; commands that are not installed here are replaced by one that is."""
    for unit in units:
        text = unit.read_text(encoding="utf-8")
        unit.write_text(re.sub(r"^(Exec\w+=)\S+", r"\1/bin/true", text, flags=re.MULTILINE), encoding="utf-8")
    done = subprocess.run(
        ["systemd-analyze", "verify", "--man=no", *map(str, units)], check=False, capture_output=True, text=True
    )
    complaints = [line for line in done.stderr.splitlines() if "libcensus" in line]
    assert done.returncode == 0, done.stderr
    assert not complaints, done.stderr


@pytest.mark.parametrize("mode", ["timer", "resident"])
def test_the_agents_unit_is_confined_as_far_as_it_was_tried(mode: str, render: Callable[..., Path]) -> None:
    """At most 2.1, whether it is started by a timer or stays; and systemd finds nothing wrong with it."""
    folder = render(AGENT, *UNITS, libcensus_agent_mode=mode, libcensus_agent_collector_address="census.example")
    assert exposure(folder / UNITS[0]) <= THRESHOLD / 10
    verify(*(folder / name for name in UNITS))


def test_the_agent_may_do_one_thing_and_looks_into_processes_only_when_told(render: Callable[..., Path]) -> None:
    """CAP_DAC_READ_SEARCH alone, and CAP_SYS_PTRACE by a switch."""
    address = {"libcensus_agent_collector_address": "census.example"}
    text = (render(AGENT, UNITS[0], **address) / UNITS[0]).read_text(encoding="utf-8")
    assert "\nCapabilityBoundingSet=CAP_DAC_READ_SEARCH\n" in text
    assert "\nAmbientCapabilities=CAP_DAC_READ_SEARCH\n" in text
    folder = render(AGENT, UNITS[0], **address, libcensus_agent_see_processes=True)
    assert "\nCapabilityBoundingSet=CAP_DAC_READ_SEARCH CAP_SYS_PTRACE\n" in (folder / UNITS[0]).read_text(
        encoding="utf-8"
    )


def test_the_collectors_units_have_no_privileges(render: Callable[..., Path]) -> None:
    """The collector is at most 1.2 and its backup at most 1.1, as the README says; both are right for systemd."""
    names = ("libcensus-collector.service", "libcensus-collector-backup.service", "libcensus-collector-backup.timer")
    folder = render(COLLECTOR, *names, libcensus_collector_server_names=["census.example"])
    assert exposure(folder / names[0]) <= 1.2
    assert exposure(folder / names[1]) <= 1.1
    verify(*(folder / name for name in names))


@pytest.mark.parametrize("minutes", [5, 15, 60, 180, 1440])
def test_every_interval_is_one_that_a_calendar_can_say(minutes: int, render: Callable[..., Path]) -> None:
    """The timer's expression elapses as often as the interval says."""
    folder = render(
        AGENT, UNITS[1], libcensus_agent_interval_minutes=minutes, libcensus_agent_collector_address="census.example"
    )
    expression = re.search(r"OnCalendar=(.+)", (folder / UNITS[1]).read_text(encoding="utf-8"))
    assert expression is not None
    done = subprocess.run(
        ["systemd-analyze", "calendar", "--iterations=3", expression[1]],
        check=True,
        capture_output=True,
        text=True,
        env={"TZ": "UTC", "PATH": "/usr/bin:/bin", "LC_ALL": "C.UTF-8"},
    )
    times = re.findall(r"\b(\d\d):(\d\d):00 UTC", done.stdout)
    moments = [int(hour) * 60 + int(minute) for hour, minute in times]
    assert (moments[1] - moments[0]) % 1440 == minutes % 1440


def test_the_agent_takes_its_settings(render: Callable[..., Path]) -> None:
    """agent.toml holds what the agent knows, with further settings merged in."""
    folder = render(
        AGENT,
        "agent.toml",
        libcensus_agent_collector_address="2001:db8::7",
        libcensus_agent_mode="resident",
        libcensus_agent_interval_minutes=15,
        libcensus_agent_settings={"scan": {"exclude": ["/srv/x y"]}, "log": {"level": "info"}},
    )
    config = load_config({}, environment={}, file=folder / "agent.toml", user_id=0)
    assert config.collector.address == "[2001:db8::7]:9444"
    assert config.run.interval_seconds == 900.0
    assert config.scan.exclude == ("/srv/x y",)
    assert (config.log.level, config.log.format) == ("info", "journal")


def test_the_collector_takes_its_settings_and_they_hold_no_password(render: Callable[..., Path]) -> None:
    """collector.toml holds what the collector knows; the database's password is in no file that the templates make."""
    names = ("collector.toml", "libcensus-collector.service", "libcensus-collector.sh")
    folder = render(
        COLLECTOR,
        *names,
        libcensus_collector_server_names=["census.example", "192.0.2.7"],
        libcensus_collector_database="postgresql://census@db.example/census",
        libcensus_collector_database_password="not-to-be-seen",
        libcensus_collector_http_users={"prometheus": "$2b$10$x"},
        libcensus_collector_http_listen="0.0.0.0:9445",
        libcensus_collector_settings={"workers": 8},
    )
    settings = load_settings({}, {}, folder / "collector.toml").settings
    assert settings.server_names == ("census.example", "192.0.2.7")
    assert settings.workers == 8
    assert settings.web_config == "/etc/libcensus/web.config.yml"
    texts = [(folder / name).read_text(encoding="utf-8") for name in names]
    assert not any("not-to-be-seen" in text for text in texts)
    assert "LoadCredential=database-password:" in texts[1]


@pytest.mark.parametrize("init", ["systemd", "openrc"])
def test_the_scripts_are_right_for_every_shell(init: str, render: Callable[..., Path]) -> None:
    """A POSIX shell reads each of them, for both init systems."""
    names = ["activate.sh", "configure.sh", "install.sh", "uninstall.sh"]
    if init == "openrc":
        names += ["libcensus-agent.openrc", "libcensus-agent.periodic"]
    folder = render(
        AGENT,
        *names,
        look={"init": init, "systemd": "0" if init == "openrc" else "252", "os_id": "alpine"},
        libcensus_agent_collector_address="census.example",
    )
    for name in names:
        subprocess.run(["sh", "-n", str(folder / name)], check=True)
