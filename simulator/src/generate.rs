//! Synthetic traces, seeded: the same on every machine whose `powf` is accurate.

use crate::trace::Trace;

/// SplitMix64 (Steele, Lea and Flood, OOPSLA 2014).
#[derive(Clone, Debug)]
pub struct Random(u64);

impl Random {
    /// A generator with a seed.
    pub fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// The next 64 bits.
    pub fn bits(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        mix(self.0)
    }

    /// A number from 0 up to 1.
    pub fn unit(&mut self) -> f64 {
        (self.bits() >> 11) as f64 / (1u64 << 53) as f64
    }

    /// A number below `end`.
    pub fn below(&mut self, end: u64) -> u64 {
        ((u128::from(self.bits()) * u128::from(end)) >> 64) as u64
    }
}

/// The finalizer of SplitMix64: a hash of 64 bits.
pub fn mix(bits: u64) -> u64 {
    let bits = (bits ^ bits >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let bits = (bits ^ bits >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
    bits ^ bits >> 31
}

/// Ranks by Zipf's law.
#[derive(Clone, Debug)]
pub struct Zipf {
    cumulated: Vec<f64>,
}

impl Zipf {
    /// Ranks below `objects`; rank r has the weight 1 / (r + 1)^exponent.
    pub fn new(objects: usize, exponent: f64) -> Self {
        let mut sum = 0.0;
        let weight = |rank: usize| {
            sum += 1.0 / (rank as f64 + 1.0).powf(exponent);
            sum
        };
        Self { cumulated: (0..objects).map(weight).collect() }
    }

    /// A rank.
    pub fn draw(&self, random: &mut Random) -> u64 {
        let wanted = random.unit() * self.cumulated.last().copied().unwrap_or_default();
        self.cumulated.partition_point(|&sum| sum <= wanted) as u64
    }
}

/// How large a synthetic trace is.
#[derive(Clone, Copy, Debug)]
pub struct Scale {
    /// Objects that are drawn from.
    pub objects: u64,
    /// Requests.
    pub requests: u64,
}

impl Scale {
    /// The scale of the published figures.
    pub const FULL: Self = Self { objects: 1_000_000, requests: 5_000_000 };
    /// With sizes a cache of a tenth of all bytes is large.
    pub const MIXED: Self = Self { objects: 200_000, requests: 3_000_000 };
}

/// Zipf's law with exponent 0.99.
pub fn zipf099(scale: Scale) -> Trace {
    let (mut random, zipf) = (Random::new(1), Zipf::new(scale.objects as usize, 0.99));
    Trace::new("syn_zipf099", (0..scale.requests).map(|_| zipf.draw(&mut random)))
}

/// Zipf's law with exponent 0.8; of every 100,000 requests the last 30,000 are a scan that goes on round all objects.
pub fn zipf080_scan(scale: Scale) -> Trace {
    let (mut random, zipf) = (Random::new(2), Zipf::new(scale.objects as usize, 0.80));
    let mut scanned = 0;
    let keys = (0..scale.requests).map(|i| {
        if i % 100_000 < 70_000 {
            return zipf.draw(&mut random);
        }
        scanned += 1;
        scale.objects + (scanned - 1) % scale.objects
    });
    Trace::new("syn_zipf080_scan", keys)
}

/// Zipf's law with exponent 0.99, values of 1 byte to 64 KiB ([`lognormal_sizes`]).
///
/// # Errors
/// None, in truth: there are as many sizes as requests.
pub fn mixed(scale: Scale) -> anyhow::Result<Trace> {
    let mut trace = zipf099(scale);
    trace.name = "syn_mixed".to_owned();
    let sizes = lognormal_sizes(&trace);
    trace.with_sizes(sizes)
}

/// Zipf's law with exponent 0.99 over a set of which 2 % are replaced twenty times.
pub fn shift(scale: Scale) -> Trace {
    let (mut random, zipf) = (Random::new(3), Zipf::new(scale.objects as usize, 0.99));
    let keys = (0..scale.requests).map(|i| {
        let shifted = scale.objects / 50 * (i / (scale.requests / 20));
        (zipf.draw(&mut random) + shifted) % scale.objects
    });
    Trace::new("syn_shift", keys)
}

/// Objects that are asked for once more, so many creations later, and then never again.
pub fn reread(objects: u64, later: std::ops::Range<u64>, seed: u64) -> Vec<u64> {
    let mut random = Random::new(seed);
    let mut due: Vec<Vec<u64>> = vec![Vec::new(); (objects + later.end) as usize];
    let mut keys = Vec::new();
    for object in 0..objects {
        keys.push(object);
        let at = object + later.start + random.below(later.end - later.start);
        due[at as usize].push(object);
        keys.append(&mut due[object as usize]);
    }
    keys
}

/// Sizes of which the logarithm is normal, by a hash of the object: a median of 400 bytes, one in six above 2,900 and one
/// in six below 54, none above 64 KiB.
pub fn lognormal_sizes(trace: &Trace) -> Vec<u32> {
    let size = |id: u32| {
        let mut random = Random::new(mix(u64::from(id)) ^ 0x5157);
        // Box and Muller; the logarithm of 0 is not asked for.
        let radius = (-2.0 * (1.0 - random.unit()).ln()).sqrt();
        let normal = radius * (std::f64::consts::TAU * random.unit()).cos();
        (400.0 * (2.0 * normal).exp()).round().clamp(1.0, 65536.0) as u32
    };
    let of_object: Vec<u32> = (0..trace.objects() as u32).map(size).collect();
    trace.ids.iter().map(|&id| of_object[id as usize]).collect()
}

/// Sizes from `least` to `most` bytes by a hash of the object, evenly spread over the magnitudes.
pub fn sizes(trace: &Trace, least: u32, most: u32) -> Vec<u32> {
    let ratio = f64::from(most) / f64::from(least);
    let size = |id: u32| {
        let part = (mix(u64::from(id) ^ 0x5151_5151) >> 11) as f64 / (1u64 << 53) as f64;
        ((f64::from(least) * ratio.powf(part)).round() as u32).clamp(least, most)
    };
    trace.ids.iter().map(|&id| size(id)).collect()
}
