//! `envoy/README.md` lists every file of its folder, with a test that runs the file.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use host_tests::tools;

const INDEX: &str = include_str!("../../../../envoy/README.md");

/// The first and the last cell of each row that begins with a file: its path below `envoy/`, and the paths of its tests.
fn rows() -> Vec<(&'static str, Vec<&'static str>)> {
    let row = |line: &'static str| {
        let cells: Vec<_> = line.strip_prefix("| `")?.trim_end_matches(" |").split(" | ").collect();
        let tests = quoted(cells.last()?);
        Some((cells.first()?.trim_end_matches('`'), tests))
    };
    INDEX.lines().filter_map(row).collect()
}

/// Every text between backticks.
fn quoted(cell: &str) -> Vec<&str> {
    cell.split('`').skip(1).step_by(2).collect()
}

/// Every file below a folder, as a path below `top`.
fn files(folder: &Path, top: &Path, found: &mut BTreeSet<String>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            files(&path, top, found);
        } else {
            found.insert(path.strip_prefix(top).unwrap().to_str().unwrap().to_owned());
        }
    }
}

/// The source file of a test's module, and the name of its function. A unit test is named with its file.
fn source_of(test: &str) -> (PathBuf, &str) {
    if let Some((file, function)) = test.split_once(".rs::") {
        return (tools::repository().join(format!("{file}.rs")), function);
    }
    let mut modules: Vec<_> = test.split("::").collect();
    let function = modules.pop().unwrap();
    let file = format!("host-tests/tests/it/{}.rs", modules.join("/"));
    (tools::repository().join(file), function)
}

fn exists(test: &str) -> bool {
    let (file, function) = source_of(test);
    fs::read_to_string(file).is_ok_and(|source| source.contains(&format!("fn {function}(")))
}

#[test]
fn the_index_and_the_files_agree() {
    let top = tools::repository().join("envoy");
    let mut present = BTreeSet::new();
    files(&top, &top, &mut present);
    let listed: Vec<_> = rows().into_iter().map(|(file, _)| file.to_owned()).collect();
    let distinct: BTreeSet<_> = listed.iter().cloned().collect();
    assert_eq!(distinct.len(), listed.len(), "a file has two rows: {listed:?}");
    assert_eq!(distinct, present);
}

#[test]
fn every_row_of_the_index_names_a_test_that_exists() {
    for (file, tests) in rows() {
        assert!(!tests.is_empty(), "{file}: no test");
        for test in tests {
            assert!(exists(test), "{file}: no test {test}");
        }
    }
    assert!(!exists("deploy::index::a_test_that_does_not_exist"));
}
