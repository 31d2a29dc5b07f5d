//! Policies to compare with, each as it stands in its paper, one thread, no shortcuts.
//!
//! Capacities and sizes are in units of whatever the caller likes: objects, if each has size 1, or bytes.

mod belady;
mod car;
mod clock;
mod fifo;
mod gdsf;
mod lru;
mod model;
mod s3fifo;
mod sieve;
mod sketch;
mod tinylfu;

pub use belady::Belady;
pub use car::Car;
pub use clock::Clock;
pub use fifo::Fifo;
pub use gdsf::Gdsf;
pub use lru::Lru;
pub use model::{Model, Tuning};
pub use s3fifo::S3Fifo;
pub use sieve::Sieve;
pub use tinylfu::TinyLfu;

use crate::trace::Trace;

/// A cache that is asked for objects, and stores each that it does not have.
pub trait Policy {
    /// Asks for an object. Tells whether it was there; if not, it is stored with this size.
    fn request(&mut self, id: u32, size: u32) -> bool;

    /// Objects evicted so far.
    fn evictions(&self) -> u64;

    /// Units that are held, counted object by object; 0 if the policy does not know sizes.
    fn held(&self) -> u64 {
        0
    }

    /// Units that a log-structured cache would have copied to keep what the policy keeps.
    fn moved(&self) -> u64 {
        0
    }
}

fn sum(sizes: &[u32]) -> u64 {
    sizes.iter().map(|&size| u64::from(size)).sum()
}

/// The names of all policies, in the order of tables.
pub const NAMES: [&str; 10] =
    ["model", "LRU", "FIFO", "CLOCK-1bit", "CAR", "S3-FIFO", "SIEVE", "W-TinyLFU-w20", "GDSF", "BELADY"];

/// Those that make sense only where all objects have the same size.
pub const OF_EQUAL_SIZES: [&str; 2] = ["W-TinyLFU-w20", "BELADY"];

/// Those that make sense only where objects have different sizes.
pub const OF_DIFFERENT_SIZES: [&str; 1] = ["model/small"];

/// Those that know sizes.
pub fn of_sizes() -> impl Iterator<Item = &'static str> {
    let of_any = NAMES.into_iter().filter(|name| !OF_EQUAL_SIZES.contains(name));
    of_any.chain(OF_DIFFERENT_SIZES)
}

/// A policy by its name.
pub fn by_name(name: &str, capacity: u64, trace: &Trace) -> Option<Box<dyn Policy>> {
    let objects = trace.objects();
    Some(match name {
        "model" => Box::new(Model::new(capacity, objects, Tuning::default())),
        "model/small" => Box::new(Model::new(capacity, objects, Tuning::SMALL)),
        "LRU" => Box::new(Lru::new(capacity, objects)),
        "FIFO" => Box::new(Fifo::new(capacity, objects)),
        "CLOCK-1bit" => Box::new(Clock::new(capacity, objects, 1)),
        "CLOCK-2bit" => Box::new(Clock::new(capacity, objects, 3)),
        "CAR" => Box::new(Car::new(capacity, objects)),
        "S3-FIFO" => Box::new(S3Fifo::new(capacity, objects)),
        "SIEVE" => Box::new(Sieve::new(capacity, objects)),
        "W-TinyLFU-w1" => Box::new(TinyLfu::new(capacity, objects, 0.01)),
        "W-TinyLFU-w20" => Box::new(TinyLfu::new(capacity, objects, 0.2)),
        "GDSF" => Box::new(Gdsf::new(capacity, objects)),
        "BELADY" => Box::new(Belady::new(capacity, trace)),
        _ => return None,
    })
}
