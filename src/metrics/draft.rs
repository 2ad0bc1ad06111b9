//! Makes a canonical [`Page`] from families and samples in any order.
//!
//! The time is linear except for sorting (see [`super::order`]), and only samples that are not in order yet are sorted.

mod arrange;

use self::arrange::Arranger;
use super::{Kind, Page, Report};

/// Families and samples in the order of the input, as spans into a text that the caller keeps.
#[derive(Debug, Default)]
pub(crate) struct Draft {
    pub(crate) families: Vec<DraftFamily>,
    pub(crate) samples: Vec<DraftSample>,
    pub(crate) report: Report,
}

/// A name with a known help text or type, or a name that only occurs in samples.
#[derive(Clone, Copy, Debug)]
pub(crate) struct DraftFamily {
    pub(crate) name: (u32, u32),
    pub(crate) help: Option<(u32, u32)>,
    pub(crate) kind: Option<Kind>,
}

/// A line in canonical spelling, up to its line feed at `end`, and its family.
#[derive(Clone, Copy, Debug)]
pub(crate) struct DraftSample {
    pub(crate) span: SampleSpan,
    pub(crate) end: u32,
    pub(crate) family: u32,
}

/// The positions of a sample's tokens. One blank separates the labels from the value, and the value from the timestamp, if
/// there is one. Without labels `labels_end` is `name_end`.
#[derive(Clone, Copy, Debug)]
pub(crate) struct SampleSpan {
    pub(crate) start: u32,
    pub(crate) name_end: u32,
    pub(crate) labels_end: u32,
    pub(crate) value_end: u32,
}

impl Draft {
    /// Moves the samples of `x_bucket`, `x_sum` and `x_count` to `x` if that is a histogram (a summary has no buckets)
    /// and their own name has neither help nor type. `find` returns the index of a family by name.
    pub(crate) fn adopt_suffixed(&mut self, ink: &str, find: impl Fn(&str) -> Option<u32>) {
        let homes: Vec<Option<u32>> =
            self.families.iter().map(|family| self.home(ink, family, &find)).collect();
        if homes.iter().all(Option::is_none) {
            return;
        }
        for sample in &mut self.samples {
            if let Some(Some(home)) = homes.get(sample.family as usize) {
                sample.family = *home;
            }
        }
    }

    /// Discards the families whose names are not accepted.
    pub(crate) fn retain(&mut self, ink: &str, accepts: &dyn Fn(&str) -> bool) {
        let keeps: Vec<bool> =
            self.families.iter().map(|family| accepts(piece(ink, family.name))).collect();
        if !keeps.contains(&false) {
            return;
        }
        self.samples.retain(|sample| keeps.get(sample.family as usize) == Some(&true));
        for (family, _) in self.families.iter_mut().zip(&keeps).filter(|(_, keeps)| !**keeps) {
            (family.help, family.kind) = (None, None);
        }
    }

    fn home(
        &self,
        ink: &str,
        family: &DraftFamily,
        find: impl Fn(&str) -> Option<u32>,
    ) -> Option<u32> {
        if family.help.is_some() || family.kind.is_some() {
            return None;
        }
        let (base, suffix) = split_suffix(piece(ink, family.name))?;
        let home = find(base)?;
        self.families.get(home as usize)?.kind?.has(suffix).then_some(home)
    }

    /// Writes the families and samples in canonical order. Returns `None` if the page would have more than `most`
    /// bytes.
    pub(crate) fn arrange(self, ink: &str, most: usize) -> Option<Page> {
        let (members, ends) = self.by_family();
        let mut arranger = Arranger::new(&self, ink, most);
        let mut from = 0;
        for (family, &to) in self.families.iter().zip(&ends) {
            arranger.family(family, members.get(from..to).unwrap_or_default());
            from = to;
            if arranger.page.text.len() > most {
                return None;
            }
        }
        let mut page = arranger.page;
        page.report.samples = page.families().map(|family| family.len()).sum();
        Some(page)
    }

    /// An upper bound on the length of the page; reserving it avoids moving the page as it grows.
    fn text_len(&self) -> usize {
        let len = |(from, to): (u32, u32)| (to - from) as usize;
        let header = |family: &DraftFamily| {
            2 * len(family.name)
                + family.help.map_or(0, len)
                + "# HELP  \n# TYPE  histogram\n".len()
        };
        let line = |sample: &DraftSample| len((sample.span.start, sample.end)) + 1;
        self.families.iter().map(header).sum::<usize>()
            + self.samples.iter().map(line).sum::<usize>()
    }

    /// The samples of each family, in the order of the input, and the end of each family's samples: a counting sort.
    fn by_family(&self) -> (Vec<u32>, Vec<usize>) {
        let mut places = vec![0_usize; self.families.len()];
        for sample in &self.samples {
            if let Some(count) = places.get_mut(sample.family as usize) {
                *count += 1;
            }
        }
        let mut from = 0;
        for place in &mut places {
            from += std::mem::replace(place, from);
        }
        let mut members = vec![0; self.samples.len()];
        for (index, sample) in (0_u32..).zip(&self.samples) {
            let Some(place) = places.get_mut(sample.family as usize) else { continue };
            if let Some(member) = members.get_mut(*place) {
                *member = index;
            }
            *place += 1;
        }
        (members, places)
    }
}

/// The suffixes that follow the family's name in names of samples.
pub(crate) const SUFFIXES: [&str; 3] = ["_bucket", "_sum", "_count"];

/// `x` and the suffix of `x_bucket`, `x_sum`, `x_count`.
pub(crate) fn split_suffix(name: &str) -> Option<(&str, &str)> {
    let (base, suffix) = name.split_at_checked(name.rfind('_')?)?;
    (!base.is_empty() && SUFFIXES.contains(&suffix)).then_some((base, suffix))
}

pub(crate) fn piece(ink: &str, (from, to): (u32, u32)) -> &str {
    ink.get(from as usize..to as usize).unwrap_or_default()
}

/// The length of a text as a position; `limits::PAGE_BYTES` keeps it far below the maximum of `u32`.
pub(crate) fn offset(text: &str) -> u32 {
    u32::try_from(text.len()).unwrap_or(u32::MAX)
}

/// The number of items; `limits` keeps it far below the maximum of `u32`.
pub(crate) fn count<T>(things: &[T]) -> u32 {
    u32::try_from(things.len()).unwrap_or(u32::MAX)
}
