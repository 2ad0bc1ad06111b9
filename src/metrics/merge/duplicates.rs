//! Finds the series that several pages have, by sorting, as within a page.

use super::{Merged, MergedFamily};
use crate::metrics::draft::{count, offset};
use crate::metrics::order::{self, Key};
use crate::metrics::{Kind, Sample, label};

/// Compares the parts of families. Its memory is reused from family to family.
#[derive(Default)]
pub(super) struct Search {
    ink: String,
    keys: Vec<Key>,
    rows: Vec<(usize, u32)>,
}

impl Search {
    /// Returns the part and the index of every sample whose series an earlier part has, and true if several parts have
    /// samples of one histogram or summary.
    pub(super) fn look(
        &mut self,
        merged: &Merged,
        family: &MergedFamily,
    ) -> (Vec<(usize, u32)>, bool) {
        self.sort(merged, family, Identity::Series);
        let repeats = order::repeats(self.ink.as_bytes(), &self.keys, self.rows.len());
        let rows = self.rows.iter().zip(repeats);
        let rows = rows.filter_map(|(&row, repeat)| repeat.then_some(row)).collect();
        (rows, self.mixes_groups(merged, family))
    }

    fn mixes_groups(&mut self, merged: &Merged, family: &MergedFamily) -> bool {
        if !matches!(family.kind, Kind::Histogram | Kind::Summary) {
            return false;
        }
        self.sort(merged, family, Identity::Group);
        let Self { ink, keys, rows } = self;
        let part = |key: &Key| rows.get(key.index as usize).map(|(part, _)| *part);
        keys.windows(2).any(|pair| match pair {
            [a, b] => a.of(ink.as_bytes()) == b.of(ink.as_bytes()) && part(a) != part(b),
            _ => false,
        })
    }

    fn sort(&mut self, merged: &Merged, family: &MergedFamily, identity: Identity) {
        let Self { ink, keys, rows } = self;
        ink.clear();
        keys.clear();
        rows.clear();
        for (number, (part, of_page)) in merged.parts(family).enumerate() {
            for (index, sample) in part.samples(of_page) {
                let start = offset(ink);
                identity.write(family.kind, sample, ink);
                keys.push(Key::new(start, offset(ink), count(rows)));
                rows.push((number, index));
            }
        }
        order::sort(ink.as_bytes(), keys, &mut |a, b| a.cmp(&b));
    }
}

/// The text by which two samples are compared.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Identity {
    /// The suffix and all labels, by name.
    Series,
    /// The labels without `le` or `quantile`.
    Group,
}

impl Identity {
    fn write(self, kind: Kind, sample: Sample<'_>, ink: &mut String) {
        let mut labels: Vec<_> = sample.labels().collect();
        label::put_in_order(&mut labels);
        if self == Self::Group {
            let point = if kind == Kind::Summary { "quantile" } else { "le" };
            labels.retain(|(name, _)| *name != point);
        } else if matches!(kind, Kind::Histogram | Kind::Summary) {
            // In other families all samples have the same name.
            ink.push_str(sample.suffix());
        }
        for (name, value) in labels {
            [",", name, "=\"", value, "\""].iter().for_each(|part| ink.push_str(part));
        }
    }
}
