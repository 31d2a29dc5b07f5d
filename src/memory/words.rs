//! The payload functions in terms of single words: slow, without `unsafe`, and all that Miri needs.

use core::sync::atomic::Ordering::Relaxed;

use crate::protocol::{Memory, Word};

/// Appends `len` bytes from `at` to `out`.
pub(super) fn read(memory: &impl Memory, at: usize, len: usize, out: &mut Vec<u8>) {
    out.reserve(len);
    for done in (0..len).step_by(8) {
        let word = memory.word(at + done).load(Relaxed).to_le_bytes();
        out.extend_from_slice(&word[..(len - done).min(8)]);
    }
}

/// Writes `bytes` at `at`, and zeroes in the rest of the last word.
pub(super) fn write(memory: &impl Memory, at: usize, bytes: &[u8]) {
    for (index, chunk) in bytes.chunks(8).enumerate() {
        memory.word(at + 8 * index).store(padded(chunk), Relaxed);
    }
}

/// Whether these bytes stand at `at`, whatever the rest of the last word.
pub(super) fn equals(memory: &impl Memory, at: usize, bytes: &[u8]) -> bool {
    bytes.chunks(8).enumerate().all(|(index, chunk)| {
        let unused_bits = 64 - 8 * chunk.len() as u32;
        (memory.word(at + 8 * index).load(Relaxed) ^ padded(chunk)) << unused_bits == 0
    })
}

/// Copies `len` bytes, a multiple of 8.
pub(super) fn copy(memory: &impl Memory, from: usize, to: usize, len: usize) {
    for done in (0..len).step_by(8) {
        memory.word(to + done).store(memory.word(from + done).load(Relaxed), Relaxed);
    }
}

/// Up to eight bytes as a word, zeroes above.
fn padded(chunk: &[u8]) -> u64 {
    let mut word = [0; 8];
    word[..chunk.len()].copy_from_slice(chunk);
    u64::from_le_bytes(word)
}
