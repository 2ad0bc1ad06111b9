//! Exemplars (OpenMetrics 1.0, "Exemplars"): ` # {labels} value [timestamp]` behind a sample.
//!
//! They are kept as they are spelt, but for blanks, the order of labels, and escapes that are none. Which samples may have
//! one is seen once their family's type is known, by whoever puts the page together.

use super::escape::Escapes;
use super::openmetrics::milliseconds;
use super::sample::{Label, Names, push_block};
use super::{Format, Reader, Unreadable};
use crate::limits;
use crate::metrics::{Reason, label, number};

impl<'a> Reader<'a> {
    /// Reads the exemplar behind a sample's numbers, if there is one. One that is too long, or has labels that no sample
    /// may have, is left out and counted.
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
        let (names, value, timestamp) = is_read?;
        // Prometheus 2 and 3 give up the whole scrape at a NUL here, though not in a sample's own labels.
        let has_nul = exemplar.iter().any(|(_, value)| value.contains('\0'));
        if names != Names::Legal || has_nul || length(&exemplar) > limits::EXEMPLAR_CHARACTERS {
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
    fn read_exemplar(&mut self) -> Result<(Names, &'a str, &'a str), Unreadable> {
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

/// Characters of names and values.
fn length(labels: &[Label<'_>]) -> usize {
    let characters = |value| {
        let value = Escapes::Label.in_canonical_spelling(value);
        label::unescape(&value).chars().count()
    };
    labels.iter().map(|(name, value)| name.len() + characters(value)).sum()
}
