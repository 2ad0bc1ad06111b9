//! The plugin's configuration: bytes to a typed [`Config`] with every default, or to the list of its mistakes.
//!
//! The bytes are JSON or the wire form of a Struct, depending on the type that Envoy was given. Without a configuration
//! there are no bytes, which mean an empty object: every client is refused.
//! Any bytes give a `Config` or [`ConfigErrors`], never a panic, and no error contains a value of the configuration.
//!
//! `envoy/plugin.schema.json` describes the same fields and rules for editors; the tests compare the two.

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
pub use error::{ConfigError, ConfigErrors, Problem};
pub use warning::Warning;

use crate::auth::Policy;
use field::{Field, MistakeLog};

/// The whole configuration.
#[derive(Debug)]
pub struct Config {
    /// The name that counters, directory and lease are stored under: configurations with the same scope add up.
    pub scope: String,
    /// The paths to answer, decoded, each with a slash in front and none at its end. No two are equal.
    pub paths: Vec<String>,
    /// The authorities to answer and count for, in lower case; empty means every authority. See [`Config::serves`].
    pub hosts: Vec<String>,
    /// The labels of the gateway's own families.
    pub gateway_labels: GatewayLabels,
    /// True if OpenMetrics and protobuf give the time at which the gateway began to count.
    pub gateway_created: bool,
    /// The pages to pull, no two of one name.
    pub sources: Vec<Source>,
    /// How clients are authenticated.
    pub auth: Policy,
    /// The plugin that counts requests.
    pub observe: Observe,
}

/// The labels of the gateway's own families.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum GatewayLabels {
    /// `gateway`, with Envoy's node id; no label if Envoy has no node id.
    NodeId,
    /// The configured labels, sorted by name.
    Set(Vec<(String, String)>),
}

/// A page to pull.
#[derive(Debug)]
pub struct Source {
    /// The name of the source, for logs and for the label `source`.
    pub name: String,
    /// The name of an Envoy cluster.
    pub cluster: String,
    /// The `:authority` to send.
    pub authority: String,
    /// The `:path` to send, query included.
    pub path: String,
    /// The time from one pull to the next.
    pub interval: Duration,
    /// The longest time that a pull may take.
    pub timeout: Duration,
    /// The age from which a page is no longer served.
    pub stale_after: Duration,
    /// The time without a scrape after which the source is pulled only once a minute.
    pub idle_after: Duration,
    /// The credential that is sent to the controller.
    pub credential: Credential,
    /// Labels to add to each series, sorted by name.
    pub labels: Vec<(String, String)>,
    /// How `awx_gateway_*` series of the page are treated.
    pub gateway_families: GatewayFamilyPolicy,
    /// The families to take, by name, or by prefix with a `*`; `None` for all. See [`Source::takes`].
    pub keep: Option<Vec<String>>,
    /// The families to leave out, in the same form.
    pub drop: Vec<String>,
}

/// How `awx_gateway_*` series of a pulled page are treated.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GatewayFamilyPolicy {
    /// They are dropped.
    Drop,
    /// They are served.
    Keep,
}

/// The plugin that counts requests.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Observe {
    /// The HTTP filter.
    Filter,
    /// The access logger.
    AccessLog,
    /// None.
    Off,
}

impl Source {
    /// Returns true if `keep` contains the family, or there is no `keep`, and `drop` does not contain it.
    #[must_use]
    pub fn takes(&self, family: &str) -> bool {
        let names = |pattern: &String| match pattern.strip_suffix('*') {
            Some(prefix) => family.starts_with(prefix),
            None => family == pattern,
        };
        let is_kept = self.keep.as_ref().is_none_or(|keep| keep.iter().any(names));
        is_kept && !self.drop.iter().any(names)
    }
}

impl Config {
    /// Reads a configuration.
    ///
    /// # Errors
    /// If there are mistakes: every one, with its field.
    pub fn parse(bytes: &[u8]) -> Result<Self, ConfigErrors> {
        let json = document::parse(bytes).map_err(ConfigErrors::of_the_whole)?;
        let log = MistakeLog::default();
        let config = read::config(Field::root(json, &log));
        log.into_errors().map_or(Ok(config), Err)
    }

    /// Returns true if requests for this `:authority` are answered and counted. An entry of `hosts` without a port
    /// matches every port, one with a port only that port; case does not matter.
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

    /// Like [`Config::serves`], for an authority that is read only if `hosts` needs it: reading it costs a call to the
    /// host.
    pub fn serves_asking(&self, authority: impl FnOnce() -> Option<Vec<u8>>) -> bool {
        self.hosts.is_empty() || authority().is_some_and(|authority| self.serves(&authority))
    }
}
