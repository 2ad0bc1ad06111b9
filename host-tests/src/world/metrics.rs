//! Metrics that a module defines. A name and a kind identify a metric, whichever VM defines it.

use std::sync::Mutex;

use super::locked;

/// The ABI's kinds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MetricKind {
    /// 0
    Counter,
    /// 1
    Gauge,
    /// 2; only the number of recorded values is kept.
    Histogram,
}

/// One metric.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Metric {
    /// Its kind.
    pub kind: MetricKind,
    /// Its name.
    pub name: String,
    /// Its value.
    pub value: u64,
}

/// All metrics. Ids start at 1.
#[derive(Debug, Default)]
pub struct Metrics(Mutex<Vec<Metric>>);

/// The reason why a metric was not changed or read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MetricError {
    /// There is no such id.
    Unknown,
    /// The operation does not exist for this kind.
    Unfit,
}

impl Metrics {
    /// All metrics so far.
    #[must_use]
    pub fn all(&self) -> Vec<Metric> {
        locked(&self.0).clone()
    }

    /// The value of the metric of this name.
    #[must_use]
    pub fn value_of(&self, name: &str) -> Option<u64> {
        locked(&self.0).iter().find(|metric| metric.name == name).map(|metric| metric.value)
    }

    pub(crate) fn define(&self, kind: u32, name: &[u8]) -> Option<u32> {
        let kind = match kind {
            0 => MetricKind::Counter,
            1 => MetricKind::Gauge,
            2 => MetricKind::Histogram,
            _ => return None,
        };
        let name = String::from_utf8_lossy(name).into_owned();
        let mut metrics = locked(&self.0);
        let place = metrics.iter().position(|have| have.kind == kind && have.name == name);
        let place = place.unwrap_or_else(|| {
            metrics.push(Metric { kind, name, value: 0 });
            metrics.len() - 1
        });
        u32::try_from(place + 1).ok()
    }

    pub(crate) fn increment(&self, id: u32, offset: i64) -> Result<(), MetricError> {
        self.on(id, |metric| match metric.kind {
            MetricKind::Counter if offset <= 0 => Err(MetricError::Unfit),
            MetricKind::Histogram => Err(MetricError::Unfit),
            MetricKind::Counter | MetricKind::Gauge => {
                metric.value = metric.value.saturating_add_signed(offset);
                Ok(())
            }
        })
    }

    pub(crate) fn record(&self, id: u32, value: u64) -> Result<(), MetricError> {
        self.on(id, |metric| {
            metric.value = match metric.kind {
                MetricKind::Counter => metric.value.saturating_add(value),
                MetricKind::Gauge => value,
                MetricKind::Histogram => metric.value + 1,
            };
            Ok(())
        })
    }

    pub(crate) fn read(&self, id: u32) -> Result<u64, MetricError> {
        self.on(id, |metric| match metric.kind {
            MetricKind::Histogram => Err(MetricError::Unfit),
            MetricKind::Counter | MetricKind::Gauge => Ok(metric.value),
        })
    }

    fn on<T>(
        &self,
        id: u32,
        act: impl FnOnce(&mut Metric) -> Result<T, MetricError>,
    ) -> Result<T, MetricError> {
        let place = usize::try_from(id).ok().and_then(|id| id.checked_sub(1));
        let mut metrics = locked(&self.0);
        let metric = place.and_then(|place| metrics.get_mut(place)).ok_or(MetricError::Unknown)?;
        act(metric)
    }
}
