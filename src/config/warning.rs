//! Settings that are legal, but probably a mistake.

use std::fmt;
use std::rc::Rc;

use super::{Config, Credential, Source};
use crate::auth::Visibility;

/// A setting that the filter logs at its start, since it is probably a mistake.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Warning {
    /// No token, no user, no controller, and `auth.anonymous` is false.
    EveryClientRefused,
    /// `auth.anonymous` beside tokens, users or a controller, which then keep no client out.
    EveryClientAdmitted,
    /// `auth.anonymous` beside a source that is pulled with the credentials of clients.
    ForwardedToEveryClient {
        /// The index in `sources`.
        source: usize,
    },
    /// An entry of `auth.tokens` or `auth.users` opens no family.
    OpensNothing {
        /// The name of the list.
        list: &'static str,
        /// The index in the list.
        entry: usize,
    },
    /// There are sources, but the controller's permit opens none of them.
    ControllerOpensNoSource,
    /// `paths` is empty.
    NoPaths,
    /// A page becomes stale before the next one is pulled.
    StaleBeforePulled {
        /// The index in `sources`.
        source: usize,
    },
    /// Two sources have equal labels, so they may have equal series.
    SameLabels {
        /// The index of the earlier source, whose series are served.
        first: usize,
        /// The index of the later source.
        second: usize,
    },
}

impl fmt::Display for Warning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::EveryClientRefused => {
                f.write_str("auth: no tokens, no users, no controller, and anonymous is false: every client is refused")
            }
            Self::EveryClientAdmitted => f.write_str(
                "auth.anonymous: true: every client sees everything, so tokens, users and controller \
                 keep no client out",
            ),
            Self::ForwardedToEveryClient { source } => write!(
                f,
                "auth.anonymous: true, and sources[{source}].credential is \"forward\": the page that \
                 one client's credentials opened is shown to every client"
            ),
            Self::OpensNothing { list, entry } => {
                write!(f, "auth.{list}[{entry}].families: empty: the entry opens nothing")
            }
            Self::ControllerOpensNoSource => f.write_str(
                "auth.controller.sources: none, given or on its cluster: its permit opens only the \
                 gateway's families",
            ),
            Self::NoPaths => f.write_str("paths: empty: no request is answered"),
            Self::StaleBeforePulled { source } => write!(
                f,
                "sources[{source}].stale_after: shorter than interval: the page comes and goes"
            ),
            Self::SameLabels { first, second } => write!(
                f,
                "sources[{second}].labels: the same as of sources[{first}]: of equal series, only \
                 the first source's are served"
            ),
        }
    }
}

impl Config {
    /// The settings that are legal, but probably a mistake, to be logged at the start.
    #[must_use]
    pub fn warnings(&self) -> Vec<Warning> {
        let mut warnings = self.auth_warnings();
        if self.paths.is_empty() {
            warnings.push(Warning::NoPaths);
        }
        for (index, source) in self.sources.iter().enumerate() {
            if source.stale_after < source.interval {
                warnings.push(Warning::StaleBeforePulled { source: index });
            }
            warnings.extend(self.same_labels(index, source));
        }
        warnings
    }

    fn auth_warnings(&self) -> Vec<Warning> {
        let auth = &self.auth;
        let has_entries =
            !auth.tokens.is_empty() || !auth.users.is_empty() || auth.controller.is_some();
        let mut warnings = Vec::new();
        match (auth.anonymous, has_entries) {
            (false, false) => warnings.push(Warning::EveryClientRefused),
            (true, true) => warnings.push(Warning::EveryClientAdmitted),
            _ => {}
        }
        let forwards = |source: &Source| matches!(source.credential, Credential::Forward);
        if let Some(source) = self.sources.iter().position(forwards).filter(|_| auth.anonymous) {
            warnings.push(Warning::ForwardedToEveryClient { source });
        }
        let tokens = auth.tokens.iter().map(|token| &token.view).enumerate();
        warnings.extend(opening_nothing("tokens", tokens));
        let users = auth.users.iter().map(|user| &user.view).enumerate();
        warnings.extend(opening_nothing("users", users));
        let opened = auth.controller.as_ref().and_then(|it| it.view.sources.as_ref());
        if opened.is_some_and(Vec::is_empty) && !self.sources.is_empty() {
            warnings.push(Warning::ControllerOpensNoSource);
        }
        warnings
    }

    fn same_labels(&self, second: usize, source: &Source) -> Option<Warning> {
        let earlier = self.sources.iter().take(second);
        let first =
            earlier.map(|earlier| &earlier.labels).position(|have| *have == source.labels)?;
        Some(Warning::SameLabels { first, second })
    }
}

fn opening_nothing<'a>(
    list: &'static str,
    views: impl Iterator<Item = (usize, &'a Rc<Visibility>)>,
) -> impl Iterator<Item = Warning> {
    let closed = |view: &Visibility| view.families.as_ref().is_some_and(Vec::is_empty);
    views
        .filter(move |(_, view)| closed(view))
        .map(move |(entry, _)| Warning::OpensNothing { list, entry })
}
