//! A real Prometheus that scrapes a gateway with the configuration of its users, or reads many small pages.

pub mod pages;
pub mod shipped;

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::net::SocketAddr;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use serde_json::Value;
use tempfile::TempDir;

use crate::client::Client;
use crate::gateway::StartError;
use crate::process::{self, Process};
use crate::tools::{self, Major};

/// The longest time until Prometheus serves.
const START: Duration = Duration::from_secs(30);

/// The longest time until the answer to a query is as expected.
const PATIENCE: Duration = Duration::from_secs(30);

/// Prometheus's configuration for the gateway: the one that users of the controller have, with these values.
#[derive(Clone, Debug)]
pub struct ScrapeConfig {
    /// The version of Prometheus.
    pub major: Major,
    /// The gateway's https address.
    pub target: SocketAddr,
    /// Prometheus's credentials.
    pub credential: ScrapeCredential,
    /// `scrape_interval`, in Prometheus's notation.
    pub interval: &'static str,
    /// The format that it requests.
    pub format: ScrapeFormat,
}

/// The format that Prometheus requests.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ScrapeFormat {
    /// The default: OpenMetrics before text.
    Preferred,
    /// Only text: Prometheus 2 by the parameter `format`, Prometheus 3 by `scrape_protocols`.
    Text,
    /// Protobuf first, for native histograms: up to Prometheus 3.7 by the feature flag of that name, later by
    /// `scrape_native_histograms`.
    Protobuf,
    /// The default, uncompressed. Prometheus 2.42 cannot do this.
    Uncompressed,
}

impl ScrapeFormat {
    /// The line for it in the scrape configuration.
    fn yaml(self, major: Major, is_native_a_setting: bool) -> &'static str {
        match (self, major) {
            (Self::Protobuf, _) if is_native_a_setting => "scrape_native_histograms: true",
            (Self::Preferred | Self::Protobuf, _) => "",
            (Self::Text, Major::Two) => "params: {format: [txt]}",
            (Self::Text, Major::Three) => {
                "scrape_protocols: [PrometheusText1.0.0, PrometheusText0.0.4]"
            }
            (Self::Uncompressed, _) => "enable_compression: false",
        }
    }

    /// The feature flags, including those for every format.
    fn features(self, is_native_a_setting: bool) -> &'static str {
        match self {
            Self::Protobuf if !is_native_a_setting => "exemplar-storage,native-histograms",
            _ => "exemplar-storage",
        }
    }
}

/// Prometheus's credentials.
#[derive(Clone, Debug)]
pub enum ScrapeCredential {
    /// `bearer_token`.
    Bearer(String),
    /// `basic_auth`.
    Basic {
        /// `username`.
        username: String,
        /// `password`.
        password: String,
    },
}

impl ScrapeConfig {
    /// The configuration as YAML. It does not set `fallback_scrape_protocol`, so Prometheus 3 refuses a page with an
    /// unknown Content-Type.
    fn yaml(&self, is_native_a_setting: bool) -> String {
        let credential = match &self.credential {
            ScrapeCredential::Bearer(token) => format!("bearer_token: {token}"),
            ScrapeCredential::Basic { username, password } => {
                format!("basic_auth: {{username: {username}, password: {password}}}")
            }
        };
        format!(
            "scrape_configs:
  - job_name: controller
    tls_config: {{insecure_skip_verify: true}}
    metrics_path: /api/v2/metrics
    scrape_interval: {interval}
    scrape_timeout: {interval}
    scheme: https
    {credential}
    {format}
    static_configs:
      - targets: ['{target}']
",
            format = self.format.yaml(self.major, is_native_a_setting),
            interval = self.interval,
            target = self.target,
        )
    }
}

/// A running Prometheus. Dropping it ends the process.
#[derive(Debug)]
pub struct Prometheus {
    process: Process,
    address: SocketAddr,
    _files: TempDir,
}

/// One series in the answer to a query.
#[derive(Clone, Debug, PartialEq)]
pub struct Series {
    /// Its labels, `__name__` too.
    pub labels: BTreeMap<String, String>,
    /// Its value.
    pub value: f64,
}

/// A stored exemplar.
#[derive(Clone, Debug, PartialEq)]
pub struct Exemplar {
    /// The name of its series.
    pub series: String,
    /// Its label `trace_id`.
    pub trace: String,
    /// Its value.
    pub value: f64,
}

impl Exemplar {
    fn of(series: &Value) -> Option<Self> {
        let exemplar = series["exemplars"].as_array()?.last()?;
        Some(Self {
            series: series["seriesLabels"]["__name__"].as_str()?.to_owned(),
            trace: exemplar["labels"]["trace_id"].as_str()?.to_owned(),
            value: exemplar["value"].as_str()?.parse().ok()?,
        })
    }
}

/// The state of one scrape target.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    /// `up`, `down` or `unknown`.
    pub health: String,
    /// The error of the last scrape; empty if there was none.
    pub last_error: String,
    /// The URL.
    pub url: String,
}

impl Prometheus {
    /// Starts Prometheus with an empty database, and returns once it answers queries.
    ///
    /// # Errors
    /// See [`StartError`].
    ///
    /// # Panics
    /// If it is not installed, or of another major version.
    pub async fn start(config: &ScrapeConfig) -> Result<Self, StartError> {
        let is_native_a_setting = is_native_a_setting(config.major)?;
        let yaml = config.yaml(is_native_a_setting);
        Self::start_with(config.major, &yaml, config.format.features(is_native_a_setting)).await
    }

    /// Starts Prometheus with a whole configuration, and with these features.
    ///
    /// # Errors
    /// See [`StartError`].
    ///
    /// # Panics
    /// As [`Prometheus::start`].
    pub async fn start_with(
        major: Major,
        config: &str,
        features: &str,
    ) -> Result<Self, StartError> {
        let files = tempfile::tempdir()?;
        let yaml = files.path().join("prometheus.yml");
        fs::write(&yaml, config)?;
        let mut command = command(major, &yaml, files.path());
        command.arg(format!("--enable-feature={features}"));
        let mut process = Process::start(command, files.path().join("log"))?;
        let address = serving(&mut process).await?;
        let started = Self { process, address, _files: files };
        let version = started.version().await;
        assert_eq!(major_of(&version), Some(major), "{version}");
        Ok(started)
    }

    /// Its log so far.
    #[must_use]
    pub fn log(&self) -> String {
        self.process.log()
    }

    /// The answer to an instant query, which must be an instant vector.
    ///
    /// # Panics
    /// If the query is invalid, or its answer is not an instant vector.
    pub async fn query(&self, promql: &str) -> Vec<Series> {
        let answer = self.api(&format!("/api/v1/query?query={}", percent_encoded(promql))).await;
        let result = answer["result"].as_array().expect("a vector");
        result.iter().map(|series| series_of(series).expect("a sample")).collect()
    }

    /// Waits for exemplars of this number of series. Returns the last exemplar of each, sorted by name.
    ///
    /// # Panics
    /// If there are not enough in time.
    pub async fn wait_for_exemplars(&self, selector: &str, series: usize) -> Vec<Exemplar> {
        let query = percent_encoded(selector);
        let path = format!("/api/v1/query_exemplars?query={query}&start=0&end=9999999999");
        let exemplars = process::eventually(PATIENCE, async || {
            let answer = self.api(&path).await;
            let exemplars: Option<Vec<_>> =
                answer.as_array().expect("series").iter().map(Exemplar::of).collect();
            let mut exemplars = exemplars.expect("exemplars");
            exemplars.sort_by(|a, b| a.series.cmp(&b.series));
            (exemplars.len() == series).then_some(exemplars)
        });
        exemplars.await.unwrap_or_else(|| panic!("{selector} has not so many exemplars"))
    }

    async fn version(&self) -> String {
        let built = self.api("/api/v1/status/buildinfo").await;
        built["version"].as_str().expect("a version").to_owned()
    }

    /// The state of all targets.
    ///
    /// # Panics
    /// If Prometheus does not answer.
    pub async fn targets(&self) -> Vec<Target> {
        let answer = self.api("/api/v1/targets").await;
        let targets = answer["activeTargets"].as_array().expect("targets");
        let text = |target: &Value, field: &str| target[field].as_str().expect("text").to_owned();
        let target = |target| Target {
            health: text(target, "health"),
            last_error: text(target, "lastError"),
            url: text(target, "scrapeUrl"),
        };
        targets.iter().map(target).collect()
    }

    /// Repeats a query until its answer is as wanted.
    ///
    /// # Panics
    /// If it is not in time; the message contains the answer and the state of the targets.
    pub async fn wait_for(
        &self,
        promql: &str,
        mut wanted: impl FnMut(&[Series]) -> bool,
    ) -> Vec<Series> {
        let answer = process::eventually(PATIENCE, async || {
            let answer = self.query(promql).await;
            wanted(&answer).then_some(answer)
        });
        match answer.await {
            Some(answer) => answer,
            None => panic!(
                "{promql} stayed {:?}; targets: {:?}",
                self.query(promql).await,
                self.targets().await
            ),
        }
    }

    async fn api(&self, path: &str) -> Value {
        let reply = Client::http(self.address).get(path).await.expect("an answer of Prometheus");
        let mut answer: Value = serde_json::from_slice(reply.body()).expect("JSON");
        assert_eq!(answer["status"], "success", "{path}: {answer}");
        answer["data"].take()
    }
}

fn command(major: Major, config: &Path, files: &Path) -> Command {
    let mut command = Command::new(tools::prometheus(major));
    command
        .arg(format!("--config.file={}", config.display()))
        .arg(format!("--storage.tsdb.path={}", files.join("data").display()))
        .arg("--web.listen-address=127.0.0.1:0");
    command
}

/// Returns true if a setting of the scrape turns native histograms on, as from Prometheus 3.8 on.
///
/// # Errors
/// If Prometheus cannot be run.
///
/// # Panics
/// If it does not say which version it is.
pub fn is_native_a_setting(major: Major) -> io::Result<bool> {
    let output = Command::new(tools::prometheus(major)).arg("--version").output()?;
    // Prometheus 2 writes to standard error.
    let text = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
    let version = text.split("version ").nth(1).unwrap_or_default();
    let minor = version.split('.').nth(1).and_then(|minor| minor.parse::<u32>().ok());
    let minor = minor.unwrap_or_else(|| panic!("no version: {text}"));
    Ok(major == Major::Three && minor >= 8)
}

/// Waits until Prometheus answers queries. Its log contains the port.
async fn serving(process: &mut Process) -> Result<SocketAddr, StartError> {
    let started = process::eventually(START, async || {
        if process.ended().is_some() {
            return Some(None);
        }
        let address = listening_on(&process.log())?;
        let ready = Client::http(address).get("/-/ready").await.ok()?;
        ready.status().is_success().then_some(Some(address))
    });
    match started.await {
        Some(Some(address)) => Ok(address),
        Some(None) => Err(StartError::Refused { log: process.log() }),
        None => Err(StartError::TimedOut { log: process.log() }),
    }
}

fn major_of(version: &str) -> Option<Major> {
    match version.split_once('.')?.0 {
        "2" => Some(Major::Two),
        "3" => Some(Major::Three),
        _ => None,
    }
}

fn listening_on(log: &str) -> Option<SocketAddr> {
    let line = log.lines().find(|line| line.contains("\"Listening on\""))?;
    line.split("address=").nth(1)?.split_whitespace().next()?.parse().ok()
}

fn series_of(series: &Value) -> Option<Series> {
    let labels = series["metric"].as_object()?.iter();
    let labels = labels.map(|(name, value)| Some((name.clone(), value.as_str()?.to_owned())));
    let value = series["value"][1].as_str()?.parse().ok()?;
    Some(Series { labels: labels.collect::<Option<_>>()?, value })
}

fn percent_encoded(text: &str) -> String {
    text.bytes().map(|byte| format!("%{byte:02X}")).collect()
}
