//! Writes OpenMetrics 1.0.0: the series that text has, to the letter, timestamps apart, which are in seconds here.
//!
//! What this format has no room for loses its type, never a series or its name, and is `unknown` then:
//! - a counter whose name does not end in `_total`: its name would change;
//! - samples that break the rules of their type (see `exposition::sound`): a counter that is negative, a histogram that is
//!   not cumulative or has no bucket `+Inf`;
//! - a family of which a name meets that of another one. Types reserve names: a counter `x` those of `x_total` and
//!   `x_created`, a histogram or summary those with their suffixes and with `_created`. The controller has gauges called
//!   `*_total`, which are no counters and clash with nothing.
//!
//! The parts of a histogram or summary that lost its type stand as families of their own. What loses its type loses its
//! exemplars. There are no `_created` samples, but for the gateway's own counters where that is configured. `UNIT` is
//! said of the gateway's own families alone: of others the name only hints at it.

mod names;

use self::names::Names;
use super::text::{labels, push_all, series};
use crate::metrics::merge::{Added, MergedFamily, Piece};
use crate::metrics::select::Share;
use crate::metrics::{GATEWAY_PREFIX, Kind, Merged, Sample, Selection};
use std::time::Duration;

/// The media type.
pub const CONTENT_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// The media type of version 0.0.1, of which Prometheus's parsers know no difference.
pub const CONTENT_TYPE_0: &str = "application/openmetrics-text; version=0.0.1; charset=utf-8";

/// What ends a page. [`render`] leaves it to whoever puts the page together.
pub const END: &[u8] = b"# EOF\n";

/// The units that names of the gateway's families end with.
const UNITS: [&str; 1] = ["seconds"];

/// What stands on a page where the values do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Values {
    /// They themselves.
    Real,
    /// Places in a [`super::form::Form`] of our own families, which are what their types promise.
    Places,
}

/// Appends the selected families of a merged page.
pub fn render(merged: &Merged<'_>, selection: &Selection, values: Values, out: &mut Vec<u8>) {
    render_since(merged, selection, (values, None), out);
}

/// The same, where the counters of the first page all began at some moment, but for those about sources; which is said.
pub fn render_since(
    merged: &Merged<'_>,
    selection: &Selection,
    (values, created): (Values, Option<Duration>),
    out: &mut Vec<u8>,
) {
    let created = created.map(|it| format!("{}.{:03}", it.as_secs(), it.subsec_millis()));
    let names = Names::of(merged, values);
    for family in merged.families() {
        match selection.share_of(family.name()) {
            Share::Nothing => {}
            share => {
                let nodes = (share == Share::Nodes).then_some(selection);
                let created = created.as_deref().filter(|_| !family.is_about_a_source());
                let lines = Lines { merged, family, nodes, created };
                write_family(&lines, &names, out);
            }
        }
    }
}

fn write_family<'a>(lines: &Lines<'a, '_>, names: &Names<'a, '_>, out: &mut Vec<u8>) {
    let family = lines.family;
    match names.of_family(family) {
        Some(name) => lines.write(name, family.kind(), None, out),
        None if matches!(family.kind(), Kind::Histogram | Kind::Summary) => {
            for suffix in ["", "_bucket", "_sum", "_count"] {
                let name = [family.name(), suffix].concat();
                lines.write(&name, Kind::Untyped, Some(suffix), out);
            }
        }
        None => lines.write(family.name(), Kind::Untyped, None, out),
    }
}

/// A family's samples, all or those of some nodes.
struct Lines<'a, 'm> {
    merged: &'m Merged<'a>,
    family: &'m MergedFamily<'a>,
    nodes: Option<&'m Selection>,
    created: Option<&'m str>,
}

impl<'a> Lines<'a, '_> {
    /// Writes those of one suffix, or all, under this name and type. Where a choice leaves none, not even the header.
    fn write(&self, name: &str, kind: Kind, suffix: Option<&str>, out: &mut Vec<u8>) {
        let start = out.len();
        header(name, kind, self.family.help(), out);
        let first = out.len();
        let is_whole = self.nodes.is_none() && suffix.is_none();
        for piece in self.family.pieces() {
            let created = self.created.filter(|_| piece.is_of_first());
            if is_whole && created.is_none() && piece.is_verbatim && !has_timestamps(piece) {
                push_all(out, &[piece.family.lines()]);
                continue;
            }
            let added = self.merged.added(piece);
            for sample in piece.samples().filter(|sample| self.has(*sample, suffix)) {
                write_sample(added, piece, (sample, kind), out);
                if let Some(created) = created.filter(|_| is_last(sample, kind)) {
                    push_all(out, &[name, "_created"]);
                    labels(added, piece, sample, out);
                    push_all(out, &[" ", created, "\n"]);
                }
            }
        }
        if !is_whole && out.len() == first {
            out.truncate(start);
        }
    }

    fn has(&self, sample: Sample<'a>, suffix: Option<&str>) -> bool {
        suffix.is_none_or(|suffix| sample.suffix() == suffix)
            && self.nodes.is_none_or(|selection| selection.has_node(sample))
    }
}

fn has_timestamps(piece: &Piece<'_>) -> bool {
    piece.samples().any(|sample| sample.timestamp().is_some())
}

fn header(name: &str, kind: Kind, help: &str, out: &mut Vec<u8>) {
    let word = if kind == Kind::Untyped { "unknown" } else { kind.as_str() };
    push_all(out, &["# TYPE ", name, " ", word, "\n"]);
    if let Some(unit) = UNITS.iter().find(|unit| is_unit(name, unit)) {
        push_all(out, &["# UNIT ", name, " ", unit, "\n"]);
    }
    if !help.is_empty() {
        push_all(out, &["# HELP ", name, " "]);
        // Escaped as in text, but for quotes.
        for (at, part) in help.split('"').enumerate() {
            push_all(out, &[if at > 0 { "\\\"" } else { "" }, part]);
        }
        out.push(b'\n');
    }
}

fn is_unit(name: &str, unit: &str) -> bool {
    let stem = name.strip_prefix(GATEWAY_PREFIX).and_then(|name| name.strip_suffix(unit));
    stem.is_some_and(|stem| stem.ends_with('_'))
}

fn write_sample<'a>(
    added: Option<&Added<'a>>,
    piece: &Piece<'a>,
    (sample, kind): (Sample<'a>, Kind),
    out: &mut Vec<u8>,
) {
    series(added, piece, sample, out);
    push_all(out, &[" ", sample.token()]);
    if let Some(milliseconds) = sample.timestamp().and_then(|stamp| stamp.parse().ok()) {
        push_seconds(milliseconds, out);
    }
    if let (Kind::Counter | Kind::Histogram, Some(exemplar)) = (kind, sample.exemplar()) {
        push_all(out, &[" # ", exemplar.as_str()]);
    }
    out.push(b'\n');
}

/// Whether a sample is the last of its counter or histogram.
fn is_last(sample: Sample<'_>, kind: Kind) -> bool {
    match kind {
        Kind::Counter => true,
        Kind::Histogram => sample.suffix() == "_count",
        Kind::Gauge | Kind::Summary | Kind::Untyped => false,
    }
}

fn push_seconds(milliseconds: i64, out: &mut Vec<u8>) {
    let sign = if milliseconds < 0 { "-" } else { "" };
    let (whole, rest) = (milliseconds.unsigned_abs() / 1000, milliseconds.unsigned_abs() % 1000);
    push_all(out, &[" ", sign, &format!("{whole}.{rest:03}")]);
}

#[cfg(test)]
mod tests;
