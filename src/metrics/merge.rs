//! Several pages as one: families stand once, the samples of each together, without copying any of them.
//!
//! The first page that has a family gives its type, the first that has one its help. A later page that gives it another
//! type loses that family's samples; of a series that several pages have the first one's stays. Both are counted, page by page.

use super::draft::{self, count, offset};
use super::order::{self, Key};
use super::{Dropped, Family, Kind, Page, Reason, Sample, label};
use crate::limits;
use std::collections::HashMap;

/// A page, and what it is merged with.
#[derive(Clone, Copy, Debug)]
pub struct Part<'a> {
    /// The page.
    pub page: &'a Page,
    /// Labels that each of its samples gets: legal names, each once. A label of the page that has such a name becomes
    /// `exported_<name>`.
    pub labels: &'a [(String, String)],
    /// Whether its `awx_gateway_*` families stay.
    pub gateway_families: bool,
}

/// Pages merged. See [`merge`].
#[derive(Debug, Default)]
pub struct Merged<'a> {
    families: Vec<MergedFamily<'a>>,
    added: Vec<Added<'a>>,
    dropped: Vec<Dropped>,
}

/// The labels that a part's samples get.
#[derive(Debug, Default)]
pub(crate) struct Added<'a> {
    /// Names, and values escaped.
    pub(crate) labels: Vec<(&'a str, String)>,
    /// The same as they are written, behind an opening brace. Empty where there are none.
    pub(crate) block: String,
}

/// Merges pages, in this order.
///
/// One page without labels costs nothing for its samples, and no more than a small entry for each family. A page with
/// which the scrape would exceed [`limits::SCRAPE_SAMPLES`] is left out whole.
#[must_use]
pub fn merge<'a>(parts: &[Part<'a>]) -> Merged<'a> {
    let mut merger = Merger::new(parts);
    let mut room = limits::SCRAPE_SAMPLES;
    for (at, part) in (0..).zip(parts) {
        let samples = part.page.report().samples;
        match room.checked_sub(samples) {
            Some(left) => {
                room = left;
                part.families().for_each(|family| merger.add(Piece::new(at, part.labels, family)));
            }
            None => merger.drop_samples(at, Reason::ScrapeLimit, samples),
        }
    }
    merger.drop_duplicates();
    merger.merged
}

impl<'a> Merged<'a> {
    /// What of a part was left out, beside what its own report counts.
    #[must_use]
    pub fn dropped(&self, part: usize) -> Dropped {
        self.dropped.get(part).copied().unwrap_or_default()
    }

    /// The families, in the order they came.
    pub(crate) fn families(&self) -> impl ExactSizeIterator<Item = &MergedFamily<'a>> {
        self.families.iter()
    }

    /// The labels that a piece's samples get.
    pub(crate) fn added(&self, piece: &Piece<'_>) -> Option<&Added<'a>> {
        self.added.get(piece.part as usize).filter(|added| !added.labels.is_empty())
    }
}

impl<'a> Part<'a> {
    fn families(&self) -> impl Iterator<Item = Family<'a>> + use<'a> {
        let keeps_gateway = self.gateway_families;
        self.page.families().filter(move |family| keeps_gateway || !family.is_gateway())
    }
}

impl<'a> Added<'a> {
    fn of(labels: &'a [(String, String)]) -> Self {
        let mut added = Self::default();
        for (name, value) in labels {
            let mut escaped = String::new();
            label::push_escaped(value, &mut escaped);
            let opening = if added.block.is_empty() { "{" } else { "," };
            let parts = [opening, name, "=\"", &escaped, "\""];
            parts.iter().for_each(|part| added.block.push_str(part));
            added.labels.push((name, escaped));
        }
        added
    }

    fn value(&self, name: &str) -> Option<&str> {
        self.labels.iter().find(|(have, _)| *have == name).map(|(_, value)| value.as_str())
    }
}

/// A family over all parts that have it.
#[derive(Debug)]
pub(crate) struct MergedFamily<'a> {
    first: Piece<'a>,
    rest: Vec<Piece<'a>>,
}

impl<'a> MergedFamily<'a> {
    pub(crate) fn name(&self) -> &'a str {
        self.first.family.name()
    }

    pub(crate) fn kind(&self) -> Kind {
        self.first.family.kind()
    }

    /// The first help that is one, escaped.
    pub(crate) fn help(&self) -> &'a str {
        let mut helps = self.pieces().map(|piece| piece.family.help());
        helps.find(|help| !help.is_empty()).unwrap_or_default()
    }

    pub(crate) fn pieces(&self) -> impl Iterator<Item = &Piece<'a>> {
        std::iter::once(&self.first).chain(&self.rest)
    }

    /// The family as it stands on its page, if it stands as it is.
    pub(crate) fn as_text(&self) -> Option<&'a str> {
        let stands = self.rest.is_empty() && self.first.is_verbatim;
        stands.then(|| self.first.family.as_text())
    }

    /// Whether no series of one piece can be another's, whatever is on the pages: all get some label, each its own value.
    fn is_apart(&self, added: &[Added<'_>]) -> bool {
        let value_of = |piece: &Piece<'_>, name| added.get(piece.part as usize)?.value(name);
        let Some(first) = added.get(self.first.part as usize) else { return false };
        first.labels.iter().any(|(name, _)| {
            let values: Option<Vec<_>> = self.pieces().map(|piece| value_of(piece, name)).collect();
            values.is_some_and(|mut values| {
                values.sort_unstable();
                values.is_sorted_by(|a, b| a < b)
            })
        })
    }
}

/// What one part has of a family.
#[derive(Debug)]
pub(crate) struct Piece<'a> {
    part: u32,
    pub(crate) family: Family<'a>,
    /// Whether its lines stand as they are on the page.
    pub(crate) is_verbatim: bool,
    changes: Option<Box<Changes<'a>>>,
}

#[derive(Debug, Default)]
struct Changes<'a> {
    /// New names of labels that meet added ones.
    renamed: Vec<(&'a str, String)>,
    /// Places of samples left out, ascending.
    dropped: Vec<u32>,
}

impl<'a> Piece<'a> {
    fn new(part: u32, labels: &'a [(String, String)], family: Family<'a>) -> Self {
        let renamed = renamed(labels, family.lines());
        let changes =
            (!renamed.is_empty()).then(|| Box::new(Changes { renamed, dropped: Vec::new() }));
        Self { part, family, is_verbatim: labels.is_empty(), changes }
    }

    /// The samples that stay.
    pub(crate) fn samples(&self) -> impl Iterator<Item = Sample<'a>> {
        let dropped = self.changes.as_ref().map_or(&[][..], |changes| &changes.dropped);
        let mut dropped = dropped.iter().peekable();
        let mut stays = move |at: u32| dropped.next_if_eq(&&at).is_none();
        let samples = (0..).zip(self.family.samples());
        samples.filter_map(move |(at, sample)| stays(at).then_some(sample))
    }

    /// Whether labels of the page have new names.
    pub(crate) fn renames(&self) -> bool {
        self.changes.as_ref().is_some_and(|changes| !changes.renamed.is_empty())
    }

    /// The labels of a sample that its page gave it, under their new names.
    pub(crate) fn labels(&self, sample: Sample<'a>) -> impl Iterator<Item = (&str, &'a str)> {
        let renamed = self.changes.as_ref().map_or(&[][..], |changes| &changes.renamed);
        sample.labels().map(|(name, value)| {
            let new = renamed.iter().find(|(old, _)| *old == name);
            (new.map_or(name, |(_, new)| new), value)
        })
    }

    fn drop(&mut self, at: u32) {
        self.is_verbatim = false;
        self.changes.get_or_insert_default().dropped.push(at);
    }
}

/// New names for the labels of these lines that have the name of an added one: `exported_` before them, as often as it
/// takes, the shorter name first (Prometheus, `scrape.resolveConflictingExposedLabels`, but for all of a family at once).
fn renamed<'a>(added: &'a [(String, String)], lines: &str) -> Vec<(&'a str, String)> {
    let names = added.iter().map(|(name, _)| name.as_str());
    let mut met: Vec<_> = names.clone().filter(|name| label::has_label(lines, name)).collect();
    met.sort_unstable_by_key(|name| name.len());
    let mut renamed: Vec<(&str, String)> = Vec::new();
    for name in met {
        let mut new = ["exported_", name].concat();
        while label::has_label(lines, &new)
            || names.clone().any(|name| name == new)
            || renamed.iter().any(|(_, taken)| *taken == new)
        {
            new.insert_str(0, "exported_");
        }
        renamed.push((name, new));
    }
    renamed
}

/// Puts the families of one part after another together.
struct Merger<'a> {
    merged: Merged<'a>,
    /// Places of the families by name. With one part there is nothing to be found.
    ids: Option<HashMap<&'a str, usize>>,
}

impl<'a> Merger<'a> {
    fn new(parts: &[Part<'a>]) -> Self {
        let families = parts.iter().map(|part| part.page.families().len()).max();
        let merged = Merged {
            families: Vec::with_capacity(families.unwrap_or_default()),
            added: parts.iter().map(|part| Added::of(part.labels)).collect(),
            dropped: vec![Dropped::default(); parts.len()],
        };
        Self { merged, ids: (parts.len() > 1).then(HashMap::new) }
    }

    fn add(&mut self, piece: Piece<'a>) {
        let name = piece.family.name();
        let known = self.ids.as_ref().and_then(|ids| ids.get(name).copied());
        if known.is_none() && !self.is_taken(&piece) {
            if let Some(ids) = &mut self.ids {
                ids.insert(name, self.merged.families.len());
            }
            return self.merged.families.push(MergedFamily { first: piece, rest: Vec::new() });
        }
        match known.and_then(|at| self.merged.families.get_mut(at)) {
            Some(family) if family.kind() == piece.family.kind() => family.rest.push(piece),
            _ => self.drop_samples(piece.part, Reason::TypeConflict, piece.family.len()),
        }
    }

    /// Whether names of this family's samples are already those of another part's, one of the two being the `_sum`,
    /// say, of a histogram.
    fn is_taken(&self, piece: &Piece<'_>) -> bool {
        let kind_of = |name: &str| {
            let family = self.merged.families.get(*self.ids.as_ref()?.get(name)?)?;
            (family.first.part != piece.part).then(|| family.kind())
        };
        let name = piece.family.name();
        let is_part_of_another = draft::split_suffix(name)
            .is_some_and(|(base, suffix)| kind_of(base).is_some_and(|kind| kind.has(suffix)));
        let kind = piece.family.kind();
        let suffixes = ["_bucket", "_sum", "_count"].into_iter().filter(|suffix| kind.has(suffix));
        is_part_of_another
            || suffixes.map(|suffix| [name, suffix].concat()).any(|name| kind_of(&name).is_some())
    }

    fn drop_samples(&mut self, part: u32, reason: Reason, samples: usize) {
        if let Some(dropped) = self.merged.dropped.get_mut(part as usize) {
            dropped.add(reason, samples);
        }
    }

    fn drop_duplicates(&mut self) {
        let Merged { families, added, dropped } = &mut self.merged;
        let mut search = Search::default();
        for family in families {
            if family.rest.is_empty() || family.is_apart(added) {
                continue;
            }
            for (piece, at) in search.duplicates(family, added) {
                let piece = std::iter::once(&mut family.first).chain(&mut family.rest).nth(piece);
                let Some(piece) = piece else { continue };
                piece.drop(at);
                if let Some(dropped) = dropped.get_mut(piece.part as usize) {
                    dropped.add(Reason::Duplicate, 1);
                }
            }
        }
    }
}

/// Looks for series that several pieces of a family have. What it needs is kept from family to family.
#[derive(Default)]
struct Search {
    ink: String,
    keys: Vec<Key>,
    rows: Vec<(usize, u32)>,
}

impl Search {
    /// The pieces and places of all samples but the first of each series, in order.
    fn duplicates(&mut self, family: &MergedFamily<'_>, added: &[Added<'_>]) -> Vec<(usize, u32)> {
        let Self { ink, keys, rows } = self;
        ink.clear();
        keys.clear();
        rows.clear();
        for (number, piece) in family.pieces().enumerate() {
            let added = added.get(piece.part as usize).map_or(&[][..], |added| &added.labels);
            for (at, sample) in (0..).zip(piece.family.samples()) {
                let start = offset(ink);
                write_identity(piece, sample, added, ink);
                keys.push(Key::new(start, offset(ink), count(rows)));
                rows.push((number, at));
            }
        }
        let bytes = ink.as_bytes();
        order::sort(bytes, keys, |a, b| a.cmp(&b));
        let repeats = keys.windows(2).filter_map(|pair| match pair {
            [kept, later] if kept.of(bytes) == later.of(bytes) => Some(later.index),
            _ => None,
        });
        let mut repeats: Vec<_> = repeats.collect();
        repeats.sort_unstable();
        repeats.iter().filter_map(|&index| rows.get(index as usize).copied()).collect()
    }
}

/// What tells a series from another of its family: its suffix and all its labels, by name.
fn write_identity<'a>(
    piece: &Piece<'a>,
    sample: Sample<'a>,
    added: &[(&str, String)],
    ink: &mut String,
) {
    let added = added.iter().map(|(name, value)| (*name, value.as_str()));
    let mut labels: Vec<_> = added.chain(piece.labels(sample)).collect();
    labels.sort_unstable();
    ink.push_str(sample.suffix());
    for (name, value) in labels {
        [",", name, "=\"", value, "\""].iter().for_each(|part| ink.push_str(part));
    }
}

#[cfg(test)]
mod tests;
