//! Envoy's path normalisation (`normalize_path`, `merge_slashes`, `path_with_escaped_slashes_action:
//! UNESCAPE_AND_FORWARD`), which every shipped configuration enables.

/// Decodes percent-encoded slashes, backslashes and unreserved characters, turns backslashes into slashes, resolves dot
/// segments, and merges repeated slashes. The query is unchanged.
pub(super) fn normal(path_and_query: &str) -> Vec<u8> {
    let (path, query) = match path_and_query.split_once('?') {
        Some((path, query)) => (path, Some(query)),
        None => (path_and_query, None),
    };
    let mut normal = resolved(&decoded(path.as_bytes()));
    if let Some(query) = query {
        normal.push(b'?');
        normal.extend(query.as_bytes());
    }
    normal
}

fn decoded(path: &[u8]) -> Vec<u8> {
    let mut decoded = Vec::with_capacity(path.len());
    let mut rest = path;
    while let Some((&byte, after)) = rest.split_first() {
        let escaped = (byte == b'%').then(|| unescaped(after)).flatten();
        let (byte, after) = escaped.map_or((byte, after), |plain| (plain, &after[2..]));
        decoded.push(if byte == b'\\' { b'/' } else { byte });
        rest = after;
    }
    decoded
}

/// The character of two hex digits, if it is to be decoded.
fn unescaped(digits: &[u8]) -> Option<u8> {
    let digits = std::str::from_utf8(digits.get(..2)?).ok()?;
    let byte = u8::from_str_radix(digits, 16).ok()?;
    (byte.is_ascii_alphanumeric() || b"-._~/\\".contains(&byte)).then_some(byte)
}

fn resolved(path: &[u8]) -> Vec<u8> {
    let mut segments: Vec<&[u8]> = Vec::new();
    let mut open = false;
    for segment in path.split(|&byte| byte == b'/').skip(1) {
        open = matches!(segment, b"" | b"." | b"..");
        match segment {
            b"" | b"." => {}
            b".." => drop(segments.pop()),
            // As in Envoy since 1.40.
            [b'.', b'.', b';', ..] => drop(segments.pop()),
            segment => segments.push(segment),
        }
    }
    let mut resolved: Vec<u8> =
        segments.iter().flat_map(|segment| [b"/", *segment].concat()).collect();
    if open || resolved.is_empty() {
        resolved.push(b'/');
    }
    resolved
}

#[cfg(test)]
mod tests {
    use super::normal;

    #[test]
    fn spellings_of_one_path_have_one_normal_form() {
        for path in [
            "/a/b/",
            "//a///b//",
            "/a/./b/",
            "/a/x/../b/.",
            "/%61/%62/",
            "/a\\b/",
            "/a/%2e/b/",
            "/a%2Fb%5c",
        ] {
            assert_eq!(normal(path), b"/a/b/", "{path}");
        }
        assert_eq!(normal("/../a"), b"/a");
        assert_eq!(normal("/a%3Fb?x=//%61"), b"/a%3Fb?x=//%61");
        assert_eq!(normal("*"), b"/");
    }
}
