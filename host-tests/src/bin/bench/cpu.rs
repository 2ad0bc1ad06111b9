//! CPU time from the kernel's own accounting (`/proc/PID/task/TID/schedstat`, in nanoseconds), user and system
//! together.
//!
//! `/proc/PID/stat` would count only in hundredths of a second.

use std::fs;
use std::io;
use std::path::Path;
use std::time::Duration;

/// The CPU time of all threads of a process so far, without those that ended. Envoy's threads last as long as Envoy.
pub(crate) fn of_process(id: u32) -> io::Result<Duration> {
    let tasks = fs::read_dir(format!("/proc/{id}/task"))?;
    tasks.map(|task| read(&task?.path().join("schedstat"))).sum()
}

/// The CPU time of this thread so far.
pub(crate) fn of_this_thread() -> io::Result<Duration> {
    // The kernel updates a running thread's account when the thread yields, otherwise only every few milliseconds.
    std::thread::yield_now();
    read(Path::new("/proc/thread-self/schedstat"))
}

fn read(file: &Path) -> io::Result<Duration> {
    let line = fs::read_to_string(file)?;
    let first = line.split_ascii_whitespace().next();
    let nanoseconds = first.and_then(|number| number.parse().ok());
    nanoseconds.map(Duration::from_nanos).ok_or_else(|| io::ErrorKind::InvalidData.into())
}

#[cfg(test)]
mod tests {
    use std::process::Command;
    use std::time::Instant;

    use host_tests::process::{self, Process};

    use super::*;

    #[test]
    fn cpu_time_is_counted_for_its_thread() {
        let before = of_this_thread().unwrap();
        let started = Instant::now();
        let mut sum = 0_u64;
        while started.elapsed() < Duration::from_millis(20) {
            sum = (0..10_000).fold(sum, |sum, next| std::hint::black_box(sum ^ next));
        }
        let used = of_this_thread().unwrap() - before;
        assert!(used > Duration::ZERO && used <= started.elapsed(), "{used:?}");
    }

    #[tokio::test]
    async fn cpu_time_is_counted_for_its_process() {
        let directory = tempfile::tempdir().unwrap();
        let mut command = Command::new("sh");
        command.args(["-c", "while :; do :; done"]);
        let process = Process::start(command, directory.path().join("log")).unwrap();
        let busy = process::eventually(Duration::from_secs(30), async || {
            (of_process(process.id()).unwrap() > Duration::from_millis(20)).then_some(())
        });
        busy.await.expect("it does nothing else");
    }
}
