//! Every bound in one place, each with its reason.
//!
//! Linear memory never shrinks, so whatever grows with what clients or controllers send has its bound here.

/// Bytes of a page a source may send. It is also what Envoy's async client buffers by default
/// (`http.async_response_buffer_limit`).
pub const PAGE_BYTES: usize = 32 * 1024 * 1024;

/// Samples of one source's page.
pub const SOURCE_SAMPLES: usize = 100_000;

/// Samples of one scrape, over all sources.
pub const SCRAPE_SAMPLES: usize = 200_000;
