//! FLOW 1, OBSERVE: a proxied request ends -> facts -> labels -> tally -> shard.
pub mod method;
pub mod resource;
pub mod series;
pub mod tally;
