//! All bounds, each with its reason.
//!
//! Linear memory never shrinks, so every value that grows with the input of clients or controllers has a bound here.

use std::ops::RangeInclusive;
use std::time::Duration;

/// Bytes of a source's page: what Envoy's async client buffers by default (`http.async_response_buffer_limit`).
pub const PAGE_BYTES: usize = 32 * 1024 * 1024;

/// Samples of one source's page.
pub const SOURCE_SAMPLES: usize = 100_000;

/// Names of metrics on one source's page: one for each sample that it may have. More names could fill the memory with
/// families that have no samples.
pub const SOURCE_NAMES: usize = SOURCE_SAMPLES;

/// Bytes of a label's value as the page writes it. Prometheus has no such bound by default. A longer value is a mistake or
/// an attack, and each format writes it again.
pub const LABEL_VALUE_BYTES: usize = 64 * 1024;

/// Bytes of a line of a page: enough for ten thousand labels.
pub const LINE_BYTES: usize = 1024 * 1024;

/// Bytes of a source's page in any format, by the estimate of `metrics/extent.rs`: twice [`PAGE_BYTES`], far more than a page
/// with ordinary labels takes. JSON takes six bytes for a control character.
pub const RENDERED_BYTES: usize = 64 * 1024 * 1024;

/// Bytes of one scrape in any format, over all sources, by the same estimate: each worker keeps the pages that it renders.
pub const SCRAPE_BYTES: usize = 2 * RENDERED_BYTES;

/// Characters of an exemplar's labels, names and values together (OpenMetrics 1.0, "Exemplars").
pub const EXEMPLAR_CHARACTERS: usize = 128;

/// Samples of one scrape, over all sources.
pub const SCRAPE_SAMPLES: usize = 200_000;

/// Bytes of the plugin's configuration. A hundred sources with their labels take about 40 kB.
pub const CONFIG_BYTES: usize = 256 * 1024;

/// Depth of the plugin's configuration, which is read by recursion. It is `serde_json`'s own bound, so that a protobuf Struct
/// has the same.
pub const CONFIG_DEPTH: usize = 127;

/// Mistakes in the plugin's configuration that are reported: more than an operator corrects at once, and each takes memory.
pub const CONFIG_ERRORS: usize = 100;

/// Entries of `paths`: each is compared with the path of every request.
pub const CONFIG_PATHS: usize = 32;

/// Entries of `hosts`: each is compared with the authority of every request.
pub const CONFIG_HOSTS: usize = 256;

/// Entries of `sources`: each may keep a page in shared data.
pub const CONFIG_SOURCES: usize = 100;

/// Entries of `auth.tokens`: each is compared with the bearer token of every scrape.
pub const CONFIG_TOKENS: usize = 1_000;

/// Entries of `auth.users`: each is compared with the user name of every scrape by password.
pub const CONFIG_USERS: usize = 1_000;

/// Entries of a token's or a user's `families`: each is compared with the name of every family of its scrapes.
pub const CONFIG_FAMILIES: usize = 256;

/// The shortest `allow_for`: for each permitted client, the controller is asked this often.
pub const ALLOW_LEAST: Duration = Duration::from_secs(1);

/// Labels of a source, or of the gateway: each is part of every series.
pub const CONFIG_LABELS: usize = 32;

/// Bytes of a name in the configuration: of a scope, source, token, user, label, or environment variable.
pub const NAME_BYTES: usize = 128;

/// Bytes of any other text in the configuration: a path, a cluster's name, a label's value, a secret.
pub const TEXT_BYTES: usize = 4_096;

/// The longest interval or age in the configuration. More than a month is probably a mistake.
pub const DURATION: Duration = Duration::from_secs(31 * 24 * 60 * 60);

/// The longest timeout of a call to a cluster. A call takes memory and delays the source's next pull.
pub const TIMEOUT: Duration = Duration::from_secs(5 * 60);

/// The shortest timeout: Envoy takes less than a millisecond as no limit.
pub const TIMEOUT_LEAST: Duration = Duration::from_millis(1);

/// The shortest time between two pulls of a source, which costs its controller up to 500 SQL queries.
pub const INTERVAL_LEAST: Duration = Duration::from_secs(1);

/// Rounds of PBKDF2 in a password hash. Django's default grew from 10,000 to 1,200,000. A million rounds take a worker
/// 0.56 s in Envoy's V8.
pub const PASSWORD_ITERATIONS: RangeInclusive<u32> = 1_000..=5_000_000;

/// The interval of pulls while no client scrapes: long enough to cost the controller almost nothing, short enough that the
/// first scrape after a pause finds a page.
pub const IDLE_INTERVAL: Duration = Duration::from_secs(60);

/// Time after a pull's timeout after which other VMs give it up. The host answers at the timeout, so the VM that pulled must
/// have died.
pub const PULL_GRACE: Duration = Duration::from_secs(1);

/// How far a time in shared data may be in the future. A later time was written before the clock was set back.
pub const CLOCK_SLACK: Duration = Duration::from_secs(5);

/// The shortest and the longest period of a VM's ticks. On each tick it checks if a source is due.
pub const TICK: RangeInclusive<Duration> = Duration::from_millis(100)..=Duration::from_millis(500);

/// The shortest time between two notes of a worker in shared data that a source is scraped: `idle_after` is far longer.
pub const WANTED_EVERY: Duration = Duration::from_secs(1);

/// Tries to write back a head after a pull. A try fails only if another VM's succeeds, and few VMs write at the same time.
pub const HEAD_TRIES: usize = 8;

/// Bytes of an `Authorization` header. The longest tokens in use, signed ones with many claims, have about 4 kB.
pub const AUTHORIZATION_BYTES: usize = 8 * 1024;

/// Bytes of a session cookie's value. The controller's have 32.
pub const SESSION_BYTES: usize = 256;

/// Bytes of a controller's sentence, which is remembered to repeat it. The longest known one has 103.
pub const SENTENCE_BYTES: usize = 160;

/// How long a right password is remembered. A configuration with another hash forgets it at once.
pub const REMEMBER_PASSWORD: Duration = Duration::from_secs(60 * 60);

/// Passwords that wait to be hashed in a VM. Beyond it a client gets 429. At 4,000 rounds a tick, 600,000 rounds take 0.7 s,
/// so the last one waits some seconds, less than Prometheus's default timeout.
pub const PASSWORDS_WAITING: usize = 8;

/// The part of [`PASSWORDS_WAITING`] that one client may use, so that it leaves room for others.
pub const CLIENT_PASSWORDS: usize = 2;

/// Rounds of PBKDF2 in one tick: about 2 ms in V8, during which the worker's other requests wait.
pub const PASSWORD_ROUNDS_A_TICK: u32 = 4_000;

/// The period of ticks while a password is being hashed or a question waits to be sent. Envoy's timers take at least about
/// 4.5 ms.
pub const BUSY_TICK: Duration = Duration::from_millis(1);

/// `Retry-After` of a 429: about the time until a password that is being hashed makes room.
pub const RETRY_AFTER: Duration = Duration::from_secs(2);

/// Rendered pages that a VM keeps. Clients choose the selection and the format, and each rendered page may be as large as
/// all sources' pages. Clients usually ask for everything, as text or as JSON.
pub const RENDERINGS: usize = 4;

/// The longest time that a scrape waits for the first pull of a source, after a start or a change of the configuration.
pub const FIRST_PULL: Duration = Duration::from_secs(10);

/// The part of a client's own timeout that is kept for the reply, when a scrape waits for a first pull.
pub const REPLY_TIME: Duration = Duration::from_millis(500);

/// Bytes that are reserved for the gateway's own families behind the sources' pages.
pub const OWN_BYTES: usize = 128 * 1024;

/// Bytes of the sources' pages that a scrape loads and renders in its own callback. Beyond that it waits for ticks, which do
/// the work in slices: JSON of 1,000 samples takes about 1.4 ms in V8, during which the worker's other requests wait.
pub const INLINE_BYTES: usize = 128 * 1024;

/// Bytes of a page that one tick renders: about 1.5 ms in V8 for JSON, the slowest format.
pub const SLICE_RENDERED: usize = 64 * 1024;

/// Bytes of a page that one tick compresses: about 1 ms in V8.
pub const SLICE_COMPRESSED: usize = 128 * 1024;

/// Bytes of a page that one tick copies, from shared data or into a text format; a larger page, or family, is copied alone.
pub const SLICE_COPIED: usize = 1024 * 1024;

/// Pages smaller than this are not compressed: they fit into one packet.
pub const COMPRESSED_BYTES: usize = 1_024;

/// Bytes up to which the sources' part of a page is compressed well rather than fast: a fifth smaller, for three times the
/// work. The worker's other requests wait meanwhile: 20 us a kB, so at most 2.6 ms.
pub const COMPRESSED_WELL_BYTES: usize = 128 * 1024;

/// Bytes of a shard, which is written for each request. Ordinary traffic makes 4 kB, which Envoy writes in 0.2 us; 16 kB
/// take 0.6 us. Only a client that requests every resource takes a shard to the bound.
pub const SHARD_BYTES: usize = 28 * 1024;

/// Series of requests in a tally. Ordinary use of the API results in about 150. Further ones are counted as overflowed. These
/// series and the histograms of all resources and of all requests fit into [`SHARD_BYTES`].
pub const REQUEST_SERIES: usize = 400;

/// Series of requests with methods that the API does not use, or with statuses that do not exist, so that a client that sends
/// them leaves room for ordinary requests.
pub const RARE_SERIES: usize = 100;

/// Series of scrapes and attempts in a tally. Each is a pair from two short lists.
pub const OTHER_SERIES: usize = 100;

/// Series in the retired shard: several times the bound of one VM, since each dead VM may have had different ones.
pub const RETIRED_SERIES: usize = 4_096;

/// Slots of the directory: two VMs for each core of a large machine, since old and new VMs run side by side while the
/// module changes, and a reserve for VMs that died.
pub const SLOTS: usize = 512;

/// Time between two heartbeats of a VM.
pub const HEARTBEAT: Duration = Duration::from_secs(1);

/// Heartbeats of another VM after which a silent VM is suspected, and as many again after which it is evicted. A VM sends
/// a heartbeat every [`HEARTBEAT`] and a tick, so it can miss one and still object in time.
pub const PATIENCE: u8 = 5;

/// Tries of a compare-and-swap on the directory, or of a consistent read of it. It changes only when a VM starts or
/// dies.
pub const DIRECTORY_TRIES: usize = 8;

/// Buckets of verdicts, for permits and for refusals each. A scrape reads and copies one of each kind.
pub const BUCKETS: u64 = 64;

/// Permits in a bucket, 48 bytes each: 1,024 permitted credentials at a time, in 49 kB. Passwords of local users have buckets
/// of the same size, with 40 bytes each.
pub const BUCKET_PERMITS: usize = 16;

/// Permits of one client's address in a bucket: half of them. Behind a proxy all clients may have one address.
pub const BUCKET_CLIENT_PERMITS: usize = BUCKET_PERMITS / 2;

/// Refusals in a bucket, 202 bytes each: 512 at a time, in 104 kB. After an eviction, the controller is asked again.
pub const BUCKET_REFUSALS: usize = 8;

/// Tries of a compare-and-swap on a value that all VMs write. A try fails only if another VM's succeeds.
pub const RECORD_TRIES: usize = 8;

/// A leaky bucket: a rate limit with a burst.
#[derive(Clone, Copy, Debug)]
pub struct Leak {
    /// Events that it takes at once.
    pub burst: u32,
    /// Time until it has room for one more event.
    pub every: Duration,
}

/// Counts of failed attempts, for all clients, 9 bytes each. A client that shares a count with an attacker waits too.
pub const CLIENT_COUNTS: u64 = 1_024;

/// Failures of one client. A scraper with a wrong token fails four times a minute, and is not limited. An attacker has 17,280
/// tries a day.
pub const CLIENT_FAILURES: Leak = Leak { burst: 20, every: Duration::from_secs(5) };

/// Failures of all clients together, for attackers with many addresses.
pub const ALL_FAILURES: Leak = Leak { burst: 100, every: Duration::from_millis(500) };

/// Questions to a controller that are under way at a time, in a VM. They keep a controller with two workers busy.
pub const QUESTIONS_SENT: usize = 4;

/// Questions to a controller in any second, over all VMs. For many of them the controller hashes a password, for 0.2 s.
pub const QUESTIONS_A_SECOND: usize = 10;

/// Questions of a VM, sent or not. The last one waits some seconds.
pub const QUESTIONS: usize = 32;

/// Scrapes that wait for the controller in a VM, about 500 bytes each: enough for a few hundred scrapes a second during the
/// controller's timeout.
pub const WAITERS: usize = 1_024;

/// The part of a bound on questions that clients may use which were not permitted before. A quarter is reserved for the
/// others, so that a flood does not block known clients.
#[must_use]
pub const fn for_strangers(bound: usize) -> usize {
    bound - bound / 4
}

/// The part of a bound on questions or waiters that one client's address may use: an eighth, or half for clients which were
/// permitted before, since many of them may share the address of a proxy.
#[must_use]
pub const fn for_one_client(bound: usize, known: bool) -> usize {
    if known { bound / 2 } else { bound / 8 }
}

/// Questions that are under way in a VM for one address whose clients were not permitted before: one less than for all such
/// addresses, so that slow questions of one client leave room for others.
pub const CLIENT_QUESTIONS_SENT: usize = for_strangers(QUESTIONS_SENT) - 1;

/// How long a controller is not asked after it gave no verdict on the probe. Meanwhile, clients that were permitted before do
/// not wait; once the controller is back, a revoked client may be permitted for this much longer than `allow_for`. For the
/// same time the controller is not asked about credentials on which it gave no verdict.
pub const DOWN_FOR: Duration = Duration::from_secs(5);

/// The shortest time between two probes of a VM that find out if the controller is down. Each costs it a query or two.
pub const PROBE_EVERY: Duration = Duration::from_secs(1);

/// Questions without a verdict that a VM remembers for [`DOWN_FOR`].
pub const UNANSWERED: usize = 64;

/// How long the refusal of a random token is valid. A controller that later permits anyone is found after at most this time.
pub const PROBE_REFUSED_FOR: Duration = Duration::from_secs(5 * 60);

/// How long the permit of a random token is valid. A controller that was corrected is trusted again after at most this time.
pub const PROBE_PERMITTED_FOR: Duration = Duration::from_secs(30);
