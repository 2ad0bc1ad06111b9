use super::*;
use crate::exposition::{Format, parse, render};
use crate::metrics::{Page, Part, merge};
use std::rc::Rc;

macro_rules! capture {
    ($name:literal) => {
        include_str!(concat!("../../../host-tests/fixtures/captures/m/", $name, ".body"))
    };
}

const WHOLE: &str = capture!("m-admin-text");

fn set(names: &[&str]) -> BTreeSet<String> {
    names.iter().map(|&name| name.to_owned()).collect()
}

fn page(source: &str) -> Page {
    parse::text(source.as_bytes().to_vec()).unwrap()
}

fn rendered(page: &Page, selection: &Selection) -> String {
    String::from_utf8(rendered_as(page, selection, Format::Text)).unwrap()
}

fn rendered_as(page: &Page, selection: &Selection, format: Format) -> Vec<u8> {
    let page = Rc::new(page.clone());
    let merged = merge(&[Part { page, labels: &[], gateway_families: true }]);
    render(merged, selection, format)
}

/// The series of a page, without values, since the captures were taken at different times.
fn series(page: &str) -> Vec<&str> {
    let samples = page.lines().filter(|line| !line.is_empty() && !line.starts_with('#'));
    let mut series: Vec<_> =
        samples.filter_map(|line| line.rsplit_once(' ')).map(|it| it.0).collect();
    series.sort_unstable();
    series.dedup();
    series
}

fn assert_gives(selection: &Selection, captured: &str) {
    let ours = rendered(&page(WHOLE), selection);
    assert_eq!(series(&ours), series(captured), "{selection:?}");
    let json = rendered_as(&page(WHOLE), selection, Format::Json { indent: None });
    let json: serde_json::Value = serde_json::from_slice(&json).unwrap();
    let samples = json.as_object().unwrap().values();
    let samples: usize = samples.map(|it| it["samples"].as_array().unwrap().len()).sum();
    assert_eq!(samples, series(captured).len(), "{selection:?}");
}

#[test]
fn each_captured_query_gives_the_captured_series() {
    let sub = Selection { group: Group::Subsystem, ..Selection::default() };
    let all = Selection::default();
    let insert = "callback_receiver_events_insert_db";
    let two = ["task_manager_commit_seconds", "callback_receiver_batch_events_insert_db"];
    for (selection, captured) in [
        (all.clone(), WHOLE),
        (Selection { group: Group::Database, ..all.clone() }, capture!("m-dbonly")),
        (sub.clone(), capture!("m-subsystemonly")),
        (Selection { group: Group::Neither, ..all.clone() }, capture!("m-both-only")),
        (Selection { metrics: set(&[insert]), ..all.clone() }, capture!("m-metric")),
        (
            Selection { group: Group::Database, metrics: set(&["awx_users_total"]), ..all.clone() },
            capture!("m-metric-db"),
        ),
        (
            Selection { metrics: set(&[insert]), nodes: set(&["awx-1"]), ..sub.clone() },
            capture!("m-metric-sub"),
        ),
        (Selection { metrics: set(&two), ..sub.clone() }, capture!("m-metric-two")),
        (Selection { metrics: set(&[&two.join(",")]), ..sub.clone() }, capture!("m-metric-comma")),
        (Selection { metrics: set(&["nope"]), ..sub.clone() }, capture!("m-metric-unknown")),
        (Selection { nodes: set(&["awx-2"]), ..sub.clone() }, capture!("m-node")),
        (Selection { nodes: set(&["awx-2", "awx-3"]), ..sub.clone() }, capture!("m-node-two")),
        (Selection { nodes: set(&["nope"]), ..sub.clone() }, capture!("m-node-unknown")),
        (Selection { nodes: set(&[""]), ..sub }, capture!("m-node-empty")),
    ] {
        assert_gives(&selection, captured);
    }
}

#[test]
fn a_query_without_matches_gives_an_empty_page() {
    for selection in [
        Selection { group: Group::Neither, ..Selection::default() },
        Selection { group: Group::Subsystem, nodes: set(&["nope"]), ..Selection::default() },
        Selection { names: set(&["nope"]), ..Selection::default() },
    ] {
        assert_eq!(rendered(&page(WHOLE), &selection), "");
    }
}

const MIXED: &str = "# TYPE awx_gateway_a counter\nawx_gateway_a{node=\"n\"} 1\n\
                     # TYPE awx_b gauge\nawx_b{node=\"m\"} 2\n\
                     # TYPE c gauge\nc 3\nc{node=\"m\"} 4\nc{node=\"n\\\\\"} 5\n";

fn of_mixed(selection: &Selection) -> String {
    let page = rendered(&page(MIXED), selection);
    let lines = page.lines().filter(|line| !line.starts_with('#'));
    lines.filter_map(|line| line.rsplit(' ').next()).collect()
}

#[test]
fn the_gateways_families_belong_to_the_subsystem_group() {
    let of = |group| of_mixed(&Selection { group, ..Selection::default() });
    assert_eq!(of(Group::All), "12345");
    assert_eq!(of(Group::Database), "2");
    assert_eq!(of(Group::Subsystem), "1345");
    assert_eq!(of(Group::Neither), "");
}

#[test]
fn the_gateway_parameter_selects_only_the_gateways_families_or_excludes_them() {
    let of = |gateway| of_mixed(&Selection { gateway, ..Selection::default() });
    assert_eq!(of(GatewaySelection::Only), "1");
    assert_eq!(of(GatewaySelection::None), "2345");
    let nothing = Selection {
        gateway: GatewaySelection::Only,
        group: Group::Database,
        ..Selection::default()
    };
    assert_eq!(of_mixed(&nothing), "");
}

#[test]
fn the_name_parameter_selects_families_of_any_type_and_group() {
    let names = set(&["awx_gateway_a", "awx_b"]);
    assert_eq!(of_mixed(&Selection { names, ..Selection::default() }), "12");
}

#[test]
fn the_metric_parameter_selects_in_the_subsystem_group_only() {
    let of = |metric| of_mixed(&Selection { metrics: set(&[metric]), ..Selection::default() });
    assert_eq!(of("c"), "2345");
    assert_eq!(of("awx_gateway_a"), "12");
}

#[test]
fn the_node_parameter_keeps_the_database_group_and_excludes_the_gateways_families() {
    let of = |node| of_mixed(&Selection { nodes: set(&[node]), ..Selection::default() });
    assert_eq!(of("m"), "24");
    assert_eq!(of("n\\"), "25");
    assert_eq!(of("n"), "2");
    assert_eq!(of(""), "2");
}
