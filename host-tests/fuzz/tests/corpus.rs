//! Runs the inputs that `make fuzz` has found, without the engine.

use fuzz::TARGETS;
use std::fs;
use std::path::{Path, PathBuf};

/// The largest size of the whole corpus, in bytes, so that it stays a small part of the repository.
const MOST: usize = 1024 * 1024;

fn corpus(of: &str) -> Vec<(PathBuf, Vec<u8>)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus").join(of);
    let files = fs::read_dir(folder).unwrap().map(|file| file.unwrap().path());
    files.map(|file| (file.clone(), fs::read(file).unwrap())).collect()
}

#[test]
fn every_target_keeps_its_promises_over_its_corpus() {
    for target in TARGETS {
        let corpus = corpus(target.name);
        assert!(corpus.len() >= 5, "{} has a corpus of {}", target.name, corpus.len());
        for (file, bytes) in corpus {
            assert!(bytes.len() <= target.longest, "{} is too long", file.display());
            let kept = std::panic::catch_unwind(|| (target.run)(&bytes));
            assert!(kept.is_ok(), "{}", file.display());
        }
    }
}

#[test]
fn the_corpus_is_small_and_each_of_its_folders_belongs_to_a_target() {
    let sizes = TARGETS
        .map(|target| corpus(target.name).iter().map(|(_, bytes)| bytes.len()).sum::<usize>());
    assert!(sizes.iter().sum::<usize>() <= MOST, "{sizes:?}");
    let folders =
        fs::read_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus")).unwrap().count();
    assert_eq!(folders, TARGETS.len());
}

#[test]
fn the_record_names_every_target_and_the_planted_fault_that_was_found() {
    let record = include_str!("../RECORD.md");
    for target in TARGETS {
        let line = record.lines().find(|line| line.starts_with(&format!("| {} |", target.name)));
        let line = line.unwrap_or_else(|| panic!("{} is not on record", target.name));
        assert!(line.contains(target.fault), "{line}");
    }
}
