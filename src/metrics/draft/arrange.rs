//! Sorts the samples of a family and writes it to its page.

use super::{Draft, DraftFamily, DraftSample, count, offset, piece};
use crate::metrics::label::Labels;
use crate::metrics::order::{self, Key};
use crate::metrics::{Conformance, FamilySpan, Kind, Page, Reason, exemplar, number};
use std::cmp::Ordering;

/// Writes a page family by family. Its scratch memory is reused from family to family.
pub(super) struct Arranger<'a> {
    ink: &'a str,
    samples: &'a [DraftSample],
    pub(super) page: Page,
    /// About the current family.
    has_exemplars: bool,
    has_timestamps: bool,
    written: u32,
    scratch: Scratch<'a>,
}

/// Memory for sorting one family.
#[derive(Default)]
struct Scratch<'a> {
    keys: Vec<Key>,
    rows: Vec<Row<'a>>,
    /// The labels that the rows are grouped by, concatenated.
    groups: String,
}

/// A sample of a histogram or summary, with its sort key among samples with the same other labels.
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
    pub(super) fn new(draft: &'a Draft, ink: &'a str, most: usize) -> Self {
        let page = Page {
            text: String::with_capacity(draft.text_len().min(most)),
            families: Vec::with_capacity(draft.families.len()),
            report: draft.report.clone(),
            ..Page::default()
        };
        let (samples, scratch) = (&draft.samples, Scratch::default());
        Self {
            ink,
            samples,
            page,
            has_exemplars: false,
            has_timestamps: false,
            written: 0,
            scratch,
        }
    }

    pub(super) fn family(&mut self, family: &DraftFamily, members: &[u32]) {
        if members.is_empty() && family.help.is_none() && family.kind.is_none() {
            return;
        }
        let kind = family.kind.unwrap_or(Kind::Untyped);
        let mut span = self.header(family, kind);
        match kind {
            Kind::Histogram | Kind::Summary => self.write_grouped(family, kind, members),
            _ if self.stand_in_order(members) => {
                members.iter().for_each(|&at| self.write(at, kind == Kind::Counter));
            }
            _ => self.write_sorted(members, kind),
        }
        span.has_exemplars = std::mem::take(&mut self.has_exemplars);
        span.has_timestamps = std::mem::take(&mut self.has_timestamps);
        span.samples = std::mem::take(&mut self.written);
        span.end = offset(&self.page.text);
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
        let body = offset(text);
        FamilySpan {
            start,
            help,
            name,
            body,
            end: body,
            samples: 0,
            kind,
            has_exemplars: false,
            has_timestamps: false,
            conformance: Conformance::Whole,
        }
    }

    /// Returns true if the label blocks are strictly ascending: then no sorting is needed, and no series is repeated.
    fn stand_in_order(&self, members: &[u32]) -> bool {
        members.is_sorted_by(|&a, &b| self.block(a) < self.block(b))
    }

    fn write_sorted(&mut self, members: &[u32], kind: Kind) {
        let ink = self.ink.as_bytes();
        let mut keys = std::mem::take(&mut self.scratch.keys);
        keys.clear();
        keys.extend(members.iter().filter_map(|&at| {
            let span = self.samples.get(at as usize)?.span;
            Some(Key::new(span.name_end, span.labels_end, at))
        }));
        order::sort(ink, &mut keys, &mut |a, b| a.cmp(&b));
        keys.dedup_by(|later, kept| later.of(ink) == kept.of(ink));
        self.page.report.dropped.add(Reason::Duplicate, members.len() - keys.len());
        keys.iter().for_each(|key| self.write(key.index, kind == Kind::Counter));
        self.scratch.keys = keys;
    }

    fn write_grouped(&mut self, family: &DraftFamily, kind: Kind, members: &[u32]) {
        let mut scratch = std::mem::take(&mut self.scratch);
        self.fill(&mut scratch, family, kind, members);
        let Scratch { keys, rows, groups } = &mut scratch;
        self.page.report.dropped.add(Reason::TypeConflict, members.len() - rows.len());
        let place = |a: u32, b: u32| match (rows.get(a as usize), rows.get(b as usize)) {
            (Some(one), Some(other)) => one.place(other),
            _ => Ordering::Equal,
        };
        let ink = groups.as_bytes();
        order::sort(ink, keys, &mut |a, b| place(a, b).then(a.cmp(&b)));
        keys.dedup_by(|later, kept| {
            place(later.index, kept.index).is_eq() && later.of(ink) == kept.of(ink)
        });
        self.page.report.dropped.add(Reason::Duplicate, rows.len() - keys.len());
        for row in keys.iter().filter_map(|key| rows.get(key.index as usize)) {
            self.write(row.sample, kind == Kind::Histogram && row.rank == Rank::Point);
        }
        self.scratch = scratch;
    }

    /// Collects the rows of the samples that fit the family's type.
    fn fill(
        &self,
        Scratch { keys, rows, groups }: &mut Scratch<'a>,
        family: &DraftFamily,
        kind: Kind,
        members: &[u32],
    ) {
        keys.clear();
        rows.clear();
        groups.clear();
        let name_len = family.name.1 - family.name.0;
        for &at in members {
            let Some(sample) = self.samples.get(at as usize) else { continue };
            let start = offset(groups);
            if let Some(row) = self.row(at, sample, (kind, name_len), groups) {
                keys.push(Key::new(start, offset(groups), count(rows)));
                rows.push(row);
            }
        }
    }

    /// The row of a sample, or `None` if its histogram or summary has no such sample. Appends the labels that
    /// distinguish this histogram from the family's others to `groups`.
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

    /// Writes a sample, with its exemplar if it may have one.
    fn write(&mut self, at: u32, may_have_exemplar: bool) {
        let Some(&DraftSample { span, end, .. }) = self.samples.get(at as usize) else { return };
        let mut line = piece(self.ink, (span.start, end));
        let (timestamp, exemplar) = exemplar::split(piece(self.ink, (span.value_end, end)));
        self.has_timestamps |= !timestamp.is_empty();
        if exemplar.is_some() {
            self.has_exemplars |= may_have_exemplar;
            if !may_have_exemplar {
                self.page.report.dropped.add(Reason::Exemplar, 1);
                line = piece(self.ink, (span.start, span.value_end + offset(timestamp)));
            }
        }
        self.page.text.push_str(line);
        self.page.text.push('\n');
        self.written += 1;
    }
}

fn push_all(out: &mut String, parts: &[&str]) {
    parts.iter().for_each(|part| out.push_str(part));
}
