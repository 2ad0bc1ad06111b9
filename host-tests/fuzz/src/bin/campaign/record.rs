//! RECORD.md: the results of the last campaign over each target.

use crate::engine::SearchResult;
use fuzz::{TARGETS, Target};
use std::collections::BTreeMap;
use std::fmt;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

const HEAD: &str = "\
# Results of `make fuzz`

For the last campaign of each target: the number of inputs, the edges of the instrumented program that they covered, and
the files of the corpus that cover the same edges. The feature `planted` puts a fault into the target's wrapper; a search
from an empty corpus found it after this number of inputs.

| target | seed | inputs run | edges | corpus, files | bytes | planted fault | found after |
|---|---|---|---|---|---|---|---|
";

/// The results for a target.
pub(crate) struct Line {
    pub(crate) target: &'static Target,
    pub(crate) seed: u64,
    pub(crate) outcome: SearchResult,
    pub(crate) found_after: u64,
}

impl fmt::Display for Line {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { target: Target { name, fault, .. }, seed, outcome, found_after } = self;
        let SearchResult { executions, edges, files, bytes } = outcome;
        write!(
            f,
            "| {name} | {seed} | {executions} | {edges} | {files} | {bytes} | {fault} | {found_after} |"
        )
    }
}

/// The whole table, by target.
pub(crate) struct Record(BTreeMap<&'static str, String>);

impl Record {
    pub(crate) fn read() -> io::Result<Self> {
        let text = match fs::read_to_string(path()) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => String::new(),
            text => text?,
        };
        let line = |target: &'static Target| {
            let line =
                text.lines().find(|line| line.starts_with(&format!("| {} |", target.name)))?;
            Some((target.name, line.to_owned()))
        };
        Ok(Self(TARGETS.iter().filter_map(line).collect()))
    }

    pub(crate) fn set(&mut self, line: &Line) {
        self.0.insert(line.target.name, line.to_string());
    }

    pub(crate) fn write(&self) -> io::Result<()> {
        let lines: String = self.0.values().map(|line| format!("{line}\n")).collect();
        fs::write(path(), format!("{HEAD}{lines}"))
    }
}

fn path() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("RECORD.md")
}
