//! Exemplars (OpenMetrics 1.0, "Exemplars"): ` # {labels} value [timestamp]` behind a sample.
//!
//! They are kept as they are spelt, but for blanks and the order of labels. Which samples may have one is seen once their
//! family's type is known, by whoever puts the page together.

use super::openmetrics::milliseconds;
use super::sample::{Label, push_block};
use super::{Format, Reader, Unreadable};
use crate::limits;
use crate::metrics::{Reason, label, number};

impl<'a> Reader<'a> {
    /// Reads the exemplar behind a sample's numbers, if there is one. One that is too long is left out and counted.
    pub(super) fn exemplar(&mut self) -> Result<(), Unreadable> {
        self.exemplar.clear();
        if matches!(self.format, Format::Text) || !self.cursor.eat(b'#') {
            return Ok(());
        }
        self.cursor.blanks();
        // Those of the line itself are still to be written.
        let labels = std::mem::take(&mut self.labels);
        let is_read = self.read_exemplar();
        let exemplar = std::mem::replace(&mut self.labels, labels);
        let (value, timestamp) = is_read?;
        if length(&exemplar) > limits::EXEMPLAR_CHARACTERS {
            self.draft.report.dropped.add(Reason::Exemplar, 1);
            return Ok(());
        }
        self.exemplar.push_str(" # ");
        push_block(&exemplar, &mut self.exemplar);
        let blank = if timestamp.is_empty() { "" } else { " " };
        [" ", value, blank, timestamp].iter().for_each(|part| self.exemplar.push_str(part));
        Ok(())
    }

    /// Its labels, in order, are left in `labels`.
    fn read_exemplar(&mut self) -> Result<(&'a str, &'a str), Unreadable> {
        if !self.cursor.eat(b'{') {
            return Err(Unreadable);
        }
        self.label_block()?;
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
        is_time.then_some((number.spelling.unwrap_or(value), timestamp)).ok_or(Unreadable)
    }
}

/// Characters of names and values.
fn length(labels: &[Label<'_>]) -> usize {
    labels.iter().map(|(name, value)| name.len() + label::unescape(value).chars().count()).sum()
}
