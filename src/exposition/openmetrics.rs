//! Writes OpenMetrics 1.0.0: exactly the series of text, with timestamps in seconds.
//!
//! A family that is illegal in this format loses its type and becomes `unknown`, but keeps its name and all series:
//! - a counter with a name that does not end in `_total`: its name would change;
//! - samples that break the rules of their type (see [`crate::metrics::conformance`]): a negative counter, a histogram
//!   that is not cumulative or has no bucket `+Inf`;
//! - a family with a name that another family has or reserves. A counter `x` reserves `x_total` and `x_created`, a
//!   histogram or summary the names with its suffixes and with `_created`. The controller has gauges called `*_total`,
//!   which are not counters and conflict with nothing.
//!
//! The parts of a histogram or summary that lost its type are separate families. A family that loses its type loses its
//! exemplars. Only the gateway's own counters have `_created` samples, if the configuration enables them, and only the
//! gateway's own families have a `UNIT`: the names of other families only suggest one.

mod names;

pub(super) use self::names::ReservedNames;
use super::render::{Block, Encoder, Output};
use crate::host::Time;
use crate::metrics::merge::FamilyPart;
use crate::metrics::{Family, GATEWAY_PREFIX, Kind, SOURCE_PREFIX, Sample};

/// The media type.
pub const CONTENT_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// The media type of version 0.0.1. Prometheus's parsers make no difference between them.
pub const CONTENT_TYPE_0: &str = "application/openmetrics-text; version=0.0.1; charset=utf-8";

/// The end of a page, which is not part of a rendering.
pub const END: &[u8] = b"# EOF\n";

/// The units in which names of the gateway's families end.
const UNITS: [&str; 1] = ["seconds"];

/// A page in OpenMetrics, without its end.
#[derive(Debug)]
pub(super) struct OpenMetricsPage {
    out: Output,
    /// The time at which the first page's counters began.
    created: Option<String>,
}

impl OpenMetricsPage {
    pub(super) fn new(created: Option<Time>) -> Self {
        let created = created.map(|it| format!("{}.{:03}", it.as_secs(), it.subsec_millis()));
        Self { out: Output::default(), created }
    }

    fn created(&self, block: &Block, part: &FamilyPart) -> Option<&str> {
        let has_it = part.is_of_first_page() && !block.name.starts_with(SOURCE_PREFIX);
        self.created.as_deref().filter(|_| has_it)
    }

    fn push_created(&mut self, block: &Block, part: &FamilyPart, sample: Sample<'_>) {
        if is_last(sample, block.kind)
            && let Some(created) = self.created(block, part).map(str::to_owned)
        {
            let labels = sample.label_block();
            self.out.push(&[&block.name, "_created", labels, " ", &created, "\n"]);
        }
    }
}

impl Encoder for OpenMetricsPage {
    fn begin(&mut self, block: &Block, help: &str) {
        let (out, name) = (&mut self.out, block.name.as_str());
        let word = if block.kind == Kind::Untyped { "unknown" } else { block.kind.as_str() };
        out.begin();
        out.push(&["# TYPE ", name, " ", word, "\n"]);
        if let Some(unit) = UNITS.iter().find(|unit| is_unit(name, unit)) {
            out.push(&["# UNIT ", name, " ", unit, "\n"]);
        }
        if !help.is_empty() {
            out.push(&["# HELP ", name, " "]);
            // The help text is already escaped as in text; OpenMetrics escapes quotes too.
            for (at, part) in help.split('"').enumerate() {
                out.push(&[if at > 0 { "\\\"" } else { "" }, part]);
            }
            out.push(&["\n"]);
        }
        out.end_header();
    }

    fn copies(&self, block: &Block, part: &FamilyPart, family: Family<'_>) -> bool {
        !family.has_timestamps()
            && (!family.has_exemplars() || has_exemplars(block.kind))
            && self.created(block, part).is_none()
    }

    fn copy(&mut self, lines: &str) {
        self.out.push(&[lines]);
    }

    fn sample(&mut self, block: &Block, part: &FamilyPart, sample: Sample<'_>) {
        self.out.push(&[sample.name(), sample.label_block(), " ", sample.token()]);
        if let Some(milliseconds) = sample.timestamp().and_then(|stamp| stamp.parse().ok()) {
            push_seconds(milliseconds, &mut self.out);
        }
        if let Some(exemplar) = sample.exemplar().filter(|_| has_exemplars(block.kind)) {
            self.out.push(&[" # ", exemplar.as_str()]);
        }
        self.out.push(&["\n"]);
        self.push_created(block, part, sample);
    }

    fn end(&mut self, block: &Block) {
        self.out.end(block, false);
    }

    fn reserve(&mut self, bytes: usize) {
        self.out.bytes.reserve_exact(bytes);
    }

    fn written(&self) -> usize {
        self.out.bytes.len()
    }

    fn finish(self: Box<Self>) -> Vec<u8> {
        self.out.bytes
    }
}

fn is_unit(name: &str, unit: &str) -> bool {
    let stem = name.strip_prefix(GATEWAY_PREFIX).and_then(|name| name.strip_suffix(unit));
    stem.is_some_and(|stem| stem.ends_with('_'))
}

const fn has_exemplars(kind: Kind) -> bool {
    matches!(kind, Kind::Counter | Kind::Histogram)
}

/// Returns true for the last sample of a counter or histogram.
fn is_last(sample: Sample<'_>, kind: Kind) -> bool {
    match kind {
        Kind::Counter => true,
        Kind::Histogram => sample.suffix() == "_count",
        Kind::Gauge | Kind::Summary | Kind::Untyped => false,
    }
}

fn push_seconds(milliseconds: i64, out: &mut Output) {
    let sign = if milliseconds < 0 { "-" } else { "" };
    let (whole, rest) = (milliseconds.unsigned_abs() / 1000, milliseconds.unsigned_abs() % 1000);
    out.push(&[" ", sign, &format!("{whole}.{rest:03}")]);
}

#[cfg(test)]
mod tests;
