//! Conversions between hyper's messages and header maps.

use hyper::header::{HeaderMap, HeaderName, HeaderValue};
use hyper::{Method, Request, Response, StatusCode, Uri};

use super::body::PieceBody;
use crate::vm::Headers;
use crate::vm::wasi::fill_random;

/// Headers that concern one connection only.
const HOP_BY_HOP: [&str; 6] =
    ["connection", "keep-alive", "proxy-connection", "te", "transfer-encoding", "upgrade"];

/// The methods that Envoy's HTTP/1 parser knows; it rejects others as malformed.
const METHODS: [&str; 34] = [
    "ACL",
    "BIND",
    "CHECKOUT",
    "CONNECT",
    "COPY",
    "DELETE",
    "GET",
    "HEAD",
    "LINK",
    "LOCK",
    "MERGE",
    "MKACTIVITY",
    "MKCALENDAR",
    "MKCOL",
    "MOVE",
    "MSEARCH",
    "NOTIFY",
    "OPTIONS",
    "PATCH",
    "POST",
    "PROPFIND",
    "PROPPATCH",
    "PURGE",
    "PUT",
    "REBIND",
    "REPORT",
    "SEARCH",
    "SOURCE",
    "SUBSCRIBE",
    "TRACE",
    "UNBIND",
    "UNLINK",
    "UNLOCK",
    "UNSUBSCRIBE",
];

/// Headers whose lines Envoy joins into one, with commas.
const JOINED: [&str; 14] = [
    "accept",
    "accept-encoding",
    "authorization",
    "cache-control",
    "content-type",
    "expect",
    "if-match",
    "if-none-match",
    "origin",
    "pragma",
    "referer",
    "user-agent",
    "via",
    "x-forwarded-for",
];

/// True if Envoy knows this method of HTTP/1.
pub(super) fn is_known_method(method: &Method) -> bool {
    METHODS.contains(&method.as_str())
}

/// The reply to a client that does not speak HTTP.
pub(super) fn bad_request() -> Response<PieceBody> {
    let headers = Headers::from_iter([(":status", "400"), ("connection", "close")]);
    client_response(&headers, PieceBody::whole(bytes::Bytes::new()))
}

/// A client's request as filters see it: pseudo-headers first, `Host` as `:authority`, an absolute target as `:path`,
/// normalised if `normal`.
pub(super) fn request_headers<B>(request: &Request<B>, scheme: &str, normal: bool) -> Headers {
    let mut headers = Headers::new();
    let host = request.headers().get(hyper::header::HOST).map(HeaderValue::as_bytes);
    let authority = request.uri().authority().map(|authority| authority.as_str().as_bytes());
    if let Some(authority) = authority.or(host) {
        headers.add(":authority", authority);
    }
    if *request.method() != Method::CONNECT {
        let path = request.uri().path_and_query().map_or("/", |path| path.as_str());
        let as_it_came = || path.as_bytes().to_vec();
        headers.add(":path", if normal { super::path::normal(path) } else { as_it_came() });
    }
    headers.add(":method", request.method().as_str());
    headers.add(":scheme", scheme);
    let upgrade = is_upgrade(request.headers());
    add_lines(&mut headers, request.headers(), |name| {
        name == "host" || (is_hop(name) && !(upgrade && ["connection", "upgrade"].contains(&name)))
    });
    for name in JOINED {
        join(&mut headers, request.headers(), name);
    }
    headers.replace("x-forwarded-proto", scheme);
    if headers.first(b"x-request-id").is_none() {
        headers.add("x-request-id", request_id());
    }
    headers
}

/// The upstream request; `None` if the filters made it impossible to express in HTTP.
pub(super) fn upstream_request<B>(headers: &Headers, body: B) -> Option<Request<B>> {
    let pseudo = |name: &[u8]| headers.first(name);
    let uri = Uri::try_from(pseudo(b":path")?).ok()?;
    let mut request = Request::builder()
        .method(Method::from_bytes(pseudo(b":method")?).ok()?)
        .uri(uri)
        .body(body)
        .ok()?;
    *request.headers_mut() = lines(headers);
    let host = HeaderValue::from_bytes(pseudo(b":authority")?).ok()?;
    request.headers_mut().insert(hyper::header::HOST, host);
    Some(request)
}

/// An upstream's reply, as filters see it.
pub(super) fn response_headers<B>(response: &Response<B>) -> Headers {
    let mut headers = Headers::from_iter([(":status", response.status().as_str())]);
    let upgraded = response.status() == StatusCode::SWITCHING_PROTOCOLS;
    add_lines(&mut headers, response.headers(), |name| is_hop(name) && !upgraded);
    headers
}

/// The reply for the client.
pub(super) fn client_response(headers: &Headers, body: PieceBody) -> Response<PieceBody> {
    let mut response = Response::new(body);
    *response.status_mut() = status(headers);
    *response.headers_mut() = lines(headers);
    response.headers_mut().insert(hyper::header::SERVER, HeaderValue::from_static("envoy"));
    response
}

/// The `:status`; 503 if the filters removed it.
pub(super) fn status(headers: &Headers) -> StatusCode {
    let status = headers.first(b":status").and_then(|status| StatusCode::from_bytes(status).ok());
    status.unwrap_or(StatusCode::SERVICE_UNAVAILABLE)
}

/// True if this asks for, or is, another protocol.
pub(super) fn is_upgrade(headers: &HeaderMap) -> bool {
    let connection = headers.get_all(hyper::header::CONNECTION).iter();
    let words = connection.flat_map(|line| line.as_bytes().split(|&byte| byte == b','));
    let mut words = words.map(<[u8]>::trim_ascii);
    headers.contains_key(hyper::header::UPGRADE)
        && words.any(|word| word.eq_ignore_ascii_case(b"upgrade"))
}

/// Leaves out pseudo-headers and all else that HTTP cannot express.
fn lines(headers: &Headers) -> HeaderMap {
    let mut map = HeaderMap::new();
    for (name, value) in headers.iter().filter(|(name, _)| !name.starts_with(b":")) {
        let (Ok(name), Ok(value)) = (HeaderName::from_bytes(name), HeaderValue::from_bytes(value))
        else {
            continue;
        };
        map.append(name, value);
    }
    map
}

fn add_lines(headers: &mut Headers, from: &HeaderMap, leave: impl Fn(&str) -> bool) {
    for (name, value) in from.iter().filter(|(name, _)| !leave(name.as_str())) {
        headers.add(name.as_str(), value.as_bytes());
    }
}

/// Empty lines are dropped, as in Envoy.
fn join(headers: &mut Headers, from: &HeaderMap, name: &str) {
    let lines: Vec<_> = from.get_all(name).iter().map(HeaderValue::as_bytes).collect();
    if lines.len() > 1 {
        let said: Vec<_> = lines.into_iter().filter(|line| !line.is_empty()).collect();
        headers.replace(name, said.join(&b","[..]));
    }
}

fn is_hop(name: &str) -> bool {
    HOP_BY_HOP.contains(&name)
}

/// A random UUID.
fn request_id() -> String {
    let mut bytes = [0; 16];
    fill_random(&mut bytes);
    let number = u128::from_be_bytes(bytes) & !(0xf << 76 | 0xc << 60) | 4 << 76 | 8 << 60;
    let hex = format!("{number:032x}");
    [&hex[..8], &hex[8..12], &hex[12..16], &hex[16..20], &hex[20..]].join("-")
}
