"""The committed dashboards by themselves: schema, what linters ask, links, and that they are what the code makes."""

from __future__ import annotations

import json
import re
from itertools import combinations, pairwise
from typing import TYPE_CHECKING, Any

import pytest
import yaml
from grafana.asked import BOARDS, panels
from grafana.demo import find_grafana
from grafana.generation import FOLDER, rendered
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.models.dashboard import Dashboard

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


def strings(value: object) -> Iterator[str]:
    """Yield every text in a piece of JSON."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for item in value.values():
            yield from strings(item)
    elif isinstance(value, list):
        for item in value:
            yield from strings(item)


UIDS = {
    "libcensus-fleet": ["datasource", "job", "os_id", "arch", "label", "value"],
    "libcensus-portability": ["datasource", "job", "arch", "floor", "provider", "implementation"],
    "libcensus-security": ["datasource", "job", "os_id", "arch", "component", "severity"],
    "libcensus-providers": ["datasource", "job", "provider", "component", "severity"],
    "libcensus-host": ["datasource", "job", "os_id", "arch", "label", "value", "host"],
    "libcensus-collector": ["datasource", "job", "instance"],
}
"""What people have bookmarked: the dashboards and their variables."""

EVERY_PANEL = [(uid, panel) for uid, board in BOARDS.items() for panel in panels(board)]
each_board = pytest.mark.parametrize("uid", sorted(BOARDS))
each_panel = pytest.mark.parametrize(
    ("uid", "panel"), EVERY_PANEL, ids=[f"{uid} {panel['title']}" for uid, panel in EVERY_PANEL]
)


def test_committed_files_are_what_the_code_makes() -> None:
    assert {path.name: path.read_text(encoding="utf-8") for path in FOLDER.glob("*.json")} == rendered()


def test_uids_and_variables_stay() -> None:
    assert {uid: [one["name"] for one in board["templating"]["list"]] for uid, board in BOARDS.items()} == UIDS
    assert all(board["uid"] == uid for uid, board in BOARDS.items())


@each_board
def test_a_dashboard_survives_the_schema_of_the_library(uid: str) -> None:
    read = Dashboard.from_json(BOARDS[uid])
    again = json.loads(JSONEncoder().encode(read))
    assert without_nulls(again) == without_nulls(BOARDS[uid])


def without_nulls(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: without_nulls(item) for key, item in value.items() if item is not None}
    return [without_nulls(item) for item in value] if isinstance(value, list) else value


@each_board
def test_a_dashboard_looks_as_all_do(uid: str) -> None:
    board = BOARDS[uid]
    assert board["tags"] == ["libcensus"]
    assert (board["time"], board["refresh"], board["editable"]) == ({"from": "now-7d", "to": "now"}, "5m", False)
    assert board["title"].startswith("libcensus: ")
    assert board["description"].endswith(".")
    assert any(link["type"] == "dashboards" and link["tags"] == ["libcensus"] for link in board["links"])
    assert board["panels"][0]["type"] == "row", "the state comes first, under a heading"


@each_board
def test_panels_have_ids_of_their_own_and_none_covers_another(uid: str) -> None:
    every = BOARDS[uid]["panels"]
    assert len({panel["id"] for panel in every}) == len(every)
    for one, other in combinations((panel["gridPos"] for panel in every), 2):
        apart = (
            one["x"] + one["w"] <= other["x"]
            or other["x"] + other["w"] <= one["x"]
            or one["y"] + one["h"] <= other["y"]
            or other["y"] + other["h"] <= one["y"]
        )
        assert apart, (one, other)
    assert all(panel["gridPos"]["x"] + panel["gridPos"]["w"] <= 24 for panel in every)


@each_panel
def test_a_panel_says_what_it_shows(uid: str, panel: dict[str, Any]) -> None:
    assert len(panel["title"]) > 2
    assert len(panel["description"]) > 20
    assert panel["description"].endswith(".")
    defaults = panel["fieldConfig"]["defaults"]
    assert defaults["unit"]
    assert defaults["noValue"], "nothing is said in words"
    steps = defaults["thresholds"]["steps"]
    assert steps[0]["value"] is None
    assert all(low["value"] < high["value"] for low, high in pairwise(steps[1:]))


@each_panel
def test_a_panel_asks_the_chosen_data_source(uid: str, panel: dict[str, Any]) -> None:
    chosen = {"type": "prometheus", "uid": "${datasource}"}
    assert panel["datasource"] == chosen
    assert panel["targets"]
    assert len({target["refId"] for target in panel["targets"]}) == len(panel["targets"])
    for target in panel["targets"]:
        assert target["datasource"] == chosen
        assert target["instant"] != target["range"]
        assert "interval" not in target
        # A panel without a series' name in words would show its labels.
        assert panel["type"] == "table" or target["legendFormat"]


@each_panel
def test_queries_hold_to_the_rules(uid: str, panel: dict[str, Any]) -> None:
    for target in panel["targets"]:
        expr = target["expr"]
        assert all('job=~"$job"' in selector for selector in selectors(expr)), expr
        for window in re.findall(r"\[([^\]]+)\]", re.sub(r'"[^"]*"', "", expr)):
            assert window == "$__rate_interval", "an interval is never fixed"
        assert not re.search(r"(rate|increase)\(libcensus_(?!collector)", expr), "present state has no rate"


def selectors(expr: str) -> list[str]:
    return re.findall(r"libcensus_(?!hosts|info)\w*\{(?:\$\{[^}]*\}|[^}])*\}", expr)


@each_board
def test_variables_find_their_values_by_queries(uid: str) -> None:
    source, *others = BOARDS[uid]["templating"]["list"]
    assert (source["name"], source["type"], source["query"]) == ("datasource", "datasource", "prometheus")
    for variable in others:
        assert variable["type"] == "query"
        assert variable["label"]
        assert variable["datasource"] == {"type": "prometheus", "uid": "${datasource}"}


@each_board
def test_variables_that_are_used_exist(uid: str) -> None:
    board = BOARDS[uid]
    known = {variable["name"] for variable in board["templating"]["list"]}
    texts = " ".join(strings(board))
    used = set(re.findall(r"(?<!\$)\$\{?(\w+)", re.sub(r"\"?\$1\"?", "", texts)))
    builtin = {"__field", "__rate_interval", "__url_time_range", "__data", "__value", "__all"}
    assert used - builtin <= known
    assert known - used <= set(), "a variable that nothing uses"


@each_board
def test_links_lead_to_dashboards_that_are_there(uid: str) -> None:
    for url in (text for text in strings(BOARDS[uid]) if text.startswith(("/d/", "http"))):
        if url.startswith("http"):
            assert url.startswith("https://www.cve.org/CVERecord?id=")
            continue
        target = url.split("/")[2].split("?")[0]
        known = {variable["name"] for variable in BOARDS[target]["templating"]["list"]}
        assert set(re.findall(r"var-(\w+)=", url)) <= known
        assert set(re.findall(r"\$\{(\w+):queryparam\}", url)) <= known


@each_panel
def test_columns_and_names_of_a_panel_are_of_it(uid: str, panel: dict[str, Any]) -> None:
    if panel["type"] != "table":
        return
    steps = {step["id"]: step["options"] for step in panel["transformations"]}
    shown = list(steps["filterFieldsByName"]["include"]["names"])
    titles = dict(steps["organize"]["renameByName"])
    assert set(titles) == set(shown)
    if len(panel["targets"]) > 1:
        # A value is called so where the first query alone finds something.
        assert titles.pop("Value") == titles["Value #A"]
        shown.remove("Value")
    assert len(set(titles.values())) == len(shown)
    refs = {f"Value #{target['refId']}" for target in panel["targets"]} if len(panel["targets"]) > 1 else {"Value"}
    assert {name for name in shown if name.startswith("Value")} <= refs
    overridden = {one["matcher"]["options"] for one in panel["fieldConfig"]["overrides"]}
    assert overridden <= set(titles.values())
    assert {one["displayName"] for one in panel["options"].get("sortBy", [])} <= set(titles.values())


def test_provisioning_is_read_only_and_names_no_address() -> None:
    folder = FOLDER.parent / "provisioning"
    source = yaml.safe_load((folder / "datasources" / "libcensus.yml").read_text(encoding="utf-8"))["datasources"]
    assert [(one["type"], one["editable"], one["url"]) for one in source] == [
        ("prometheus", False, "$LIBCENSUS_PROMETHEUS")
    ]
    provider = yaml.safe_load((folder / "dashboards" / "libcensus.yml").read_text(encoding="utf-8"))["providers"][0]
    assert (provider["allowUiUpdates"], provider["disableDeletion"]) == (False, True)


def test_the_demo_finds_a_folder_a_program_and_says_what_to_do_without(tmp_path: Path) -> None:
    with pytest.raises(SystemExit, match="no program of Grafana there"):
        find_grafana(str(tmp_path))
    program = tmp_path / "bin" / "grafana-server"
    program.parent.mkdir()
    program.write_text("#!/bin/sh\n")
    program.chmod(0o755)
    (tmp_path / "conf").mkdir()
    (tmp_path / "conf" / "defaults.ini").touch()
    assert find_grafana(str(tmp_path)) == (program, tmp_path)
    assert find_grafana(str(program)) == (program, tmp_path)
