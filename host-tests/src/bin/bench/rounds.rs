//! Contenders, measured in turn: one short round of each, again and again, and the best round of each kept.
//!
//! What disturbs a round (another process, a clock that slows down) makes it dearer, never cheaper, and lasts longer than
//! a round. So the best of many rounds comes close to an undisturbed one, and since rounds of all contenders lie next to
//! each other, each has the same chance of one.

use std::time::Duration;

use host_tests::envoy::Envoy;

use crate::BenchError;
use crate::cpu;
use crate::load::Load;
use crate::report::{Quantity, quantity};

/// An Envoy and what it is asked.
#[derive(Debug)]
pub(crate) struct Contender {
    pub(crate) envoy: Envoy,
    pub(crate) load: Load,
}

/// The best of all rounds, each figure for itself.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Best {
    /// Envoy's CPU time for a request, in microseconds.
    cpu: f64,
    p50: f64,
    p99: f64,
    /// Requests of all rounds together.
    pub(crate) requests: u64,
}

/// So many rounds of a second, each of all contenders in turn.
pub(crate) async fn compete<const N: usize>(
    contenders: &[Contender; N],
    rounds: u32,
) -> Result<[Best; N], BenchError> {
    let none = Best { cpu: f64::MAX, p50: f64::MAX, p99: f64::MAX, requests: 0 };
    let mut best = [none; N];
    for _ in 0..rounds {
        for (contender, best) in contenders.iter().zip(&mut best) {
            best.take(contender.round().await?);
        }
    }
    Ok(best)
}

impl Contender {
    async fn round(&self) -> Result<Best, BenchError> {
        let before = cpu::of_process(self.envoy.id())?;
        let outcome = self.load.round(1).await?;
        let used = cpu::of_process(self.envoy.id())?.saturating_sub(before);
        Ok(Best {
            cpu: micros(used) / float(outcome.requests),
            p50: float(outcome.p50_us),
            p99: float(outcome.p99_us),
            requests: outcome.requests,
        })
    }
}

impl Best {
    pub(crate) fn cpu(&self) -> Quantity {
        quantity(self.cpu, "us")
    }

    pub(crate) fn p50(&self) -> Quantity {
        quantity(self.p50, "us")
    }

    pub(crate) fn p99(&self) -> Quantity {
        quantity(self.p99, "us")
    }

    fn take(&mut self, round: Self) {
        self.cpu = self.cpu.min(round.cpu);
        self.p50 = self.p50.min(round.p50);
        self.p99 = self.p99.min(round.p99);
        self.requests += round.requests;
    }
}

/// In microseconds.
pub(crate) fn micros(time: Duration) -> f64 {
    time.as_secs_f64() * 1e6
}

/// Counts here are far from where a float skips numbers.
#[expect(clippy::cast_precision_loss, reason = "see above")]
pub(crate) fn float(count: u64) -> f64 {
    count as f64
}
