//! Label blocks as the text format writes them, and the three escapes.
//!
//! A block is `{name="value",...}`, or empty without labels. Values stay escaped: an unescaped quote ends a value, so
//! the bytes `="` never occur inside one, and names can be found without reading values.

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

    /// Not inlined: the module has many loops over labels.
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

/// The length of the label block at the beginning of the rest of a line; 0 without labels. A block without its closing
/// brace ends with the line.
pub(crate) fn block_len(bytes: &[u8]) -> usize {
    if bytes.first() != Some(&b'{') {
        return 0;
    }
    let mut at = 1;
    loop {
        let rest = bytes.get(at..).unwrap_or_default();
        let Some(quote) = rest.iter().position(|&byte| byte == b'"') else { return bytes.len() };
        let value = rest.get(quote + 1..).unwrap_or_default();
        at += quote + 1 + value_len(value) + 1;
        match bytes.get(at) {
            Some(b',') => at += 1,
            Some(_) => return at + 1,
            None => return bytes.len(),
        }
    }
}

/// The length of an escaped value: up to the first unescaped quote.
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

/// The number of bytes before the first quote, backslash or line feed. Reads eight bytes at a time, since values are
/// most of a page.
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

/// Marks the lowest zero byte of a word with its highest bit (bits above the first mark may be wrong).
const fn zero_byte(word: u64) -> u64 {
    word.wrapping_sub(repeat(1)) & !word & repeat(0x80)
}

/// Sorts labels by name; returns false if a name is repeated. It is a function of its own because each sort of another
/// type adds 3 kB to the module.
#[inline(never)]
pub(crate) fn put_in_order(labels: &mut [(&str, &str)]) -> bool {
    labels.sort_unstable();
    labels.is_sorted_by(|a, b| a.0 < b.0)
}

/// Appends the value of a label, escaped.
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

/// Appends a help text, escaped: line feeds and backslashes are escaped, quotes are not.
pub(crate) fn push_escaped_help(help: &str, out: &mut String) {
    for (at, quoted) in help.split('"').enumerate() {
        if at > 0 {
            out.push('"');
        }
        push_escaped(quoted, out);
    }
}

/// The text that an escaped value represents.
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

    #[test]
    fn labels_come_in_order_with_their_values_escaped() {
        let labels: Vec<_> = Labels::of(r#"{a="1",b="x\"},c=\"y",c="\\"}"#).collect();
        assert_eq!(labels, [("a", "1"), ("b", r#"x\"},c=\"y"#), ("c", r"\\")]);
        assert_eq!(Labels::of("").count(), 0);
    }

    #[test]
    fn a_block_ends_at_the_brace_after_its_last_value() {
        for (line, length) in [
            (r#"{a="1",b="}""} 5"#, 13),
            (" 5", 0),
            ("", 0),
            ("{", 1),
            ("{a=\"", 4),
            ("{a=\"\\", 5),
        ] {
            assert_eq!(block_len(line.as_bytes()), length, "{line}");
        }
    }

    proptest! {
        #[test]
        fn an_escaped_value_unescapes_to_the_value(value in r#"([\\"\nan]|.){0,12}"#) {
            let mut raw = String::new();
            push_escaped(&value, &mut raw);
            prop_assert_eq!(unescape(&raw), value);
            prop_assert!(!raw.contains('\n'));
            let block = format!("{{k=\"{raw}\"}}");
            prop_assert_eq!(Labels::of(&block).collect::<Vec<_>>(), [("k", raw.as_str())]);
        }

        #[test]
        fn the_length_of_plain_bytes_is_that_of_a_byte_by_byte_search(text in "[a\"\\\\\n]{0,40}") {
            let expected = text.find(['"', '\\', '\n']).unwrap_or(text.len());
            prop_assert_eq!(plain_len(text.as_bytes()), expected);
        }
    }
}
