//! Policies with objects of different sizes: against a plain list, against themselves with equal sizes, and whether they
//! keep to their capacity.

use shmemo_simulator::generate::{self, Random, Scale};
use shmemo_simulator::policies::{self, Policy};
use shmemo_simulator::real::{Plan, charge_by_size};
use shmemo_simulator::replay::{self, Charge};
use shmemo_simulator::trace::Trace;

/// Those that know sizes.
fn sized() -> impl Iterator<Item = &'static str> {
    policies::of_sizes().chain(["CLOCK-2bit"])
}

fn mixed(objects: u64, requests: u64) -> Trace {
    generate::mixed(Scale { objects, requests }).expect("a trace")
}

fn sizes(trace: &Trace) -> &[u32] {
    trace.sizes.as_deref().expect("sizes")
}

/// The least recently used go until there is room: a list that is looked through each time.
#[test]
fn lru_with_sizes_is_that_of_a_list() {
    let mut random = Random::new(11);
    let capacity = 1000;
    let mut size_of: Vec<u32> = (0..60).map(|id| 1 + random.below(if id % 10 == 0 { 1200 } else { 120 }) as u32).collect();
    size_of[30] = capacity + 1; // larger than the cache
    let mut lru = policies::Lru::new(capacity.into(), size_of.len());
    let mut list: Vec<u32> = Vec::new();
    for at in 0..50_000 {
        let id = random.below(size_of.len() as u64) as u32;
        let size = size_of[id as usize];
        let was_there = list.contains(&id);
        assert_eq!(lru.request(id, size), was_there, "request {at}");
        if size > capacity {
            continue;
        }
        list.retain(|&other| other != id);
        while list.iter().map(|&other| size_of[other as usize]).sum::<u32>() + size > capacity {
            list.remove(0);
        }
        list.push(id);
        assert_eq!(lru.held(), list.iter().map(|&other| u64::from(size_of[other as usize])).sum());
    }
}

#[test]
fn no_policy_ever_holds_more_than_its_capacity() {
    let trace = mixed(600, 6000);
    for name in sized() {
        for capacity in [3000, 100_000, 400_000] {
            let mut policy = policies::by_name(name, capacity, &trace).expect("a policy");
            let mut too_large = 0;
            for (&id, &size) in trace.ids.iter().zip(sizes(&trace)) {
                let is_hit = policy.request(id, size);
                assert!(policy.held() <= capacity, "{name}: {} of {capacity}", policy.held());
                if u64::from(size) > capacity {
                    assert!(!is_hit, "{name} has what is larger than all it holds");
                    too_large += 1;
                }
            }
            assert!(policy.held() > capacity / 8, "{name}: {} of {capacity}", policy.held());
            assert_eq!(too_large > 0, capacity == 3000);
        }
    }
}

/// With equal sizes it makes no difference whether the capacity is in objects or in bytes. (Whole multiples of 32, so that
/// all parts of a capacity are whole numbers.)
#[test]
fn equal_sizes_give_what_objects_give() {
    let scale = Scale { objects: 6000, requests: 60_000 };
    for trace in [generate::zipf099(scale), generate::zipf080_scan(scale), generate::shift(scale)] {
        for name in sized() {
            let capacity = 320;
            let run = |size: u32| {
                let total = capacity * u64::from(size);
                let mut policy = policies::by_name(name, total, &trace).expect("a policy");
                let hits: Vec<bool> = trace.ids.iter().map(|&id| policy.request(id, size)).collect();
                (hits, policy.evictions(), policy.moved() / u64::from(size), policy.held() / u64::from(size))
            };
            let of_objects = run(1);
            assert!(of_objects == run(64), "{name} on {}", trace.name);
            assert_eq!(of_objects.3, capacity);
            if name == "model/small" {
                let mut model = policies::by_name("model", capacity, &trace).expect("a policy");
                assert!(
                    trace.ids.iter().zip(&of_objects.0).all(|(&id, &is_hit)| model.request(id, 1) == is_hit),
                    "none is small"
                );
            }
        }
    }
}

#[test]
fn objects_are_charged_what_shmemo_spends() {
    // A header, a key of 16 bytes, the value, in units of 16; and 16 for the index.
    assert_eq!([1, 16, 17, 4096].map(charge_by_size), [64, 64, 80, 4144]);
    let trace = mixed(5000, 40_000);
    let plan = Plan::bytes(2 << 20, &trace);
    let in_log = |size: u32| plan.entry_bytes(size);
    assert!(sizes(&trace).iter().all(|&size| charge_by_size(size) == in_log(size) + 16));
    let stats = plan.make(None).expect("a cache").stats();
    let mean = trace.footprint(in_log) / trace.objects() as u64;
    let index_and_ghosts = (2 << 20) - stats.log_bytes;
    let for_each = index_and_ghosts as f64 / ((2 << 20) as f64 / mean as f64);
    assert!((14.0..64.0).contains(&for_each), "{for_each:.1} bytes of the file for each entry that it has room for");
}

#[test]
fn made_up_sizes_are_those_of_the_documentation() {
    let trace = Trace::new("each once", 0..100_000);
    let mut sizes = generate::lognormal_sizes(&trace);
    sizes.sort_unstable();
    let at = |part: f64| sizes[(sizes.len() as f64 * part) as usize];
    assert!(sizes[0] == 1 && sizes[99_999] == 64 << 10);
    assert!((385..415).contains(&at(0.5)) && (50..58).contains(&at(0.1587)) && (2800..3100).contains(&at(0.8413)));
    let again = generate::lognormal_sizes(&Trace::new("twice", [5, 6, 5, 6]));
    assert_eq!(again[..2], again[2..], "an object keeps its size");
}

#[test]
fn to_spare_small_objects_gains_objects_and_hardly_loses_bytes() {
    let trace = mixed(20_000, 300_000);
    for capacity in [1 << 20, 1 << 23] {
        let run = |name: &str| {
            let mut policy = policies::by_name(name, capacity, &trace).expect("a policy");
            let outcome = replay::policy(&trace, policy.as_mut(), capacity, Charge::Bytes(charge_by_size));
            [outcome.hit_ratio(), outcome.byte_hit_ratio()].map(|ratio| ratio * 100.0)
        };
        let [[objects, bytes], [more, fewer]] = [run("model"), run("model/small")];
        assert!(more > objects + 0.5 && fewer > bytes - 0.5, "{objects:.2} / {bytes:.2}, {more:.2} / {fewer:.2}");
    }
}

/// Where large objects are as popular as small ones, whoever looks at sizes has more objects and fewer bytes.
#[test]
fn gdsf_trades_bytes_for_objects() {
    let trace = mixed(5000, 60_000);
    let run = |name: &str| {
        let mut policy = policies::by_name(name, 1 << 20, &trace).expect("a policy");
        replay::policy(&trace, policy.as_mut(), 1 << 20, Charge::Bytes(charge_by_size))
    };
    let (gdsf, lru) = (run("GDSF"), run("LRU"));
    assert!(gdsf.hit_ratio() > lru.hit_ratio() + 0.1, "{gdsf:?} {lru:?}");
    assert!(gdsf.byte_hit_ratio() < run("model").byte_hit_ratio());
}
