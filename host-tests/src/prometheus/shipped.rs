//! A Prometheus that runs a configuration file as operators have it, with native histograms enabled, and what it makes of
//! the rules of that file.

use serde_json::{Value, json};

use super::{Prometheus, is_native_a_setting, percent_encoded};
use crate::client::Client;
use crate::gateway::StartError;
use crate::tools::Major;

/// A recording rule or an alert, as Prometheus evaluates it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rule {
    /// The name of the record or alert.
    pub name: String,
    /// `ok`, `err` or `unknown`.
    pub health: String,
    /// `inactive`, `pending` or `firing`; empty for a record.
    pub state: String,
    /// The last error; empty if there was none.
    pub last_error: String,
}

impl Prometheus {
    /// Starts Prometheus with a whole configuration and native histograms.
    ///
    /// # Errors
    /// See [`StartError`].
    ///
    /// # Panics
    /// If it is not installed, or of another major version.
    pub async fn start_configured(major: Major, config: &Value) -> Result<Self, StartError> {
        let mut config = config.clone();
        let is_setting = is_native_a_setting(major)?;
        let jobs = config["scrape_configs"].as_array_mut();
        for job in jobs.into_iter().flatten().filter(|_| is_setting) {
            job["scrape_native_histograms"] = json!(true);
        }
        let features = if is_setting { "exemplar-storage" } else { "native-histograms" };
        // YAML contains JSON.
        Self::start_with(major, &config.to_string(), features).await
    }

    /// All rules, in the order of their file.
    ///
    /// # Panics
    /// If Prometheus does not list them.
    pub async fn rules(&self) -> Vec<Rule> {
        let answer = self.api("/api/v1/rules").await;
        let groups = answer["groups"].as_array().expect("groups");
        let rules = groups.iter().flat_map(|group| group["rules"].as_array().expect("rules"));
        let text = |rule: &Value, field: &str| rule[field].as_str().unwrap_or_default().to_owned();
        let rule = |rule| Rule {
            name: text(rule, "name"),
            health: text(rule, "health"),
            state: text(rule, "state"),
            last_error: text(rule, "lastError"),
        };
        rules.map(rule).collect()
    }

    /// The series of an instant query, native histograms included, as Prometheus writes them; or its error.
    ///
    /// # Errors
    /// The sentence with which Prometheus refuses the query.
    ///
    /// # Panics
    /// If Prometheus does not answer.
    pub async fn evaluate(&self, promql: &str) -> Result<Vec<Value>, String> {
        let path = format!("/api/v1/query?query={}", percent_encoded(promql));
        let reply = Client::http(self.address).get(&path).await.expect("an answer of Prometheus");
        let mut answer: Value = serde_json::from_slice(reply.body()).expect("JSON");
        if answer["status"] != "success" {
            return Err(answer["error"].as_str().unwrap_or_default().to_owned());
        }
        match answer["data"]["result"].take() {
            Value::Array(series) if answer["data"]["resultType"] != "scalar" => Ok(series),
            scalar => Ok(vec![scalar]),
        }
    }
}
