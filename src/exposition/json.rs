//! Writes the controller's JSON.
