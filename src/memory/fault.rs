//! Fault points for tests: between any two steps that other processes can see, this process may be made to die or to stop.
//!
//! Compiled only under `cfg(shmemo_fault)`. Steps are counted on the thread that called [`arm`] last, and on no other.

use core::cell::Cell;
use core::sync::atomic::AtomicU64;
use core::sync::atomic::Ordering::Relaxed;

/// What happens to the process at the chosen step.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Action {
    /// SIGKILL: the step is never taken.
    Kill,
    /// SIGSTOP: the step is taken when somebody sends SIGCONT.
    Stop,
    /// Nothing; steps are only counted.
    Count,
}

/// How often `arm` has been called: tells the armed thread from one armed before. 0: nobody.
static ARMED: AtomicU64 = AtomicU64::new(0);
/// Steps begun since then.
static STEPS: AtomicU64 = AtomicU64::new(0);
/// The number of the step at which to act, counted from 0.
static ACT_AT: AtomicU64 = AtomicU64::new(u64::MAX);
/// The signal to act by.
static SIGNAL: AtomicU64 = AtomicU64::new(0);

thread_local! {
    /// The value of `ARMED` that this thread set.
    static MINE: Cell<u64> = const { Cell::new(0) };
}

/// From here on counts this thread's steps from 0, and acts once, when `after_steps` of them are done and the next begins.
pub fn arm(after_steps: u64, action: Action) {
    let signal = match action {
        Action::Kill => libc::SIGKILL,
        Action::Stop => libc::SIGSTOP,
        Action::Count => 0,
    };
    SIGNAL.store(signal as u64, Relaxed);
    ACT_AT.store(if signal == 0 { u64::MAX } else { after_steps }, Relaxed);
    STEPS.store(0, Relaxed);
    MINE.set(ARMED.fetch_add(1, Relaxed) + 1);
}

/// Counts and acts no more; [`steps_taken`] keeps its value.
pub fn disarm() {
    MINE.set(0);
}

/// How many steps the armed thread has begun since [`arm`].
pub fn steps_taken() -> u64 {
    STEPS.load(Relaxed)
}

/// A step comes next.
#[inline]
pub fn step() {
    let mine = MINE.get();
    if mine != 0 && mine == ARMED.load(Relaxed) && STEPS.fetch_add(1, Relaxed) == ACT_AT.load(Relaxed) {
        // SAFETY: raises a signal of the fixed set of `arm` on this thread; no memory is involved.
        unsafe { libc::raise(SIGNAL.load(Relaxed) as libc::c_int) };
    }
}
