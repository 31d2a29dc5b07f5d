//! Children by the various kinds of fork, each with an end that is waited for, but not for ever.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::{Duration, Instant};

use super::PATIENCE;

/// A child process that runs a closure. It is killed when this is dropped.
pub struct Forked {
    pid: i32,
    waited: bool,
}

impl Forked {
    /// By `fork`, with the handlers that are registered for it.
    pub fn spawn(run: impl FnOnce()) -> Self {
        // SAFETY: the C library makes its own locks usable in the child, and the closure keeps to what the test gives it.
        Self::start(unsafe { libc::fork() }, run)
    }

    /// By a bare system call: no handler runs, and the C library does not know.
    pub fn bare(run: impl FnOnce()) -> Self {
        // SAFETY: `clone` without flags copies the process as `fork` does.
        Self::start(unsafe { libc::syscall(libc::SYS_clone, libc::SIGCHLD, 0, 0, 0, 0) } as i32, run)
    }

    /// By `_Fork` of the C library, where it has that: no handler runs.
    pub fn without_handlers(run: impl FnOnce()) -> Self {
        // SAFETY: the pointer is to a string that ends with a zero; a function of this name takes nothing and gives a number.
        let fork = unsafe { libc::dlsym(libc::RTLD_DEFAULT, c"_Fork".as_ptr()) };
        if fork.is_null() {
            return Self::bare(run);
        }
        // SAFETY: as above.
        let fork: unsafe extern "C" fn() -> i32 = unsafe { std::mem::transmute(fork) };
        // SAFETY: it copies the process as `fork` does.
        Self::start(unsafe { fork() }, run)
    }

    fn start(pid: i32, run: impl FnOnce()) -> Self {
        assert!(pid >= 0, "{}", std::io::Error::last_os_error());
        if pid == 0 {
            let done = catch_unwind(AssertUnwindSafe(run)).is_ok();
            // SAFETY: ends the process at once, without what `exit` would run in it.
            unsafe { libc::_exit(i32::from(!done)) };
        }
        Self { pid, waited: false }
    }

    pub fn pid(&self) -> i32 {
        self.pid
    }

    pub fn kill(mut self) {
        // SAFETY: the child has not been waited for, so its number is still its own.
        unsafe { libc::kill(self.pid, libc::SIGKILL) };
        self.wait();
    }

    /// Waits for its end, which must be a good one.
    pub fn success(mut self) {
        let status = self.wait();
        assert!(libc::WIFEXITED(status) && libc::WEXITSTATUS(status) == 0, "a forked child failed: status {status:#x}");
    }

    /// Waits for its end and gives the status of `waitpid`.
    pub fn wait(&mut self) -> i32 {
        let start = Instant::now();
        let mut status = 0;
        loop {
            // SAFETY: the pointer is to an integer that lives across the call.
            let done = unsafe { libc::waitpid(self.pid, &mut status, libc::WNOHANG) };
            if done == self.pid {
                self.waited = true;
                return status;
            }
            assert_eq!(done, 0, "{}", std::io::Error::last_os_error());
            assert!(start.elapsed() < PATIENCE, "a forked child hangs");
            std::thread::sleep(Duration::from_millis(1));
        }
    }

    /// Lets it be: another process will wait for it.
    pub fn forget(mut self) {
        self.waited = true;
    }
}

impl Drop for Forked {
    fn drop(&mut self) {
        if !self.waited {
            let mut status = 0;
            // SAFETY: the child has not been waited for; the pointer is to an integer that lives across the call.
            unsafe {
                libc::kill(self.pid, libc::SIGKILL);
                libc::waitpid(self.pid, &mut status, 0);
            }
        }
    }
}
