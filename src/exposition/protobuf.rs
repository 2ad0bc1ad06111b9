//! Writes Prometheus protobuf: messages `io.prometheus.client.MetricFamily` (prometheus/client_model, `metrics.proto`),
//! each behind its length.
//!
//! A histogram or summary is one message with a sum and a count there, so one that breaks the rules of its type or has
//! not both (see `exposition::sound`) comes as untyped families of its parts: no series is made up, none is lost. Of a
//! bound or quantile the number is written, not how it was spelt, and Prometheus spells it in its own way: `le="1"` of
//! text is `le="1.0"` of protobuf there, as with every program that has both.

use self::wire::{close, open, push_bytes, push_float, push_whole};
use super::sound::{self, Soundness, soundness};
use crate::metrics::merge::{Added, MergedFamily, Piece};
use crate::metrics::select::Share;
use crate::metrics::{Kind, Merged, NativeHistogram, Sample, Selection, label};
use std::time::Duration;

mod moment;
mod native;
mod wire;

pub use native::Draft;

/// The media type.
pub const CONTENT_TYPE: &str = "application/vnd.google.protobuf; \
                                proto=io.prometheus.client.MetricFamily; encoding=delimited";

/// The numbers of the fields.
mod field {
    pub(super) const FAMILY_NAME: u8 = 1;
    pub(super) const FAMILY_HELP: u8 = 2;
    pub(super) const FAMILY_TYPE: u8 = 3;
    pub(super) const FAMILY_METRIC: u8 = 4;
    pub(super) const METRIC_LABEL: u8 = 1;
    pub(super) const METRIC_TIMESTAMP: u8 = 6;
    pub(super) const LABEL_NAME: u8 = 1;
    pub(super) const LABEL_VALUE: u8 = 2;
    /// Of a counter, a gauge or an untyped value.
    pub(super) const VALUE: u8 = 1;
    pub(super) const COUNTER_EXEMPLAR: u8 = 2;
    /// Of a histogram and of a summary alike.
    pub(super) const COUNT: u8 = 1;
    pub(super) const SUM: u8 = 2;
    pub(super) const POINT: u8 = 3;
    pub(super) const BUCKET_COUNT: u8 = 1;
    pub(super) const BUCKET_BOUND: u8 = 2;
    pub(super) const BUCKET_EXEMPLAR: u8 = 3;
    pub(super) const EXEMPLAR_LABEL: u8 = 1;
    pub(super) const EXEMPLAR_VALUE: u8 = 2;
    pub(super) const EXEMPLAR_TIMESTAMP: u8 = 3;
    pub(super) const QUANTILE: u8 = 1;
    pub(super) const QUANTILE_VALUE: u8 = 2;
}

/// A family's name, and the native histogram that it is.
pub type Native = (&'static str, NativeHistogram);

/// Appends the selected families of a merged page.
pub fn render(merged: &Merged<'_>, selection: &Selection, out: &mut Vec<u8>) {
    render_since(merged, selection, (&[], None), out);
}

/// The same, where some families of the first page are native histograms too, and its counters all began at some moment,
/// but for those about sources; which is said.
pub fn render_since(
    merged: &Merged<'_>,
    selection: &Selection,
    (natives, created): (&[Native], Option<Duration>),
    out: &mut Vec<u8>,
) {
    let created = created.map(|it| it.as_secs_f64());
    for family in merged.families() {
        let nodes = match selection.share_of(family.name()) {
            Share::Nothing => continue,
            Share::All => None,
            Share::Nodes => Some(selection),
        };
        let native = natives.iter().find(|(name, _)| *name == family.name());
        let native = native.map(|(_, native)| native);
        let created = created.filter(|_| !family.is_about_a_source());
        let writer = Writer { merged, family, nodes, native, created };
        if soundness(merged, family) == Soundness::Whole {
            writer.write(family.name(), family.kind(), None, out);
            continue;
        }
        match family.kind() {
            Kind::Histogram | Kind::Summary => {
                for suffix in ["", "_bucket", "_sum", "_count"] {
                    let name = [family.name(), suffix].concat();
                    writer.write(&name, Kind::Untyped, Some(suffix), out);
                }
            }
            // A value below zero or none at all is no offence here.
            kind => writer.write(family.name(), kind, None, out),
        }
    }
}

struct Writer<'a, 'm> {
    merged: &'m Merged<'a>,
    family: &'m MergedFamily<'a>,
    nodes: Option<&'m Selection>,
    native: Option<&'m NativeHistogram>,
    created: Option<f64>,
}

impl<'a> Writer<'a, '_> {
    /// Writes the samples of one suffix, or all, under this name and type. Without any there is no family.
    fn write(&self, name: &str, kind: Kind, suffix: Option<&str>, out: &mut Vec<u8>) {
        let family = out.len();
        push_bytes(field::FAMILY_NAME, name, out);
        let help = self.family.help();
        if !help.is_empty() {
            push_bytes(field::FAMILY_HELP, &label::unescape(help), out);
        }
        push_whole(field::FAMILY_TYPE, type_number(kind), out);
        let first = out.len();
        for piece in self.family.pieces() {
            let added = self.merged.added(piece);
            let has = |sample: &Sample<'a>| self.has(*sample, suffix);
            let mut samples = piece.samples().filter(has).peekable();
            while let Some(sample) = samples.next() {
                let metric = open(field::FAMILY_METRIC, out);
                push_labels(added, piece, (sample, kind), out);
                let value = open(value_field(kind), out);
                push_value(sample, kind, out);
                if matches!(kind, Kind::Histogram | Kind::Summary) {
                    let is_same = |next: &Sample<'a>| sound::is_same_group(sample, *next, kind);
                    while let Some(next) = samples.next_if(is_same) {
                        push_value(next, kind, out);
                    }
                }
                if piece.is_of_first() {
                    self.push_own(kind, out);
                }
                close(value, out);
                push_timestamp(sample, out);
                close(metric, out);
            }
        }
        if out.len() == first {
            return out.truncate(family);
        }
        close(family, out);
    }

    /// Writes what the first page alone has beyond its samples.
    fn push_own(&self, kind: Kind, out: &mut Vec<u8>) {
        if let Some(native) = self.native.filter(|_| kind == Kind::Histogram) {
            native::push(native, out);
        }
        if let (Some(seconds), Some(field)) = (self.created, created_field(kind)) {
            moment::push(field, seconds, out);
        }
    }

    fn has(&self, sample: Sample<'a>, suffix: Option<&str>) -> bool {
        suffix.is_none_or(|suffix| sample.suffix() == suffix)
            && self.nodes.is_none_or(|selection| selection.has_node(sample))
    }
}

/// `MetricType`.
const fn type_number(kind: Kind) -> u64 {
    match kind {
        Kind::Counter => 0,
        Kind::Gauge => 1,
        Kind::Summary => 2,
        Kind::Untyped => 3,
        Kind::Histogram => 4,
    }
}

/// Where a `Metric` has its value.
const fn value_field(kind: Kind) -> u8 {
    match kind {
        Kind::Gauge => 2,
        Kind::Counter => 3,
        Kind::Summary => 4,
        Kind::Untyped => 5,
        Kind::Histogram => 7,
    }
}

/// Where a value says when it began.
const fn created_field(kind: Kind) -> Option<u8> {
    match kind {
        Kind::Counter => Some(3),
        Kind::Summary => Some(4),
        Kind::Histogram => Some(15),
        Kind::Gauge | Kind::Untyped => None,
    }
}

fn push_labels<'a>(
    added: Option<&Added<'a>>,
    piece: &Piece<'a>,
    (sample, kind): (Sample<'a>, Kind),
    out: &mut Vec<u8>,
) {
    let point = match kind {
        Kind::Histogram | Kind::Summary => sound::point_label(kind),
        _ => "",
    };
    let added = added.into_iter().flat_map(|added| &added.labels);
    let added = added.map(|(name, value)| (*name, value.as_str()));
    for (name, value) in added.chain(piece.labels(sample)).filter(|(name, _)| *name != point) {
        push_label(field::METRIC_LABEL, name, value, out);
    }
}

/// Writes a label whose value is escaped.
fn push_label(field: u8, name: &str, value: &str, out: &mut Vec<u8>) {
    let pair = open(field, out);
    push_bytes(field::LABEL_NAME, name, out);
    push_bytes(field::LABEL_VALUE, &label::unescape(value), out);
    close(pair, out);
}

/// Writes what a sample adds to the value of its metric.
fn push_value(sample: Sample<'_>, kind: Kind, out: &mut Vec<u8>) {
    let value = sample.value();
    // Of a sound histogram or summary every count is a whole number.
    let count = value as u64;
    let point = || sound::point_of(sample, kind).map_or(f64::NAN, |(_, point)| point);
    match (kind, sample.suffix()) {
        (Kind::Counter | Kind::Gauge | Kind::Untyped, _) => {
            push_float(field::VALUE, value, out);
            if kind == Kind::Counter {
                push_exemplar(field::COUNTER_EXEMPLAR, sample, out);
            }
        }
        (_, "_count") => push_whole(field::COUNT, count, out),
        (_, "_sum") => push_float(field::SUM, value, out),
        (Kind::Histogram, _) => {
            let bucket = open(field::POINT, out);
            push_whole(field::BUCKET_COUNT, count, out);
            push_float(field::BUCKET_BOUND, point(), out);
            push_exemplar(field::BUCKET_EXEMPLAR, sample, out);
            close(bucket, out);
        }
        (Kind::Summary, _) => {
            let quantile = open(field::POINT, out);
            push_float(field::QUANTILE, point(), out);
            push_float(field::QUANTILE_VALUE, value, out);
            close(quantile, out);
        }
    }
}

fn push_exemplar(field: u8, sample: Sample<'_>, out: &mut Vec<u8>) {
    let Some(exemplar) = sample.exemplar() else { return };
    let message = open(field, out);
    for (name, value) in exemplar.labels() {
        push_label(field::EXEMPLAR_LABEL, name, value, out);
    }
    push_float(field::EXEMPLAR_VALUE, exemplar.value(), out);
    if let Some(seconds) = exemplar.timestamp() {
        moment::push(field::EXEMPLAR_TIMESTAMP, seconds, out);
    }
    close(message, out);
}

fn push_timestamp(sample: Sample<'_>, out: &mut Vec<u8>) {
    if let Some(milliseconds) = sample.timestamp().and_then(|stamp| stamp.parse::<i64>().ok()) {
        push_whole(field::METRIC_TIMESTAMP, milliseconds.cast_unsigned(), out);
    }
}

#[cfg(test)]
mod tests;
