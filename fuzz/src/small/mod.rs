//! Tiny caches, thousands of them a second: the protocol and the memory layer, from the very sources of the crate, on a
//! mapped file of a few KiB. An input decides the geometry.

pub mod course;
pub mod memory;
pub mod model;
pub mod ops;
pub mod seeds;

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::rc::Rc;
use std::sync::atomic::Ordering;

use crate::edit::Spoilt;
use crate::hash::KeyHasher;
use crate::layout::{Geometry, Layout, header};
use crate::protocol::{Core, Event, Hints, Memory, Op, Owner, Word, World};
use memory::{FILE_BYTES, Watched};
use model::Entries;
use ops::SmallOp;

/// How many keys there are.
pub const KEYS: u8 = 24;
/// Files of so many kinds are kept, as they are to begin with.
const MOST_IMAGES: usize = 2048;
/// When a cache begins, in milliseconds.
const FIRST_MOMENT: u64 = 1000;

/// What kind of cache an input is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Kind {
    sizes: u8,
    rest: u8,
}

impl Kind {
    /// The kind that two bytes stand for.
    pub fn new(sizes: u8, rest: u8) -> Self {
        Self { sizes, rest: rest & 0x7f }
    }

    fn geometry(self) -> Geometry {
        let pick = |from: &[u64], bits: u8| from[usize::from(bits) % from.len()];
        let segment_bytes = pick(&[256, 512, 1024, 128], self.sizes >> 3 & 3);
        // The longest value with which a key as long and two more words fit a segment, or a fourth of that.
        let max_value_len = ((segment_bytes - 32) / 16 * 8) >> ((self.rest >> 5 & 1) * 2);
        Geometry {
            capacity: FILE_BYTES as u64,
            segments: pick(&[4, 5, 6, 8, 12, 4, 6, 2], self.sizes & 7),
            segment_bytes,
            buckets: pick(&[4, 1, 2, 12], self.sizes >> 5 & 3),
            ghost_sets: pick(&[1, 4], self.rest >> 3 & 1),
            lines: pick(&[2, 4], self.rest >> 4 & 1),
            max_value_len,
            max_entries: pick(&[0, 0, 3, 9, 64, 65, 70, 1], self.rest & 7),
            expected_entry_size: 64,
        }
    }

    /// Whether all keys have the same hash.
    fn is_colliding(self) -> bool {
        self.sizes & 0x80 != 0
    }

    fn is_full(self) -> bool {
        self.rest & 0x40 != 0
    }
}

/// One who uses the cache: a process that has a line, or will take one at its first operation.
struct Hand {
    owner: Cell<Option<Owner>>,
    hints: Hints,
}

/// A tiny cache, two hands, and a clock that stands.
pub struct Small {
    pub core: Core<Watched>,
    kind: Kind,
    hasher: KeyHasher,
    hands: [Hand; 2],
    now: Cell<u64>,
    random: Cell<u32>,
    counts: [Cell<u64>; 16],
    serial: Cell<u32>,
    versions: RefCell<Vec<u64>>,
}

/// A file to begin with, and what it holds.
pub struct Image {
    bytes: Vec<u8>,
    pub entries: Entries,
    serial: u32,
}

thread_local! {
    static IMAGES: RefCell<HashMap<Kind, Rc<Image>>> = RefCell::default();
}

impl Small {
    /// A cache of a kind as it is to begin with.
    pub fn new(kind: Kind) -> (Rc<Self>, Rc<Image>) {
        let known = IMAGES.with_borrow(|images| images.get(&kind).cloned());
        let image = known.unwrap_or_else(|| {
            let image = Rc::new(Self::make(kind));
            IMAGES.with_borrow_mut(|images| {
                if images.len() >= MOST_IMAGES {
                    images.clear();
                }
                images.insert(kind, image.clone());
            });
            image
        });
        let small = Self::on_the_file(kind);
        small.core.memory.restore(&image.bytes);
        small.serial.set(image.serial);
        (Rc::new(small), image)
    }

    fn on_the_file(kind: Kind) -> Self {
        let layout = kind.geometry().layout().expect("a possible geometry");
        let hand = |lane| Hand { owner: Cell::new(None), hints: Hints { lane, ..Hints::default() } };
        Self {
            core: Core { memory: Watched::new(&layout), layout },
            kind,
            hasher: KeyHasher::new(7),
            hands: [hand(0), hand(1)],
            now: Cell::new(FIRST_MOMENT),
            random: Cell::new(0),
            counts: Default::default(),
            serial: Cell::new(0),
            versions: RefCell::default(),
        }
    }

    /// Makes a file as its creator does, and fills it if it is to be full: with entries of all sorts, some from before
    /// a `clear`. Those who did that have left.
    fn make(kind: Kind) -> Image {
        let small = Self::on_the_file(kind);
        small.core.memory.restore(&vec![0; small.core.layout.total]);
        small.core.memory.word(header::POLICY_SHARE).store(small.core.layout.first_share(), Ordering::Relaxed);
        if kind.is_full() {
            for step in 0..60u8 {
                let (key, len, ms) = (step.wrapping_mul(7), step.wrapping_mul(29) % 200, 50);
                small.perform(
                    usize::from(step % 2),
                    &match step % 6 {
                        0..=2 => SmallOp::Set { key, len },
                        3 => SmallOp::SetFor { key, len, ms },
                        4 => SmallOp::GetVersioned { key: key.wrapping_sub(14) },
                        _ => SmallOp::GetMany { first: step, count: 5 },
                    },
                );
                if step == 20 {
                    small.core.clear();
                }
            }
        }
        let entries = std::array::from_fn(|key| small.entry(key as u8).into_iter().collect());
        for hand in &small.hands {
            hand.owner.take().into_iter().for_each(|owner| small.core.leave_line(owner));
        }
        Image { bytes: small.core.memory.image(), entries, serial: small.serial.get() }
    }

    /// Begins an operation. Takes a line first, if there is none: what a dead process held by it is given back.
    fn op(&self, hand: usize) -> Op<'_, Watched> {
        let Hand { owner, hints } = &self.hands[hand];
        if owner.get().is_none() {
            owner.set(Some(self.core.take_line(hand, 1)));
        }
        self.core.begin(owner.get(), self, hints)
    }

    /// The process of a hand is gone; another one takes its place sooner or later, and knows nothing.
    pub fn bury(&self, hand: usize) {
        let Hand { owner, hints } = &self.hands[hand];
        owner.set(None);
        hints.open.iter().for_each(|hint| hint.store(0, Ordering::Relaxed));
        hints.evicting.iter().chain([&hints.sweeping]).for_each(|hint| hint.store(0, Ordering::Relaxed));
    }

    /// The key with this number.
    pub fn key(&self, number: u8) -> Vec<u8> {
        let number = number % KEYS;
        let most = self.core.layout.max_key_len;
        let len = match number {
            0 => 0,
            23 => most,
            _ => most.min([1, 8, 9, 16, 3, 17][usize::from(number) % 6]),
        };
        vec![number; len]
    }

    /// The hash of a key.
    pub fn hash(&self, key: &[u8]) -> u64 {
        if self.kind.is_colliding() { 5 << 32 | 5 } else { self.hasher.hash(key) }
    }

    /// The time, in milliseconds on the clock of the file.
    pub fn now(&self) -> u64 {
        self.now.get()
    }

    /// How often something happened.
    pub fn counted(&self, event: Event) -> u64 {
        self.counts[event as usize].get()
    }

    fn next_serial(&self) -> u32 {
        self.serial.set(self.serial.get() + 1);
        self.serial.get()
    }
}

impl World for Small {
    fn now_ms(&self) -> u64 {
        self.now.get()
    }

    /// Alive is who has a line here; no other line is locked.
    fn reclaim(&self, suspect: Owner) -> bool {
        let line = usize::from(suspect.line);
        let is_alive = self.hands.iter().any(|hand| hand.owner.get().is_some_and(|owner| owner.line == suspect.line));
        if is_alive || line >= self.core.layout.lines {
            return false;
        }
        if self.core.incarnation(line) == suspect.incarnation {
            self.core.recover_line(line)
        } else {
            self.core.recover_former(suspect)
        }
    }

    fn entropy(&self) -> u32 {
        self.random.set(self.random.get().wrapping_add(0x9e37_79b9));
        self.random.get() >> 16
    }

    fn count(&self, event: Event, times: u64) {
        let counter = &self.counts[event as usize];
        counter.set(counter.get() + times);
    }
}

impl Spoilt for Small {
    fn layout(&self) -> &Layout {
        &self.core.layout
    }

    fn bytes(&self) -> usize {
        self.core.layout.total
    }

    fn word(&self, at: usize) -> u64 {
        self.core.memory.raw(at).load(Ordering::Relaxed)
    }

    fn write(&self, at: usize, bytes: &[u8]) {
        let fitting = bytes.len().min(self.bytes().saturating_sub(at));
        for (index, chunk) in bytes[..fitting].chunks(8).enumerate() {
            let word = self.core.memory.raw(at + index * 8);
            let mut whole = word.load(Ordering::Relaxed).to_le_bytes();
            whole[..chunk.len()].copy_from_slice(chunk);
            word.store(u64::from_le_bytes(whole), Ordering::Relaxed);
        }
    }

    fn key(&self, number: u8) -> Vec<u8> {
        self.key(number)
    }

    fn hash(&self, key: &[u8]) -> u64 {
        self.hash(key)
    }
}
