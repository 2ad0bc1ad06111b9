//! A program that a test runs. Its output goes to a file, and dropping the value kills it.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

/// The time between two checks of a condition.
const GLANCE: Duration = Duration::from_millis(10);

/// A running program. Dropping it kills the program.
#[derive(Debug)]
pub struct Process {
    child: Child,
    log: PathBuf,
}

impl Process {
    /// Starts a program without input. Its output goes to the file `log`.
    ///
    /// # Errors
    /// If the program cannot be started, or the file cannot be created.
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

    /// The file with its output.
    #[must_use]
    pub fn log_file(&self) -> &Path {
        &self.log
    }

    /// Its output so far.
    #[must_use]
    pub fn log(&self) -> String {
        fs::read(&self.log)
            .map(|log| String::from_utf8_lossy(&log).into_owned())
            .unwrap_or_default()
    }

    /// Its exit status, if it has ended.
    pub fn ended(&mut self) -> Option<ExitStatus> {
        self.child.try_wait().ok().flatten()
    }

    /// Waits until it ends by itself. Returns its exit status.
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
        // Both fail if the program has already ended, which does no harm.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Calls `look` until it returns a value or the time limit is reached.
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
