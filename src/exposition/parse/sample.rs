//! The lines of samples. Nearly all are in canonical spelling already and are kept as they stand; the others are
//! written anew behind the page.

use super::openmetrics::milliseconds;
use super::{Name, Reader, Unreadable, place};
use crate::metrics::draft::{DraftSample, offset};
use crate::metrics::{SampleSpan, label, name, number};
use std::fmt::Write;

/// A label of the line at hand: its name, and its value escaped.
pub(super) type Label<'a> = (&'a str, &'a str);

/// The tokens of a sample's line, and whether they stand in canonical spelling, labels sorted.
struct Tokens<'a> {
    name: Name<'a>,
    labels_end: usize,
    value: &'a str,
    number: number::Number,
    timestamp: Option<Timestamp<'a>>,
    tidy: bool,
}

/// When a sample was taken, in milliseconds.
#[derive(Clone, Copy)]
enum Timestamp<'a> {
    AsItStands(&'a str),
    Computed(i64),
}

impl<'a> Reader<'a> {
    /// Reads a sample's line, and keeps it.
    pub(super) fn sample(&mut self) -> Result<(), Unreadable> {
        let name = Name { start: self.cursor.at, text: self.sample_name() };
        let mut gap = self.cursor.blanks();
        let mut tidy = true;
        let mut labels_end = self.cursor.at - gap.len();
        self.labels.clear();
        if self.cursor.eat(b'{') {
            tidy = gap.is_empty() & self.label_block()?;
            labels_end = self.cursor.at;
            gap = self.cursor.blanks();
        } else if gap.is_empty() {
            return Err(Unreadable);
        }
        let value = self.cursor.word();
        let number = number::read(value).ok_or(Unreadable)?;
        tidy &= gap == " " && number.spelling.is_none_or(|spelling| spelling == value);
        let gap = self.cursor.blanks();
        let timestamp = self.timestamp()?;
        self.exemplar()?;
        tidy &= self.exemplar.is_empty();
        tidy &= match timestamp {
            None => true,
            Some(Timestamp::AsItStands(_)) => gap == " ",
            Some(Timestamp::Computed(_)) => false,
        };
        if name.text.is_empty() || !self.cursor.is_at_line_end() {
            return Err(Unreadable);
        }
        self.keep(Tokens { name, labels_end, value, number, timestamp, tidy })
    }

    fn sample_name(&mut self) -> &'a str {
        let is_name = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b':');
        match self.cursor.rest().strip_prefix(self.last.0.as_bytes()) {
            Some(after) if !after.first().is_some_and(is_name) => {
                self.cursor.at += self.last.0.len();
                self.last.0
            }
            _ => self.cursor.take(name::metric_name_len),
        }
    }

    /// The labels behind the brace. Says whether they are spelt canonically.
    pub(super) fn label_block(&mut self) -> Result<bool, Unreadable> {
        let mut tidy = self.cursor.blanks().is_empty();
        if self.cursor.eat(b'}') {
            return Ok(false);
        }
        loop {
            tidy &= self.label()?;
            if self.cursor.eat(b'}') {
                return Ok(tidy);
            }
            if !self.cursor.eat(b',') {
                return Err(Unreadable);
            }
            tidy &= self.cursor.blanks().is_empty();
            if self.cursor.eat(b'}') {
                return Ok(false);
            }
        }
    }

    fn label(&mut self) -> Result<bool, Unreadable> {
        let name = self.cursor.take(name::label_name_len);
        let mut tidy = self.cursor.blanks().is_empty();
        let equals = self.cursor.eat(b'=');
        tidy &= self.cursor.blanks().is_empty();
        if name.is_empty() || name == "__name__" || !equals || !self.cursor.eat(b'"') {
            return Err(Unreadable);
        }
        let value = self.cursor.quoted().ok_or(Unreadable)?;
        tidy &= self.cursor.blanks().is_empty();
        self.labels.push((name, value));
        Ok(tidy)
    }

    fn timestamp(&mut self) -> Result<Option<Timestamp<'a>>, Unreadable> {
        if self.cursor.is_at_line_end() || self.cursor.peek() == Some(b'#') {
            return Ok(None);
        }
        let stamp = self.cursor.word();
        self.cursor.blanks();
        let timestamp = if self.open().is_some() {
            milliseconds(stamp).map(Timestamp::Computed)
        } else {
            let is_legal = !stamp.starts_with('+') && stamp.parse::<i64>().is_ok();
            is_legal.then_some(Timestamp::AsItStands(stamp))
        };
        timestamp.map(Some).ok_or(Unreadable)
    }

    fn keep(&mut self, line: Tokens<'a>) -> Result<(), Unreadable> {
        let in_order = self.labels.is_sorted_by(|a, b| a.0 < b.0);
        if !in_order && !label::put_in_order(&mut self.labels) {
            return Err(Unreadable);
        }
        if line.name.text != self.last.0 {
            self.last = (line.name.text, self.id(line.name));
        }
        let (span, end) = if line.tidy && in_order { line.spans() } else { self.respell(&line) };
        self.draft.samples.push(DraftSample { span, end, family: self.last.1 });
        Ok(())
    }

    /// Writes a line anew, in canonical spelling.
    fn respell(&mut self, line: &Tokens<'a>) -> (SampleSpan, u32) {
        let base = offset(self.cursor.page);
        let out = &mut self.fresh;
        let start = base + offset(out);
        out.push_str(line.name.text);
        let name_end = base + offset(out);
        if !self.labels.is_empty() {
            push_block(&self.labels, out);
        }
        let labels_end = base + offset(out);
        out.push(' ');
        out.push_str(line.number.spelling.unwrap_or(line.value));
        let value_end = base + offset(out);
        match line.timestamp {
            None => {}
            Some(Timestamp::AsItStands(stamp)) => {
                [" ", stamp].iter().for_each(|it| out.push_str(it))
            }
            // Writing to a string does not fail.
            Some(Timestamp::Computed(stamp)) => drop(write!(out, " {stamp}")),
        }
        out.push_str(&self.exemplar);
        let value = line.number.value;
        (SampleSpan { value, start, name_end, labels_end, value_end }, base + offset(out))
    }
}

/// Writes labels as they stand in canonical spelling, braces included.
pub(super) fn push_block(labels: &[Label<'_>], out: &mut String) {
    out.push('{');
    for (at, (name, value)) in labels.iter().enumerate() {
        let comma = if at == 0 { "" } else { "," };
        [comma, name, "=\"", value, "\""].iter().for_each(|part| out.push_str(part));
    }
    out.push('}');
}

impl Tokens<'_> {
    /// Where the tokens are, in a line that is canonical as it stands.
    const fn spans(&self) -> (SampleSpan, u32) {
        let labels_end = place(self.labels_end);
        let value_end = labels_end + 1 + place(self.value.len());
        let end = match self.timestamp {
            Some(Timestamp::AsItStands(stamp)) => value_end + 1 + place(stamp.len()),
            _ => value_end,
        };
        let name_end = place(self.name.start + self.name.text.len());
        let (value, start) = (self.number.value, place(self.name.start));
        (SampleSpan { value, start, name_end, labels_end, value_end }, end)
    }
}
