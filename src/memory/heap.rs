//! Heap memory in place of the file, for Miri and for tests of the layers above.

use core::ptr::NonNull;
use core::sync::atomic::Ordering;
use std::alloc::{Layout, alloc_zeroed, dealloc, handle_alloc_error};

use super::{Extent, SharedHalf, SharedWord, words};
use crate::protocol::Memory;

/// Zeroed heap memory, aligned to cache lines. As in the file, a part that is used by halves is never used by words.
#[derive(Debug)]
pub struct HeapMemory {
    /// The allocation.
    base: NonNull<u8>,
    /// How far it goes.
    extent: Extent,
}

// SAFETY: `self` owns the allocation, and its bytes are only used as atomics (I2).
unsafe impl Send for HeapMemory {}
// SAFETY: as above: no method gives a plain reference to the bytes (I2).
unsafe impl Sync for HeapMemory {}

impl HeapMemory {
    /// `len` zero bytes, a positive multiple of 8.
    pub fn new(len: usize) -> Self {
        let extent = Extent::new(len).expect("the length is a positive multiple of 8");
        let layout = Self::layout(extent);
        // SAFETY: the layout is of at least 8 bytes.
        let Some(base) = NonNull::new(unsafe { alloc_zeroed(layout) }) else { handle_alloc_error(layout) };
        Self { base, extent }
    }

    /// Length in bytes.
    #[allow(clippy::len_without_is_empty, reason = "never empty")]
    pub fn len(&self) -> usize {
        self.extent.len()
    }

    /// The allocation's size and alignment.
    fn layout(extent: Extent) -> Layout {
        Layout::from_size_align(extent.len(), 64).expect("the length fits the address space")
    }
}

impl Drop for HeapMemory {
    fn drop(&mut self) {
        // SAFETY: allocated in `new` with this very layout, and nothing borrows from `self` any more.
        unsafe { dealloc(self.base.as_ptr(), Self::layout(self.extent)) }
    }
}

impl Memory for HeapMemory {
    type Word = SharedWord;
    type Half = SharedHalf;

    #[inline]
    fn word(&self, at: usize) -> &SharedWord {
        self.extent.check_word(at);
        // SAFETY: eight aligned bytes inside the allocation by the check above (I1), which lives as long as `self`; the type is a
        // transparent atomic for which any bits are valid (I2).
        unsafe { self.base.add(at).cast().as_ref() }
    }

    #[inline]
    fn half(&self, at: usize) -> &SharedHalf {
        self.extent.check_half(at);
        // SAFETY: four aligned bytes inside the allocation by the check above (I1), which lives as long as `self`; the type is a
        // transparent atomic for which any bits are valid (I2).
        unsafe { self.base.add(at).cast().as_ref() }
    }

    fn fence(&self, order: Ordering) {
        super::fence(order);
    }

    fn pause(&self, attempt: u32) {
        super::pause(attempt);
    }

    fn prefetch(&self, _at: usize) {}

    fn read_payload(&self, at: usize, len: usize, out: &mut Vec<u8>) {
        self.extent.check_payload(at, len);
        words::read(self, at, len, out);
    }

    fn write_payload(&self, at: usize, bytes: &[u8]) {
        self.extent.check_payload(at, bytes.len());
        words::write(self, at, bytes);
    }

    fn payload_equals(&self, at: usize, bytes: &[u8]) -> bool {
        self.extent.check_payload(at, bytes.len());
        words::equals(self, at, bytes)
    }

    fn copy_payload(&self, from: usize, to: usize, len: usize) {
        assert!(len.is_multiple_of(8), "a copy within the memory is of whole words");
        self.extent.check_payload(from, len);
        self.extent.check_payload(to, len);
        words::copy(self, from, to, len);
    }
}
