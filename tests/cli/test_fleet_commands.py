"""``hosts`` and ``show`` over a real collector, and every way in which asking can fail."""

from __future__ import annotations

import json
import socket
from typing import TYPE_CHECKING

import jsonschema
import pytest

from libcensus.agent.document import scan_schema
from libcensus.cli.document import verdicts_schema
from libcensus.collector.app import Collector
from libcensus.collector.config import CollectorSettings
from libcensus.collector.store.sql import SqlStore
from tests.collector.metrics import fleet

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.cli.conftest import Outcome

    Run = Callable[..., Outcome]


def test_hosts_are_one_line_each_with_odd_names_escaped(run: Run, collector: Collector) -> None:
    ended = run("hosts", "--collector", collector.grpc_address)
    assert (ended.code, ended.err) == (0, "")
    titles, odd, web = ended.out.splitlines()
    assert titles.split()[:4] == ["HOST", "SYSTEM", "ARCH", "LIBC"]
    assert odd.startswith("evil")
    assert "\x1b" not in ended.out
    assert web.split()[:7] == ["web-1", "debian", "12", "x86_64", "glibc", "2.36", "2"]
    assert web.endswith("2026-11-20T12:00:00Z")


def test_hosts_as_json(run: Run, collector: Collector) -> None:
    hosts = json.loads(run("hosts", "--collector", collector.grpc_address, "--output", "json").out)
    assert [host["name"] for host in hosts] == ["evil\n\x1b[31mname", "web-1"]
    assert hosts[1]["host_id"] == fleet.host_id_of("web-1")
    assert hosts[1]["libc"] == {"family": "glibc", "version": "2.36"}
    assert hosts[1]["failed_probes"] == 1
    assert hosts[1]["affected"] > 0


def test_show_tells_a_host_by_name_and_by_id_alike(run: Run, collector: Collector) -> None:
    by_name = run("show", "web-1", "--collector", collector.grpc_address)
    by_id = run("show", fleet.host_id_of("web-1"), "--collector", collector.grpc_address)
    assert by_name == by_id
    assert by_name.code == 0
    lines = by_name.out.splitlines()
    assert lines[0] == "web-1: Debian GNU/Linux 12 (bookworm), x86_64 (x86-64-v3), Linux 6.1.0-40-amd64, glibc 2.36"
    assert lines[3].split()[:6] == ["/opt/py/bin/python3.12", "3.12.12", "pbs", "2.17", "3.5.4", "static"]
    assert lines[4].split()[:7] == ["/usr/bin/python3.11", "3.11.2", "distro", "2.35", "3.0.17", "system", "(libssl3)"]
    assert "Probe packages failed: /var/lib/dpkg/status: truncated" in lines
    assert "Probe processes was skipped: no CAP_SYS_PTRACE" in lines
    assert "Passed over: 2 permission-denied" in lines


def test_open_findings_are_one_line_each_off_a_terminal(run: Run, collector: Collector) -> None:
    ended = run("show", "web-1", "--findings", "--collector", collector.grpc_address)
    lines = ended.out.splitlines()
    first = next(number for number, line in enumerate(lines) if line.startswith("SEVERITY"))
    told = json.loads(run("show", "web-1", "--output", "json", "--collector", collector.grpc_address).out)
    open_ones = [f for f in told["findings"] if f["status"] in ("affected", "under_investigation")]
    assert len(lines) - first - 1 == len(open_ones) > 0
    high = next(line for line in lines if "CVE-2025-15467" in line and "/opt/py" in line)
    assert high.split()[:6] == ["high", "affected", "CVE-2025-15467", "openssl", "static", "3.5.5"]


def test_every_statement_can_be_traced_to_its_proof(run: Run, collector: Collector) -> None:
    out = run("show", "web-1", "--explain", "--collector", collector.grpc_address).out
    assert '    version: text-line in include/patchlevel.h at byte 1200: PY_VERSION "3.12.12"' in out
    assert "    requirement: bin/python3 needs GLIBC_2.17 of libc.so.6 for stat" in out
    assert "  CVE-2025-15467 high affected" in out


def test_the_json_of_a_host_is_that_of_a_scan_with_verdicts(run: Run, collector: Collector) -> None:
    told = json.loads(run("show", "web-1", "--output", "json", "--collector", collector.grpc_address).out)
    jsonschema.validate(told, scan_schema())
    assert told["summary"]["name"] == "web-1"
    finding = next(f for f in told["findings"] if f["advisory"] == "CVE-2025-15467" and f["linkage"] == "static")
    assert finding["subject"] == {"kind": "install", "root": "/", "path": "/opt/py/bin/python3.12"}
    assert (finding["component"], finding["severity"], finding["status"]) == ("openssl", "high", "affected")
    assert finding["fixed_in"] == "3.5.5"
    assert finding["fix_available"] is None or finding["fix_available"].endswith("T00:00:00Z")
    assert finding["remedy"]
    assert {"subject", "kind", "file", "detail", "offset"} == set(finding["evidence"][0])
    assert {end["component"] for end in told["end_of_life"]} == {"cpython", "openssl"}
    assert {verdict["verdict"] for verdict in told["verdicts"]} == {"runs"}


def test_an_unknown_host_is_refused_with_names_that_are_alike(run: Run, collector: Collector) -> None:
    ended = run("show", "web-2", "--collector", collector.grpc_address)
    assert (ended.code, ended.out) == (2, "")
    assert ended.err == (
        f"libcensus: error: collector {collector.grpc_address} knows no host 'web-2'; did you mean web-1?\n"
    )


def closed_port() -> str:
    """Return an address on which nobody listens."""
    with socket.socket() as trial:
        trial.bind(("127.0.0.1", 0))
        return f"127.0.0.1:{trial.getsockname()[1]}"


FAILURES = [
    ("nobody-there", ("hosts", "--collector", closed_port()), 4, "cannot be reached"),
    ("beyond-this-machine", ("hosts", "--collector", "192.0.2.1:9444"), 5, "--collector: collector 192.0.2.1:9444"),
    ("no-address", ("hosts", "--collector", "a b"), 3, "--collector: collector address 'a b' cannot be understood"),
    ("no-host", ("show",), 2, "show takes the HOST to show"),
    ("no-command", ("shaw",), 2, "No such command 'shaw'"),
    ("no-option", ("hosts", "--colector", "x"), 2, "No such option"),
    ("no-severity", ("scan", "--fail-on", "awful"), 2, "'awful' is not one of"),
    ("no-root", ("scan", "--root", "/does/not/exist"), 2, "/does/not/exist"),
    ("no-folder-to-keep", ("demo", "--keep", "/dev/null/x"), 2, "--keep /dev/null/x: the folder cannot be made"),
]


@pytest.mark.parametrize(("arguments", "code", "text"), [row[1:] for row in FAILURES], ids=[row[0] for row in FAILURES])
def test_what_is_wrong_is_one_line_with_its_exit_code(
    run: Run, arguments: tuple[str, ...], code: int, text: str
) -> None:
    ended = run(*arguments)
    assert (ended.code, ended.out) == (code, "")
    assert ended.err.startswith("libcensus: error: ")
    assert text in ended.err
    assert ended.err.count("\n") == 1


def test_a_server_of_another_kind_is_told(run: Run, collector: Collector) -> None:
    ended = run("hosts", "--collector", collector.http_address)
    assert ended.code == 4
    assert ended.err.count("\n") == 1


@pytest.fixture(scope="module")
def full(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Collector]:
    """A collector with a host that has something of all that an agent tells."""
    folder = tmp_path_factory.mktemp("full")
    with SqlStore.open(f"sqlite:///{folder / 'census.db'}") as store:
        fleet.report(store, fleet.full_machine())
        fleet.report(store, fleet.Machine("before"))
        settings = CollectorSettings(listen="127.0.0.1:0", http_listen="127.0.0.1:0")
        running = Collector(settings, store, today=lambda: fleet.TODAY).start()
        try:
            yield running
        finally:
            running.stop()


def test_show_tells_copies_tools_roots_and_what_runs(run: Run, full: Collector) -> None:
    ended = run("show", "full", "--collector", full.grpc_address)
    assert (ended.code, ended.err) == (0, "")
    for words in (
        "/srv/chroot:/usr/bin/python3.11 ",
        "cryptography 46.0.3 (pypi)",
        "/usr/lib/x86_64-linux-gnu/libcrypto.so.3 deleted",
        "711 unattended-upgrades.service, 2204",
        "podman web of docker.io/library/nginx:alpine",
        "Settings: uv python-downloads = never (/etc/uv/uv.toml)",
        "libssl3 3.0.17-1~deb12u2 (2 fixes)",
        "/srv/chroot:/usr/bin/python3.11 cannot start here: needs GLIBC_2.35",
    ):
        assert words in ended.out, words


def test_show_as_json_has_the_shape_of_a_scan(run: Run, full: Collector) -> None:
    machine = fleet.full_machine()
    told = json.loads(run("show", "full", "--collector", full.grpc_address, "--output", "json").out)
    jsonschema.validate(told, scan_schema())
    jsonschema.validate(told, verdicts_schema())
    assert told["root"] == "/"
    assert [copy["path"] for copy in told["crypto_copies"]] == [copy.path for copy in machine.copy_set.copies]
    assert {tool["path"]: tool["newest_build"] for tool in told["tools"]} == {
        "/root/.local/bin/uv": "20260114",
        "/usr/local/bin/uv": None,
    }
    assert told["tool_settings"][0]["value"] == "never"
    assert [root["kind"] for root in told["roots"]] == ["host", "folder", "container"]
    assert {one["package"]["name"]: len(one["fixes"]) for one in told["changelogs"]} == {
        "libssl3": 2,
        "python3.11-minimal": 0,
    }
    assert [group["processes"] for group in told["processes"]] == [7, 3]
    assert {(one["root"], one["verdict"]) for one in told["verdicts"]} == {("/", "runs"), ("/srv/chroot", "blocked")}
    copies = {finding["advisory"] for finding in told["findings"] if finding["subject"]["kind"] == "crypto_copy"}
    assert "CVE-2025-15467" in copies


def test_a_host_whose_agent_tells_nothing_of_them_has_none(run: Run, full: Collector) -> None:
    told = json.loads(run("show", "before", "--collector", full.grpc_address, "--output", "json").out)
    jsonschema.validate(told, scan_schema())
    for key in ("crypto_copies", "tools", "tool_settings", "roots", "changelogs", "processes"):
        assert told[key] == [], key
    assert {one["root"] for one in told["verdicts"]} == {"/"}
    text = run("show", "before", "--collector", full.grpc_address).out
    assert "COPY OF" not in text
    assert "Running:" not in text
