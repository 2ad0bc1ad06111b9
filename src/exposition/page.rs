//! The HTML page: a self-contained document that requests this path's JSON and displays it. It refers to no other resource,
//! contains no value and no secret, and inserts data as text alone. Its Content-Security-Policy permits nothing else.
//!
//! The source is in `page/`; the build script `page/pack.rs` assembles and compresses it.

use miniz_oxide::inflate::decompress_to_vec;

/// The media type.
pub const CONTENT_TYPE: &str = "text/html; charset=utf-8";

/// The `content-security-policy` of a page without script or style.
pub const INERT: &str =
    "default-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

/// The document as a gzip member, as almost every client receives it. It is the same for all clients.
pub const MEMBER: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/page.html.gz"));

/// The document's `content-security-policy`: permits its own style and script, by their hashes, and its own JSON.
pub const POLICY: &str = concat!(
    "default-src 'none'; script-src 'sha256-It/gUTE2D2+CsNILPJI9r2tRktFh536Ew+5WEMrOKuc='; ",
    "style-src 'sha256-0MCf7SzjBP5HvTnDY/uM9/TRYNx8097uP3m6xtG4/WY='; ",
    "img-src data:; connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'; ",
    "require-trusted-types-for 'script'; trusted-types 'none'",
);

/// Bytes before and after the deflated bytes of [`MEMBER`], whose header contains no file name.
const MEMBER_HEADER: usize = 10;
const MEMBER_TRAILER: usize = 8;

/// The uncompressed document, for the few clients that do not accept gzip. It is decompressed each time.
#[must_use]
pub fn document() -> Option<Vec<u8>> {
    let end = MEMBER.len().checked_sub(MEMBER_TRAILER)?;
    decompress_to_vec(MEMBER.get(MEMBER_HEADER..end)?).ok()
}

const REFUSAL: &str = "<!doctype html>
<html lang=\"en\">
<meta charset=\"utf-8\">
<meta name=\"viewport\" content=\"width=device-width\">
<meta name=\"color-scheme\" content=\"light dark\">
<title>Automation controller: metrics</title>
<p>";

/// A document with one sentence, the reason of an error, and a link to `login` if there is one. Its policy is [`INERT`].
#[must_use]
pub fn refusal(sentence: &str, login: Option<&str>) -> Vec<u8> {
    let mut page = Vec::from(REFUSAL);
    escape(sentence, &mut page);
    if let Some(login) = login {
        page.extend_from_slice(b"\n<p><a href=\"");
        escape(login, &mut page);
        page.extend_from_slice(b"\">Log in</a>");
    }
    page.push(b'\n');
    page
}

/// Appends text, escaped for use between tags and in a quoted attribute.
fn escape(text: &str, out: &mut Vec<u8>) {
    for &byte in text.as_bytes() {
        match byte {
            b'&' => out.extend_from_slice(b"&amp;"),
            b'<' => out.extend_from_slice(b"&lt;"),
            b'>' => out.extend_from_slice(b"&gt;"),
            b'"' => out.extend_from_slice(b"&quot;"),
            byte => out.push(byte),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use base64::Engine;
    use base64::engine::general_purpose::STANDARD;
    use sha2::{Digest, Sha256};
    use std::io::Read;

    fn document() -> String {
        let mut document = String::new();
        flate2::read::GzDecoder::new(MEMBER).read_to_string(&mut document).unwrap();
        document
    }

    #[test]
    fn the_page_is_the_same_with_gzip_and_without() {
        assert_eq!(super::document().unwrap(), document().into_bytes());
    }

    /// After a change of the style or the script, fails with the new beginning of `POLICY`.
    #[test]
    fn the_policy_permits_only_the_style_and_the_script_of_the_page() {
        let page = document();
        let hash = |from: &str, to: &str| {
            let (text, _) = page.split_once(from).unwrap().1.split_once(to).unwrap();
            format!("'sha256-{}'", STANDARD.encode(Sha256::digest(text)))
        };
        let script = hash("<script type=\"module\">", "</script>");
        let style = hash("<style>", "</style>");
        let sources = format!("default-src 'none'; script-src {script}; style-src {style}; ");
        assert_eq!(POLICY.split_inclusive("; ").take(3).collect::<String>(), sources);
        assert!(!POLICY.contains("unsafe"));
        for (element, count) in [("<script", 1), ("<style", 1), (" style=", 0), (" onclick=", 0)] {
            assert_eq!(page.matches(element).count(), count, "{element}");
        }
    }

    #[test]
    fn the_page_refers_to_no_other_resource() {
        let document = document();
        let namespaces = document.matches("http://www.w3.org/2000/svg").count();
        assert_eq!(document.matches("://").count(), namespaces);
        for unsafe_call in
            ["innerHTML", "outerHTML", "insertAdjacentHTML", "document.write", "eval("]
        {
            assert!(!document.contains(unsafe_call), "{unsafe_call}");
        }
    }

    #[test]
    fn the_page_is_small() {
        assert!(MEMBER.len() <= 10_000, "{} bytes", MEMBER.len());
    }

    #[test]
    fn a_refusal_displays_any_bytes_as_text() {
        let page = refusal("<script>alert('1 & \"2\"')</script>", Some("/a\"b"));
        let end = "\n<p>&lt;script&gt;alert('1 &amp; &quot;2&quot;')&lt;/script&gt;\n\
                   <p><a href=\"/a&quot;b\">Log in</a>\n";
        assert!(page.ends_with(end.as_bytes()));
        assert!(refusal("No.", None).ends_with(b"\n<p>No.\n"));
    }
}
