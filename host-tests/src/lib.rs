//! The filter's test bed.
