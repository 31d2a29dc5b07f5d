//! Tests of the copies: every length, alignment and neighbour.

use core::sync::atomic::AtomicU64;
use core::sync::atomic::Ordering::Relaxed;

use super::copy;

/// Shared memory for tests: words, with canaries all around.
struct Shared(Vec<AtomicU64>);

impl Shared {
    const CANARY: u8 = 0xa5;
    const MARGIN: usize = if cfg!(miri) { 16 } else { 128 };

    /// Room for `len` bytes at offsets up to 48, and a margin on both sides.
    fn new(len: usize) -> Self {
        let words = (len + 48 + 2 * Self::MARGIN) / 8 + 1;
        Self((0..words).map(|_| AtomicU64::new(u64::from_ne_bytes([Self::CANARY; 8]))).collect())
    }

    fn at(&self, offset: usize) -> *mut u8 {
        assert!(offset.is_multiple_of(8) && offset < 8 * self.0.len());
        self.0.as_ptr().cast::<u8>().cast_mut().wrapping_add(Self::MARGIN + offset)
    }

    fn bytes(&self) -> Vec<u8> {
        self.0.iter().flat_map(|word| word.load(Relaxed).to_ne_bytes()).collect()
    }

    /// Fills `len` bytes at `offset` word by word, the padding with ones.
    fn fill(&self, offset: usize, bytes: &[u8]) {
        for (index, chunk) in bytes.chunks(8).enumerate() {
            let mut word = [0xff; 8];
            word[..chunk.len()].copy_from_slice(chunk);
            self.0[(Self::MARGIN + offset) / 8 + index].store(u64::from_ne_bytes(word), Relaxed);
        }
    }
}

/// `len` bytes that differ from their neighbours and from canary and zero.
fn pattern(len: usize, seed: usize) -> Vec<u8> {
    (0..len).map(|at| (at * 7 + at / 251 + seed) as u8 | 1).map(|byte| if byte == Shared::CANARY { 3 } else { byte }).collect()
}

/// Lengths to try: all short ones, and around the powers of two and block sizes above.
fn lens() -> Vec<usize> {
    if cfg!(miri) {
        return (0..=18).chain([31, 32, 33, 63, 64, 65]).collect();
    }
    let long = [1024, 1536, 2048, 2112, 2176, 2304, 3072, 4096, 4352, 65536, 1 << 20];
    (0..=600).chain(long.iter().flat_map(|&len| len - 3..=len + 3)).chain([4095 + 128, 10_000, 99_991]).collect()
}

/// The ways out of shared memory: the one in use, and the word loops.
type CopyOut = unsafe fn(*const u8, *mut u8, usize);

unsafe fn portable_out(src: *const u8, dst: *mut u8, len: usize) {
    if len >= 8 {
        // SAFETY: as for this function.
        unsafe { copy::portable::copy_out(src, dst, len) }
    } else {
        // SAFETY: as for this function.
        unsafe { copy::copy_from_shared(src, dst, len) }
    }
}

#[cfg(all(target_arch = "x86_64", not(miri)))]
unsafe fn sse2_out(src: *const u8, dst: *mut u8, len: usize) {
    if len > 128 {
        // SAFETY: as for this function.
        unsafe { super::copy_x86_64::copy_long_sse2(src, dst, len) }
    } else {
        // SAFETY: as for this function.
        unsafe { copy::copy_from_shared(src, dst, len) }
    }
}

fn ways_out() -> Vec<CopyOut> {
    vec![
        copy::copy_from_shared,
        portable_out,
        #[cfg(all(target_arch = "x86_64", not(miri)))]
        sse2_out,
    ]
}

#[test]
fn copies_out_every_length_to_every_alignment() {
    let offsets: &[usize] =
        if cfg!(miri) { &[0, 5] } else { &[0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 31, 4090] };
    for len in lens() {
        let shared = Shared::new(len);
        let expected = pattern(len, len);
        let mut private = vec![Shared::CANARY; len + if cfg!(miri) { 80 } else { 4096 + 256 }];
        for way in ways_out() {
            for (turn, &offset) in offsets.iter().enumerate() {
                if len > 5000 && turn % 5 != 0 {
                    continue;
                }
                let from = 8 * (turn % 4);
                shared.fill(from, &expected);
                private.fill(Shared::CANARY);
                // SAFETY: both sides have room for `len` bytes there; the source is word-aligned.
                unsafe { way(shared.at(from), private.as_mut_ptr().add(64 + offset), len) };
                assert_eq!(&private[64 + offset..][..len], expected, "len {len}, offset {offset}");
                let outside = private[..64 + offset].iter().chain(&private[64 + offset + len..]);
                assert!(outside.copied().all(|byte| byte == Shared::CANARY), "len {len}, offset {offset}: written outside");
            }
        }
    }
}

#[test]
fn copies_in_every_length_from_every_alignment_and_zeroes_the_padding() {
    let offsets: &[usize] = if cfg!(miri) { &[0, 5] } else { &[0, 1, 3, 4, 7, 8, 12, 15, 31] };
    for len in lens() {
        for (turn, &offset) in offsets.iter().enumerate() {
            if len > 5000 && turn % 4 != 0 {
                continue;
            }
            let shared = Shared::new(len);
            let private = pattern(len + offset, len);
            let to = 8 * (turn % 5);
            // SAFETY: there is room for `len` bytes, padded, from that word-aligned place on.
            unsafe { copy::copy_to_shared(&private[offset..], shared.at(to)) };
            let bytes = shared.bytes();
            let (start, end) = (Shared::MARGIN + to, Shared::MARGIN + to + len);
            assert_eq!(&bytes[start..end], &private[offset..], "len {len}, offset {offset}");
            let padded = end.next_multiple_of(8);
            assert!(bytes[end..padded].iter().all(|&byte| byte == 0), "len {len}: padding");
            let outside = bytes[..start].iter().chain(&bytes[padded..]);
            assert!(outside.copied().all(|byte| byte == Shared::CANARY), "len {len}: written outside");
        }
    }
}

#[test]
fn copies_within() {
    for len in lens().into_iter().filter(|len| len % 8 == 0) {
        for from in [0, 8, 48] {
            let (source, target) = (Shared::new(len), Shared::new(len));
            let expected = pattern(len, 1);
            source.fill(from, &expected);
            // SAFETY: both sides have room for `len` bytes and are word-aligned.
            unsafe { copy::copy_within_shared(source.at(from), target.at(16), len) };
            let bytes = target.bytes();
            let (start, end) = (Shared::MARGIN + 16, Shared::MARGIN + 16 + len);
            assert_eq!(&bytes[start..end], expected, "len {len}");
            let outside = bytes[..start].iter().chain(&bytes[end..]);
            assert!(outside.copied().all(|byte| byte == Shared::CANARY), "len {len}: written outside");
        }
    }
}

#[test]
fn equality_sees_each_byte_and_no_padding() {
    let longest = if cfg!(miri) { 20 } else { 300 };
    for len in 0..=longest {
        let shared = Shared::new(len);
        let bytes = pattern(len + 3, 5);
        let key = &bytes[3..];
        shared.fill(8, key);
        // SAFETY: `len` bytes, padded, are there in word-aligned memory.
        let equals = |key: &[u8]| unsafe { copy::equals_shared(shared.at(8), key) };
        assert!(equals(key), "len {len}");
        for at in 0..len {
            let mut other = key.to_vec();
            other[at] ^= 1 << (at % 8);
            assert!(!equals(&other), "len {len}, byte {at}");
        }
    }
}

#[test]
fn copies_race_without_tearing_words() {
    let len = if cfg!(miri) { 64 } else { 3000 };
    let shared = Shared::new(len);
    let rounds = if cfg!(miri) { 5 } else { 20_000 };
    std::thread::scope(|scope| {
        for seed in [1_u8, 2] {
            let shared = &shared;
            scope.spawn(move || {
                for round in 0..rounds {
                    let bytes = vec![seed.wrapping_mul(round as u8); len];
                    // SAFETY: there is room for `len` bytes in word-aligned memory.
                    unsafe { copy::copy_to_shared(&bytes, shared.at(0)) };
                }
            });
        }
        let mut out = vec![0; len];
        for _ in 0..rounds {
            // SAFETY: as above; `out` has room for `len` bytes.
            unsafe { copy::copy_from_shared(shared.at(0), out.as_mut_ptr(), len) };
            assert!(out.chunks_exact(8).all(|word| word.iter().all(|&byte| byte == word[0])));
        }
    });
}
