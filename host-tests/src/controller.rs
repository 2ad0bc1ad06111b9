//! A stand-in for the automation controller, answering as the captured one does (`fixtures/captures`).
//!
//! It keeps what a client can tell apart: authenticators and their order, roles, statuses, sentences, headers, redirects,
//! and the real one's faults. Numbers live: sessions follow logins, job counts follow launches. A test steers it by
//! its handle, from inside or outside an async runtime: it runs on a thread of its own.

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

/// How a stand-in starts. The default answers at once, in cleartext, on a free port of 127.0.0.1.
#[derive(Clone, Debug)]
pub struct ControllerConfig {
    /// Where it listens; port 0 takes a free one.
    pub listen: SocketAddr,
    /// With a certificate of its own, for 127.0.0.1, localhost and controller.example.
    pub tls: bool,
    /// Keep connections open after a reply. The captured controller closes them; a proxy before it would not.
    pub keep_alive: bool,
    /// How long it takes.
    pub latency: Latency,
    /// Jobs start and end by themselves; otherwise only [`Controller::set_job`] moves them.
    pub pace: Option<Pace>,
    /// Its name in `X-API-Node`.
    pub node: String,
    /// The controller's setting of this name.
    pub allow_metrics_for_anonymous_users: bool,
    /// The controller's setting of this name.
    pub auth_basic_enabled: bool,
}

/// How fast jobs go by themselves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pace {
    /// From the launch to the start.
    pub pending: Duration,
    /// From the start to the end.
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
    /// As slow as the real one, with jobs that start and end: for people to look at.
    #[must_use]
    pub fn lifelike() -> Self {
        let pace = Pace { pending: Duration::from_secs(2), running: Duration::from_secs(30) };
        Self { latency: Latency::measured(), pace: Some(pace), ..Self::default() }
    }
}

/// A running stand-in. It stops when dropped.
#[derive(Debug)]
pub struct Controller {
    shared: Arc<Shared>,
    server: Server,
    certificate: Option<String>,
}

/// What the handle and the server both see.
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

/// A test that failed while it held the lock leaves nothing half done.
fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Controller {
    /// Starts one.
    ///
    /// # Panics
    /// Where [`Controller::try_start`] fails.
    #[must_use]
    pub fn start(config: ControllerConfig) -> Self {
        Self::try_start(config).expect("the stand-in controller starts")
    }

    /// Starts one, listening when this returns.
    ///
    /// # Errors
    /// Where it cannot listen on the address.
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

    /// Where it listens; the same for as long as it lives, [`Mode::Gone`] included.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.server.address
    }

    /// The certificate it shows, PEM, for a client to trust.
    #[must_use]
    pub fn certificate(&self) -> Option<&str> {
        self.certificate.as_deref()
    }

    /// Changes how it behaves, from the next request on. What it does already, it goes on with, except that
    /// [`Mode::Gone`] drops every connection.
    pub fn set_mode(&self, mode: Mode) {
        *locked(&self.shared.mode) = mode.clone();
        self.server.obey(&mode);
    }

    /// Ends [`Mode::Gone`]: it listens on the same port again, and answers as in [`Mode::Normal`].
    pub fn come_back(&self) {
        self.set_mode(Mode::Normal);
    }

    /// Stops it and waits until it has stopped.
    pub fn stop(self) {
        drop(self);
    }

    /// How many metrics pages it was asked for, whatever it answered. [`Controller::permission_checks`] are not among
    /// them, since they cost no page.
    #[must_use]
    pub fn page_requests(&self) -> u64 {
        locked(&self.shared.journal).pages()
    }

    /// How many requests for the metrics page had both `dbonly=1` and `subsystemonly=1`.
    #[must_use]
    pub fn permission_checks(&self) -> u64 {
        locked(&self.shared.journal).checks()
    }

    /// How many requests came for this path, queries left out.
    #[must_use]
    pub fn requests_for(&self, path: &str) -> u64 {
        locked(&self.shared.journal).count(path)
    }

    /// How many requests came in all.
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

    /// Answers bearer tokens that begin so, known or not, after this time.
    pub fn slow_down_bearers(&self, start: &str, delay: Duration) {
        locked(&self.shared.state).slow_bearers = Some((start.to_owned(), delay));
    }

    /// Opens a session as a login would, and gives its cookie's value; `None` where there is no such user.
    #[must_use]
    pub fn log_in(&self, name: &str) -> Option<String> {
        let mut state = locked(&self.shared.state);
        let user = state.users.iter().find(|user| user.name == name)?.id;
        Some(state.log_in(user))
    }

    /// Ends a session; `false` where there is none.
    pub fn log_out(&self, session: &str) -> bool {
        locked(&self.shared.state).log_out(session)
    }

    /// Makes a token of admin's with this secret, to read with.
    pub fn grant(&self, secret: &str) {
        locked(&self.shared.state).tokens.add(1, secret, Scope::Read);
    }

    /// Revokes a token; `false` where there is none with this secret.
    pub fn revoke(&self, secret: &str) -> bool {
        let tokens = &mut locked(&self.shared.state).tokens;
        let found = tokens.with_secret(secret).map(|token| token.id);
        found.map(|id| tokens.revoke(id)).is_some()
    }

    /// How many sessions are open, as `awx_sessions_total{type="user"}` says.
    #[must_use]
    pub fn sessions(&self) -> usize {
        locked(&self.shared.state).sessions()
    }

    /// Launches the first job template as admin, and gives the job's number.
    #[must_use]
    pub fn launch(&self) -> u32 {
        let template = Template { index: 0 };
        let mut state = locked(&self.shared.state);
        state.jobs.launch(template, LaunchType::Manual, (1, "admin")).id
    }

    /// Moves a job on; `false` where it has ended or never was.
    pub fn set_job(&self, job: u32, status: JobStatus) -> bool {
        locked(&self.shared.state).jobs.set(job, status)
    }

    /// How far a job is.
    #[must_use]
    pub fn job(&self, job: u32) -> Option<JobStatus> {
        locked(&self.shared.state).jobs.job(job).map(|job| job.status)
    }
}
