//! Memory that every forked child finds zero, by whatever kind of fork that copies memory, and a lock that lies in it.
//!
//! A child that finds zero where its parent wrote knows that it is a child, whether or not any fork handler ran: `fork`,
//! `_Fork` and a bare `clone` are alike. (The child of `vfork` shares its parent's memory, and must not call the cache.)

use std::io;
use std::ptr::NonNull;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// Words in a page.
pub(crate) const WORDS: usize = 512;
const BYTES: usize = WORDS * size_of::<AtomicU64>();

/// A page of words, all zero at first, and all zero again in any forked child.
#[derive(Debug)]
pub(crate) struct WipedPage {
    words: NonNull<AtomicU64>,
}

// SAFETY: the page is a mapping that this value alone owns, and which is reached only through shared references to atomics.
unsafe impl Send for WipedPage {}
// SAFETY: as above.
unsafe impl Sync for WipedPage {}

impl WipedPage {
    /// Maps a page. An error says that memory or mappings are used up, or that the kernel is older than 4.14.
    pub(crate) fn new() -> io::Result<Self> {
        let protection = libc::PROT_READ | libc::PROT_WRITE;
        let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS;
        // SAFETY: a new anonymous mapping at an address that the kernel chooses touches no memory that is in use.
        let address = unsafe { libc::mmap(std::ptr::null_mut(), BYTES, protection, flags, -1, 0) };
        if address == libc::MAP_FAILED {
            return Err(io::Error::last_os_error());
        }
        let words = NonNull::new(address.cast()).ok_or(io::ErrorKind::OutOfMemory)?;
        let page = Self { words };
        // SAFETY: the range is the mapping just made. Both calls change only what a child and a core dump find there.
        let wiped = unsafe { libc::madvise(address, BYTES, libc::MADV_WIPEONFORK) };
        if wiped != 0 {
            return Err(io::Error::last_os_error());
        }
        // SAFETY: as above. That the page stays in core dumps is no failure, so the result does not matter.
        unsafe { libc::madvise(address, BYTES, libc::MADV_DONTDUMP) };
        Ok(page)
    }

    /// The word with this number. Panics if there is none: numbers are constants of the program.
    pub(crate) fn word(&self, index: usize) -> &AtomicU64 {
        assert!(index < WORDS, "a page has {WORDS} words, and number {index} is asked for");
        // SAFETY: the index was checked; the mapping has this many words, is aligned to a page and lives as long as `self`.
        // Any bits are an `AtomicU64`.
        unsafe { self.words.add(index).as_ref() }
    }

    /// A lock in the word with this number, which nothing else may use.
    pub(crate) fn lock(&self, index: usize) -> WipedLock<'_> {
        WipedLock { word: self.word(index) }
    }
}

impl Drop for WipedPage {
    fn drop(&mut self) {
        // SAFETY: this value owns the mapping, and references into it cannot outlive this value.
        unsafe { libc::munmap(self.words.as_ptr().cast(), BYTES) };
    }
}

/// Mutual exclusion among the threads of one process, in a word of a [`WipedPage`]: a child never finds it locked. It is not
/// fair, and a thread that locks it twice waits for ever.
#[derive(Clone, Copy, Debug)]
pub(crate) struct WipedLock<'a> {
    word: &'a AtomicU64,
}

/// Holds a [`WipedLock`] until it is dropped. In a forked child it holds nothing, and dropping it there changes nothing.
#[derive(Debug)]
#[must_use]
pub(crate) struct WipedGuard<'a> {
    word: &'a AtomicU64,
    token: u64,
}

/// The last number given to a guard. A child goes on from where its parent was, so that the guards it makes differ from
/// those that it inherits.
static TOKENS: AtomicU64 = AtomicU64::new(0);

impl<'a> WipedLock<'a> {
    /// Locks it if it is free.
    pub(crate) fn try_lock(self) -> Option<WipedGuard<'a>> {
        // Relaxed: a number need only differ from others.
        let token = TOKENS.fetch_add(1, Ordering::Relaxed) + 1;
        // Acquire pairs with the release in `drop`: what the last holder wrote is seen.
        self.word.compare_exchange(0, token, Ordering::Acquire, Ordering::Relaxed).ok()?;
        Some(WipedGuard { word: self.word, token })
    }

    /// Locks it, and waits until it is free.
    pub(crate) fn lock(self) -> WipedGuard<'a> {
        loop {
            if let Some(guard) = self.lock_within(Duration::from_secs(3600)) {
                return guard;
            }
        }
    }

    /// Locks it if it comes to be free within about this time.
    pub(crate) fn lock_within(self, patience: Duration) -> Option<WipedGuard<'a>> {
        const SPINS: u32 = 64;
        const YIELDS: u32 = 16;
        const TRIES: u32 = SPINS + YIELDS;
        let mut pause = Duration::from_micros(20);
        let mut slept = Duration::ZERO;
        for tries in 0.. {
            // Relaxed: only a hint that trying is worth while.
            if self.word.load(Ordering::Relaxed) == 0
                && let Some(guard) = self.try_lock()
            {
                return Some(guard);
            }
            match tries {
                0..SPINS => std::hint::spin_loop(),
                SPINS..TRIES => std::thread::yield_now(),
                _ if slept >= patience => break,
                _ => {
                    std::thread::sleep(pause);
                    slept += pause;
                    pause = (pause * 2).min(Duration::from_millis(1));
                }
            }
        }
        None
    }
}

impl WipedGuard<'_> {
    /// Whether the lock is still this guard's: not in a child that inherited the guard.
    pub(crate) fn is_held(&self) -> bool {
        // Relaxed: only the holder's own thread asks, and it wrote the word.
        self.word.load(Ordering::Relaxed) == self.token
    }
}

impl Drop for WipedGuard<'_> {
    fn drop(&mut self) {
        // Release pairs with the acquire in `try_lock`. It fails in a child, where the word is zero or another's.
        let _ = self.word.compare_exchange(self.token, 0, Ordering::Release, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::os::tests::{bare_fork, in_child};

    #[test]
    fn a_child_of_any_kind_finds_zero() {
        let page = WipedPage::new().unwrap();
        page.word(0).store(7, Ordering::Relaxed);
        page.word(WORDS - 1).store(8, Ordering::Relaxed);
        let zero = || page.word(0).load(Ordering::Relaxed) == 0 && page.word(WORDS - 1).load(Ordering::Relaxed) == 0;
        in_child(zero).expect_success();
        bare_fork(zero).expect_success();
        assert_eq!((page.word(0).load(Ordering::Relaxed), page.word(WORDS - 1).load(Ordering::Relaxed)), (7, 8));
    }

    #[test]
    fn a_grandchild_finds_zero_too() {
        let page = WipedPage::new().unwrap();
        let child = in_child(|| {
            page.word(3).store(9, Ordering::Relaxed);
            in_child(|| page.word(3).load(Ordering::Relaxed) == 0).success() && page.word(3).load(Ordering::Relaxed) == 9
        });
        child.expect_success();
    }

    #[test]
    #[should_panic(expected = "number 512 is asked for")]
    fn there_is_no_word_past_the_end() {
        let _ = WipedPage::new().unwrap().word(WORDS);
    }

    #[test]
    fn threads_exclude_each_other() {
        let page = WipedPage::new().unwrap();
        let total = AtomicU64::new(0);
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    for _ in 0..2_000 {
                        let _guard = page.lock(1).lock();
                        let seen = total.load(Ordering::Relaxed);
                        std::hint::spin_loop();
                        total.store(seen + 1, Ordering::Relaxed);
                    }
                });
            }
        });
        assert_eq!(total.into_inner(), 8_000);
        assert_eq!(page.word(1).load(Ordering::Relaxed), 0);
    }

    #[test]
    fn a_child_never_inherits_the_lock() {
        let page = WipedPage::new().unwrap();
        let inherited = page.lock(2).lock();
        assert!(inherited.is_held() && page.lock(2).try_lock().is_none());
        let child = in_child(|| {
            let own = page.lock(2).try_lock();
            let inherited = WipedGuard { word: inherited.word, token: inherited.token };
            let held = inherited.is_held();
            drop(inherited);
            own.is_some_and(|own| own.is_held()) && !held
        });
        child.expect_success();
        assert!(inherited.is_held());
    }
}
