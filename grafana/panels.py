"""The parts that all dashboards are made of: queries, panels, variables, links, and the grid that they stand on.

Every panel says what it shows (title, description), in which unit, and from where on a value is worth a look
(thresholds). Panels of one kind look the same on every dashboard. What Grafana 9.4 does not know is not used.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from grafana_foundation_sdk.builders import (
    bargauge,
    common,
    dashboard,
    prometheus,
    stat,
    statetimeline,
    table,
    timeseries,
)
from grafana_foundation_sdk.models import common as words
from grafana_foundation_sdk.models import dashboard as model
from grafana_foundation_sdk.models.prometheus import PromQueryFormat

from grafana.queries import counted_once

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

TAG: Final = "libcensus"
SOURCE: Final = words.DataSourceRef(type_val="prometheus", uid="${datasource}")
"""The data source that the user chose; no dashboard names one."""

GREEN, YELLOW, ORANGE, RED, BLUE, GREY = "green", "#EAB839", "orange", "red", "blue", "#8e9bb0"
PURPLE: Final = "#B13BD1"

SEVERITIES: Final[Mapping[str, tuple[str, str]]] = {
    "critical": ("Critical", PURPLE),
    "high": ("High", RED),
    "moderate": ("Moderate", ORANGE),
    "low": ("Low", YELLOW),
    "unknown": ("Not rated", GREY),
}
"""How each severity is called and coloured; the sources of most CPython advisories rate none."""

WIDTH: Final = 24
DAYS: Final = "suffix: days"
"""The unit of spans that are told in days."""


@dataclass(frozen=True, slots=True)
class Query:
    """A PromQL expression of a panel; ``legend`` names its series in words that a person would choose."""

    expr: str
    legend: str = ""

    @property
    def text(self) -> str:
        """The expression on one line, with each series once."""
        return counted_once(self.expr)


Steps = tuple[tuple[float | None, str], ...]
CALM: Final[Steps] = ((None, GREEN),)
NEUTRAL: Final[Steps] = ((None, BLUE),)


def worse_from(orange: float, red: float | None = None) -> Steps:
    """Return steps from green over orange to red, for what should be small."""
    return ((None, GREEN), (orange, ORANGE)) + (() if red is None else ((red, RED),))


def better_from(orange: float, green: float) -> Steps:
    """Return steps from red over orange to green, for what should be large."""
    return (None, RED), (orange, ORANGE), (green, GREEN)


def thresholds(steps: Steps) -> dashboard.ThresholdsConfig:
    """Return the library's form of steps."""
    return (
        dashboard.ThresholdsConfig()
        .mode(model.ThresholdsMode.ABSOLUTE)
        .steps([model.Threshold(value=value, color=color) for value, color in steps])
    )


def color_mode(mode: str, fixed: str | None = None) -> dashboard.FieldColor:
    """Return how a field is coloured: ``thresholds``, ``palette-classic``, or ``fixed`` with a colour."""
    built = dashboard.FieldColor().mode(model.FieldColorModeId(mode))
    return built if fixed is None else built.fixed_color(fixed)


def _target(query: Query, ref: str, *, instant: bool, form: PromQueryFormat) -> prometheus.Dataquery:
    target = prometheus.Dataquery().ref_id(ref).expr(query.text).datasource(SOURCE).format(form)
    target = target.instant() if instant else target.range()
    return target.legend_format(query.legend) if query.legend else target


def _targets(
    panel: Any, queries: Sequence[Query], *, instant: bool, form: PromQueryFormat = PromQueryFormat.TIME_SERIES
) -> None:
    for position, query in enumerate(queries):
        panel.with_target(_target(query, chr(ord("A") + position), instant=instant, form=form))


def prop(name: str, value: object) -> model.DynamicConfigValue:
    """Return one property of an override."""
    return model.DynamicConfigValue(id_val=name, value=value)


def _recolor(panel: Any, colors: Mapping[str, tuple[str, str]]) -> None:
    """Give series by their legend another name and a colour."""
    for legend, (name, color) in colors.items():
        panel.override_by_name(
            legend, [prop("displayName", name), prop("color", {"mode": "fixed", "fixedColor": color})]
        )


def _common(panel: Any, title: str, about: str, unit: str, steps: Steps) -> None:
    panel.title(title).description(about).datasource(SOURCE).unit(unit).thresholds(thresholds(steps))


def _last_value() -> common.ReduceDataOptions:
    return common.ReduceDataOptions().calcs(["lastNotNull"]).values(False)


def by_severity(expr: str) -> list[Query]:
    """Return an expression once for each severity, the worst first; ``%s`` in it stands for the severity."""
    return [Query(expr.replace("%s", severity), severity) for severity in SEVERITIES]


# --- kinds of panels ----------------------------------------------------------------------------------------------


def number(
    title: str,
    about: str,
    expr: str,
    *,
    unit: str = "locale",
    steps: Steps = NEUTRAL,
    decimals: float | None = None,
    none: str = "0",
    link: tuple[str, str] | None = None,
    meanings: Mapping[str, tuple[str, str | None]] | None = None,
) -> stat.Panel:
    """Return one present number. ``none`` is shown where nothing of the kind exists; ``link`` is a title and a URL.

    ``meanings`` gives words and colours to values.
    """
    panel = stat.Panel()
    _common(panel, title, about, unit, steps)
    _targets(panel, [Query(expr, title)], instant=True)
    panel.reduce_options(_last_value()).color_mode(words.BigValueColorMode.VALUE)
    panel.graph_mode(words.BigValueGraphMode.NONE).text_mode(words.BigValueTextMode.VALUE).no_value(none)
    panel.justify_mode(words.BigValueJustifyMode.CENTER)
    if decimals is not None:
        panel.decimals(decimals)
    if meanings is not None:
        panel.mappings([value_map(meanings)])
    if link is not None:
        panel.data_links([dashboard.DashboardLink(link[0]).url(link[1])])
    return panel


def text(title: str, about: str, expr: str, label: str) -> stat.Panel:
    """Return the value of a label of one series, in words."""
    panel = stat.Panel()
    _common(panel, title, about, "string", NEUTRAL)
    _targets(panel, [Query(expr, "{{" + label + "}}")], instant=True)
    panel.reduce_options(_last_value()).color_mode(words.BigValueColorMode.NONE)
    panel.graph_mode(words.BigValueGraphMode.NONE).text_mode(words.BigValueTextMode.NAME).no_value("not known")
    panel.justify_mode(words.BigValueJustifyMode.CENTER)
    return panel


def bars(
    title: str,
    about: str,
    queries: Sequence[Query],
    *,
    unit: str = "locale",
    steps: Steps = NEUTRAL,
    colors: Mapping[str, tuple[str, str]] | None = None,
    maximum: float | None = None,
    decimals: float | None = None,
    none: str = "none",
    as_heatmap: bool = False,
) -> bargauge.Panel:
    """Return present numbers beside each other as horizontal bars, in the order of the queries' results.

    ``colors`` gives series by their legend another name and a colour; ``as_heatmap`` makes of buckets that hold each
    other ones that stand beside each other.
    """
    panel = bargauge.Panel()
    _common(panel, title, about, unit, steps)
    form = PromQueryFormat.HEATMAP if as_heatmap else PromQueryFormat.TIME_SERIES
    _targets(panel, queries, instant=True, form=form)
    panel.reduce_options(_last_value()).orientation(words.VizOrientation.HORIZONTAL).min(0).no_value(none)
    panel.display_mode(words.BarGaugeDisplayMode.BASIC).show_unfilled(True).min_viz_height(16)
    panel.value_mode(words.BarGaugeValueMode.TEXT).text(common.VizTextDisplayOptions().title_size(11).value_size(14))
    if not colors and "{{" in queries[0].legend:
        # Grafana drops the name of a bar that is alone, unless it is given.
        panel.display_name(re.sub(r"\{\{(\w+)\}\}", r"${__field.labels.\1}", queries[0].legend))
    if maximum is not None:
        panel.max(maximum)
    if decimals is not None:
        panel.decimals(decimals)
    _recolor(panel, colors or {})
    return panel


def trend(
    title: str,
    about: str,
    queries: Sequence[Query],
    *,
    unit: str = "locale",
    steps: Steps = CALM,
    colors: Mapping[str, tuple[str, str]] | None = None,
    stacked: bool = False,
    shows_thresholds: bool = False,
    decimals: float | None = None,
    soft_max: float | None = None,
    none: str = "nothing yet",
) -> timeseries.Panel:
    """Return numbers over time. ``soft_max`` is how far the axis goes at least."""
    panel = timeseries.Panel()
    _common(panel, title, about, unit, steps)
    _targets(panel, queries, instant=False)
    panel.color_scheme(color_mode("palette-classic")).min(0).no_value(none)
    panel.draw_style(words.GraphDrawStyle.LINE).line_width(1 if stacked else 2).fill_opacity(45 if stacked else 8)
    panel.line_interpolation(words.LineInterpolation.STEP_AFTER if stacked else words.LineInterpolation.LINEAR)
    panel.show_points(words.VisibilityMode.NEVER)
    panel.legend(
        common.VizLegendOptions()
        .display_mode(words.LegendDisplayMode.LIST)
        .placement(words.LegendPlacement.BOTTOM)
        .show_legend(True)
    )
    panel.tooltip(common.VizTooltipOptions().mode(words.TooltipDisplayMode.MULTI).sort(words.SortOrder.DESCENDING))
    if stacked:
        panel.stacking(common.StackingConfig().mode(words.StackingMode.NORMAL).group("A"))
    if soft_max is not None:
        panel.axis_soft_max(soft_max)
    if shows_thresholds:
        panel.thresholds_style(common.GraphThresholdsStyleConfig().mode(words.GraphThresholdsStyleMode.LINE))
    if decimals is not None:
        panel.decimals(decimals)
    _recolor(panel, colors or {})
    return panel


def states(title: str, about: str, query: Query, meanings: Mapping[str, tuple[str, str]]) -> statetimeline.Panel:
    """Return states over time; ``meanings`` gives a word and a colour to each value."""
    panel = statetimeline.Panel()
    _common(panel, title, about, "none", CALM)
    _targets(panel, [query], instant=False)
    panel.mappings([value_map(meanings)]).color_scheme(color_mode("thresholds")).no_value("nothing yet")
    panel.show_value(words.VisibilityMode.NEVER).row_height(0.8).merge_values(True).fill_opacity(70)
    panel.legend(
        common.VizLegendOptions()
        .display_mode(words.LegendDisplayMode.LIST)
        .placement(words.LegendPlacement.BOTTOM)
        .show_legend(False)
    )
    panel.tooltip(common.VizTooltipOptions().mode(words.TooltipDisplayMode.SINGLE).sort(words.SortOrder.NONE))
    return panel


def value_map(meanings: Mapping[str, tuple[str, str | None]]) -> model.ValueMap:
    """Return words, and colours where given, for values."""
    return model.ValueMap(
        options={
            value: model.ValueMappingResult(text=word, color=color, index=position)
            for position, (value, (word, color)) in enumerate(meanings.items())
        }
    )


# --- tables -------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Column:
    """One column of a table: the label or ``Value`` that it shows, and how.

    ``link`` is a title and a URL; ``steps`` colour the cell's background where ``paints`` is set, else its text;
    ``none`` stands where a row has no value.
    """

    of: str
    title: str
    unit: str = ""
    width: int | None = None
    steps: Steps | None = None
    paints: bool = False
    gauge: bool = False
    maximum: float | None = None
    decimals: int | None = None
    link: tuple[str, str] | None = None
    meanings: Mapping[str, tuple[str, str | None]] | None = None
    align: str = ""
    none: str = "-"


def sheet(
    title: str,
    about: str,
    queries: Sequence[str],
    columns: Sequence[Column],
    *,
    sort: tuple[str, bool] | None = None,
    none: str = "none",
    join: str | None = None,
) -> table.Panel:
    """Return a table of present values, one row per set of labels. Of several queries the first finds what any finds.

    Several queries are joined where all their labels agree (their values are ``Value #A``, ``Value #B``, …), or by one
    label with ``join``. What is no column is not shown. ``sort`` is a column's title, and whether the largest comes first.
    """
    panel = table.Panel()
    _common(panel, title, about, "string", CALM)
    _targets(panel, [Query(query) for query in queries], instant=True, form=PromQueryFormat.TABLE)
    panel.no_value(none).show_header(True).filterable(False).min_width(50).align(words.FieldTextAlignment.AUTO)
    panel.cell_options(words.TableAutoCellOptions()).display_mode(words.TableCellDisplayMode.AUTO)
    if len(queries) > 1 or join:
        if join is None:
            panel.with_transformation(model.DataTransformerConfig(id_val="merge", options={}))
        else:
            joined = {"byField": join, "mode": "outer"}
            panel.with_transformation(model.DataTransformerConfig(id_val="joinByField", options=joined))
    titles = {column.of: column.title for column in columns}
    if len(queries) > 1 and "Value #A" in titles:
        # Where the first query alone finds something, Grafana calls its value so.
        titles["Value"] = titles["Value #A"]
    names = list(titles)
    transformations: list[tuple[str, dict[str, object]]] = [
        ("filterFieldsByName", {"include": {"names": names}}),
        (
            "organize",
            {
                "excludeByName": {},
                "indexByName": {
                    name: names.index("Value #A" if name == "Value" and len(queries) > 1 else name) for name in names
                },
                "renameByName": titles,
            },
        ),
    ]
    for name, options in transformations:
        panel.with_transformation(model.DataTransformerConfig(id_val=name, options=options))
    for column in columns:
        properties = _properties(column)
        if properties:
            panel.override_by_name(column.title, properties)
    if sort is not None:
        panel.sort_by([_sorted_by(sort)])
    return panel


def _sorted_by(sort: tuple[str, bool]) -> Any:
    title, largest_first = sort
    return common.TableSortByFieldState().display_name(title).desc(largest_first)


def _properties(column: Column) -> list[model.DynamicConfigValue]:
    properties = []
    is_number = column.of.startswith("Value")
    if column.unit or is_number:
        properties.append(prop("unit", column.unit or "locale"))
    if column.of == "path":
        # Long paths are cut where the window is narrow: a click shows all of it.
        properties.append(prop("custom.inspect", True))
    properties.append(prop("noValue", column.none if is_number else ""))
    if column.width is not None:
        properties.append(prop("custom.width", column.width))
    if column.align:
        properties.append(prop("custom.align", column.align))
    if column.decimals is not None:
        properties.append(prop("decimals", column.decimals))
    if column.steps is not None:
        steps = [{"value": value, "color": color} for value, color in column.steps]
        properties.append(prop("thresholds", {"mode": "absolute", "steps": steps}))
        properties += _cell("gauge" if column.gauge else "background" if column.paints else "text")
    if column.maximum is not None:
        properties += [prop("min", 0), prop("max", column.maximum)]
    if column.meanings is not None:
        properties.append(prop("mappings", [value_map(column.meanings).to_json()]))
        if any(color for _, color in column.meanings.values()) and column.steps is None:
            properties += _cell("text")
    if column.link is not None:
        title, url = column.link
        properties.append(prop("links", [{"title": title, "url": url, "targetBlank": url.startswith("http")}]))
    return properties


def _cell(kind: str) -> list[model.DynamicConfigValue]:
    """Return how a cell looks, once as Grafana 9.4 knows it and once as later ones do; each ignores the other's."""
    old, new = {
        "background": ("color-background-solid", {"type": "color-background", "mode": "basic"}),
        "gauge": ("basic", {"type": "gauge", "mode": "basic"}),
        "text": ("color-text", {"type": "color-text"}),
    }[kind]
    return [prop("custom.displayMode", old), prop("custom.cellOptions", new)]


# --- variables ----------------------------------------------------------------------------------------------------


def source_variable() -> dashboard.DatasourceVariable:
    """Return the variable of the data source."""
    return dashboard.DatasourceVariable("datasource").label("Data source").type("prometheus")


ANYTHING: Final = "(?s:.*)"
"""What "All" stands for: names may hold newlines, and a dot alone is none of them."""


def choice(
    name: str,
    label: str,
    query: str,
    *,
    everything: str | None = ANYTHING,
    multi: bool = True,
    regex: str = "",
    default: str = "",
    about: str = "",
    newest_first: bool = False,
) -> dashboard.QueryVariable:
    """Return a variable whose values a query finds; ``everything`` is what "All" stands for, None where there is none."""
    variable = (
        dashboard.QueryVariable(name)
        .label(label)
        .datasource(SOURCE)
        .query({"query": query, "refId": "StandardVariableQuery"})
        .definition(query)
        .refresh(model.VariableRefresh.ON_TIME_RANGE_CHANGED)
        .sort(model.VariableSort.ALPHABETICAL_DESC if newest_first else model.VariableSort.ALPHABETICAL_ASC)
        .multi(multi)
        .regex(regex)
        .include_all(everything is not None)
    )
    if about:
        variable.description(about)
    if everything is not None:
        variable.all_value(everything)
        value: Any = ["$__all"] if multi else "$__all"
        variable.current(model.VariableOption(selected=True, text=["All"] if multi else "All", value=value))
    elif default:
        variable.current(model.VariableOption(selected=True, text=default, value=default))
    return variable


# --- links --------------------------------------------------------------------------------------------------------

_KEPT = "${datasource:queryparam}&${job:queryparam}&${__url_time_range}"


def to_host(of: str = "host") -> tuple[str, str]:
    """Return the link from a row to the dashboard of its host."""
    return "This host", f"/d/libcensus-host/?var-host=${{__data.fields.{of}:percentencode}}&{_KEPT}"


def to_dashboard(title: str, uid: str, more: str = "") -> tuple[str, str]:
    """Return a link to another dashboard that keeps data source, job and time."""
    return title, f"/d/{uid}/?{more}{_KEPT}"


# --- a dashboard --------------------------------------------------------------------------------------------------


@dataclass(slots=True)
class Board:
    """A dashboard while it is built: panels fill the grid from left to right, row by row."""

    uid: str
    title: str
    about: str
    variables: Sequence[Any]
    _panels: list[Any] = field(default_factory=list)
    _next: int = 1
    _x: int = 0
    _y: int = 0
    _height: int = 0

    def row(self, title: str) -> None:
        """Begin a row of panels with a heading."""
        self._wrap()
        place = model.GridPos(x=0, y=self._y, w=WIDTH, h=1)
        self._panels.append(dashboard.Row(title).id(self._take_id()).grid_pos(place).collapsed(False))
        self._y += 1

    def add(self, width: int, height: int, panel: Any) -> None:
        """Put a panel beside the last one, or below where it does not fit."""
        if self._x + width > WIDTH:
            self._wrap()
        place = model.GridPos(x=self._x, y=self._y, w=width, h=height)
        self._panels.append(panel.id(self._take_id()).grid_pos(place))
        self._x += width
        self._height = max(self._height, height)

    def build(self) -> model.Dashboard:
        """Return the library's dashboard."""
        built = (
            dashboard.Dashboard(self.title)
            .uid(self.uid)
            .description(self.about)
            .tags([TAG])
            .timezone("browser")
            .time("now-7d", "now")
            .refresh("5m")
            .tooltip(model.DashboardCursorSync.CROSSHAIR)
            .readonly()
            .link(
                dashboard.DashboardLink("All of libcensus")
                .type(model.DashboardLinkType.DASHBOARDS)
                .tags([TAG])
                .as_dropdown(True)
                .include_vars(True)
                .keep_time(True)
            )
        )
        built.with_variable(source_variable())
        for variable in self.variables:
            built.with_variable(variable)
        finished = built.build()
        finished.panels = [panel.build() for panel in self._panels]
        return finished

    def _take_id(self) -> int:
        self._next += 1
        return self._next - 1

    def _wrap(self) -> None:
        self._y += self._height
        self._x = self._height = 0


JOB: Final = 'job=~"$job"'


def job_variable() -> dashboard.QueryVariable:
    """Return the variable of the collectors' job."""
    return choice("job", "Job", "label_values(libcensus_hosts, job)", everything=".+")


def system_variables() -> Iterable[dashboard.QueryVariable]:
    """Return the variables of distribution and architecture."""
    yield choice("os_id", "Distribution", f"label_values(libcensus_hosts{{{JOB}}}, os_id)")
    yield choice("arch", "Architecture", f'label_values(libcensus_hosts{{{JOB}, os_id=~"$os_id"}}, arch)')


SYSTEM: Final = f'{JOB}, os_id=~"$os_id", arch=~"$arch"'
"""Selects by job, distribution and architecture."""
