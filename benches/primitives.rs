//! What every operation is made of: the hash of a key, and the copy of a value out of the mapping beside a plain one.
//!
//! The modules are no part of the public interface, so they are compiled into the benchmark once more.

#![allow(dead_code, missing_docs, unused_imports, reason = "a benchmark uses a part of the modules")]

use std::fs::File;
use std::hint::black_box;
use std::os::fd::FromRawFd;
use std::time::Duration;

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};

#[path = "../src/fault.rs"]
mod fault;
#[path = "../src/hash.rs"]
mod hash;
#[path = "../src/memory/mod.rs"]
mod memory;
#[path = "../src/protocol/word.rs"]
mod protocol;

use protocol::Memory;

/// Size of the mapping: the first part is hot, all of it is cold.
const MAPPED: usize = 512 << 20;

/// A generator that is good enough for places and lengths.
struct Random(u64);

impl Random {
    fn below(&mut self, bound: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 as usize % bound
    }
}

fn map() -> memory::MappedMemory {
    // SAFETY: the name is a string that ends in zero; the descriptor is new and owned by nobody else.
    let file = unsafe {
        let fd = libc::memfd_create(c"primitives".as_ptr(), libc::MFD_CLOEXEC);
        assert!(fd >= 0, "no memory file");
        File::from_raw_fd(fd)
    };
    file.set_len(MAPPED as u64).expect("room for the file");
    memory::MappedMemory::map(&file, MAPPED, true).expect("a mapping")
}

fn hash_by_length(criterion: &mut Criterion) {
    let hasher = hash::KeyHasher::new(42);
    let mut random = Random(7);
    let mut group = criterion.benchmark_group("hash");
    for len in [8, 16, 32, 64, 256, 4096] {
        // Lengths vary by a quarter, in an order too long to learn; each key is chosen by the hash before.
        let keys: Vec<Vec<u8>> = (0..(1 << 21) / (len + 64))
            .map(|_| (0..len - len / 4 + random.below(len / 2 + 1)).map(|at| at as u8).collect())
            .collect();
        let mut at = 0;
        group.bench_with_input(BenchmarkId::from_parameter(len), &keys, |bencher, keys| {
            bencher.iter(|| {
                let hash = hasher.hash(&keys[at]);
                at += 1 + (hash >> 63) as usize;
                at = if at < keys.len() { at } else { 0 };
                hash
            });
        });
    }
    group.finish();
}

fn copy_out(criterion: &mut Criterion) {
    let memory = map();
    let mut out = Vec::with_capacity(1 << 16);
    for (name, span) in [("hot", 0), ("cold", MAPPED - (1 << 17))] {
        let mut group = criterion.benchmark_group(format!("copy out, {name}"));
        for len in [16, 128, 1536, 4096, 65536] {
            group.throughput(Throughput::Bytes(len as u64));
            let mut random = Random(11);
            let plain = vec![1_u8; span + len + 64];
            let mut place = |last: u8| if span == 0 { 32 } else { (random.below(span) + usize::from(last)) & !15 };
            group.bench_function(BenchmarkId::new("mapping", len), |bencher| {
                bencher.iter(|| {
                    let at = place(out.last().copied().unwrap_or(0));
                    out.clear();
                    memory.read_payload(at, black_box(len), &mut out);
                });
            });
            group.bench_function(BenchmarkId::new("slice", len), |bencher| {
                bencher.iter(|| {
                    let at = place(out.last().copied().unwrap_or(0));
                    out.clear();
                    out.extend_from_slice(&plain[at..][..black_box(len)]);
                });
            });
        }
        group.finish();
    }
}

fn write_and_compare(criterion: &mut Criterion) {
    let memory = map();
    let mut group = criterion.benchmark_group("hot");
    for len in [16, 32, 128, 4096] {
        let bytes = vec![1_u8; len];
        group.bench_function(BenchmarkId::new("write", len), |bencher| {
            bencher.iter(|| memory.write_payload(32, black_box(&bytes)));
        });
        group.bench_function(BenchmarkId::new("equals", len), |bencher| {
            bencher.iter(|| memory.payload_equals(32, black_box(&bytes)));
        });
    }
    group.finish();
}

criterion_group! {
    name = benches;
    config = Criterion::default().warm_up_time(Duration::from_millis(300)).measurement_time(Duration::from_secs(1));
    targets = hash_by_length, copy_out, write_and_compare
}
criterion_main!(benches);
