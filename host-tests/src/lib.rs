//! The filter's test bed.

pub mod controller;
pub mod oracle;
