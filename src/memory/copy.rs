//! Copies between shared memory and private bytes, with pointers.
//!
//! Shared bytes may change while they are read. Every access to them is an atomic word access, or one in assembly, at least eight
//! bytes wide (sixteen or more above 16 bytes): to the compiler the assembly is opaque, to the machine it is a run of relaxed
//! loads and stores. No access leaves the payload with the padding of its last word.
//!
//! Shared pointers are word-aligned; private ones need no alignment. Assembly serves x86-64 (`copy_x86_64.rs`); other targets,
//! and Miri, take the word loops of `portable`.

use core::sync::atomic::AtomicU64;
use core::sync::atomic::Ordering::Relaxed;

#[cfg(all(target_arch = "x86_64", not(miri)))]
use super::copy_x86_64 as wide;
#[cfg(not(all(target_arch = "x86_64", not(miri))))]
use portable as wide;

/// Copies `len` bytes out of shared memory.
///
/// # Safety
/// `src` is word-aligned and valid for atomic reads of `len` bytes, rounded up to whole words; `dst` is valid for writes of `len`
/// bytes that nobody else uses.
#[inline(always)]
pub(super) unsafe fn copy_from_shared(src: *const u8, dst: *mut u8, len: usize) {
    if len >= 8 {
        // SAFETY: as for this function (I1, I2), with at least 8 bytes.
        unsafe { wide::copy_out(src, dst, len) }
    } else if len > 0 {
        // SAFETY: at least one byte, so the whole first word is readable (I1, I2), and `len < 8` bytes at `dst` are writable.
        unsafe { store_short(dst, load(src), len) }
    }
}

/// Appends `len` bytes of shared memory to `out`.
///
/// # Safety
/// `src` is word-aligned and valid for atomic reads of `len` bytes, rounded up to whole words.
#[inline(always)]
pub(super) unsafe fn append_from_shared(src: *const u8, len: usize, out: &mut Vec<u8>) {
    if out.capacity() - out.len() < len {
        make_room(out, len);
    }
    let old_len = out.len();
    // SAFETY: the source is as the caller vouches (I1, I2); there is room for `len` more bytes behind `old_len`, which are
    // initialized when the length grows.
    unsafe {
        copy_from_shared(src, out.as_mut_ptr().add(old_len), len);
        out.set_len(old_len + len);
    }
}

/// Room for `len` more bytes. For a new vector by the shortest way there is.
#[cold]
#[inline(never)]
fn make_room(out: &mut Vec<u8>, len: usize) {
    if out.capacity() == 0 {
        *out = Vec::with_capacity(len);
    } else {
        out.reserve(len);
    }
}

/// Copies `bytes` into shared memory and zeroes the rest of the last word.
///
/// # Safety
/// `dst` is word-aligned and valid for atomic writes of `bytes.len()` bytes, rounded up to whole words.
#[inline]
pub(super) unsafe fn copy_to_shared(bytes: &[u8], dst: *mut u8) {
    let whole = bytes.len() & !7;
    if whole < bytes.len() {
        // SAFETY: a word that is not whole begins at `whole`, inside what the caller vouches for (I1); written as an atomic (I2).
        unsafe { (*dst.add(whole).cast::<AtomicU64>()).store(last_word(bytes), Relaxed) }
    }
    if whole > 0 {
        // SAFETY: `whole` is a positive multiple of 8, within `bytes` and within what the caller vouches for (I1, I2).
        unsafe { wide::copy_in(bytes.as_ptr(), dst, whole) }
    }
}

/// Copies `len` bytes, a multiple of 8, from one place in shared memory to another.
///
/// # Safety
/// Both pointers are word-aligned and valid for atomic accesses of `len` bytes.
#[inline]
pub(super) unsafe fn copy_within_shared(src: *const u8, dst: *mut u8, len: usize) {
    if len > 0 {
        // SAFETY: as for this function (I1, I2), with a positive multiple of 8.
        unsafe { wide::copy_within(src, dst, len) }
    }
}

/// Whether shared memory at `src` holds `bytes`, whatever the rest of the last word.
///
/// # Safety
/// `src` is word-aligned and valid for atomic reads of `bytes.len()` bytes, rounded up to whole words.
#[inline(always)]
pub(super) unsafe fn equals_shared(src: *const u8, bytes: &[u8]) -> bool {
    // One word and a part of another, or all of it: most keys, without a loop.
    if let (9..=16, Some(first), Some(last)) = (bytes.len(), bytes.first_chunk(), bytes.last_chunk()) {
        // SAFETY: both words lie within `bytes.len()` bytes, rounded up, for which the caller vouches (I1, I2).
        let words = unsafe { [load(src), load(src.wrapping_add(8))] };
        let missing = 8 * (16 - bytes.len());
        let second = (words[1] ^ (u64::from_le_bytes(*last) >> missing)) << missing;
        return (words[0] ^ u64::from_le_bytes(*first)) | second == 0;
    }
    // SAFETY: as for this function.
    unsafe { equals_shared_of_any_length(src, bytes) }
}

/// As [`equals_shared`].
///
/// # Safety
/// As for [`equals_shared`].
#[inline(never)]
unsafe fn equals_shared_of_any_length(src: *const u8, bytes: &[u8]) -> bool {
    let (words, rest) = bytes.as_chunks();
    let mut at = src;
    for word in words {
        // SAFETY: the word at `at` lies within `bytes.len()` bytes, for which the caller vouches (I1, I2).
        if unsafe { load(at) } != u64::from_le_bytes(*word) {
            return false;
        }
        at = at.wrapping_add(8);
    }
    if rest.is_empty() {
        return true;
    }
    // SAFETY: a word that is not whole begins here, inside what the caller vouches for (I1, I2).
    let word = unsafe { load(at) };
    (word ^ last_word(bytes)) << (64 - 8 * rest.len()) == 0
}

/// Asks the processor to bring the line at `at` near, if there is one.
#[inline]
pub(super) fn prefetch(at: *const u8) {
    #[cfg(all(target_arch = "x86_64", not(miri)))]
    // SAFETY: a prefetch reads nothing as far as the language knows, and never faults, whatever the address.
    unsafe {
        core::arch::x86_64::_mm_prefetch::<{ core::arch::x86_64::_MM_HINT_T0 }>(at.cast());
    }
    #[cfg(all(target_arch = "aarch64", not(miri)))]
    // SAFETY: as above.
    unsafe {
        core::arch::asm!("prfm pldl1keep, [{0}]", in(reg) at, options(nostack, preserves_flags, readonly));
    }
    #[cfg(any(miri, not(any(target_arch = "x86_64", target_arch = "aarch64"))))]
    let _ = at;
}

/// Reads one shared word.
///
/// # Safety
/// `at` is word-aligned and valid for an atomic read.
#[inline(always)]
unsafe fn load(at: *const u8) -> u64 {
    // SAFETY: as for this function; read as an atomic (I2).
    unsafe { (*at.cast::<AtomicU64>()).load(Relaxed) }
}

/// The last word of `bytes`, which is not a whole one, with zeroes above. There is at least one byte.
#[inline(always)]
fn last_word(bytes: &[u8]) -> u64 {
    if let Some(last) = bytes.last_chunk() {
        return u64::from_le_bytes(*last) >> (64 - 8 * (bytes.len() % 8));
    }
    // Fewer than eight: the ends are read twice over rather than byte by byte.
    let len = bytes.len();
    if let (Some(first), Some(last)) = (bytes.first_chunk(), bytes.last_chunk()) {
        return u64::from(u32::from_le_bytes(*first)) | u64::from(u32::from_le_bytes(*last)) << (8 * (len - 4));
    }
    let byte = |at: usize| u64::from(bytes[at]) << (8 * at);
    byte(0) | byte(len / 2) | byte(len - 1)
}

/// Writes the low `len` bytes of `word`, between 1 and 7.
///
/// # Safety
/// `dst` is valid for writes of `len` bytes.
#[inline(always)]
unsafe fn store_short(dst: *mut u8, word: u64, len: usize) {
    let from = |at: usize| word >> (8 * at);
    // SAFETY: every write lies within the first `len` bytes.
    unsafe {
        if len >= 4 {
            dst.cast::<u32>().write_unaligned((word as u32).to_le());
            dst.add(len - 4).cast::<u32>().write_unaligned((from(len - 4) as u32).to_le());
        } else {
            dst.write(word as u8);
            dst.add(len / 2).write(from(len / 2) as u8);
            dst.add(len - 1).write(from(len - 1) as u8);
        }
    }
}

/// Word loops for any target.
#[cfg(any(test, miri, not(target_arch = "x86_64")))]
#[cfg_attr(all(target_arch = "x86_64", not(miri)), allow(dead_code, reason = "tested even where assembly takes its place"))]
pub(super) mod portable {
    use super::{AtomicU64, Relaxed, load, store_short};

    /// Copies at least 8 bytes out of shared memory.
    ///
    /// # Safety
    /// As for [`super::copy_from_shared`].
    pub(crate) unsafe fn copy_out(src: *const u8, dst: *mut u8, len: usize) {
        let whole = len & !7;
        for at in (0..whole).step_by(8) {
            // SAFETY: the word at `at` lies within `len` bytes on both sides (I1); the shared side is an atomic (I2).
            unsafe { dst.add(at).cast::<u64>().write_unaligned(load(src.add(at)).to_le()) }
        }
        if whole < len {
            // SAFETY: a word that is not whole begins at `whole`; it is readable (I1, I2), and its `len - whole` bytes are
            // writable.
            unsafe { store_short(dst.add(whole), load(src.add(whole)), len - whole) }
        }
    }

    /// Copies a multiple of 8 bytes into shared memory.
    ///
    /// # Safety
    /// `src` is valid for reads of `len` bytes; `dst` as for [`super::copy_within_shared`].
    pub(crate) unsafe fn copy_in(src: *const u8, dst: *mut u8, len: usize) {
        for at in (0..len).step_by(8) {
            // SAFETY: the word at `at` lies within `len` bytes on both sides (I1); the shared side is an atomic (I2).
            unsafe {
                let word = u64::from_le(src.add(at).cast::<u64>().read_unaligned());
                (*dst.add(at).cast::<AtomicU64>()).store(word, Relaxed);
            }
        }
    }

    /// Copies a multiple of 8 bytes within shared memory.
    ///
    /// # Safety
    /// As for [`super::copy_within_shared`].
    pub(crate) unsafe fn copy_within(src: *const u8, dst: *mut u8, len: usize) {
        for at in (0..len).step_by(8) {
            // SAFETY: the word at `at` lies within `len` bytes on both sides (I1); both are atomics (I2).
            unsafe { (*dst.add(at).cast::<AtomicU64>()).store(load(src.add(at)), Relaxed) }
        }
    }
}
