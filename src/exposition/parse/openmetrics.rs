//! The differences of OpenMetrics 1.0.0. A page is converted to text 0.0.4:
//! - a counter `x` becomes the family `x_total`, the info `x` the gauge `x_info`, a state set a gauge, and the parts of
//!   a gauge histogram `x` the gauges `x_bucket`, `x_gcount`, `x_gsum`, as in prometheus_client's text output;
//! - `UNIT` is ignored: it is part of the name;
//! - a timestamp is in seconds, and becomes milliseconds, rounded;
//! - `_created` samples, which text does not have, are dropped and counted;
//! - exemplars are kept, see `parse/exemplar.rs`;
//! - a quote may be escaped in a help text too;
//! - `# EOF` ends the page, and a page without it is incomplete.
//!
//! As in text, the parser accepts more than the standard where the meaning is clear: blanks, empty lines, other orders
//! of lines.

use super::{Name, PageReader};
use crate::metrics::draft::{Draft, DraftFamily, piece};
use crate::metrics::{Kind, Reason, number};
use std::collections::HashMap;

/// The state of a page in OpenMetrics, in addition to that of text.
#[derive(Default)]
pub(super) struct OpenMetrics {
    /// Families with a name that differs from that of their samples.
    declared: Vec<(u32, Declared)>,
    /// True if the page ended with its end mark.
    pub(super) is_finished: bool,
}

#[derive(Clone, Copy)]
enum Declared {
    Counter,
    Info,
    GaugeHistogram,
    /// A histogram or summary, whose samples are found as in text.
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

    /// The families that text has instead: the suffixes of their names, and their types.
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
    /// Records a type that differs from text. Returns the type in text if the family keeps its name.
    pub(super) fn declare(&mut self, family: u32, word: &str) -> Option<Kind> {
        if let Some(declared) = Declared::of(word) {
            self.declared.push((family, declared));
        }
        (word == "stateset").then_some(Kind::Gauge)
    }

    /// Returns true if a type differs from text.
    pub(super) fn knows(word: &str) -> bool {
        matches!(word, "counter" | "info" | "gaugehistogram" | "stateset")
    }

    /// Assigns the samples to their families in text.
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

/// The family, if it only occurs in samples: a family with a help or type of its own is unrelated.
fn undescribed(draft: &mut Draft, id: u32) -> Option<&mut DraftFamily> {
    let family = draft.families.get_mut(id as usize)?;
    (family.help.is_none() && family.kind.is_none()).then_some(family)
}

/// Converts seconds to milliseconds. Values beyond the exact integers of a float are rejected.
#[expect(clippy::cast_possible_truncation, reason = "below 2^53")]
pub(super) fn milliseconds(seconds: &str) -> Option<i64> {
    const EXACT: f64 = 9_007_199_254_740_992.0;
    let milliseconds = (number::read(seconds)?.value * 1000.0).round();
    (milliseconds.abs() < EXACT).then_some(milliseconds as i64)
}

impl<'a> PageReader<'a> {
    /// Records the type of a family if OpenMetrics and text differ in it. Returns true if they do.
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
