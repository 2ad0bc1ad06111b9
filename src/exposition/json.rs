//! Writes JSON in the controller's shape: what it makes of its own text page (`awx/api/renderers.py`,
//! `PrometheusJSONRenderer`) by way of Python's prometheus_client.
//!
//! ```text
//! {"<family>": {"help_text": "", "type": "", "samples": [{"labels": {}, "value": 1.0, "sample_type": "bucket"}]}}
//! ```
//!
//! So the name of a counter's family goes without `_total` (unless another family has that name), `untyped` is
//! `unknown`, floats are printed as Python prints them, only a histogram's samples have a `sample_type`, timestamps are
//! left out. NaN and the infinities, with which the controller fails, are the strings of the text format.

mod writer;

use self::writer::Writer;
use crate::limits;
use crate::metrics::merge::{Added, MergedFamily, Piece};
use crate::metrics::number::Repr;
use crate::metrics::select::Share;
use crate::metrics::{Kind, Merged, Sample, Selection, label};
use std::collections::HashSet;

/// The media type.
pub const CONTENT_TYPE: &str = "application/json";

/// Appends the selected families of a merged page, on one line, or with every level indented by so many blanks. As the
/// controller has it, no more than 8, and 0 means one line. A page of which blanks alone would be more than
/// [`limits::RENDERED_BYTES`] is on one line.
pub fn render(
    merged: &Merged<'_>,
    selection: &Selection,
    indent: Option<usize>,
    out: &mut Vec<u8>,
) {
    let names = Names::of(merged);
    let indent = indent.filter(|_| merged.indented_by_at_most() <= limits::RENDERED_BYTES);
    let mut json = Writer::new(out, indent.unwrap_or_default().min(8));
    json.open(b'{');
    for family in merged.families() {
        let name = names.of_family(family);
        match selection.share_of(family.name()) {
            Share::Nothing => {}
            Share::All => {
                write_family(merged, family, name, |_| true, &mut json);
            }
            Share::Nodes => {
                let mark = json.mark();
                let has_node = |sample| selection.has_node(sample);
                if write_family(merged, family, name, has_node, &mut json) == 0 {
                    json.rewind(mark);
                }
            }
        }
    }
    json.close(b'}');
}

/// What the controller answers where there is no page: `{"detail":"<sentence>"}`.
#[must_use]
pub fn refusal(sentence: &str) -> Vec<u8> {
    let (mut out, mut escaped) = (Vec::new(), String::new());
    label::push_escaped(sentence, &mut escaped);
    let mut json = Writer::new(&mut out, 0);
    json.open(b'{');
    json.key("detail");
    json.string(&escaped);
    json.close(b'}');
    out
}

/// The names that families have, where a counter's may be cut.
struct Names<'a> {
    taken: HashSet<&'a str>,
}

impl<'a> Names<'a> {
    fn of(merged: &Merged<'a>) -> Self {
        let is_cut = |family: &MergedFamily<'a>| cut(family) != family.name();
        let names = merged.families().map(MergedFamily::name);
        let taken = if merged.families().any(is_cut) { names.collect() } else { HashSet::new() };
        Self { taken }
    }

    fn of_family(&self, family: &MergedFamily<'a>) -> &'a str {
        let cut = cut(family);
        if self.taken.contains(cut) { family.name() } else { cut }
    }
}

/// A counter's name as prometheus_client has it.
fn cut<'a>(family: &MergedFamily<'a>) -> &'a str {
    let name = family.name();
    match (family.kind(), name.strip_suffix("_total")) {
        (Kind::Counter, Some(cut)) if !cut.is_empty() => cut,
        _ => name,
    }
}

/// Says how many samples it wrote.
fn write_family<'a>(
    merged: &Merged<'a>,
    family: &MergedFamily<'a>,
    name: &str,
    is_selected: impl Fn(Sample<'a>) -> bool,
    json: &mut Writer<'_>,
) -> usize {
    json.key(name);
    json.open(b'{');
    json.key("help_text");
    json.string(family.help());
    json.key("type");
    json.string(match family.kind() {
        Kind::Untyped => "unknown",
        kind => kind.as_str(),
    });
    json.key("samples");
    json.open(b'[');
    let mut written = 0;
    for piece in family.pieces() {
        let added = merged.added(piece);
        for sample in piece.samples().filter(|sample| is_selected(*sample)) {
            write_sample(added, piece, sample, json);
            written += 1;
        }
    }
    json.close(b']');
    json.close(b'}');
    written
}

fn write_sample<'a>(
    added: Option<&Added<'a>>,
    piece: &Piece<'a>,
    sample: Sample<'a>,
    json: &mut Writer<'_>,
) {
    json.element();
    json.open(b'{');
    json.key("labels");
    json.open(b'{');
    for (name, value) in added.into_iter().flat_map(|added| &added.labels) {
        json.key(name);
        json.string(value);
    }
    for (name, value) in piece.labels(sample) {
        json.key(name);
        json.string(value);
    }
    json.close(b'}');
    json.key("value");
    let value = Repr::of(sample.value());
    if sample.value().is_finite() {
        json.number(value.as_str())
    } else {
        json.string(value.as_str())
    }
    if piece.family.kind() == Kind::Histogram {
        json.key("sample_type");
        json.string(sample.suffix().trim_start_matches('_'));
    }
    json.close(b'}');
}

#[cfg(test)]
mod tests;
