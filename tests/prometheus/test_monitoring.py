"""A real Prometheus over a real collector with a simulated fleet: the rules tell what the simulation knows to be true.

And a real Alertmanager gets the alerts, and keeps those about hosts quiet while the collector is down.
"""

from __future__ import annotations

import time
import urllib.request
from collections import Counter, defaultdict
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import pytest
import trustme

from libcensus.collector.app import Collector
from libcensus.collector.config import CollectorSettings
from libcensus.collector.store.sql import SqlStore
from tests.collector.simulation.conftest import simulated
from tests.collector.test_webconfig import hashed
from tests.prometheus.monitoring import Monitoring, free_address, monitoring, scraping, wait_for
from tests.prometheus.rulefiles import FOLDER, load

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from libcensus.collector.simulation.episodes import Episode
    from libcensus.collector.simulation.plan import HostPlan
    from libcensus.collector.simulation.truth import Truth

pytestmark = pytest.mark.slow

SEED, HOSTS, DAYS = 7, 150, 120
_DAY = 86400
_OVERDUE = {"critical": 7, "high": 30, "unknown": 90}

Answer = dict[tuple[str, ...], float]


@dataclass(frozen=True)
class Fleet:
    """A collector over a fleet, who looks at it, and what is true of it."""

    collector: Collector
    monitoring: Monitoring
    truth: Truth
    plans: tuple[HostPlan, ...]
    episodes: tuple[Episode, ...]

    def oldest_exposures(self) -> dict[tuple[str, str], float]:
        """Return since when anything on a host could have had a fix, by host and severity."""
        found: dict[tuple[str, str], float] = {}
        names = {plan.host_id: plan.name for plan in self.plans}
        for one in self.episodes:
            is_open = one.end is None and one.start is not None and one.start.timestamp() < time.time()
            if is_open and one.start is not None:
                key = names[one.host_id], one.severity
                found[key] = min(found.get(key, one.start.timestamp()), one.start.timestamp())
        return found

    def overdue_hosts(self, *severities: str) -> set[str]:
        """Return the hosts on which a fix of these severities waits for longer than the thresholds."""
        now = time.time()
        return {
            host
            for (host, severity), since in self.oldest_exposures().items()
            if severity in severities and now - since > _OVERDUE[severity] * _DAY
        }

    def silent_hosts(self) -> set[str]:
        """Return the hosts whose last report is older than a day, and not older than a month."""
        now = time.time()
        return {plan.name for plan in self.plans if _DAY < now - plan.reported_at.timestamp() <= 30 * _DAY}


def test_the_example_with_tls_and_a_password_scrapes_a_collector_that_wants_both(tmp_path: Path) -> None:
    authority = trustme.CA()
    certificate = authority.issue_cert("127.0.0.1")
    authority.cert_pem.write_to_path(tmp_path / "ca.pem")
    certificate.private_key_pem.write_to_path(tmp_path / "server.key")
    for pem in certificate.cert_chain_pems:
        pem.write_to_path(tmp_path / "server.crt", append=True)
    (tmp_path / "server.key").chmod(0o600)
    (tmp_path / "password").write_text("a password of the test\n", encoding="utf-8")
    (tmp_path / "web.config.yml").write_text(
        "tls_server_config: {cert_file: server.crt, key_file: server.key}\n"
        f"basic_auth_users: {{prometheus: '{hashed('a password of the test')}'}}\n",
        encoding="utf-8",
    )
    settings = CollectorSettings(
        listen="127.0.0.1:0",
        http_listen="127.0.0.1:0",
        database=f"sqlite:///{tmp_path / 'empty.db'}",
        web_config=str(tmp_path / "web.config.yml"),
    )
    config = load(FOLDER / "scrape" / "tls.yml")
    job = config["scrape_configs"][0]
    job["tls_config"]["ca_file"] = str(tmp_path / "ca.pem")
    job["basic_auth"]["password_file"] = str(tmp_path / "password")
    del config["rule_files"], config["alerting"], job["scrape_timeout"]
    config["global"] = {"scrape_interval": "1s"}
    collector = Collector(settings).start()
    try:
        job["static_configs"][0]["targets"] = [collector.http_address]
        address = free_address()
        with scraping(tmp_path, config, address):
            look = Monitoring(address, "")
            wait_for("a scrape", lambda: look.query("libcensus_collector_store_usable == 1"))
            wait_for("what the alerts ask", lambda: look.query('up{job=~".*libcensus.*"} == 1'))
    finally:
        collector.stop()


@pytest.fixture(scope="module")
def fleet(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Fleet]:
    # Prometheus has no other clock than the machine's: the fleet is of today.
    simulation = simulated(SEED, HOSTS, DAYS, datetime.now(UTC).date())
    folder = tmp_path_factory.mktemp("monitoring")
    address = f"sqlite:///{folder / 'fleet.db'}"
    with SqlStore.open(address) as store:
        truth = simulation.fill(store)
    settings = CollectorSettings(listen="127.0.0.1:0", http_listen="127.0.0.1:0", database=address)
    collector = Collector(settings, today=lambda: simulation.as_of).start()
    try:
        # The first page judges the whole fleet; Prometheus would give up waiting on a busy machine.
        with urllib.request.urlopen(f"http://{collector.http_address}/metrics", timeout=120) as page:
            page.read()
        with monitoring(folder, collector.http_address) as both:
            plans = tuple(states[-1] for states in simulation.states())
            yield Fleet(collector, both, truth, plans, tuple(simulation.episodes()))
    finally:
        collector.stop()


def test_every_rule_is_evaluated_without_error(fleet: Fleet) -> None:
    for group in fleet.monitoring.groups():
        for rule in group["rules"]:
            assert rule["health"] == "ok", (rule["name"], rule.get("lastError"))


def _totals(counter: Counter[tuple[str, ...]], *places: int) -> Answer:
    found: Counter[tuple[str, ...]] = Counter()
    for key, number in counter.items():
        # A label that is empty is one that Prometheus does not have.
        found[tuple(key[place] for place in places if key[place])] += number
    return {key: float(number) for key, number in found.items()}


def _hosts(fleet: Fleet) -> Answer:
    return {(): float(fleet.truth.hosts)}


def _libc_share(fleet: Fleet) -> Answer:
    return {key: number / fleet.truth.hosts for key, number in _totals(fleet.truth.systems, 3, 4).items()}


def _policy_share(fleet: Fleet) -> Answer:
    reach: Counter[tuple[str, ...]] = Counter(fleet.truth.wheel_policies())
    return {key: number / fleet.truth.hosts for key, number in _totals(reach, 0).items()}


def _affected(fleet: Fleet) -> Answer:
    assert fleet.truth.findings is not None
    # component, severity, status, provider
    affected = Counter({key: number for key, number in fleet.truth.findings.items() if key[2] == "affected"})
    return _totals(affected, 0, 1)


def _patched_within(days: int) -> Callable[[Fleet], Answer]:
    def told(fleet: Fleet) -> Answer:
        assert fleet.truth.past is not None
        measured: Counter[str] = Counter()
        patched: Counter[str] = Counter()
        for row in fleet.truth.past.as_object()["patch_latency"]:
            measured[row["provider"]] += row["measured"]
            patched[row["provider"]] += row["buckets"][str(days)]
        return {(name,): patched[name] / number for name, number in measured.items() if number}

    return told


def _exposed_hosts(fleet: Fleet) -> Answer:
    found: dict[tuple[str, ...], float] = defaultdict(float)
    now = time.time()
    for (_, severity), since in fleet.oldest_exposures().items():
        for days in (0, 7, 30, 90):
            found[f"{days}d", severity] += now - since > days * _DAY
    return dict(found)


def _base_gone(fleet: Fleet) -> Answer:
    hosts = {plan.name for plan in fleet.plans if any(one.state.value == "dangling" for one in plan.installs)}
    return {("environment_base_gone",): float(len(hosts))}


@pytest.mark.parametrize(
    ("expr", "truth"),
    [
        ("job:libcensus_hosts:sum", _hosts),
        ("job_libc_libc_version:libcensus_hosts:ratio", _libc_share),
        ("job_policy:libcensus_manylinux_hosts:ratio", _policy_share),
        (
            "job_implementation_version_provider_kind:libcensus_installs:max",
            # Labels come in the order of their names.
            lambda fleet: _totals(fleet.truth.installs, 0, 3, 2, 1),
        ),
        (
            "job_family_version_linkage:libcensus_crypto_installs:sum",
            lambda fleet: _totals(fleet.truth.crypto, 0, 2, 1),
        ),
        ("job_component_severity:libcensus_affected_findings:sum > 0", _affected),
        ("job_provider:libcensus_patched_within_7d:ratio", _patched_within(7)),
        ("job_provider:libcensus_patched_within_30d:ratio", _patched_within(30)),
        ("job_severity_older_than:libcensus_exposed_hosts:sum", _exposed_hosts),
        ('job_reason:libcensus_stale_hosts:count{reason="environment_base_gone"}', _base_gone),
        ("job:libcensus_silent_hosts:sum", lambda fleet: {(): float(len(fleet.silent_hosts()))}),
        (
            "job_probe:libcensus_failed_probe_hosts:sum > 0",
            lambda fleet: {("packages",): float(fleet.truth.hosts_with_failed_probes)},
        ),
        ("job:libcensus_host_outdated_processes:sum", lambda fleet: {(): float(fleet.truth.outdated_processes)}),
        (
            "job:libcensus_outdated_process_hosts:sum",
            lambda fleet: {(): float(fleet.truth.hosts_with_outdated_processes)},
        ),
    ],
    ids=lambda value: value.partition(" ")[0] if isinstance(value, str) else "",
)
def test_recorded_figures_are_what_the_simulation_knows(
    fleet: Fleet, expr: str, truth: Callable[[Fleet], Answer]
) -> None:
    told = fleet.monitoring.query(expr)
    assert told
    assert told == pytest.approx(truth(fleet))


def test_ended_hosts_are_those_whose_last_day_of_support_is_over(fleet: Fleet) -> None:
    # Of the series themselves, counted the plain way.
    ends = fleet.monitoring.query("libcensus_host_eol_timestamp_seconds")
    assert ends
    now = time.time()
    # branch, component, host, instance
    over = {(branch, component, host) for (branch, component, host, _), end in ends.items() if end + _DAY <= now}
    expected = Counter((branch, component) for branch, component, _ in over)
    assert fleet.monitoring.query("job_component_branch:libcensus_ended_hosts:sum > 0") == expected
    assert fleet.monitoring.query("job:libcensus_ended_hosts:sum") == {(): len({host for *_, host in over})}


def _named(fleet: Fleet, alert: str) -> set[str]:
    found = [one["labels"] for one in fleet.monitoring.alerts() if one["labels"]["alertname"] == alert]
    return {labels["host"] for labels in found}


def test_alertmanager_gets_an_alert_for_each_host_that_has_a_reason_and_for_no_other(fleet: Fleet) -> None:
    expected = {
        "LibcensusHostSilent": fleet.silent_hosts(),
        "LibcensusHostFixOverdue": fleet.overdue_hosts("critical", "high"),
        "LibcensusHostUnratedFixOverdue": fleet.overdue_hosts("unknown"),
        "LibcensusHostProcessesOutdated": {plan.name for plan in fleet.plans if plan.outdated_processes},
        "LibcensusHostProbesFailing": {plan.name for plan in fleet.plans if plan.has_failed_probe},
    }
    assert all(expected.values())
    wait_for(
        "each alert for its hosts",
        lambda: all(_named(fleet, alert) == hosts for alert, hosts in expected.items()),
    )


def test_what_is_well_wakes_nobody(fleet: Fleet) -> None:
    there = {one["labels"]["alertname"] for one in fleet.monitoring.alerts()}
    assert not there & {
        "LibcensusCollectorAbsent",
        "LibcensusCollectorDown",
        "LibcensusCollectorReplicaDown",
        "LibcensusStoreUnusable",
        "LibcensusCollectorOverloaded",
        "LibcensusCollectorInternalErrors",
        "LibcensusCertificateExpiring",
        "LibcensusEnrollmentsRefused",
        "LibcensusCallsRefused",
        "LibcensusAcceptedRisksBroken",
        "LibcensusHttpPasswordsGuessed",
        "LibcensusShardMissing",
        "LibcensusUnreadableHosts",
        "LibcensusManyHostsSilent",
        "LibcensusProbeFailingWidely",
        "LibcensusHostReportsDropped",
    }
    assert not any(one["labels"]["severity"] == "critical" for one in fleet.monitoring.alerts())


def test_a_host_without_a_rating_is_not_named_where_a_rated_advisory_names_it(fleet: Fleet) -> None:
    both = fleet.overdue_hosts("critical", "high") & fleet.overdue_hosts("unknown")
    assert both

    def muted() -> bool:
        found = {
            one["labels"]["host"]: one["status"]["state"]
            for one in fleet.monitoring.alerts()
            if one["labels"]["alertname"] == "LibcensusHostUnratedFixOverdue"
        }
        return bool(found) and all((state == "suppressed") == (host in both) for host, state in found.items())

    wait_for("unrated fixes are suppressed", muted)


def test_while_the_collector_is_down_nothing_is_said_of_its_hosts(fleet: Fleet) -> None:
    """Stands last: it stops the collector."""
    silent = fleet.silent_hosts()
    fleet.collector.stop()

    def quiet() -> bool:
        alerts = fleet.monitoring.alerts()
        down = {one["fingerprint"] for one in alerts if one["labels"]["alertname"] == "LibcensusCollectorDown"}
        hosts = [one for one in alerts if one["labels"]["alertname"] == "LibcensusHostSilent"]
        return (
            bool(down)
            and {one["labels"]["host"] for one in hosts} == silent
            and all(one["status"]["state"] == "suppressed" for one in hosts)
            and all(set(one["status"]["inhibitedBy"]) & down for one in hosts)
        )

    wait_for("a collector that is down inhibits its silent hosts", quiet)
