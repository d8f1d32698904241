"""From an inventory to a watched fleet and back to bare hosts: a real Ansible, real hosts, what is released.

One story: each test goes on where the one before it ended, and what a host says of itself is the measure of what
Prometheus shows.
"""

from __future__ import annotations

import functools
import json
import os
import re
import time
from typing import TYPE_CHECKING, Any

import pytest

from tests.deploy.cost import Cost, cost_of_a_report
from tests.deploy.deployment import AGENT, SERVICE, Deployment
from tests.deploy.hosts import BOOKWORM, BULLSEYE, COLLECTOR, FORKY, FROM_WHEELS, HOSTS, TRIXIE, package_of
from tests.deploy.measurements import Figures, write_page
from tests.deploy.observer import VISIBLE_SECONDS
from tests.deploy.patience import wait_for

if TYPE_CHECKING:
    from pathlib import Path

    from tests.deploy.control import Host
    from tests.deploy.hosts import HostPlan
    from tests.deploy.play import Outcome

pytestmark = [pytest.mark.root, pytest.mark.timeout(2400)]

RULES = "etc/prometheus/libcensus"
_LAST_REPORT = "libcensus_host_last_report_timestamp_seconds"
_PAGE = (
    'python3 -c "from urllib.request import urlopen; '
    "print(urlopen('http://127.0.0.1:9445/metrics', timeout=60).read().decode())\""
)
_PYTHON_SAYS = "import platform, ssl; print(platform.python_version(), ssl.OPENSSL_VERSION.split()[1])"
_PERL_SAYS = 'use Net::SSLeay; printf "%vd %s", $^V, (split / /, Net::SSLeay::SSLeay_version(0))[1]'


def _installs_of(host: Host) -> dict[str, dict[str, str]]:
    """Return what a host says of its interpreters, as Prometheus should show it."""
    plan = host.machine.plan
    expected = {}
    version, openssl = host.run(f"perl -e {_quoted(_PERL_SAYS)}").split()
    expected["/usr/bin/perl"] = {"implementation": "perl", "version": version, "crypto_version": openssl}
    if plan.has_python:
        version, openssl = host.run(f"python3 -c {_quoted(_PYTHON_SAYS)}").split()
        path = host.run("readlink -f /usr/bin/python3").strip()
        package = host.run("dpkg-query -S '*/libssl.so.3' | head -n 1 | cut -d : -f 1").strip()
        expected[path] = {
            "implementation": "cpython",
            "version": version,
            "crypto_version": openssl,
            "package": host.run(f"dpkg-query -W -f '${{Package}} ${{Version}}' {package}"),
            "linkage": "system",
            "provider": "distro",
            "installer": "dpkg",
        }
    if "nodejs" in plan.packages:
        version, openssl = host.run("node -p 'process.versions.node + \" \" + process.versions.openssl'").split()
        expected["/usr/bin/node"] = {"implementation": "nodejs", "version": version, "crypto_version": openssl}
    return expected


def _quoted(text: str) -> str:
    return "'" + text.replace("'", "'\\''") + "'"


def test_one_run_brings_every_host_into_prometheus(deployed: Deployment) -> None:
    assert set(deployed.first.recap) == {plan.name for plan in HOSTS}
    for name, numbers in deployed.first.recap.items():
        assert numbers["failures"] == numbers["unreachable"] == 0
        assert numbers["changed"] > 0, name
    version = deployed.control.artefacts.version
    assert {one["agent_version"] for one in deployed.observer.hosts().values()} == {version}


@pytest.fixture(scope="module")
def second(deployed: Deployment) -> Outcome:
    """The same play once more."""
    return deployed.control.play("site").must_succeed()


def test_a_second_run_changes_nothing(second: Outcome) -> None:
    assert second.changed() == {}
    assert {name: numbers["changed"] for name, numbers in second.recap.items()} == {plan.name: 0 for plan in HOSTS}


def test_prometheus_shows_what_the_hosts_say_of_themselves(deployed: Deployment) -> None:
    known = deployed.observer.hosts()
    for name, host in deployed.fleet.hosts.items():
        assert known[name]["libc"] == "glibc"
        assert known[name]["libc_version"] == host.run("ldd --version | head -n 1").split()[-1]
        assert known[name]["kernel"] == host.run("uname -r").strip()
        assert known[name]["arch"] == host.run("uname -m").strip()
        release = dict(
            line.replace('"', "").split("=", 1) for line in host.run("cat /etc/os-release").splitlines() if "=" in line
        )
        assert known[name]["os_id"] == release["ID"]
        deployed.observer.wait_for_installs(name, _installs_of(host))
        installs = deployed.observer.installs(name)
        pythons = {path for path, one in installs.items() if one["implementation"] == "cpython"}
        # No Python of the system's is shown where there is none; the agent's own is, as any other.
        assert any(path.startswith("/usr/") for path in pythons) == host.machine.plan.has_python
        own = f"/opt/libcensus-agent/{deployed.control.artefacts.version}/bin"
        assert f"{own}/{'python' if host.machine.plan is FROM_WHEELS else 'libcensus-agent'}" in pythons


def test_no_token_is_left_anywhere(deployed: Deployment) -> None:
    for path in deployed.control.folder.glob("*.log"):
        assert not re.search(r"lct1-[a-z0-9]+-[A-Za-z0-9]", path.read_text(encoding="utf-8")), path
    search = (
        "grep -rlE 'lct1-[a-z0-9]+-[A-Za-z0-9]' /tmp /var/tmp /root /home /etc /opt/libcensus-agent/.good 2>/dev/null"
    )
    for host in deployed.fleet.hosts.values():
        assert host.run(f"{search}; true") == ""
        assert not re.search("lct1-[a-z0-9]+-[A-Za-z0-9]", host.run("journalctl --no-pager -o cat"))


@pytest.fixture(scope="module")
def hurried(deployed: Deployment) -> Deployment:
    """The fleet with a Prometheus that looks every five seconds and waits for nothing.

    The role's own copy of rules and settings on the collector's host is changed; the next run of the collector's role
    would put them back.
    """
    root = deployed.fleet[COLLECTOR].machine.root
    settings = root / "etc/prometheus/prometheus.yml"
    _edit(settings, r"scrape_interval: 1m\b", "scrape_interval: 5s", r"scrape_timeout: 30s", "scrape_timeout: 5s")
    for path in (root / RULES).glob("*.yml"):
        text = path.read_text(encoding="utf-8")
        text = re.sub(r"^( +)for: .+$", r"\1for: 0s", text, flags=re.MULTILINE)
        path.write_text(re.sub(r"^    interval: .+\n", "", text, flags=re.MULTILINE), encoding="utf-8")
    _reload_prometheus(deployed)
    return deployed


def _edit(path: Path, *changes: str) -> None:
    text = path.read_text(encoding="utf-8")
    for pattern, new in zip(changes[::2], changes[1::2], strict=True):
        text, number = re.subn(pattern, new, text)
        assert number, f"{path} has no {pattern}"
    path.write_text(text, encoding="utf-8")


def _reload_prometheus(deployed: Deployment) -> None:
    host = deployed.fleet[COLLECTOR]
    host.run("promtool check config /etc/prometheus/prometheus.yml && systemctl reload prometheus")
    wait_for(
        "Prometheus has taken its settings",
        lambda: deployed.observer.query("prometheus_config_last_reload_successful == 1"),
        seconds=VISIBLE_SECONDS,
    )


@pytest.fixture(scope="module")
def upgraded(hurried: Deployment) -> Cost:
    """What a report costs after a package was downgraded and upgraded again; each was seen in Prometheus."""
    host = hurried.fleet[FORKY]
    newest = _installs_of(host)
    costs = []
    for plan in (TRIXIE, FORKY):
        package = package_of(plan, "libssl3t64", hurried.fleet.site.folder)
        target = host.machine.root / "root" / package.name
        target.write_bytes(package.read_bytes())
        host.run(f"dpkg --install --force-downgrade /root/{package.name} && rm /root/{package.name}")
        expected = _installs_of(host)
        assert (expected == newest) == (plan is FORKY)
        costs.append(cost_of_a_report(host))
        hurried.observer.wait_for_installs(FORKY.name, expected)
    # The second brought back what the collector knew already.
    return costs[0]


def test_a_downgrade_and_an_upgrade_of_a_package_show_up(upgraded: Cost) -> None:
    assert upgraded.sent > 0


def test_the_agent_costs_a_host_little(deployed: Deployment, second: Outcome, upgraded: Cost) -> None:
    fresh, unchanged, glibc = {}, {}, {}
    for name, host in deployed.fleet.hosts.items():
        host.run("rm -rf /var/lib/libcensus-agent/index*")
        fresh[name] = cost_of_a_report(host)
        unchanged[name] = cost_of_a_report(host)
        glibc[name] = host.run("ldd --version | head -n 1").split()[-1]
    write_page(
        Figures(
            processors=os.cpu_count() or 1,
            load=deployed.load,
            building=deployed.control.artefacts.seconds,
            first=deployed.first,
            seconds_to_visible=deployed.seconds_to_visible,
            second=second,
            fresh=fresh,
            unchanged=unchanged,
            upgrade=upgraded,
            glibc=glibc,
        )
    )
    budget = 64 * 2**20
    assert {name: cost.peak_memory for name, cost in (fresh | unchanged).items() if cost.peak_memory >= budget} == {}
    # The messages of an unchanged host have less than 1 KiB; the rest is TCP's, TLS's and certificates.
    assert {name: cost.sent for name, cost in unchanged.items() if cost.sent >= 16384} == {}


def test_nothing_is_lost_when_the_collector_is_killed(hurried: Deployment) -> None:
    collector = hurried.fleet[COLLECTOR]
    installs = {plan.name: hurried.observer.installs(plan.name) for plan in HOSTS}
    reported = hurried.last_reports()
    pid = collector.run(f"systemctl show --property=MainPID --value {SERVICE}").strip()
    collector.run(f"kill -KILL {pid}")

    def is_back() -> bool:
        now = collector.run(f"systemctl show --property=MainPID --value {SERVICE}").strip()
        return now not in {"0", pid} and collector.ask(f"systemctl is-active {SERVICE}").returncode == 0

    wait_for("the collector is back", is_back, seconds=300)
    # What it shows is what it had made durable; a timer of a host may have added to it since.
    page = wait_for("its page", lambda: collector.ask(_PAGE).stdout, seconds=VISIBLE_SECONDS, every=1)
    kept = dict(re.findall(rf'^{_LAST_REPORT}\{{host="([^"]+)"\}} (\S+)$', page, re.MULTILINE))
    assert kept.keys() == reported.keys()
    assert all(float(kept[name]) >= when for name, when in reported.items())
    for name, known in installs.items():
        wait_for(
            f"the installs of {name}",
            functools.partial(_shows, hurried, name, known),
            seconds=VISIBLE_SECONDS,
            every=1,
        )


def _shows(deployed: Deployment, host: str, installs: dict[str, dict[str, str]]) -> bool:
    return deployed.observer.installs(host) == installs


def test_what_is_reported_while_the_collector_is_away_arrives_later(hurried: Deployment) -> None:
    host, collector = hurried.fleet[BOOKWORM], hurried.fleet[COLLECTOR]
    collector.run(f"systemctl stop {SERVICE}")
    host.run("systemctl stop libcensus-agent.timer && python3 -m venv --without-pip /opt/meanwhile")
    assert host.ask(f"systemctl start {AGENT}", seconds=600).returncode != 0
    assert host.run(f"systemctl show --property=ExecMainStatus --value {AGENT}") == "4\n"
    assert _status(host)["state"] == "waiting"
    assert len(_status(host)["spool"]["waiting"]) == 1
    collector.run(f"systemctl start {SERVICE}")
    hurried.report(BOOKWORM.name)
    spool = _status(host)["spool"]
    assert (spool["waiting"], spool["dropped"]) == ([], 0)
    # The one that waited and the one of now.
    counted = r'^libcensus_collector_reports_total\{outcome="acknowledged"\} (\S+)$'
    acknowledged = re.search(counted, collector.run(_PAGE), re.MULTILINE)
    assert acknowledged is not None
    assert float(acknowledged[1]) >= 2
    hurried.observer.wait_for_installs(BOOKWORM.name, {"/opt/meanwhile/bin/python": {"kind": "venv"}})
    host.run("systemctl start libcensus-agent.timer && rm -r /opt/meanwhile")


def _status(host: Host) -> dict[str, Any]:
    said = host.ask("/opt/libcensus-agent/current/bin/libcensus-agent status --output json").stdout
    return dict(json.loads(said))


def test_a_host_that_goes_silent_reaches_alertmanager(hurried: Deployment) -> None:
    silent = hurried.fleet[BULLSEYE]
    others = [plan.name for plan in HOSTS if plan is not BULLSEYE]
    silent.power_off()
    try:
        begun = time.monotonic()
        for name in others:
            hurried.report(name)
        # The threshold of a day becomes a time that bullseye has been silent for already, and nobody else will be while
        # all others report again and again, each as seldom as this machine is slow.
        gap = 30 + 3 * (time.monotonic() - begun)

        def are_younger() -> bool:
            for name in others:
                hurried.report(name)
            return _gap(hurried, others) > gap

        wait_for("younger reports", are_younger, seconds=900, every=1)
        threshold = time.time() - hurried.last_reports()[BULLSEYE.name] - 1
        rules = hurried.fleet[COLLECTOR].machine.root / RULES / "libcensus-thresholds.yml"
        _edit(rules, r"(silent_after_seconds:threshold\n +expr:) .+", rf"\1 {threshold:.0f}")
        _reload_prometheus(hurried)

        def is_told() -> bool:
            for name in others:
                hurried.report(name)
            return _silent(hurried) == {BULLSEYE.name}

        wait_for("the alert for bullseye, and for nobody else", is_told, seconds=VISIBLE_SECONDS, every=1)
    finally:
        silent.machine.boot()
        silent.wait_until_booted()
    hurried.report(BULLSEYE.name)
    wait_for("no alert any more", lambda: BULLSEYE.name not in _silent(hurried), seconds=VISIBLE_SECONDS, every=1)


def _gap(deployed: Deployment, others: list[str]) -> float:
    last = deployed.last_reports()
    return min(last[name] for name in others) - last[BULLSEYE.name]


def _silent(deployed: Deployment) -> set[str]:
    return {one["host"] for one in deployed.observer.alerts() if one["alertname"] == "LibcensusHostSilent"}


def _versions(deployed: Deployment) -> dict[str, str]:
    return {name: one["agent_version"] for name, one in deployed.observer.hosts().items()}


def test_agents_are_upgraded_and_rolled_back(hurried: Deployment) -> None:
    artefacts = hurried.control.artefacts
    for version in (artefacts.next_version, artefacts.version):
        outcome = hurried.control.play(
            "upgrade", "--tags", "agent", libcensus_agent_version=version, libcensus_upgrade_waves=[1, "100%"]
        ).must_succeed()
        assert set(outcome.changed()) == {plan.name for plan in HOSTS}
        for host in hurried.fleet.hosts.values():
            told = host.run("/opt/libcensus-agent/current/bin/libcensus-agent version")
            assert told.startswith(f"libcensus-agent {version},")
        expected = dict.fromkeys((plan.name for plan in HOSTS), version)
        wait_for(
            f"version {version} on all hosts",
            functools.partial(_runs, hurried, expected),
            seconds=VISIBLE_SECONDS,
            every=1,
        )


def _runs(deployed: Deployment, versions: dict[str, str]) -> bool:
    return _versions(deployed) == versions


@pytest.mark.parametrize("plan", [BULLSEYE, FORKY], ids=lambda plan: plan.name)
def test_a_version_that_does_not_work_rolls_itself_back(hurried: Deployment, plan: HostPlan) -> None:
    artefacts = hurried.control.artefacts
    outcome = hurried.control.play(
        "upgrade", "--tags", "agent", "--limit", plan.name, libcensus_agent_version=artefacts.broken_version
    )
    message = outcome.must_fail_on(plan.name)
    assert f"release {artefacts.broken_version} did not start" in message
    assert f"rolled back to {artefacts.version}, which runs" in message
    host = hurried.fleet[plan]
    assert host.run("readlink /opt/libcensus-agent/current") == f"{artefacts.version}\n"
    hurried.report(plan.name)
    assert _status(host)["state"] == "ok"
