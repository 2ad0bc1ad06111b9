//! What is legal and yet hardly meant.

use std::fmt;
use std::rc::Rc;

use super::{Config, Credential, Source};
use crate::auth::Visibility;

/// Something an operator should be told at start.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Warning {
    /// No token, no user, no controller to ask, and `auth.anonymous` is false.
    NobodyLetIn,
    /// `auth.anonymous` beside tokens, users or a controller, which then keep nobody out.
    EverybodyLetIn,
    /// `auth.anonymous` beside a source that is pulled with its clients' credentials.
    ForwardedToEverybody {
        /// Which of `sources`.
        source: usize,
    },
    /// An entry of `auth.tokens` or `auth.users` opens no family.
    OpensNothing {
        /// The list.
        list: &'static str,
        /// Which of them.
        entry: usize,
    },
    /// There are sources, and the controller's permit opens none of them.
    ControllerOpensNoSource,
    /// `paths` is empty.
    NoPaths,
    /// A page grows stale before the next is pulled.
    StaleBeforePulled {
        /// Which of `sources`.
        source: usize,
    },
    /// Two sources have equal labels, so that series of the same name and labels meet.
    SameLabels {
        /// The earlier of `sources`, whose series stand.
        first: usize,
        /// The later one.
        second: usize,
    },
}

impl fmt::Display for Warning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NobodyLetIn => {
                f.write_str("auth: no tokens, no users, no controller, and anonymous is false: nobody is let in")
            }
            Self::EverybodyLetIn => f.write_str(
                "auth.anonymous: true: everybody sees everything, so tokens, users and controller \
                 keep nobody out",
            ),
            Self::ForwardedToEverybody { source } => write!(
                f,
                "auth.anonymous: true, and sources[{source}].credential is \"forward\": the page that \
                 one client's credentials opened is shown to everybody"
            ),
            Self::OpensNothing { list, entry } => {
                write!(f, "auth.{list}[{entry}].families: empty: the entry opens nothing")
            }
            Self::ControllerOpensNoSource => f.write_str(
                "auth.controller.sources: none, given or on its cluster: its permit opens the gateway's \
                 families alone",
            ),
            Self::NoPaths => f.write_str("paths: empty: no request is answered"),
            Self::StaleBeforePulled { source } => write!(
                f,
                "sources[{source}].stale_after: shorter than interval: the page comes and goes"
            ),
            Self::SameLabels { first, second } => write!(
                f,
                "sources[{second}].labels: the same as of sources[{first}]: series that both have \
                 are shown of the first only"
            ),
        }
    }
}

impl Config {
    /// What is legal and yet hardly meant, to be logged at start.
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
        let knows_anybody =
            !auth.tokens.is_empty() || !auth.users.is_empty() || auth.controller.is_some();
        let mut warnings = Vec::new();
        match (auth.anonymous, knows_anybody) {
            (false, false) => warnings.push(Warning::NobodyLetIn),
            (true, true) => warnings.push(Warning::EverybodyLetIn),
            _ => {}
        }
        let forwards = |source: &Source| matches!(source.credential, Credential::Forward);
        if let Some(source) = self.sources.iter().position(forwards).filter(|_| auth.anonymous) {
            warnings.push(Warning::ForwardedToEverybody { source });
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
