"""The commands `advisories update`, `import` and `show` as an operator meets them, and a collector that is running."""

from __future__ import annotations

import json
import re
import time
import urllib.request
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import pytest
import trustme

from libcensus.collector.advisories.command import Progress
from libcensus.collector.advisories.feeds.openssl import read_openssl
from libcensus.collector.advisories.feeds.registry import NAMES
from libcensus.collector.advisories.state import FeedDocument, FeedState, StateFolder
from libcensus.collector.cli import run
from tests.collector.advisories import feed_samples as samples
from tests.collector.advisories.feed_server import FeedServer, serving
from tests.collector.service.running import running_collector

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture(scope="module")
def listening(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[FeedServer, Path]]:
    """A source, and the certificate of the authority that vouches for it."""
    authority = trustme.CA()
    certificate = tmp_path_factory.mktemp("trust") / "ca.pem"
    authority.cert_pem.write_to_path(certificate)
    with serving(authority) as (server, _context):
        yield server, certificate


@pytest.fixture
def server(listening: tuple[FeedServer, Path], monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> FeedServer:
    found, certificate = listening
    found.answers.clear()
    for name in ("https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
    monkeypatch.setenv("LIBCENSUS_COLLECTOR_ADVISORIES_DIR", str(tmp_path / "advisories"))
    return found


def test_update_tells_one_line_per_feed_and_show_the_state_of_each(
    server: FeedServer, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    urls = " ".join(
        (
            f"openssl={server.put('/openssl.zip', samples.openssl_archive())}",
            f"alpine={server.put('/21.json', samples.alpine_database('v3.21', '3.3.9-r9'))}",
            f"alpine={server.put('/22.json', samples.alpine_database())}",
        )
    )
    assert run(["advisories", "update", "openssl", "alpine", "--advisory-urls", urls]) == 0
    shown = capsys.readouterr()
    # Alpine's database holds no day: it is that of the answer.
    pattern = r"openssl: updated: 2 facts up to 2026-11-20\nalpine: updated: 12 facts up to \d{4}-\d\d-\d\d\n"
    assert re.fullmatch(pattern, shown.out)
    assert shown.err == ""
    assert run(["advisories", "update", "openssl", "--advisory-urls", urls]) == 0
    assert capsys.readouterr().out == "openssl: unchanged: 2 facts up to 2026-11-20\n"
    assert run(["advisories", "show", "--advisory-urls", urls]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines[1:-1]] == list(NAMES)
    state = StateFolder(tmp_path / "advisories").load().states["openssl"]
    fetched = state.fetched_at.strftime("%Y-%m-%dT%H:%M:%SZ")
    assert lines[1].split() == ["openssl", "2026-11-20", fetched, "2", state.checksum[:12], f"{server.url}/openssl.zip"]
    rows = {line.split()[0]: line for line in lines[1:-1]}
    assert rows["debian"].split()[:2] == ["debian", "never"]
    assert rows["alpine"].endswith("/21.json (+1)")
    assert lines[-1] == "facts on board: up to 2026-11-10"
    assert run(["advisories", "show", "--output", "json", "--advisory-urls", urls]) == 0
    table = json.loads(capsys.readouterr().out)
    assert table["folder"] == str(tmp_path / "advisories")
    feeds = {feed["feed"]: feed for feed in table["feeds"]}
    assert feeds["debian"]["state"] == "never"
    assert [document["checksum_from"] for document in feeds["alpine"]["documents"]] == [None, None]
    assert (
        feeds["alpine"]
        | {
            "state": "good",
            "facts": 12,
            "urls": [f"{server.url}/21.json", f"{server.url}/22.json"],
        }
        == feeds["alpine"]
    )


def test_exit_codes_tell_what_failed(server: FeedServer, capsys: pytest.CaptureFixture[str]) -> None:
    good = f"openssl={server.put('/openssl.zip', samples.openssl_archive())}"
    broken = f"debian={server.put('/debian', b'{')}"
    absent = f"rocky={server.url}/absent"

    def code(*feeds: str) -> int:
        return run(["advisories", "update", *feeds, "--advisory-urls", f"{good} {broken} {absent}"])

    assert code("openssl", "debian") == 6
    shown = capsys.readouterr()
    assert shown.out.splitlines()[1] == "debian: failed (last good state: none)"
    assert shown.err.startswith("libcensus-collector: error: debian: debian: is no JSON: ")
    assert shown.err.count("\n") == 1
    assert code("debian") == 1
    assert code("rocky") == 4
    assert code("debian", "rocky") == 4
    assert run(["advisories", "update", "debain"]) == 3
    assert "did you mean debian?" in capsys.readouterr().err
    assert run(["advisories", "show", "--advisory-urls", "debain=https://example.org"]) == 3
    assert "did you mean debian?" in capsys.readouterr().err
    assert run(["advisories", "show", "--advisory-urls", "uv-each=https://example.org"]) == 3
    assert "{part}" in capsys.readouterr().err


def test_a_source_that_is_not_trusted_is_exit_code_5(
    server: FeedServer, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    other = tmp_path / "other.pem"
    trustme.CA().cert_pem.write_to_path(other)
    monkeypatch.setenv("SSL_CERT_FILE", str(other))
    url = server.put("/debian", samples.debian_tracker())
    assert run(["advisories", "update", "debian", "--advisory-urls", f"debian={url}"]) == 5
    assert "does not prove who it is" in capsys.readouterr().err


def test_import_takes_files_and_names_what_it_cannot_take(
    server: FeedServer, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    archive, other = tmp_path / "osv-all.tar.xz", tmp_path / "other.json"
    archive.write_bytes(samples.ubuntu_archive())
    other.write_text("{}")
    assert run(["advisories", "import", str(archive)]) == 0
    assert capsys.readouterr().out.startswith("ubuntu: updated: ")
    assert run(["advisories", "import", str(other)]) == 1
    assert "say --feed NAME" in capsys.readouterr().err
    assert run(["advisories", "import", "--feed", "debian", str(archive)]) == 1
    assert "osv-all.tar.xz" in capsys.readouterr().err
    assert run(["advisories", "import", str(tmp_path / "absent")]) == 3
    assert run(["advisories", "import"]) == 2
    assert run(["advisories", "show"]) == 0
    assert "file osv-all.tar.xz" in capsys.readouterr().out


def test_a_damaged_state_is_shown_as_one(
    server: FeedServer, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    folder = tmp_path / "advisories"
    folder.mkdir()
    (folder / "uv.json").write_text("{}")
    assert run(["advisories", "show"]) == 6
    shown = capsys.readouterr()
    assert re.search(r"^uv +damaged ", shown.out, re.MULTILINE)
    assert "uv.json: is no state of a feed" in shown.err


@pytest.mark.parametrize("command", ["update", "import", "show"])
def test_help_is_plain_and_has_examples(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["advisories", command, "--help"]) == 0
    shown = capsys.readouterr().out
    assert f"libcensus-collector advisories {command}" in shown
    assert "--advisories-dir" in shown
    assert "--listen" not in shown
    assert "\x1b" not in shown


def test_progress_is_one_line_that_goes_away(capsys: pytest.CaptureFixture[str]) -> None:
    moments = iter((0.0, 0.05, 0.2, 0.4))
    progress = Progress(lambda: next(moments))
    progress.clear()
    for received in (1 << 20, 2 << 20, 3 << 20):
        progress.step("debian", received, 60 << 20)
    progress.step("debian", 4 << 20, None)
    progress.clear()
    written = capsys.readouterr()
    assert written.out == ""
    steps = written.err.split("\r")[1:]
    assert [step.removesuffix("\x1b[K") for step in steps] == [
        "debian: 1.0 of 60.0 MiB",
        "debian: 3.0 of 60.0 MiB",
        "debian: 4.0 MiB",
        "",
    ]


def _timestamps(address: str) -> dict[str, float]:
    with urllib.request.urlopen(f"http://{address}/metrics", timeout=20) as answer:
        page = answer.read().decode()
    found = re.findall(r'^libcensus_advisory_source_timestamp_seconds\{source="(\w+)"\} (\S+)$', page, re.MULTILINE)
    whole = re.search(r"^libcensus_advisories_timestamp_seconds (\S+)$", page, re.MULTILINE)
    assert whole is not None
    return {"": float(whole[1]), **{source: float(value) for source, value in found}}


def test_a_running_collector_takes_up_a_new_state(tmp_path: Path) -> None:
    folder = tmp_path / "advisories"
    reading = read_openssl(
        [("CVE-2026-99001.json", samples.encode(samples.openssl_record(samples.FRESH, "2026-11-20T00:00:00Z")))]
    )
    document = FeedDocument("https://example.org/", "00", 1, reading.newest, reading.rows)
    now = datetime(2026, 11, 25, tzinfo=UTC)
    with running_collector(tmp_path, advisories_dir=str(folder)) as collector:
        before = _timestamps(collector.http_address)
        assert before[""] == datetime(2026, 11, 10, tzinfo=UTC).timestamp()
        assert before["openssl"] == datetime(2026, 9, 29, tzinfo=UTC).timestamp()
        folder.mkdir()
        StateFolder(folder).save(FeedState("openssl", (document,), now, now))
        expected = datetime(2026, 11, 20, tzinfo=UTC).timestamp()
        deadline = time.monotonic() + 20
        while (after := _timestamps(collector.http_address))["openssl"] != expected and time.monotonic() < deadline:
            time.sleep(0.1)
        assert after == {**before, "": expected, "openssl": expected}
