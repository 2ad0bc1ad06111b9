//! From what was read or built, in whatever order, to a canonical [`Page`].
//!
//! Linear but for the sorting (see [`order`]), and even that only where samples do not stand in order already.

use super::label::Labels;
use super::order::{self, Key};
use super::{FamilySpan, Kind, Page, Reason, Report, SampleSpan, number};
use std::cmp::Ordering;

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

    /// Puts everything in its place.
    pub(crate) fn arrange(self, ink: &str) -> Page {
        let (members, ends) = self.by_family();
        let mut arranger = Arranger::new(&self, ink);
        let mut from = 0;
        for (family, &to) in self.families.iter().zip(&ends) {
            arranger.family(family, members.get(from..to).unwrap_or_default());
            from = to;
        }
        let mut page = arranger.page;
        page.report.samples = page.samples.len();
        page
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

/// `x` and the suffix of `x_bucket`, `x_sum`, `x_count`.
pub(crate) fn split_suffix(name: &str) -> Option<(&str, &str)> {
    let (base, suffix) = name.split_at_checked(name.rfind('_')?)?;
    (!base.is_empty() && matches!(suffix, "_bucket" | "_sum" | "_count")).then_some((base, suffix))
}

pub(crate) fn piece(ink: &str, (from, to): (u32, u32)) -> &str {
    ink.get(from as usize..to as usize).unwrap_or_default()
}

/// Writes a page family by family. What families need in passing is kept and used again.
struct Arranger<'a> {
    ink: &'a str,
    samples: &'a [DraftSample],
    page: Page,
    keys: Vec<Key>,
    rows: Vec<Row<'a>>,
    groups: String,
}

/// A sample of a histogram or summary: its place among those of equal other labels.
struct Row<'a> {
    sample: u32,
    rank: Rank,
    bound: f64,
    bound_text: &'a str,
}

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Rank {
    /// A bucket or a quantile.
    Point,
    Sum,
    Count,
}

impl Row<'_> {
    fn place(&self, other: &Self) -> Ordering {
        let by_bound = || self.bound.total_cmp(&other.bound);
        let by_text = || self.bound_text.cmp(other.bound_text);
        self.rank.cmp(&other.rank).then_with(by_bound).then_with(by_text)
    }
}

impl<'a> Arranger<'a> {
    fn new(draft: &'a Draft, ink: &'a str) -> Self {
        let page = Page {
            text: String::with_capacity(ink.len()),
            families: Vec::with_capacity(draft.families.len()),
            samples: Vec::with_capacity(draft.samples.len()),
            report: draft.report.clone(),
        };
        let (keys, rows, groups) = (Vec::new(), Vec::new(), String::new());
        Self { ink, samples: &draft.samples, page, keys, rows, groups }
    }

    fn family(&mut self, family: &DraftFamily, members: &[u32]) {
        if members.is_empty() && family.help.is_none() && family.kind.is_none() {
            return;
        }
        let kind = family.kind.unwrap_or(Kind::Untyped);
        let mut span = self.header(family, kind);
        match kind {
            Kind::Histogram | Kind::Summary => self.write_grouped(family, kind, members),
            _ if self.stand_in_order(members) => members.iter().for_each(|&at| self.write(at)),
            _ => self.write_sorted(members),
        }
        span.end = offset(&self.page.text);
        span.samples.1 = count(&self.page.samples);
        self.page.families.push(span);
    }

    fn header(&mut self, family: &DraftFamily, kind: Kind) -> FamilySpan {
        let name = piece(self.ink, family.name);
        let text = &mut self.page.text;
        let start = offset(text);
        let mut help = (start, start);
        if let Some(words) = family.help {
            push_all(text, &["# HELP ", name, " "]);
            help.0 = offset(text);
            text.push_str(piece(self.ink, words));
            help.1 = offset(text);
            text.push('\n');
        }
        text.push_str("# TYPE ");
        let name_start = offset(text);
        push_all(text, &[name, " ", kind.as_str(), "\n"]);
        let name = (name_start, name_start + (family.name.1 - family.name.0));
        let (body, first) = (offset(text), count(&self.page.samples));
        FamilySpan { kind, start, help, name, body, end: body, samples: (first, first) }
    }

    /// Whether labels only ascend: then nothing is to be sorted, and no series stands twice.
    fn stand_in_order(&self, members: &[u32]) -> bool {
        members.is_sorted_by(|&a, &b| self.block(a) < self.block(b))
    }

    fn write_sorted(&mut self, members: &[u32]) {
        let ink = self.ink.as_bytes();
        let mut keys = std::mem::take(&mut self.keys);
        keys.clear();
        keys.extend(members.iter().filter_map(|&at| {
            let span = self.samples.get(at as usize)?.span;
            Some(Key::new(span.name_end, span.labels_end, at))
        }));
        order::sort(ink, &mut keys, |a, b| a.cmp(&b));
        keys.dedup_by(|later, kept| later.of(ink) == kept.of(ink));
        self.page.report.dropped.add(Reason::Duplicate, members.len() - keys.len());
        keys.iter().for_each(|key| self.write(key.index));
        self.keys = keys;
    }

    fn write_grouped(&mut self, family: &DraftFamily, kind: Kind, members: &[u32]) {
        let name_len = family.name.1 - family.name.0;
        let (mut keys, mut rows) = (std::mem::take(&mut self.keys), std::mem::take(&mut self.rows));
        let mut groups = std::mem::take(&mut self.groups);
        keys.clear();
        rows.clear();
        groups.clear();
        for &at in members {
            let Some(sample) = self.samples.get(at as usize) else { continue };
            let start = offset(&groups);
            if let Some(row) = self.row(at, sample, (kind, name_len), &mut groups) {
                keys.push(Key::new(start, offset(&groups), count(&rows)));
                rows.push(row);
            }
        }
        self.page.report.dropped.add(Reason::TypeConflict, members.len() - rows.len());
        let place = |a: u32, b: u32| match (rows.get(a as usize), rows.get(b as usize)) {
            (Some(one), Some(other)) => one.place(other),
            _ => Ordering::Equal,
        };
        let ink = groups.as_bytes();
        order::sort(ink, &mut keys, |a, b| place(a, b).then(a.cmp(&b)));
        keys.dedup_by(|later, kept| {
            place(later.index, kept.index).is_eq() && later.of(ink) == kept.of(ink)
        });
        self.page.report.dropped.add(Reason::Duplicate, rows.len() - keys.len());
        for row in keys.iter().filter_map(|key| rows.get(key.index as usize)) {
            self.write(row.sample);
        }
        (self.keys, self.rows, self.groups) = (keys, rows, groups);
    }

    /// Where a sample stands in its histogram or summary, if it has a place there. Appends the labels that tell this
    /// histogram from the family's others to `groups`.
    fn row(
        &self,
        at: u32,
        sample: &DraftSample,
        (kind, name_len): (Kind, u32),
        groups: &mut String,
    ) -> Option<Row<'a>> {
        let span = sample.span;
        let (rank, point) = match (piece(self.ink, (span.start + name_len, span.name_end)), kind) {
            ("_bucket", Kind::Histogram) => (Rank::Point, "le"),
            ("", Kind::Summary) => (Rank::Point, "quantile"),
            ("_sum", _) => (Rank::Sum, ""),
            ("_count", _) => (Rank::Count, ""),
            _ => return None,
        };
        let start = groups.len();
        let mut row = Row { sample: at, rank, bound: f64::NAN, bound_text: "" };
        let mut has_bound = point.is_empty();
        for (name, value) in Labels::of(piece(self.ink, (span.name_end, span.labels_end))) {
            if name != point {
                push_all(groups, &[name, "=\"", value, "\","]);
            } else if let Some(number) = number::read(value) {
                (row.bound, row.bound_text, has_bound) = (number.value, value, true);
            }
        }
        if !has_bound {
            groups.truncate(start);
        }
        has_bound.then_some(row)
    }

    fn block(&self, at: u32) -> &'a str {
        let sample = self.samples.get(at as usize);
        sample.map_or("", |sample| piece(self.ink, (sample.span.name_end, sample.span.labels_end)))
    }

    fn write(&mut self, at: u32) {
        let Some(&DraftSample { span, end, .. }) = self.samples.get(at as usize) else { return };
        let start = offset(&self.page.text);
        self.page.text.push_str(piece(self.ink, (span.start, end)));
        self.page.text.push('\n');
        self.page.samples.push(SampleSpan {
            value: span.value,
            start,
            name_end: span.name_end - span.start + start,
            labels_end: span.labels_end - span.start + start,
            value_end: span.value_end - span.start + start,
        });
    }
}

fn push_all(out: &mut String, parts: &[&str]) {
    parts.iter().for_each(|part| out.push_str(part));
}

/// A place in a text, which `limits::PAGE_BYTES` keeps far from the end of `u32`.
pub(crate) fn offset(text: &str) -> u32 {
    u32::try_from(text.len()).unwrap_or(u32::MAX)
}

/// A number of things, which `limits` keeps far from the end of `u32`.
pub(crate) fn count<T>(things: &[T]) -> u32 {
    u32::try_from(things.len()).unwrap_or(u32::MAX)
}
