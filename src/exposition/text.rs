//! Writes text format 0.0.4. What no label is added to and nothing is taken from is copied as it stands on its page.

use crate::metrics::merge::{Added, MergedFamily, Piece};
use crate::metrics::select::Share;
use crate::metrics::{Merged, Sample, Selection};

/// The media type.
pub const CONTENT_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

/// The media type of version 1.0.0, which is the same for names of the legacy character set.
pub const CONTENT_TYPE_1: &str = "text/plain; version=1.0.0; charset=utf-8";

/// Appends the selected families of a merged page.
pub fn render(merged: &Merged<'_>, selection: &Selection, out: &mut Vec<u8>) {
    for family in merged.families() {
        match (selection.share_of(family.name()), family.as_text()) {
            (Share::Nothing, _) => {}
            (Share::All, Some(text)) => out.extend_from_slice(text.as_bytes()),
            (Share::All, None) => {
                header(family, out);
                family.pieces().for_each(|piece| all_samples(merged, piece, out));
            }
            (Share::Nodes, _) => samples_of_nodes(merged, family, selection, out),
        }
    }
}

fn header(family: &MergedFamily<'_>, out: &mut Vec<u8>) {
    let (name, help, kind) = (family.name(), family.help(), family.kind().as_str());
    if !help.is_empty() {
        push_all(out, &["# HELP ", name, " ", help, "\n"]);
    }
    push_all(out, &["# TYPE ", name, " ", kind, "\n"]);
}

fn all_samples<'a>(merged: &Merged<'a>, piece: &Piece<'a>, out: &mut Vec<u8>) {
    if piece.is_verbatim {
        out.extend_from_slice(piece.family.lines().as_bytes());
        return;
    }
    let added = merged.added(piece);
    piece.samples().for_each(|line| sample(added, piece, line, out));
}

fn samples_of_nodes<'a>(
    merged: &Merged<'a>,
    family: &MergedFamily<'a>,
    selection: &Selection,
    out: &mut Vec<u8>,
) {
    let start = out.len();
    header(family, out);
    let first = out.len();
    for piece in family.pieces() {
        let added = merged.added(piece);
        let lines = piece.samples().filter(|sample| selection.has_node(*sample));
        lines.for_each(|line| sample(added, piece, line, out));
    }
    if out.len() == first {
        out.truncate(start);
    }
}

fn sample<'a>(added: Option<&Added<'a>>, piece: &Piece<'a>, sample: Sample<'a>, out: &mut Vec<u8>) {
    series(added, piece, sample, out);
    push_all(out, &[sample.tail(), "\n"]);
}

/// Writes a sample's name and labels.
pub(super) fn series<'a>(
    added: Option<&Added<'a>>,
    piece: &Piece<'a>,
    sample: Sample<'a>,
    out: &mut Vec<u8>,
) {
    push_all(out, &[sample.name()]);
    labels(added, piece, sample, out);
}

/// Writes a sample's labels.
pub(super) fn labels<'a>(
    added: Option<&Added<'a>>,
    piece: &Piece<'a>,
    sample: Sample<'a>,
    out: &mut Vec<u8>,
) {
    let Some(added) = added else { return push_all(out, &[sample.label_block()]) };
    push_all(out, &[&added.block]);
    if piece.renames() {
        for (name, value) in piece.labels(sample) {
            push_all(out, &[",", name, "=\"", value, "\""]);
        }
        return push_all(out, &["}"]);
    }
    // Behind the opening brace: the page's labels, or nothing.
    match sample.label_block().get(1..) {
        Some(labels) => push_all(out, &[",", labels]),
        None => push_all(out, &["}"]),
    }
}

#[inline(never)]
pub(super) fn push_all(out: &mut Vec<u8>, parts: &[&str]) {
    parts.iter().for_each(|part| out.extend_from_slice(part.as_bytes()));
}
