//! What each thread keeps for itself, in the memory of its process: guesses where to write and sweep, and counters not
//! yet added up.

use std::cell::{Cell, RefCell};
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::layout::COUNTERS;
use crate::protocol::{Event, Hints};

/// Threads that have a lane of their own; further ones share the last.
const LANES: usize = 64;
/// A lane's counts are added to the registry line once in so many operations.
const FLUSH_EVERY: u64 = 64;

static FREE_LANES: Mutex<Vec<u32>> = Mutex::new(Vec::new());
static NEXT_LANE: AtomicU64 = AtomicU64::new(0);

/// The lane of a thread, given back when the thread ends.
struct Lease(u32);

impl Lease {
    fn take() -> Self {
        let reused = FREE_LANES.try_lock().ok().and_then(|mut free| free.pop());
        Self(reused.unwrap_or_else(|| NEXT_LANE.fetch_add(1, Ordering::Relaxed).min(LANES as u64 - 1) as u32))
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        // A lock that a fork left taken costs the lane, nothing else. The last lane is shared, and is not given out
        // again.
        if (self.0 as usize) < LANES - 1
            && let Ok(mut free) = FREE_LANES.try_lock()
        {
            free.push(self.0);
        }
    }
}

thread_local! {
    static LANE: Cell<u32> = const { Cell::new(u32::MAX) };
    static LEASE: RefCell<Option<Lease>> = const { RefCell::new(None) };
}

/// The lane of this thread; none that there is if it has not taken one yet.
#[inline]
fn lane() -> usize {
    LANE.try_with(Cell::get).unwrap_or(u32::MAX) as usize
}

#[cold]
#[inline(never)]
fn take_lane() -> usize {
    let lease = Lease::take();
    let lane = lease.0;
    // A thread whose locals are being taken down uses the shared lane.
    let kept = LEASE.try_with(|place| place.replace(Some(lease)));
    if kept.is_err() || LANE.try_with(|place| place.set(lane)).is_err() {
        return LANES - 1;
    }
    lane as usize
}

/// One thread's share. On cache lines of its own.
#[derive(Debug, Default)]
#[repr(align(128))]
pub(super) struct Lane {
    pub hints: Hints,
    pending: [AtomicU64; COUNTERS],
    is_shared: bool,
}

impl Lane {
    /// Counts an event. Tells whether it is time to add up.
    #[inline]
    pub fn count(&self, event: Event, times: u64) -> bool {
        let counter = &self.pending[event as usize];
        let before = if self.is_shared {
            counter.fetch_add(times, Ordering::Relaxed)
        } else {
            // No other thread writes here: a load and a store are enough, and cost next to nothing.
            let before = counter.load(Ordering::Relaxed);
            counter.store(before.wrapping_add(times), Ordering::Relaxed);
            before
        };
        matches!(event, Event::Hit | Event::Miss | Event::Stored) && before % FLUSH_EVERY == FLUSH_EVERY - 1
    }

    /// Takes what was counted since last time.
    pub fn take(&self, mut add: impl FnMut(usize, u64)) {
        for (counter, pending) in self.pending.iter().enumerate() {
            let amount = if self.is_shared { pending.swap(0, Ordering::Relaxed) } else { pending.load(Ordering::Relaxed) };
            if amount > 0 {
                if !self.is_shared {
                    pending.store(0, Ordering::Relaxed);
                }
                add(counter, amount);
            }
        }
    }
}

/// The lanes of all threads.
#[derive(Debug)]
pub(super) struct Lanes(Box<[Lane]>);

impl Lanes {
    pub fn new() -> Self {
        let lane = |lane: usize| Lane {
            hints: Hints { lane: lane as u32, ..Hints::default() },
            is_shared: lane == LANES - 1,
            ..Lane::default()
        };
        Self((0..LANES).map(lane).collect())
    }

    /// The lane of this thread.
    #[inline]
    pub fn mine(&self) -> &Lane {
        self.0.get(lane()).unwrap_or_else(|| self.take())
    }

    #[cold]
    #[inline(never)]
    fn take(&self) -> &Lane {
        &self.0[take_lane()]
    }

    /// What was counted and not yet added up, without taking it.
    pub fn pending(&self) -> [u64; COUNTERS] {
        let mut sums = [0u64; COUNTERS];
        for lane in &self.0 {
            for (sum, pending) in sums.iter_mut().zip(&lane.pending) {
                *sum = sum.wrapping_add(pending.load(Ordering::Relaxed));
            }
        }
        sums
    }

    /// A forked child has counted nothing yet.
    pub fn forget(&self) {
        for pending in self.0.iter().flat_map(|lane| &lane.pending) {
            pending.store(0, Ordering::Relaxed);
        }
    }

    /// Takes what every lane counted. For a process that leaves: nobody else uses the lanes any more.
    pub fn take_all(&self, mut add: impl FnMut(usize, u64)) {
        for lane in &self.0 {
            lane.take(&mut add);
        }
    }
}
