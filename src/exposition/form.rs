//! [`Form`]: families in a text format with blanks in place of the numbers. Where only numbers change from one page to the
//! next, filling it in is all there is to do; and most of them do not change, so that the page of the last time needs only
//! those that did.

use crate::metrics::builder::Value;
use crate::metrics::number::Repr;
use crate::metrics::sink::Sink;
use crate::metrics::{Kind, Page, PageBuilder};
use std::ops::Range;

/// Text with blanks.
#[derive(Debug, Default)]
pub struct Form {
    /// All but the numbers.
    text: Vec<u8>,
    blanks: Vec<Blank>,
    shape: Vec<u32>,
    numbers: usize,
    is_filled: bool,
}

/// Where a number belongs.
#[derive(Debug)]
struct Blank {
    /// In the text.
    at: usize,
    /// Its place in [`Numbers`].
    number: usize,
    /// What was filled in last, none at first; and where its digits stand in that page.
    value: Option<Value>,
    digits: Range<usize>,
}

/// What families say beside their text: a [`Sink`] that costs next to nothing.
#[derive(Debug, Default)]
pub struct Numbers {
    values: Vec<Value>,
    shape: Vec<u32>,
}

/// The families and the numbers apart: in place of each number stands its place among them.
#[derive(Debug, Default)]
pub struct Draft {
    page: PageBuilder,
    numbers: Numbers,
}

impl Form {
    /// A form of what a text format made of a [`Draft`]'s page: a line that does not begin with `#` is a sample and ends
    /// in its number, or in one with a point, which stays.
    #[must_use]
    pub fn new(rendered: &[u8], numbers: &Numbers) -> Self {
        let mut form = Self {
            text: Vec::with_capacity(rendered.len()),
            blanks: Vec::new(),
            shape: numbers.shape.clone(),
            numbers: numbers.values.len(),
            is_filled: false,
        };
        for line in rendered.split_inclusive(|&byte| byte == b'\n') {
            form.line(line);
        }
        form
    }

    /// Whether it is a form for these numbers.
    #[must_use]
    pub fn fits(&self, numbers: &Numbers) -> bool {
        self.numbers == numbers.values.len() && self.shape == numbers.shape
    }

    /// Writes the text, filled in, behind the first bytes of a page: of the same page and as many bytes each time.
    pub fn fill(&mut self, numbers: &Numbers, page: &mut Vec<u8>, behind: usize) {
        if !self.is_filled || !self.mend(numbers, page) {
            self.write(numbers, page, behind);
            self.is_filled = true;
        }
    }

    /// Overwrites the numbers that changed; false where one is not as long as before.
    fn mend(&mut self, numbers: &Numbers, page: &mut [u8]) -> bool {
        let mut digits = Vec::new();
        self.blanks.iter_mut().all(|blank| {
            let value = numbers.values.get(blank.number).copied();
            if value == blank.value {
                return value.is_some();
            }
            digits.clear();
            value.iter().for_each(|value| write(*value, &mut digits));
            let place = page.get_mut(blank.digits.clone());
            let place = place.filter(|place| place.len() == digits.len());
            blank.value = value;
            place.map(|place| place.copy_from_slice(&digits)).is_some()
        })
    }

    fn write(&mut self, numbers: &Numbers, page: &mut Vec<u8>, behind: usize) {
        page.truncate(behind);
        let mut from = 0;
        for blank in &mut self.blanks {
            page.extend_from_slice(self.text.get(from..blank.at).unwrap_or_default());
            blank.value = numbers.values.get(blank.number).copied();
            let start = page.len();
            blank.value.iter().for_each(|value| write(*value, page));
            blank.digits = start..page.len();
            from = blank.at;
        }
        page.extend_from_slice(self.text.get(from..).unwrap_or_default());
    }

    /// Room for the numbers of the next page, which will be as many as of the last.
    #[must_use]
    pub fn numbers(&self) -> Numbers {
        Numbers {
            values: Vec::with_capacity(self.numbers),
            shape: Vec::with_capacity(self.shape.len()),
        }
    }

    fn line(&mut self, line: &[u8]) {
        match split_number(line) {
            Some((before, number)) => {
                self.text.extend_from_slice(before);
                let at = self.text.len();
                self.blanks.push(Blank { at, number, value: None, digits: 0..0 });
                self.text.push(b'\n');
            }
            None => self.text.extend_from_slice(line),
        }
    }
}

/// A sample's line up to its number, and that.
fn split_number(line: &[u8]) -> Option<(&[u8], usize)> {
    let line = line.strip_suffix(b"\n").filter(|line| !line.starts_with(b"#"))?;
    let blank = line.iter().rposition(|&byte| byte == b' ')?;
    let (before, number) = line.split_at_checked(blank + 1)?;
    Some((before, str::from_utf8(number).ok()?.parse().ok()?))
}

fn write(value: Value, out: &mut Vec<u8>) {
    match value {
        Value::Whole(value) => {
            out.extend_from_slice(itoa::Buffer::new().format(value).as_bytes());
        }
        Value::Float(value) => out.extend_from_slice(Repr::of(value).as_str().as_bytes()),
    }
}

impl Sink for Numbers {
    fn family(&mut self, _: &str, _: Kind, _: &str) {}

    fn sample(&mut self, _: &str, _: &[(&str, &str)], value: Value) {
        self.values.push(value);
    }

    fn reads_labels(&self) -> bool {
        false
    }

    fn shape(&mut self, of: u32) {
        self.shape.push(of);
    }
}

impl Draft {
    /// The page, with places for numbers, and the numbers.
    #[must_use]
    pub fn finish(self) -> (Page, Numbers) {
        (self.page.build_conforming(), self.numbers)
    }
}

impl Sink for Draft {
    fn family(&mut self, name: &str, kind: Kind, help: &str) {
        self.page.family(name, kind, help);
    }

    fn sample(&mut self, suffix: &str, labels: &[(&str, &str)], value: Value) {
        self.page.sample(suffix, labels, self.numbers.values.len() as u64);
        self.numbers.values.push(value);
    }

    fn shape(&mut self, of: u32) {
        self.numbers.shape.push(of);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Series in an order of their own, one of them twice, with text that looks like a number.
    fn tell(sink: &mut dyn Sink, of: &[u32], from: u64) {
        sink.family("up", Kind::Gauge, "Whether it is 1");
        for (value, shape) in (from..).zip(of) {
            sink.shape(*shape);
            let label = format!("a}} {shape}\n# 7 ");
            sink.sample("", &[("z", &label)], value.into());
        }
        sink.sample("", &[("a", "b")], 1e-7.into());
        sink.sample("", &[("a", "b")], 3_u64.into());
        sink.family("none_total", Kind::Counter, "");
        sink.family("seconds", Kind::Histogram, "");
        sink.sample("_sum", &[], 0.25.into());
        sink.sample("_bucket", &[("le", "+Inf")], u64::MAX.into());
    }

    fn page(of: &[u32], from: u64) -> String {
        let mut page = PageBuilder::new();
        tell(&mut page, of, from);
        page.build().as_text().to_owned()
    }

    fn form(of: &[u32]) -> (Form, Numbers) {
        let mut draft = Draft::default();
        tell(&mut draft, of, 7);
        let (page, numbers) = draft.finish();
        (Form::new(page.as_text().as_bytes(), &numbers), numbers)
    }

    #[test]
    fn a_form_that_is_filled_in_is_the_page() {
        let (mut form, _) = form(&[3, 1, 2]);
        let before = "before\n";
        let mut out = before.as_bytes().to_vec();
        // As long as before, equal, longer, shorter.
        for from in [5, 6, 6, 9, 98, 99, 7] {
            let mut numbers = form.numbers();
            tell(&mut numbers, &[3, 1, 2], from);
            assert!(form.fits(&numbers));
            form.fill(&numbers, &mut out, before.len());
            let expected = format!("{before}{}", page(&[3, 1, 2], from));
            assert_eq!(str::from_utf8(&out).unwrap(), expected, "{from}");
        }
    }

    #[test]
    fn a_form_without_blanks_is_its_text() {
        let mut form = Form::new(b"# TYPE up gauge\n", &Numbers::default());
        let mut page = b"old".to_vec();
        form.fill(&Numbers::default(), &mut page, 0);
        assert_eq!(page, b"# TYPE up gauge\n");
    }

    #[test]
    fn a_form_fits_no_other_series() {
        let (form, _) = form(&[3, 1, 2]);
        for other in [&[3, 2, 1][..], &[3, 1], &[3, 1, 2, 4]] {
            let mut numbers = form.numbers();
            tell(&mut numbers, other, 7);
            assert!(!form.fits(&numbers), "{other:?}");
        }
    }
}
