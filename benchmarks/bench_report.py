"""What a report costs the host and the wire: peak memory of the agent, bytes of the first and of an unchanged report.

    python benchmarks/bench_report.py [--exclude PATH ...]

A real collector is started on a free port with an empty database, and a real ``libcensus-agent report`` of this host is
sent to it three times, through a proxy that counts every byte of the connection; then twice more by an enrolled agent
over mutual TLS, to another collector, where the handshake counts too. Budgets: peak memory (VmHWM) under 64 MiB in
all runs; messages of the unchanged report, request and response together, under 1 KiB. The last lines are JSON; the
exit code is 1 when a budget is missed.
"""

from __future__ import annotations

import argparse
import json
import re
import selectors
import socket
import subprocess
import sys
import tempfile
import threading
import time
from dataclasses import dataclass
from pathlib import Path

MEMORY_BUDGET = 64 * 1024 * 1024
BYTES_BUDGET = 1024

CHILD = """
import re, sys
from libcensus.agent.cli import main
code = main(sys.argv[1:])
text = open('/proc/self/status').read()
print('VmHWM', int(re.search(r'VmHWM:\\s+(\\d+)', text)[1]) * 1024)
sys.exit(code)
"""


class CountingProxy:
    """Passes connections on to one address, and counts the bytes of both directions."""

    def __init__(self, target: tuple[str, int]) -> None:
        self._target = target
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self.bytes = 0
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        while True:
            client, _ = self._listener.accept()
            threading.Thread(target=self._pass_on, args=(client,), daemon=True).start()

    def _pass_on(self, client: socket.socket) -> None:
        with client, socket.create_connection(self._target) as server, selectors.DefaultSelector() as selector:
            selector.register(client, selectors.EVENT_READ, server)
            selector.register(server, selectors.EVENT_READ, client)
            while True:
                for key, _ in selector.select():
                    source, sink = key.fileobj, key.data
                    try:
                        data = source.recv(65536)  # type: ignore[union-attr]
                        sink.sendall(data)
                    except OSError:
                        return
                    if not data:
                        return
                    self.bytes += len(data)


BIN = Path(sys.prefix) / "bin"


@dataclass
class RunningCollector:
    """A collector that serves, and where."""

    process: subprocess.Popen[str]
    reports: tuple[str, int]
    enrollment: int
    http: int

    def stop(self) -> None:
        """End it in good order."""
        self.process.terminate()
        self.process.wait(30)


def settings_of(folder: Path) -> list[str]:
    """Return the flag that names a collector's settings, which keep everything in one folder."""
    file = folder / "collector.toml"
    file.write_text(
        f'database = "sqlite:///{folder}/collector.db"\npki_dir = "{folder}/pki"\n'
        f'audit_log = "{folder}/audit.jsonl"\nserver_names = ["127.0.0.1"]\n'
    )
    return ["--config", str(file)]


def start_collector(folder: Path) -> RunningCollector:
    """Start a collector with an empty database, with mutual TLS where there is an authority in its folder."""
    command = [
        *(str(BIN / "libcensus-collector"), "serve", *settings_of(folder), "--log-level", "info"),
        *("--listen", "127.0.0.1:0", "--http-listen", "127.0.0.1:0"),
    ]
    if (folder / "pki").exists():
        command += ["--enroll-listen", "127.0.0.1:0"]
    collector = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    assert collector.stderr is not None
    pattern = re.compile(r"serving gRPC .*?on ([\d.]+):(\d+)(?:, enrollment on [\d.]+:(\d+))? and HTTP on .*:(\d+)/")
    for line in collector.stderr:
        if found := pattern.search(line):
            threading.Thread(target=collector.stderr.read, daemon=True).start()
            return RunningCollector(collector, (found[1], int(found[2])), int(found[3] or 0), int(found[4]))
    sys.exit("the collector did not start")


def make_authority(folder: Path) -> None:
    """Make a certificate authority."""
    subprocess.run([BIN / "libcensus-collector", "ca", "init", *settings_of(folder)], check=True, capture_output=True)


def enroll(collector: RunningCollector, folder: Path, state: Path) -> None:
    """Enroll an agent by the commands that an operator uses."""
    made = subprocess.run(
        [BIN / "libcensus-collector", "token", "create", *settings_of(folder), "--file", folder / "token"],
        check=True,
        capture_output=True,
        text=True,
    )
    fingerprint = re.search(r"\b[0-9a-f]{64}\b", made.stdout)
    assert fingerprint is not None
    subprocess.run(
        [
            *(BIN / "libcensus-agent", "enroll", "--collector", "{}:{}".format(*collector.reports)),
            *("--token-file", folder / "token", "--ca-fingerprint", fingerprint[0], "--state-dir", state),
            *("--enroll-port", str(collector.enrollment), "--http-port", str(collector.http)),
        ],
        check=True,
        capture_output=True,
    )


def report(port: int, state: Path, excluded: list[str]) -> dict[str, float]:
    """Run the agent once; returns its peak memory, the bytes of its messages, uploaded facts and seconds."""
    arguments = ["report", "--collector", f"127.0.0.1:{port}", "--state-dir", str(state)]
    arguments += [one for path in excluded for one in ("--exclude", path)]
    started = time.monotonic()
    done = subprocess.run([sys.executable, "-c", CHILD, *arguments], capture_output=True, text=True, check=False)
    seconds = time.monotonic() - started
    told = re.search(r"(\d+) facts uploaded, (\d+) bytes sent, (\d+) received", done.stdout)
    memory = re.search(r"VmHWM (\d+)", done.stdout)
    if done.returncode not in {0, 6} or told is None or memory is None:
        sys.exit(f"the agent failed with exit code {done.returncode}:\n{done.stdout}{done.stderr}")
    facts, sent, received = map(int, told.groups())
    return {"memory": int(memory[1]), "facts": facts, "bytes": sent + received, "seconds": seconds}


def measure(folder: Path, excluded: list[str], number: int, *, tls: bool = False) -> list[dict[str, float]]:
    """Report so many times to a collector of its own; returns what each cost."""
    folder.mkdir()
    if tls:
        make_authority(folder)
    collector = start_collector(folder)
    runs = []
    try:
        if tls:
            enroll(collector, folder, folder / "state")
        proxy = CountingProxy(collector.reports)
        for turn in range(number):
            before = proxy.bytes
            runs.append(report(proxy.port, folder / "state", excluded))
            runs[-1]["wire"] = proxy.bytes - before
            print(
                f"report {turn + 1} ({'mutual TLS' if tls else 'plaintext'}): {runs[-1]['facts']:.0f} facts, "
                f"messages {runs[-1]['bytes']:.0f} bytes, connection {runs[-1]['wire']:.0f} bytes, "
                f"peak {runs[-1]['memory'] / 2**20:.1f} MiB, {runs[-1]['seconds']:.1f} s"
            )
    finally:
        collector.stop()
    return runs


def main() -> None:
    """Measure, print, and compare with the budgets."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0] if __doc__ else None)
    parser.add_argument("--exclude", action="append", default=[], metavar="PATH", help="passed on to the agent")
    excluded: list[str] = parser.parse_args().exclude
    with tempfile.TemporaryDirectory() as name:
        plain = measure(Path(name) / "plain", excluded, 3)
        secure = measure(Path(name) / "tls", excluded, 2, tls=True)
    unchanged = min((run for run in plain[1:] if not run["facts"]), key=lambda run: run["bytes"], default=None)
    if unchanged is None or secure[1]["facts"]:
        sys.exit("this host changed during the benchmark: no report was unchanged; exclude what changes")
    peak = max(run["memory"] for run in [*plain, *secure])
    results = [
        {
            "what": "peak memory of libcensus-agent report",
            "value": round(peak / 2**20, 1),
            "unit": "MiB",
            "budget": "< 64",
            "met": peak < MEMORY_BUDGET,
        },
        {
            "what": "messages of an unchanged report",
            "value": unchanged["bytes"],
            "unit": "bytes",
            "budget": f"< {BYTES_BUDGET}",
            "met": unchanged["bytes"] < BYTES_BUDGET,
        },
        {"what": "connection of an unchanged report", "value": unchanged["wire"], "unit": "bytes"},
        {
            "what": "connection of an unchanged report over mutual TLS, with its handshake",
            "value": secure[1]["wire"],
            "unit": "bytes",
        },
        {"what": "messages of the first report", "value": plain[0]["bytes"], "unit": "bytes"},
        {"what": "connection of the first report", "value": plain[0]["wire"], "unit": "bytes"},
    ]
    for result in results:
        print(json.dumps(result))
    sys.exit(0 if all(result.get("met", True) for result in results) else 1)


if __name__ == "__main__":
    main()
