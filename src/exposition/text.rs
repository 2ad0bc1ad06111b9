//! Writes text format 0.0.4.
