"""Building blocks of the dashboards: variables, queries, and panels that have a title, a description and a unit."""

from grafana_foundation_sdk.builders import (
    common,
    dashboard,
    heatmap,
    prometheus,
    stat,
    statetimeline,
    table,
    timeseries,
)
from grafana_foundation_sdk.models.common import BigValueGraphMode, LegendDisplayMode, LegendPlacement, StackingMode
from grafana_foundation_sdk.models.dashboard import (
    DashboardCursorSync,
    DashboardLinkType,
    DataSourceRef,
    DataTransformerConfig,
    Threshold,
    ThresholdsMode,
    ValueMap,
    ValueMappingResult,
    VariableRefresh,
    VariableSort,
)
from grafana_foundation_sdk.models.prometheus import PromQueryFormat

TAG = "awx-metrics-filter"
DATASOURCE = DataSourceRef(type_val="prometheus", uid="$datasource")
# Panels of a row; the grid is 24 wide.
QUARTER, THIRD, HALF, FULL = 6, 8, 12, 24


def new(uid, title, description, variables):
    """A dashboard with the data source and these variables."""
    board = (
        dashboard.Dashboard(title)
        .uid(uid)
        .description(description)
        .tags([TAG])
        .timezone("browser")
        .refresh("30s")
        .time("now-6h", "now")
        .tooltip(DashboardCursorSync.CROSSHAIR)
        .link(
            dashboard.DashboardLink("Controller, gateways and sources")
            .type(DashboardLinkType.DASHBOARDS)
            .tags([TAG])
            .as_dropdown(True)
            .keep_time(True)
        )
        .with_variable(dashboard.DatasourceVariable("datasource").label("Data source").type("prometheus"))
    )
    for each in variables:
        board.with_variable(each)
    return board


def variable(name, metric, all_value=".+"):
    """The values of a label, several at a time. Use `.*` for a label that series may lack."""
    return (
        dashboard.QueryVariable(name)
        .label(name.capitalize())
        .datasource(DATASOURCE)
        .query(f"label_values({metric}, {name})")
        .refresh(VariableRefresh.ON_TIME_RANGE_CHANGED)
        .sort(VariableSort.ALPHABETICAL_ASC)
        .multi(True)
        .include_all(True)
        .all_value(all_value)
    )


def series(expr, legend="__auto"):
    """A query of values over time."""
    return prometheus.Dataquery().expr(expr).legend_format(legend).datasource(DATASOURCE).range()


def current(expr, legend="__auto"):
    """A query of the values at the end of the time range."""
    return prometheus.Dataquery().expr(expr).legend_format(legend).datasource(DATASOURCE).instant()


def rows(expr):
    """The same as rows of a table, a column for each label."""
    return current(expr).format(PromQueryFormat.TABLE)


def described(panel, title, description, unit, queries, span, height):
    """What every panel has. Queries are named A, B, ... in their order."""
    for place, query in enumerate(queries):
        panel.with_target(query.ref_id(chr(ord("A") + place)))
    panel.title(title).description(description).unit(unit).datasource(DATASOURCE)
    return panel.span(span).height(height)


def graph(title, description, unit, *queries, span=HALF, stacked=False):
    """Lines over time, with the last and the highest value of each."""
    legend = (
        common.VizLegendOptions()
        .display_mode(LegendDisplayMode.TABLE)
        .placement(LegendPlacement.BOTTOM)
        .show_legend(True)
        .calcs(["lastNotNull", "max"])
    )
    panel = timeseries.Panel().legend(legend).fill_opacity(30 if stacked else 10).axis_soft_min(0)
    if stacked:
        panel.stacking(common.StackingConfig().mode(StackingMode.NORMAL))
    return described(panel, title, description, unit, queries, span, 8)


def number(title, description, unit, query, span=QUARTER, warn=None, alarm=None):
    """One number. It is yellow from `warn` to `alarm`, and red beyond `alarm`, which is above or below `warn`."""
    steps = [Threshold(None, "green")]
    if alarm is not None and alarm >= warn:
        steps += [Threshold(warn, "yellow"), Threshold(alarm, "red")]
    elif alarm is not None:
        steps = [Threshold(None, "red"), Threshold(alarm, "yellow"), Threshold(warn, "green")]
    panel = (
        stat.Panel()
        .graph_mode(BigValueGraphMode.AREA)
        .reduce_options(common.ReduceDataOptions().calcs(["lastNotNull"]))
        .thresholds(dashboard.ThresholdsConfig().mode(ThresholdsMode.ABSOLUTE).steps(steps))
    )
    return described(panel, title, description, unit, [query], span, 4)


def grid(title, description, unit, *queries, hidden=(), names=None, span=FULL):
    """A table of the current values: one row for each set of labels, the values of all queries side by side."""
    columns = {"excludeByName": {name: True for name in ("Time", "__name__", *hidden)}, "renameByName": names or {}}
    panel = table.Panel().filterable(True)
    panel.with_transformation(DataTransformerConfig(id_val="merge", options={}))
    panel.with_transformation(DataTransformerConfig(id_val="organize", options=columns))
    return described(panel, title, description, unit, queries, span, 8)


def up_and_down(title, description, query, span=FULL):
    """States over time: 1 is up, 0 is down."""
    mapping = ValueMap(
        {"0": ValueMappingResult("down", "red", index=0), "1": ValueMappingResult("up", "green", index=1)}
    )
    panel = statetimeline.Panel().mappings([mapping]).row_height(0.8)
    return described(panel, title, description, "short", [query], span, 8)


def heat(title, description, unit, query, span=HALF):
    """How values are distributed over buckets, over time."""
    panel = heatmap.Panel().calculate(False)
    return described(panel, title, description, unit, [query.format(PromQueryFormat.HEATMAP)], span, 8)
