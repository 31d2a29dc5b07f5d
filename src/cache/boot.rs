//! Whether the file is of this boot of the machine, asked by everyone who attaches.
//!
//! Whoever attaches holds one byte of the file locked, shared, until it has a line; whoever finds another boot's number in the
//! header locks that byte exclusively, so that of several only one judges at a time and nobody is about to take a line. The
//! reboot is believed if nobody else's lock is on any line either. Then the cache starts empty, since pages of a file on a disk
//! that were not written back are torn, and the base of the clock is set from the wall clock. While others are attached
//! another number is that of another container, and nothing is changed.

use std::io;
use std::os::fd::BorrowedFd;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use crate::layout::{LINE_BYTES, header};
use crate::memory::MappedMemory;
use crate::os::clock::{self, Clock};
use crate::os::lock::{self, Kind};
use crate::protocol::{Core, Memory, Word};

const ATTACH_BYTE: u64 = 0;
/// How long others are waited for who attach, or who empty the file after a reboot. Both take a moment, unless such a process
/// is stopped in the middle of it.
const PATIENCE: Duration = Duration::from_secs(60);

/// Locks the byte, shared, and settles what boot the file is of. On an error the caller gives up all locks.
pub(super) fn enter(core: &Core<MappedMemory>, fd: BorrowedFd<'_>, memory_backed: bool) -> io::Result<()> {
    enter_as(core, fd, clock::boot_id()?, memory_backed)
}

/// Ends what [`enter`] began: this process has a line.
pub(super) fn leave(fd: BorrowedFd<'_>) -> io::Result<()> {
    lock::unlock(fd, ATTACH_BYTE, 1)
}

/// Whether the file is of this boot as far as can be known from here. Else it may be read only by who is attached.
pub(super) fn is_settled(core: &Core<MappedMemory>, memory_backed: bool) -> bool {
    // Without a descriptor to read the number by, it is unknown.
    is_of(core, clock::boot_id().unwrap_or_default(), memory_backed)
}

/// A number that cannot be read (zeros) is taken for another one if the file can outlive a boot.
fn is_of(core: &Core<MappedMemory>, id: [u64; 2], memory_backed: bool) -> bool {
    if id == [0; 2] {
        return memory_backed;
    }
    [0, 1].map(|half| core.memory.word(header::BOOT_ID + half * 8).load(Ordering::Acquire)) == id
}

fn enter_as(core: &Core<MappedMemory>, fd: BorrowedFd<'_>, id: [u64; 2], memory_backed: bool) -> io::Result<()> {
    let begun = Instant::now();
    let share = || lock::lock_within(fd, ATTACH_BYTE, 1, Kind::Shared, PATIENCE.saturating_sub(begun.elapsed()));
    share()?;
    if is_of(core, id, memory_backed) {
        return Ok(());
    }
    lock::unlock(fd, ATTACH_BYTE, 1)?;
    let is_over = || begun.elapsed() >= PATIENCE || is_of(core, id, memory_backed);
    if lock::lock_unless(fd, ATTACH_BYTE, 1, Kind::Exclusive, is_over)? {
        begin_anew(core, fd, id, memory_backed)?;
        // To shared in one step. The reset is over, so whoever waits finds this very boot.
        lock::lock_within(fd, ATTACH_BYTE, 1, Kind::Shared, PATIENCE)
    } else if is_of(core, id, memory_backed) {
        share()
    } else {
        Err(lock::timed_out(PATIENCE))
    }
}

/// The caller holds the byte exclusively.
fn begin_anew(core: &Core<MappedMemory>, fd: BorrowedFd<'_>, id: [u64; 2], memory_backed: bool) -> io::Result<()> {
    let (first, len) = (core.layout.registry_at as u64, (core.layout.lines * LINE_BYTES) as u64);
    if is_of(core, id, memory_backed) || !lock::try_lock(fd, first, len, Kind::Exclusive)? {
        return Ok(());
    }
    core.start_empty();
    let word = |at: usize| core.memory.word(at);
    let base = clock::wall_ms().wrapping_sub(Clock::new().boot_ms());
    // Release: pairs with the acquire of `is_of`. The number comes last: whoever dies before is followed by one who begins
    // anew once more.
    word(header::CLOCK_BASE).store(base, Ordering::Release);
    word(header::CLOCK_MIRROR).store(!base, Ordering::Release);
    for (half, bits) in id.into_iter().enumerate() {
        word(header::BOOT_ID + half * 8).store(bits, Ordering::Release);
    }
    lock::unlock(fd, first, len)
}
