//! Backslashes that escape nothing. A backslash before a character that has no escape is a literal backslash, in
//! Prometheus (`lvalReplacer` and `helpReplacer` of `model/textparse`) and in prometheus_client: a controller that is
//! configured with `CORP\svc` writes exactly that. In canonical spelling each backslash is part of an escape.

use std::borrow::Cow;

/// The position of a text, which determines its escapes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Escapes {
    /// In a label's value: `\\`, `\"`, `\n`.
    Label,
    /// In a help text of text 0.0.4: `\\`, `\n`.
    Help,
    /// In a help text of OpenMetrics: `\\`, `\"`, `\n`. In canonical spelling a quote is not escaped.
    OpenHelp,
}

impl Escapes {
    /// The same text with the escapes of canonical spelling only; owned if its spelling changes.
    pub(super) fn in_canonical_spelling(self, raw: &str) -> Cow<'_, str> {
        if self.are_canonical(raw) {
            return Cow::Borrowed(raw);
        }
        let mut out = String::with_capacity(raw.len() + raw.len() / 8);
        let mut rest = raw;
        while let Some((plain, escaped)) = rest.split_once('\\') {
            out.push_str(plain);
            let (width, escape) = match (escaped.as_bytes().first(), self) {
                (Some(b'\\'), _) => (1, r"\\"),
                (Some(b'n'), _) => (1, r"\n"),
                (Some(b'"'), Self::Label) => (1, r#"\""#),
                (Some(b'"'), Self::OpenHelp) => (1, "\""),
                _ => (0, r"\\"),
            };
            out.push_str(escape);
            rest = escaped.get(width..).unwrap_or_default();
        }
        out.push_str(rest);
        Cow::Owned(out)
    }

    /// Returns true if the text has the escapes of canonical spelling only.
    pub(super) fn are_canonical(self, raw: &str) -> bool {
        let mut rest = raw;
        while let Some((_, escaped)) = rest.split_once('\\') {
            match (escaped.as_bytes().first(), self) {
                (Some(b'\\' | b'n'), _) | (Some(b'"'), Self::Label) => {}
                _ => return false,
            }
            rest = escaped.get(1..).unwrap_or_default();
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_backslash_that_escapes_nothing_is_a_literal_backslash() {
        for (raw, label, help, open) in [
            (r"CORP\svc", r"CORP\\svc", r"CORP\\svc", r"CORP\\svc"),
            (r#"\"\n\\"#, r#"\"\n\\"#, r#"\\"\n\\"#, r#""\n\\"#),
            (r"\\\s\", r"\\\\s\\", r"\\\\s\\", r"\\\\s\\"),
            (r"\é", r"\\é", r"\\é", r"\\é"),
        ] {
            for (escapes, expected) in
                [(Escapes::Label, label), (Escapes::Help, help), (Escapes::OpenHelp, open)]
            {
                let spelt = escapes.in_canonical_spelling(raw);
                assert_eq!(spelt, expected, "{escapes:?}");
                assert_eq!(matches!(spelt, Cow::Borrowed(_)), raw == expected, "{raw}");
            }
        }
    }
}
