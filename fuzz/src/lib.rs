//! What the fuzz targets share. `README.md` says what each of them claims.

pub mod code;
pub mod edit;
pub mod model;
pub mod ops;
pub mod rig;

pub mod small;

/// The layout, the hash, the protocol and the memory layer, from the very sources of the crate: edits go where they are
/// meant to go, and tiny caches run the code that is shipped. What only the cache above uses is unused here.
#[allow(dead_code)]
#[path = "../../src/fault.rs"]
mod fault;
#[allow(dead_code)]
#[path = "../../src/hash.rs"]
mod hash;
#[allow(dead_code)]
#[path = "../../src/layout.rs"]
mod layout;
#[allow(dead_code)]
#[path = "../../src/memory/mod.rs"]
mod memory;
#[allow(dead_code, unused_imports)]
#[path = "../../src/protocol/mod.rs"]
mod protocol;

mod error {
    pub use shmemo::OpenError;
}

/// The inputs that fuzzing begins with.
pub mod seeds;
