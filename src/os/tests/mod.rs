//! What the tests of this layer share: a directory that goes when the test ends, and child processes.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

mod open;

/// A directory of its own for each test.
pub(crate) struct Scratch(PathBuf);

impl Scratch {
    /// In shared memory.
    pub(crate) fn new() -> Self {
        Self::under("/dev/shm".into())
    }

    /// Where temporary files lie, which is often a disk.
    pub(crate) fn on_disk() -> Self {
        Self::under(std::env::temp_dir())
    }

    fn under(parent: PathBuf) -> Self {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let directory = parent.join(format!("shmemo-os-{}-{number}", std::process::id()));
        std::fs::create_dir(&directory).unwrap();
        Self(directory)
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }

    /// The names of what lies in it, in order.
    pub(crate) fn names(&self) -> Vec<String> {
        let mut names: Vec<String> =
            std::fs::read_dir(&self.0).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// A child process. It is killed when this is dropped.
pub(crate) struct Child {
    pid: i32,
    waited: bool,
}

/// Runs the closure in a forked child; the child succeeds if it gives true. The child's other threads are gone, so it must
/// not need what they may have held.
pub(crate) fn in_child(run: impl FnOnce() -> bool) -> Child {
    // SAFETY: the C library makes its own locks usable in the child, and the closure keeps to what this thread owns.
    let pid = unsafe { libc::fork() };
    start(pid, run)
}

/// The same by a bare system call: no fork handler runs, and the C library does not know. The closure must not allocate.
pub(crate) fn bare_fork(run: impl FnOnce() -> bool) -> Child {
    // SAFETY: `clone` without flags copies the process as `fork` does; the closure only reads memory.
    let pid = unsafe { libc::syscall(libc::SYS_clone, libc::SIGCHLD, 0, 0, 0, 0) } as i32;
    start(pid, run)
}

fn start(pid: i32, run: impl FnOnce() -> bool) -> Child {
    assert!(pid >= 0, "{}", std::io::Error::last_os_error());
    if pid == 0 {
        let done = catch_unwind(AssertUnwindSafe(run)).unwrap_or(false);
        // SAFETY: ends the process at once, without what `exit` would run in it.
        unsafe { libc::_exit(i32::from(!done)) };
    }
    Child { pid, waited: false }
}

impl Child {
    pub(crate) fn signal(&self, signal: i32) {
        // SAFETY: the child has not been waited for, so its number is still its own.
        unsafe { libc::kill(self.pid, signal) };
    }

    pub(crate) fn kill(mut self) {
        self.signal(libc::SIGKILL);
        self.wait();
    }

    pub(crate) fn success(mut self) -> bool {
        self.wait() == 0
    }

    pub(crate) fn expect_success(self) {
        assert!(self.success(), "the child failed");
    }

    /// The status of its end. One that takes more than 30 s hangs, and is killed.
    fn wait(&mut self) -> i32 {
        let (start, mut status) = (Instant::now(), 0);
        loop {
            // SAFETY: the pointer is to an integer that lives across the call.
            let ended = unsafe { libc::waitpid(self.pid, &mut status, libc::WNOHANG) };
            if ended == self.pid {
                self.waited = true;
                return status;
            }
            assert!(ended == 0 || std::io::Error::last_os_error().kind() == std::io::ErrorKind::Interrupted);
            if start.elapsed() > Duration::from_secs(30) {
                self.signal(libc::SIGKILL);
            }
            std::thread::sleep(Duration::from_micros(200));
        }
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        if !self.waited {
            self.signal(libc::SIGKILL);
            self.wait();
        }
    }
}

/// Waits until the condition holds, ten seconds at most.
pub(crate) fn wait_until(what: &str, mut condition: impl FnMut() -> bool) {
    let start = Instant::now();
    while !condition() {
        assert!(start.elapsed() < Duration::from_secs(10), "waited too long for {what}");
        std::thread::sleep(Duration::from_millis(2));
    }
}
