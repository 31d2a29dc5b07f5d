//! The words themselves: plain core atomics under the protocol's traits.

use core::sync::atomic::{AtomicU32, AtomicU64, Ordering};

use crate::fault;
use crate::protocol::{Half, Word};

/// A 64-bit word in place. Any bits are a value.
#[derive(Debug)]
#[repr(transparent)]
pub struct SharedWord(AtomicU64);

impl Word for SharedWord {
    #[inline]
    fn load(&self, order: Ordering) -> u64 {
        self.0.load(order)
    }

    #[cfg_attr(shmemo_fault, track_caller)]
    #[inline]
    fn store(&self, value: u64, order: Ordering) {
        fault::point();
        self.0.store(value, order);
    }

    #[cfg_attr(shmemo_fault, track_caller)]
    #[inline]
    fn compare_exchange(&self, current: u64, new: u64, success: Ordering, failure: Ordering) -> Result<u64, u64> {
        fault::point();
        self.0.compare_exchange(current, new, success, failure)
    }

    #[cfg_attr(shmemo_fault, track_caller)]
    #[inline]
    fn fetch_add(&self, value: u64, order: Ordering) -> u64 {
        fault::point();
        self.0.fetch_add(value, order)
    }
}

/// A 32-bit word in place. Any bits are a value.
#[derive(Debug)]
#[repr(transparent)]
pub struct SharedHalf(AtomicU32);

impl Half for SharedHalf {
    #[inline]
    fn load(&self) -> u32 {
        self.0.load(Ordering::Relaxed)
    }

    #[cfg_attr(shmemo_fault, track_caller)]
    #[inline]
    fn store(&self, value: u32) {
        fault::point();
        self.0.store(value, Ordering::Relaxed);
    }
}

const _: () = assert!(size_of::<SharedWord>() == 8 && align_of::<SharedWord>() == 8);
const _: () = assert!(size_of::<SharedHalf>() == 4 && align_of::<SharedHalf>() == 4);
