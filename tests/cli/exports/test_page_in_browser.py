"""The page in a real browser: it shows its figures without an error, and what is smuggled in does not run."""

from __future__ import annotations

import re
import subprocess
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import TYPE_CHECKING

import pytest

from libcensus.cli.assessed import assessed_from_detail
from libcensus.cli.exports.page.frame import fleet_page, hosts_page
from libcensus.collector.service.fleet import FleetReader
from libcensus.collector.store.sql import SqlStore
from tests.cli.exports.page_reading import Page
from tests.cli.exports.test_page import NOW, ask_readers
from tests.collector.metrics import fleet

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

PATIENCE = 300
"""Seconds: a browser that starts on a busy machine takes its time."""

CONSOLE = re.compile(r"^\[[^\]]*CONSOLE[^\]]*\] (.*)", re.MULTILINE)


def look(file: Path, folder: Path) -> tuple[str, list[str]]:
    """Return the document as the browser has it after loading, and what its console said; no name is resolved."""
    ended = subprocess.run(
        [
            "chromium",
            "--headless",
            "--no-sandbox",
            "--disable-gpu",
            "--disable-dev-shm-usage",
            "--disable-background-networking",
            "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1",
            f"--user-data-dir={folder}",
            "--enable-logging=stderr",
            "--dump-dom",
            file.as_uri(),
        ],
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
    )
    assert ended.returncode == 0, ended.stderr[-2000:]
    return ended.stdout, CONSOLE.findall(ended.stderr)


@pytest.fixture
def pages(tmp_path: Path) -> dict[str, str]:
    """The page of a small fleet, and that of a host."""
    assessor = fleet.assessor()
    with SqlStore.open(f"sqlite:///{tmp_path / 'census.db'}") as opened:
        fleet.report(opened, fleet.full_machine())
        fleet.report(opened, fleet.Machine("web-1"))
        detail = FleetReader(opened, lambda: assessor).show_host("full")
        return {
            "fleet": fleet_page(ask_readers(opened, assessor), "0"),
            "host": hosts_page([(detail.summary, assessed_from_detail(detail))], NOW, "0"),
        }


@pytest.fixture
def asked() -> Iterator[tuple[str, list[str]]]:
    """A server on this machine, and what it was asked for."""
    paths: list[str] = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            paths.append(self.path)
            self.send_response(204)
            self.end_headers()

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base class's name
            pass

    with HTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}", paths
        finally:
            server.shutdown()
            thread.join()


@pytest.mark.parametrize("which", ["fleet", "host"])
def test_a_browser_shows_the_page_without_an_error(pages: dict[str, str], tmp_path: Path, which: str) -> None:
    file = tmp_path / f"{which}.html"
    file.write_text(pages[which], "utf-8")
    document, console = look(file, tmp_path / "profile")
    assert console == []
    shown, made = Page(document), Page(pages[which])
    assert shown.tiles == made.tiles
    assert shown.tiles
    captions = [one.text for one in made.root.all("caption")]
    assert [one.text for one in shown.root.all("caption")] == captions
    drawn = [one.all("title")[0].text for one in made.root.all("svg")]
    assert [one.all("title")[0].text for one in shown.root.all("svg")] == drawn


def test_what_would_be_smuggled_in_neither_runs_nor_calls_anybody(
    pages: dict[str, str], asked: tuple[str, list[str]], tmp_path: Path
) -> None:
    address, paths = asked
    smuggled = (
        f'<img src="{address}/image"><script>document.title = "run"</script><script src="{address}/script"></script>'
        f'<iframe src="{address}/frame"></iframe><link rel="stylesheet" href="{address}/style">'
    )
    file = tmp_path / "smuggled.html"
    file.write_text(pages["fleet"].replace("<main>", f"<main>{smuggled}"), "utf-8")
    document, console = look(file, tmp_path / "profile")
    assert paths == []
    assert "<title>libcensus: The fleet</title>" in document
    # Each attempt is told, which also proves that the console is heard.
    assert len([one for one in console if "Content Security Policy" in one]) >= 4
