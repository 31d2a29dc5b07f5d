//! Worker processes: the test binary runs itself again, with the name of what to do in its environment.
//!
//! Each test file that uses them has a test `worker_entry`, which calls [`serve`]: in the usual run it has nothing to do
//! but to check that workers of unknown names are refused; in a worker it does the work and ends the process.

use std::os::unix::process::ExitStatusExt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use super::PATIENCE;

const ROLE: &str = "SHMEMO_WORKER";
const ARGS: &str = "SHMEMO_WORKER_ARGS";
const SEPARATOR: &str = "\u{1f}";
const FAILED: i32 = 99;

/// What a worker is given by those who start it.
pub struct Args(Vec<String>);

impl Args {
    pub fn text(&self, index: usize) -> &str {
        &self.0[index]
    }

    pub fn number(&self, index: usize) -> u64 {
        self.0[index].parse().expect("a number")
    }
}

pub type Role = (&'static str, fn(&Args));

/// Does the work of a worker, if this process is one.
pub fn serve(roles: &[Role]) {
    let Ok(name) = std::env::var(ROLE) else {
        let status = Worker::spawn("no such role", &[]).wait();
        assert_eq!(status.code(), Some(FAILED), "a worker that fails is noticed");
        return;
    };
    // A worker never outlives the test.
    // SAFETY: the call takes plain numbers.
    unsafe { libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL) };
    let args = std::env::var(ARGS).unwrap_or_default();
    let args = Args(args.split(SEPARATOR).map(str::to_owned).collect());
    let Some(role) = roles.iter().find(|role| role.0 == name) else { std::process::exit(FAILED) };
    let done = catch_unwind(AssertUnwindSafe(|| role.1(&args)));
    std::process::exit(if done.is_ok() { 0 } else { FAILED });
}

/// A worker. It is killed when this is dropped.
pub struct Worker {
    child: Child,
    role: String,
}

impl Worker {
    /// The command that runs this binary as a worker.
    pub fn command(role: &str, args: &[&str]) -> Command {
        let mut command = Command::new(std::env::current_exe().expect("the path of this binary"));
        command.args(["--exact", "worker_entry", "--nocapture", "--test-threads=1"]);
        command.env(ROLE, role).env(ARGS, args.join(SEPARATOR));
        command.stdin(Stdio::null()).stdout(Stdio::null());
        command
    }

    pub fn spawn(role: &str, args: &[&str]) -> Self {
        Self::spawn_command(role, &mut Self::command(role, args))
    }

    pub fn spawn_command(role: &str, command: &mut Command) -> Self {
        Self { child: command.spawn().expect("a worker"), role: role.to_owned() }
    }

    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    pub fn signal(&self, signal: i32) {
        // SAFETY: the child has not been waited for, so its number is still its own.
        assert_eq!(unsafe { libc::kill(self.child.id() as i32, signal) }, 0);
    }

    pub fn stop(&self) {
        self.signal(libc::SIGSTOP);
    }

    pub fn go_on(&self) {
        self.signal(libc::SIGCONT);
    }

    /// Kills it outright and waits for its end. It must not have failed before.
    pub fn kill(mut self) {
        self.signal(libc::SIGKILL);
        let status = self.child.wait().expect("the end of a worker");
        assert!(status.signal() == Some(libc::SIGKILL) || status.success(), "worker {}: {status}", self.role);
    }

    /// Waits for its end; a worker that takes too long fails the test.
    pub fn wait(mut self) -> ExitStatus {
        let start = Instant::now();
        loop {
            if let Some(status) = self.child.try_wait().expect("the state of a worker") {
                return status;
            }
            assert!(start.elapsed() < PATIENCE, "worker {} hangs: {}", self.role, whereabouts(self.child.id()));
            std::thread::sleep(Duration::from_millis(2));
        }
    }

    /// Waits for its end, which must be a good one.
    pub fn success(self) {
        let role = self.role.clone();
        let status = self.wait();
        assert!(status.success(), "worker {role}: {status}");
    }

    /// Whether it still runs, however it ended if it does not.
    pub fn is_running_whatever_comes(&mut self) -> bool {
        self.child.try_wait().expect("the state of a worker").is_none()
    }

    /// Whether it still runs. One that failed fails the test.
    pub fn is_running(&mut self) -> bool {
        match self.child.try_wait().expect("the state of a worker") {
            None => true,
            Some(status) => {
                assert!(status.success(), "worker {}: {status}", self.role);
                false
            }
        }
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// What the kernel says about a process that hangs.
fn whereabouts(pid: u32) -> String {
    let read = |name: &str| std::fs::read_to_string(format!("/proc/{pid}/{name}")).unwrap_or_default();
    let state = read("status").lines().find(|line| line.starts_with("State")).unwrap_or_default().to_owned();
    format!("pid {pid}, {state}, in {}, system call {}", read("wchan"), read("syscall").trim())
}
