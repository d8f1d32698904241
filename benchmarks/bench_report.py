"""What a report costs the host and the wire: peak memory of the agent, bytes of the first and of an unchanged report.

    python benchmarks/bench_report.py [--exclude PATH ...]

A real collector is started on a free port with an empty database, and a real ``libcensus-agent report`` of this host is
sent to it twice, through a proxy that counts every byte of the connection. Budgets: peak memory (VmHWM) under 64 MiB in
both runs; messages of the unchanged report, request and response together, under 1 KiB. The last lines are JSON; the
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


def start_collector(folder: Path) -> tuple[subprocess.Popen[str], tuple[str, int]]:
    """Start a collector with an empty database; returns it with its gRPC address."""
    command = [
        *(str(Path(sys.prefix) / "bin" / "libcensus-collector"), "serve"),
        *("--listen", "127.0.0.1:0", "--http-listen", "127.0.0.1:0"),
        *("--database", f"sqlite:///{folder}/collector.db", "--log-level", "info"),
    ]
    collector = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    assert collector.stderr is not None
    for line in collector.stderr:
        if found := re.search(r"serving gRPC \([a-zA-Z ]+\) on ([\d.]+):(\d+)", line):
            threading.Thread(target=collector.stderr.read, daemon=True).start()
            return collector, (found[1], int(found[2]))
    sys.exit("the collector did not start")


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


def main() -> None:
    """Measure, print, and compare with the budgets."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0] if __doc__ else None)
    parser.add_argument("--exclude", action="append", default=[], metavar="PATH", help="passed on to the agent")
    excluded: list[str] = parser.parse_args().exclude
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        collector, address = start_collector(folder)
        try:
            proxy = CountingProxy(address)
            runs = []
            for number in range(3):
                before = proxy.bytes
                runs.append(report(proxy.port, folder / "state", excluded))
                wire = proxy.bytes - before
                runs[-1]["wire"] = wire
                print(
                    f"report {number + 1}: {runs[-1]['facts']:.0f} facts, messages {runs[-1]['bytes']:.0f} bytes, "
                    f"connection {wire} bytes (plaintext), peak {runs[-1]['memory'] / 2**20:.1f} MiB, "
                    f"{runs[-1]['seconds']:.1f} s"
                )
        finally:
            collector.terminate()
            collector.wait(30)
    unchanged = min((run for run in runs[1:] if not run["facts"]), key=lambda run: run["bytes"], default=None)
    if unchanged is None:
        sys.exit("this host changed during the benchmark: no report was unchanged; exclude what changes")
    peak = max(run["memory"] for run in runs)
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
        {"what": "messages of the first report", "value": runs[0]["bytes"], "unit": "bytes"},
        {"what": "connection of the first report", "value": runs[0]["wire"], "unit": "bytes"},
    ]
    for result in results:
        print(json.dumps(result))
    sys.exit(0 if all(result.get("met", True) for result in results) else 1)


if __name__ == "__main__":
    main()
