"""The page of ``export --format html``: its figures are the commands', its texts no markup, its size bounded."""

from __future__ import annotations

import itertools
import json
import re
from collections import Counter
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest

from libcensus.cli.assessed import assessed_from_detail
from libcensus.cli.exports.page.figures import FleetFigures, days_since
from libcensus.cli.exports.page.frame import POLICY, fleet_page, hosts_page
from libcensus.cli.exports.page.markup import Head, Markup, escape, joined, percent, table, tag
from libcensus.cli.exports.page.plots import Bar, Moment, Series, bars, timeline
from libcensus.cli.exports.target import write_texts
from libcensus.collector.advisories.snapshot import load_snapshot
from libcensus.collector.app import Collector
from libcensus.collector.config import CollectorSettings
from libcensus.collector.fleetindex import FleetIndex
from libcensus.collector.labels import change_labels
from libcensus.collector.posture.finding import Component, Severity, SupportState, Upgrade, VexStatus
from libcensus.collector.posture.staleness import StalenessKind
from libcensus.collector.posture.verdict import PortabilityState, Reason, ReasonKind, Verdict
from libcensus.collector.postureindex import PostureIndexes
from libcensus.collector.service import portability_codec, posture_codec
from libcensus.collector.service.fleet import FleetReader
from libcensus.collector.service.fleet_codec import HostSummary
from libcensus.collector.service.portability import PortabilityReader
from libcensus.collector.service.posture import PostureReader, Question
from libcensus.collector.service.providers import ProvidersReader
from libcensus.collector.service.providers_codec import PatchedShare, ProviderPatching, ProvidersAnswer
from libcensus.collector.simulation.fill import Simulation
from libcensus.collector.store.sql import SqlStore
from libcensus.facts.vocabulary import Linkage
from tests.cli.exports.page_reading import Page
from tests.collector.metrics import fleet
from tests.golden import check_golden

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from libcensus.collector.posture.assessment import Assessor
    from tests.cli.conftest import Outcome

    Run = Callable[..., Outcome]

HOSTS = 200
NOW = datetime(2026, 11, 20, 13, tzinfo=UTC)
EVIL = "<script>alert('x')</script>\n\"quoted\" &amp; \u202eback"
SMALL = 4 * 1024 * 1024


def ask_readers(store: SqlStore, assessor: Assessor, now: datetime = NOW, selector: str = "") -> FleetFigures:
    """Return the figures of a store's hosts, as a collector answers them."""
    indexes = PostureIndexes(store, lambda: assessor)
    portability = PortabilityReader(FleetIndex(store), lambda: assessor)
    listed = FleetReader(store, lambda: assessor).list_hosts(10_000, "", selector)
    return FleetFigures(
        now,
        selector,
        listed.hosts,
        listed.unknown_keys,
        portability.libcs(selector),
        portability.matrix(selector=selector),
        PostureReader(indexes).posture(Question(limit=25, labels=selector)),
        ProvidersReader(indexes).providers(selector=selector),
    )


@pytest.fixture
def store(tmp_path: Path) -> Iterator[SqlStore]:
    """A store with a full host, one alike another, and one whose every text would be markup."""
    with SqlStore.open(f"sqlite:///{tmp_path / 'census.db'}") as opened:
        fleet.report(opened, fleet.full_machine())
        fleet.report(opened, fleet.Machine("web-1"))
        evil = fleet.install("/opt/<img src=x onerror=alert(1)>/'\"/python3", fleet.PBS_312, fleet.STATIC)
        fleet.report(opened, fleet.Machine(EVIL, builds=(fleet.PBS_312,), installs=(evil,), os_id='de"b<i>an'))
        yield opened


@pytest.fixture(scope="module")
def simulated(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Collector]:
    """A collector with some hundred simulated hosts that have a past, on the last day of theirs."""
    folder = tmp_path_factory.mktemp("simulated")
    with SqlStore.open(f"sqlite:///{folder / 'census.db'}") as opened:
        simulation = Simulation(load_snapshot(), 5, HOSTS, days=60)
        simulation.fill(opened)
        settings = CollectorSettings(listen="127.0.0.1:0", http_listen="127.0.0.1:0")
        running = Collector(settings, opened, today=lambda: simulation.as_of).start()
        try:
            yield running
        finally:
            running.stop()


@pytest.fixture(scope="module")
def told(simulated: Collector) -> Callable[..., Any]:
    """Return what a command tells of the simulated fleet as JSON, each asked once."""
    from contextlib import redirect_stdout
    from io import StringIO

    from libcensus.cli.main import main

    answers: dict[tuple[str, ...], Any] = {}

    def ask(*words: str) -> Any:
        if words not in answers:
            with redirect_stdout(StringIO()) as out:
                assert main([*words, "--output", "json", "--collector", simulated.grpc_address]) == 0
            answers[words] = json.loads(out.getvalue())
        return answers[words]

    return ask


@pytest.fixture(scope="module")
def page(simulated: Collector, tmp_path_factory: pytest.TempPathFactory) -> Page:
    """The page of the simulated fleet, as the command writes it."""
    from libcensus.cli.main import main

    file = tmp_path_factory.mktemp("page") / "fleet.html"
    assert main(["export", "--format", "html", "--output", str(file), "--collector", simulated.grpc_address]) == 0
    return Page(file.read_text("utf-8"))


# --- its figures are the commands' --------------------------------------------------------------------------------


def test_what_stands_at_the_top_is_what_the_commands_tell(page: Page, told: Callable[..., Any]) -> None:
    hosts, posture = told("hosts"), told("posture")
    severe = {"critical", "high"}
    assert page.tiles["hosts"] == f"{len(hosts):,}" == f"{HOSTS}"
    assert page.tiles["with critical or high"] == str(sum(one["worst_severity"] in severe for one in hosts))
    assert page.tiles["exposed"] == f"{posture['exposed_hosts']:,}"
    assert page.tiles["past their support"] == f"{posture['ended_places']:,}"
    assert page.tiles["to restart"] == str(sum((one["outdated_processes"] or 0) > 0 for one in hosts))
    assert page.tiles["with a failed probe"] == str(sum(one["failed_probes"] > 0 for one in hosts))
    affected = sum(one["findings"] for one in posture["counts"] if one["status"] == "affected")
    system = sum(one["findings"] for one in posture["affected"] if one["upgrade"] == "system")
    sentences = page.root.all("ul", "answers")[0].text
    assert f"{posture['affected_hosts']:,} hosts of {HOSTS}" in sentences
    assert f"{system:,} of {affected:,} affected findings" in sentences
    assert sum(page.bars("Would a system upgrade reach it?").values()) == affected


def test_the_composition_is_what_the_commands_tell(page: Page, told: Callable[..., Any]) -> None:
    hosts, installs = told("hosts"), told("posture")["installs"]
    systems = Counter(f"{one['os_id']} {one['os_version']}" for one in hosts)
    assert page.bars("Hosts by distribution") == systems
    providers: Counter[str] = Counter()
    linkages: Counter[str] = Counter()
    for one in installs:
        providers[one["provider"]] += one["installs"]
        linkages[one["linkage"]] += one["installs"]
    assert page.bars("Who built them") == providers
    assert page.bars("How OpenSSL is reached") == linkages
    libcs = told("fleet", "glibc")
    counted: Counter[str] = Counter()
    for one in libcs["libcs"]:
        counted[f"{one['family']} {one['version']}"] += one["hosts"]
    assert page.bars("Hosts by C library, the oldest first") == counted


def test_what_is_lost_with_a_newer_floor_is_what_the_command_tells(page: Page, told: Callable[..., Any]) -> None:
    tags = told("fleet", "glibc")["tags"]
    lost = {one["tag"]: sum(loss["hosts"] for loss in one["lost"]) for one in tags if one["lost"]}
    for arch in ("x86_64", "aarch64"):
        rows = page.table(f"What is lost on {arch}")
        assert {f"{row['New floor']}_{arch}": int(row["Hosts lost"]) for row in rows} == {
            tag: number for tag, number in lost.items() if tag.endswith(f"_{arch}")
        }
        assert rows


def test_the_matrix_is_what_the_command_tells(page: Page, told: Callable[..., Any]) -> None:
    matrix = told("fleet", "matrix")
    platforms = {one["platform"]: one for one in matrix["platforms"]}
    builds = {one["build"]: one for one in matrix["builds"]}
    runs: Counter[tuple[str, str]] = Counter()
    hosts: Counter[tuple[str, str]] = Counter()
    for cell in matrix["cells"]:
        on = platforms[cell["platform"]]
        if on["arch"] == builds[cell["build"]]["arch"] == "x86_64":
            key = cell["build"], f"{on['libc']['family']} {on['libc']['version']}"
            hosts[key] += on["hosts"]
            runs[key] += on["hosts"] * (cell["verdict"] == "runs")
    (shown,) = [one for one in page.root.all("table", "matrix") if "Builds for x86_64" in one.all("caption")[0].text]
    columns = [one.all("span")[0].text for one in shown.all("th", "turned")]
    marks: Counter[str] = Counter()
    for row in shown.all("tbody")[0].all("tr"):
        digest = row.all("th")[0].attributes["title"] or ""
        own = [(digest, column) for column in columns]
        for key, cell in zip(own, row.all("td", "mark"), strict=True):
            share = runs[key] / hosts[key]
            marks[cell.text[-1]] += 1
            if share == 1:
                assert cell.text in {"✓", "m"}
            elif share:
                assert cell.text == percent(runs[key], hosts[key])
            else:
                assert cell.text in set("GLCSKX?")
        total = sum(hosts[key] for key in own)
        assert row.all("td", "starts")[0].text.split()[0] == percent(sum(runs[key] for key in own), total).split()[0]
    assert {"✓", "G", "L"} <= marks.keys()


def test_the_tables_of_findings_are_what_the_command_tells(page: Page, told: Callable[..., Any]) -> None:
    posture = told("posture", "--limit", "25")
    titles = {"openssl": "OpenSSL", "cpython": "Python", "nodejs": "Node.js", "glibc": "glibc"}
    rated = {"unknown": "not rated"}
    counts = {
        (titles[one["component"]], rated.get(one["severity"], one["severity"])): (one["findings"], one["hosts"])
        for one in posture["counts"]
        if one["status"] == "affected"
    }
    rows = page.table("Findings by component, severity and status")
    assert {
        (row["Component"], row["Severity"]): (number(row["Affected"]), number(row["on hosts"]))
        for row in rows
        if row["Affected"] != "0"
    } == counts
    advisories = page.table("Hosts per advisory")
    assert [(row["Advisory"], number(row["Affected hosts"]), number(row["Exposed hosts"])) for row in advisories] == [
        (one["advisory"], one["affected_hosts"], one["exposed_hosts"]) for one in posture["advisories"][:30]
    ]
    assert f"The first 30 of {len(posture['advisories']):,} advisories" in page.root.text
    remedies = page.table("What to do")
    assert [(row["Remedy"], number(row["Ends findings"]), number(row["Hosts"])) for row in remedies] == [
        (one["remedy"] or "nothing is known", one["findings"], one["hosts"]) for one in posture["remedies"]
    ]
    worst = page.table("Hosts to look at first")
    assert [(row["Host"], number(row["Critical"]), number(row["Exposed"])) for row in worst] == [
        (one["name"], one["affected"].get("critical", 0), one["exposed"]) for one in posture["worst_hosts"]
    ]
    stale = page.table("Stale installs by reason and provider")
    assert sum(number(row["Installs"]) for row in stale) == sum(one["stale"] for one in posture["staleness"])


def test_the_time_line_holds_the_ends_of_support(page: Page, told: Callable[..., Any]) -> None:
    words = page.plot("End of support")
    dated = [one for one in told("posture")["support"] if one["until"] is not None]
    shown = sorted(dated, key=lambda one: -one["places"])[:10]
    for one in shown:
        places = "place" if one["places"] == 1 else "places"
        assert f"{one['until'][:10]}, " in words
        assert f"{one['places']:,} {places} on {one['hosts']:,} host" in words


def test_how_findings_went_is_what_the_command_tells_of_each_day(
    run: Run, simulated: Collector, told: Callable[..., Any]
) -> None:
    where = ("--collector", simulated.grpc_address)
    since = (date.fromisoformat(told("posture")["day"][:10]) - timedelta(days=30)).isoformat()
    ended = run("export", "--format", "html", "--since", since, *where)
    assert (ended.code, ended.err) == (0, "")
    rows = Page(ended.out).table("The fleet at the ends of these days")
    assert len(rows) == 7
    assert rows[0]["Day"] == since
    for row in (rows[0], rows[3], rows[-1]):
        posture = told("posture", "--at", row["Day"])
        assert number(row["Hosts"]) == posture["hosts"]
        assert number(row["Affected hosts"]) == posture["affected_hosts"]
        assert number(row["Past support"]) == posture["ended_places"]
        severe = [
            one["findings"] for one in posture["counts"] if (one["severity"], one["status"]) == ("high", "affected")
        ]
        assert number(row["High"]) == sum(severe)
    assert f"Affected findings since {since}" in Page(ended.out).root.text


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("--format", "csv", "--since", "2026-01-01"), "--since is for the page of a fleet"),
        (("--format", "html", "--host", "web-1", "--since", "2026-01-01"), "--since is for the page of a fleet"),
        (("--format", "html", "--since", fleet.TODAY.isoformat()), "is not before today, 2026-11-20"),
    ],
)
def test_a_day_that_makes_no_sense_is_refused(
    run: Run, collector: Collector, words: tuple[str, ...], told: str
) -> None:
    ended = run("export", *words, "--collector", collector.grpc_address)
    assert (ended.code, ended.out) == (2, "")
    assert told in ended.err


@pytest.mark.parametrize(("length", "moments"), [(1, 2), (3, 4), (6, 7), (30, 7), (365, 7)])
def test_days_of_the_past_are_at_even_distances(length: int, moments: int) -> None:
    today = date(2026, 11, 20)
    days = days_since(today - timedelta(days=length), today)
    assert (len(days), days[-1] - days[0], days[-1]) == (moments, timedelta(days=length), today)
    distances = {(later - earlier).days for earlier, later in itertools.pairwise(days)}
    assert max(distances) - min(distances) <= 1


def test_the_table_of_patches_is_what_the_command_tells(page: Page, told: Callable[..., Any]) -> None:
    patching = told("providers")["patching"]
    rows = page.table("From the fix to the hosts")
    assert sum(number(row["Not installed"]) for row in rows) == sum(one["open"] for one in patching)
    assert page.tiles["fixes arrived"] == f"{sum(one['measured'] for one in patching):,}"
    medians = Counter(one["median_days"] for one in patching if one["measured"])
    assert Counter(number(row["Median days"]) for row in rows if row["Median days"] != "—") == medians
    lags = page.table("From the advisory to the fix")
    assert [row["Fixes from"] for row in lags] == [one["channel"] for one in told("providers")["lags"]]


def number(text: str) -> int:
    """Return a number as the page writes it."""
    return int(text.replace(",", ""))


# --- nothing gets out ---------------------------------------------------------------------------------------------


def pages_of(store: SqlStore) -> dict[str, str]:
    """Return the page of a store's fleet, and that of its hosts."""
    assessor = fleet.assessor()
    shower = FleetReader(store, lambda: assessor)
    details = [shower.show_host(stamp.host_id) for stamp in store.host_stamps()]
    return {
        "fleet": fleet_page(ask_readers(store, assessor), "0"),
        "hosts": hosts_page([(one.summary, assessed_from_detail(one)) for one in details], NOW, "0"),
    }


def test_no_text_of_a_host_becomes_markup(store: SqlStore) -> None:
    change_labels(store, "web-1", [("env", "prod")], [])
    for text in pages_of(store).values():
        page = Page(text)
        elements = page.root.everything
        assert not {one.name for one in elements} & {
            "script",
            "img",
            "i\u202e",
            "iframe",
            "object",
            "embed",
            "form",
            "base",
        }
        assert not [name for one in elements for name in one.attributes if name.startswith("on") or name == "style"]
        assert "<script>alert('x')</script>\\n\"quoted\" &amp; \\u202eback" in page.root.text
        assert "\u202e" not in text
    assert "/opt/<img src=x onerror=alert(1)>/'\"/python3" in Page(pages_of(store)["hosts"]).root.text


def test_a_page_loads_nothing_and_says_so_to_the_browser(store: SqlStore) -> None:
    for text in pages_of(store).values():
        head = Page(text).root.all("head")[0]
        policy = [one for one in head.all("meta") if one.attributes.get("http-equiv") == "Content-Security-Policy"]
        assert [one.attributes["content"] for one in policy] == [POLICY]
        assert POLICY.startswith("default-src 'none'; style-src 'unsafe-inline'; img-src data:")
        # The policy must stand before whatever it is about.
        assert text.index("Content-Security-Policy") < text.index("<style>")
        for one in Page(text).root.everything:
            assert "src" not in one.attributes
            assert (one.attributes.get("href") or "#").startswith(("#", "data:,")), one
        assert not re.search(r"url\(|@import|https?:", text.partition("</style>")[0])


def test_links_inside_a_page_lead_somewhere(store: SqlStore) -> None:
    for text in pages_of(store).values():
        elements = Page(text).root.everything
        named = [one.attributes["id"] for one in elements if "id" in one.attributes]
        assert len(named) == len(set(named))
        wanted = {(one.attributes.get("href") or "")[1:] for one in elements if one.name == "a"}
        assert wanted
        assert wanted <= set(named)


def test_every_plot_and_table_says_what_it_is(store: SqlStore) -> None:
    for text in pages_of(store).values():
        root = Page(text).root
        for one in root.all("svg"):
            assert one.attributes["role"] == "img"
            assert one.all("title")[0].text
        for one in root.all("figure"):
            assert one.all("figcaption")[0].all("strong")[0].text
            assert not one.all("svg") or one.all("svg")[0].all("desc")[0].text
        for one in root.all("table"):
            assert one.all("caption")[0].text
            assert all(head.attributes.get("scope") for head in one.all("th"))


def test_what_is_marked_as_markup_is_the_only_thing_that_is_not_escaped() -> None:
    assert joined("<b>", Markup("<b>")) == "&lt;b&gt;<b>"
    assert tag("td", "a\"b'", title='"><x') == '<td title="&quot;&gt;&lt;x">a&quot;b&#x27;</td>'
    assert escape("a\n\x1b\ud800b") == "a\\n\\x1b\\ud800b"
    assert escape(escape("<")) == "&lt;"
    assert "<th" in table("c", (Head("<h>"),), [("<td>",)])
    assert "<td>&lt;td&gt;" in table("c", (Head("<h>"),), [("<td>",)]).replace(' class="id"', "")


@pytest.mark.parametrize(
    ("part", "total", "words"),
    [(0, 10, "0 %"), (1, 1000, "<1 %"), (999, 1000, ">99 %"), (10, 10, "100 %"), (1, 3, "33 %"), (0, 0, "—")],
)
def test_a_share_never_claims_all_or_nothing_wrongly(part: int, total: int, words: str) -> None:
    assert percent(part, total) == words


@pytest.mark.parametrize("largest", [0, 1, 2, 3, 7, 10, 99, 100, 101, 12_345, 10**9])
def test_an_axis_holds_the_longest_bar(largest: int) -> None:
    drawn = bars("t", "a", "hosts", [Bar("x", {"all": largest})], {"all": Series("all", "blue")})
    ticks = [number(one.text) for one in Page(drawn).root.all("text", "tick")]
    assert ticks[0] == 0
    assert ticks[-1] >= largest
    assert len(ticks) <= 7
    assert ticks == sorted(set(ticks))


def test_a_time_line_keeps_what_is_far_away_at_its_edge() -> None:
    today = date(2026, 11, 20)
    rows = [Moment("old", date(2001, 1, 1), "bad", "over"), Moment("far", date(2099, 1, 1), "good", "later")]
    root = Page(timeline("t", "a", rows, today)).root
    box = [float(part) for part in (root.all("svg")[0].attributes["viewbox"] or "").split()]
    for one in (*root.all("line"), *root.all("circle")):
        for name in ("x1", "x2", "cx"):
            if name in one.attributes:
                assert 0 <= float(one.attributes[name] or 0) <= box[2]


# --- how it looks, and how large it gets --------------------------------------------------------------------------


@pytest.mark.parametrize("which", ["fleet", "host"])
def test_the_small_page_looks_as_it_did(tmp_path: Path, which: str) -> None:
    assessor = fleet.assessor()
    with SqlStore.open(f"sqlite:///{tmp_path / 'census.db'}") as opened:
        fleet.report(opened, fleet.full_machine())
        fleet.report(opened, fleet.Machine("web-1"))
        detail = FleetReader(opened, lambda: assessor).show_host("full")
        made = {
            "fleet": fleet_page(ask_readers(opened, assessor), "0"),
            "host": hosts_page([(detail.summary, assessed_from_detail(detail))], NOW, "0"),
        }
    # An element a line, so that a change can be read.
    check_golden(
        f"export-{which}.html", re.sub(r"(</(?:tr|p|div|figure|li|details|section|style|head)>)", r"\1\n", made[which])
    )


def test_a_page_says_unknown_where_a_collector_does_not_tell(store: SqlStore) -> None:
    figures = ask_readers(store, fleet.assessor())
    older = replace(figures.posture, affected=(), support=(), installs=())
    text = Page(fleet_page(replace(figures, posture=older, matrix=None), "0")).root.text
    assert "Unknown: this collector does not tell what would end the findings" in text
    assert "There are too many builds and platforms to judge all at once" in text


def test_a_huge_fleet_gives_a_small_page_that_says_what_it_leaves_out() -> None:
    figures = huge()
    text = fleet_page(figures, "0")
    assert len(text.encode()) < SMALL
    words = Page(text).root.text
    for told in (
        "The first 15 of 10,000 silent hosts",
        "The first 30 of 5,000 advisories",
        "The first 25 of 3,000 remedies",
        "The first 25 of 9,999 hosts",
        "The first 24 of 60 C libraries",
        "The 40 of 400 builds that most hosts have",
        "libcensus hosts --silent 24h -l team=a",
        "libcensus posture --limit 0 -l team=a",
    ):
        assert told in words


def huge() -> FleetFigures:
    """Return more of everything than a page can hold."""
    day = date(2026, 11, 20)
    hosts = tuple(
        HostSummary(
            f"{n:032x}",
            f"host-{n}",
            NOW,
            NOW - timedelta(days=n % 90 + 1),
            f"0.{n % 50}",
            os_id=f"os{n % 200}",
            outdated_processes=n % 3,
            failed_probes=n % 2,
        )
        for n in range(10_000)
    )
    libcs = tuple(portability_codec.LibcHosts("x86_64", "glibc", f"2.{n}", 10) for n in range(60))
    platforms = tuple(
        portability_codec.PlatformHosts(
            f"{n:064x}", f"os {n % 7}, glibc 2.{n % 60}, x86_64", 10, (), "x86_64", "glibc", f"2.{n % 60}"
        )
        for n in range(300)
    )
    builds = tuple(
        portability_codec.MatrixBuild(
            f"{n:064x}", "cpython", "pyenv", n, f"3.12.{n}", None, "x86_64", (), f"2.{n % 60}"
        )
        for n in range(400)
    )
    blocked = Verdict(PortabilityState.BLOCKED, (Reason(ReasonKind.SYMBOL_VERSION, "GLIBC_2.60", "GLIBC_2.1"),))
    verdicts = tuple(
        tuple(blocked if (row + column) % 3 else Verdict(PortabilityState.RUNS) for column in range(300))
        for row in range(400)
    )
    posture = posture_codec.PostureAnswer(
        hosts=10_000,
        affected_hosts=9_999,
        under_investigation_hosts=1,
        unreadable_hosts=0,
        counts=tuple(
            posture_codec.FindingCount(Component.OPENSSL, one, VexStatus.AFFECTED, 10**6, 10**4) for one in Severity
        ),
        providers=(),
        advisories=tuple(
            posture_codec.AdvisoryPosture(f"CVE-2026-{n}", Component.OPENSSL, Severity.HIGH, day, 9, 9, 0, 0, 0, 0)
            for n in range(5_000)
        ),
        remedies=tuple(posture_codec.RemedyCount(f"upgrade {n}", 9, 9, ("host-1",)) for n in range(25)),
        remedies_total=3_000,
        worst_hosts=tuple(
            posture_codec.HostPosture(f"{n:032x}", f"host-{n}", ((Severity.HIGH, 3),), 0) for n in range(25)
        ),
        open_hosts=9_999,
        day=day,
        advisories_day=day,
        staleness=tuple(
            posture_codec.StaleCount(StalenessKind.BEHIND_PROVIDER, f"p{n}", 1, 1, 1, 1, 1) for n in range(40)
        ),
        affected=tuple(
            posture_codec.AffectedCount(Component.OPENSSL, Severity.HIGH, f"p{n}", Linkage.STATIC, Upgrade.OWN, 9, 9)
            for n in range(500)
        ),
        support=tuple(
            posture_codec.SupportCount(
                Component.OPENSSL, f"3.{n}", SupportState.ENDED, day - timedelta(days=n), None, 9, 9
            )
            for n in range(500)
        ),
        installs=tuple(
            posture_codec.InstallCount(
                "cpython", f"3.12.{n}", "pbs", f"2026{n:04}", Linkage.STATIC, "openssl", f"3.5.{n}", 9, 9
            )
            for n in range(3_000)
        ),
    )
    answer = many_providers(day)
    matrix = portability_codec.Matrix(builds, platforms, verdicts)
    return FleetFigures(NOW, "team=a", hosts, (), portability_codec.LibcAnswer(libcs), matrix, posture, answer)


def many_providers(day: date) -> ProvidersAnswer:
    """Return patches of more providers than a page can hold."""
    return ProvidersAnswer(
        tuple(
            ProviderPatching(
                f"p{n}",
                Component.OPENSSL,
                Severity.HIGH,
                1,
                86400.0,
                1,
                1,
                (PatchedShare(7, 1, 2),),
                0,
                0,
                0,
                1,
                0,
                day,
            )
            for n in range(500)
        ),
        (),
        10_000,
        day,
        day,
        day,
    )


# --- the command --------------------------------------------------------------------------------------------------


def test_a_host_has_a_page_of_its_own(run: Run, collector: Collector) -> None:
    ended = run("export", "--format", "html", "--host", "web-1", "--collector", collector.grpc_address)
    assert (ended.code, ended.err) == (0, "")
    page = Page(ended.out)
    assert page.root.all("h1")[0].text == "web-1"
    rows = page.table("Interpreters and environments")
    assert [row["Interpreter"] for row in rows] == ["/opt/py/bin/python3.12", "/usr/bin/python3.11"]
    assert rows[0]["OpenSSL really used"] == "3.5.4 static"
    probes = {row["Probe"]: (row["State"], row["Why"]) for row in page.table("Probes")}
    assert probes["packages"] == ("failed", "/var/lib/dpkg/status: truncated")
    assert probes["processes"] == ("skipped", "no CAP_SYS_PTRACE")
    proofs = page.root.all("details")
    assert any('PY_VERSION "3.12.12"' in one.text and "1,200" in one.text for one in proofs)


def test_the_open_findings_of_a_host_are_those_that_show_tells(run: Run, collector: Collector) -> None:
    where = ("--collector", collector.grpc_address)
    shown = json.loads(run("show", "web-1", "--output", "json", *where).out)["findings"]
    wanted = Counter(one["advisory"] for one in shown if one["status"] in {"affected", "under_investigation"})
    page = Page(run("export", "--format", "html", "--host", "web-1", *where).out)
    (places,) = [
        one for one in page.root.all("table") if one.all("caption")[0].text.startswith("Open findings by place")
    ]
    told = Counter(row.all("td")[0].text for inner in places.all("table") for row in inner.all("tbody")[0].all("tr"))
    assert told == wanted
    assert wanted


def test_several_hosts_stand_on_one_page_with_links_to_each(run: Run, collector: Collector) -> None:
    ended = run("export", "--format", "html", "-l", "!env", "--host", "web-1", "--collector", collector.grpc_address)
    assert ended.code == 0
    evil = "evil\n\x1b[31mname"
    ended = run("export", "--format", "html", "--host", "web-1", "--host", evil, "--collector", collector.grpc_address)
    page = Page(ended.out)
    assert [one.text for one in page.root.all("nav")[0].all("a")] == ["evil\\n\\x1b[31mname", "web-1"]
    assert "\x1b" not in ended.out


def test_a_selector_that_chooses_nobody_gives_a_page_that_says_so(run: Run, collector: Collector) -> None:
    ended = run("export", "--format", "html", "-l", "env=nowhere", "--collector", collector.grpc_address)
    assert ended.code == 0
    assert "no host has a label env" in ended.err
    assert "No host has labels that env=nowhere chooses." in Page(ended.out).root.text


def test_the_status_of_findings_cannot_be_chosen_on_a_page(run: Run, collector: Collector) -> None:
    ended = run("export", "--format", "html", "--status", "fixed", "--collector", collector.grpc_address)
    assert ended.code == 2
    assert "--status chooses findings for other programs" in ended.err


def test_a_file_is_there_when_it_is_complete_and_the_old_one_stays_where_it_fails(
    run: Run, collector: Collector, tmp_path: Path
) -> None:
    file = tmp_path / "fleet.html"
    file.write_text("old")
    refused = run(
        "export", "--format", "html", "--host", "nobody", "--output", str(file), "--collector", collector.grpc_address
    )
    assert (refused.code, refused.out, file.read_text()) == (2, "", "old")
    lost = run("export", "--format", "html", "--output", str(file), "--collector", "127.0.0.1:1")
    assert (lost.code, file.read_text()) == (4, "old")
    written = run("export", "--format", "html", "--output", str(file), "--collector", collector.grpc_address)
    assert (written.code, written.out, written.err) == (0, "", "")
    assert file.read_text("utf-8").startswith("<!DOCTYPE html>")
    assert sorted(one.name for one in tmp_path.iterdir() if one.name.startswith((".fleet", "fleet"))) == ["fleet.html"]


@pytest.mark.parametrize("target", ["nowhere/fleet.html", ".", "file/fleet.html"])
def test_what_cannot_be_written_is_said_before_anything_is_asked(run: Run, tmp_path: Path, target: str) -> None:
    (tmp_path / "file").write_text("")
    ended = run("export", "--format", "html", "--output", str(tmp_path / target), "--collector", "127.0.0.1:1")
    assert ended.code == 2
    assert str(tmp_path / target) in ended.err
    assert "Traceback" not in ended.err


def test_a_link_is_followed_and_a_device_is_written_to(tmp_path: Path) -> None:
    real, link = tmp_path / "real.html", tmp_path / "link.html"
    link.symlink_to(real)
    write_texts(iter(["<p>"]), str(link))
    assert link.is_symlink()
    assert real.read_text() == "<p>"
    write_texts(iter(["<p>"]), "/dev/null")
    assert not (tmp_path / "null").exists()
    from pathlib import Path as Node

    assert Node("/dev/null").is_char_device()


def test_a_device_that_is_full_is_said(run: Run, collector: Collector) -> None:
    ended = run("export", "--format", "html", "--output", "/dev/full", "--collector", collector.grpc_address)
    assert (ended.code, ended.out) == (2, "")
    assert "--output /dev/full: cannot be written: No space left on device" in ended.err
