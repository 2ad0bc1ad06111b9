//! Independent readers of a metrics page: Python's `prometheus_client`, which the controller itself uses, and
//! Prometheus's `promtool`.
//!
//! `make tools` installs the Python packages into `.tools/python`, and prometheus_client's own tests into
//! `.tools/corpus`.

pub mod corpus;
pub mod json;
pub mod protobuf;

use std::collections::BTreeMap;
use std::io::{self, Write};
use std::process::{Command, Output, Stdio};

use awx_metrics_filter::metrics::number::Repr;
use serde::{Deserialize, Serialize};

use crate::tools;

const SCRIPT: &str = include_str!("oracle/families.py");

/// The format of a page.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Format {
    /// Prometheus text 0.0.4.
    Text,
    /// The controller's own JSON. It has no sample names, only `sample_type` or nothing.
    Json,
    /// OpenMetrics 1.0.0, parsed strictly: names, suffixes, order and the final `# EOF`.
    OpenMetrics,
}

/// A family as prometheus_client sees it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
pub struct OracleFamily {
    /// The name. Of a counter it has no suffix `_total`, which the TYPE line has in text 0.0.4, but not in OpenMetrics.
    pub name: String,
    /// Its HELP text.
    pub help: String,
    /// Its TYPE; `unknown` if the page has none.
    #[serde(rename = "type")]
    pub kind: String,
    /// Its UNIT.
    pub unit: String,
    /// Its samples, in the page's order.
    pub samples: Vec<OracleSample>,
}

/// A sample as prometheus_client sees it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
pub struct OracleSample {
    /// Its own name, suffix included.
    pub name: String,
    /// Its labels, unescaped.
    pub labels: BTreeMap<String, String>,
    /// As Python prints a float: `1.0`, `1e+16`, `nan`, `inf`, `-inf`.
    pub value: String,
    /// In whole milliseconds, of any size.
    pub timestamp: Option<String>,
    /// Its exemplar, if the format has exemplars.
    pub exemplar: Option<OracleExemplar>,
}

/// An exemplar, in the same notation as a sample.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
pub struct OracleExemplar {
    /// Its labels, unescaped.
    pub labels: BTreeMap<String, String>,
    /// As Python prints a float.
    pub value: String,
    /// In whole milliseconds.
    pub timestamp: Option<String>,
}

/// The reason for a missing answer.
#[derive(Debug)]
pub enum OracleError {
    /// A process could not be run.
    Process(io::Error),
    /// Python ended without an answer; its standard error.
    Python(String),
    /// prometheus_client refuses the page; its exception.
    Page(String),
}

impl std::fmt::Display for OracleError {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Process(error) => write!(formatter, "the oracle does not run: {error}"),
            Self::Python(error) => write!(formatter, "Python failed: {error}"),
            Self::Page(error) => write!(formatter, "prometheus_client refuses the page: {error}"),
        }
    }
}

impl std::error::Error for OracleError {}

/// Reads one page. Starting Python takes a tenth of a second: for many pages use [`families_of_pages`].
///
/// # Errors
/// [`OracleError::Page`] if the page is refused, the others if no reader could run.
///
/// # Panics
/// If Python is not installed.
pub fn families(page: &str, format: Format) -> Result<Vec<OracleFamily>, OracleError> {
    let mut answers = families_of_pages(&[(page, format)])?;
    answers.pop().unwrap_or_else(|| Err(OracleError::Python("no answer".to_owned())))
}

/// Reads many pages in one process. The answers are in the order of the pages.
///
/// # Errors
/// If no reader could run.
///
/// # Panics
/// If Python is not installed.
pub fn families_of_pages(
    pages: &[(&str, Format)],
) -> Result<Vec<Result<Vec<OracleFamily>, OracleError>>, OracleError> {
    let questions: Vec<_> = pages.iter().map(|&(page, format)| Question { page, format }).collect();
    let questions = serde_json::to_vec(&questions).expect("strings are JSON");
    let mut python = Command::new(tools::command("python3"));
    python.env("PYTHONPATH", tools::python_packages()).args(["-c", SCRIPT]);
    let output = run(&mut python, &questions);
    let output = output.map_err(OracleError::Process)?;
    let answers: Result<Vec<AnswerJson>, _> = serde_json::from_slice(&output.stdout);
    let answers = answers
        .map_err(|_| OracleError::Python(String::from_utf8_lossy(&output.stderr).into_owned()))?;
    Ok(answers.into_iter().map(AnswerJson::into_result).collect())
}

/// The lines of `promtool check metrics`: empty for a page without findings.
///
/// # Errors
/// If promtool cannot be run.
///
/// # Panics
/// If it is not installed.
pub fn promtool(page: &str) -> Result<Vec<String>, OracleError> {
    let mut promtool = Command::new(tools::command("promtool"));
    let output = run(promtool.args(["check", "metrics"]), page.as_bytes());
    let output = output.map_err(OracleError::Process)?;
    let lines = [output.stdout, output.stderr].concat();
    Ok(String::from_utf8_lossy(&lines).lines().map(str::to_owned).collect())
}

/// Decompresses a gzip member with Python's zlib. There must be exactly one member and nothing after it.
///
/// # Errors
/// [`OracleError::Python`] if it is not one.
///
/// # Panics
/// If Python is not installed.
pub fn gunzip(member: &[u8]) -> Result<Vec<u8>, OracleError> {
    const SCRIPT: &str = "import sys, zlib\n\
                          reader = zlib.decompressobj(31)\n\
                          page = reader.decompress(sys.stdin.buffer.read())\n\
                          assert reader.eof and not reader.unused_data\n\
                          sys.stdout.buffer.write(page)\n";
    let mut python = Command::new(tools::command("python3"));
    let output = run(python.args(["-c", SCRIPT]), member).map_err(OracleError::Process)?;
    if output.status.success() {
        return Ok(output.stdout);
    }
    Err(OracleError::Python(String::from_utf8_lossy(&output.stderr).into_owned()))
}

/// A sample's name and its labels, sorted.
pub type Series = (String, Vec<(String, String)>);

/// All series with their values, each followed by its timestamp if it has one, for comparing pages. If a page repeats a
/// series, the first value is kept, as Prometheus does. NaN equals NaN, since values are text.
#[must_use]
pub fn series(families: &[OracleFamily]) -> BTreeMap<Series, String> {
    let mut series = BTreeMap::new();
    for sample in families.iter().flat_map(|family| &family.samples) {
        let labels = sample.labels.clone().into_iter().collect();
        let stamp = sample.timestamp.as_ref().map(|stamp| format!(" {stamp}")).unwrap_or_default();
        let value = format!("{}{stamp}", sample.value);
        series.entry((sample.name.clone(), labels)).or_insert(value);
    }
    series
}

/// All exemplars by series, for comparing pages.
#[must_use]
pub fn exemplars(families: &[OracleFamily]) -> BTreeMap<Series, String> {
    let samples = families.iter().flat_map(|family| &family.samples);
    let exemplars = samples.filter_map(|sample| {
        let labels = sample.labels.clone().into_iter().collect();
        Some(((sample.name.clone(), labels), format!("{:?}", sample.exemplar.as_ref()?)))
    });
    exemplars.collect()
}

/// Series with bounds and quantiles as numbers, for comparing with formats that write them differently.
#[must_use]
pub fn with_points_as_numbers(series: BTreeMap<Series, String>) -> BTreeMap<Series, String> {
    let as_number = |(name, value): (String, String)| match value.parse() {
        Ok(point) if name == "le" || name == "quantile" => (name, python_float(point)),
        _ => (name, value),
    };
    let of_series = |((name, labels), value): (Series, String)| {
        ((name, labels.into_iter().map(as_number).collect()), value)
    };
    series.into_iter().map(of_series).collect()
}

/// A float as Python prints it.
#[must_use]
pub fn python_float(value: f64) -> String {
    match Repr::of(value).as_str() {
        "NaN" => "nan".to_owned(),
        "+Inf" => "inf".to_owned(),
        "-Inf" => "-inf".to_owned(),
        number => number.to_owned(),
    }
}

#[derive(Serialize)]
struct Question<'a> {
    page: &'a str,
    format: Format,
}

#[derive(Deserialize)]
#[serde(rename_all = "lowercase")]
enum AnswerJson {
    Families(Vec<OracleFamily>),
    Error(String),
}

impl AnswerJson {
    fn into_result(self) -> Result<Vec<OracleFamily>, OracleError> {
        match self {
            Self::Families(families) => Ok(families),
            Self::Error(error) => Err(OracleError::Page(error)),
        }
    }
}

fn run(command: &mut Command, input: &[u8]) -> io::Result<Output> {
    let command = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn()?;
    let mut stdin = child.stdin.take().expect("it was piped");
    std::thread::scope(|scope| {
        // If a process ends before it has read everything, its output gives the reason.
        scope.spawn(move || drop(stdin.write_all(input)));
        child.wait_with_output()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const CAPTURED: &str = include_str!("../fixtures/captures/m/m-bearer-read.body");

    #[test]
    fn escapes_types_and_special_values_are_read() {
        let page = "# HELP a A \\\\ slash\n# TYPE a gauge\na{x=\"q\\\"\\n\",b=\"é\"} NaN\na{} +Inf\n# TYPE c_total counter\nc_total 1e16\n";
        let families = families(page, Format::Text).unwrap();
        let names = families.iter().map(|family| (family.name.as_str(), family.kind.as_str()));
        assert_eq!(names.collect::<Vec<_>>(), [("a", "gauge"), ("c", "counter")]);
        assert_eq!(families[0].help, "A \\ slash");
        let labels = vec![("b".to_owned(), "é".to_owned()), ("x".to_owned(), "q\"\n".to_owned())];
        let series = series(&families);
        assert_eq!(series[&("a".to_owned(), labels)], "nan");
        assert_eq!(series[&("a".to_owned(), vec![])], "inf");
        assert_eq!(series[&("c_total".to_owned(), vec![])], "1e+16");
    }

    #[test]
    fn a_refused_page_does_not_stop_the_reading_of_others() {
        let pages = [
            ("a 1\n", Format::Text),
            ("a{ 1\n", Format::Text),
            ("a 1\n", Format::OpenMetrics),
            ("a 1\n# EOF\n", Format::OpenMetrics),
        ];
        let answers = families_of_pages(&pages).unwrap();
        let accepted = answers.iter().map(|answer| match answer {
            Ok(families) => Some(families.len()),
            Err(OracleError::Page(_)) => None,
            Err(error) => panic!("{error}"),
        });
        assert_eq!(accepted.collect::<Vec<_>>(), [Some(1), None, None, Some(1)]);
    }

    #[test]
    fn if_a_page_repeats_a_series_the_first_value_is_kept() {
        let families = families(CAPTURED, Format::Text).unwrap();
        let series = series(&families);
        let labels = vec![("node".to_owned(), "awx-1".to_owned())];
        let calls = ("subsystem_metrics_pipe_execute_calls".to_owned(), labels);
        assert_eq!(series[&calls], "1306.0");
        let lines = CAPTURED.lines().filter(|line| !line.starts_with('#')).count();
        assert_eq!(series.len(), lines - 9, "three families of three nodes stand twice");
    }

    #[test]
    fn the_stand_ins_json_has_the_series_that_prometheus_client_reads_and_the_last_value_of_a_duplicate()
     {
        let captured = include_str!("../fixtures/captures/m/m-admin-json.body");
        let mut last = BTreeMap::new();
        for family in families(CAPTURED, Format::Text).unwrap() {
            last.insert(family.name.clone(), family);
        }
        assert_eq!(captured.matches("\"help_text\"").count(), last.len());
        for (name, family) in last {
            let (_, json) = captured.split_once(&format!("\"{name}\":{{\"help_text\"")).unwrap();
            let json = json.split("\"help_text\"").next().unwrap();
            // Not by serde_json, which parses some floats one unit in the last place off.
            let theirs = json
                .split("\"value\":")
                .skip(1)
                .map(|rest| rest.split([',', '}']).next().unwrap().parse::<f64>().unwrap());
            let ours = family.samples.iter().map(|sample| sample.value.parse::<f64>().unwrap());
            assert_eq!(theirs.collect::<Vec<_>>(), ours.collect::<Vec<_>>(), "{name}");
        }
    }

    #[test]
    fn promtool_accepts_a_clean_page_and_names_the_faults_of_another() {
        let clean = "# HELP a_bytes Size.\n# TYPE a_bytes gauge\na_bytes 1\n";
        assert_eq!(promtool(clean).unwrap(), Vec::<String>::new());
        let lines = promtool("# TYPE a_total gauge\na_total 1\n").unwrap();
        assert!(lines.iter().any(|line| line.contains("a_total")), "{lines:?}");
        let refused = promtool(CAPTURED).unwrap();
        assert!(
            refused.iter().any(|line| line.contains("subsystem_metrics_pipe_execute_seconds")),
            "{refused:?}"
        );
    }
}
