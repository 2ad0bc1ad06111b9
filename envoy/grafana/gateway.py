"""The dashboard of gateways: requests, latency, errors, logins, launches, scrapes, and the filter itself."""

from grafana_foundation_sdk.builders.dashboard import Row

from panels import HALF, THIRD, graph, grid, heat, new, number, rows, series, variable

SELECTOR = 'job=~"$job",instance=~"$instance",gateway=~"$gateway"'
# Scrapes are answered by the filter itself.
PROXIED = 'resource!="metrics"'
FAILED = PROXIED + ',code=~"5.."'
# A series of Prometheus itself, for every target that it has.
UP = 'up{job=~"$job",instance=~"$instance"}'
REFUSED = 'outcome=~"denied|throttled"'


def selected(name, matchers=""):
    return f"{name}{{{SELECTOR}{',' if matchers else ''}{matchers}}}"


def rate(name, matchers=""):
    return f"rate({selected(name, matchers)}[$__rate_interval])"


def increase(name, matchers=""):
    return f"increase({selected(name, matchers)}[$__rate_interval])"


def last_hour(name):
    return f"last_over_time({selected(name)}[1h])"


def quantile(q, labels=""):
    buckets = rate("awx_gateway_request_duration_seconds_bucket", PROXIED)
    return f"histogram_quantile({q}, sum by (le{labels}) ({buckets}))"


def board():
    it = new(
        "awx-gateway",
        "AWX / Gateway",
        "The requests that pass the gateways, the clients that scrape them, and the filter itself.",
        [
            variable("job", "awx_gateway_build_info"),
            variable("instance", 'awx_gateway_build_info{job=~"$job"}'),
            variable("gateway", 'awx_gateway_build_info{job=~"$job",instance=~"$instance"}', ".*"),
        ],
    )
    for part in (overview, requests, latency, logins, clients, filters):
        part(it)
    return it


def overview(it):
    it.with_row(Row("Overview"))
    it.with_panel(
        number(
            "Requests",
            "Requests per second that pass the gateways, without scrapes.",
            "reqps",
            series(f"sum({rate('awx_gateway_requests_total', PROXIED)})", "requests"),
        )
    )
    it.with_panel(
        number(
            "Errors",
            "The share of these requests that is answered with a status from 500.",
            "percentunit",
            series(
                f"(sum({rate('awx_gateway_requests_total', FAILED)}) or vector(0)) / "
                f"sum({rate('awx_gateway_requests_total', PROXIED)})",
                "errors",
            ),
            warn=0.01,
            alarm=0.05,
        )
    )
    it.with_panel(
        number(
            "Latency",
            "95 % of the requests take less time. Websockets do not count.",
            "s",
            series(quantile(0.95), "p95"),
            warn=1,
            alarm=2.5,
        )
    )
    it.with_panel(
        number(
            "Gateways",
            "Gateways that Prometheus can scrape now, of those that it could scrape in the last hour.",
            "none",
            series(f"sum({UP} and on (job, instance) {last_hour('awx_gateway_build_info')})", "gateways"),
        )
    )


def requests(it):
    it.with_row(Row("Requests"))
    it.with_panel(
        graph(
            "Requests by resource",
            "What the requests are about.",
            "reqps",
            series(f"sum by (resource) ({rate('awx_gateway_requests_total', PROXIED)})", "{{resource}}"),
            stacked=True,
        )
    )
    it.with_panel(
        graph(
            "Requests by status",
            "How they are answered. 0 is a request that ended without an answer.",
            "reqps",
            series(f"sum by (code) ({rate('awx_gateway_requests_total', PROXIED)})", "{{code}}"),
            stacked=True,
        )
    )
    it.with_panel(
        graph(
            "Requests by method",
            "The HTTP method of the requests.",
            "reqps",
            series(f"sum by (method) ({rate('awx_gateway_requests_total', PROXIED)})", "{{method}}"),
            span=THIRD,
        )
    )
    it.with_panel(
        graph(
            "Requests by gateway",
            "How the load is spread over the gateways.",
            "reqps",
            series(f"sum by (instance) ({rate('awx_gateway_requests_total', PROXIED)})", "{{instance}}"),
            span=THIRD,
        )
    )
    it.with_panel(
        graph(
            "Errors by resource",
            "Requests that are answered with a status from 500.",
            "reqps",
            series(f"sum by (resource, code) ({rate('awx_gateway_requests_total', FAILED)})", "{{resource}} {{code}}"),
            span=THIRD,
        )
    )


def latency(it):
    it.with_row(Row("Latency"))
    it.with_panel(
        graph(
            "Latency",
            "The time that 50, 95 and 99 % of the requests stay below.",
            "s",
            *(series(quantile(q), name) for q, name in ((0.5, "p50"), (0.95, "p95"), (0.99, "p99"))),
        )
    )
    it.with_panel(
        graph(
            "Latency by resource",
            "The time that 95 % of the requests stay below.",
            "s",
            series(quantile(0.95, ", resource"), "{{resource}}"),
        )
    )
    it.with_panel(
        heat(
            "Durations",
            "How many requests take how long.",
            "s",
            series(f"sum by (le) ({increase('awx_gateway_request_duration_seconds_bucket', PROXIED)})", "{{le}}"),
        )
    )
    it.with_panel(
        graph(
            "Latency from the native histogram",
            "More exact, scrapes included. Prometheus stores it only with native histograms enabled.",
            "s",
            *(
                series(f"histogram_quantile({q}, sum({rate('awx_gateway_latency_seconds')}))", name)
                for q, name in ((0.5, "p50"), (0.95, "p95"), (0.99, "p99"))
            ),
        )
    )


def logins(it):
    it.with_row(Row("Logins and launches"))
    it.with_panel(
        graph(
            "Logins",
            "Logins at the controller's login page.",
            "none",
            series(f"sum by (outcome) ({increase('awx_gateway_logins_total')})", "{{outcome}}"),
            span=THIRD,
        )
    )
    it.with_panel(
        graph(
            "Job launches",
            "Requests that launch or relaunch a job or a workflow.",
            "none",
            series(
                f"sum by (resource, outcome) ({increase('awx_gateway_job_launches_total')})", "{{resource}} {{outcome}}"
            ),
            span=THIRD,
        )
    )
    it.with_panel(
        graph(
            "New tokens",
            "Tokens that the controller created.",
            "none",
            series(f"sum({increase('awx_gateway_tokens_created_total')})", "tokens"),
            span=THIRD,
        )
    )


def clients(it):
    it.with_row(Row("Clients of the metrics page"))
    it.with_panel(
        graph(
            "Scrapes",
            "By format and status. `none` is an answer without a page.",
            "reqps",
            series(f"sum by (format, code) ({rate('awx_gateway_scrapes_total')})", "{{format}} {{code}}"),
            span=THIRD,
        )
    )
    it.with_panel(
        graph(
            "Checked credentials",
            "How the check of the clients' credentials ended.",
            "reqps",
            series(f"sum by (outcome) ({rate('awx_gateway_auth_attempts_total')})", "{{outcome}}"),
            span=THIRD,
        )
    )
    it.with_panel(
        graph(
            "Refused credentials",
            "Wrong credentials, and attempts above the limit, by the kind of credentials.",
            "reqps",
            series(
                f"sum by (scheme, outcome) ({rate('awx_gateway_auth_attempts_total', REFUSED)})",
                "{{scheme}} {{outcome}}",
            ),
            span=THIRD,
        )
    )


def filters(it):
    it.with_row(Row("The filter"))
    it.with_panel(
        graph(
            "Workers",
            "Worker threads of Envoy that have seen a request.",
            "none",
            series(f"sum by (instance) ({selected('awx_gateway_workers')})", "{{instance}}"),
            span=THIRD,
        )
    )
    it.with_panel(
        graph(
            "VMs that ended",
            "After a change of the module this is expected. Otherwise the filter trapped.",
            "none",
            series(f"sum by (instance) ({increase('awx_gateway_vm_takeovers_total')})", "{{instance}}"),
            span=THIRD,
        )
    )
    it.with_panel(
        graph(
            "Requests without series",
            "Requests that were counted without labels because their series would be above the limit.",
            "reqps",
            series(f"sum by (instance) ({rate('awx_gateway_overflowed_requests_total')})", "{{instance}}"),
            span=THIRD,
        )
    )
    it.with_panel(
        grid(
            "Version",
            "The version of the filter on each gateway.",
            "none",
            rows(f"max by (instance, gateway, version) ({selected('awx_gateway_build_info')})"),
            hidden=["Value"],
            span=HALF,
        )
    )
    it.with_panel(
        grid(
            "Configuration",
            "The hash of the filter's configuration on each gateway. It covers no secret.",
            "none",
            rows(f"max by (instance, gateway, hash) ({selected('awx_gateway_config_info')})"),
            hidden=["Value"],
            span=HALF,
        )
    )
