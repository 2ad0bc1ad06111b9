//! Every bound in one place, each with its reason.
//!
//! Linear memory never shrinks, so whatever grows with what clients or controllers send has its bound here.

use std::time::Duration;

/// Bytes of a page a source may send. It is also what Envoy's async client buffers by default
/// (`http.async_response_buffer_limit`).
pub const PAGE_BYTES: usize = 32 * 1024 * 1024;

/// Samples of one source's page.
pub const SOURCE_SAMPLES: usize = 100_000;

/// Samples of one scrape, over all sources.
pub const SCRAPE_SAMPLES: usize = 200_000;

/// Bytes of a shard. Writing 16 kB to shared data takes Envoy 0.6 us, and it is written for each request.
pub const SHARD_BYTES: usize = 16 * 1024;

/// Series of requests in a tally. Ordinary use of the API makes about 150; what does not fit is counted as overflowed.
/// With the histograms of all resources this is what fits [`SHARD_BYTES`].
pub const REQUEST_SERIES: usize = 500;

/// Series of requests by methods that the API has no use for, or with statuses that do not exist, so that whoever plays
/// with them leaves room for the others.
pub const RARE_SERIES: usize = 100;

/// Series of scrapes and attempts in a tally: each is a pair from two short lists.
pub const OTHER_SERIES: usize = 100;

/// Series in the sum of all shards of dead VMs: several times what one VM may have, since each may have had others.
pub const RETIRED_SERIES: usize = 4_096;

/// Slots of the directory: twice (old and new VMs side by side, during a change of the module) a VM for each core of a
/// large machine, and room for the dead.
pub const SLOTS: usize = 512;

/// Time between two beats of a VM.
pub const BEAT: Duration = Duration::from_secs(1);

/// Beats of another VM through which one is silent until it is suspected, and again until it is taken for dead. Together
/// they must be longer than any callback may last: until then a suspect that lives can object.
pub const PATIENCE: u8 = 5;

/// Tries of a compare-and-swap on the directory, or of a consistent reading of it. It only changes when a VM starts or
/// dies.
pub const DIRECTORY_TRIES: usize = 8;
