//! Every bound in one place, each with its reason.
//!
//! Linear memory never shrinks, so whatever grows with what clients or controllers send has its bound here.

use std::ops::RangeInclusive;
use std::time::Duration;

/// Bytes of a page a source may send. It is also what Envoy's async client buffers by default
/// (`http.async_response_buffer_limit`).
pub const PAGE_BYTES: usize = 32 * 1024 * 1024;

/// Samples of one source's page.
pub const SOURCE_SAMPLES: usize = 100_000;

/// Names of metrics on one source's page. As many as its samples may have, each one of its own; beyond that a page
/// could fill the memory with families that have no samples.
pub const SOURCE_NAMES: usize = SOURCE_SAMPLES;

/// Bytes of a label's value as a page spells it. Prometheus takes any by default; what is larger is a mistake or an
/// attack, and each format writes it again.
pub const LABEL_VALUE_BYTES: usize = 64 * 1024;

/// Bytes of a line of a page: ten thousand labels have room.
pub const LINE_BYTES: usize = 1024 * 1024;

/// Bytes that a source's page may take at most in any format, by an upper bound (see `metrics/extent.rs`): twice
/// [`PAGE_BYTES`], which no page of ordinary labels comes near. JSON spends six bytes on a control character.
pub const RENDERED_BYTES: usize = 64 * 1024 * 1024;

/// The same of one scrape, over all sources: each worker holds what it renders.
pub const SCRAPE_BYTES: usize = 2 * RENDERED_BYTES;

/// Characters of an exemplar's labels, names and values together (OpenMetrics 1.0, "Exemplars").
pub const EXEMPLAR_CHARACTERS: usize = 128;

/// Samples of one scrape, over all sources.
pub const SCRAPE_SAMPLES: usize = 200_000;

/// Bytes of the plugin's configuration. A hundred sources with their labels take about 40 kB.
pub const CONFIG_BYTES: usize = 256 * 1024;

/// Objects and lists within each other in the plugin's configuration, which is read by recursion: `serde_json`'s own
/// bound, so that a Struct has the same.
pub const CONFIG_DEPTH: usize = 127;

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

/// The shortest `allow_for`. Each permitted client costs the controller a question as often.
pub const ALLOW_LEAST: Duration = Duration::from_secs(1);

/// Labels of a source, or of the gateway: each stands in every series.
pub const CONFIG_LABELS: usize = 32;

/// Bytes of a name in the configuration: of a scope, source, token, user, label, or environment variable.
pub const NAME_BYTES: usize = 128;

/// Bytes of any other text in the configuration: a path, a cluster's name, a label's value, a secret.
pub const TEXT_BYTES: usize = 4_096;

/// The longest interval or age in the configuration. Beyond a month a typing error is likelier than a wish.
pub const DURATION: Duration = Duration::from_secs(31 * 24 * 60 * 60);

/// The longest time a call to a cluster may take. It holds memory and, while it lasts, the source's next pull.
pub const TIMEOUT: Duration = Duration::from_secs(5 * 60);

/// The shortest timeout: Envoy takes less than a millisecond as no limit.
pub const TIMEOUT_LEAST: Duration = Duration::from_millis(1);

/// The shortest time between two pulls of a source, which costs its controller up to 500 SQL queries.
pub const INTERVAL_LEAST: Duration = Duration::from_secs(1);

/// Rounds of PBKDF2 in a password hash. Django began with 10,000 and is at 1,200,000; in Envoy's V8 a million takes
/// 0.56 s of a worker.
pub const PASSWORD_ITERATIONS: RangeInclusive<u32> = 1_000..=5_000_000;

/// Between pulls of a source that nobody scrapes: rare enough to cost the controller nothing, often enough that the
/// first scrape after a pause finds something.
pub const IDLE_INTERVAL: Duration = Duration::from_secs(60);

/// A pull is given up by the other VMs this long after its timeout: the host itself answers at the timeout, so then its
/// VM must have died.
pub const PULL_GRACE: Duration = Duration::from_secs(1);

/// How far ahead a moment in shared data may be before it must come from a clock that was set back since.
pub const CLOCK_SLACK: Duration = Duration::from_secs(5);

/// The longest and the shortest time between two looks of a VM at whether a source is due.
pub const TICK: RangeInclusive<Duration> = Duration::from_millis(100)..=Duration::from_millis(500);

/// A scrape notes that it wants a source this often at most: `idle_after` is far longer.
pub const WANTED_EVERY: Duration = Duration::from_secs(1);

/// Tries to write back a head after a pull. Each failure is another VM's success, and few ever write at once.
pub const HEAD_TRIES: usize = 8;

/// Bytes of an `Authorization` header. The longest tokens in use, signed ones with many claims, have about 4 kB.
pub const AUTHORIZATION_BYTES: usize = 8 * 1024;

/// Bytes of a session's cookie. The controller's have 32.
pub const SESSION_BYTES: usize = 256;

/// Bytes of a controller's sentence that are remembered, so as to say it again. Its longest known one has 103.
pub const SENTENCE_BYTES: usize = 160;

/// How long it is remembered that a password was right. A configuration with another hash forgets it at once.
pub const REMEMBER_PASSWORD: Duration = Duration::from_secs(60 * 60);

/// Passwords that may be checked at once in a VM, one after the other; who comes then gets 429. At 4,000 rounds a tick a
/// hash of 600,000 takes 0.7 s, so the last one waits some seconds, as long as Prometheus does by default.
pub const PASSWORDS_WAITING: usize = 8;

/// The part of [`PASSWORDS_WAITING`] that one client may have, so that it leaves room for others.
pub const CLIENT_PASSWORDS: usize = 2;

/// Rounds of PBKDF2 in one go: about 2 ms in V8, for which the worker's other requests wait.
pub const PASSWORD_ROUNDS_A_TICK: u32 = 4_000;

/// The tick while a password is being checked or a question is to be sent. Envoy's timers take about 4.5 ms whatever less
/// they are set to.
pub const BUSY_TICK: Duration = Duration::from_millis(1);

/// What 429 says in Retry-After: about how long it takes until a password that is being checked makes room.
pub const RETRY_AFTER: Duration = Duration::from_secs(2);

/// Renderings of the sources' pages that a VM keeps, the gateway's families behind them. Clients choose what they ask for,
/// and each may be as large as all pages; the text and the JSON of everything are what is asked for again and again.
pub const RENDERINGS: usize = 4;

/// Bytes from which on a page is compressed for who takes that. What is less fits one packet anyway.
pub const COMPRESSED_BYTES: usize = 1_024;

/// Bytes up to which the sources' part of a page is compressed well rather than fast, a fifth smaller for three times the
/// work. It is done while the worker's other requests wait: 20 us a kB, so 2.6 ms at the most.
pub const COMPRESSED_WELL_BYTES: usize = 128 * 1024;

/// Bytes of a shard, which is written for each request. Ordinary traffic makes 4 kB, which Envoy writes in 0.2 us; 16 kB
/// take 0.6 us. Only a client that requests every resource takes a shard to the bound.
pub const SHARD_BYTES: usize = 28 * 1024;

/// Series of requests in a tally. Ordinary use of the API makes about 150; requests beyond the bound count as overflowed.
/// Together with the histograms of all resources, these fit into [`SHARD_BYTES`].
pub const REQUEST_SERIES: usize = 400;

/// Series of requests with methods that the API does not use or statuses that do not exist, so that a client that sends
/// such requests leaves series for the others.
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

/// Buckets of verdicts, for permits and for refusals each. A scrape reads one of each kind, and copies it.
pub const BUCKETS: u64 = 64;

/// Permits in a bucket, 48 bytes each: 1,024 credentials that are permitted at a time, in 49 kB. Passwords of local users
/// have as many, of 40 bytes.
pub const BUCKET_PERMITS: usize = 16;

/// Permits of one client's address in a bucket: half of them. Behind a proxy all clients may have one address.
pub const BUCKET_CLIENT_PERMITS: usize = BUCKET_PERMITS / 2;

/// Refusals in a bucket, 202 bytes each: 512 at a time, in 104 kB. One that is evicted costs the controller a question.
pub const BUCKET_REFUSALS: usize = 8;

/// Tries of a compare-and-swap on what all VMs write. Each failure is another VM's success.
pub const RECORD_TRIES: usize = 8;

/// A bucket that takes so many drops at once, and leaks one so often.
#[derive(Clone, Copy, Debug)]
pub struct Leak {
    /// Drops.
    pub burst: u32,
    /// Time from one leaked drop to the next.
    pub every: Duration,
}

/// Counts of failed attempts, for all clients: who shares one with an attacker waits with it. 9 bytes each.
pub const CLIENT_COUNTS: u64 = 1_024;

/// Failures of one client. A scraper with a wrong token fails four times a minute, and does not fill it; who guesses gets
/// 17,280 tries a day.
pub const CLIENT_FAILURES: Leak = Leak { burst: 20, every: Duration::from_secs(5) };

/// Failures of all clients together: those of many addresses that guess at once.
pub const ALL_FAILURES: Leak = Leak { burst: 100, every: Duration::from_millis(500) };

/// Questions to a controller that are under way at a time, in a VM. A controller of two workers is busy with them.
pub const QUESTIONS_SENT: usize = 4;

/// Questions to a controller in any second, over all VMs: it hashes a password for many of them, for 0.2 s.
pub const QUESTIONS_A_SECOND: usize = 10;

/// Questions that a VM has, sent or not. The last one then waits some seconds.
pub const QUESTIONS: usize = 32;

/// Scrapes that wait for the controller in a VM, about 500 bytes each: a controller's timeout at a few hundred scrapes a
/// second.
pub const WAITERS: usize = 1_024;

/// The part of a bound on questions that is for clients which were not permitted before: a quarter is kept for those that
/// were, so that a flood keeps no known client out.
#[must_use]
pub const fn for_strangers(bound: usize) -> usize {
    bound - bound / 4
}

/// The part of a bound on questions or waiters that one client's address may have: an eighth, or half of it for clients
/// which were permitted before, since these may be many behind one proxy.
#[must_use]
pub const fn for_one_client(bound: usize, known: bool) -> usize {
    if known { bound / 2 } else { bound / 8 }
}

/// Questions of one stranger's address that are under way in a VM: one less than all strangers may have, so that a client
/// whose credentials take the controller long leaves it free for others.
pub const CLIENT_QUESTIONS_SENT: usize = for_strangers(QUESTIONS_SENT) - 1;

/// How long a controller is not asked again that gave the probe no verdict. Those who were permitted before do not wait
/// meanwhile; so much longer than `allow_for` a revoked client may be let in, once the controller is back. So long also
/// nothing is asked about credentials on which there was no verdict.
pub const DOWN_FOR: Duration = Duration::from_secs(5);

/// The shortest time between two probes of a VM that are to find out whether the controller is down. Each costs it a query
/// or two.
pub const PROBE_EVERY: Duration = Duration::from_secs(1);

/// Questions without a verdict that a VM remembers for [`DOWN_FOR`].
pub const UNANSWERED: usize = 64;

/// How long it counts that a controller refused a random token. One that permits anyone later is found as late.
pub const PROBE_REFUSED_FOR: Duration = Duration::from_secs(5 * 60);

/// How long it counts that a controller permitted a random token. One that was mended is trusted again as late.
pub const PROBE_PERMITTED_FOR: Duration = Duration::from_secs(30);
