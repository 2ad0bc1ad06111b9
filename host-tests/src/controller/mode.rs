//! The behaviour and misbehaviour of the stand-in.

use std::time::Duration;

/// The treatment of a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Mode {
    /// It is answered.
    Normal,
    /// It is answered after this time.
    Slow(Duration),
    /// Every request gets this status with the controller's HTML of a server error.
    Failing(u16),
    /// Requests are read and never answered.
    Hanging,
    /// Requests are answered with bytes that are not HTTP.
    Garbled,
    /// Replies end in the middle of the body that they announced.
    ClosesEarly,
    /// The port refuses connections, and open ones are dropped.
    Gone,
    /// Every request gets 200 and a login page, as from a proxy that demands a login first.
    Html,
    /// A client that may see the metrics gets these bytes with this content type. With both `dbonly=1` and
    /// `subsystemonly=1` the page is empty as usual.
    Page(Vec<u8>, String),
    /// The same with several pages; the query parameter `page` is the index.
    Pages(Vec<(Vec<u8>, String)>),
    /// A client that may see the metrics gets an empty page, without a Content-Type.
    Empty,
    /// A client that may see the metrics gets the page with [`super::ILLEGAL_LINES`] in it; as JSON the page fails.
    IllegalLines,
    /// The metrics page fails, except with `dbonly=1`.
    RedisDown,
    /// The subsystems' metrics are missing.
    RedisEmpty,
    /// Everything fails except redirects.
    DatabaseDown,
}

impl Mode {
    /// True if the answer is below HTTP.
    pub(super) fn is_raw(&self) -> bool {
        matches!(self, Self::Garbled | Self::ClosesEarly | Self::Gone)
    }
}
