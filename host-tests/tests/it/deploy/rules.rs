//! `envoy/prometheus/rules.yaml`: promtool accepts it, its unit tests pass, and each alert has the tests and annotations that
//! an operator relies on.

use std::fs;
use std::path::PathBuf;
use std::process::Command;

use host_tests::tools;
use serde_json::Value;

/// An alert of `rules.yaml`.
pub(super) struct Alert {
    pub(super) name: String,
    pub(super) expression: String,
    severity: String,
    annotations: Value,
}

impl Alert {
    pub(super) fn runbook_url(&self) -> &str {
        self.annotations["runbook_url"].as_str().unwrap_or_default()
    }
}

/// A unit test of `rules_test.yaml` that expects an alert at some time, or does not.
struct UnitTest {
    name: String,
    alert: String,
    fires: bool,
    /// The metric names of its input.
    metrics: Vec<String>,
}

pub(super) fn folder() -> PathBuf {
    tools::repository().join("envoy/prometheus")
}

fn yaml(file: &str) -> Value {
    let yaml = fs::read_to_string(folder().join(file)).unwrap();
    yaml_serde::from_str(&yaml).unwrap()
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}

fn list(value: &Value) -> &[Value] {
    value.as_array().map(Vec::as_slice).unwrap_or_default()
}

fn rules() -> Vec<Value> {
    let file = yaml("rules.yaml");
    list(&file["groups"]).iter().flat_map(|group| list(&group["rules"])).cloned().collect()
}

/// Every alert, in the order of the file.
pub(super) fn alerts() -> Vec<Alert> {
    let alert = |rule: &Value| {
        Some(Alert {
            name: rule["alert"].as_str()?.to_owned(),
            expression: text(&rule["expr"]),
            severity: text(&rule["labels"]["severity"]),
            annotations: rule["annotations"].clone(),
        })
    };
    rules().iter().filter_map(alert).collect()
}

/// The names of the recording rules, with their expressions.
pub(super) fn records() -> Vec<(String, String)> {
    let record = |rule: &Value| Some((rule["record"].as_str()?.to_owned(), text(&rule["expr"])));
    rules().iter().filter_map(record).collect()
}

fn unit_tests() -> Vec<UnitTest> {
    let file = yaml("rules_test.yaml");
    list(&file["tests"]).iter().flat_map(unit_tests_of).collect()
}

/// One for each alert of a test.
fn unit_tests_of(test: &Value) -> Vec<UnitTest> {
    let metric = |input: &Value| text(&input["series"]).split('{').next().unwrap().to_owned();
    let expectations = list(&test["alert_rule_test"]);
    let mut names: Vec<_> = expectations.iter().map(|it| text(&it["alertname"])).collect();
    names.dedup();
    let unit_test = |alert: String| UnitTest {
        name: text(&test["name"]),
        fires: expectations
            .iter()
            .any(|it| text(&it["alertname"]) == alert && !list(&it["exp_alerts"]).is_empty()),
        alert,
        metrics: list(&test["input_series"]).iter().map(metric).collect(),
    };
    names.into_iter().map(unit_test).collect()
}

/// An expression with every recorded series replaced by its own expression.
fn resolved(expression: &str) -> String {
    let mut expression = expression.to_owned();
    // Later records use earlier ones.
    for (name, record) in records().iter().rev() {
        expression = expression.replace(name, record);
    }
    expression
}

fn promtool(arguments: &[&str]) {
    let output = Command::new(tools::command("promtool"))
        .args(arguments)
        .current_dir(folder())
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
    assert!(output.status.success(), "promtool {arguments:?}:\n{said}");
}

#[test]
fn promtool_accepts_the_rules() {
    promtool(&["check", "rules", "rules.yaml"]);
}

#[test]
fn the_unit_tests_of_the_rules_pass() {
    promtool(&["test", "rules", "rules_test.yaml"]);
}

#[test]
fn each_alert_has_a_test_in_which_it_fires_and_one_in_which_it_does_not() {
    let tests = unit_tests();
    let alerts = alerts();
    assert!(alerts.len() >= 20, "{}", alerts.len());
    for alert in &alerts {
        let of_alert = |fires| {
            tests.iter().filter(move |test| test.alert == alert.name && test.fires == fires)
        };
        assert!(of_alert(true).count() > 0, "{} never fires in a test", alert.name);
        assert!(of_alert(false).count() > 0, "{} fires in every test", alert.name);
    }
    for test in &tests {
        let is_known = alerts.iter().any(|alert| alert.name == test.alert);
        assert!(is_known, "{}: no alert {}", test.name, test.alert);
    }
}

/// Without input for its expression, an alert does not fire whatever the expression is.
#[test]
fn each_test_has_input_for_the_expression_of_its_alert() {
    let alerts = alerts();
    for test in unit_tests() {
        let alert = alerts.iter().find(|alert| alert.name == test.alert).unwrap();
        let expression = resolved(&alert.expression);
        let is_used = |metric: &String| expression.contains(metric.as_str());
        assert!(test.metrics.iter().any(is_used), "{}: {:?}", test.name, test.metrics);
    }
}

#[test]
fn each_alert_tells_an_operator_what_it_means_and_where_to_read_on() {
    for alert in alerts() {
        let severities = ["critical", "warning", "info"];
        assert!(severities.contains(&&*alert.severity), "{}: {}", alert.name, alert.severity);
        for annotation in ["summary", "description"] {
            let text = alert.annotations[annotation].as_str().unwrap_or_default();
            assert!(!text.is_empty(), "{}: no {annotation}", alert.name);
        }
        let anchor = format!("RUNBOOK.md#{}", alert.name.to_lowercase());
        assert_eq!(alert.runbook_url(), anchor, "{}", alert.name);
    }
}

#[test]
fn every_recorded_series_is_used_by_an_alert_or_another_record() {
    let records = records();
    assert!(records.len() >= 8, "{}", records.len());
    for (name, _) in &records {
        let in_alerts = alerts().iter().any(|alert| alert.expression.contains(name));
        let in_records = records.iter().any(|(_, expression)| expression.contains(name));
        assert!(in_alerts || in_records, "{name} is not used");
    }
}
