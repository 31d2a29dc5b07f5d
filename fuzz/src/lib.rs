//! What the fuzz targets share. `README.md` says what each of them claims.

pub mod code;
pub mod edit;
pub mod model;
pub mod ops;
pub mod rig;

/// The layout, the hash and the words of the file, from the very sources of the crate, so that edits go where they are
/// meant to go.
#[allow(dead_code)]
#[path = "../../src/hash.rs"]
mod hash;
#[allow(dead_code)]
#[path = "../../src/layout.rs"]
mod layout;

mod error {
    pub use shmemo::OpenError;
}

#[allow(dead_code)]
#[path = "../../src/protocol/slot.rs"]
mod slot;
#[allow(dead_code)]
#[path = "../../src/protocol/state.rs"]
mod state;

mod protocol {
    pub use crate::slot::{GENERATION_BITS, MAX_UNITS, Place, SlotWord, TAG_BITS};
    pub use crate::state::{INCARNATION_BITS, Log, Owner, StateWord};
}

/// The inputs that fuzzing begins with.
pub mod seeds;
