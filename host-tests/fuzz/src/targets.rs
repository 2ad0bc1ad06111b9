//! One file for each target: the promises, and the slow reading that the filter's is held against.

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
