//! The hash that places keys in the index: fixed for ever, and the same in every process that opens a file.
//!
//! **Definition.** The generator SplitMix64, started at the 64-bit seed, gives eight words; the first is the seed and
//! the others are the first seven secrets (the eighth is the published one) of `rapidhash_internal` of rapidhash V3,
//! the plain variant: neither micro, nano nor protected. Secrets of our own, since with the published ones there are
//! keys that collide under every seed. It is no defence against one who knows the seed.
//!
//! **Why this one.** Nanoseconds to the result, when the next key depends on it, AMD Zen 5; lengths vary by a quarter
//! around the one given, in an order that the branch predictor cannot learn:
//!
//! | bytes | 8 | 16 | 32 | 64 | 256 | 4,096 |
//! | --- | --- | --- | --- | --- | --- | --- |
//! | rapidhash V3, own secrets | 8.2 | 9.5 | 10.4 | 12.5 | 20.1 | 103 |
//! | rapidhash V3, published secrets | 8.0 | 9.6 | 10.4 | 12.6 | 20.3 | 104 |
//! | rapidhash V3, protected | 8.7 | 9.9 | 11.5 | 14.6 | 25.4 | 160 |
//! | XXH3 (`xxhash-rust`, SSE2) | 9.2 | 9.2 | 10.1 | 10.7 | 31.7 | 143 |
//! | XXH3 (`twox-hash`) | 10.7 | 11.4 | 13.0 | 14.5 | 25.4 | 154 |
//! | wyhash final 4 (written for the comparison, safe code) | 8.2 | 9.3 | 10.3 | 11.2 | 20.2 | 163 |
//!
//! With one length only, 16 bytes take 7.2 ns, against 8.0 for XXH3 and wyhash. The crate promises that its `v3` module
//! changes its results in a new major version at most; the tests below pin them against the reference implementation in
//! C all the same, and [`KeyHasher::fingerprint`] stands in the file's header.

use rapidhash::v3::{RapidSecrets, rapidhash_v3_inline};

/// Hashes keys under one seed.
#[derive(Debug, Clone, Copy)]
pub(crate) struct KeyHasher {
    /// The seed, mixed as the reference implementation does at each call, and the secrets.
    secrets: RapidSecrets,
}

impl KeyHasher {
    /// The hasher for the seed in a file's header.
    pub(crate) fn new(seed: u64) -> Self {
        let mut state = seed;
        let first = split_mix(&mut state);
        let secrets: [u64; 7] = std::array::from_fn(|_| split_mix(&mut state));
        let product = u128::from(first ^ secrets[2]) * u128::from(secrets[1]);
        let mixed = first ^ product as u64 ^ (product >> 64) as u64;
        Self { secrets: RapidSecrets { seed: mixed, secrets } }
    }

    /// The key's hash. All bits are equally good.
    #[inline]
    pub(crate) fn hash(&self, key: &[u8]) -> u64 {
        rapidhash_v3_inline::<true, false, false>(key, &self.secrets)
    }

    /// Tells this function from any other: the hash of fixed bytes of all classes of length, each under the hash before
    /// as its seed.
    pub(crate) fn fingerprint() -> u64 {
        const LENS: [usize; 19] = [0, 1, 3, 4, 7, 8, 16, 17, 32, 33, 48, 64, 80, 96, 112, 113, 224, 225, 600];
        let bytes = fixed_bytes();
        LENS.iter().fold(0, |seed, &len| Self::new(seed).hash(&bytes[..len]))
    }
}

/// The fixed bytes of the fingerprint.
fn fixed_bytes() -> [u8; 600] {
    std::array::from_fn(|at| (7 * at + 1) as u8)
}

/// SplitMix64 (Steele, Lea and Flood, OOPSLA 2014).
fn split_mix(state: &mut u64) -> u64 {
    *state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let mut word = *state;
    word = (word ^ (word >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    word = (word ^ (word >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    word ^ (word >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The published function, with the published secrets.
    fn reference(bytes: &[u8], seed: u64) -> u64 {
        rapidhash_v3_inline::<true, false, false>(bytes, &RapidSecrets::seed_cpp(seed))
    }

    /// SMHasher3 publishes 0x1FDC65EE for "rapidhash v3, 64-bit": it depends on all lengths below 256 and on one of
    /// 2,048.
    #[test]
    #[cfg_attr(miri, ignore = "long, and nothing for Miri to see")]
    fn published_verification_code() {
        let bytes: Vec<u8> = (0..=255).collect();
        let hashes: Vec<u8> = (0..256).flat_map(|len| reference(&bytes[..len], 256 - len as u64).to_le_bytes()).collect();
        assert_eq!(reference(&hashes, 0) as u32, 0x1fdc_65ee);
        assert_eq!(reference(b"hello world", 0), 3_397_907_815_814_400_320);
    }

    /// From the reference implementation in C, with the secrets of the definition above.
    #[test]
    fn results_of_the_reference_implementation() {
        let bytes = fixed_bytes();
        let expected: [(u64, usize, u64); 12] = [
            (0, 0, 0x0ef4_eaa9_300f_3309),
            (0, 7, 0xda48_380a_9fb6_4a91),
            (0, 16, 0x7bf7_9e98_46d5_733c),
            (0, 600, 0xb429_096e_1b77_9e88),
            (1, 3, 0x8cf3_c956_3774_f7af),
            (1, 64, 0x9018_3909_142e_cf2b),
            (1, 113, 0x3542_6e9e_f026_9cde),
            (0x0123_4567_89ab_cdef, 1, 0xb177_a720_adef_37c1),
            (0x0123_4567_89ab_cdef, 8, 0x0b46_c464_08ed_f114),
            (0x0123_4567_89ab_cdef, 17, 0x3ee4_5516_b22f_c671),
            (0x0123_4567_89ab_cdef, 224, 0x8293_ba93_124e_927e),
            (0x0123_4567_89ab_cdef, 225, 0x64ca_9614_cb4a_6023),
        ];
        for (seed, len, hash) in expected {
            assert_eq!(KeyHasher::new(seed).hash(&bytes[..len]), hash, "seed {seed:#x}, {len} bytes");
        }
        assert_eq!(KeyHasher::fingerprint(), 0x21e4_8555_bb49_2586);
    }

    #[test]
    fn published_splitmix() {
        let mut state = 1_234_567;
        assert_eq!(split_mix(&mut state), 6_457_827_717_110_365_317);
        assert_eq!(split_mix(&mut state), 3_203_168_211_198_807_973);
    }

    /// How far the counts lie from those of a uniform choice, in standard deviations.
    fn deviation(counts: &[u32], total: u32) -> f64 {
        let expected = f64::from(total) / counts.len() as f64;
        let chi_squared: f64 = counts.iter().map(|&count| (f64::from(count) - expected).powi(2) / expected).sum();
        let freedom = (counts.len() - 1) as f64;
        (chi_squared - freedom) / (2.0 * freedom).sqrt()
    }

    /// The fields that the index takes are uniform on keys of the regular kinds, and unlike each other.
    #[test]
    #[cfg_attr(miri, ignore = "long, and nothing for Miri to see")]
    fn bits_are_uniform_on_regular_keys() {
        const KEYS: u32 = 1 << 18;
        type KeyOf = fn(u32) -> Vec<u8>;
        let kinds: [(&str, KeyOf); 6] = [
            ("integers", |n| u64::from(n).to_le_bytes().to_vec()),
            ("big-endian integers", |n| u64::from(n).to_be_bytes().to_vec()),
            ("multiples of 4,096", |n| (u64::from(n) << 12).to_le_bytes().to_vec()),
            ("short names", |n| format!("user:{n}").into_bytes()),
            ("long prefix", |n| format!("{}{n:08}", "/var/lib/application/cache/".repeat(5)).into_bytes()),
            ("long suffix", |n| format!("{n:08}{}", "?page=1&size=50".repeat(17)).into_bytes()),
        ];
        for seed in [0, 1, 0xdead_beef_0bad_cafe] {
            let hasher = KeyHasher::new(seed);
            for (kind, key_of) in kinds {
                let hashes: Vec<u64> = (0..KEYS).map(|n| hasher.hash(&key_of(n))).collect();
                for shift in [0, 12, 20, 32, 40, 52] {
                    let mut counts = vec![0; 4096];
                    hashes.iter().for_each(|hash| counts[(hash >> shift) as usize % 4096] += 1);
                    let deviation = deviation(&counts, KEYS);
                    assert!(deviation.abs() < 5.0, "{kind}, seed {seed:#x}, bits from {shift}: {deviation}");
                }
                let mut pairs = vec![0; 4096];
                hashes.iter().for_each(|hash| pairs[((hash >> 58) << 6 | hash & 63) as usize] += 1);
                assert!(deviation(&pairs, KEYS).abs() < 5.0, "{kind}, seed {seed:#x}: ends of the hash together");
                let mut high: Vec<u32> = hashes.iter().map(|hash| (hash >> 32) as u32).collect();
                high.sort_unstable();
                let collisions = high.windows(2).filter(|pair| pair[0] == pair[1]).count();
                // 2^18 of 2^32: eight are expected.
                assert!(collisions < 25, "{kind}, seed {seed:#x}: {collisions} collisions in the high half");
            }
        }
    }
}
