//! The tests and bounds that SECURITY.md names exist.

use std::fs;
use std::path::Path;

use host_tests::tools;

const MODEL: &str = include_str!("../../../SECURITY.md");

/// The one row without a defence.
const NOTHING_HOLDS: &str = "| nothing: ";

/// The rows of all tables, cell by cell.
fn rows() -> Vec<Vec<&'static str>> {
    let is_row = |line: &&str| line.starts_with("| ") && !line.ends_with("| shown by |");
    let cells = |line: &'static str| line.trim_matches('|').split(" | ").map(str::trim).collect();
    MODEL.lines().filter(is_row).map(cells).collect()
}

/// The texts between backticks.
fn quoted(cell: &str) -> Vec<&str> {
    cell.split('`').skip(1).step_by(2).collect()
}

/// All Rust code in a folder.
fn sources(folder: &Path) -> String {
    let mut all = String::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            all += &sources(&path);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            for line in fs::read_to_string(&path).unwrap().lines() {
                // A name in a comment is not a test.
                if !line.trim_start().starts_with("//") {
                    all.push_str(line);
                    all.push('\n');
                }
            }
        }
    }
    all
}

#[test]
fn every_row_of_the_threat_model_belongs_to_a_table() {
    let lines: Vec<_> = MODEL.lines().collect();
    for pair in lines.windows(2) {
        let begins_a_table = pair[1].starts_with('|') && !pair[0].starts_with('|');
        assert!(
            !begins_a_table || pair[1].ends_with("| shown by |"),
            "outside any table: {}",
            pair[1]
        );
    }
}

#[test]
fn every_row_of_the_threat_model_names_tests_that_exist() {
    let top = tools::repository();
    let sources: String = ["src", "host-tests/src", "host-tests/tests"]
        .map(|folder| sources(&top.join(folder)))
        .concat();
    let rows = rows();
    assert!(rows.len() >= 25, "{}", rows.len());
    for row in rows {
        let shown_by = *row.last().unwrap();
        let targets: Vec<_> = shown_by
            .split("fuzz: ")
            .skip(1)
            .map(|rest| rest.trim_end_matches([',', ' ']))
            .collect();
        let tests = quoted(shown_by);
        let line = row.join(" | ");
        assert!(!tests.is_empty() || line.contains(NOTHING_HOLDS), "{line}: no test");
        for test in tests {
            assert!(sources.contains(&format!("fn {test}(")), "no test {test}");
        }
        for target in targets {
            let record = top.join("host-tests/fuzz/corpus").join(target);
            assert!(record.is_dir(), "no fuzz target {target}");
        }
    }
}

#[test]
fn every_bound_of_the_threat_model_exists() {
    let limits = fs::read_to_string(tools::repository().join("src/limits.rs")).unwrap();
    let bounds: Vec<_> = rows().into_iter().flat_map(|row| quoted(row[0])).collect();
    let bounds: Vec<_> = bounds
        .into_iter()
        .filter(|name| name.chars().all(|c| c.is_ascii_uppercase() || c == '_'))
        .collect();
    assert!(bounds.len() >= 15, "{bounds:?}");
    for bound in bounds {
        assert!(limits.contains(&format!("pub const {bound}:")), "no bound {bound}");
    }
}
