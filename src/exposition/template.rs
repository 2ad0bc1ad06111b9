//! [`Template`]: families in a text format with slots in place of the numbers. If only numbers change from one page to the
//! next, filling in the slots completes the page. Most numbers do not change, so the last page is kept and only the
//! changed numbers are overwritten.

use crate::metrics::builder::Value;
use crate::metrics::number::Repr;
use crate::metrics::sink::Sink;
use crate::metrics::{Kind, Page, PageBuilder};
use std::ops::Range;

/// Text with slots.
#[derive(Debug, Default)]
pub struct Template {
    /// All but the numbers.
    text: Vec<u8>,
    slots: Vec<NumberSlot>,
    shape: Vec<u32>,
    numbers: usize,
    is_filled: bool,
}

/// The position of a number.
#[derive(Debug)]
struct NumberSlot {
    /// The position in the text.
    at: usize,
    /// The index in [`Numbers`].
    number: usize,
    /// The value of the last page, `None` at first; and the range of its digits in that page.
    value: Option<Value>,
    digits: Range<usize>,
}

/// The numbers of families without their text: a [`Sink`] that costs next to nothing.
#[derive(Debug, Default)]
pub struct Numbers {
    values: Vec<Value>,
    shape: Vec<u32>,
}

/// Separates families from their numbers: on the page, each number is replaced by its index.
#[derive(Debug, Default)]
pub struct TemplateBuilder {
    page: PageBuilder,
    numbers: Numbers,
}

impl Template {
    /// Makes a template from the rendering of a [`TemplateBuilder`]'s page in a text format. A line that does not begin with `#` is a
    /// sample. It ends with the index of its number; a number with a point stays as it is.
    #[must_use]
    pub fn new(rendered: &[u8], numbers: &Numbers) -> Self {
        let mut template = Self {
            text: Vec::with_capacity(rendered.len()),
            slots: Vec::new(),
            shape: numbers.shape.clone(),
            numbers: numbers.values.len(),
            is_filled: false,
        };
        for line in rendered.split_inclusive(|&byte| byte == b'\n') {
            template.line(line);
        }
        template
    }

    /// Returns true if the template is for these numbers: their count and their shape are the same.
    #[must_use]
    pub fn fits(&self, numbers: &Numbers) -> bool {
        self.numbers == numbers.values.len() && self.shape == numbers.shape
    }

    /// Writes the filled text after the first `behind` bytes of a page. Every call must pass the same page and the same
    /// `behind`.
    pub fn fill(&mut self, numbers: &Numbers, page: &mut Vec<u8>, behind: usize) {
        if !self.is_filled || !self.patch(numbers, page) {
            self.write(numbers, page, behind);
            self.is_filled = true;
        }
    }

    /// Overwrites the numbers that changed. Returns false if a number has another length than before.
    fn patch(&mut self, numbers: &Numbers, page: &mut [u8]) -> bool {
        let mut digits = Vec::new();
        self.slots.iter_mut().all(|slot| {
            let value = numbers.values.get(slot.number).copied();
            if value == slot.value {
                return value.is_some();
            }
            digits.clear();
            value.iter().for_each(|value| write(*value, &mut digits));
            let place = page.get_mut(slot.digits.clone());
            let place = place.filter(|place| place.len() == digits.len());
            slot.value = value;
            place.map(|place| place.copy_from_slice(&digits)).is_some()
        })
    }

    fn write(&mut self, numbers: &Numbers, page: &mut Vec<u8>, behind: usize) {
        page.truncate(behind);
        let mut from = 0;
        for slot in &mut self.slots {
            page.extend_from_slice(self.text.get(from..slot.at).unwrap_or_default());
            slot.value = numbers.values.get(slot.number).copied();
            let start = page.len();
            slot.value.iter().for_each(|value| write(*value, page));
            slot.digits = start..page.len();
            from = slot.at;
        }
        page.extend_from_slice(self.text.get(from..).unwrap_or_default());
    }

    /// Empty numbers, with capacity for as many as on the last page.
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
                self.slots.push(NumberSlot { at, number, value: None, digits: 0..0 });
                self.text.push(b'\n');
            }
            None => self.text.extend_from_slice(line),
        }
    }
}

/// Splits a sample's line into the part before its number and the number.
fn split_number(line: &[u8]) -> Option<(&[u8], usize)> {
    let line = line.strip_suffix(b"\n").filter(|line| !line.starts_with(b"#"))?;
    let slot = line.iter().rposition(|&byte| byte == b' ')?;
    let (before, number) = line.split_at_checked(slot + 1)?;
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

impl TemplateBuilder {
    /// The page, which has indices in place of its numbers, and the numbers.
    #[must_use]
    pub fn finish(self) -> (Page, Numbers) {
        (self.page.build_conforming(), self.numbers)
    }
}

impl Sink for TemplateBuilder {
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

    /// Writes series in an order other than that of the page, one of them twice, with text that looks like a number.
    fn write_families(sink: &mut dyn Sink, of: &[u32], from: u64) {
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
        write_families(&mut page, of, from);
        page.build().as_text().to_owned()
    }

    fn template(of: &[u32]) -> (Template, Numbers) {
        let mut draft = TemplateBuilder::default();
        write_families(&mut draft, of, 7);
        let (page, numbers) = draft.finish();
        (Template::new(page.as_text().as_bytes(), &numbers), numbers)
    }

    #[test]
    fn a_filled_form_equals_the_page() {
        let (mut template, _) = template(&[3, 1, 2]);
        let before = "before\n";
        let mut out = before.as_bytes().to_vec();
        // Values with as many digits as before, the same values, more digits, fewer digits.
        for from in [5, 6, 6, 9, 98, 99, 7] {
            let mut numbers = template.numbers();
            write_families(&mut numbers, &[3, 1, 2], from);
            assert!(template.fits(&numbers));
            template.fill(&numbers, &mut out, before.len());
            let expected = format!("{before}{}", page(&[3, 1, 2], from));
            assert_eq!(str::from_utf8(&out).unwrap(), expected, "{from}");
        }
    }

    #[test]
    fn a_form_without_blanks_is_its_text() {
        let mut template = Template::new(b"# TYPE up gauge\n", &Numbers::default());
        let mut page = b"old".to_vec();
        template.fill(&Numbers::default(), &mut page, 0);
        assert_eq!(page, b"# TYPE up gauge\n");
    }

    #[test]
    fn a_form_does_not_fit_other_series() {
        let (template, _) = template(&[3, 1, 2]);
        for other in [&[3, 2, 1][..], &[3, 1], &[3, 1, 2, 4]] {
            let mut numbers = template.numbers();
            write_families(&mut numbers, other, 7);
            assert!(!template.fits(&numbers), "{other:?}");
        }
    }
}
