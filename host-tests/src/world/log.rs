//! The proxy's log, kept in memory; a test can wait for a line.

use std::sync::Mutex;
use std::time::Duration;

use tokio::sync::Notify;

use super::locked;

/// The level of a line. The numbers are the ABI's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u32)]
pub enum Level {
    /// 0
    Trace,
    /// 1
    Debug,
    /// 2
    Info,
    /// 3
    Warn,
    /// 4
    Error,
    /// 5
    Critical,
}

impl Level {
    /// The level of the ABI's number.
    #[must_use]
    pub fn from_number(number: u32) -> Option<Self> {
        use Level::{Critical, Debug, Error, Info, Trace, Warn};
        [Trace, Debug, Info, Warn, Error, Critical].get(usize::try_from(number).ok()?).copied()
    }
}

/// One line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogLine {
    /// The level.
    pub level: Level,
    /// The VM; `host` is the host itself.
    pub vm: String,
    /// The line. Bytes that are not UTF-8 are replaced.
    pub message: String,
}

/// All lines of at least a certain level.
#[derive(Debug)]
pub struct Log {
    level: Level,
    lines: Mutex<Vec<LogLine>>,
    written: Notify,
}

impl Log {
    pub(crate) fn new(level: Level) -> Self {
        Self { level, lines: Mutex::default(), written: Notify::new() }
    }

    /// The lowest level that is kept.
    #[must_use]
    pub fn level(&self) -> Level {
        self.level
    }

    /// All lines so far.
    #[must_use]
    pub fn lines(&self) -> Vec<LogLine> {
        locked(&self.lines).clone()
    }

    /// The first matching line.
    #[must_use]
    pub fn find(&self, fits: impl Fn(&LogLine) -> bool) -> Option<LogLine> {
        locked(&self.lines).iter().find(|line| fits(line)).cloned()
    }

    /// Waits for a matching line, including earlier ones; `None` if none comes within `patience`.
    pub async fn wait_for(
        &self,
        patience: Duration,
        fits: impl Fn(&LogLine) -> bool,
    ) -> Option<LogLine> {
        tokio::time::timeout(patience, async {
            loop {
                let written = self.written.notified();
                tokio::pin!(written);
                // Listening begins before the search, so that no line is missed.
                written.as_mut().enable();
                if let Some(line) = self.find(&fits) {
                    return line;
                }
                written.await;
            }
        })
        .await
        .ok()
    }

    pub(crate) fn write(&self, level: Level, vm: &str, message: &[u8]) {
        if level < self.level {
            return;
        }
        let message = String::from_utf8_lossy(message).into_owned();
        locked(&self.lines).push(LogLine { level, vm: vm.to_owned(), message });
        self.written.notify_waiters();
    }

    pub(crate) fn host(&self, level: Level, message: &str) {
        self.write(level, "host", message.as_bytes());
    }
}
