//! What time it is on the clock of a file, which all its processes share: the boot clock less the offset of this process's own
//! time namespace, plus a base in the header.
//!
//! The offset stands in the page that every forked child finds zero, since a child may be in another time namespace. It is asked
//! for in `/proc` at opening and, for the child, before each fork: neither need see `/proc` afterwards. A child that no handler
//! prepared asks for itself.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use super::LONGEST_TTL_MS;
use super::seat::page;
use crate::layout::header;
use crate::memory::MappedMemory;
use crate::os::clock::{self, Clock};
use crate::os::identity::WipedPage;
use crate::protocol::{Core, Memory, UNKNOWN_TIME, Word};

/// What stands in the page: nothing yet, an offset, or that there is none to be had.
const KNOWN: u64 = 1;
const UNKNOWN: u64 = 2;

/// See the module's page.
pub(super) struct FileClock {
    page: Arc<WipedPage>,
    /// While a fork is under way, what the child is to put into its page.
    child: [AtomicU64; 2],
}

impl FileClock {
    pub fn new(page: Arc<WipedPage>) -> Self {
        let clock = Self { page, child: [AtomicU64::new(0), AtomicU64::new(0)] };
        clock.ask();
        clock
    }

    /// The time of the file, in milliseconds. [`UNKNOWN_TIME`] where the clock cannot be trusted: it is later than any other, so
    /// everything that expires has expired.
    pub fn now_ms(&self, core: &Core<MappedMemory>) -> u64 {
        if self.page.word(page::CLOCK).load(Ordering::Acquire) == 0 {
            self.ask();
        }
        if self.page.word(page::CLOCK).load(Ordering::Relaxed) != KNOWN {
            return UNKNOWN_TIME;
        }
        let offset = self.page.word(page::CLOCK_OFFSET).load(Ordering::Relaxed) as i64;
        let base = core.memory.word(header::CLOCK_BASE).load(Ordering::Relaxed);
        Clock::from_offset(Some(offset)).boot_ms().wrapping_add(base)
    }

    /// When an entry expires that is to live so long from now on. Where the clock cannot be trusted it has expired already, for
    /// everybody: nobody could tell when it is to go.
    pub fn expiry_after(&self, core: &Core<MappedMemory>, ttl_ms: u64) -> u64 {
        match self.now_ms(core) {
            UNKNOWN_TIME => 0,
            now => now.saturating_add(ttl_ms),
        }
    }

    /// When an entry expires at the latest that was stored by now, with a second for clocks that are read in turn.
    pub fn latest_expiry(&self, core: &Core<MappedMemory>) -> u64 {
        self.now_ms(core).saturating_add(LONGEST_TTL_MS + 1000)
    }

    /// Whether the base is what it was set to.
    pub fn is_right(core: &Core<MappedMemory>) -> bool {
        let [base, mirror] = [header::CLOCK_BASE, header::CLOCK_MIRROR].map(|at| core.memory.word(at).load(Ordering::Acquire));
        base == !mirror
    }

    #[cold]
    fn ask(&self) {
        let offset = Clock::new().offset_nanos();
        self.set(if offset.is_some() { KNOWN } else { UNKNOWN }, offset.unwrap_or(0) as u64);
    }

    fn set(&self, state: u64, offset: u64) {
        self.page.word(page::CLOCK_OFFSET).store(offset, Ordering::Relaxed);
        // Release: pairs with the acquire in `now_ms`. Several threads may do this; all write the same.
        self.page.word(page::CLOCK).store(state, Ordering::Release);
    }

    /// Before a fork: asks what the offset of the child is going to be. Where `/proc` is out of sight by now, no namespace for
    /// children can have been given another offset than this process's own, which is known from before.
    pub fn prepare(&self) {
        let own = [page::CLOCK, page::CLOCK_OFFSET].map(|word| self.page.word(word).load(Ordering::Acquire));
        let [state, offset] = clock::offset_nanos_of_children().map_or(own, |offset| [KNOWN, offset as u64]);
        // Relaxed: read in the child by a copy of this very thread.
        self.child[0].store(if state == KNOWN { KNOWN } else { 0 }, Ordering::Relaxed);
        self.child[1].store(offset, Ordering::Relaxed);
    }

    /// In the child of a prepared fork.
    pub fn in_child(&self) {
        let [state, offset] = [0, 1].map(|word: usize| self.child[word].load(Ordering::Relaxed));
        self.set(state, offset);
    }
}
