//! Keys and values that tell whose they are: a value that is torn, cut, of another key or of no key at all is recognised.

use super::mix;

/// Values of at least this length also carry the number that they were written with.
pub const STAMPED: usize = 24;
/// The part of a value that is filled with a stream that depends on key, stamp and length.
const WORD: usize = 8;

/// The key with this number. Lengths differ: 0, 8 to 47 bytes, and now and then `longest`.
pub fn key(id: u64, longest: usize) -> Vec<u8> {
    let len = match id % 997 {
        996 => longest,
        rest => 8 + rest as usize % 40,
    };
    if id == 0 {
        return Vec::new();
    }
    let mut key = vec![(id % 251) as u8; len.max(8)];
    key[..8].copy_from_slice(&id.to_le_bytes());
    key
}

/// The number of a key that [`key`] made.
pub fn id_of(key: &[u8]) -> u64 {
    key.first_chunk().map_or(0, |bytes| u64::from_le_bytes(*bytes))
}

fn fill(bytes: &mut [u8], seed: u64) {
    let mut state = mix(seed);
    let mut chunks = bytes.chunks_exact_mut(WORD);
    for chunk in &mut chunks {
        state = state.wrapping_mul(0x5851_f42d_4c95_7f2d).wrapping_add(0x1405_7b7e_f767_814f);
        chunk.copy_from_slice(&state.to_le_bytes());
    }
    let rest = chunks.into_remainder();
    let last = mix(state).to_le_bytes();
    rest.copy_from_slice(&last[..rest.len()]);
}

fn seed(id: u64, stamp: u64, len: usize) -> u64 {
    mix(id) ^ mix(stamp.wrapping_add(1)).rotate_left(21) ^ (len as u64) << 7
}

/// A value for the key `id`, written with the number `stamp`.
pub fn value(id: u64, stamp: u64, len: usize) -> Vec<u8> {
    let mut value = vec![0; len];
    if len < STAMPED {
        fill(&mut value, seed(id, 0, len));
        return value;
    }
    fill(&mut value[STAMPED..], seed(id, stamp, len));
    value[..8].copy_from_slice(&id.to_le_bytes());
    value[8..16].copy_from_slice(&stamp.to_le_bytes());
    value[16..24].copy_from_slice(&(len as u64).to_le_bytes());
    value
}

/// The number that a value of the key `id` was written with (0 for short ones), or what is wrong with it.
pub fn check(id: u64, bytes: &[u8]) -> Result<u64, String> {
    let word = |at: usize| u64::from_le_bytes(bytes[at..at + 8].try_into().unwrap_or_default());
    let stamp = if bytes.len() < STAMPED { 0 } else { word(8) };
    if bytes == value(id, stamp, bytes.len()) {
        return Ok(stamp);
    }
    let claims = if bytes.len() < STAMPED { String::new() } else { format!(", says key {} length {}", word(0), word(16)) };
    let head = &bytes[..bytes.len().min(48)];
    Err(format!("a wrong value for key {id}: {} bytes{claims}, begins {head:02x?}", bytes.len()))
}

#[test]
fn a_wrong_value_is_recognised() {
    for len in [1, 7, 23, 24, 25, 100, 1000] {
        let good = value(5, 9, len);
        assert_eq!(check(5, &good), Ok(if len < STAMPED { 0 } else { 9 }));
        assert!(check(6, &good).is_err(), "foreign, {len}");
        assert!(check(5, &good[..len - 1]).is_err() || len == 1, "cut, {len}");
        let mut torn = good.clone();
        torn[len - 1] ^= 1;
        assert!(check(5, &torn).is_err(), "torn, {len}");
        let mut mixed = value(5, 10, len);
        mixed[..len / 2].copy_from_slice(&good[..len / 2]);
        assert!(check(5, &mixed).is_err() || len < STAMPED + 2, "of two writes, {len}");
    }
}
