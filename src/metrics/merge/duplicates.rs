//! Series that several pages have. By sorting, like those within a page.

use super::{Added, MergedFamily, Piece};
use crate::metrics::draft::{count, offset};
use crate::metrics::label;
use crate::metrics::order::{self, Key};
use crate::metrics::{Kind, Sample};

/// Looks for series that several pieces of a family have. What it needs is kept from family to family.
#[derive(Default)]
pub(super) struct Search {
    ink: String,
    keys: Vec<Key>,
    rows: Vec<(usize, u32)>,
}

impl Search {
    /// The pieces and places of all samples but the first of each series, in order.
    pub(super) fn duplicates(
        &mut self,
        family: &MergedFamily<'_>,
        added: &[Added<'_>],
    ) -> Vec<(usize, u32)> {
        self.sort(family, added, Identity::Series);
        let Self { ink, keys, rows } = self;
        let bytes = ink.as_bytes();
        let mut repeats = vec![false; rows.len()];
        for pair in keys.windows(2) {
            if let [kept, later] = pair
                && kept.of(bytes) == later.of(bytes)
                && let Some(repeat) = repeats.get_mut(later.index as usize)
            {
                *repeat = true;
            }
        }
        rows.iter().zip(repeats).filter_map(|(&row, repeat)| repeat.then_some(row)).collect()
    }

    /// Whether several pieces have samples of one histogram or summary.
    pub(super) fn mixes_groups(&mut self, family: &MergedFamily<'_>, added: &[Added<'_>]) -> bool {
        self.sort(family, added, Identity::Group);
        let Self { ink, keys, rows } = self;
        let piece = |key: &Key| rows.get(key.index as usize).map(|(piece, _)| *piece);
        keys.windows(2).any(|pair| match pair {
            [a, b] => a.of(ink.as_bytes()) == b.of(ink.as_bytes()) && piece(a) != piece(b),
            _ => false,
        })
    }

    fn sort(&mut self, family: &MergedFamily<'_>, added: &[Added<'_>], identity: Identity) {
        let Self { ink, keys, rows } = self;
        ink.clear();
        keys.clear();
        rows.clear();
        for (number, piece) in family.pieces().enumerate() {
            let added = added.get(piece.part as usize).map_or(&[][..], |added| &added.labels);
            for (at, sample) in (0..).zip(piece.family.samples()) {
                let start = offset(ink);
                identity.write(piece, sample, added, ink);
                keys.push(Key::new(start, offset(ink), count(rows)));
                rows.push((number, at));
            }
        }
        order::sort(ink.as_bytes(), keys, &mut |a, b| a.cmp(&b));
    }
}

/// What samples are told apart by.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Identity {
    /// The suffix and all labels, by name.
    Series,
    /// The labels but `le` or `quantile`.
    Group,
}

impl Identity {
    fn write<'a>(
        self,
        piece: &Piece<'a>,
        sample: Sample<'a>,
        added: &[(&str, String)],
        ink: &mut String,
    ) {
        let added = added.iter().map(|(name, value)| (*name, value.as_str()));
        let mut labels: Vec<_> = added.chain(piece.labels(sample)).collect();
        label::put_in_order(&mut labels);
        if self == Self::Group {
            let point = if piece.family.kind() == Kind::Summary { "quantile" } else { "le" };
            labels.retain(|(name, _)| *name != point);
        } else {
            ink.push_str(sample.suffix());
        }
        for (name, value) in labels {
            [",", name, "=\"", value, "\""].iter().for_each(|part| ink.push_str(part));
        }
    }
}
