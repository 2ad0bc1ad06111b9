//! A stand-in for the automation controller that answers as the captured one does (`fixtures/captures`).
//!
//! It reproduces all that a client can tell apart: authenticators and their order, roles, statuses, sentences, headers,
//! redirects, and the faults of the real one. Its numbers change: sessions follow logins, job counts follow launches. A
//! test controls it by its handle, inside or outside an async runtime: it runs on its own thread.

mod auth;
mod call;
mod clock;
mod journal;
mod latency;
mod login;
mod mode;
mod negotiate;
mod page;
mod reply;
mod route;
mod secrets;
mod server;
mod state;
mod tls;
mod view;

#[cfg(test)]
mod tests;

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::Semaphore;

pub use journal::Received;
pub use latency::Latency;
pub use mode::Mode;
pub use page::ILLEGAL_LINES;
pub use state::JobStatus;

use journal::Journal;
use server::Server;
use state::{LaunchType, Scope, State, Template};

/// The configuration of a stand-in. By default it answers at once, in cleartext, on a free port of 127.0.0.1.
#[derive(Clone, Debug)]
pub struct ControllerConfig {
    /// The address to listen on; port 0 takes a free one.
    pub listen: SocketAddr,
    /// Use TLS, with a certificate for 127.0.0.1, localhost and controller.example.
    pub tls: bool,
    /// Keep connections open after a reply. The captured controller closes them; a proxy in front of it would not.
    pub keep_alive: bool,
    /// The time that replies take.
    pub latency: Latency,
    /// Jobs start and end by themselves; otherwise only [`Controller::set_job`] changes them.
    pub pace: Option<Pace>,
    /// Its name in `X-API-Node`.
    pub node: String,
    /// The controller's setting of this name.
    pub allow_metrics_for_anonymous_users: bool,
    /// The controller's setting of this name.
    pub auth_basic_enabled: bool,
}

/// The speed at which jobs start and end by themselves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pace {
    /// The time from the launch to the start.
    pub pending: Duration,
    /// The time from the start to the end.
    pub running: Duration,
}

impl Default for ControllerConfig {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from((Ipv4Addr::LOCALHOST, 0)),
            tls: false,
            keep_alive: false,
            latency: Latency::none(),
            pace: None,
            node: "awx-1".to_owned(),
            allow_metrics_for_anonymous_users: false,
            auth_basic_enabled: true,
        }
    }
}

impl ControllerConfig {
    /// As slow as the real one, with jobs that start and end: for a demonstration.
    #[must_use]
    pub fn lifelike() -> Self {
        let pace = Pace { pending: Duration::from_secs(2), running: Duration::from_secs(30) };
        Self { latency: Latency::measured(), pace: Some(pace), ..Self::default() }
    }
}

/// A running stand-in. Dropping it stops it.
#[derive(Debug)]
pub struct Controller {
    shared: Arc<Shared>,
    server: Server,
    certificate: Option<String>,
}

/// State that the handle and the server share.
#[derive(Debug)]
struct Shared {
    config: ControllerConfig,
    state: Mutex<State>,
    mode: Mutex<Mode>,
    journal: Mutex<Journal>,
    workers: Semaphore,
}

impl Shared {
    fn mode(&self) -> Mode {
        locked(&self.mode).clone()
    }
}

/// Locks a mutex. A test that failed while it held the lock leaves no half-done change.
fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Controller {
    /// Starts a stand-in.
    ///
    /// # Panics
    /// If [`Controller::try_start`] fails.
    #[must_use]
    pub fn start(config: ControllerConfig) -> Self {
        Self::try_start(config).expect("the stand-in controller starts")
    }

    /// Starts a stand-in. It listens when this returns.
    ///
    /// # Errors
    /// If it cannot listen on the address.
    pub fn try_start(config: ControllerConfig) -> io::Result<Self> {
        let mut state = State::new();
        state.allow_metrics_for_anonymous_users = config.allow_metrics_for_anonymous_users;
        state.auth_basic_enabled = config.auth_basic_enabled;
        let identity = config.tls.then(tls::Identity::generate);
        let certificate = identity.as_ref().map(|identity| identity.certificate.clone());
        let shared = Arc::new(Shared {
            state: Mutex::new(state),
            mode: Mutex::new(Mode::Normal),
            journal: Mutex::new(Journal::default()),
            workers: Semaphore::new(config.latency.workers),
            config,
        });
        let acceptor = identity.map(|identity| identity.acceptor);
        let server = Server::start(Arc::clone(&shared), acceptor)?;
        Ok(Self { shared, server, certificate })
    }

    /// The address that it listens on. It never changes, not even in [`Mode::Gone`].
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.server.address
    }

    /// Its certificate, PEM, for a client to trust.
    #[must_use]
    pub fn certificate(&self) -> Option<&str> {
        self.certificate.as_deref()
    }

    /// Changes its behaviour from the next request on. It completes requests that it has begun, except that
    /// [`Mode::Gone`] drops every connection.
    pub fn set_mode(&self, mode: Mode) {
        *locked(&self.shared.mode) = mode.clone();
        self.server.obey(&mode);
    }

    /// Ends [`Mode::Gone`]: it listens on the same port again, and answers as in [`Mode::Normal`].
    pub fn come_back(&self) {
        self.set_mode(Mode::Normal);
    }

    /// Stops it, and waits until it has stopped.
    pub fn stop(self) {
        drop(self);
    }

    /// The number of requests for metrics pages, whatever the answer. They do not include
    /// [`Controller::permission_checks`], which cost no page.
    #[must_use]
    pub fn page_requests(&self) -> u64 {
        locked(&self.shared.journal).pages()
    }

    /// The number of requests for the metrics page with both `dbonly=1` and `subsystemonly=1`.
    #[must_use]
    pub fn permission_checks(&self) -> u64 {
        locked(&self.shared.journal).checks()
    }

    /// The number of requests for this path, with any query.
    #[must_use]
    pub fn requests_for(&self, path: &str) -> u64 {
        locked(&self.shared.journal).count(path)
    }

    /// The number of all requests.
    #[must_use]
    pub fn request_count(&self) -> u64 {
        locked(&self.shared.journal).total()
    }

    /// The latest requests, oldest first.
    #[must_use]
    pub fn requests(&self) -> Vec<Received> {
        locked(&self.shared.journal).received()
    }

    /// Sets ALLOW_METRICS_FOR_ANONYMOUS_USERS.
    pub fn allow_metrics_for_anonymous_users(&self, allow: bool) {
        locked(&self.shared.state).allow_metrics_for_anonymous_users = allow;
    }

    /// Sets AUTH_BASIC_ENABLED.
    pub fn enable_basic_auth(&self, enable: bool) {
        locked(&self.shared.state).auth_basic_enabled = enable;
    }

    /// Delays the answer to bearer tokens with this prefix, known or not.
    pub fn slow_down_bearers(&self, start: &str, delay: Duration) {
        locked(&self.shared.state).slow_bearers = Some((start.to_owned(), delay));
    }

    /// Opens a session as a login does, and returns its cookie; `None` if there is no such user.
    #[must_use]
    pub fn log_in(&self, name: &str) -> Option<String> {
        let mut state = locked(&self.shared.state);
        let user = state.users.iter().find(|user| user.name == name)?.id;
        Some(state.log_in(user))
    }

    /// Ends a session; `false` if there is none.
    pub fn log_out(&self, session: &str) -> bool {
        locked(&self.shared.state).log_out(session)
    }

    /// Adds a token of admin with this secret and the scope `read`.
    pub fn grant(&self, secret: &str) {
        locked(&self.shared.state).tokens.add(1, secret, Scope::Read);
    }

    /// Revokes the token with this secret; `false` if there is none.
    pub fn revoke(&self, secret: &str) -> bool {
        let tokens = &mut locked(&self.shared.state).tokens;
        let found = tokens.with_secret(secret).map(|token| token.id);
        found.map(|id| tokens.revoke(id)).is_some()
    }

    /// The number of open sessions, as in `awx_sessions_total{type="user"}`.
    #[must_use]
    pub fn sessions(&self) -> usize {
        locked(&self.shared.state).sessions()
    }

    /// Launches the first job template as admin, and returns the id of the job.
    #[must_use]
    pub fn launch(&self) -> u32 {
        let template = Template { index: 0 };
        let mut state = locked(&self.shared.state);
        state.jobs.launch(template, LaunchType::Manual, (1, "admin")).id
    }

    /// Sets the status of a job; `false` if it has ended or does not exist.
    pub fn set_job(&self, job: u32, status: JobStatus) -> bool {
        locked(&self.shared.state).jobs.set(job, status)
    }

    /// The status of a job.
    #[must_use]
    pub fn job(&self, job: u32) -> Option<JobStatus> {
        locked(&self.shared.state).jobs.job(job).map(|job| job.status)
    }
}
