//! How the stand-in behaves or misbehaves.

use std::time::Duration;

/// What happens to a request.
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
    /// Replies break off in the middle of the body they announced.
    ClosesEarly,
    /// Nobody listens: connections are refused, and the open ones are dropped.
    Gone,
    /// Every request gets 200 and a login page, as from a proxy that asks people to log in first.
    Html,
    /// Who may see the metrics gets these bytes with this content type. With both `dbonly=1` and `subsystemonly=1` the
    /// page is empty as ever.
    Page(Vec<u8>, String),
    /// The same with one of several pages: the one at the place that the query's `page` says.
    Pages(Vec<(Vec<u8>, String)>),
    /// Who may see the metrics gets an empty page, without a Content-Type.
    Empty,
    /// Who may see the metrics gets the page with [`super::ILLEGAL_LINES`] in it; as JSON it fails.
    IllegalLines,
    /// The metrics page fails, except with `dbonly=1`.
    RedisDown,
    /// The subsystems' metrics are missing.
    RedisEmpty,
    /// Everything fails but redirects.
    DatabaseDown,
}

impl Mode {
    /// Answered below HTTP.
    pub(super) fn is_raw(&self) -> bool {
        matches!(self, Self::Garbled | Self::ClosesEarly | Self::Gone)
    }
}
