//! Writes Prometheus protobuf: messages `io.prometheus.client.MetricFamily` (prometheus/client_model, `metrics.proto`),
//! each preceded by its length.
//!
//! A histogram or summary is one message with a sum and a count there. A histogram or summary that breaks the rules of
//! its type, or lacks its sum or count (see [`crate::metrics::conformance`]), is written as untyped families of its
//! parts: no series is invented, none is lost. A bound or quantile is written as a number, and its spelling is lost.
//! Prometheus has its own spelling: `le="1"` of text is `le="1.0"` of protobuf there, as for every program that exposes
//! both.

use self::wire::{close, open, push_bytes, push_float, push_whole};
use super::render::{Block, Encoder, Extras, Output, Presented, without_type};
use crate::metrics::merge::{FamilyPart, MergedFamily};
use crate::metrics::{Conformance, Kind, SOURCE_PREFIX, Sample, Samples, conformance, label};

mod moment;
mod native;
mod wire;

pub use native::NativeBuilder;

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
    /// The value of a counter, a gauge or an untyped metric.
    pub(super) const VALUE: u8 = 1;
    pub(super) const COUNTER_EXEMPLAR: u8 = 2;
    /// The fields of a histogram and of a summary.
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

/// The blocks of a family.
pub(super) fn blocks(family: &MergedFamily) -> Vec<Presented> {
    match family.kind {
        Kind::Histogram | Kind::Summary if family.conformance < Conformance::Whole => {
            without_type(family)
        }
        // Counters may be negative in protobuf.
        kind => vec![(family.name.clone(), kind, None)],
    }
}

/// A page in protobuf.
#[derive(Debug)]
pub(super) struct ProtobufPage {
    out: Output,
    extras: Extras,
    group: Option<OpenGroup>,
}

/// A histogram or summary that may receive more samples.
#[derive(Debug)]
struct OpenGroup {
    metric: usize,
    value: usize,
    /// The line of its first sample.
    first: String,
    family_len: usize,
}

impl OpenGroup {
    fn first(&self) -> Option<Sample<'_>> {
        Samples::of(&self.first, self.family_len).next()
    }
}

impl ProtobufPage {
    pub(super) fn new(extras: Extras) -> Self {
        Self { out: Output::default(), extras, group: None }
    }

    /// Writes the beginning of a metric. Returns the positions of the messages for the metric and for its value.
    fn begin_metric(&mut self, kind: Kind, sample: Sample<'_>) -> (usize, usize) {
        let out = &mut self.out.bytes;
        let metric = open(field::FAMILY_METRIC, out);
        push_labels(sample, kind, out);
        (metric, open(value_field(kind), out))
    }

    fn end_metric(
        &mut self,
        (metric, value): (usize, usize),
        block: &Block,
        part: &FamilyPart,
        first: Option<Sample<'_>>,
    ) {
        if part.is_of_first_page() {
            self.push_extras(block);
        }
        let out = &mut self.out.bytes;
        close(value, out);
        first.into_iter().for_each(|sample| push_timestamp(sample, out));
        close(metric, out);
    }

    fn end_group(&mut self, block: &Block, part: &FamilyPart) {
        if let Some(group) = self.group.take() {
            self.end_metric((group.metric, group.value), block, part, group.first());
        }
    }

    fn add_to_group(&mut self, block: &Block, part: &FamilyPart, sample: Sample<'_>) {
        let first = self.group.as_ref().and_then(OpenGroup::first);
        if !first.is_some_and(|first| conformance::is_same_group(first, sample, block.kind)) {
            self.end_group(block, part);
            let (metric, value) = self.begin_metric(block.kind, sample);
            let family_len = sample.name().len() - sample.suffix().len();
            let first = sample.line().to_owned();
            self.group = Some(OpenGroup { metric, value, first, family_len });
        }
        push_value(sample, block.kind, &mut self.out.bytes);
    }

    /// Writes the parts that only the first page has.
    fn push_extras(&mut self, block: &Block) {
        let (out, Extras { natives, created }) = (&mut self.out.bytes, &self.extras);
        let mut natives = natives.iter().filter(|_| block.kind == Kind::Histogram);
        if let Some((_, native)) = natives.find(|(name, _)| *name == block.name) {
            native::push(native, out);
        }
        let created = created.filter(|_| !block.name.starts_with(SOURCE_PREFIX));
        if let (Some(time), Some(field)) = (created, created_field(block.kind)) {
            moment::push(field, time.as_secs_f64(), out);
        }
    }
}

impl Encoder for ProtobufPage {
    fn begin(&mut self, block: &Block, help: &str) {
        self.out.begin();
        let out = &mut self.out.bytes;
        push_bytes(field::FAMILY_NAME, &block.name, out);
        if !help.is_empty() {
            push_bytes(field::FAMILY_HELP, &label::unescape(help), out);
        }
        push_whole(field::FAMILY_TYPE, type_number(block.kind), out);
        self.out.end_header();
    }

    fn sample(&mut self, block: &Block, part: &FamilyPart, sample: Sample<'_>) {
        if matches!(block.kind, Kind::Histogram | Kind::Summary) {
            return self.add_to_group(block, part, sample);
        }
        let messages = self.begin_metric(block.kind, sample);
        push_value(sample, block.kind, &mut self.out.bytes);
        self.end_metric(messages, block, part, Some(sample));
    }

    fn end_part(&mut self, block: &Block, part: &FamilyPart) {
        self.end_group(block, part);
    }

    fn end(&mut self, block: &Block) {
        if self.out.end(block, true) {
            let start = self.out.block_start();
            close(start, &mut self.out.bytes);
        }
    }

    fn written(&self) -> usize {
        self.out.bytes.len()
    }

    fn finish(self: Box<Self>) -> Vec<u8> {
        self.out.bytes
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

/// The field of a `Metric` that contains its value.
const fn value_field(kind: Kind) -> u8 {
    match kind {
        Kind::Gauge => 2,
        Kind::Counter => 3,
        Kind::Summary => 4,
        Kind::Untyped => 5,
        Kind::Histogram => 7,
    }
}

/// The field of a value with the time at which it began.
const fn created_field(kind: Kind) -> Option<u8> {
    match kind {
        Kind::Counter => Some(3),
        Kind::Summary => Some(4),
        Kind::Histogram => Some(15),
        Kind::Gauge | Kind::Untyped => None,
    }
}

/// Writes the labels, except the label of the bound or quantile.
fn push_labels(sample: Sample<'_>, kind: Kind, out: &mut Vec<u8>) {
    let point = match kind {
        Kind::Histogram | Kind::Summary => conformance::point_label(kind),
        _ => "",
    };
    for (name, value) in sample.labels().filter(|(name, _)| *name != point) {
        push_label(field::METRIC_LABEL, name, value, out);
    }
}

/// Writes a label with an escaped value.
fn push_label(field: u8, name: &str, value: &str, out: &mut Vec<u8>) {
    let pair = open(field, out);
    push_bytes(field::LABEL_NAME, name, out);
    push_bytes(field::LABEL_VALUE, &label::unescape(value), out);
    close(pair, out);
}

/// Writes a sample's part of the value of its metric.
fn push_value(sample: Sample<'_>, kind: Kind, out: &mut Vec<u8>) {
    let value = sample.value();
    // Every count of a histogram or summary that follows the rules is a whole number.
    let count = value as u64;
    let point = || conformance::point_of(sample, kind).map_or(f64::NAN, |(_, point)| point);
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
