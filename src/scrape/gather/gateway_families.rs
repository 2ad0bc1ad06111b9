//! The gateway's own families about itself and its sources.

use crate::config::{Config, GatewayLabels, Source};
use crate::host::Host;
use crate::metrics::builder::Value;
use crate::metrics::{Dropped, Kind, Reason, Sink};
use crate::shared::snapshot::{Head, Outcome};

/// Writes the gateway's families. Contains the values that do not change while a configuration is active.
pub(super) struct GatewayFamilies {
    labels: Vec<(String, String)>,
    hash: String,
    /// The reason why a source cannot be pulled at all, if there is one, for each source.
    problems: Vec<Option<String>>,
}

/// The status of a source at the time of a scrape.
pub(super) struct SourceStatus<'a> {
    pub(super) source: &'a Source,
    pub(super) head: &'a Head,
    /// The reason why it cannot be pulled at all, if there is one.
    pub(super) unsent: Option<&'a str>,
    /// True if its page is young enough to be served.
    pub(super) fresh: bool,
    /// True if the last good pull is too long ago.
    pub(super) is_old: bool,
    /// True if the served page is that of the last good pull, false if that page could not be read back.
    pub(super) is_read: bool,
    /// The samples of its page that are left out because of other sources' pages.
    pub(super) withheld: Dropped,
}

impl SourceStatus<'_> {
    /// The reason why it has no current page, if it has none, and a number for that reason.
    pub(super) fn problem(&self) -> Option<(u32, String)> {
        let (shape, reason) = match self.head.ended {
            _ if self.is_up() => return None,
            None => (UP - 1, "not pulled yet".into()),
            Some(Ok(())) if !self.is_read && !self.is_old => {
                (UP - 2, "the stored page cannot be read".into())
            }
            Some(Ok(())) => (UP - 3, "stale".into()),
            Some(Err(cause)) => (cause.code(), cause.to_string()),
        };
        Some((shape, self.unsent.map_or(reason, str::to_owned)))
    }

    fn is_up(&self) -> bool {
        self.fresh && self.is_read && self.head.ended == Some(Ok(()))
    }
}

impl GatewayFamilies {
    /// Reads the gateway's label and the environment, once.
    pub(super) fn new(config: &Config, host: &dyn Host) -> Self {
        let problem = |source: &Source| {
            let authorization = source.credential.authorization(|name| host.environment(name));
            authorization.err().map(|error| error.to_string())
        };
        Self {
            labels: gateway_labels(&config.gateway_labels, host),
            hash: config.hash(),
            problems: config.sources.iter().map(problem).collect(),
        }
    }

    /// The reason why the source with this index cannot be pulled, if there is one.
    pub(super) fn problem(&self, source: usize) -> Option<&str> {
        self.problems.get(source)?.as_deref()
    }

    /// The labels that every series of the gateway carries.
    pub(super) fn labels(&self) -> &[(String, String)] {
        &self.labels
    }

    /// Writes the families.
    pub(super) fn write(&self, page: &mut dyn Sink, sources: &[SourceStatus<'_>]) {
        page.family("awx_gateway_build_info", Kind::Gauge, "The Envoy filter that answers");
        page.sample("", &[("version", env!("CARGO_PKG_VERSION"))], 1_u64.into());
        page.family("awx_gateway_config_info", Kind::Gauge, "The Envoy filter's configuration");
        page.sample("", &[("hash", &self.hash)], 1_u64.into());
        gauges(page, sources);
        counters(page, sources);
        withheld(page, sources);
        problem_info(page, sources);
    }
}

/// The shape of a source without a problem. This number and the ones below it are not codes of causes.
const UP: u32 = u32::MAX;

fn problem_info(page: &mut dyn Sink, sources: &[SourceStatus<'_>]) {
    page.family(
        "awx_gateway_source_problem_info",
        Kind::Gauge,
        "Why the Envoy filter has no current page of a source, while it has none",
    );
    for source in sources {
        let problem = source.problem();
        page.shape(problem.as_ref().map_or(UP, |(shape, _)| *shape));
        if let Some((_, reason)) = &problem {
            let labels = [("source", source.source.name.as_str()), ("reason", reason)];
            page.sample("", &labels, 1_u64.into());
        }
    }
}

fn gauges(page: &mut dyn Sink, sources: &[SourceStatus<'_>]) {
    type Gauge = (&'static str, &'static str, fn(&SourceStatus<'_>) -> Value);
    let gauges: [Gauge; 4] = [
        (
            "awx_gateway_source_up",
            "Whether the Envoy filter's last pull of a source gave a page",
            |state| u64::from(state.is_up()).into(),
        ),
        (
            "awx_gateway_source_last_success_timestamp_seconds",
            "When the Envoy filter last got a page from a source, in seconds since the epoch",
            |state| state.head.succeeded.as_secs_f64().into(),
        ),
        (
            "awx_gateway_source_fetch_duration_seconds",
            "How long the Envoy filter's last pull of a source took",
            |state| state.head.took.as_secs_f64().into(),
        ),
        ("awx_gateway_source_samples", "Samples on a source's last good page", |state| {
            state.head.samples.into()
        }),
    ];
    for (name, help, value) in gauges {
        page.family(name, Kind::Gauge, help);
        for state in sources {
            page.sample("", &[("source", &state.source.name)], value(state));
        }
    }
}

fn counters(page: &mut dyn Sink, sources: &[SourceStatus<'_>]) {
    page.family(
        "awx_gateway_source_fetches_total",
        Kind::Counter,
        "Pulls of a source by the Envoy filter",
    );
    for state in sources {
        for (outcome, count) in Outcome::ALL.into_iter().zip(state.head.fetches) {
            let labels = [("source", state.source.name.as_str()), ("outcome", outcome.label())];
            page.sample("", &labels, count.into());
        }
    }
    page.family(
        "awx_gateway_source_dropped_samples_total",
        Kind::Counter,
        "Samples of pulled pages that the Envoy filter dropped",
    );
    for state in sources {
        for (reason, count) in Head::DROPPED.into_iter().zip(state.head.dropped) {
            let labels = [("source", state.source.name.as_str()), ("reason", reason.as_str())];
            page.sample("", &labels, count.into());
        }
    }
    page.family(
        "awx_gateway_source_unreadable_lines_total",
        Kind::Counter,
        "Lines of pulled pages that the Envoy filter could not read",
    );
    for state in sources {
        page.sample("", &[("source", &state.source.name)], state.head.unreadable_lines.into());
    }
}

/// A gauge: the collisions depend on the present pages, and every VM finds the same.
fn withheld(page: &mut dyn Sink, sources: &[SourceStatus<'_>]) {
    page.family(
        "awx_gateway_source_withheld_samples",
        Kind::Gauge,
        "Samples of a source's page that the Envoy filter leaves out beside other sources' pages, or serves without their type",
    );
    for state in sources {
        for reason in Reason::OF_MERGING {
            let labels = [("source", state.source.name.as_str()), ("reason", reason.as_str())];
            page.sample("", &labels, state.withheld.of(reason).into());
        }
    }
}

fn gateway_labels(labels: &GatewayLabels, host: &dyn Host) -> Vec<(String, String)> {
    match labels {
        GatewayLabels::Set(labels) => labels.clone(),
        GatewayLabels::NodeId => {
            // Envoy has the node's properties under `xds`.
            let node = host.property(&["xds", "node", "id"]).unwrap_or_default();
            let node = String::from_utf8_lossy(&node).into_owned();
            if node.is_empty() { vec![] } else { vec![("gateway".to_owned(), node)] }
        }
    }
}
