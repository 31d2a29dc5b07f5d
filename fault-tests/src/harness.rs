//! Runs a scenario in a child that dies or stops at a chosen step.

use std::path::Path;
use std::sync::{Mutex, MutexGuard, PoisonError};

use shmemo::Cache;
use shmemo::fault::{Action, arm, arm_in, disarm, sites, steps_taken};

use crate::common::forked::Forked;
use crate::common::wait_until;
use crate::fixture::{Fixture, NEW, OLD, TARGET};
use crate::scenario::{Scenario, Then};

/// How it went with a child.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// It died at the step.
    Died,
    /// It was done before it came to that step.
    Done,
}

/// Fault points are one for the process, so that tests take turns: none forks while another counts.
pub fn alone() -> MutexGuard<'static, ()> {
    static TURN: Mutex<()> = Mutex::new(());
    TURN.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Takes a line in the registry, and changes nothing else.
pub fn attach(cache: &Cache) {
    assert!(!cache.touch("nobody has this key", None));
}

fn run_armed(step: u64, action: Action, act: impl FnOnce()) {
    arm(step, action);
    act();
    disarm();
}

/// Lets a child come to a step and die there.
pub fn die_at(step: u64, prepare: impl FnOnce(), act: impl FnOnce()) -> End {
    let mut child = Forked::spawn(|| {
        prepare();
        run_armed(step, Action::Kill, act);
    });
    let status = child.wait();
    if libc::WIFSIGNALED(status) {
        assert_eq!(libc::WTERMSIG(status), libc::SIGKILL, "a child died of something else");
        return End::Died;
    }
    assert_eq!(libc::WEXITSTATUS(status), 0, "a child failed");
    End::Done
}

/// A child that stands still at a step, or that was done before it came there.
pub fn stop_at(step: u64, prepare: impl FnOnce(), act: impl FnOnce()) -> Option<Forked> {
    until_it_stops(Forked::spawn(|| {
        prepare();
        run_armed(step, Action::Stop, act);
    }))
}

/// A child that closes all its descriptors at a step in a file, and then stands still.
pub fn close_and_stop_in(file: &'static str, step: u64, prepare: impl FnOnce(), act: impl FnOnce()) -> Option<Forked> {
    until_it_stops(Forked::spawn(|| {
        prepare();
        arm_in(file, step, Action::CloseAndStop);
        act();
        disarm();
    }))
}

fn until_it_stops(child: Forked) -> Option<Forked> {
    let mut status = 0;
    wait_until("a child to stop or to end", || {
        // SAFETY: the pointer is to an integer that lives across the call; the child has not been waited for.
        let pid = unsafe { libc::waitpid(child.pid(), &mut status, libc::WNOHANG | libc::WUNTRACED) };
        assert!(pid >= 0, "{}", std::io::Error::last_os_error());
        pid == child.pid()
    });
    if libc::WIFSTOPPED(status) {
        return Some(child);
    }
    child.forget();
    assert!(libc::WIFEXITED(status) && libc::WEXITSTATUS(status) == 0, "a child failed: status {status:#x}");
    None
}

/// Lets a stopped child go on, and waits for its good end.
pub fn go_on(child: Forked) {
    // SAFETY: the child has not been waited for, so its number is still its own.
    assert_eq!(unsafe { libc::kill(child.pid(), libc::SIGCONT) }, 0);
    child.success();
}

/// The steps of a scenario in a new file, and where in the code they stand.
pub fn count_steps(scenario: &Scenario, path: &Path) -> Vec<(&'static str, u32)> {
    let fixture = Fixture::new(scenario.kind, path);
    attach(&fixture.cache);
    run_armed(0, Action::Count, || (scenario.act)(&fixture.cache));
    assert_eq!(steps_taken(), sites().len() as u64);
    std::fs::remove_file(path).expect("the file");
    sites()
}

/// What the target holds after a death in the middle is what it may hold.
pub fn check_target(scenario: &Scenario, fixture: &Fixture) {
    let value = fixture.cache.get(TARGET);
    let (is_old, is_new, is_none) = (value.as_deref() == Some(OLD), value.as_deref() == Some(NEW), value.is_none());
    let may_be = match scenario.then {
        Then::Old => is_old,
        Then::OldOrNew => is_old || is_new,
        Then::OldOrNone => is_old || is_none,
        Then::Any => is_old || is_new || is_none,
    };
    assert!(may_be || (fixture.kind.evicts() && is_none), "{:?}: the key holds {value:?}", scenario.then);
}
