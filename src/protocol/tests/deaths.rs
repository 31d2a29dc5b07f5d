//! A participant that dies while it holds something: what it held comes back.

use super::super::append::Purpose;
use super::super::{Claim, Content, Key, Kind, Log, Phase, Put, StateWord};
use super::{Bench, Hand, core, geometry, hash};

/// Enough to use each segment twice.
const FILL: u32 = if cfg!(miri) { 260 } else { 400 };

fn fill(hand: &Hand<'_>, from: u32) {
    for i in 0..FILL {
        assert_eq!(hand.set(&(from + i).to_le_bytes(), &[0; 100], None), Put::Stored);
    }
}

#[test]
fn a_claim_of_the_dead_is_given_back() {
    let core = core(geometry(0));
    let world = Bench::default();
    let (dead, living) = (Hand::new(&core, &world, 0), Hand::new(&core, &world, 1));
    dead.set(b"before", b"1", None);
    let claim = dead.op().claim_room(Log::Newcomers, 4, Purpose::Store).expect("room");
    let segment = claim.segment;
    let _: Claim = claim; // and there it dies
    fill(&living, 0);
    assert_eq!(core.state(segment).phase(), Phase::Claimed, "a living owner keeps it");
    assert!(core.recover_line(0));
    assert_eq!(core.state(segment), StateWord::sealed(Log::Newcomers));
    assert!(!core.recover_line(0), "once is enough");
    fill(&living, 10_000);
    assert_eq!(living.core.census().claimed, 0);
    living.verify();
}

#[test]
fn a_tentative_word_of_the_dead_is_taken_out() {
    let core = core(geometry(0));
    let world = Bench::default();
    let (dead, living) = (Hand::new(&core, &world, 0), Hand::new(&core, &world, 1));
    let op = dead.op();
    let key = Key::new(b"key", hash(b"key"));
    let mut claim = op.claim_room(Log::Newcomers, 4, Purpose::Store).expect("room");
    let content = Content { value: b"dead", expiry_ms: None, version: None };
    let appended = core.append(&mut claim, &key, &content, core.era(), 0);
    let at = core.layout.slot_at(core.layout.bucket_of(key.hash32), 0);
    assert!(core.swap_slot(at, super::super::SlotWord::EMPTY, appended.word.to_tentative()));
    let _: Claim = claim;
    assert_eq!(living.get(b"key"), None);
    assert_eq!(living.set(b"key", b"living", None), Put::Stored, "a dead insert is in nobody's way");
    assert_eq!(living.get(b"key").as_deref(), Some(&b"living"[..]));
    core.recover_line(0);
    fill(&living, 0);
    assert_ne!(core.slot(at).kind(), Kind::Tentative);
    let summary = living.verify();
    assert_eq!((summary.tentative, summary.count_drift), (0, 0));
}

#[test]
fn a_pin_of_the_dead_goes_with_its_line() {
    let core = core(geometry(0));
    let world = Bench::default();
    let (dead, living) = (Hand::new(&core, &world, 0), Hand::new(&core, &world, 1));
    dead.set(b"pinned", b"1", None);
    let op = dead.op();
    let super::super::Found::Yes(probe) = op.find(&Key::new(b"pinned", hash(b"pinned"))) else { panic!("it is there") };
    std::mem::forget(op.pin(&probe));
    let segment = probe.place().segment;
    assert!(core.is_pinned(segment, probe.generation).is_some());
    core.recover_line(0);
    assert!(core.is_pinned(segment, probe.generation).is_none());
    fill(&living, 0);
    living.verify();
}

#[test]
fn a_count_that_a_death_left_too_high_is_counted_anew() {
    let core = core(geometry(100));
    let world = Bench::default();
    let (dead, living) = (Hand::new(&core, &world, 0), Hand::new(&core, &world, 1));
    fill(&living, 0);
    let op = dead.op();
    std::mem::forget(op.counting());
    op.reserve_entry();
    living.remove(&(FILL - 1).to_le_bytes());
    assert!(!core.recount(None), "somebody is in the middle of a change");
    assert!(core.recover_line(0));
    assert!(core.recount(None));
    assert_eq!(core.counted().iter().sum::<u64>(), core.count_entries() as u64);
}
