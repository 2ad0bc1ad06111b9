//! One request and its reply, as far as callbacks can see them.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use super::Headers;

/// Shared by the contexts of all plugins that see the same request.
pub type SharedExchange = Arc<Mutex<Exchange>>;

/// One request and its reply.
#[derive(Clone, Debug, Default)]
pub struct Exchange {
    /// Absent if the request could not be parsed.
    pub request_headers: Option<Headers>,
    /// The content for a body callback: the current piece, or everything since the body was paused.
    pub request_body: Vec<u8>,
    /// Trailers of the request.
    pub request_trailers: Option<Headers>,
    /// Absent until there is a reply.
    pub response_headers: Option<Headers>,
    /// As `request_body`.
    pub response_body: Vec<u8>,
    /// Trailers of the reply.
    pub response_trailers: Option<Headers>,
    /// Facts beside the messages themselves.
    pub facts: Facts,
}

/// Envoy's stream info.
#[derive(Clone, Debug, Default)]
pub struct Facts {
    /// `HTTP/1.1`.
    pub protocol: Option<&'static str>,
    /// The arrival of the request, since the Unix epoch.
    pub started: Duration,
    /// The duration; absent until it ended.
    pub duration: Option<Duration>,
    /// The status; absent until the reply's headers are sent.
    pub code: Option<u16>,
    /// Envoy's code for the origin of the reply, such as `via_upstream`.
    pub code_details: Option<String>,
    /// Envoy's response flags.
    pub flags: u64,
    /// Bytes of the request's body.
    pub bytes_received: u64,
    /// Bytes of the reply's body.
    pub bytes_sent: u64,
    /// The client's connection.
    pub connection: Option<Connection>,
    /// The name of the route.
    pub route: Option<String>,
    /// The cluster that the route names.
    pub cluster: Option<String>,
    /// Values that filters wrote with `set_property`.
    pub filter_state: BTreeMap<Vec<u8>, Vec<u8>>,
    /// The upstream's address.
    pub upstream: Option<SocketAddr>,
}

/// The client's connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Connection {
    /// Its number.
    pub id: u64,
    /// The client.
    pub source: SocketAddr,
    /// The listener.
    pub destination: SocketAddr,
}

impl Exchange {
    /// A request with these headers, for a test that drives a VM.
    #[must_use]
    pub fn of(request_headers: Headers) -> SharedExchange {
        Arc::new(Mutex::new(Self {
            request_headers: Some(request_headers),
            facts: Facts { protocol: Some("HTTP/1.1"), ..Facts::default() },
            ..Self::default()
        }))
    }
}
