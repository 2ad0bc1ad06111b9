//! Lines of samples. Nearly all are in canonical spelling already and are kept unchanged; the others are written again
//! after the page.

use super::escape::Escapes;
use super::openmetrics::milliseconds;
use super::{Name, PageReader, Syntax, Unreadable, place};
use crate::limits;
use crate::metrics::draft::{DraftSample, SampleSpan, offset};
use crate::metrics::{Reason, label, name, number};
use std::fmt::Write;

/// A label of the current line: its name, and its value escaped.
pub(super) type Label<'a> = (&'a str, &'a str);

/// A label block that was read.
pub(super) struct LabelBlock {
    /// True if the spelling is canonical, except for the order.
    tidy: bool,
    pub(super) names: NameKind,
}

/// The worst property of the names of a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum NameKind {
    Legal,
    /// Some are in quotes, as names with other characters are (Prometheus 3, "UTF-8 guide"). No format of the gateway
    /// has them.
    Quoted,
    /// Some are reserved: they begin with `__`.
    Reserved,
}

/// The reason for leaving out a sample.
enum Left {
    Unreadable,
    Dropped(Reason),
}

impl From<Unreadable> for Left {
    fn from(Unreadable: Unreadable) -> Self {
        Self::Unreadable
    }
}

/// The tokens of a sample's line; `tidy` if their spelling is canonical with sorted labels.
struct Tokens<'a> {
    name: Name<'a>,
    labels_end: usize,
    value: &'a str,
    number: number::Number,
    timestamp: Option<Timestamp<'a>>,
    tidy: bool,
}

/// The time of a sample, in milliseconds.
#[derive(Clone, Copy)]
enum Timestamp<'a> {
    AsItStands(&'a str),
    Computed(i64),
}

impl Timestamp<'_> {
    /// Before 1970. Prometheus 2 and 3 (2.42, 3.5) reject the whole scrape at a sign, in text 0.0.4.
    fn is_negative(self) -> bool {
        match self {
            Self::AsItStands(stamp) => stamp.starts_with('-'),
            Self::Computed(stamp) => stamp < 0,
        }
    }
}

impl<'a> PageReader<'a> {
    /// Reads a sample's line, and keeps it. A sample that is valid but must not be kept is counted by its reason.
    pub(super) fn sample(&mut self) -> Result<(), Unreadable> {
        match self.read_sample() {
            Ok(()) => Ok(()),
            Err(Left::Unreadable) => Err(Unreadable),
            Err(Left::Dropped(reason)) => {
                self.draft.report.dropped.add(reason, 1);
                Ok(())
            }
        }
    }

    fn read_sample(&mut self) -> Result<(), Left> {
        let name = Name { start: self.cursor.at, text: self.sample_name() };
        let mut gap = self.cursor.blanks();
        let mut tidy = true;
        let mut names = NameKind::Legal;
        let mut labels_end = self.cursor.at - gap.len();
        self.labels.clear();
        if self.cursor.eat(b'{') {
            let block = self.label_block()?;
            (tidy, names) = (gap.is_empty() & block.tidy, block.names);
            labels_end = self.cursor.at;
            gap = self.cursor.blanks();
        } else if gap.is_empty() {
            return Err(Left::Unreadable);
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
        if !self.cursor.is_at_line_end() {
            return Err(Left::Unreadable);
        }
        match names {
            NameKind::Quoted => return Err(Left::Dropped(Reason::QuotedName)),
            NameKind::Legal if !name.text.is_empty() => {}
            _ => return Err(Left::Unreadable),
        }
        self.check_bounds(timestamp)?;
        Ok(self.keep(Tokens { name, labels_end, value, number, timestamp, tidy })?)
    }

    /// Checks the limits of the gateway and of its readers.
    fn check_bounds(&self, timestamp: Option<Timestamp<'a>>) -> Result<(), Left> {
        if matches!(self.format, Syntax::Canonical) {
            return Ok(());
        }
        let is_long = |(_, value): &Label<'_>| value.len() > limits::LABEL_VALUE_BYTES;
        if timestamp.is_some_and(Timestamp::is_negative) {
            Err(Left::Dropped(Reason::Timestamp))
        } else if self.is_line_too_long() {
            Err(Left::Dropped(Reason::LongLine))
        } else if self.labels.iter().any(is_long) {
            Err(Left::Dropped(Reason::LongValue))
        } else {
            Ok(())
        }
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

    /// The labels after the brace.
    pub(super) fn label_block(&mut self) -> Result<LabelBlock, Unreadable> {
        let mut block =
            LabelBlock { tidy: self.cursor.blanks().is_empty(), names: NameKind::Legal };
        if self.cursor.eat(b'}') {
            block.tidy = false;
            return Ok(block);
        }
        loop {
            self.label(&mut block)?;
            if self.cursor.eat(b'}') {
                return Ok(block);
            }
            if !self.cursor.eat(b',') {
                return Err(Unreadable);
            }
            block.tidy &= self.cursor.blanks().is_empty();
            if self.cursor.eat(b'}') {
                block.tidy = false;
                return Ok(block);
            }
        }
    }

    fn label(&mut self, block: &mut LabelBlock) -> Result<(), Unreadable> {
        let is_quoted = self.cursor.eat(b'"');
        let name = if is_quoted {
            block.names = block.names.max(NameKind::Quoted);
            self.cursor.quoted().ok_or(Unreadable)?
        } else {
            self.cursor.take(name::label_name_len)
        };
        block.tidy &= self.cursor.blanks().is_empty();
        if is_quoted && matches!(self.cursor.peek(), Some(b',' | b'}')) {
            // This is the metric's own name.
            return Ok(());
        }
        let equals = self.cursor.eat(b'=');
        block.tidy &= self.cursor.blanks().is_empty();
        if name.is_empty() || !equals || !self.cursor.eat(b'"') {
            return Err(Unreadable);
        }
        let value = self.cursor.quoted().ok_or(Unreadable)?;
        block.tidy &= self.cursor.blanks().is_empty();
        if name.starts_with("__") {
            block.names = NameKind::Reserved;
        }
        self.labels.push((name, value));
        Ok(())
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
        if self.taken.get(self.last.1 as usize) == Some(&false) {
            return Ok(());
        }
        let tidy = line.tidy && in_order && self.escapes_are_canonical();
        let (span, end) = if tidy { line.spans() } else { self.respell(&line) };
        self.draft.samples.push(DraftSample { span, end, family: self.last.1 });
        Ok(())
    }

    fn escapes_are_canonical(&self) -> bool {
        self.labels.iter().all(|(_, value)| Escapes::Label.are_canonical(value))
    }

    /// Writes a line again, in canonical spelling.
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
        (SampleSpan { start, name_end, labels_end, value_end }, base + offset(out))
    }
}

/// Writes labels in canonical spelling, including the braces.
pub(super) fn push_block(labels: &[Label<'_>], out: &mut String) {
    out.push('{');
    for (at, (name, value)) in labels.iter().enumerate() {
        let comma = if at == 0 { "" } else { "," };
        let value = Escapes::Label.in_canonical_spelling(value);
        [comma, name, "=\"", &value, "\""].iter().for_each(|part| out.push_str(part));
    }
    out.push('}');
}

impl Tokens<'_> {
    /// The positions of the tokens in a line that is already canonical.
    const fn spans(&self) -> (SampleSpan, u32) {
        let labels_end = place(self.labels_end);
        let value_end = labels_end + 1 + place(self.value.len());
        let end = match self.timestamp {
            Some(Timestamp::AsItStands(stamp)) => value_end + 1 + place(stamp.len()),
            _ => value_end,
        };
        let name_end = place(self.name.start + self.name.text.len());
        let start = place(self.name.start);
        (SampleSpan { start, name_end, labels_end, value_end }, end)
    }
}
