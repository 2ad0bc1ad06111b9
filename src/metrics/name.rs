//! Names of metrics and labels (Prometheus documentation, "Metric names and labels").

/// Returns true if the name matches `[a-zA-Z_:][a-zA-Z0-9_:]*`.
#[must_use]
pub fn is_metric_name(name: &str) -> bool {
    metric_name_len(name.as_bytes()) == name.len() && !name.is_empty()
}

/// Returns true if the name matches `[a-zA-Z_][a-zA-Z0-9_]*` and is not reserved. Names that begin with `__` are
/// reserved: `__name__` is the metric's name, and prometheus_client rejects a page with any other such label.
#[must_use]
pub fn is_label_name(name: &str) -> bool {
    label_name_len(name.as_bytes()) == name.len() && !name.is_empty() && !name.starts_with("__")
}

/// The length of the metric name at the beginning.
pub(crate) fn metric_name_len(bytes: &[u8]) -> usize {
    name_len(bytes, |byte| is_name_byte(byte) || byte == b':')
}

/// The length of the label name at the beginning, reserved or not.
pub(crate) fn label_name_len(bytes: &[u8]) -> usize {
    name_len(bytes, is_name_byte)
}

fn name_len(bytes: &[u8], belongs: impl Fn(u8) -> bool) -> usize {
    if bytes.first().is_none_or(u8::is_ascii_digit) {
        return 0;
    }
    bytes.iter().position(|&byte| !belongs(byte)).unwrap_or(bytes.len())
}

const fn is_name_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_'
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn metric_names_may_have_colons_and_label_names_may_not() {
        assert!(is_metric_name("job:rate:5m") && !is_label_name("job:rate:5m"));
    }

    #[test]
    fn a_name_is_not_empty_and_does_not_begin_with_a_digit() {
        for bad in ["", "5m", "a-b", "a b", "é", "a\n"] {
            assert!(!is_metric_name(bad) && !is_label_name(bad), "{bad:?}");
        }
        assert!(is_metric_name("_a5") && is_label_name("_a5"));
    }

    #[test]
    fn no_label_begins_with_two_underscores() {
        assert!(!is_label_name("__name__") && !is_label_name("__name") && is_label_name("_name"));
    }
}
