//! Label blocks as the text format writes them, and the three escapes.
//!
//! A block is `{name="value",...}`, or nothing where there are no labels. Values stay escaped: an unescaped quote ends
//! them, so the bytes `="` never stand inside a value, and names can be found without reading values.

use std::borrow::Cow;

/// The labels of a canonical block, in order: names, and values still escaped.
#[derive(Clone, Debug)]
pub struct Labels<'a> {
    rest: &'a str,
}

impl<'a> Labels<'a> {
    pub(crate) const fn of(block: &'a str) -> Self {
        Self { rest: block }
    }
}

impl<'a> Iterator for Labels<'a> {
    type Item = (&'a str, &'a str);

    /// Not inlined, as there are many loops over labels.
    #[inline(never)]
    fn next(&mut self) -> Option<Self::Item> {
        let pair = self.rest.get(1..)?;
        let name_end = pair.as_bytes().iter().position(|&byte| byte == b'=')?;
        let name = pair.get(..name_end)?;
        let value = pair.get(name_end + 2..)?;
        let value_end = value_len(value.as_bytes());
        self.rest = value.get(value_end + 1..)?;
        Some((name, value.get(..value_end)?))
    }
}

/// What stands before a label's name when another label takes it.
pub(crate) const EXPORTED: &str = "exported_";

/// How often [`EXPORTED`] stands before a label of this name, wherever there is one in these lines; 0 is the label
/// itself. Finds them in one pass and without reading the values.
pub(crate) fn exports_of(lines: &str, name: &str) -> Exports {
    let needle = [name, "=\""].concat();
    let mut exports = Exports::default();
    for (at, _) in lines.match_indices(&needle) {
        let mut before = lines.get(..at).unwrap_or_default();
        let mut times = 0;
        while let Some(shorter) = before.strip_suffix(EXPORTED) {
            before = shorter;
            times += 1;
        }
        if before.ends_with(['{', ',']) {
            exports.add(times);
        }
    }
    exports
}

/// How often [`EXPORTED`] stands before some label's name.
#[derive(Debug, Default)]
pub(crate) struct Exports(Vec<bool>);

impl Exports {
    /// Whether it stands there so often somewhere.
    pub(crate) fn has(&self, times: usize) -> bool {
        self.0.get(times).copied().unwrap_or_default()
    }

    fn add(&mut self, times: usize) {
        if self.0.len() <= times {
            self.0.resize(times + 1, false);
        }
        if let Some(place) = self.0.get_mut(times) {
            *place = true;
        }
    }
}

/// The length of an escaped value: up to the first quote that no backslash escapes.
fn value_len(bytes: &[u8]) -> usize {
    let mut at = 0;
    loop {
        at += plain_len(bytes.get(at..).unwrap_or_default());
        match bytes.get(at) {
            Some(b'\\') => at += 2,
            _ => return at.min(bytes.len()),
        }
    }
}

/// How many bytes come before the first quote, backslash or line feed. Eight at a time: most of a page is values.
pub(crate) fn plain_len(bytes: &[u8]) -> usize {
    let (words, tail) = bytes.as_chunks::<8>();
    for (at, word) in words.iter().enumerate() {
        let word = u64::from_le_bytes(*word);
        let found = zero_byte(word ^ repeat(b'"'))
            | zero_byte(word ^ repeat(b'\\'))
            | zero_byte(word ^ repeat(b'\n'));
        if found != 0 {
            return at * 8 + found.trailing_zeros() as usize / 8;
        }
    }
    let tail_len = tail.iter().position(|byte| matches!(byte, b'"' | b'\\' | b'\n'));
    words.len() * 8 + tail_len.unwrap_or(tail.len())
}

const fn repeat(byte: u8) -> u64 {
    u64::from_ne_bytes([byte; 8])
}

/// Marks the lowest zero byte of a word by its highest bit (bits above the first mark may be wrong).
const fn zero_byte(word: u64) -> u64 {
    word.wrapping_sub(repeat(1)) & !word & repeat(0x80)
}

/// Sorts labels by name; false where a name stands twice. It stands alone since each further sorting of a type of its own
/// costs 3 kB of module.
#[inline(never)]
pub(crate) fn put_in_order(labels: &mut [(&str, &str)]) -> bool {
    labels.sort_unstable();
    labels.is_sorted_by(|a, b| a.0 < b.0)
}

/// Appends a label's value, escaped.
pub(crate) fn push_escaped(value: &str, out: &mut String) {
    for part in value.split_inclusive(['\\', '"', '\n']) {
        let Some((last, escape)) = part.as_bytes().last().and_then(|&byte| escape(byte)) else {
            out.push_str(part);
            continue;
        };
        out.push_str(part.strip_suffix(last).unwrap_or_default());
        out.push_str(escape);
    }
}

const fn escape(byte: u8) -> Option<(char, &'static str)> {
    match byte {
        b'\\' => Some(('\\', r"\\")),
        b'"' => Some(('"', r#"\""#)),
        b'\n' => Some(('\n', r"\n")),
        _ => None,
    }
}

/// Appends a help text, escaped: quotes stay as they are there, line feed and backslash do not.
pub(crate) fn push_escaped_help(help: &str, out: &mut String) {
    for (at, quoted) in help.split('"').enumerate() {
        if at > 0 {
            out.push('"');
        }
        push_escaped(quoted, out);
    }
}

/// What an escaped value stands for.
pub(crate) fn unescape(raw: &str) -> Cow<'_, str> {
    if !raw.contains('\\') {
        return Cow::Borrowed(raw);
    }
    let mut chars = raw.chars();
    let unescaped = std::iter::from_fn(|| match chars.next()? {
        '\\' => chars.next().map(|char| if char == 'n' { '\n' } else { char }),
        char => Some(char),
    });
    Cow::Owned(unescaped.collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn times(exports: &Exports) -> Vec<usize> {
        (0..9).filter(|&times| exports.has(times)).collect()
    }

    #[test]
    fn labels_come_in_order_with_their_values_escaped() {
        let labels: Vec<_> = Labels::of(r#"{a="1",b="x\"},c=\"y",c="\\"}"#).collect();
        assert_eq!(labels, [("a", "1"), ("b", r#"x\"},c=\"y"#), ("c", r"\\")]);
        assert_eq!(Labels::of("").count(), 0);
    }

    #[test]
    fn a_label_is_found_by_its_whole_name_and_not_in_a_value() {
        let lines = r#"a{resource="x",text="y,source=\"z\""} 1"#;
        let times = |name| times(&exports_of(lines, name));
        assert_eq!((times("resource"), times("text"), times("source")), (vec![0], vec![0], vec![]));
    }

    #[test]
    fn exported_labels_are_counted_by_how_often() {
        let lines =
            "a{exported_exported_b=\"\",b=\"\"} 1\na{exported_b=\"\",un_exported_b=\"\"} 2\n";
        assert_eq!(times(&exports_of(lines, "b")), [0, 1, 2]);
        assert_eq!(times(&exports_of(lines, "exported_b")), [0, 1]);
    }

    proptest! {
        #[test]
        fn an_escaped_value_stands_for_the_value(value in r#"([\\"\nan]|.){0,12}"#) {
            let mut raw = String::new();
            push_escaped(&value, &mut raw);
            prop_assert_eq!(unescape(&raw), value);
            prop_assert!(!raw.contains('\n'));
            let block = format!("{{k=\"{raw}\"}}");
            prop_assert_eq!(Labels::of(&block).collect::<Vec<_>>(), [("k", raw.as_str())]);
        }

        #[test]
        fn plain_bytes_end_where_a_search_byte_by_byte_says(text in "[a\"\\\\\n]{0,40}") {
            let expected = text.find(['"', '\\', '\n']).unwrap_or(text.len());
            prop_assert_eq!(plain_len(text.as_bytes()), expected);
        }
    }
}
