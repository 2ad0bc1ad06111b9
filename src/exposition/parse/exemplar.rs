//! Exemplars (OpenMetrics 1.0, "Exemplars"): ` # {labels} value [timestamp]` after a sample.
//!
//! They keep their spelling, except for blanks, the order of labels, and backslashes that escape nothing. A sample may
//! only have an exemplar if the type of its family allows one. That check is part of arranging the page, when the types
//! are known.

use super::escape::Escapes;
use super::openmetrics::milliseconds;
use super::sample::{Label, NameKind, push_block};
use super::{PageReader, Syntax, Unreadable};
use crate::limits;
use crate::metrics::{Reason, label, number};

impl<'a> PageReader<'a> {
    /// Reads the exemplar after a sample's numbers, if there is one. An exemplar that is too long, or has a label that
    /// samples may not have, is left out and counted.
    pub(super) fn exemplar(&mut self) -> Result<(), Unreadable> {
        self.exemplar.clear();
        if matches!(self.format, Syntax::Text) || !self.cursor.eat(b'#') {
            return Ok(());
        }
        self.cursor.blanks();
        // The labels of the line itself are not written yet.
        let labels = std::mem::take(&mut self.labels);
        let is_read = self.read_exemplar();
        let exemplar = std::mem::replace(&mut self.labels, labels);
        let (names, value, timestamp) = is_read?;
        // Prometheus 2 and 3 reject the whole scrape at a NUL here, but not in a sample's own labels.
        let has_nul = exemplar.iter().any(|(_, value)| value.contains('\0'));
        if names != NameKind::Legal || has_nul || length(&exemplar) > limits::EXEMPLAR_CHARACTERS {
            self.draft.report.dropped.add(Reason::Exemplar, 1);
            return Ok(());
        }
        self.exemplar.push_str(" # ");
        push_block(&exemplar, &mut self.exemplar);
        let blank = if timestamp.is_empty() { "" } else { " " };
        [" ", value, blank, timestamp].iter().for_each(|part| self.exemplar.push_str(part));
        Ok(())
    }

    /// Leaves the exemplar's labels in `labels`, sorted.
    fn read_exemplar(&mut self) -> Result<(NameKind, &'a str, &'a str), Unreadable> {
        if !self.cursor.eat(b'{') {
            return Err(Unreadable);
        }
        let names = self.label_block()?.names;
        if !label::put_in_order(&mut self.labels) {
            return Err(Unreadable);
        }
        self.cursor.blanks();
        let value = self.cursor.word();
        let number = number::read(value).ok_or(Unreadable)?;
        self.cursor.blanks();
        let timestamp = self.cursor.word();
        self.cursor.blanks();
        let is_time = timestamp.is_empty() || milliseconds(timestamp).is_some();
        let value = number.spelling.unwrap_or(value);
        is_time.then_some((names, value, timestamp)).ok_or(Unreadable)
    }
}

/// The number of characters of names and values.
fn length(labels: &[Label<'_>]) -> usize {
    let characters = |value| {
        let value = Escapes::Label.in_canonical_spelling(value);
        label::unescape(&value).chars().count()
    };
    labels.iter().map(|(name, value)| name.len() + characters(value)).sum()
}
