//! Typed, versioned, bounded access to the shared data of all VMs of one `vm_id`.
//!
//! Whatever cannot be read (another version, another length, garbage) is treated as absent.

pub mod codec;
pub mod directory;
pub mod member;
mod roster;
pub mod shard;
pub mod snapshot;

#[cfg(test)]
mod explorer;
