//! What is different in OpenMetrics 1.0.0. It comes out as text 0.0.4 has it:
//! - a counter `x` is the family `x_total`, the info `x` the gauge `x_info`, a state set a gauge, and of a gauge
//!   histogram `x` the parts are gauges `x_bucket`, `x_gcount`, `x_gsum`: as prometheus_client writes them as text;
//! - `UNIT` is passed over: it is part of the name;
//! - a timestamp is in seconds, and becomes milliseconds, rounded;
//! - `_created` samples, which text has no place for, are dropped and counted;
//! - exemplars stay, see `parse/exemplar.rs`;
//! - a quote may be escaped in a help text too;
//! - `# EOF` ends the page, and a page without it is cut off.
//!
//! Like text, it is read as it is meant where the standard is narrower: blanks, empty lines, what comes first.

use super::{Name, Reader};
use crate::metrics::draft::{Draft, DraftFamily, piece};
use crate::metrics::{Kind, Reason, number};
use std::collections::HashMap;

/// What a page in OpenMetrics has beyond one in text.
#[derive(Default)]
pub(super) struct OpenMetrics {
    /// Families whose samples have other names than theirs.
    declared: Vec<(u32, Declared)>,
    /// Whether the page ended as it should.
    pub(super) is_finished: bool,
}

#[derive(Clone, Copy)]
enum Declared {
    Counter,
    Info,
    GaugeHistogram,
    /// A histogram or summary, whose samples are found as those of text are.
    Grouped,
}

impl Declared {
    fn of(word: &str) -> Option<Self> {
        match word {
            "counter" => Some(Self::Counter),
            "info" => Some(Self::Info),
            "gaugehistogram" => Some(Self::GaugeHistogram),
            "histogram" | "summary" => Some(Self::Grouped),
            _ => None,
        }
    }

    /// The families that text has in its place: what their names add to its own.
    const fn parts(self) -> &'static [(&'static str, Kind)] {
        match self {
            Self::Counter => &[("_total", Kind::Counter)],
            Self::Info => &[("_info", Kind::Gauge)],
            Self::GaugeHistogram => {
                &[("_bucket", Kind::Gauge), ("_gcount", Kind::Gauge), ("_gsum", Kind::Gauge)]
            }
            Self::Grouped => &[],
        }
    }
}

impl OpenMetrics {
    /// Takes a type that text has not, or not so. None for one that it has.
    pub(super) fn declare(&mut self, family: u32, word: &str) -> Option<Kind> {
        if let Some(declared) = Declared::of(word) {
            self.declared.push((family, declared));
        }
        (word == "stateset").then_some(Kind::Gauge)
    }

    /// Whether a type is another thing here than in text.
    pub(super) fn knows(word: &str) -> bool {
        matches!(word, "counter" | "info" | "gaugehistogram" | "stateset")
    }

    /// Gives the samples the families that they have in text.
    pub(super) fn settle(self, page: &str, ids: &HashMap<&str, u32>, draft: &mut Draft) {
        let mut is_created = vec![false; draft.families.len()];
        for (id, declared) in self.declared {
            let Some(family) = draft.families.get_mut(id as usize) else { continue };
            let name = piece(page, family.name);
            let parts = declared.parts();
            let help = if parts.is_empty() { family.help } else { family.help.take() };
            let find = |suffix: &str| ids.get([name, suffix].concat().as_str()).copied();
            for (suffix, kind) in parts {
                if let Some(part) = find(suffix).and_then(|id| undescribed(draft, id)) {
                    (part.help, part.kind) = (help, Some(*kind));
                }
            }
            if let Some(id) = find("_created")
                && undescribed(draft, id).is_some()
                && let Some(is_created) = is_created.get_mut(id as usize)
            {
                *is_created = true;
            }
        }
        let before = draft.samples.len();
        draft.samples.retain(|sample| is_created.get(sample.family as usize) != Some(&true));
        draft.report.dropped.add(Reason::Created, before - draft.samples.len());
    }
}

/// A family of which only samples are known: with a help or type it is one of its own.
fn undescribed(draft: &mut Draft, id: u32) -> Option<&mut DraftFamily> {
    let family = draft.families.get_mut(id as usize)?;
    (family.help.is_none() && family.kind.is_none()).then_some(family)
}

/// Seconds as milliseconds. Beyond what is exact there can be no moment in them.
#[expect(clippy::cast_possible_truncation, reason = "below 2^53")]
pub(super) fn milliseconds(seconds: &str) -> Option<i64> {
    const EXACT: f64 = 9_007_199_254_740_992.0;
    let milliseconds = (number::read(seconds)?.value * 1000.0).round();
    (milliseconds.abs() < EXACT).then_some(milliseconds as i64)
}

impl<'a> Reader<'a> {
    /// Takes the type of a family as OpenMetrics has it, if that is not as in text.
    pub(super) fn declare(&mut self, name: Name<'a>, word: &str) -> bool {
        if self.open().is_none() {
            return false;
        }
        let id = self.id(name);
        let kind = self.open().and_then(|open| open.declare(id, word));
        if let Some(family) = self.draft.families.get_mut(id as usize)
            && let Some(kind) = kind
        {
            family.kind.get_or_insert(kind);
        }
        OpenMetrics::knows(word)
    }
}
