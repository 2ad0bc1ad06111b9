//! One file for each target, with its promises and its slow implementation.

pub(crate) mod accept;
pub(crate) mod configuration;
pub(crate) mod credentials;
pub(crate) mod number;
pub(crate) mod page;
pub(crate) mod path;
pub(crate) mod query;
pub(crate) mod rendered;
pub(crate) mod shard;
pub(crate) mod verdicts;
