//! Each policy on sequences worked out by hand, and against invariants.

use shmemo_simulator::generate::{self, Random, Scale};
use shmemo_simulator::policies::{self, Clock, Lru, Model, Policy, Tuning};
use shmemo_simulator::replay::{self, Charge};
use shmemo_simulator::trace::Trace;

const OBJECTS: usize = 16;

/// Asks for each letter; gives `H` for a hit and `.` for a miss.
fn play(policy: &mut dyn Policy, letters: &str) -> String {
    letters.bytes().map(|letter| if policy.request(u32::from(letter - b'a'), 1) { 'H' } else { '.' }).collect()
}

fn by_hand(name: &str, capacity: u64, letters: &str, expected: &str) {
    let trace = Trace::new("by hand", letters.bytes().map(u64::from));
    let mut policy = policies::by_name(name, capacity, &trace).expect("a policy");
    let got: String = trace.ids.iter().map(|&id| if policy.request(id, 1) { 'H' } else { '.' }).collect();
    assert_eq!(got, expected, "{name}, {capacity} objects: {letters}");
}

#[test]
fn lru_by_hand() {
    by_hand("LRU", 3, "abcadbacb", "...H..H.H");
}

#[test]
fn fifo_by_hand() {
    by_hand("FIFO", 3, "abcadabc", "...H....");
}

#[test]
fn clock_by_hand() {
    // a was used, so b goes for d; then c for b; a is used again, so d goes for c.
    by_hand("CLOCK-1bit", 3, "abcadbaca", "...H..H.H");
}

#[test]
fn sieve_by_hand() {
    // The hand passes over a, takes b, and stands at c; from there on it takes the next ones in order.
    by_hand("SIEVE", 3, "abcadaecd", "...H.H...");
}

#[test]
fn s3_fifo_by_hand() {
    // Before anything is evicted, what the small queue (one object) has no room for goes to the main one. a goes for k,
    // and k for a, which comes back to the main one.
    by_hand("S3-FIFO", 10, "abcdefghijkabck", "............HH.");
}

#[test]
fn car_by_hand() {
    // a goes to the second clock when b is evicted; b comes back as a ghost.
    by_hand("CAR", 2, "aabcabca", ".H..H..H");
}

#[test]
fn gdsf_prefers_small_objects_and_used_ones() {
    let mut gdsf = policies::Gdsf::new(10, OBJECTS);
    assert!(!gdsf.request(0, 8) && !gdsf.request(1, 1) && !gdsf.request(2, 1));
    assert!(!gdsf.request(3, 1), "the large one goes");
    assert!(gdsf.request(1, 1) && gdsf.request(2, 1) && gdsf.request(3, 1));
    assert!(!gdsf.request(0, 8));
}

#[test]
fn belady_by_hand() {
    // For d, b goes, which is used last.
    by_hand("BELADY", 3, "abcdacdb", "....HHH.");
}

#[test]
fn the_model_by_hand() {
    // Room for four; an epoch is one eviction; the share of newcomers is one object.
    let mut model = Model::new(4, OBJECTS, Tuning::default());
    assert_eq!(play(&mut model, "abcd"), "....");
    assert_eq!(play(&mut model, "aab"), "HHH");
    // a was used twice and goes to the main log; b was used once and goes; so do c and d.
    assert_eq!(play(&mut model, "efg"), "...");
    assert_eq!(play(&mut model, "aefg"), "HHHH");
    // b has a near ghost: it comes back to the main log, and the share grows by four, to its bound.
    assert_eq!(model.share(), 1.0);
    assert_eq!(play(&mut model, "b"), ".");
    assert!((model.share() - 3.6).abs() < 1e-9, "{}", model.share());
}

/// Room for 32: an epoch is one eviction, and a use is late eight epochs after its object came.
#[test]
fn a_late_use_counts_for_two_early_ones() {
    let stays = |late_epochs| {
        let mut model = Model::new(32, 200, Tuning { late_epochs, ..Tuning::default() });
        let mut ask = |ids: std::ops::Range<u32>| ids.filter(|&id| model.request(id, 1)).count();
        assert_eq!(ask(0..40), 0, "eight go, 0 to 7");
        assert_eq!(ask(8..9) + ask(33..34), 2, "one use of an object that came eight epochs ago, one of a young one");
        assert_eq!(ask(40..80), 0, "all newcomers of then go");
        [8, 33].map(|id| ask(id..id + 1) == 1)
    };
    assert_eq!(stays(8), [true, false]);
    assert_eq!(stays(9), [false, false], "it came no nine epochs ago");
}

#[test]
fn lru_is_that_of_a_list() {
    let mut random = Random::new(7);
    let mut lru = Lru::new(13, 40);
    let mut list: Vec<u32> = Vec::new();
    for _ in 0..20_000 {
        let id = random.below(40) as u32;
        let at = list.iter().position(|&other| other == id);
        assert_eq!(lru.request(id, 1), at.is_some());
        match at {
            Some(at) => drop(list.remove(at)),
            None if list.len() == 13 => drop(list.remove(0)),
            None => {}
        }
        list.push(id);
    }
}

#[test]
fn no_policy_hits_what_it_was_never_given_or_passes_belady() {
    let scale = Scale { objects: 3000, requests: 60_000 };
    for trace in [generate::zipf099(scale), generate::zipf080_scan(scale), generate::shift(scale)] {
        for capacity in [1, 10, 100, 1000] {
            let run = |name: &str| {
                let mut policy = policies::by_name(name, capacity, &trace).expect("a policy");
                let outcome = replay::policy(&trace, policy.as_mut(), capacity, Charge::Objects);
                let stored = outcome.requests - outcome.hits;
                assert!(stored >= trace.objects() as u64, "{name}");
                assert!(stored - outcome.evictions <= capacity, "{name}: more than {capacity} objects");
                outcome.hits
            };
            let best = run("BELADY");
            for name in policies::NAMES {
                // W-TinyLFU does not keep all that it is given, which Belady must.
                assert!(run(name) <= best || name.starts_with("W-"), "{name} at {capacity} of {}", trace.name);
            }
        }
    }
}

#[test]
fn a_cache_for_everything_misses_once() {
    let trace = generate::zipf099(Scale { objects: 500, requests: 5000 });
    for name in policies::NAMES.iter().filter(|name| !name.starts_with("W-")) {
        let mut policy = policies::by_name(name, 500, &trace).expect("a policy");
        let outcome = replay::policy(&trace, policy.as_mut(), 500, Charge::Objects);
        assert_eq!((outcome.requests - outcome.hits, outcome.evictions), (trace.objects() as u64, 0), "{name}");
    }
}

#[test]
fn with_sizes_no_policy_holds_more_than_its_capacity() {
    let trace = generate::zipf099(Scale { objects: 2000, requests: 20_000 });
    let sizes = generate::sizes(&trace, 1, 64 << 10);
    assert!(sizes.iter().any(|&size| size < 8) && sizes.iter().any(|&size| size > 32 << 10));
    let trace = trace.with_sizes(sizes).expect("as many sizes");
    for name in policies::NAMES.iter().filter(|name| !policies::OF_EQUAL_SIZES.contains(name)) {
        let mut ratios = Vec::new();
        for capacity in [1 << 18, 1 << 20, 1 << 22] {
            let mut policy = policies::by_name(name, capacity, &trace).expect("a policy");
            ratios.push(replay::policy(&trace, policy.as_mut(), capacity, Charge::Bytes(|size| size)).byte_hit_ratio());
        }
        assert!(ratios[0] > 0.01 && ratios[0] < ratios[1] && ratios[1] < ratios[2], "{name}: {ratios:?}");
    }
}

#[test]
fn two_bits_are_not_worse_than_one_under_zipf() {
    let trace = generate::zipf099(Scale { objects: 5000, requests: 50_000 });
    let hits = |most_uses| replay::policy(&trace, &mut Clock::new(300, trace.objects(), most_uses), 300, Charge::Objects).hits;
    assert!(hits(3) > hits(1));
}

/// Every object is read once more, 40 to 75 creations later: the published figure is the most there can be.
#[test]
fn the_model_keeps_what_is_read_once_more() {
    let trace = Trace::new("reread", generate::reread(50_000, 40..75, 5));
    let ratio = |policy: &mut dyn Policy| replay::policy(&trace, policy, 100, Charge::Objects).hit_ratio();
    assert!(ratio(&mut Model::new(100, trace.objects(), Tuning::default())) > 0.498);
    assert!(ratio(&mut policies::S3Fifo::new(100, trace.objects())) < 0.05);
}
