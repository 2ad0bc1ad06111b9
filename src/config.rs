//! The plugin's configuration: bytes to a typed [`Config`] with every default applied, or one line that says which
//! field is wrong.
//!
//! The bytes are JSON or a Struct's message, as Envoy was given a string or a Struct. None at all are an empty object:
//! nobody is let in.
//! Any bytes give a `Config` or a [`ConfigError`], never a panic, and no error holds a value out of them.

mod credential;
mod document;
mod error;
mod field;
mod fingerprint;
mod json;
mod read;
mod rules;
mod warning;
mod wire;

#[cfg(test)]
mod tests;

use std::time::Duration;

pub use credential::{Credential, CredentialError, SecretSource};
pub use error::{ConfigError, Problem};
pub use warning::Warning;

use crate::auth::Policy;

/// The whole configuration.
#[derive(Debug)]
pub struct Config {
    /// What counters, directory and lease belong to: configurations with the same scope add up.
    pub scope: String,
    /// The paths to answer, decoded, each with a slash in front and none at its end. No two are equal.
    pub paths: Vec<String>,
    /// The authorities to answer and count for, in lower case; empty means every one. See [`Config::serves`].
    pub hosts: Vec<String>,
    /// The labels of the gateway's own families.
    pub gateway_labels: GatewayLabels,
    /// Whether OpenMetrics and protobuf say since when the gateway counts.
    pub gateway_created: bool,
    /// The pages to pull, no two of one name.
    pub sources: Vec<Source>,
    /// Who is let in.
    pub auth: Policy,
    /// Who counts requests.
    pub observe: Observe,
}

/// The labels of the gateway's own families.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum GatewayLabels {
    /// `gateway`, with Envoy's node id; left out where it has none.
    NodeId,
    /// These, sorted by name.
    Set(Vec<(String, String)>),
}

/// A page to pull.
#[derive(Debug)]
pub struct Source {
    /// Its name, for people and for the label `source`.
    pub name: String,
    /// Envoy's name of the cluster.
    pub cluster: String,
    /// The `:authority` to send.
    pub authority: String,
    /// The `:path` to send, query included.
    pub path: String,
    /// The time from one pull to the next.
    pub interval: Duration,
    /// How long a pull may take.
    pub timeout: Duration,
    /// The age from which a page is no longer served.
    pub stale_after: Duration,
    /// The time without a scrape after which the source is pulled once a minute only.
    pub idle_after: Duration,
    /// What the controller is shown.
    pub credential: Credential,
    /// Labels to add to each series, sorted by name.
    pub labels: Vec<(String, String)>,
    /// What becomes of `awx_gateway_*` series in the page.
    pub gateway_families: GatewayFamilyPolicy,
}

/// What becomes of `awx_gateway_*` series in a pulled page.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GatewayFamilyPolicy {
    /// They are dropped.
    Drop,
    /// They are served.
    Keep,
}

/// Who counts requests.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Observe {
    /// The HTTP filter.
    Filter,
    /// The access logger.
    AccessLog,
    /// Nobody.
    Off,
}

impl Config {
    /// Reads a configuration.
    ///
    /// # Errors
    /// The first thing that is wrong, and where.
    pub fn parse(bytes: &[u8]) -> Result<Self, ConfigError> {
        let json = document::parse(bytes)
            .map_err(|problem| ConfigError { field: String::new(), problem })?;
        read::config(field::Field::root(json))
    }

    /// Whether requests for this `:authority` are answered and counted. An entry of `hosts` without a port stands for
    /// every port, one with a port for that alone; upper and lower case are one.
    #[must_use]
    pub fn serves(&self, authority: &[u8]) -> bool {
        if self.hosts.is_empty() {
            return true;
        }
        let Ok(authority) = std::str::from_utf8(authority) else {
            return false;
        };
        let (host, _) = rules::split_port(authority);
        self.hosts
            .iter()
            .any(|have| have.eq_ignore_ascii_case(authority) || have.eq_ignore_ascii_case(host))
    }

    /// The same of an authority that is asked for only where it matters: it costs a call to the host.
    pub fn serves_asking(&self, authority: impl FnOnce() -> Option<Vec<u8>>) -> bool {
        self.hosts.is_empty() || authority().is_some_and(|authority| self.serves(&authority))
    }
}
