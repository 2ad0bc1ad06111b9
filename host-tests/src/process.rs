//! A program that a test runs: its output kept in a file, the program killed when the test lets go of it.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

/// How often a condition is looked at.
const GLANCE: Duration = Duration::from_millis(10);

/// A running program.
#[derive(Debug)]
pub struct Process {
    child: Child,
    log: PathBuf,
}

impl Process {
    /// Starts a program without input; what it prints goes to the file `log`.
    ///
    /// # Errors
    /// Where the program cannot be started, or the file not be made.
    pub fn start(mut command: Command, log: PathBuf) -> io::Result<Self> {
        let output = File::create(&log)?;
        let errors = output.try_clone()?;
        let child = command.stdin(Stdio::null()).stdout(output).stderr(errors).spawn()?;
        Ok(Self { child, log })
    }

    /// The process's id.
    #[must_use]
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// The file with all it printed.
    #[must_use]
    pub fn log_file(&self) -> &Path {
        &self.log
    }

    /// All it printed so far.
    #[must_use]
    pub fn log(&self) -> String {
        fs::read(&self.log)
            .map(|log| String::from_utf8_lossy(&log).into_owned())
            .unwrap_or_default()
    }

    /// How it ended, once it has.
    pub fn ended(&mut self) -> Option<ExitStatus> {
        self.child.try_wait().ok().flatten()
    }

    /// Waits until it ends by itself, and tells how.
    pub async fn end(&mut self) -> ExitStatus {
        loop {
            if let Some(status) = self.ended() {
                return status;
            }
            tokio::time::sleep(GLANCE).await;
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // Both fail where it has ended already, which is as well.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Looks until there is something to see, or the time is over.
pub async fn eventually<T>(limit: Duration, mut look: impl AsyncFnMut() -> Option<T>) -> Option<T> {
    let deadline = Instant::now() + limit;
    loop {
        if let Some(seen) = look().await {
            return Some(seen);
        }
        if Instant::now() > deadline {
            return None;
        }
        tokio::time::sleep(GLANCE).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shell(script: &str, directory: &tempfile::TempDir) -> Process {
        let mut command = Command::new("sh");
        command.args(["-c", script]);
        Process::start(command, directory.path().join("log")).unwrap()
    }

    #[tokio::test]
    async fn the_output_of_a_program_is_kept_from_both_streams() {
        let directory = tempfile::tempdir().unwrap();
        let mut process = shell("echo out; echo err >&2", &directory);
        let status = eventually(Duration::from_secs(10), async || process.ended()).await.unwrap();
        assert!(status.success());
        assert_eq!(process.log(), "out\nerr\n");
    }

    #[tokio::test]
    async fn dropping_a_process_ends_its_program() {
        let directory = tempfile::tempdir().unwrap();
        let process = shell("exec sleep 600", &directory);
        let proc = PathBuf::from(format!("/proc/{}", process.id()));
        assert!(proc.exists());
        drop(process);
        assert!(!proc.exists());
    }

    #[tokio::test]
    async fn waiting_ends_at_the_time_limit() {
        assert_eq!(eventually(Duration::ZERO, async || None::<()>).await, None);
    }
}
