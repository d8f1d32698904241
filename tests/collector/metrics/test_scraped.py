"""What a real Prometheus makes of pages with the worst names that there are, from collectors that share a fleet."""

from __future__ import annotations

import urllib.request
from typing import TYPE_CHECKING

import pytest

from libcensus.collector.app import Collector
from libcensus.collector.config import CollectorSettings
from libcensus.collector.metrics.shard import Shard
from libcensus.facts.vocabulary import InstallKind
from tests.collector.metrics import fleet
from tests.collector.metrics.test_exporter import Meddled
from tests.prometheus.monitoring import Monitoring, free_address, scraping, wait_for

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.slow

NAMES = ('quote"d', "back\\slash", "new\nline", "\\n", '\\"', "höst-主机-🖥", "with space", "{}=,", "a" * 255)
PATHS = ('/srv/"a"/bin/python', "/srv/a\nb/bin/python", "/srv/a\\/bin/python", "/srv/ünï/bin/python")


def odd_machine(name: str) -> fleet.Machine:
    environments = tuple(
        fleet.install(path, fleet.PBS_312, fleet.STATIC, kind=InstallKind.VENV, base="/opt/py") for path in PATHS
    )
    return fleet.Machine(name, installs=(*fleet.Machine("").installs, *environments))


def refused_samples(prometheus: str) -> dict[str, float]:
    """Return how many samples Prometheus refused to take, by the counter that says so."""
    with urllib.request.urlopen(f"http://{prometheus}/metrics") as answer:
        lines = answer.read().decode().splitlines()
    words = ("duplicate_timestamp", "out_of_order", "out_of_bounds", "exceeded_sample_limit", "exceeded_bucket_limit")
    return {
        name: float(value)
        for name, _, value in (line.partition(" ") for line in lines)
        if name.startswith("prometheus_target_scrapes_") and any(word in name for word in words)
    }


def test_prometheus_takes_every_name_as_it_is_and_no_host_twice(tmp_path: Path) -> None:
    config = {
        "global": {"scrape_interval": "1s"},
        "scrape_configs": [{"job_name": "libcensus", "static_configs": [{"targets": []}]}],
    }
    collectors: list[Collector] = []
    with Meddled.open(f"sqlite:///{tmp_path / 'census.db'}") as store:
        assert isinstance(store, Meddled)
        for name in NAMES:
            fleet.report(store, odd_machine(name))
        # Two machines that call themselves alike.
        for host_id in ("1" * 32, "2" * 32):
            fleet.report(store, fleet.Machine("twin"), host_id)
        try:
            for number in (1, 2):
                settings = CollectorSettings(
                    listen="127.0.0.1:0",
                    http_listen="127.0.0.1:0",
                    shard=Shard(number, 2),
                    pki_dir=str(tmp_path / "no-pki"),
                    audit_log=str(tmp_path / f"{number}.jsonl"),
                )
                collectors.append(Collector(settings, store).start())
            targets = config["scrape_configs"][0]["static_configs"][0]["targets"]  # type: ignore[index]
            targets += [one.http_address for one in collectors]
            address = free_address()
            with scraping(tmp_path, config, address):
                look = Monitoring(address, "")
                total = len(NAMES) + 2
                wait_for("a scrape of both", lambda: look.query("sum(up) == 2") and look.query("libcensus_host_info"))
                wait_for("all hosts", lambda: look.query(f"count(libcensus_host_info) == {total}"))
                hosts = look.query("count by (host) (libcensus_host_info)")
                twins = {name for (name,) in hosts if name.startswith("twin")}
                assert {name for (name,) in hosts} - twins == set(NAMES)
                assert "twin" in twins
                assert len(twins) == 2
                assert set(hosts.values()) == {1.0}
                # Every family of a host joins with it, whatever it is called.
                assert look.query("count(libcensus_host_findings * on (host) group_left () libcensus_host_info) > 0")
                paths = look.query('count by (path) (libcensus_install_info{path=~"(?s)/srv/.*"})')
                assert paths == {(path,): float(len(NAMES)) for path in PATHS}
                assert look.query("sum(max without (instance) (libcensus_hosts))") == {(): float(total)}
                assert look.query("sum(libcensus_collector_shard_hosts)") == {(): float(total)}
                assert look.query("max by (shards) (libcensus_collector_shard_info)") == {("2",): 1.0}
                store.hidden.add(fleet.host_id_of("new\nline"))
                gone = 'libcensus_host_info{host="new\\nline"} or libcensus_install_info{host="new\\nline"}'
                wait_for("the end of a host", lambda: not look.query(gone))
                assert look.query("count(libcensus_host_info)") == {(): float(total - 1)}
                refused = refused_samples(address)
                assert len(refused) > 2
                assert set(refused.values()) == {0.0}
        finally:
            for collector in collectors:
                collector.stop()
