//! The syntax that Accept and Accept-Encoding share: lists, parameters and weights.
//!
//! The bytes are hostile. Nothing here panics or allocates.

/// The parts between separators. A separator in a quoted string does not count.
pub(super) fn split(bytes: &[u8], separator: u8) -> impl Iterator<Item = &[u8]> + Clone {
    let (mut is_quoted, mut is_escaped) = (false, false);
    bytes.split(move |&byte| {
        let ends = byte == separator && !is_quoted;
        is_quoted ^= byte == b'"' && !is_escaped;
        is_escaped = is_quoted && byte == b'\\' && !is_escaped;
        ends
    })
}

/// A parameter's name, and its value without quotes.
pub(super) fn name_and_value(parameter: &[u8]) -> Option<(&[u8], &[u8])> {
    let equals = parameter.iter().position(|&byte| byte == b'=').unwrap_or(parameter.len());
    let name = parameter.get(..equals)?.trim_ascii();
    let value = parameter.get(equals + 1..).unwrap_or_default().trim_ascii();
    let value = value.strip_prefix(b"\"").and_then(|it| it.strip_suffix(b"\"")).unwrap_or(value);
    Some((name, value))
}

/// A weight from 0 to 1, in thousandths: `qvalue` of RFC 9110, section 12.4.2. Also accepts the common deviations `.5` and
/// more than three digits. A weight above 0 never becomes 0.
pub(super) fn thousandths(value: &[u8]) -> Option<u16> {
    let point = value.iter().position(|&byte| byte == b'.').unwrap_or(value.len());
    let (whole, digits) = (value.get(..point)?, value.get(point + 1..).unwrap_or_default());
    let is_number = digits.iter().all(u8::is_ascii_digit) && whole.len() + digits.len() > 0;
    let has_fraction = digits.iter().any(|&digit| digit != b'0');
    let zeros = whole.iter().take_while(|&&digit| digit == b'0').count();
    match whole.get(zeros..)? {
        b"" if is_number => {
            let digit = |index: usize| u16::from(digits.get(index).map_or(0, |digit| digit - b'0'));
            let weight = digit(0) * 100 + digit(1) * 10 + digit(2);
            Some(weight.max(u16::from(has_fraction)))
        }
        b"1" if is_number && !has_fraction => Some(1000),
        _ => None,
    }
}
