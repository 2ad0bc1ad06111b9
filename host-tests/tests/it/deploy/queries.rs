//! Every query that an operator is given has an answer: those of the controller's own Grafana dashboards and alerts, those of
//! the runbook, and those of the dashboards. Prometheus 2 and 3 scrape a real Envoy with traffic.

use host_tests::process;
use host_tests::prometheus::Prometheus;
use host_tests::tools::Major;

use super::dashboards::{self, Dashboard, filled};
use super::fleet::Fleet;
use super::runbook;
use crate::stage::PATIENCE;

/// All queries of `tools/grafana` of AWX: its dashboard, then its alerts. Lines with `#` name the file or contain conditions
/// that Grafana computes from the results.
const AWX: &str = include_str!("../../../fixtures/grafana/awx-queries.txt");

/// The address of the controller in AWX's demonstration: the label `instance` of what Prometheus scrapes.
const AWX_INSTANCE: &str = r#"instance="awx1:8013""#;

/// AWX's own queries. Their only label values that belong to its demonstration are the address, which becomes the gateway's,
/// and the node `awx-1`, which the stand-in controllers have too.
fn awx_queries(fleet: &Fleet) -> Vec<String> {
    let instance = format!(r#"instance="{}""#, fleet.address());
    let queries = AWX.lines().filter(|line| !line.is_empty() && !line.starts_with('#'));
    let queries: Vec<_> = queries.map(|it| it.replace(AWX_INSTANCE, &instance)).collect();
    assert!(queries.iter().filter(|query| query.contains(&instance)).count() >= 4);
    queries
}

/// Evaluates until there are series.
async fn assert_has_series(prometheus: &Prometheus, promql: &str) {
    let mut last = Ok(vec![]);
    let found = process::eventually(PATIENCE, async || {
        last = prometheus.evaluate(promql).await;
        let is_over = last.as_ref().is_ok_and(|series| !series.is_empty()) || last.is_err();
        is_over.then_some(())
    });
    found.await.unwrap_or_else(|| panic!("{promql}: no series"));
    assert!(last.is_ok(), "{promql}: {last:?}");
}

async fn answers_every_query(major: Major) {
    let fleet = Fleet::start().await;
    let prometheus = fleet.prometheus(major).await;
    let queries = awx_queries(&fleet);
    assert_eq!(queries.len(), 34);
    fleet
        .busy(async {
            for promql in &queries {
                assert_has_series(&prometheus, promql).await;
            }
        })
        .await;
    let of_runbook = runbook::queries();
    assert!(of_runbook.len() >= 15, "{}", of_runbook.len());
    for promql in of_runbook {
        // Many of them have a result only if there is a problem.
        let answer = prometheus.evaluate(promql).await;
        assert!(answer.is_ok(), "{promql}: {answer:?}");
    }
}

/// Its expressions, and the selectors from which its variables are filled.
fn queries_of(dashboard: &Dashboard) -> Vec<String> {
    let variables = dashboard.variables();
    let labels = variables.iter().map(|it| format!("count by ({}) ({})", it.label, it.selector));
    let panels = dashboard.panels();
    let expressions = panels.iter().flat_map(|panel| panel.expressions());
    let queries = expressions.map(str::to_owned).chain(labels);
    queries.map(|promql| filled(&promql, &variables)).collect()
}

async fn fills_every_panel(major: Major) {
    let fleet = Fleet::start().await;
    let prometheus = fleet.prometheus(major).await;
    let queries: Vec<_> = dashboards::all().iter().flat_map(queries_of).collect();
    assert!(queries.len() > 90, "{}", queries.len());
    fleet
        .busy(async {
            for promql in &queries {
                assert!(!promql.contains('$'), "{promql}");
                assert_has_series(&prometheus, promql).await;
            }
        })
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn prometheus_2_fills_every_panel() {
    fills_every_panel(Major::Two).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn prometheus_3_fills_every_panel() {
    fills_every_panel(Major::Three).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn prometheus_2_answers_every_query() {
    answers_every_query(Major::Two).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn prometheus_3_answers_every_query() {
    answers_every_query(Major::Three).await;
}
