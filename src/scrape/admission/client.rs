//! The address of the client that sent the current request: failed attempts are counted by it, and so are the shares that
//! one client may have of what waits.
//!
//! It is the connection's address, if Envoy is configured to store it in the filter state, or else the one that Envoy
//! trusts by its settings for trusted hops.

use crate::auth;
use crate::host::{Host, Level};
use std::cell::Cell;

/// The key under which Envoy's filter state may contain the address of the connection
/// (`envoy.filters.network.set_filter_state`). No property contains it: without `use_remote_address`, `source.address`
/// comes from `x-forwarded-for` (Envoy 1.36.2 and 1.40.0).
const CONNECTION_ADDRESS: &str = "awx_metrics.connection_address";

/// Reads the addresses of clients.
#[derive(Default)]
pub(super) struct ClientAddress {
    /// True if the log already says that the clients' addresses come from a header.
    has_warned: Cell<bool>,
}

impl ClientAddress {
    /// The network of the current request's client, see [`auth::network`].
    pub(super) fn network(&self, host: &dyn Host) -> Vec<u8> {
        let connection = host.property(&["filter_state", CONNECTION_ADDRESS]);
        let source = connection.filter(|it| !it.is_empty()).unwrap_or_else(|| self.source(host));
        auth::network(&source)
    }

    fn source(&self, host: &dyn Host) -> Vec<u8> {
        let source = host.property(&["source", "address"]).unwrap_or_default();
        if !self.has_warned.get() && is_from_a_header(host, &source) {
            self.has_warned.set(true);
            let line = "awx_metrics: the clients' addresses come from x-forwarded-for. A client that can \
                        send that header itself evades the limit on failed attempts, or uses up the limit \
                        of another client: set use_remote_address if clients connect to this Envoy directly";
            host.log(Level::Warn, line);
        }
        source
    }
}

fn is_from_a_header(host: &dyn Host, source: &[u8]) -> bool {
    auth::has_no_port(source)
        && host
            .request_header("x-forwarded-for")
            .is_some_and(|header| auth::is_last_forwarded(source, &header))
}
