//! Merges several pages into one: each family once, with the samples of all pages, without copying any of them.
//!
//! The first page that has a family gives its type, and the first page with a help text for it gives that. If a later
//! page gives the family another type, all pages keep their series, but the family loses its type; these samples are
//! counted as [`Reason::TypeConflict`]. If several pages have a series, the first page's is kept, and the others are
//! counted as [`Reason::Duplicate`].

mod duplicates;
mod part;

use self::duplicates::Search;
pub(crate) use self::part::{FamilyPart, Place};
use super::{Conformance, Dropped, Family, Kind, Page, Reason, draft, label};
use crate::limits;
use std::collections::HashMap;
use std::rc::Rc;

/// A page to merge.
#[derive(Clone, Debug)]
pub struct Part<'a> {
    /// The page.
    pub page: Rc<Page>,
    /// Labels that each of its samples has. They only save work: two parts share no series if some label has a
    /// different value in each.
    pub labels: &'a [(String, String)],
    /// True if its `awx_gateway_*` families are merged too.
    pub gateway_families: bool,
}

/// Merged pages. See [`merge`].
#[derive(Debug, Default)]
pub struct Merged {
    pages: Vec<Rc<Page>>,
    families: Vec<MergedFamily>,
    dropped: Vec<Dropped>,
    indented_by: usize,
}

/// A family over all pages that have it.
#[derive(Debug)]
pub(crate) struct MergedFamily {
    pub(crate) name: String,
    pub(crate) kind: Kind,
    pub(crate) conformance: Conformance,
    parts: Vec<FamilyPart>,
}

/// Merges pages, in this order.
///
/// A page that would take the scrape over [`limits::SCRAPE_SAMPLES`], or might take it over [`limits::SCRAPE_BYTES`],
/// is left out as a whole.
#[must_use]
pub fn merge(parts: &[Part<'_>]) -> Merged {
    let mut merged = Merged {
        pages: parts.iter().map(|part| Rc::clone(&part.page)).collect(),
        dropped: vec![Dropped::default(); parts.len()],
        indented_by: parts.iter().map(|part| part.page.indented_by_at_most()).sum(),
        ..Merged::default()
    };
    let fitting = merged.fitting(parts);
    merged.collect(parts, &fitting);
    if fitting.len() > 1 {
        merged.resolve_conflicts();
        merged.drop_duplicates(parts);
    }
    merged
}

impl Merged {
    /// The samples of a part that are left out or lose their type, in addition to those in its own report.
    #[must_use]
    pub fn dropped(&self, part: usize) -> Dropped {
        self.dropped.get(part).copied().unwrap_or_default()
    }

    /// Leaves out every family whose name does not match.
    pub fn retain(&mut self, keep: impl Fn(&str) -> bool) {
        self.families.retain(|family| keep(&family.name));
    }

    /// An upper bound on the bytes that indenting adds to its JSON.
    pub(crate) const fn indented_by_at_most(&self) -> usize {
        self.indented_by
    }

    /// The families, in the order of the input.
    pub(crate) fn families(&self) -> &[MergedFamily] {
        &self.families
    }

    /// The parts of a family.
    pub(crate) fn parts<'m>(
        &'m self,
        family: &'m MergedFamily,
    ) -> impl ExactSizeIterator<Item = (&'m FamilyPart, Family<'m>)> {
        family.parts.iter().map(|part| (part, self.family(part)))
    }

    /// The first help text, escaped.
    pub(crate) fn help<'m>(&'m self, family: &'m MergedFamily) -> &'m str {
        let mut helps = self.parts(family).map(|(_, family)| family.help());
        helps.find(|help| !help.is_empty()).unwrap_or_default()
    }

    /// The family that a part belongs to. A part is only made from an existing family.
    fn family(&self, part: &FamilyPart) -> Family<'_> {
        self.pages.get(part.page).and_then(|page| page.family(part.family)).unwrap_or(Family::EMPTY)
    }

    /// The indices of the parts that fit the limits of a scrape.
    fn fitting(&mut self, parts: &[Part<'_>]) -> Vec<usize> {
        let mut room = (limits::SCRAPE_SAMPLES, limits::SCRAPE_BYTES);
        let mut fitting = Vec::with_capacity(parts.len());
        for (index, part) in parts.iter().enumerate() {
            let samples = part.page.report().samples;
            let left = room.0.checked_sub(samples);
            match left.zip(room.1.checked_sub(part.page.rendered_at_most())) {
                Some(left) => {
                    room = left;
                    fitting.push(index);
                }
                None => self.count(index, Reason::ScrapeLimit, samples),
            }
        }
        fitting
    }

    /// Groups the families of these parts by name.
    fn collect(&mut self, parts: &[Part<'_>], fitting: &[usize]) {
        let parts = || fitting.iter().filter_map(|&index| Some((index, parts.get(index)?)));
        let most = parts().map(|(_, part)| part.page.families().len()).max();
        self.families.reserve(most.unwrap_or_default());
        let mut known: HashMap<&str, usize> = HashMap::new();
        for (page, part) in parts() {
            for (index, family) in part.page.families().enumerate() {
                if family.is_gateway() && !part.gateway_families {
                    continue;
                }
                let part = FamilyPart::whole(page, index);
                // With a single page every name is new.
                let found = (fitting.len() > 1).then(|| known.get(family.name()).copied());
                match found.flatten().and_then(|at| self.families.get_mut(at)) {
                    Some(merged) => merged.add(part, family),
                    None => {
                        if fitting.len() > 1 {
                            known.insert(family.name(), self.families.len());
                        }
                        self.families.push(MergedFamily::of(part, family));
                    }
                }
            }
        }
    }

    fn count(&mut self, page: usize, reason: Reason, samples: usize) {
        if let Some(dropped) = self.dropped.get_mut(page) {
            dropped.add(reason, samples);
        }
    }

    /// Removes the types of families that cannot keep them.
    fn resolve_conflicts(&mut self) {
        let conflicts = self.conflicts();
        if !conflicts.contains(&true) {
            return;
        }
        let families = std::mem::take(&mut self.families);
        let mut resolved = Vec::with_capacity(families.len());
        for (family, is_conflict) in families.into_iter().zip(conflicts) {
            if !is_conflict {
                resolved.push(family);
                continue;
            }
            for part in &family.parts {
                let loses = |family: &Family<'_>| family.kind() != Kind::Untyped;
                let samples = Some(self.family(part)).filter(loses).map_or(0, |it| it.len());
                self.count(part.page, Reason::TypeConflict, samples);
            }
            let untyped = self.by_sample_name(&family).into_iter();
            resolved.extend(untyped.map(|(name, parts)| MergedFamily::untyped(name, parts)));
        }
        self.families = joined(resolved);
    }

    /// True for each family with several types, or with a sample that has the name of another page's family.
    fn conflicts(&self) -> Vec<bool> {
        let ids: HashMap<&str, usize> = self
            .families
            .iter()
            .enumerate()
            .map(|(id, family)| (family.name.as_str(), id))
            .collect();
        let mut conflicts = vec![false; self.families.len()];
        let mut mark =
            |index: usize| conflicts.get_mut(index).into_iter().for_each(|it| *it = true);
        for (index, merged) in self.families.iter().enumerate() {
            if self.parts(merged).any(|(_, family)| family.kind() != merged.kind) {
                mark(index);
            }
            for suffix in draft::SUFFIXES {
                let Some(&other) = ids.get([&merged.name, suffix].concat().as_str()) else {
                    continue;
                };
                if self.meet(merged, suffix, other) {
                    mark(index);
                    mark(other);
                }
            }
        }
        conflicts
    }

    /// Returns true if one page has samples of the family with this suffix, and another page has the other family.
    fn meet(&self, family: &MergedFamily, suffix: &str, other: usize) -> bool {
        let has = |family: Family<'_>| {
            family.kind().has(suffix) && family.samples().any(|sample| sample.suffix() == suffix)
        };
        let others =
            self.families.get(other).map(|other| other.parts.as_slice()).unwrap_or_default();
        self.parts(family)
            .any(|(part, family)| others.iter().any(|other| other.page != part.page) && has(family))
    }

    /// The parts of a family by the names of their samples, in the order of [`draft::SUFFIXES`]; the family's own name first.
    fn by_sample_name(&self, family: &MergedFamily) -> Vec<(String, Vec<FamilyPart>)> {
        let suffixes = std::iter::once("").chain(draft::SUFFIXES);
        let named = suffixes.filter_map(|suffix| {
            let has = |(_, family): &(&FamilyPart, Family<'_>)| {
                suffix.is_empty() && family.is_empty()
                    || family.samples().any(|sample| sample.suffix() == suffix)
            };
            let parts = self.parts(family).filter(has);
            let parts: Vec<_> =
                parts.map(|(part, family)| part.with_suffix(suffix, family)).collect();
            (!parts.is_empty()).then(|| ([&family.name, suffix].concat(), parts))
        });
        named.collect()
    }

    fn drop_duplicates(&mut self, parts: &[Part<'_>]) {
        let mut families = std::mem::take(&mut self.families);
        let mut search = Search::default();
        for family in &mut families {
            if family.parts.len() == 1 || family.is_apart(parts) {
                continue;
            }
            let (repeats, is_mixed) = search.look(self, family);
            for (part, sample) in repeats {
                let Some(part) = family.parts.get_mut(part) else { continue };
                part.dropped.push(sample);
                self.count(part.page, Reason::Duplicate, 1);
            }
            family.conformance = self.conformance(family, is_mixed);
        }
        self.families = families;
    }

    fn conformance(&self, family: &MergedFamily, is_mixed: bool) -> Conformance {
        let parts = || self.parts(family).map(|(part, family)| part.conformance(family));
        match family.kind {
            Kind::Gauge | Kind::Untyped => Conformance::Whole,
            Kind::Histogram | Kind::Summary if is_mixed => Conformance::Broken,
            _ => parts().min().unwrap_or(Conformance::Whole),
        }
    }
}

impl MergedFamily {
    fn of(part: FamilyPart, family: Family<'_>) -> Self {
        Self {
            name: family.name().to_owned(),
            kind: family.kind(),
            conformance: family.conformance(),
            parts: vec![part],
        }
    }

    fn untyped(name: String, parts: Vec<FamilyPart>) -> Self {
        Self { name, kind: Kind::Untyped, conformance: Conformance::Whole, parts }
    }

    fn add(&mut self, part: FamilyPart, family: Family<'_>) {
        self.conformance = self.conformance.min(family.conformance());
        self.parts.push(part);
    }

    fn insert(&mut self, part: FamilyPart) {
        let at = self.parts.partition_point(|have| have.page <= part.page);
        self.parts.insert(at, part);
    }

    /// Returns true if no series of one part can equal a series of another: some label has a different value in each.
    fn is_apart(&self, parts: &[Part<'_>]) -> bool {
        let value_of = |part: &FamilyPart, name: &str| {
            let labels = parts.get(part.page)?.labels;
            labels.iter().find(|(have, _)| have == name).map(|(_, value)| (value.as_str(), ""))
        };
        let Some(first) = self.parts.first().and_then(|part| parts.get(part.page)) else {
            return true;
        };
        first.labels.iter().any(|(name, _)| {
            let values: Option<Vec<_>> = self.parts.iter().map(|it| value_of(it, name)).collect();
            values.is_some_and(|mut values| label::put_in_order(&mut values))
        })
    }
}

/// Merges families with the same name. The parts are in the order of their pages, since the first page's series is
/// kept.
fn joined(families: Vec<MergedFamily>) -> Vec<MergedFamily> {
    let mut ids: HashMap<&str, usize> = HashMap::new();
    let mut distinct = 0;
    let targets = families.iter().map(|family| {
        *ids.entry(&family.name).or_insert_with(|| {
            distinct += 1;
            distinct - 1
        })
    });
    let targets: Vec<usize> = targets.collect();
    let mut joined: Vec<MergedFamily> = Vec::with_capacity(distinct);
    for (family, target) in families.into_iter().zip(targets) {
        match joined.get_mut(target) {
            Some(first) => family.parts.into_iter().for_each(|part| first.insert(part)),
            None => joined.push(family),
        }
    }
    joined
}

#[cfg(test)]
mod tests;
