"""Trust by the installed commands alone, as docs/trust.md says it: set up, used, rotated, withdrawn."""

from __future__ import annotations

import json
import os
import shlex
import socket
import subprocess
import sys
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tests.integration.test_collector_command import served
from tests.integration.test_enrolled_agent import ELSEWHERE

if TYPE_CHECKING:
    from collections.abc import Iterator

BINARIES = Path(sys.executable).parent
ATTEMPTS = 30
"""How often something is asked for that takes effect within seconds; each attempt starts a process."""


@dataclass
class Site:
    """A collector in a process of its own with its folder, and a host's state folder; everything by commands."""

    folder: Path
    ports: dict[str, int]

    @property
    def environment(self) -> dict[str, str]:
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("LIBCENSUS_", "NOTIFY_"))}
        return kept | {
            "HOME": str(self.folder),
            "LIBCENSUS_COLLECTOR_CONFIG": str(self.folder / "collector.toml"),
            "LIBCENSUS_AGENT_STATE_FOLDER": str(self.folder / "host"),
            "LIBCENSUS_AGENT_SCAN_EXCLUDE": ":".join((*ELSEWHERE, "/usr")),
            "LIBCENSUS_AGENT_SCAN_CONTAINERS": "false",
            "LIBCENSUS_AGENT_SCAN_PROCESSES": "false",
            "LIBCENSUS_AGENT_COLLECTOR_ATTEMPTS": "1",
        }

    def run(self, *words: str, code: int = 0, given: str = "") -> str:
        """Run one of the installed commands; returns what it printed, on standard error where it failed."""
        command, *arguments = words
        done = subprocess.run(
            [BINARIES / command, *arguments],
            env=self.environment,
            cwd=self.folder,
            input=given,
            capture_output=True,
            text=True,
            check=False,
            timeout=200,
        )
        assert done.returncode == code, (words, done.stdout, done.stderr)
        assert "Traceback" not in done.stderr
        return done.stderr if code else done.stdout

    def collector(self, *words: str) -> str:
        return self.run("libcensus-collector", *words)

    def enroll(self, *words: str, extra: tuple[str, ...] = ()) -> str:
        """Make a token, and run the command that comes with it; returns the token."""
        made = json.loads(self.collector("token", "create", "--output", "json", *words))
        self.run(*shlex.split(made["command"]), *extra, given=made["token"] + "\n")
        return str(made["token"])

    def report(self, code: int = 0) -> str:
        return self.run("libcensus-agent", "report", code=code)

    def hosts(self, code: int = 0) -> Any:
        out = self.run(
            *("libcensus", "hosts", "--collector", f"127.0.0.1:{self.ports['listen']}"),
            *("--identity", "ada.pem", "--output", "json"),
            code=code,
        )
        return out if code else json.loads(out)

    def until_taken(self, call: Any) -> str:
        """Repeat a call until it is taken: collectors hear of what was lifted within seconds, too."""
        for attempt in range(ATTEMPTS):
            try:
                return str(call())
            except AssertionError:
                if attempt == ATTEMPTS - 1:
                    raise
        raise AssertionError

    def until_refused(self, call: Any) -> str:
        """Repeat a call until it ends with exit code 5; returns what it said."""
        for attempt in range(ATTEMPTS):
            try:
                return str(call(code=5))
            except AssertionError:
                if attempt == ATTEMPTS - 1:
                    raise
        raise AssertionError


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    """A collector that serves with an authority which `ca init` made."""
    with ExitStack() as held:
        listening = [held.enter_context(socket.create_server(("127.0.0.1", 0))) for _ in range(3)]
        ports = [one.getsockname()[1] for one in listening]
    made = Site(tmp_path, dict(zip(("listen", "http_listen", "enroll_listen"), ports, strict=True)))
    settings = {name: f"127.0.0.1:{port}" for name, port in made.ports.items()}
    settings |= {
        "database": f"sqlite:///{tmp_path}/census.db",
        "pki_dir": f"{tmp_path}/pki",
        "audit_log": f"{tmp_path}/audit.jsonl",
        "server_names": "127.0.0.1",
    }
    (tmp_path / "collector.toml").write_text("".join(f'{name} = "{value}"\n' for name, value in settings.items()))
    made.collector("ca", "init")
    flags = [word for name in made.ports for word in (f"--{name.replace('_', '-')}", settings[name])]
    with served(tmp_path, *flags, LIBCENSUS_COLLECTOR_CONFIG=f"{tmp_path}/collector.toml"):
        yield made


@pytest.mark.timeout(600)
def test_a_host_and_an_operator_are_let_in_kept_through_a_rotation_and_put_out(site: Site) -> None:
    tokens = [site.enroll("--labels", "env=prod")]
    site.report()
    site.collector("operator", "create", "ada")
    [host] = site.hosts()
    labels = json.loads(site.collector("labels", "list", "-l", "env=prod", "--output", "json"))
    assert [one["name"] for one in labels] == [host["name"]]

    # Nobody is cut off by new keys, and whoever enrolls now does so under the new root.
    site.collector("ca", "rotate", "--root")
    site.report()
    site.hosts()
    tokens.append(site.enroll("--replace", extra=("--force",)))

    # Within seconds, with the collector running.
    site.collector("certificates", "revoke", "--host", host["name"], "--reason", "sold")
    site.until_refused(site.report)
    tokens.append(site.enroll(extra=("--force",)))
    site.collector("ban", host["name"], "--reason", "stolen")
    site.until_refused(site.report)
    assert "stolen" in site.run(
        *("libcensus-agent", "enroll", "--collector", f"127.0.0.1:{site.ports['listen']}", "--force"),
        *("--enroll-port", str(site.ports["enroll_listen"]), "--http-port", str(site.ports["http_listen"])),
        *(
            "--token-file",
            "-",
            "--ca-fingerprint",
            json.loads(site.collector("ca", "show", "--output", "json"))["fingerprint"],
        ),
        code=5,
        given=site.collector("token", "create", "--quiet"),
    )
    site.collector("unban", host["name"])
    site.until_taken(site.report)
    site.collector("ban", "--operator", "ada", "--reason", "left")
    site.until_refused(site.hosts)

    audited = [json.loads(line) for line in (site.folder / "audit.jsonl").read_text().splitlines()]
    events = {entry["event"] for entry in audited}
    assert events >= {
        *("ca_initialised", "ca_rotated", "token_created", "enrolled", "enrollment_refused", "operator_created"),
        *("operator_read", "certificate_revoked", "banned", "ban_lifted", "call_refused"),
    }
    kept = (site.folder / "audit.jsonl").read_text()
    for token in tokens:
        assert token.split("-")[2] not in kept
