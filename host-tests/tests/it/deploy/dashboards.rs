//! `envoy/grafana`: the dashboards are what their generator writes, and follow the rules of Grafana's dashboard-linter.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use host_tests::tools;
use serde_json::Value;

/// A dashboard by the name of its file.
pub(super) struct Dashboard {
    pub(super) name: &'static str,
    model: Value,
}

/// A variable that is filled from the values of a label.
pub(super) struct Variable {
    pub(super) name: String,
    /// The selector of the series that have the label.
    pub(super) selector: String,
    pub(super) label: String,
    all_value: String,
}

/// A panel that shows data.
pub(super) struct Panel<'a>(&'a Value);

const NAMES: [&str; 3] = ["controller", "gateway", "sources"];

/// The matchers of `up`, which lacks the labels that a gateway gives to its series.
const UP: &str = r#"job=~"$job",instance=~"$instance""#;

/// The width of Grafana's grid.
const GRID: u64 = 24;

fn folder() -> PathBuf {
    tools::repository().join("envoy/grafana")
}

/// Every dashboard.
pub(super) fn all() -> [Dashboard; 3] {
    NAMES.map(|name| {
        let json = fs::read_to_string(folder().join(name).with_extension("json")).unwrap();
        Dashboard { name, model: serde_json::from_str(&json).unwrap() }
    })
}

impl Dashboard {
    /// The panels that are no rows, in their order.
    pub(super) fn panels(&self) -> Vec<Panel<'_>> {
        let panels = self.model["panels"].as_array().unwrap();
        panels.iter().filter(|panel| panel["type"] != "row").map(Panel).collect()
    }

    pub(super) fn variables(&self) -> Vec<Variable> {
        let variables = self.model["templating"]["list"].as_array().unwrap();
        variables.iter().filter(|it| it["type"] == "query").map(Variable::new).collect()
    }
}

impl Variable {
    fn new(variable: &Value) -> Self {
        let query = variable["query"].as_str().unwrap();
        let arguments = query.strip_prefix("label_values(").unwrap().strip_suffix(')').unwrap();
        let (selector, label) = arguments.rsplit_once(", ").unwrap();
        assert_eq!((&variable["multi"], &variable["includeAll"]), (&true.into(), &true.into()));
        assert_eq!(variable["datasource"]["uid"], "$datasource");
        Self {
            name: variable["name"].as_str().unwrap().to_owned(),
            selector: selector.to_owned(),
            label: label.to_owned(),
            all_value: variable["allValue"].as_str().unwrap().to_owned(),
        }
    }
}

impl Panel<'_> {
    pub(super) fn title(&self) -> &str {
        self.0["title"].as_str().unwrap_or_default()
    }

    pub(super) fn expressions(&self) -> Vec<&str> {
        let targets = self.0["targets"].as_array().unwrap();
        targets.iter().map(|target| target["expr"].as_str().unwrap()).collect()
    }
}

/// An expression with every variable replaced by what Grafana puts there if all values are chosen.
pub(super) fn filled(expression: &str, variables: &[Variable]) -> String {
    let mut filled = expression.replace("$__rate_interval", "1m");
    for variable in variables {
        filled = filled.replace(&format!("${}", variable.name), &variable.all_value);
    }
    filled
}

/// The matchers of every selector of an expression, as they are between the braces.
fn selectors(expression: &str) -> Vec<&str> {
    expression.split('{').skip(1).map(|rest| rest.split('}').next().unwrap()).collect()
}

/// Writes the dashboards into another folder.
fn generate(into: &Path) {
    let packages = tools::repository().join(".tools/grafana");
    assert!(packages.exists(), "{} is missing: run `make tools`", packages.display());
    let output = Command::new(tools::command("python3"))
        .arg("-B")
        .arg(folder().join("dashboards.py"))
        .arg(into)
        .env("PYTHONPATH", packages)
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

#[test]
fn the_dashboards_are_what_the_generator_writes() {
    let files = tempfile::tempdir().unwrap();
    generate(files.path());
    for name in NAMES.map(|name| format!("{name}.json")) {
        let generated = fs::read_to_string(files.path().join(&name)).unwrap();
        let committed = fs::read_to_string(folder().join(&name)).unwrap();
        assert!(generated == committed, "{name} is out of date: run `make dashboards`");
    }
}

#[test]
fn each_dashboard_has_its_own_uid_and_a_variable_for_the_data_source() {
    let all = all();
    let uids: BTreeSet<_> = all.iter().map(|it| it.model["uid"].as_str().unwrap()).collect();
    assert_eq!(uids.len(), all.len());
    for Dashboard { name, model } in &all {
        let first = &model["templating"]["list"][0];
        assert_eq!((&first["name"], &first["type"]), (&"datasource".into(), &"datasource".into()));
        assert_eq!(first["query"], "prometheus", "{name}");
        assert!(!model["title"].as_str().unwrap().is_empty());
        assert!(!model["description"].as_str().unwrap().is_empty());
    }
}

#[test]
fn each_panel_has_a_title_a_description_a_unit_and_the_data_source() {
    for dashboard in all() {
        for Panel(panel) in dashboard.panels() {
            for field in ["/title", "/description", "/fieldConfig/defaults/unit"] {
                let text = panel.pointer(field).and_then(Value::as_str).unwrap_or_default();
                assert!(!text.is_empty(), "{}: {field} of {}", dashboard.name, panel["title"]);
            }
            assert_eq!(panel["datasource"]["uid"], "$datasource");
            let targets = panel["targets"].as_array().unwrap();
            assert!(!targets.is_empty(), "{}: {}", dashboard.name, panel["title"]);
            for target in targets {
                assert_eq!(target["datasource"]["uid"], "$datasource");
                assert_ne!(target["hide"], true, "{}: {}", dashboard.name, panel["title"]);
            }
        }
    }
}

#[test]
fn titles_differ_within_a_dashboard_and_references_within_a_panel() {
    for dashboard in all() {
        let panels = dashboard.panels();
        assert!(panels.len() >= 10, "{}", dashboard.name);
        let titles: BTreeSet<_> =
            panels.iter().map(|it| (it.title(), it.0["type"].as_str())).collect();
        assert_eq!(titles.len(), panels.len(), "{}", dashboard.name);
        for Panel(panel) in panels {
            let targets = panel["targets"].as_array().unwrap();
            let references: BTreeSet<_> = targets.iter().map(|it| it["refId"].as_str()).collect();
            assert_eq!(references.len(), targets.len(), "{}", panel["title"]);
        }
    }
}

#[test]
fn each_panel_has_its_own_id_and_its_own_place_in_the_grid() {
    for dashboard in all() {
        let panels = dashboard.model["panels"].as_array().unwrap();
        let ids: BTreeSet<_> = panels.iter().map(|panel| panel["id"].as_u64().unwrap()).collect();
        assert_eq!(ids.len(), panels.len(), "{}", dashboard.name);
        let mut cells = BTreeSet::new();
        for panel in panels {
            let [x, y, w, h] =
                ["x", "y", "w", "h"].map(|it| panel["gridPos"][it].as_u64().unwrap());
            assert!(w > 0 && h > 0 && x + w <= GRID, "{}: {}", dashboard.name, panel["title"]);
            for cell in (x..x + w).flat_map(|x| (y..y + h).map(move |y| (x, y))) {
                assert!(cells.insert(cell), "{}: {} overlaps", dashboard.name, panel["title"]);
            }
        }
    }
}

/// Only `up` lacks a label that the dashboard has a variable for.
#[test]
fn every_selector_has_a_matcher_for_each_variable() {
    for dashboard in all() {
        let variables = dashboard.variables();
        for panel in dashboard.panels() {
            for selector in panel.expressions().iter().flat_map(|it| selectors(it)) {
                let has_label = |it: &&Variable| selector != UP || it.name != "gateway";
                for Variable { name, .. } in variables.iter().filter(has_label) {
                    let matcher = format!("{name}=~\"${name}\"");
                    assert!(selector.contains(&matcher), "{}: {selector}", panel.title());
                }
            }
        }
        assert!(variables.iter().any(|variable| variable.name == "job"), "{}", dashboard.name);
    }
}

#[test]
fn every_rate_uses_the_interval_that_fits_the_scrapes() {
    let mut rates = 0;
    for dashboard in all() {
        for panel in dashboard.panels() {
            for expression in panel.expressions() {
                let count = |what: &str| expression.matches(what).count();
                // `irate(` contains `rate(`.
                let expected = count("rate(") + count("increase(");
                assert_eq!(count("[$__rate_interval]"), expected, "{expression}");
                rates += expected;
            }
        }
    }
    assert!(rates > 20, "{rates}");
}
