//! The DevTools protocol over Chromium's pipe (`--remote-debugging-pipe`): JSON messages, each ended by a zero byte, on
//! the browser's file descriptors 3 and 4. Unlike a port, it cannot be reached by other programs, and the browser ends
//! when it is closed.

use std::collections::HashMap;
use std::io;
use std::path::Path;
use std::process::Stdio;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::process::{Child, ChildStdin, ChildStdout, Command};
use tokio::sync::{mpsc, oneshot};

use crate::tools;

/// The longest time until the result of a command.
const PATIENCE: Duration = Duration::from_secs(30);

/// The shell's standard streams become the browser's 3 and 4.
const PIPED: &str = r#"exec "$0" "$@" 3<&0 4>&1 0</dev/null 1>&2"#;

/// The reason why a command has no result.
#[derive(Debug, thiserror::Error)]
pub enum BrowserError {
    /// The browser could not be started.
    #[error("not started: {0}")]
    NotStarted(#[from] io::Error),
    /// It has ended, or does not answer.
    #[error("no answer to {method}")]
    NoAnswer {
        /// The command.
        method: String,
    },
    /// It refused the command.
    #[error("{method}: {message}")]
    Refused {
        /// The command.
        method: String,
        /// Its message.
        message: String,
    },
}

/// Starts Chromium. Dropping it ends Chromium.
#[derive(Debug)]
pub(super) struct Pipe {
    child: Child,
    outbox: Option<mpsc::UnboundedSender<Value>>,
    shared: Arc<Shared>,
}

/// State that the handle shares with the tasks that read and write.
#[derive(Debug, Default)]
struct Shared {
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    sent: u64,
    waiting: HashMap<u64, oneshot::Sender<Value>>,
    events: Vec<Value>,
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Pipe {
    /// Starts Chromium with these arguments. Its profile and its output go into `directory`. `react` returns the
    /// messages to send at once after an event.
    pub(super) fn start(
        arguments: &[&str],
        directory: &Path,
        react: impl Fn(&Value) -> Option<(&'static str, Value)> + Send + 'static,
    ) -> io::Result<Self> {
        let mut child = Command::new("sh")
            .args(["-c", PIPED])
            .arg(tools::command("chromium"))
            .args(arguments)
            .arg("--remote-debugging-pipe")
            .arg(format!("--user-data-dir={}", directory.join("profile").display()))
            .env("HOME", directory)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(std::fs::File::create(directory.join("log"))?)
            .kill_on_drop(true)
            .spawn()?;
        let (outbox, inbox) = mpsc::unbounded_channel();
        let shared = Arc::new(Shared::default());
        if let (Some(input), Some(output)) = (child.stdin.take(), child.stdout.take()) {
            tokio::spawn(write(input, inbox));
            tokio::spawn(read(output, Arc::clone(&shared), outbox.downgrade(), react));
        }
        Ok(Self { child, outbox: Some(outbox), shared })
    }

    /// Sends a command, to a session if there is one, and waits for its result.
    pub(super) async fn call(
        &self,
        session: Option<&str>,
        method: &str,
        parameters: Value,
    ) -> Result<Value, BrowserError> {
        let (answered, answer) = oneshot::channel();
        let message = {
            let mut state = self.shared.state();
            let message = numbered(&mut state, session, method, parameters);
            let id = state.sent;
            state.waiting.insert(id, answered);
            message
        };
        let no_answer = || BrowserError::NoAnswer { method: method.to_owned() };
        let outbox = self.outbox.as_ref().ok_or_else(no_answer)?;
        outbox.send(message).map_err(|_| no_answer())?;
        let answer = tokio::time::timeout(PATIENCE, answer).await.ok().and_then(Result::ok);
        let mut answer = answer.ok_or_else(no_answer)?;
        match answer.get("error") {
            None => Ok(answer["result"].take()),
            Some(error) => Err(BrowserError::Refused {
                method: method.to_owned(),
                message: error["message"].as_str().unwrap_or_default().to_owned(),
            }),
        }
    }

    /// The parameters of all events of this name so far.
    pub(super) fn events(&self, method: &str) -> Vec<Value> {
        let state = self.shared.state();
        let named = state.events.iter().filter(|event| event["method"] == method);
        named.map(|event| event["params"].clone()).collect()
    }
}

impl Drop for Pipe {
    /// Closes the pipe, so that the browser ends with all its processes and leaves its profile alone.
    fn drop(&mut self) {
        self.outbox = None;
        for _ in 0..500 {
            if !matches!(self.child.try_wait(), Ok(None)) {
                return;
            }
            std::thread::sleep(Duration::from_millis(10));
        }
    }
}

fn numbered(state: &mut State, session: Option<&str>, method: &str, parameters: Value) -> Value {
    state.sent += 1;
    let mut message = json!({"id": state.sent, "method": method, "params": parameters});
    if let Some(session) = session {
        message["sessionId"] = session.into();
    }
    message
}

async fn write(mut pipe: ChildStdin, mut inbox: mpsc::UnboundedReceiver<Value>) {
    while let Some(message) = inbox.recv().await {
        if pipe.write_all(format!("{message}\0").as_bytes()).await.is_err() {
            return;
        }
    }
}

async fn read(
    pipe: ChildStdout,
    shared: Arc<Shared>,
    outbox: mpsc::WeakUnboundedSender<Value>,
    react: impl Fn(&Value) -> Option<(&'static str, Value)>,
) {
    let mut messages = BufReader::new(pipe).split(0);
    while let Ok(Some(message)) = messages.next_segment().await {
        let message: Value = serde_json::from_slice(&message).unwrap_or_default();
        let mut state = shared.state();
        if let Some(id) = message["id"].as_u64() {
            if let Some(waiting) = state.waiting.remove(&id) {
                // If no caller waits any more, the message is dropped.
                let _ = waiting.send(message);
            }
            continue;
        }
        if let (Some((method, parameters)), Some(outbox)) = (react(&message), outbox.upgrade()) {
            let session = message["sessionId"].as_str();
            let _ = outbox.send(numbered(&mut state, session, method, parameters));
        }
        state.events.push(message);
    }
    // Waiting callers learn at once that no answer comes.
    shared.state().waiting.clear();
}
