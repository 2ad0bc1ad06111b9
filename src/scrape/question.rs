//! A question to the controller: who asks, what about, and how it is sent.

use super::{Request, StreamId};
use crate::auth::{Controller, Forwarded, Tag};
use crate::config::Config;
use crate::host::{ASKING, Call, CallId, Host, Time};
use std::rc::Rc;

/// A scrape whose client is to be asked about.
pub(super) struct Asker {
    pub(super) stream: StreamId,
    pub(super) request: Request,
    pub(super) shown: Rc<Forwarded>,
    /// Of what it shows.
    pub(super) tag: Tag,
    /// Of where it comes from.
    pub(super) client: Tag,
}

/// What the controller is asked for with a client's credentials.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Wanted {
    /// Its verdict alone.
    Verdict,
    /// The page of the source at this place, which is a verdict too.
    Page(usize),
}

/// One question.
pub(super) struct Question {
    pub(super) wanted: Wanted,
    pub(super) tag: Tag,
    /// Who asked first.
    pub(super) client: Tag,
    /// When it was sent. What changes at the controller afterwards, the answer may not know.
    pub(super) sent: Option<(CallId, Time)>,
    pub(super) askers: Vec<Asker>,
    pub(super) shown: Rc<Forwarded>,
    /// Whether they were permitted before.
    pub(super) known: bool,
}

/// Asks for a page, of the controller or of a source of it, with a client's credentials.
pub(super) fn send(
    host: &dyn Host,
    config: &Config,
    wanted: Wanted,
    shown: &Forwarded,
) -> Option<CallId> {
    let Controller { cluster, authority, path, timeout, .. } = config.auth.controller.as_ref()?;
    let (path, timeout) = match wanted {
        Wanted::Verdict => (path, *timeout),
        Wanted::Page(source) => config.sources.get(source).map(|it| (&it.path, it.timeout))?,
    };
    let cookie = shown.session.as_ref().map(|it| format!("awx_sessionid={}", it.expose()));
    let mut headers = ASKING.to_vec();
    headers.extend(shown.authorization.as_ref().map(|it| ("authorization", it.expose())));
    headers.extend(cookie.as_deref().map(|cookie| ("cookie", cookie)));
    host.call(&Call { cluster, authority, path, headers: &headers, timeout }).ok()
}
