//! Fault points: between any two steps that other processes can see, this process may be made to die or to stop.
//!
//! Every store, exchange and copy to shared memory begins with a point (they all go through `src/memory`), and so does every
//! call that changes a lock or the name of a file. Compiled only under `cfg(shmemo_fault)`, for tests; nothing is left of the
//! points otherwise. Steps are counted on the thread that called [`arm`] last, and on no other.

/// A step that another process could see comes next: under test, the place where this process may die or stop.
#[cfg_attr(shmemo_fault, track_caller)]
#[inline(always)]
pub(crate) fn point() {
    #[cfg(shmemo_fault)]
    armed::step();
}

#[cfg(shmemo_fault)]
pub use armed::{Action, arm, arm_in, disarm, sites, steps_taken};

#[cfg(shmemo_fault)]
mod armed {
    use core::cell::Cell;
    use core::panic::Location;
    use core::sync::atomic::Ordering::Relaxed;
    use core::sync::atomic::{AtomicBool, AtomicU64};
    use std::sync::Mutex;

    /// What happens to the process at the chosen step.
    #[derive(Debug, Clone, Copy, PartialEq, Eq)]
    pub enum Action {
        /// SIGKILL: the step is never taken.
        Kill,
        /// SIGSTOP: the step is taken when somebody sends SIGCONT.
        Stop,
        /// All descriptors from 3 on are closed by force, and then SIGSTOP.
        CloseAndStop,
        /// Nothing; steps are counted, and their places in the code are noted.
        Count,
    }

    /// How often `arm` has been called: tells the armed thread from one armed before. 0: nobody.
    static ARMED: AtomicU64 = AtomicU64::new(0);
    /// Steps begun since then.
    static STEPS: AtomicU64 = AtomicU64::new(0);
    /// The number of the step at which to act, counted from 0.
    static ACT_AT: AtomicU64 = AtomicU64::new(u64::MAX);
    /// The signal to act by, 0 for none.
    static SIGNAL: AtomicU64 = AtomicU64::new(0);
    /// Whether descriptors are closed before.
    static CLOSES: AtomicBool = AtomicBool::new(false);
    /// Only steps in files whose names end so are counted.
    static FILE: Mutex<&'static str> = Mutex::new("");
    /// Where the steps of the armed thread stand, in order.
    static SITES: Mutex<Vec<&'static Location<'static>>> = Mutex::new(Vec::new());

    thread_local! {
        /// The value of `ARMED` that this thread set.
        static MINE: Cell<u64> = const { Cell::new(0) };
    }

    /// From here on counts this thread's steps from 0, and acts once, when `after_steps` of them are done and the next begins.
    pub fn arm(after_steps: u64, action: Action) {
        arm_in("", after_steps, action);
    }

    /// The same for the steps in files whose names end so.
    pub fn arm_in(file: &'static str, after_steps: u64, action: Action) {
        let signal = match action {
            Action::Kill => libc::SIGKILL,
            Action::Stop | Action::CloseAndStop => libc::SIGSTOP,
            Action::Count => 0,
        };
        *FILE.lock().expect("no panic under this lock") = file;
        CLOSES.store(action == Action::CloseAndStop, Relaxed);
        SIGNAL.store(signal as u64, Relaxed);
        ACT_AT.store(if signal == 0 { u64::MAX } else { after_steps }, Relaxed);
        STEPS.store(0, Relaxed);
        SITES.lock().expect("no panic under this lock").clear();
        MINE.set(ARMED.fetch_add(1, Relaxed) + 1);
    }

    /// Counts and acts no more; [`steps_taken`] and [`sites`] keep what they have.
    pub fn disarm() {
        MINE.set(0);
    }

    /// How many steps the armed thread has begun since [`arm`].
    pub fn steps_taken() -> u64 {
        STEPS.load(Relaxed)
    }

    /// Where in the code the steps counted by [`Action::Count`] stand, in order: file and line.
    pub fn sites() -> Vec<(&'static str, u32)> {
        SITES.lock().expect("no panic under this lock").iter().map(|at| (at.file(), at.line())).collect()
    }

    /// A step comes next.
    #[track_caller]
    pub fn step() {
        let mine = MINE.get();
        if mine == 0 || mine != ARMED.load(Relaxed) {
            return;
        }
        if !Location::caller().file().ends_with(*FILE.lock().expect("no panic under this lock")) {
            return;
        }
        let number = STEPS.fetch_add(1, Relaxed);
        if SIGNAL.load(Relaxed) == 0 {
            SITES.lock().expect("no panic under this lock").push(Location::caller());
        } else if number == ACT_AT.load(Relaxed) {
            if CLOSES.load(Relaxed) {
                // SAFETY: takes plain numbers. That something closes what it did not open is what is tested.
                unsafe { libc::syscall(libc::SYS_close_range, 3, u32::MAX, 0) };
            }
            // SAFETY: raises a signal of the fixed set of `arm` on this thread; no memory is involved.
            unsafe { libc::raise(SIGNAL.load(Relaxed) as libc::c_int) };
        }
    }
}
