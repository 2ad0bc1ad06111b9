//! The state of the stand-in: users, tokens, sessions, jobs, settings.

mod jobs;
mod users;

use std::collections::BTreeMap;
use std::time::{Duration, SystemTime};

use super::secrets;
pub use jobs::JobStatus;
pub(super) use jobs::{Job, Jobs, LaunchType, Template};
pub(super) use users::{Scope, Token, Tokens, User, users};

/// The lifetime of a session without requests.
pub(super) const SESSION_LIFE: Duration = Duration::from_secs(1800);

/// All state that changes while the stand-in runs.
#[derive(Debug)]
pub(super) struct State {
    pub(super) users: Vec<User>,
    pub(super) tokens: Tokens,
    pub(super) jobs: Jobs,
    sessions: BTreeMap<String, Session>,
    pub(super) allow_metrics_for_anonymous_users: bool,
    pub(super) auth_basic_enabled: bool,
    /// The extra time for bearer tokens with this prefix.
    pub(super) slow_bearers: Option<(String, Duration)>,
}

#[derive(Debug)]
struct Session {
    user: u32,
    expires: SystemTime,
}

impl State {
    pub(super) fn new() -> Self {
        Self {
            users: users(),
            tokens: Tokens::captured(),
            jobs: Jobs::captured(),
            sessions: BTreeMap::new(),
            allow_metrics_for_anonymous_users: false,
            auth_basic_enabled: true,
            slow_bearers: None,
        }
    }

    pub(super) fn user(&self, id: u32) -> Option<&User> {
        self.users.iter().find(|user| user.id == id)
    }

    /// The active user with this name and password.
    pub(super) fn user_with_password(&self, name: &str, password: &str) -> Option<&User> {
        let mut users = self.users.iter().filter(|user| user.active);
        users.find(|user| user.name == name && user.password == password)
    }

    /// Opens a session.
    pub(super) fn log_in(&mut self, user: u32) -> String {
        let session = secrets::alphanumeric(32).to_lowercase();
        self.open_session(&session, user);
        session
    }

    pub(super) fn open_session(&mut self, session: &str, user: u32) {
        let now = SystemTime::now();
        let expires = now + SESSION_LIFE;
        self.sessions.insert(session.to_owned(), Session { user, expires });
        if let Some(user) = self.users.iter_mut().find(|have| have.id == user) {
            user.last_login = Some(now);
        }
    }

    /// Ends a session; `false` if there is none.
    pub(super) fn log_out(&mut self, session: &str) -> bool {
        self.sessions.remove(session).is_some()
    }

    /// The user of a session, whose lifetime begins again.
    pub(super) fn session(&mut self, session: &str) -> Option<u32> {
        let now = SystemTime::now();
        self.sessions.retain(|_, session| session.expires > now);
        let session = self.sessions.get_mut(session)?;
        session.expires = now + SESSION_LIFE;
        Some(session.user)
    }

    /// The number of open sessions.
    pub(super) fn sessions(&self) -> usize {
        let now = SystemTime::now();
        self.sessions.values().filter(|session| session.expires > now).count()
    }

    /// The differences of the series of the metrics page from the captured ones.
    pub(super) fn changes(&self) -> BTreeMap<String, i64> {
        let mut changes = self.jobs.changes();
        let sessions = i64::try_from(self.sessions()).unwrap_or(i64::MAX);
        for kind in ["all", "user"] {
            changes.insert(format!("awx_sessions_total{{type=\"{kind}\"}}"), sessions);
        }
        changes
    }
}
