//! The inputs that fuzzing begins with, and the words of the dictionary: `cargo run --example seeds` writes them.

use std::fmt::Write as _;

use crate::code::Coded;
use crate::edit::{Change, Edit, Place};
use crate::layout;
use crate::ops::Op;
use crate::rig::{self, KINDS};
use crate::small;

/// An input: its target, its name, its bytes.
pub type Seed = (&'static str, String, Vec<u8>);

/// Bytes of the header that never change, checksum included.
const FIXED_HEADER: usize = 152;

fn put_all<T: Coded>(all: &[T], out: &mut Vec<u8>) {
    all.iter().for_each(|one| one.put(out));
}

fn word(place: Place, change: Change) -> Edit {
    Edit::Word { place, change }
}

/// A few operations of each sort, as programs use them.
fn courses() -> Vec<(&'static str, Vec<Op>)> {
    let some = |number: u8| number * 5 % 40;
    let mut mixed = Vec::new();
    for number in 0..40 {
        let (key, len, ttl) = (some(number), number * 6, number);
        mixed.push(match number % 13 {
            0 => Op::Set { key, len },
            1 => Op::Get { key },
            2 => Op::SetWithTtl { key, len, ttl },
            3 => Op::GetVersioned { key: some(number - 3) },
            4 => Op::CompareAndSwap { key: some(number - 4), version: 0, len, ttl: 0 },
            5 => Op::Increment { key: some(number), delta: 3, initial: 1, ttl: 0 },
            6 => Op::Update { key: some(number - 6), action: number, len, ttl },
            7 => Op::Remove { key: some(number - 7) },
            8 => Op::Add { key, len, ttl },
            9 => Op::Replace { key, len, ttl },
            10 => Op::Touch { key: some(number - 10), ttl },
            11 => Op::Take { key: some(number - 11) },
            _ => Op::Iter,
        });
    }
    let fill = |len: u8, times: u8| -> Vec<Op> {
        let round = |first| [Op::SetMany { first, count: 39, len }, Op::GetMany { first, count: 20 }];
        (0..times).flat_map(|time| round(time * 37)).chain([Op::Verify, Op::Len, Op::Stats]).collect()
    };
    let expiring = vec![
        Op::SetWithTtl { key: 1, len: 9, ttl: 1 },
        Op::SetWithTtl { key: 2, len: 9, ttl: 4 },
        Op::TimeToLive { key: 2 },
        Op::Wait,
        Op::Get { key: 1 },
        Op::Touch { key: 2, ttl: 2 },
        Op::TimeToLive { key: 2 },
        Op::Wait,
        Op::Add { key: 2, len: 30, ttl: 5 },
        Op::Iter,
    ];
    let counters = (0..10)
        .map(|number| Op::Increment { key: 5, delta: 100, initial: number * 28, ttl: number })
        .chain([Op::Reattach, Op::Get { key: 5 }, Op::Switch, Op::Increment { key: 5, delta: -9, initial: 0, ttl: 0 }])
        .collect();
    let cleared = vec![
        Op::SetMany { first: 0, count: 30, len: 20 },
        Op::Clear,
        Op::Get { key: 3 },
        Op::Set { key: 3, len: 7 },
        Op::Switch,
        Op::Get { key: 3 },
        Op::Clear,
        Op::Keys,
    ];
    let extremes = vec![
        Op::Set { key: 251, len: 254 },
        Op::Set { key: 251, len: 255 },
        Op::Get { key: 251 },
        Op::Set { key: 252, len: 0 },
        Op::Set { key: 0, len: 0 },
        Op::Get { key: 0 },
        Op::SetWithTtl { key: 0, len: 1, ttl: 6 },
        Op::Update { key: 0, action: 0, len: 255, ttl: 0 },
        Op::Increment { key: 7, delta: 1, initial: 255, ttl: 0 },
    ];
    vec![
        ("mixed", mixed),
        ("small", fill(30, 5)),
        ("medium", fill(230, 7)),
        ("large", fill(250, 7)),
        ("expiring", expiring),
        ("counters", counters),
        ("cleared", cleared),
        ("extremes", extremes),
    ]
}

/// Ways in which a file may be spoilt.
fn spoilers() -> Vec<(&'static str, Vec<Edit>)> {
    let segment = |segment, word| Place::Segment { segment, word };
    let all_segments = |change: &dyn Fn(u8) -> Change, field| -> Vec<Edit> {
        (0..32).map(|number| word(segment(number, field), change(number))).collect()
    };
    vec![
        ("nothing", vec![]),
        ("bits", (0..24).map(|bit| word(Place::Header { word: bit % 16 }, Change::Flip { bit: bit * 5 })).collect()),
        ("ones", (0..16).map(|at| word(Place::Header { word: at }, Change::Ones)).collect()),
        ("held_by_the_dead", all_segments(&|_| Change::State { phase: 1, line: 2, incarnation: 77 }, 0)),
        ("swept_by_the_dead", all_segments(&|at| Change::State { phase: 4 + (at & 8), line: 1, incarnation: 5 }, 0)),
        ("held_by_oneself", all_segments(&|_| Change::State { phase: 1, line: 0, incarnation: 2 }, 0)),
        ("rotten_states", all_segments(&|at| Change::State { phase: at, line: 0, incarnation: 0 }, 0)),
        ("sealed", all_segments(&|_| Change::State { phase: 3, line: 0, incarnation: 0 }, 0)),
        ("tails", all_segments(&|at| Change::Add { number: at as i8 - 16 }, 1)),
        ("long_tails", all_segments(&|_| Change::Ones, 1)),
        ("hands", all_segments(&|at| Change::Small { number: u16::from(at) * 99 }, 2)),
        ("young", all_segments(&|_| Change::Ones, 3)),
        ("generations", (0..32).map(|at| word(Place::Generation { segment: at }, Change::Add { number: 1 })).collect()),
        (
            "pins",
            (0..8).map(|at| word(Place::Line { line: 0, word: 8 + at }, Change::Pin { segment: at, generation: 0 })).collect(),
        ),
        // Found earlier: walks that are done, and seem not to be.
        (
            "pinned_with_long_tails",
            (0..8)
                .map(|at| word(Place::Line { line: 1, word: 8 + at }, Change::Pin { segment: at, generation: 0 }))
                .chain((0..8).map(|at| word(segment(at, 1), Change::Raw { bits: 1 << 49 })))
                .chain((8..40).map(|at| word(segment(at, 0), Change::State { phase: 1, line: 0, incarnation: 2 })))
                .collect(),
        ),
        ("lines", (0..4).map(|line| word(Place::Line { line, word: 0 }, Change::Small { number: 3 })).collect()),
        ("counting", (0..4).map(|line| word(Place::Line { line, word: 4 }, Change::Small { number: 1 })).collect()),
        (
            "full_of_nothing",
            (0..40)
                .map(|at| {
                    let place = Place::SlotOf { key: at / 8, slot: at % 8 };
                    word(place, Change::Slot { kind: 2, freq: at, segment: at, unit: 77 })
                })
                .collect(),
        ),
        (
            "tentative",
            (0..40)
                .map(|at| {
                    let place = Place::SlotOf { key: at / 8, slot: at % 8 };
                    word(place, Change::SlotFor { key: at / 8, segment: at, unit: 0 })
                })
                .chain((0..40).map(|at| word(Place::SlotOf { key: at / 8, slot: at % 8 }, Change::Flip { bit: 63 })))
                .chain((0..20).map(|at| word(Place::SlotOf { key: at / 8, slot: at % 8 }, Change::Flip { bit: 62 })))
                .collect(),
        ),
        (
            "twice",
            (0..8)
                .map(|slot| word(Place::SlotOf { key: 4, slot }, Change::Copy { from: Place::SlotOf { key: 4, slot: slot / 2 } }))
                .collect(),
        ),
        (
            "entries",
            (0..30)
                .map(|key| {
                    let first = Change::Entry { key_len: key.into(), value_len: 1 << key, flags: key % 5 };
                    word(Place::EntryOf { key, word: key % 2 * 2 }, first)
                })
                .collect(),
        ),
        (
            "noise_in_the_log",
            (0..8).map(|at| Edit::Fill { place: Place::Log { segment: at, word: 9 }, count: 999, byte: 0xa5 }).collect(),
        ),
        ("holes", vec![Edit::Hole { page: 1, pages: 2 }, Edit::Hole { page: 100, pages: 50 }]),
        ("no_header", vec![Edit::Hole { page: 0, pages: 0 }]),
        ("short", vec![Edit::Truncate { len: 1_000_000 }]),
        ("shorter", vec![Edit::Truncate { len: 100 }]),
        ("empty", vec![Edit::Truncate { len: 0 }]),
        ("cut_and_long_again", vec![Edit::Truncate { len: 70_000 }, Edit::Extend { pages: 3 }]),
        ("long", vec![Edit::Extend { pages: 200 }]),
    ]
}

fn headers(seeds: &mut Vec<Seed>) {
    for kind in 0..KINDS {
        let header = rig::with(kind, true, |rig| rig.header()[..FIXED_HEADER].to_vec());
        for is_fixed in [0, 1] {
            let whole = [&[kind << 1 | is_fixed, 0, 0][..], &header].concat();
            seeds.push(("header", format!("whole-{kind}-{is_fixed}"), whole));
        }
        // Numbers that make no sense, found earlier: a bound that the count has no bits for, a file of half a page.
        for (at, number) in [(12u16, u64::MAX >> 3), (5, rig::CAPACITY - 4)] {
            let odd = [&[kind << 1 | 1][..], &at.to_le_bytes(), &number.to_le_bytes()].concat();
            seeds.push(("header", format!("odd-{kind}-{at}"), odd));
        }
        // One number of the geometry each.
        for at in 5..14u16 {
            let number = &header[usize::from(at) * 8..][..8];
            let one = [&[kind << 1 | 1][..], &at.to_le_bytes(), number].concat();
            seeds.push(("header", format!("word-{kind}-{at}"), one));
        }
    }
    for at in [0x100u16, 0x180, 0x188, 0x200, 0x280, 0x300, 0x310, 0x380, 0x400, 0x480] {
        let changing = [&[at as u8 >> 5][..], &(at / 8).to_le_bytes(), &[0xff; 16]].concat();
        seeds.push(("header", format!("changing-{at:x}"), changing));
    }
}

/// All inputs to begin with.
pub fn all() -> Vec<Seed> {
    let mut seeds = Vec::new();
    headers(&mut seeds);
    for (at, (name, edits)) in spoilers().into_iter().enumerate() {
        let kind = at as u8 % KINDS;
        let ops = &courses()[at % 3].1;
        let mut input = vec![kind, ops.len().min(20) as u8];
        put_all(&ops[..ops.len().min(20)], &mut input);
        put_all(&edits, &mut input);
        seeds.push(("before_attach", name.to_string(), input));

        // A step is which, then an operation, an edit or both.
        let mut input = vec![kind];
        for (at, edit) in edits.iter().enumerate() {
            input.push(if at % 3 == 0 { 2 } else { 1 });
            if at % 3 == 0 {
                Op::Update { key: at as u8, action: 0, len: 30, ttl: 0 }.put(&mut input);
            }
            edit.put(&mut input);
            input.push(0);
            ops[at % ops.len()].put(&mut input);
        }
        seeds.push(("in_use", name.to_string(), input));
    }
    seeds.extend(small::seeds::all(&spoilers()).into_iter().map(|(name, bytes)| ("protocol", name, bytes)));
    for (name, ops) in courses() {
        for kind in 0..KINDS {
            for wide in [0, 0x80] {
                let mut input = vec![wide | kind];
                put_all(&ops, &mut input);
                seeds.push(("model", format!("{name}-{kind}{}", if wide == 0 { "" } else { "-wide" }), input));
            }
        }
    }
    seeds
}

/// Words that mean something in a file, for libFuzzer.
pub fn dictionary() -> String {
    let mut text = String::from("# Words that mean something in a file. Written by `cargo run --example seeds`.\n");
    let mut entry = |name: &str, bytes: &[u8]| {
        let escaped: String = bytes.iter().map(|byte| format!("\\x{byte:02x}")).collect();
        let _ = writeln!(text, "{name}=\"{escaped}\"");
    };
    entry("magic", b"shmemo\r\n");
    for version in [0u64, 1, 2] {
        entry(&format!("version_{version}"), &(version | 4096 << 32).to_le_bytes());
    }
    entry("layout", &layout::FINGERPRINT.to_le_bytes());
    entry("hash", &crate::hash::KeyHasher::fingerprint().to_le_bytes());
    for shift in [4, 6, 8, 12, 16, 20, 28, 31, 32, 37, 40, 44, 48, 63] {
        entry(&format!("two_to_{shift}"), &(1u64 << shift).to_le_bytes());
        entry(&format!("less_than_two_to_{shift}"), &((1u64 << shift) - 1).to_le_bytes());
    }
    entry("all_ones", &[0xff; 8]);
    entry("zero", &[0; 8]);
    for (name, bits) in [("tentative", 1u64 << 62), ("live", 2 << 62), ("counts_as_empty", 3 << 62)] {
        entry(name, &bits.to_le_bytes());
    }
    for phase in 0..8u64 {
        entry(&format!("phase_{phase}"), &(phase | 1 << 20).to_le_bytes());
    }
    entry("hand_compacting", &(1u64 << 62).to_le_bytes());
    entry("hand_retained", &(1u64 << 63).to_le_bytes());
    entry("flag_expiry", &(1u64 << 54).to_le_bytes());
    entry("flag_version", &(1u64 << 55).to_le_bytes());
    text
}
