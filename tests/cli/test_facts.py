"""Facts that a folder of feeds adds to those on board, in the commands that judge without a collector."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from datetime import date
from typing import TYPE_CHECKING, Any

import jsonschema
import pytest

from libcensus.agent.document import scan_document
from libcensus.cli.config import AdvisoriesFolder
from libcensus.cli.document import verdicts_schema
from libcensus.cli.errors import ConfigurationError
from libcensus.cli.facts import load_facts
from libcensus.cli.local import load_agent_config, scan_root
from libcensus.collector.advisories.snapshot import load_snapshot
from libcensus.collector.advisories.state import StateFolder, decode_state, encode_state
from libcensus.collector.advisories.update import Result, Updater
from tests.collector.advisories import feed_samples as samples

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.cli.conftest import Outcome

    Run = Callable[..., Outcome]


@pytest.fixture(scope="session")
def fed(tmp_path_factory: pytest.TempPathFactory, small_root: Path) -> Path:
    """A folder as `libcensus-collector advisories import` leaves it, with an advisory of the small root's OpenSSL."""
    folder = tmp_path_factory.mktemp("fed")
    (install,) = _scan_of(small_root)["installs"]
    branch = ".".join(install["crypto"]["version"].split(".")[:2])
    record = samples.openssl_record(samples.FRESH, "2026-11-20T12:00:00Z", "High", ((f"{branch}.0", f"{branch}.99"),))
    (folder / "openssl.zip").write_bytes(samples.openssl_archive(record))
    (folder / "pbs.json").write_bytes(samples.pbs_releases())
    state = StateFolder(folder / "advisories")
    outcomes = Updater(state, {}).load([folder / "openssl.zip", folder / "pbs.json"], None, None)
    assert {one.result for one in outcomes} == {Result.UPDATED}
    return state.folder


def _scan_of(root: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(json.dumps(scan_document(scan_root(str(root), load_agent_config(())))))
    return found


def _advisories(document: dict[str, Any]) -> set[str]:
    return {finding["advisory"] for finding in document["findings"]}


@pytest.mark.parametrize("way", ["flag", "variable", "file"])
def test_scan_judges_by_the_feeds_of_a_folder_and_says_so(
    run: Run, small_root: Path, fed: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, way: str
) -> None:
    flags: tuple[str, ...] = ()
    if way == "flag":
        flags = ("--advisories-dir", str(fed))
    elif way == "variable":
        monkeypatch.setenv("LIBCENSUS_ADVISORIES_DIR", str(fed))
    else:
        (tmp_path / ".config/libcensus").mkdir(parents=True)
        (tmp_path / ".config/libcensus/config.toml").write_text(f'advisories_dir = "{fed}"\n')
    ended = run("scan", "--root", str(small_root), "--output", "json", *flags)
    assert ended.code == 0, ended.err
    document = json.loads(ended.out)
    jsonschema.validate(document, verdicts_schema())
    assert samples.FRESH in _advisories(document)
    facts = document["facts"]
    assert (facts["newest"], facts["folder"]) == ("2026-11-20", str(fed))
    assert facts["feeds"] == {"openssl": "2026-11-20", "pbs": "2026-11-20"}
    assert facts["reaches"]["openssl"] == "2026-11-20"
    table = run("scan", "--root", str(small_root), *flags)
    assert f"Facts: published up to 2026-11-20, on board and of 2 feeds in {fed}" in table.out.splitlines()


def test_without_a_folder_the_facts_on_board_are_told(run: Run, small_root: Path) -> None:
    document = json.loads(run("scan", "--root", str(small_root), "--output", "json").out)
    assert samples.FRESH not in _advisories(document)
    day = load_snapshot().snapshot_date.isoformat()
    assert document["facts"] == {
        "newest": day,
        "reaches": {name: reach.isoformat() for name, reach in sorted(load_snapshot().reaches.items())},
        "folder": None,
        "feeds": {},
    }
    table = run("scan", "--root", str(small_root))
    assert f"Facts: published up to {day}, on board" in table.out.splitlines()


def test_explain_and_check_know_what_the_folder_knows(run: Run, small_root: Path, fed: Path, tmp_path: Path) -> None:
    scan = tmp_path / "scan.json"
    scan.write_text(run("scan", "--root", str(small_root), "--output", "json").out)
    (path,) = (install["path"] for install in json.loads(scan.read_text())["installs"])
    question = ("explain", "--scan", str(scan), path, samples.FRESH, "--output", "json")
    (told,) = json.loads(run(*question).out)
    assert told["verdict"] == "unknown_advisory"
    ended = run(*question, "--advisories-dir", str(fed))
    (told,) = json.loads(ended.out)
    # The scan was judged by the facts on board; this command's know more.
    assert told["verdict"] == "other_catalogue"
    assert "as far as known on 2026-11-20" in told["because"]
    words = f"libcensus: judged by facts published up to 2026-11-20, on board and of 2 feeds in {fed}\n"
    assert ended.err == words
    ended = run("check", "demo-1-py3-none-any.whl", "--against", "debian:12", "--advisories-dir", str(fed))
    assert (ended.code, ended.err) == (0, words)


def test_a_folder_that_cannot_be_used_is_refused_before_anything_is_scanned(
    run: Run, small_root: Path, fed: Path, tmp_path: Path
) -> None:
    empty = tmp_path / "empty"
    empty.mkdir()
    file = tmp_path / "file"
    file.write_text("")
    damaged = tmp_path / "damaged"
    damaged.mkdir()
    (damaged / "openssl.json").write_bytes((fed / "openssl.json").read_bytes()[:-40])
    fill = "`libcensus-collector advisories update --advisories-dir"
    for folder, words in (
        (tmp_path / "absent", "is not there"),
        (file, "is no folder"),
        (empty, "holds no facts of any feed"),
        (damaged, "no feed's facts can be used"),
    ):
        for command in (
            ("scan", "--root", str(small_root)),
            ("check", "demo-1-py3-none-any.whl", "--against", "debian:12"),
        ):
            ended = run(*command, "--advisories-dir", str(folder))
            assert (ended.code, ended.out) == (3, ""), (folder, command)
            assert (
                f"error: advisories_dir: {folder} (--advisories-dir) {words}; {fill} {folder}` fills one" in ended.err
            )
    assert "warning: the facts of openssl are passed over, and those on board stand in: " in ended.err
    ended = run("check", "demo-1-py3-none-any.whl", "--advisories-dir", str(fed))
    assert (ended.code, ended.out) == (2, "")
    assert "--advisories-dir is for what is judged here; name it with --against" in ended.err


def test_what_is_damaged_or_of_another_shape_is_told_and_the_rest_is_used(
    fed: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "advisories"
    shutil.copytree(fed, folder)
    (folder / "debian.json").write_text("{}")
    state = decode_state((folder / "pbs.json").read_bytes(), "pbs.json")
    strange = [{"kind": "pbs", "tag": "20261120", "date": "2026-11-20", "cpython": {"3.12": "three"}}]
    bent = replace(state, documents=(replace(state.documents[0], rows=tuple(strange)),))
    (folder / "pbs.json").write_bytes(encode_state(bent))
    facts = load_facts(AdvisoriesFolder(str(folder), "a test"))
    assert facts.feeds == {"openssl": date(2026, 11, 20)}
    assert str(facts).endswith(f"on board and of 1 feed in {folder}")
    assert samples.FRESH in {advisory.id for advisory in facts.catalogue.advisories}
    lines = capsys.readouterr().err.splitlines()
    assert [line.split(" are passed over")[0] for line in lines] == [
        "libcensus: warning: the facts of debian",
        "libcensus: warning: the facts of pbs",
    ]
    (folder / "openssl.json").unlink()
    with pytest.raises(ConfigurationError, match="no feed's facts can be used"):
        load_facts(AdvisoriesFolder(str(folder), "a test"))
