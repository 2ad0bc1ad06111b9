//! Typed, versioned, bounded access to the shared data of all VMs of one `vm_id`.
//!
//! Whatever cannot be read (another version, another length, garbage) is treated as absent.

pub mod codec;
pub mod directory;
mod membership;
pub mod participant;
pub mod question_budget;
pub mod record;
pub mod shard;
pub mod snapshot;
pub mod throttle;
pub mod verdicts;

/// Layout version of the keys: another layout reads and writes other keys, and so never meets this one's values.
const LAYOUT: &str = "awx_metrics/2";

#[cfg(test)]
mod explorer;
