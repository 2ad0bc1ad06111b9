//! Typed, versioned and bounded values in shared data, which all VMs with the same `vm_id` have in common.
//!
//! A value that cannot be read (another version, another length, arbitrary bytes) is treated as absent.

mod codec;
pub mod directory;
mod keys;
mod membership;
pub mod participant;
pub mod question_budget;
pub mod record;
pub mod salt;
pub mod shard;
pub mod snapshot;
pub mod throttle;
pub mod verdicts;

/// Layout version, with which every key begins. A module with another layout uses other keys, and never reads these.
const LAYOUT: &str = "awx_metrics/2";

#[cfg(test)]
mod explorer;
