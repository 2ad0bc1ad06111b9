//! Local replies, completed as Envoy completes them (`Http::Utility::prepareLocalReply`).

use crate::vm::{Headers, LocalReply};

/// The headers of a local reply: a body gets its length, and `text/plain` if no type was given; a reply without a body
/// has neither.
pub(super) fn headers_of(reply: &LocalReply) -> Headers {
    let mut headers = Headers::from_iter([(":status", reply.status.to_string())]);
    for (name, value) in reply.headers.iter() {
        headers.add(name, value);
    }
    if reply.body.is_empty() {
        headers.remove(b"content-length");
        headers.remove(b"content-type");
        return headers;
    }
    headers.replace("content-length", reply.body.len().to_string());
    if headers.first(b"content-type").is_none() {
        headers.add("content-type", "text/plain");
    }
    headers
}

/// The reply to a request whose filter's VM is dead.
pub(super) fn failed() -> LocalReply {
    bare(503, "wasm_fail_stream")
}

/// The reply to a client whose request a filter held for too long.
pub(super) fn idle(complete: bool) -> LocalReply {
    let status = if complete { 504 } else { 408 };
    LocalReply { body: b"stream timeout".to_vec(), ..bare(status, "stream_idle_timeout") }
}

/// A reply with only a status.
pub(super) fn bare(status: u32, details: &str) -> LocalReply {
    LocalReply { status, details: details.into(), ..LocalReply::default() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reply_without_a_body_has_no_type_and_no_length() {
        let headers = Headers::from_iter([("content-type", "text/x"), ("x", "y")]);
        let reply = LocalReply { status: 204, headers, ..LocalReply::default() };
        assert_eq!(headers_of(&reply), Headers::from_iter([(":status", "204"), ("x", "y")]));
    }

    #[test]
    fn a_body_without_a_type_is_plain_text() {
        let reply = LocalReply { status: 200, body: b"abc".to_vec(), ..LocalReply::default() };
        let headers = headers_of(&reply);
        assert_eq!(headers.first(b"content-type"), Some(&b"text/plain"[..]));
        assert_eq!(headers.first(b"content-length"), Some(&b"3"[..]));
    }
}
