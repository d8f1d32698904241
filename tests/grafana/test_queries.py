"""Every query of the dashboards against a real Prometheus: it answers, in the shape of its panel, with the truth."""

from __future__ import annotations

import json
import math
import re
import urllib.parse
import urllib.request
from collections import Counter
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest
from grafana.asked import BOARDS, EVERYTHING, Asked, filled, lookups, panels, queries
from grafana.demo import RULES
from grafana.fleet import UPGRADES
from grafana.panels import SEVERITIES
from grafana.past import SPEEDS, labels_of, query, recorded

from libcensus.facts.vocabulary import EnvironmentState, InstallKind

if TYPE_CHECKING:
    from tests.grafana.conftest import Watched


pytestmark = pytest.mark.timeout(900)
"""The first test waits for a fleet with a past, collectors and Prometheus, which a busy machine takes minutes for."""

MAY_BE_EMPTY = {
    ("libcensus-collector", "Refusals and errors", "A"): "nobody is refused here: only reasons that occur are drawn",
    ("libcensus-collector", "Refusals and errors", "B"): "the database makes no errors here",
    (
        "libcensus-portability",
        "Every build in use, on every host of its architecture",
        "F",
    ): "no simulated build misses a library altogether",
    (
        "libcensus-portability",
        "Every build in use, on every host of its architecture",
        "G",
    ): "no simulated build needs a newer kernel",
    ("libcensus-host", "Failed probes", "A"): "all of this host could be read; its panel shows the zero",
}
"""Queries that may find nothing in a healthy fleet, with the reason."""


def test_few_queries_may_find_nothing() -> None:
    assert len(MAY_BE_EMPTY) <= 5
    assert set(MAY_BE_EMPTY) <= {(one.board, one.panel, one.ref) for one in queries()}


def chosen_host(watched: Watched) -> str:
    """Return a host with as much as possible to show: stale installs, end of life, containers, processes."""
    found = query(
        watched.prometheus,
        "topk(1, count by (host) (libcensus_install_stale) "
        "and on (host) (libcensus_host_outdated_processes > 0) and on (host) libcensus_install_eol_timestamp_seconds)",
        watched.now,
    )
    return str(found[0]["metric"]["host"])


def at_range(watched: Watched, expr: str) -> list[dict[str, Any]]:
    """Return the series of a range query over the past and the present."""
    end = datetime.now(UTC)
    # The last step is the present, where the collectors' own counters are alone.
    start = end - timedelta(hours=6) * int((end - watched.past[0]) / timedelta(hours=6))
    body = {"query": expr, "start": start.timestamp(), "end": end.timestamp(), "step": "6h"}
    url = f"{watched.prometheus}/api/v1/query_range"
    with urllib.request.urlopen(url, urllib.parse.urlencode(body).encode(), timeout=60) as answer:
        found: list[dict[str, Any]] = json.load(answer)["data"]["result"]
    return found


def asked_with(watched: Watched, one: Asked) -> str:
    return filled(one.expr, {**EVERYTHING, "host": chosen_host(watched)})


@pytest.mark.parametrize("one", queries(), ids=str)
def test_a_query_answers_in_the_shape_that_its_panel_needs(watched: Watched, one: Asked) -> None:
    expr = asked_with(watched, one)
    now = datetime.now(UTC)
    found = query(watched.prometheus, expr, now) if one.instant else at_range(watched, expr)
    if not found:
        assert (one.board, one.panel, one.ref) in MAY_BE_EMPTY, expr
        return
    if one.kind == "stat":
        assert len(found) == 1, "one number"
    named = set(re.findall(r"\{\{(\w+)\}\}", one.legend))
    for series in found:
        assert named <= set(series["metric"]), f"the legend names what is not there: {series['metric']}"
    names = [filled_legend(one.legend, series["metric"]) for series in found]
    if one.kind != "table":
        assert len(set(names)) == len(names), "two series of one name"
        assert all(name.strip() for name in names)
    values = [series["value"][1] if one.instant else series["values"][-1][1] for series in found]
    assert any(not math.isnan(float(value)) for value in values)


def filled_legend(legend: str, labels: dict[str, str]) -> str:
    return re.sub(r"\{\{(\w+)\}\}", lambda found: labels.get(found[1], ""), legend)


@pytest.mark.parametrize("uid", sorted(BOARDS))
def test_tables_have_the_labels_that_their_columns_and_links_name(watched: Watched, uid: str) -> None:
    for panel in panels(BOARDS[uid]):
        if panel["type"] != "table":
            continue
        asked = [one for one in queries() if (one.board, one.panel) == (uid, panel["title"])]
        steps = {step["id"]: step["options"] for step in panel["transformations"]}
        columns = set(steps["filterFieldsByName"]["include"]["names"])
        have: set[str] = set()
        for one in asked:
            found = query(watched.prometheus, asked_with(watched, one), datetime.now(UTC))
            have |= {label for series in found for label in series["metric"]}
        assert {column for column in columns if not column.startswith("Value")} <= have
        linked = set(re.findall(r"__data\.fields\.(\w+)", json.dumps(panel)))
        assert linked <= have


@pytest.mark.parametrize("uid", sorted(BOARDS))
def test_variables_find_values(watched: Watched, uid: str) -> None:
    values = {**EVERYTHING, "host": chosen_host(watched)}
    asked = {found.variable: found for found in lookups(values) if found.board == uid}
    for variable in BOARDS[uid]["templating"]["list"][1:]:
        found = asked[variable["name"]]
        if found.matches:
            series = query(watched.prometheus, found.matches, watched.now)
            options = {one["metric"].get(found.label, "") for one in series}
        elif found.expr:
            series = query(watched.prometheus, found.expr, watched.now)
            options = {text_of(one) for one in series}
        else:
            with urllib.request.urlopen(f"{watched.prometheus}/api/v1/labels", timeout=60) as answer:
                options = set(json.load(answer)["data"])
        if pattern := variable.get("regex"):
            options = {match[1] for option in options if (match := re.search(pattern.strip("/"), option))}
        assert options - {""}, f"{found}: {variable['query']['query']}"
        default = variable.get("current", {}).get("value")
        if isinstance(default, str) and not default.startswith("$"):
            assert default in options


def text_of(series: dict[str, Any]) -> str:
    """Return a result of a query as Grafana gives it to the pattern of a variable."""
    labels = ",".join(f'{name}="{value}"' for name, value in series["metric"].items())
    return f"{{{labels}}} {series['value'][1]} {series['value'][0] * 1000}"


def test_every_metric_that_is_named_exists(watched: Watched) -> None:
    with urllib.request.urlopen(f"{watched.prometheus}/api/v1/label/__name__/values", timeout=60) as answer:
        known = set(json.load(answer)["data"]) | {record for record, _, _ in recorded(sorted(RULES.glob("*.yml")))}
    named = set()
    for one in queries():
        bare = re.sub(r'"[^"]*"', '""', one.expr)
        named |= set(re.findall(r"[a-z_]*:?libcensus[a-z0-9_]*(?::[a-z0-9_]+)*|(?:grpc|process)_[a-z_]+(?=\{)", bare))
    missing = {name for name in named if name not in known}
    assert not missing


# --- figures ------------------------------------------------------------------------------------------------------


def told(watched: Watched, board: str, panel: str, by: tuple[str, ...] = (), ref: str = "A") -> dict[Any, float]:
    """Return what a panel shows by these labels; without labels by the empty tuple."""
    one = next(one for one in queries() if (one.board, one.panel, one.ref) == (board, panel, ref))
    found = query(watched.prometheus, asked_with(watched, one), datetime.now(UTC))
    return {tuple(series["metric"].get(label, "") for label in by): float(series["value"][1]) for series in found}


def summed(rows: Counter[tuple[str, ...]], names: tuple[str, ...], by: tuple[str, ...]) -> dict[Any, float]:
    counts: Counter[tuple[str, ...]] = Counter()
    for key, number in rows.items():
        labels = dict(zip(names, key, strict=True))
        counts[tuple(str(labels[name]) for name in by)] += number
    return {key: float(number) for key, number in counts.items() if number}


def test_numbers_of_the_fleet_are_the_simulators(watched: Watched) -> None:
    truth = watched.truth
    newest = {one.received.host_id: one.received.received_at for one in watched.reports}
    # The last host is the one that reports all the time here.
    newest[watched.reports[-1].received.host_id] = watched.now
    silent = sum(last < watched.now - timedelta(days=1) for last in newest.values())
    fleet = "libcensus-fleet"
    assert told(watched, fleet, "Hosts") == {(): truth.hosts}
    assert told(watched, fleet, "Silent for a day") == {(): silent}
    assert told(watched, fleet, "Hosts to restart") == {(): truth.hosts_with_outdated_processes}
    assert told(watched, fleet, "Hosts: failed probe") == {(): truth.hosts_with_failed_probes}
    assert told(watched, "libcensus-collector", "Silent for a day") == {(): silent}


def test_a_label_that_the_operator_gave_chooses_hosts(watched: Watched) -> None:
    hosts = {one.received.host_id for one in watched.reports}
    one = next(one for one in queries() if (one.board, one.panel) == ("libcensus-fleet", "Hosts"))
    for value in ("prod", "staging"):
        expr = filled(one.expr, {**EVERYTHING, "label": "label_env", "value": value})
        (series,) = query(watched.prometheus, expr, datetime.now(UTC))
        assert float(series["value"][1]) == sum(labels_of(host)["env"] == value for host in hosts)


def test_composition_is_the_simulators(watched: Watched) -> None:
    truth, fleet = watched.truth, "libcensus-fleet"
    systems = ("os_id", "os_version", "arch", "libc", "libc_version")
    for panel, by in (
        ("Hosts by distribution", ("os_id", "os_version")),
        ("Hosts by C library", ("libc", "libc_version")),
    ):
        assert told(watched, fleet, panel, by) == summed(truth.systems, systems, by)
    installs = ("implementation", "version", "provider", "kind")
    assert told(watched, fleet, "Interpreters by provider", ("provider",)) == summed(
        truth.installs, installs, ("provider",)
    )
    crypto = ("family", "version", "linkage", "provider")
    panel = "How OpenSSL is reached"
    assert told(watched, fleet, panel, ("linkage",)) == summed(truth.crypto, crypto, ("linkage",))


def test_findings_are_the_simulators(watched: Watched) -> None:
    truth = watched.truth
    assert truth.findings is not None
    names = ("component", "severity", "status", "provider")
    open_ones = Counter({key: number for key, number in truth.findings.items() if str(key[2]) == "affected"})
    by_severity = summed(open_ones, names, ("severity",))
    panel = "Open findings by severity"
    shown = {ref: told(watched, "libcensus-fleet", panel, (), ref) for ref in "ABCDE"}
    assert {(name,): shown[ref][()] for ref, name in zip("ABCDE", SEVERITIES, strict=True)} == by_severity
    # Of interpreters alone: what copies in wheels are open to is theirs.
    own = Counter({key: number for key, number in open_ones.items() if key[0] == "cpython"})
    assert told(watched, "libcensus-security", "By component", ("component",))["cpython",] == sum(own.values())
    by_provider = summed(Counter({k: n for k, n in open_ones.items() if k[3] != "pypi"}), names, ("provider",))
    assert told(watched, "libcensus-security", "By who built the interpreter", ("provider",)) == by_provider


def test_what_would_bring_a_fix_is_as_the_simulator_built_it(watched: Watched) -> None:
    assert watched.truth.findings is not None
    brought: Counter[str] = Counter()
    for (component, _, status, provider), number in watched.truth.findings.items():
        if str(status) == "affected" and provider != "pypi":
            # What pyenv and people build uses the system's OpenSSL; Docker's images are containers here.
            shares = provider == "distro" or (component == "openssl" and provider in {"pyenv", "source"})
            brought["image" if provider == "docker-official" else "system" if shares else "own"] += number
    for board, panel in (
        ("libcensus-fleet", "Would a system upgrade fix it?"),
        ("libcensus-security", "By what would bring the fix"),
    ):
        shown = {legend: told(watched, board, panel, (), ref)[()] for ref, legend in zip("ABC", UPGRADES, strict=True)}
        assert shown == brought


def test_reach_and_builds_are_the_simulators(watched: Watched) -> None:
    truth, board = watched.truth, "libcensus-portability"
    policies = truth.wheel_policies()
    reached = sum(number for (policy, _), number in policies.items() if policy == "manylinux_2_28")
    assert told(watched, board, "Hosts that it reaches") == {(): reached}
    assert told(watched, board, "Hosts that it loses") == {(): truth.hosts - reached}
    shares = told(watched, board, "Share of the hosts that a wheel reaches", ("policy",))
    for (policy,), share in shares.items():
        assert share == pytest.approx(sum(n for (name, _), n in policies.items() if name == policy) / truth.hosts)
    table = "Every build in use, on every host of its architecture"
    runs = {(watched.digest_of(build)[:8],): hosts["runs", ""] for build, hosts in truth.build_hosts().items()}
    shown = told(watched, board, table, ("id",), "B")
    assert {key: number for key, number in shown.items() if number} == {key: n for key, n in runs.items() if n}


def test_latency_and_exposure_are_the_simulators(watched: Watched) -> None:
    past = watched.truth.as_object(lambda _: "")["past"]
    assert isinstance(past, dict)
    arrived = sum(row["measured"] for row in past["patch_latency"])
    assert told(watched, "libcensus-providers", "Fixes that arrived") == {(): arrived}
    buckets: Counter[float] = Counter()
    for row in past["patch_latency"]:
        for days, number in row["buckets"].items():
            buckets[float(days) * 86400] += number
    shown = told(watched, "libcensus-providers", "How long fixes took", ("le",))
    assert {float(le): number for (le,), number in shown.items() if le != "+Inf"} == {
        k: float(v) for k, v in buckets.items()
    }
    within: dict[str, Counter[int]] = {}
    for row in past["patch_latency"]:
        for days in (7, 30, 90):
            within.setdefault(row["provider"], Counter())[days] += row["buckets"][str(days)]
    measured: Counter[str] = Counter()
    for row in past["patch_latency"]:
        measured[row["provider"]] += row["measured"]
    for ref, days in (("B", 7), ("C", 30), ("D", 90)):
        for (provider,), share in told(
            watched, "libcensus-providers", "Providers compared", ("provider",), ref
        ).items():
            if not math.isnan(share):
                assert share == pytest.approx(within[provider][days] / measured[provider])
    exposures = sum(row["exposures"] for row in past["open_exposures"])
    assert told(watched, "libcensus-providers", "Fix is out, not installed") == {(): exposures}


def test_a_severity_that_is_not_chosen_shows_no_number(watched: Watched) -> None:
    for severity, (title, _) in SEVERITIES.items():
        one = next(one for one in queries() if (one.board, one.panel) == ("libcensus-security", title))
        for chosen in SEVERITIES:
            expr = filled(one.expr, {**EVERYTHING, "severity": chosen})
            found = query(watched.prometheus, expr, datetime.now(UTC))
            if chosen == severity:
                everything = query(watched.prometheus, asked_with(watched, one), datetime.now(UTC))
                assert [series["value"][1] for series in found] == [series["value"][1] for series in everything]
            else:
                assert not found, "a zero would say that nothing is open"


def test_hosts_are_counted_by_how_long_a_fix_has_waited(watched: Watched) -> None:
    now = watched.now.timestamp()
    oldest: dict[tuple[str, str], float] = {}
    for one in watched.episodes:
        if one.end is None and one.start is not None and one.start.timestamp() < now:
            key = one.host_id, one.severity
            oldest[key] = min(oldest.get(key, now), one.start.timestamp())
    panel = "Hosts by how long a fix has waited"
    for ref, days in zip("ABCD", (0, 7, 30, 90), strict=True):
        expected = Counter((severity,) for (_, severity), since in oldest.items() if now - since > days * 86400)
        shown = told(watched, "libcensus-security", panel, ("severity",), ref)
        assert {key: number for key, number in shown.items() if number} == expected


def test_every_branch_in_use_ends_at_some_time(watched: Watched) -> None:
    panel = "When support ends"
    refs = [one.ref for one in queries() if one.panel == panel]
    shown = sum(told(watched, "libcensus-security", panel, (), ref)[()] for ref in refs)
    (every,) = query(
        watched.prometheus,
        "count(max by (host, component, branch) (libcensus_host_eol_timestamp_seconds))",
        datetime.now(UTC),
    )
    assert shown == float(every["value"][1])


def test_tools_and_newest_builds_are_the_simulators(watched: Watched) -> None:
    providers = "libcensus-providers"
    tools = Counter((plan.tool.version, plan.tool.newest_build) for plan in watched.plans if plan.tool is not None)
    assert told(watched, providers, "Which uv versions are around", ("version", "newest_build")) == tools
    bases = Counter(
        one.build.provider.value if one.build is not None else "unknown"
        for plan in watched.plans
        for one in plan.installs
        if one.kind is InstallKind.BASE
    )
    shown: Counter[str] = Counter()
    for ref in "ABC":
        for (provider,), number in summed_rows(watched, providers, "Newest build of each branch", ref).items():
            shown[provider] += int(number)
    assert shown == bases


def summed_rows(watched: Watched, board: str, panel: str, ref: str) -> dict[Any, float]:
    by = ("provider", "implementation", "branch")
    rows = told(watched, board, panel, by, ref)
    return summed(Counter({key: int(number) for key, number in rows.items()}), by, ("provider",))


def test_speed_is_what_was_measured(watched: Watched) -> None:
    measured = told(watched, "libcensus-providers", "Work in the same time", ("provider", "version"))
    others = {(provider, version): ratio for provider, version, ratio in SPEEDS.values() if provider != "distro"}
    assert measured == pytest.approx(others)
    moments = told(watched, "libcensus-providers", "Measured, and how sure it is", ("provider",), "D")
    assert set(moments) == {(provider,) for provider, _ in others}
    assert all(abs(moment / 1000 - watched.now.timestamp()) < 3600 for moment in moments.values())


def test_stale_environments_are_the_simulators(watched: Watched) -> None:
    shown = told(watched, "libcensus-security", "Stale installs", ("reason",))
    assert shown["environment_base_gone",] == watched.truth.environments[EnvironmentState.DANGLING.value,]
    assert sum(told(watched, "libcensus-security", "Restart something here", ("host",)).values()) <= (
        watched.truth.outdated_processes
    )


def test_the_trend_shows_the_days_of_the_past(watched: Watched) -> None:
    one = next(one for one in queries() if (one.board, one.panel) == ("libcensus-fleet", "Open findings"))
    series = at_range(watched, asked_with(watched, one))
    for line in series:
        assert len(line["values"]) >= 3 * len(watched.past), "a day has a value all day long"
