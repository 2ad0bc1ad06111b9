//! One target under libFuzzer.

use fuzz::Target;
use std::ffi::OsString;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use tempfile::TempDir;

/// The engine with one target.
pub(crate) struct Engine<'a> {
    binary: &'a Path,
    target: &'static Target,
    seed: u64,
}

/// The result of a search.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct SearchResult {
    /// The number of inputs that were run.
    pub(crate) executions: u64,
    /// The number of edges of the program that they covered.
    pub(crate) edges: u64,
    /// The number of files of the corpus that cover all of these edges.
    pub(crate) files: usize,
    /// Their bytes.
    pub(crate) bytes: u64,
}

/// The reason why the engine gave no outcome.
#[derive(Debug, thiserror::Error)]
pub(crate) enum EngineError {
    /// It could not be run, or a file could not be read or written.
    #[error(transparent)]
    Io(#[from] io::Error),
    /// An input breaks a promise.
    #[error("{log}\nThe input is {}. Once it is mended, keep it in the corpus.", input.display())]
    Found {
        /// The file with the input.
        input: PathBuf,
        /// The output of the engine and the target.
        log: String,
    },
    /// It ended in an unexpected way.
    #[error("the engine failed:\n{0}")]
    Failed(String),
    /// The input that it found for a planted fault breaks the target without the fault too.
    #[error("not the planted fault, but one of the filter's:\n{0}")]
    NotPlanted(String),
}

impl<'a> Engine<'a> {
    pub(crate) fn new(binary: &'a Path, target: &'static Target, seed: u64) -> Self {
        Self { binary, target, seed }
    }

    /// Searches from an empty corpus for an input that breaks a promise, and returns the number of runs until then. The
    /// input must break no promise under `sound`.
    pub(crate) fn find(&self, runs: u64, sound: &Self) -> Result<Option<u64>, EngineError> {
        let folder = tempfile::tempdir()?;
        let output = self.run(&folder, runs, &[])?;
        let Some(input) = found(folder.path())? else { return Ok(None) };
        let replay = sound.command().arg(&input).output()?;
        if !replay.status.success() {
            return Err(EngineError::NotPlanted(log(&replay)));
        }
        executions(&log(&output)).map(Some)
    }

    /// Continues the search from the corpus, and keeps the fewest inputs that cover the same edges.
    pub(crate) fn search(&self, runs: u64) -> Result<SearchResult, EngineError> {
        let (folder, grown) = (tempfile::tempdir()?, tempfile::tempdir()?);
        let corpus = corpus(self.target);
        fs::create_dir_all(&corpus)?;
        let output = self.run(&folder, runs, &[grown.path(), &corpus])?;
        let log = log(&output);
        if let Some(input) = found(folder.path())? {
            let kept = corpus.join("found");
            fs::copy(&input, &kept)?;
            let log = log.find("panicked at").map_or(log.as_str(), |at| &log[at..]).to_owned();
            return Err(EngineError::Found { input: kept, log });
        }
        if !output.status.success() {
            return Err(EngineError::Failed(log));
        }
        let (files, bytes) = self.minimise(&corpus, grown.path())?;
        let edges =
            number_behind(&log, " cov: ").ok_or_else(|| EngineError::Failed(log.clone()))?;
        Ok(SearchResult { executions: executions(&log)?, edges, files, bytes })
    }

    fn run(&self, folder: &TempDir, runs: u64, corpora: &[&Path]) -> Result<Output, EngineError> {
        let words = folder.path().join("words");
        fs::write(&words, dictionary(self.target.words))?;
        let mut artifacts = OsString::from("-artifact_prefix=");
        artifacts.push(folder.path().join("found-"));
        let mut dictionary = OsString::from("-dict=");
        dictionary.push(&words);
        let mut command = self.command();
        command.args([artifacts, dictionary]).arg(format!("-runs={runs}"));
        command.arg(format!("-max_len={}", self.target.longest)).arg("-print_final_stats=1");
        Ok(command.args(corpora).output()?)
    }

    /// Replaces the corpus by the fewest of its inputs and of `grown` that cover the same edges.
    fn minimise(&self, corpus: &Path, grown: &Path) -> Result<(usize, u64), EngineError> {
        let fewest = tempfile::tempdir()?;
        let mut command = self.command();
        command.args(["-merge=1", "-set_cover_merge=1", "-use_counters=0"]);
        let output = command.arg(fewest.path()).args([corpus, grown]).output()?;
        if !output.status.success() {
            return Err(EngineError::Failed(log(&output)));
        }
        fs::remove_dir_all(corpus)?;
        fs::create_dir(corpus)?;
        let (mut files, mut bytes) = (0, 0);
        for file in fs::read_dir(fewest.path())? {
            let file = file?;
            files += 1;
            bytes += fs::copy(file.path(), corpus.join(file.file_name()))?;
        }
        Ok((files, bytes))
    }

    fn command(&self) -> Command {
        let mut command = Command::new(self.binary);
        command.env("FUZZ_TARGET", self.target.name).arg(format!("-seed={}", self.seed));
        command.stdin(Stdio::null());
        command
    }
}

fn corpus(target: &Target) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus").join(target.name)
}

fn found(folder: &Path) -> Result<Option<PathBuf>, EngineError> {
    for file in fs::read_dir(folder)? {
        let file = file?;
        if file.file_name().to_string_lossy().starts_with("found-") {
            return Ok(Some(file.path()));
        }
    }
    Ok(None)
}

fn log(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

fn executions(log: &str) -> Result<u64, EngineError> {
    let number = number_behind(log, "stat::number_of_executed_units:");
    number.ok_or_else(|| EngineError::Failed(log.to_owned()))
}

/// The number after the last occurrence of these words.
fn number_behind(log: &str, words: &str) -> Option<u64> {
    let (_, rest) = log.rsplit_once(words)?;
    rest.split_ascii_whitespace().next()?.parse().ok()
}

/// A dictionary in the engine's format: one quoted word per line, with unusual bytes in hex.
fn dictionary(words: &[&str]) -> String {
    let byte = |byte: u8| match byte {
        b'"' | b'\\' => format!("\\{}", char::from(byte)),
        b' '..=b'~' => char::from(byte).to_string(),
        _ => format!("\\x{byte:02x}"),
    };
    words
        .iter()
        .map(|word| format!("\"{}\"\n", word.bytes().map(byte).collect::<String>()))
        .collect()
}
