//! Writes JSON in the controller's shape: the result of its renderer (`awx/api/renderers.py`,
//! `PrometheusJSONRenderer`), which reads its own text page with Python's prometheus_client.
//!
//! ```text
//! {"<family>": {"help_text": "", "type": "", "samples": [{"labels": {}, "value": 1.0, "sample_type": "bucket"}]}}
//! ```
//!
//! A counter's family is named without `_total` (unless another family has that name), `untyped` is `unknown`, floats
//! are printed as Python prints them, only samples of histograms have a `sample_type`, and timestamps are left out. NaN
//! and the infinities, for which the controller fails, are the strings of the text format.

mod writer;

use self::writer::{JsonWriter, Mark};
use super::render::{Block, Encoder, Presented};
use crate::limits;
use crate::metrics::merge::{FamilyPart, MergedFamily};
use crate::metrics::number::Repr;
use crate::metrics::{Kind, Merged, Sample, label};
use std::collections::HashMap;

/// The media type.
pub const CONTENT_TYPE: &str = "application/json";

/// A page in JSON, on one line, or with every level indented.
#[derive(Debug)]
pub(super) struct JsonPage {
    writer: JsonWriter,
    /// The state before the current block, and true if the block has a sample.
    block: Option<(Mark, bool)>,
}

impl JsonPage {
    /// As in the controller, an indent is at most 8 blanks, and 0 means a single line. A page in which the blanks alone
    /// might exceed [`limits::RENDERED_BYTES`] is written on one line.
    pub(super) fn new(merged: &Merged, indent: Option<usize>) -> Self {
        let indent = indent.filter(|_| merged.indented_by_at_most() <= limits::RENDERED_BYTES);
        let mut writer = JsonWriter::new(indent.unwrap_or_default().min(8));
        writer.open(b'{');
        Self { writer, block: None }
    }
}

impl Encoder for JsonPage {
    fn begin(&mut self, block: &Block, help: &str) {
        let json = &mut self.writer;
        self.block = Some((json.mark(), false));
        json.key(&block.name);
        json.open(b'{');
        json.key("help_text");
        json.string(help);
        json.key("type");
        json.string(match block.kind {
            Kind::Untyped => "unknown",
            kind => kind.as_str(),
        });
        json.key("samples");
        json.open(b'[');
    }

    fn sample(&mut self, block: &Block, _: &FamilyPart, sample: Sample<'_>) {
        if let Some((_, has_samples)) = &mut self.block {
            *has_samples = true;
        }
        let json = &mut self.writer;
        json.element();
        json.open(b'{');
        json.key("labels");
        json.open(b'{');
        for (name, value) in sample.labels() {
            json.key(name);
            json.string(value);
        }
        json.close(b'}');
        json.key("value");
        let value = sample.value();
        let digits = Repr::of(value);
        if value.is_finite() {
            json.number(digits.as_str())
        } else {
            json.string(digits.as_str())
        }
        if block.kind == Kind::Histogram {
            json.key("sample_type");
            json.string(sample.suffix().trim_start_matches('_'));
        }
        json.close(b'}');
    }

    fn end(&mut self, block: &Block) {
        self.writer.close(b']');
        self.writer.close(b'}');
        if let Some((mark, false)) = self.block.take()
            && block.is_filtered
        {
            self.writer.rewind(mark);
        }
    }

    fn written(&self) -> usize {
        self.writer.out.len()
    }

    fn finish(mut self: Box<Self>) -> Vec<u8> {
        self.writer.close(b'}');
        self.writer.out
    }
}

/// The controller's answer without a page: `{"detail":"<sentence>"}`.
#[must_use]
pub fn refusal(sentence: &str) -> Vec<u8> {
    let mut escaped = String::new();
    label::push_escaped(sentence, &mut escaped);
    let mut json = JsonWriter::new(0);
    json.open(b'{');
    json.key("detail");
    json.string(&escaped);
    json.close(b'}');
    json.out
}

/// The names of families; determines if a counter's may be shortened.
pub(super) struct FamilyNames<'m> {
    taken: HashMap<&'m str, Kind>,
}

impl<'m> FamilyNames<'m> {
    pub(super) fn of(merged: &'m Merged) -> Self {
        let families = || merged.families().iter();
        let is_any_cut = families().any(|family| cut(family) != family.name);
        let names = families().map(|family| (family.name.as_str(), family.kind));
        Self { taken: if is_any_cut { names.collect() } else { HashMap::new() } }
    }

    pub(super) fn block(&self, family: &MergedFamily) -> Presented {
        let cut = cut(family);
        let name = if self.taken.contains_key(cut) { &family.name } else { cut };
        (name.to_owned(), family.kind, None)
    }
}

/// The name of a counter in prometheus_client.
fn cut(family: &MergedFamily) -> &str {
    match (family.kind, family.name.strip_suffix("_total")) {
        (Kind::Counter, Some(cut)) if !cut.is_empty() => cut,
        _ => &family.name,
    }
}

#[cfg(test)]
mod tests;
