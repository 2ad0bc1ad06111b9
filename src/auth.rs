//! Credentials to [`Permit`] or [`Denial`].

mod local;
pub mod password;
mod secret;

pub use local::{Policy, Token, User};
pub use secret::Secret;
