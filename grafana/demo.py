"""`make demo-grafana`: the dashboards over a simulated fleet with a past, in a Grafana that is already here.

Starts the collector, Prometheus with the rules, and Grafana with everything provisioned, on free ports of this machine,
and goes on reporting the simulated hosts over gRPC. Ctrl-C ends all of it and removes what it wrote.
"""

from __future__ import annotations

import argparse
import os
import shutil
import signal
import socket
import ssl
import subprocess
import sys
import tempfile
import threading
import time
import urllib.error
import urllib.request
from contextlib import ExitStack
from datetime import UTC, datetime, timedelta
from itertools import cycle
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml
from cryptography.hazmat.primitives.asymmetric import ec

from grafana.past import (
    LABELS,
    PastFleet,
    layers,
    moments,
    recorded,
    repeated,
    reports_of,
    write_blocks,
    write_recorded,
    write_speed,
)
from libcensus.agent.config import load_config
from libcensus.agent.credentials import Credentials
from libcensus.agent.errors import AgentError
from libcensus.agent.spool import HeldFacts
from libcensus.agent.transport import CollectorClient
from libcensus.collector.advisories.snapshot import load_snapshot
from libcensus.collector.pki.authority import Authority
from libcensus.collector.pki.identity import Identity, Role
from libcensus.collector.pki.keyfiles import key_pem
from libcensus.collector.pki.records import CertificateRecord
from libcensus.collector.simulation.fill import Simulation
from libcensus.collector.store.sql import SqlStore

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from libcensus.collector.simulation.facts import HostFacts

HERE = Path(__file__).resolve().parent
RULES = HERE.parent / "prometheus" / "rules"
EVERY = timedelta(hours=12)
"""How far the moments of the past are apart; Prometheus here looks back as far, so that lines have no holes."""

TRUST_DOMAIN = "libcensus"

NO_GRAFANA = """no Grafana was found: name one with GRAFANA=... (make demo-grafana GRAFANA=/opt/grafana)
  a folder of Grafana 9.4 or later (with bin/grafana or bin/grafana-server in it), or the program itself;
  a package's grafana-server on the PATH is found without;
  with a container instead: make demo-grafana GRAFANA=none, and run what it prints."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the demo until it is interrupted."""
    parser = argparse.ArgumentParser(prog="python -m grafana.demo", description=__doc__)
    parser.add_argument("--grafana", default="", help="a folder with bin/grafana, the program, or none")
    parser.add_argument("--hosts", type=int, default=300, help="how many hosts to simulate (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=1, help="which fleet (default: %(default)s)")
    parser.add_argument("--days", type=int, default=180, help="length of the hosts' past (default: %(default)s)")
    parser.add_argument("--history", type=int, default=7, help="days that Prometheus knows (default: %(default)s)")
    parser.add_argument("--port", type=int, default=0, help="port of Grafana (default: a free one)")
    parser.add_argument("--keep", metavar="FOLDER", help="keep everything in this folder")
    asked = parser.parse_args(arguments)
    grafana = None if asked.grafana == "none" else find_grafana(asked.grafana)
    for program in ("prometheus", "promtool"):
        if shutil.which(program) is None:
            raise SystemExit(f"{program} is not on the PATH; on Debian and Ubuntu install the package prometheus")
    if asked.keep and Path(asked.keep).is_dir() and any(Path(asked.keep).iterdir()):
        raise SystemExit(
            f"--keep {asked.keep}: there is something in it already, such as another demo; name a new folder"
        )
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    with ExitStack() as undo:
        folder = Path(asked.keep or undo.enter_context(tempfile.TemporaryDirectory(prefix="libcensus-grafana-")))
        folder.mkdir(parents=True, exist_ok=True)
        try:
            run(asked, grafana, folder, undo)
        except KeyboardInterrupt:
            print("\nending…")
    return 0


def run(asked: argparse.Namespace, grafana: tuple[Path, Path | None] | None, folder: Path, undo: ExitStack) -> None:
    """Start everything in a folder, say where to look, and wait."""
    now = datetime.now(UTC).replace(microsecond=0)
    print(f"simulating {asked.hosts} hosts with {asked.days} days of history…", flush=True)
    reports = reports_of(Simulation(load_snapshot(), asked.seed, asked.hosts, now.date(), days=asked.days))
    ports = free_ports(5)
    collector, metrics, prometheus = (f"127.0.0.1:{port}" for port in ports[:3])
    when = moments(now - timedelta(minutes=1), asked.history, EVERY)
    data = folder / "prometheus"
    labels = {"job": "libcensus", "instance": metrics}
    pages = PastFleet(folder / "fleet.db", reports).pages(when)
    for done in write_blocks(pages, labels, data, folder / "page.txt"):
        show(f"what Prometheus would have scraped: {done:%Y-%m-%d %H:%M}")
    rules = sorted(RULES.glob("*.yml"))
    start_prometheus(folder, data, prometheus, metrics, [], undo=(early := ExitStack()))
    with early:
        for number, layer in enumerate(recording := layers(recorded(rules)), 1):
            write_recorded(layer, when, f"http://{prometheus}", folder / "recorded", folder / "recorded.txt")
            show(f"what its rules would have recorded: {number} of {len(recording)}")
            if number < len(recording):
                # The next layer asks for what this one recorded.
                early.close()
                move_blocks(folder / "recorded", data)
                start_prometheus(folder, data, prometheus, metrics, [], undo=early)
    move_blocks(folder / "recorded", data)
    print()
    credentials = certified(folder, reports)
    write_speed(folder / "speeds" / "simulated.json", now)
    settings = {
        "listen": collector,
        "http-listen": metrics,
        "enroll-listen": f"127.0.0.1:{ports[4]}",
        "server-names": "127.0.0.1",
        "database": f"sqlite:///{folder / 'fleet.db'}",
        "metrics-labels": ",".join(LABELS),
        "advisories-dir": folder / "advisories",
        "vex-dir": folder / "vex",
        "speeds-dir": folder / "speeds",
        "pki-dir": folder / "pki",
        "audit-log": folder / "audit.jsonl",
    }
    serve = [str(Path(sys.executable).parent / "libcensus-collector"), "serve"]
    started([*serve, *(f"--{name}={value}" for name, value in settings.items())], folder / "collector.log", undo)
    wait_for(f"http://{metrics}/healthz", folder / "collector.log")
    start_prometheus(folder, data, prometheus, metrics, rules, undo=undo)
    ended = threading.Event()
    threading.Thread(target=go_on_reporting, args=(reports, collector, credentials, ended), daemon=True).start()
    # Before anything is ended: a collector that is gone is no error then.
    undo.callback(ended.set)
    provision(folder / "provisioning", f"http://{prometheus}")
    if grafana is None:
        where = "the address of your Grafana"
        print(container_words(folder, prometheus))
    else:
        port = asked.port or ports[3]
        start_grafana(grafana, folder, port, undo)
        where = f"http://127.0.0.1:{port}"
    print(f"collector:  http://{metrics}/metrics\nprometheus: http://{prometheus}")
    print(f"grafana:    {where}/d/libcensus-fleet (the links on top lead to the other five)")
    print("The collector's own lines begin now: look at its dashboard with the last 15 minutes (?from=now-15m).")
    print("Ctrl-C ends all of it.", flush=True)
    while True:
        time.sleep(3600)


def certified(folder: Path, reports: Sequence[HostFacts]) -> dict[str, Credentials]:
    """Make an authority and a certificate for each host, and let the collector's database know them.

    That is what enrollment does, without a token for each of some hundred hosts that do not exist.
    """
    now = datetime.now(UTC)
    authority = Authority.init(folder / "pki", TRUST_DOMAIN, now)
    found = {}
    with SqlStore.open(f"sqlite:///{folder / 'fleet.db'}") as store:
        for host_id in sorted({one.received.host_id for one in reports}):
            key = ec.generate_private_key(ec.SECP256R1())
            identity = Identity(TRUST_DOMAIN, Role.AGENT, host_id)
            issued = authority.issue(key.public_key(), identity, timedelta(days=7), now)
            store.put_certificate(
                CertificateRecord(
                    issued.serial, identity.subject, issued.key_sha256, issued.not_before, issued.not_after
                )
            )
            chain = b"".join(ssl.DER_cert_to_PEM_cert(one).encode() for one in issued.chain)
            found[host_id] = Credentials(authority.roots_pem, chain, key_pem(key), folder, folder)
    return found


def find_grafana(given: str) -> tuple[Path, Path | None]:
    """Return Grafana's program and its home folder (None where the package knows it)."""
    candidates: list[Path] = []
    if given:
        path = Path(given).expanduser().absolute()
        candidates = [path / "bin" / "grafana", path / "bin" / "grafana-server", path]
    else:
        found = shutil.which("grafana") or shutil.which("grafana-server")
        candidates = [Path(found)] if found else []
    for program in candidates:
        if program.is_file() and os.access(program, os.X_OK):
            homes = (program.resolve().parent.parent, Path("/usr/share/grafana"))
            return program, next((home for home in homes if (home / "conf" / "defaults.ini").is_file()), None)
    raise SystemExit(NO_GRAFANA if not given else f"{given}: no program of Grafana there\n{NO_GRAFANA}")


def free_ports(number: int) -> list[int]:
    """Return ports of this machine that nothing listens on."""
    with ExitStack() as undo:
        sockets = [undo.enter_context(socket.socket()) for _ in range(number)]
        for one in sockets:
            one.bind(("127.0.0.1", 0))
        return [int(one.getsockname()[1]) for one in sockets]


def started(
    command: Sequence[str], log: Path, undo: ExitStack, env: dict[str, str] | None = None, cwd: Path | None = None
) -> int:
    """Start a program whose output goes to a file, and which ends with the demo; returns the process' id."""
    with log.open("ab") as output:
        process = subprocess.Popen(
            command,
            stdout=output,
            stderr=subprocess.STDOUT,
            env={**os.environ, **(env or {})},
            cwd=cwd,
            start_new_session=True,
        )

    def end() -> None:
        process.terminate()
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()

    undo.callback(end)
    return process.pid


def wait_for(url: str, log: Path, seconds: float = 120) -> None:
    """Wait until an address answers; raises SystemExit with the end of the program's output where it does not."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        try:
            with urllib.request.urlopen(url, timeout=5):  # noqa: S310 - our own
                return
        except (OSError, urllib.error.URLError):
            time.sleep(0.2)
    told = log.read_text(encoding="utf-8", errors="replace")[-2000:] if log.is_file() else ""
    raise SystemExit(f"{url} does not answer; the program says:\n{told}")


def start_prometheus(
    folder: Path, data: Path, listen: str, target: str, rules: Sequence[Path], *, undo: ExitStack
) -> None:
    """Start Prometheus over these blocks; without rules it scrapes nothing either: it only answers."""
    config: dict[str, Any] = {"global": {"scrape_interval": "15s", "evaluation_interval": "15s"}}
    if rules:
        config["rule_files"] = [str(rule) for rule in rules]
        config["scrape_configs"] = [{"job_name": "libcensus", "static_configs": [{"targets": [target]}]}]
    file = folder / "prometheus.yml"
    file.write_text(yaml.safe_dump(config), encoding="utf-8")
    lookback = int(EVERY.total_seconds()) - 1
    started(
        [
            "prometheus",
            f"--config.file={file}",
            f"--storage.tsdb.path={data}",
            "--storage.tsdb.retention.time=10y",
            f"--web.listen-address={listen}",
            f"--query.lookback-delta={lookback}s",
        ],
        folder / "prometheus.log",
        undo,
    )
    wait_for(f"http://{listen}/-/ready", folder / "prometheus.log")


def move_blocks(source: Path, target: Path) -> None:
    """Move blocks to those that Prometheus has; it must not be running."""
    for block in source.iterdir() if source.is_dir() else ():
        shutil.move(block, target / block.name)


def go_on_reporting(
    reports: Sequence[HostFacts],
    address: str,
    credentials: Mapping[str, Credentials],
    ended: threading.Event,
    pause: float = 1.0,
) -> None:
    """Report the hosts that are not silent again and again over gRPC and mutual TLS, as their agents would."""
    newest = {one.received.host_id: one for one in reports}
    limit = max(one.received.received_at for one in newest.values()) - timedelta(days=1)
    lively = [one for one in newest.values() if one.received.received_at >= limit]
    settings = load_config({"collector.address": ("the demo", address)}, environment={}).collector
    for one in cycle(lively):
        if ended.wait(pause):
            return
        facts = HeldFacts((record.kind, record.digest, record.payload) for record in one.records)
        host_id = one.received.host_id
        try:
            with CollectorClient(settings, host_id, credentials[host_id]) as client:
                client.send(repeated(one, datetime.now(UTC)).received.report, facts)
        except AgentError as error:
            if not ended.is_set():
                print(f"a host could not report: {error}", file=sys.stderr)


def provision(folder: Path, prometheus: str) -> None:
    """Write Grafana's provisioning for the demo: the files of the project, with this demo's addresses."""
    shutil.copytree(HERE / "provisioning", folder, dirs_exist_ok=True)
    for file in folder.rglob("*.yml"):
        text = file.read_text(encoding="utf-8")
        text = text.replace("$LIBCENSUS_PROMETHEUS", prometheus).replace(
            "$LIBCENSUS_DASHBOARDS", str(HERE / "dashboards")
        )
        file.write_text(text, encoding="utf-8")


def start_grafana(grafana: tuple[Path, Path | None], folder: Path, port: int, undo: ExitStack) -> None:
    """Start Grafana with the provisioning, for everybody on this machine to read."""
    program, home = grafana
    env = {
        "GF_PATHS_PROVISIONING": str(folder / "provisioning"),
        "GF_PATHS_DATA": str(folder / "grafana"),
        "GF_PATHS_LOGS": str(folder / "grafana"),
        "GF_SERVER_HTTP_ADDR": "127.0.0.1",
        "GF_SERVER_HTTP_PORT": str(port),
        "GF_AUTH_ANONYMOUS_ENABLED": "true",
        "GF_AUTH_ANONYMOUS_ORG_ROLE": "Viewer",
        "GF_ANALYTICS_REPORTING_ENABLED": "false",
        "GF_ANALYTICS_CHECK_FOR_UPDATES": "false",
        "GF_NEWS_NEWS_FEED_ENABLED": "false",
    }
    command = [str(program)] if program.name == "grafana-server" else [str(program), "server"]
    if home is not None:
        command.append(f"--homepath={home}")
    started(command, folder / "grafana.log", undo, env, home)
    wait_for(f"http://127.0.0.1:{port}/api/health", folder / "grafana.log", 300)


def container_words(folder: Path, prometheus: str) -> str:
    """Return how a container shows the same."""
    return f"""no Grafana is started; with a container (podman does the same):
  docker run --rm --network host \\
    -e GF_AUTH_ANONYMOUS_ENABLED=true -e GF_SERVER_HTTP_ADDR=127.0.0.1 \\
    -v {folder / "provisioning"}:/etc/grafana/provisioning:ro -v {HERE / "dashboards"}:{HERE / "dashboards"}:ro \\
    grafana/grafana
  then open http://127.0.0.1:3000/d/libcensus-fleet (its data source is http://{prometheus})"""


def show(words: str) -> None:
    """Say how far it is, on one line of a terminal."""
    print(f"\r\x1b[K{words}" if sys.stdout.isatty() else words, end="" if sys.stdout.isatty() else "\n", flush=True)


if __name__ == "__main__":
    sys.exit(main())
