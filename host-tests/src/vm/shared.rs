//! Host calls: shared data, shared queues, metrics.

use super::guest::{Guest, HostResult, Status};
use super::{Effect, guest::Failure};
use crate::world::MetricError;

impl From<MetricError> for Failure {
    fn from(error: MetricError) -> Self {
        match error {
            MetricError::Unknown => Status::NotFound.into(),
            MetricError::Unfit => Status::BadArgument.into(),
        }
    }
}

pub(super) fn value(
    guest: &mut Guest<'_>,
    key: u32,
    key_size: u32,
    data_at: u32,
    size_at: u32,
    cas_at: u32,
) -> HostResult {
    let key = guest.bytes(key, key_size)?;
    guest.step(Some(&key))?;
    let (value, cas) = guest.state().world.shared.value(&key).ok_or(Status::NotFound)?;
    guest.give(&value, data_at, size_at)?;
    guest.put_u32(cas_at, cas)
}

pub(super) fn write(
    guest: &mut Guest<'_>,
    key: u32,
    key_size: u32,
    data: u32,
    size: u32,
    cas: u32,
) -> HostResult {
    let (key, value) = (guest.bytes(key, key_size)?, guest.bytes(data, size)?);
    guest.step(Some(&key))?;
    let written = guest.state().world.shared.write(&key, &value, cas);
    written.map_err(|_| Status::CasMismatch.into())
}

pub(super) fn register_queue(
    guest: &mut Guest<'_>,
    name: u32,
    size: u32,
    queue_at: u32,
) -> HostResult {
    let name = guest.bytes(name, size)?;
    let queue = guest.state().world.queues.register(&name);
    guest.put_u32(queue_at, queue)
}

/// A world is one `vm_id`: queues of others are not found.
pub(super) fn resolve_queue(
    guest: &mut Guest<'_>,
    vm: u32,
    vm_size: u32,
    name: u32,
    size: u32,
    queue_at: u32,
) -> HostResult {
    let (vm, name) = (guest.bytes(vm, vm_size)?, guest.bytes(name, size)?);
    let world = &guest.state().world;
    let own = vm.is_empty() || vm == world.config.vm_id.as_bytes();
    let queue = world.queues.resolve(&name).filter(|_| own).ok_or(Status::NotFound)?;
    guest.put_u32(queue_at, queue)
}

pub(super) fn dequeue(guest: &mut Guest<'_>, queue: u32, data_at: u32, size_at: u32) -> HostResult {
    let taken = guest.state().world.queues.take(queue).ok_or(Status::NotFound)?;
    guest.give(&taken.ok_or(Status::Empty)?, data_at, size_at)
}

pub(super) fn enqueue(guest: &mut Guest<'_>, queue: u32, data: u32, size: u32) -> HostResult {
    let value = guest.bytes(data, size)?;
    if !guest.state().world.queues.put(queue, value) {
        return Err(Status::NotFound.into());
    }
    guest.state_mut().effects.push(Effect::Enqueued { queue });
    Ok(())
}

pub(super) fn define_metric(
    guest: &mut Guest<'_>,
    kind: u32,
    name: u32,
    size: u32,
    metric_at: u32,
) -> HostResult {
    let name = guest.bytes(name, size)?;
    let metric = guest.state().world.metrics.define(kind, &name).ok_or(Status::BadArgument)?;
    guest.put_u32(metric_at, metric)
}

pub(super) fn increment_metric(guest: &mut Guest<'_>, metric: u32, by: i64) -> HostResult {
    Ok(guest.state().world.metrics.increment(metric, by)?)
}

pub(super) fn record_metric(guest: &mut Guest<'_>, metric: u32, value: u64) -> HostResult {
    Ok(guest.state().world.metrics.record(metric, value)?)
}

pub(super) fn metric(guest: &mut Guest<'_>, metric: u32, value_at: u32) -> HostResult {
    let value = guest.state().world.metrics.read(metric)?;
    guest.put_u64(value_at, value)
}
