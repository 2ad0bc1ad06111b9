"""The dashboard of sources: the controllers that have a current page at each gateway, and what the pulls cost."""

from grafana_foundation_sdk.builders.dashboard import Row

from panels import FULL, HALF, THIRD, graph, grid, new, number, rows, series, up_and_down, variable

SELECTOR = 'job=~"$job",instance=~"$instance",source=~"$source"'
FAILED = 'outcome!="ok"'


def selected(name, matchers=""):
    return f"{name}{{{SELECTOR}{',' if matchers else ''}{matchers}}}"


def rate(name, matchers=""):
    return f"rate({selected(name, matchers)}[$__rate_interval])"


def increase(name, matchers=""):
    return f"increase({selected(name, matchers)}[$__rate_interval])"


def age(labels):
    return f"time() - max by ({labels}) ({selected('awx_gateway_source_last_success_timestamp_seconds')} > 0)"


def board():
    it = new(
        "awx-sources",
        "AWX / Sources",
        "All controllers that the gateways pull: which pages are current, what pulls cost, and what is left out.",
        [
            variable("job", "awx_gateway_source_up"),
            variable("instance", 'awx_gateway_source_up{job=~"$job"}'),
            variable("source", 'awx_gateway_source_up{job=~"$job",instance=~"$instance"}'),
        ],
    )
    for part in (overview, pulls, samples):
        part(it)
    return it


def overview(it):
    it.with_row(Row("Overview"))
    it.with_panel(
        number(
            "Sources",
            "Sources that a gateway is configured to pull.",
            "none",
            series(f"count(count by (source) ({selected('awx_gateway_source_up')}))", "sources"),
        )
    )
    it.with_panel(
        number(
            "Sources that are down",
            "Sources of which no gateway has a current page.",
            "none",
            series(f"sum(1 - max by (source) ({selected('awx_gateway_source_up')}))", "down"),
            warn=1,
            alarm=1,
        )
    )
    it.with_panel(
        number(
            "Oldest page",
            "The age of the oldest page, if each source counts by its newest page.",
            "s",
            series(f"max({age('source')})", "age"),
            warn=60,
            alarm=180,
        )
    )
    it.with_panel(
        number(
            "Samples",
            "Samples on the last good pages of all sources.",
            "short",
            series(f"sum(max by (source) ({selected('awx_gateway_source_samples')}))", "samples"),
            warn=150000,
            alarm=200000,
        )
    )
    it.with_panel(
        grid(
            "Sources",
            "The state of each source at each gateway. The README explains the reasons.",
            "none",
            rows(f"max by (instance, source) ({selected('awx_gateway_source_up')})"),
            rows(age("instance, source")),
            rows(f"max by (instance, source) ({selected('awx_gateway_source_fetch_duration_seconds')})"),
            rows(f"max by (instance, source) ({selected('awx_gateway_source_samples')})"),
            rows(f"max by (instance, source, reason) ({selected('awx_gateway_source_problem_info')})"),
            hidden=["Value #E"],
            names={"Value #A": "up", "Value #B": "age (s)", "Value #C": "pull (s)", "Value #D": "samples"},
            span=FULL,
        )
    )
    it.with_panel(
        up_and_down(
            "Sources over time",
            "The times at which a source had a current page at any gateway.",
            series(f"max by (source) ({selected('awx_gateway_source_up')})", "{{source}}"),
        )
    )


def pulls(it):
    it.with_row(Row("Pulls"))
    it.with_panel(
        graph(
            "Age of the page",
            "Time since the last good pull, at the gateway that has the newest page.",
            "s",
            series(age("source"), "{{source}}"),
        )
    )
    it.with_panel(
        graph(
            "Duration of a pull",
            "How long the last pull took.",
            "s",
            series(f"max by (source) ({selected('awx_gateway_source_fetch_duration_seconds')})", "{{source}}"),
        )
    )
    it.with_panel(
        graph(
            "Failed pulls",
            "Pulls that gave no page, by how they ended.",
            "ops",
            series(
                f"sum by (source, outcome) ({rate('awx_gateway_source_fetches_total', FAILED)})",
                "{{source}} {{outcome}}",
            ),
            span=THIRD,
        )
    )
    it.with_panel(
        graph(
            "Pulls",
            "Pulls by all gateways. The controller builds its page this often.",
            "ops",
            series(f"sum by (source) ({rate('awx_gateway_source_fetches_total')})", "{{source}}"),
            span=THIRD,
        )
    )
    it.with_panel(
        graph(
            "Load on the controller",
            "Web workers of the controller that the pulls keep busy: pulls per second, times the duration of a pull.",
            "none",
            series(
                f"sum by (source) (sum without (outcome) ({rate('awx_gateway_source_fetches_total')}) * "
                f"{selected('awx_gateway_source_fetch_duration_seconds')})",
                "{{source}}",
            ),
            span=THIRD,
        )
    )


def samples(it):
    it.with_row(Row("Samples"))
    it.with_panel(
        graph(
            "Samples by source",
            "Samples on the last good page. A page above 100,000 is refused.",
            "short",
            series(f"max by (source) ({selected('awx_gateway_source_samples')})", "{{source}}"),
        )
    )
    it.with_panel(
        graph(
            "Withheld samples",
            "Samples that are left out because of other sources.",
            "short",
            series(
                f"max by (source, reason) ({selected('awx_gateway_source_withheld_samples')})", "{{source}} {{reason}}"
            ),
        )
    )
    it.with_panel(
        graph(
            "Dropped samples",
            "Samples that the gateways cannot serve. The controller repeats three families, so `duplicate` is normal.",
            "short",
            series(
                f"sum by (source, reason) ({increase('awx_gateway_source_dropped_samples_total')})",
                "{{source}} {{reason}}",
            ),
            span=HALF,
        )
    )
    it.with_panel(
        graph(
            "Unreadable lines",
            "Lines of pages that are no samples.",
            "short",
            series(f"sum by (source) ({increase('awx_gateway_source_unreadable_lines_total')})", "{{source}}"),
            span=HALF,
        )
    )
