//! Several pages as one: families stand once, the samples of each together, without copying any of them.
//!
//! The first page that has a family gives its type, the first that has one its help. A later page that gives it another
//! type loses that family's samples; of a series that several pages have the first one's stays. Both are counted, page by page.

mod duplicates;
mod piece;

use self::duplicates::Search;
pub(crate) use self::piece::{Added, MergedFamily, Piece};
use super::{Dropped, Family, Kind, Page, Reason, draft};
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
    indented_by: usize,
}

/// Merges pages, in this order.
///
/// One page without labels costs nothing for its samples, and no more than a small entry for each family. A page with
/// which the scrape would exceed [`limits::SCRAPE_SAMPLES`], or might exceed [`limits::SCRAPE_BYTES`], is left out whole.
#[must_use]
pub fn merge<'a>(parts: &[Part<'a>]) -> Merged<'a> {
    let mut merger = Merger::new(parts);
    let mut room = (limits::SCRAPE_SAMPLES, limits::SCRAPE_BYTES);
    for (at, part) in (0..).zip(parts) {
        let samples = part.page.report().samples;
        let left = room.0.checked_sub(samples);
        match left.zip(room.1.checked_sub(part.page.rendered_with(part.labels))) {
            Some(left) => {
                room = left;
                part.families().for_each(|family| merger.add(Piece::new(at, part.labels, family)));
            }
            None => merger.drop_samples(at, Reason::ScrapeLimit, samples),
        }
    }
    merger.merged.indented_by = indented_by(parts);
    merger.drop_duplicates();
    merger.merged
}

fn indented_by(parts: &[Part<'_>]) -> usize {
    parts.iter().map(|part| part.page.indented_by_at_most(part.labels.len())).sum()
}

impl<'a> Merged<'a> {
    /// Bytes that indenting its JSON adds at most.
    pub(crate) const fn indented_by_at_most(&self) -> usize {
        self.indented_by
    }

    /// What of a part was left out, beside what its own report counts.
    #[must_use]
    pub fn dropped(&self, part: usize) -> Dropped {
        self.dropped.get(part).copied().unwrap_or_default()
    }

    /// Leaves out every family but those of these names.
    pub fn retain(&mut self, keep: impl Fn(&str) -> bool) {
        self.families.retain(|family| keep(family.name()));
    }

    /// The families, in the order they came.
    pub(crate) fn families(&self) -> impl ExactSizeIterator<Item = &MergedFamily<'a>> {
        self.families.iter()
    }

    /// Whether samples of one histogram or summary come from several pages, and so do not stand together.
    pub(crate) fn mixes_groups(&self, family: &MergedFamily<'a>) -> bool {
        let is_one = family.rest.is_empty() || family.is_apart(&self.added);
        !is_one && Search::default().mixes_groups(family, &self.added)
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
            indented_by: 0,
        };
        Self { merged, ids: (parts.len() > 1).then(HashMap::new) }
    }

    fn add(&mut self, piece: Piece<'a>) {
        let name = piece.family.name();
        let known = self.ids.as_ref().and_then(|ids| ids.get(name).copied());
        let is_taken = match known {
            None => self.is_part_of_another(&piece) || self.may_have_names_of_another(&piece),
            // One that goes on may lack what the other has.
            Some(_) => self.may_have_names_of_another(&piece) && self.has_names_of_another(&piece),
        };
        match known {
            _ if is_taken => {}
            None => {
                if let Some(ids) = &mut self.ids {
                    ids.insert(name, self.merged.families.len());
                }
                return self.merged.families.push(MergedFamily { first: piece, rest: Vec::new() });
            }
            Some(at) => {
                if let Some(family) = self.merged.families.get_mut(at)
                    && family.kind() == piece.family.kind()
                {
                    return family.rest.push(piece);
                }
            }
        }
        self.drop_samples(piece.part, Reason::TypeConflict, piece.family.len());
    }

    /// Whether its samples' name is already the `_sum`, say, of another part's histogram.
    fn is_part_of_another(&self, piece: &Piece<'_>) -> bool {
        let parts = draft::split_suffix(piece.family.name());
        parts.is_some_and(|(base, suffix)| {
            self.kind_in_another(base, piece).is_some_and(|kind| kind.has(suffix))
        })
    }

    /// Whether the name of its `_sum`, say, is already that of another part's family.
    fn may_have_names_of_another(&self, piece: &Piece<'_>) -> bool {
        let (name, kind) = (piece.family.name(), piece.family.kind());
        let suffixes = ["_bucket", "_sum", "_count"].into_iter().filter(|suffix| kind.has(suffix));
        let mut names = suffixes.map(|suffix| [name, suffix].concat());
        names.any(|name| self.kind_in_another(&name, piece).is_some())
    }

    fn has_names_of_another(&self, piece: &Piece<'_>) -> bool {
        let mut suffixed = piece.family.samples().filter(|sample| !sample.suffix().is_empty());
        suffixed.any(|sample| self.kind_in_another(sample.name(), piece).is_some())
    }

    fn kind_in_another(&self, name: &str, piece: &Piece<'_>) -> Option<Kind> {
        let family = self.merged.families.get(*self.ids.as_ref()?.get(name)?)?;
        (family.first.part != piece.part).then(|| family.kind())
    }

    fn drop_samples(&mut self, part: u32, reason: Reason, samples: usize) {
        if let Some(dropped) = self.merged.dropped.get_mut(part as usize) {
            dropped.add(reason, samples);
        }
    }

    fn drop_duplicates(&mut self) {
        let Merged { families, added, dropped, .. } = &mut self.merged;
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

#[cfg(test)]
mod tests;
