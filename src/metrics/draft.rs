//! From what was read or built, in whatever order, to a canonical [`Page`].
//!
//! Linear but for the sorting (see [`super::order`]), and even that only where samples do not stand in order already.

mod arrange;

use self::arrange::Arranger;
use super::{Kind, Page, Report};

/// Families and samples in the order they came, as spans into a text that stands elsewhere.
#[derive(Debug, Default)]
pub(crate) struct Draft {
    pub(crate) families: Vec<DraftFamily>,
    pub(crate) samples: Vec<DraftSample>,
    pub(crate) report: Report,
}

/// A name of which something is known: its help, its type, or only that samples bear it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct DraftFamily {
    pub(crate) name: (u32, u32),
    pub(crate) help: Option<(u32, u32)>,
    pub(crate) kind: Option<Kind>,
}

/// A line in canonical spelling, up to its line feed at `end`, and the family it belongs to.
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
    /// Gives the samples of `x_bucket`, `x_sum` and `x_count` to `x` where that is a histogram (a summary has no
    /// buckets) and nothing else is known of their own name. `find` knows the families by name.
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

    /// Puts everything in its place. None where the page would have more bytes than `most`.
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

    /// How long the page will be at most, so that it need not be moved as it grows.
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

    /// The samples of each family, in the order they came, and where each family's end: a counting sort.
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

/// The suffixes that names of samples have beyond that of their family.
pub(crate) const SUFFIXES: [&str; 3] = ["_bucket", "_sum", "_count"];

/// `x` and the suffix of `x_bucket`, `x_sum`, `x_count`.
pub(crate) fn split_suffix(name: &str) -> Option<(&str, &str)> {
    let (base, suffix) = name.split_at_checked(name.rfind('_')?)?;
    (!base.is_empty() && SUFFIXES.contains(&suffix)).then_some((base, suffix))
}

pub(crate) fn piece(ink: &str, (from, to): (u32, u32)) -> &str {
    ink.get(from as usize..to as usize).unwrap_or_default()
}

/// A place in a text, which `limits::PAGE_BYTES` keeps far from the end of `u32`.
pub(crate) fn offset(text: &str) -> u32 {
    u32::try_from(text.len()).unwrap_or(u32::MAX)
}

/// A number of things, which `limits` keeps far from the end of `u32`.
pub(crate) fn count<T>(things: &[T]) -> u32 {
    u32::try_from(things.len()).unwrap_or(u32::MAX)
}
