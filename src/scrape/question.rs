//! A question to the controller: which credentials it is about, which scrapes wait for the answer, and how it is sent.

use super::StreamId;
use crate::auth::{Controller, Forwarded, Scheme, Tag};
use crate::config::Config;
use crate::host::{ASKING, Call, CallId, Host, Time};
use std::rc::Rc;

/// A scrape that waits for the controller's verdict on its credentials.
pub(super) struct Waiter {
    pub(super) stream: StreamId,
    pub(super) scheme: Scheme,
    pub(super) forwarded: Rc<Forwarded>,
    /// The tag of the credentials.
    pub(super) tag: Tag,
    /// The tag of the client's address.
    pub(super) client: Tag,
}

/// What the controller is asked for with a client's credentials.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Wanted {
    /// Its verdict alone.
    Verdict,
    /// The page of the source at this place of the configuration, which is a verdict too.
    Page(usize),
}

/// One question.
pub(super) struct Question {
    pub(super) wanted: Wanted,
    pub(super) tag: Tag,
    pub(super) client: Tag,
    pub(super) forwarded: Rc<Forwarded>,
    /// Whether the controller permitted the credentials before. If not, the question is charged to its client.
    pub(super) known: bool,
    /// The call, and when it was sent: the answer may not know of what changes at the controller afterwards.
    pub(super) sent: Option<(CallId, Time)>,
    pub(super) waiters: Vec<Waiter>,
}

impl Question {
    /// The question of the first scrape that waits for it.
    pub(super) fn new(waiter: Waiter, wanted: Wanted, known: bool) -> Self {
        let (tag, client, forwarded) = (waiter.tag, waiter.client, Rc::clone(&waiter.forwarded));
        Self { wanted, tag, client, forwarded, known, sent: None, waiters: vec![waiter] }
    }

    /// Whether a scrape with these credentials can wait for it. A page is one for all who are permitted.
    pub(super) fn answers(&self, wanted: Wanted, tag: &Tag) -> bool {
        self.wanted == wanted && (wanted != Wanted::Verdict || self.tag == *tag)
    }
}

/// Asks for a page, of the controller or of a source of it, with a client's credentials.
pub(super) fn send(
    host: &dyn Host,
    config: &Config,
    wanted: Wanted,
    forwarded: &Forwarded,
) -> Option<CallId> {
    let Controller { cluster, authority, path, timeout, .. } = config.auth.controller.as_ref()?;
    let (path, timeout) = match wanted {
        Wanted::Verdict => (path, *timeout),
        Wanted::Page(source) => config.sources.get(source).map(|it| (&it.path, it.timeout))?,
    };
    let cookie = forwarded.session.as_ref().map(|it| format!("awx_sessionid={}", it.expose()));
    let mut headers = ASKING.to_vec();
    headers.extend(forwarded.authorization.as_ref().map(|it| ("authorization", it.expose())));
    headers.extend(cookie.as_deref().map(|cookie| ("cookie", cookie)));
    host.call(&Call { cluster, authority, path, headers: &headers, timeout }).ok()
}
