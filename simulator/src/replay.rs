//! Replays a trace and adds up what came of it.

use crate::policies::Policy;
use crate::trace::Trace;

/// What a replay came to.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Outcome {
    /// Requests.
    pub requests: u64,
    /// ... of which were hits.
    pub hits: u64,
    /// Bytes asked for.
    pub bytes: u64,
    /// ... of which were hits.
    pub hit_bytes: u64,
    /// Objects evicted.
    pub evictions: u64,
    /// Objects that were there, on average, once the cache was full; 0 if that is not known.
    pub resident: f64,
    /// What those took, in bytes of the log; 0 if that is not known.
    pub resident_bytes: f64,
    /// Bytes (or units) moved for each one stored.
    pub moved: f64,
    /// The most over a stretch that stored the capacity once.
    pub moved_at_worst: f64,
    /// Writes for which there was no room at that moment.
    pub dropped: u64,
    /// Entries evicted because their bucket of the index was full.
    pub full_bucket: u64,
}

impl Outcome {
    /// Hits in all requests.
    pub fn hit_ratio(&self) -> f64 {
        self.hits as f64 / (self.requests as f64).max(1.0)
    }

    /// Bytes of hits in all bytes asked for.
    pub fn byte_hit_ratio(&self) -> f64 {
        self.hit_bytes as f64 / (self.bytes as f64).max(1.0)
    }
}

/// Parts of a capacity after which traffic is looked at.
pub const PARTS: usize = 8;

/// What was stored and moved, looked at now and then, for the worst stretch.
#[derive(Clone, Debug, Default)]
pub struct Traffic {
    samples: Vec<(u64, u64)>,
}

impl Traffic {
    /// Notes what was stored and moved in all until now. To be called whenever another [`PARTS`]th of the capacity was
    /// stored.
    pub fn note(&mut self, stored: u64, moved: u64) {
        self.samples.push((stored, moved));
    }

    /// Moved for each stored, in all.
    pub fn mean(&self) -> f64 {
        self.samples.last().map_or(0.0, |&(stored, moved)| moved as f64 / (stored as f64).max(1.0))
    }

    /// The most over any stretch of a capacity.
    pub fn worst(&self) -> f64 {
        let stretches = self.samples.windows(PARTS + 1).map(|stretch| {
            let (first, last) = (stretch[0], stretch[PARTS]);
            (last.1 - first.1) as f64 / ((last.0 - first.0) as f64).max(1.0)
        });
        stretches.fold(0.0, f64::max)
    }
}

/// How a policy is asked: with every object of size one, or with what each takes.
#[derive(Clone, Copy, Debug)]
pub enum Charge {
    /// One for each.
    Objects,
    /// What an entry of that size takes.
    Bytes(fn(u32) -> u32),
}

/// Runs a policy over a trace.
pub fn policy(trace: &Trace, policy: &mut dyn Policy, capacity: u64, charge: Charge) -> Outcome {
    let mut outcome = Outcome { requests: trace.ids.len() as u64, ..Outcome::default() };
    let (mut traffic, mut stored, mut next) = (Traffic::default(), 0, 0);
    let part = (capacity / PARTS as u64).max(1);
    for (at, &id) in trace.ids.iter().enumerate() {
        let size = trace.sizes.as_ref().map_or(1, |sizes| sizes[at]);
        let charged = match charge {
            Charge::Objects => 1,
            Charge::Bytes(charge) => charge(size),
        };
        outcome.bytes += u64::from(size);
        if policy.request(id, charged) {
            outcome.hits += 1;
            outcome.hit_bytes += u64::from(size);
            continue;
        }
        stored += u64::from(charged);
        if stored >= next {
            traffic.note(stored, policy.moved());
            next = stored + part;
        }
    }
    traffic.note(stored, policy.moved());
    outcome.evictions = policy.evictions();
    outcome.moved = traffic.mean();
    outcome.moved_at_worst = traffic.worst();
    outcome
}
