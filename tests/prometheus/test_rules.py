"""The rules, examples and runbooks as files: what promtool and amtool say, what the conventions ask, what fits what."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from collections import Counter
from pathlib import Path

import click
import promql_parser as promql
import pytest

from libcensus.agent.cli import agent
from libcensus.cli.main import libcensus as operator
from libcensus.collector.cli import cli as collector
from tests.prometheus.rulefiles import (
    ALERTS,
    CASES,
    FOLDER,
    ROOT,
    RULE_FILES,
    LabelError,
    Rule,
    alerts,
    declared,
    labels_in,
    labels_of,
    load,
    records,
    rules,
    selected,
)

RUNBOOKS = ROOT / "docs" / "runbooks"
SEVERITIES = {"critical", "warning", "info"}
DASHBOARDS = {
    board["uid"]: {one["name"] for one in board["templating"]["list"]}
    for path in sorted((ROOT / "grafana" / "dashboards").glob("*.json"))
    for board in [json.loads(path.read_text(encoding="utf-8"))]
}
"""The variables of each dashboard, by its uid."""
SECTIONS = ["Meaning", "Impact", "Diagnosis", "Mitigation"]
_DURATION = re.compile(r"[1-9]\d*[mhd]")
_PRINTED = re.compile(r"\$labels\.(\w+)")
_QUERY = re.compile(r'query \(printf "((?:[^"\\]|\\.)+)"')


def run(*command: str, cwd: Path = FOLDER) -> str:
    """Run a command that has to succeed, and return what it said."""
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=cwd, timeout=300)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr


def titled(rule: Rule) -> str:
    """Return a name that tells apart the alerts of one name."""
    return f"{rule.name} {rule.labels.get('severity', '')}".strip()


@pytest.mark.parametrize("path", RULE_FILES, ids=lambda path: path.name)
def test_promtool_finds_nothing_to_say_about_rules(path: Path) -> None:
    assert "SUCCESS" in run("promtool", "check", "rules", "--lint=all", "--lint-fatal", str(path))


@pytest.mark.parametrize("path", sorted((FOLDER / "scrape").glob("*.yml")), ids=lambda path: path.name)
def test_scrape_examples_are_configurations_that_promtool_takes(path: Path, tmp_path: Path) -> None:
    # Files of the reader's own machine need not be on this one.
    text = path.read_text(encoding="utf-8")
    for named in re.findall(r"_file: (/\S+)", text):
        there = tmp_path / Path(named).name
        there.write_text("", encoding="utf-8")
        text = text.replace(named, str(there))
    copy = tmp_path / "scrape" / path.name
    copy.parent.mkdir()
    copy.write_text(text, encoding="utf-8")
    (tmp_path / "rules").symlink_to(FOLDER / "rules")
    assert "SUCCESS" in run("promtool", "check", "config", str(copy))


def test_amtool_takes_the_alertmanager_example() -> None:
    assert "SUCCESS" in run("amtool", "check-config", str(FOLDER / "alertmanager" / "libcensus.yml"))


@pytest.mark.parametrize("path", CASES, ids=lambda path: path.name)
def test_rules_say_what_their_cases_expect(path: Path) -> None:
    run("promtool", "test", "rules", str(path))


def test_each_alert_has_a_case_in_which_it_fires_and_one_in_which_it_does_not() -> None:
    fires: set[str] = set()
    silent: set[str] = set()
    for path in CASES:
        for case in load(path)["tests"]:
            for check in case.get("alert_rule_test", ()):
                name = check["alertname"]
                fires |= {f"{name} {one['exp_labels']['severity']}" for one in check["exp_alerts"]}
                if not check["exp_alerts"]:
                    silent.add(name)
    assert fires == {titled(alert) for alert in alerts()}
    assert silent == {alert.name for alert in alerts()}


@pytest.mark.parametrize("rule", rules(), ids=titled)
def test_every_metric_and_label_that_a_rule_names_is_there(rule: Rule) -> None:
    labels_in(promql.parse(rule.expr))


@pytest.mark.parametrize(
    ("expr", "missing"),
    [
        ("libcensus_host", "libcensus_host"),
        ("libcensus_hosts{os='debian'}", "os"),
        ("sum by (provider) (libcensus_hosts)", "provider"),
        ("libcensus_hosts * on (host) libcensus_host_info", "host"),
        ("libcensus_host_findings * on (host) group_left (path) libcensus_host_info", "path"),
    ],
)
def test_a_metric_or_label_that_is_nowhere_is_found(expr: str, missing: str) -> None:
    with pytest.raises(LabelError, match=rf"\b{missing}\b"):
        labels_in(promql.parse(expr))


@pytest.mark.parametrize("rule", records(), ids=titled)
def test_recorded_names_are_level_metric_operation_and_the_level_is_their_labels(rule: Rule) -> None:
    level, metric, operation = rule.name.split(":")
    assert metric.startswith(("libcensus_", "grpc_server_")) or level == "libcensus"
    assert re.fullmatch(r"[a-z][a-z0-9_]*", operation)
    if operation == "threshold":
        assert level == "libcensus"
        return
    rest = level
    for label in sorted(labels_of(rule.name), key=len, reverse=True):
        assert label in rest, (rule.name, label)
        rest = rest.replace(label, "", 1)
    assert rest.strip("_") == "", rule.name


@pytest.mark.parametrize("rule", records(), ids=titled)
def test_nothing_is_counted_once_for_each_collector(rule: Rule) -> None:
    """Sums and counts of what collectors tell alike are of a maximum or minimum without ``instance``."""
    about_collectors = ("libcensus_collector_", "grpc_", "libcensus_series")
    if any(name.startswith(about_collectors) for name in selected(promql.parse(rule.expr))):
        return
    assert "instance" not in labels_of(rule.name)
    # A count of counts has each place once, whatever the inner count is.
    places = re.sub(r"(count by \([^)]*\) \(\s*)count (?=by)", r"\1group ", rule.expr)
    for total in re.findall(r"(?:sum|count) by \([^)]*\) \(\s*(libcensus_\w+)", places):
        pytest.fail(f"{rule.name} counts {total} once for each collector")


@pytest.mark.parametrize("alert", alerts(), ids=titled)
def test_alerts_keep_the_conventions(alert: Rule) -> None:
    assert re.fullmatch(r"Libcensus([A-Z][a-z]+)+", alert.name)
    assert _DURATION.fullmatch(alert.waits)
    assert set(alert.labels) == {"severity"}
    assert alert.labels["severity"] in SEVERITIES
    assert set(alert.annotations) == {"summary", "description", "runbook_url", "dashboard_url"}
    assert alert.annotations["runbook_url"] == f"https://libcensus.example.com/docs/runbooks/{alert.name}.md"
    board = re.fullmatch(r"https://grafana\.example\.com/d/([a-z-]+)(\?.*)?", alert.annotations["dashboard_url"])
    assert board
    assert set(re.findall(r"[?&]var-(\w+)=", board[2] or "")) <= DASHBOARDS[board[1]]
    there = labels_in(promql.parse(alert.expr))
    for text in alert.annotations.values():
        assert set(_PRINTED.findall(text)) <= there, text
    assert len(re.sub(r"\{\{.*?\}\}", "…", alert.annotations["summary"])) < 90


@pytest.mark.parametrize("alert", alerts(), ids=titled)
def test_queries_in_descriptions_name_what_is_there_and_are_never_asked_for_each_host(alert: Rule) -> None:
    for template in _QUERY.findall(alert.annotations["description"]):
        labels_in(promql.parse(template.replace("%q", '"x"')))
        assert "host" not in labels_in(promql.parse(alert.expr)), "one query for each host at each evaluation"


def test_an_alert_about_hosts_is_one_for_a_host() -> None:
    for alert in alerts():
        labels = labels_in(promql.parse(alert.expr))
        if alert.group == "libcensus-host-alerts":
            assert labels == {"job", "host"}, alert.name
            assert alert.name.startswith("LibcensusHost")
        else:
            assert "host" not in labels, alert.name


def test_a_collector_that_is_down_mutes_its_hosts_before_their_alerts_end() -> None:
    """Series that are gone are looked for some minutes back; an end that was not muted would be told as "resolved"."""
    held = {
        int(minutes) for alert in alerts() for minutes in re.findall(r"last_over_time\([^\[]+\[(\d+)m\]", alert.expr)
    }
    down = next(alert for alert in alerts() if titled(alert) == "LibcensusCollectorDown warning")
    # One scrape and one evaluation may pass until it is noticed.
    assert int(down.waits.removesuffix("m")) + 2 < min(held)


def test_critical_is_only_what_cuts_hosts_off() -> None:
    critical = {alert.name for alert in alerts() if alert.labels["severity"] == "critical"}
    assert critical == {"LibcensusCollectorDown", "LibcensusStoreUnusable", "LibcensusCertificateExpiring"}


def test_thresholds_are_named_and_each_is_used() -> None:
    named = {rule.name for rule in records() if rule.name.endswith(":threshold")}
    assert {rule.file for rule in records() if rule.name in named} == {"libcensus-thresholds.yml"}
    used = {name for rule in rules() for name in selected(promql.parse(rule.expr))}
    assert named <= used


def test_each_alert_has_its_runbook_and_each_runbook_its_alert() -> None:
    assert {path.stem for path in RUNBOOKS.glob("*.md")} == {alert.name for alert in alerts()}


@pytest.mark.parametrize("path", sorted(RUNBOOKS.glob("*.md")), ids=lambda path: path.stem)
def test_runbooks_say_what_it_means_and_what_to_do(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    assert text.startswith(f"# {path.stem}\n")
    assert re.findall(r"^## (.+)$", text, re.MULTILINE) == SECTIONS
    assert "```" in text
    for link in re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", text):
        assert (path.parent / link).exists(), link


@pytest.mark.parametrize("path", sorted(RUNBOOKS.glob("*.md")), ids=lambda path: path.stem)
def test_series_that_a_runbook_asks_for_exist(path: Path) -> None:
    known = {*declared(), *(rule.name for rule in records())}
    families = {re.sub(r"_(bucket|count|sum)$", "", name) for name in known}
    named = set(
        re.findall(r"(?<![\w/.-])(?:[a-z_]+:)?libcensus_[a-z_]+[a-z](?::[a-z0-9_]+)?", path.read_text(encoding="utf-8"))
    )
    assert named <= known | families, named - known - families


def test_the_page_of_alerts_tells_of_every_alert_and_threshold() -> None:
    page = (ROOT / "docs" / "alerts.md").read_text(encoding="utf-8")
    told = Counter(re.findall(r"^\| \[(Libcensus\w+)\]\(runbooks/\1\.md\) \| (\w+) \| (\w+) \|", page, re.MULTILINE))
    assert told == Counter((alert.name, alert.labels["severity"], alert.waits) for alert in alerts())
    for rule in records():
        if rule.name.endswith(":threshold"):
            assert f"`{rule.name}`" in page, rule.name


def test_alerts_name_the_two_addresses_to_replace_and_no_other() -> None:
    found = set(re.findall(r"https?://[\w.-]+", ALERTS.read_text(encoding="utf-8")))
    assert found - {"http://127.0.0.1"} == {"https://libcensus.example.com", "https://grafana.example.com"}
    readme = (FOLDER / "README.md").read_text(encoding="utf-8")
    assert all(address in readme for address in found - {"http://127.0.0.1"})


def test_tools_are_there() -> None:
    assert shutil.which("promtool")
    assert shutil.which("amtool")


GROUPS = {"libcensus": operator, "libcensus-agent": agent, "libcensus-collector": collector}


def commands_in(path: Path) -> list[list[str]]:
    """Return the product's own commands in the code blocks of a page, as words."""
    blocks = re.findall(r"^```[a-z]*\n(.+?)^```", path.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)
    parts = [part.split("|")[0].strip() for block in blocks for line in block.splitlines() for part in line.split(";")]
    return [words for part in parts if (words := part.split("#")[0].split()) and words[0] in GROUPS]


@pytest.mark.parametrize("path", sorted(RUNBOOKS.glob("*.md")), ids=lambda path: path.stem)
def test_commands_in_a_runbook_are_the_products(path: Path) -> None:
    for words in commands_in(path):
        command: click.Command = GROUPS[words[0]]
        rest = words[1:]
        while isinstance(command, click.Group):
            found = command.get_command(click.Context(command), rest[0])
            assert found is not None, words
            command, rest = found, rest[1:]
        known = {option for parameter in command.params for option in (*parameter.opts, *parameter.secondary_opts)}
        assert {word.partition("=")[0] for word in rest if word.startswith("-")} <= known, words


def test_runbooks_use_the_products_commands() -> None:
    assert sum(bool(commands_in(path)) for path in RUNBOOKS.glob("*.md")) > 20
