//! Times of hits and sets beside other caches. See `ratios.rs` for the figures to quote: these runs come one after the other, and a machine that others
//! use drifts meanwhile.

use std::cell::Cell;
use std::time::{Duration, Instant};

use contenders::{Contender, Run, Work};
use criterion::{Criterion, Throughput, criterion_group, criterion_main};

mod contenders;

const SEQUENCE: usize = 1 << 20;
/// Operations between two looks at the clock.
const BATCH: usize = 1000;

type Select = for<'c, 'a> fn(&'c Contender<'a>) -> &'c Run<'a>;

fn group(criterion: &mut Criterion, name: &str, contenders: &[Contender<'_>], order: &[u32], select: Select) {
    let mut group = criterion.benchmark_group(name);
    group.warm_up_time(Duration::from_secs(1)).measurement_time(Duration::from_secs(2)).sample_size(20);
    group.throughput(Throughput::Elements(1));
    for contender in contenders {
        let at = Cell::new(0);
        let run = select(contender);
        group.bench_function(contender.name, |bencher| {
            bencher.iter_custom(|operations| {
                let begin = Instant::now();
                let mut left = operations as usize;
                while left > 0 {
                    let count = left.min(BATCH);
                    run(&order[at.get()..at.get() + count]);
                    at.set((at.get() + count) % (SEQUENCE - BATCH));
                    left -= count;
                }
                begin.elapsed()
            });
        });
    }
    group.finish();
}

fn hits(criterion: &mut Criterion) {
    for (name, value_len) in [("a: hit, 128 bytes", 128), ("b: hit, 4 KiB", 4096)] {
        let directory = tempfile::tempdir_in("/dev/shm").expect("a directory in /dev/shm");
        let work = Work::new(100_000, value_len, SEQUENCE);
        let contenders = contenders::with_room(&work, &directory);
        group(criterion, name, &contenders, &work.order, |contender| &contender.gets);
    }
}

fn evicting(criterion: &mut Criterion) {
    let directory = tempfile::tempdir_in("/dev/shm").expect("a directory in /dev/shm");
    let work = Work::new(1_000_000, 128, SEQUENCE);
    let mut contenders = contenders::full(&work, &directory);
    group(criterion, "c: 95 % get, 5 % set", &contenders, &work.order, |contender| &contender.mixed);
    contenders.retain(|contender| !["shmemo, get", "quick_cache, copy", "dashmap + ahash, copy"].contains(&contender.name));
    group(criterion, "e: set, Zipf", &contenders, &work.order, |contender| &contender.sets);
}

criterion_group!(benches, hits, evicting);
criterion_main!(benches);
