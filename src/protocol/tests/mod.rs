//! The protocol on heap memory: what it does alone, under threads, after deaths, and on rotten bytes. All of it runs
//! under Miri too.

mod alone;
mod deaths;
mod ends;
mod findings;
mod rotten;
mod together;
mod words;

use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};

use super::{Content, Core, Event, Facts, Hints, Key, Op, Owner, Put, World};
use crate::hash::KeyHasher;
use crate::layout::Geometry;
use crate::memory::HeapMemory;

/// A world whose clock stands until it is told to move.
#[derive(Default)]
pub(super) struct Bench {
    pub now: AtomicU64,
    pub counts: [AtomicU64; 16],
    random: AtomicU32,
}

impl World for Bench {
    fn now_ms(&self) -> u64 {
        self.now.load(Ordering::Relaxed) + 1
    }

    fn reclaim(&self, _: Owner) -> bool {
        false
    }

    fn entropy(&self) -> u32 {
        self.random.fetch_add(0x9e37_79b9, Ordering::Relaxed) >> 16
    }

    fn count(&self, event: Event, times: u64) {
        self.counts[event as usize].fetch_add(times, Ordering::Relaxed);
    }
}

impl Bench {
    pub fn counted(&self, event: Event) -> u64 {
        self.counts[event as usize].load(Ordering::Relaxed)
    }
}

pub(super) fn geometry(max_entries: u64) -> Geometry {
    Geometry {
        capacity: 1 << 16,
        segments: 8,
        segment_bytes: 2048,
        buckets: 32,
        ghost_sets: 16,
        lines: 4,
        max_value_len: 512,
        max_entries,
        expected_entry_size: 128,
    }
}

pub(super) fn core(geometry: Geometry) -> Core<HeapMemory> {
    let layout = geometry.layout().expect("a valid geometry");
    Core { memory: HeapMemory::new(layout.total), layout }
}

/// A participant: a line, hints, and the operations in short.
pub(super) struct Hand<'a> {
    pub core: &'a Core<HeapMemory>,
    pub world: &'a Bench,
    pub owner: Owner,
    pub hints: Hints,
}

const HASHER_SEED: u64 = 7;

pub(super) fn hash(bytes: &[u8]) -> u64 {
    KeyHasher::new(HASHER_SEED).hash(bytes)
}

/// No entry of these tests expires later than this.
pub(super) const FACTS: Facts<'static> = Facts { hash: &hash, latest_expiry_ms: &|| 1 << 41 };

impl<'a> Hand<'a> {
    pub fn new(core: &'a Core<HeapMemory>, world: &'a Bench, line: usize) -> Self {
        Self { core, world, owner: core.take_line(line, 1), hints: Hints { lane: line as u32, ..Hints::default() } }
    }

    pub fn op(&self) -> Op<'_, HeapMemory> {
        self.core.begin(Some(self.owner), self.world, &self.hints)
    }

    pub fn set(&self, key: &[u8], value: &[u8], expiry_ms: Option<u64>) -> Put {
        self.op().set(&Key::new(key, hash(key)), &Content { value, expiry_ms, version: None })
    }

    pub fn get(&self, key: &[u8]) -> Option<Vec<u8>> {
        let mut value = Vec::new();
        self.op().get(&Key::new(key, hash(key)), &mut value).map(|_| value)
    }

    pub fn remove(&self, key: &[u8]) -> bool {
        self.op().remove(&Key::new(key, hash(key)))
    }

    pub fn verify(&self) -> super::Summary {
        self.core.verify(&FACTS, &mut |finding| panic!("{finding:?}"))
    }
}

/// Numbers without a pattern, the same at each run.
pub(super) struct Dice(pub u64);

impl Dice {
    pub fn roll(&mut self, sides: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 16) % sides
    }
}

/// How often a test repeats what it does: less under Miri, which is a thousand times slower.
pub(super) const fn rounds(many: u32) -> u32 {
    if cfg!(miri) { many / 200 + 10 } else { many }
}

/// Under Miri one of so many cases: it looks for undefined behaviour, which one case shows as well as another.
pub(super) fn some_under_miri<T>(cases: impl IntoIterator<Item = T>, one_in: usize) -> impl Iterator<Item = T> {
    cases.into_iter().step_by(if cfg!(miri) { one_in } else { 1 })
}
