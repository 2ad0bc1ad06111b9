//! Contenders, measured in turn: one short round of each, repeated, and the best round of each is kept.
//!
//! Any disturbance of a round (another process, a cold cache, a slower clock) makes it more expensive, never cheaper.
//! So the best of many rounds comes close to an undisturbed one. Since the contenders take turns, each has the same
//! chance of such a round.

use std::time::Duration;

use host_tests::envoy::Envoy;

use crate::BenchError;
use crate::cpu;
use crate::load::Load;
use crate::report::{Quantity, quantity};
use crate::volley::Volley;

/// An Envoy and its requests.
#[derive(Debug)]
pub(crate) struct Contender {
    pub(crate) envoy: Envoy,
    pub(crate) load: Load,
}

/// The latency of the best round, in microseconds; each figure separately.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Latency {
    p50: f64,
    p99: f64,
}

/// Envoy's CPU time per request in the best round of each contender, in microseconds. `each` is the number of requests
/// on each connection in a round.
pub(crate) fn compare_cpu<const N: usize>(
    contenders: &[Contender; N],
    rounds: u32,
    requests: u32,
) -> Result<[Quantity; N], BenchError> {
    let volleys = contenders.iter().map(|contender| Volley::connect(&contender.load));
    let mut volleys = volleys.collect::<Result<Vec<_>, _>>()?;
    let mut best = [f64::MAX; N];
    for _ in 0..rounds {
        for ((contender, volley), best) in contenders.iter().zip(&mut volleys).zip(&mut best) {
            let before = cpu::of_process(contender.envoy.id())?;
            let answered = volley.round(requests)?;
            let used = cpu::of_process(contender.envoy.id())?.saturating_sub(before);
            *best = best.min(micros(used) / float(answered));
        }
    }
    Ok(best.map(|best| quantity(best, "us")))
}

/// The latency that wrk measures in the best round of each contender, with rounds of one second.
pub(crate) async fn compare_latency<const N: usize>(
    contenders: &[Contender; N],
    rounds: u32,
) -> Result<[Latency; N], BenchError> {
    let mut best = [Latency { p50: f64::MAX, p99: f64::MAX }; N];
    for _ in 0..rounds {
        for (contender, best) in contenders.iter().zip(&mut best) {
            let outcome = contender.load.round(1).await?;
            best.p50 = best.p50.min(float(outcome.p50_us));
            best.p99 = best.p99.min(float(outcome.p99_us));
        }
    }
    Ok(best)
}

impl Latency {
    pub(crate) fn p50(&self) -> Quantity {
        quantity(self.p50, "us")
    }

    pub(crate) fn p99(&self) -> Quantity {
        quantity(self.p99, "us")
    }
}

fn micros(time: Duration) -> f64 {
    time.as_secs_f64() * 1e6
}

/// Counts here are far below the range in which floats skip integers.
#[expect(clippy::cast_precision_loss, reason = "see above")]
pub(crate) fn float(count: u64) -> f64 {
    count as f64
}
