//! **shmemo** is the cache that every process on a machine shares: one mapped file, no server. Reads take no lock and
//! make no system call; a process killed at any instruction loses nothing but the write that it was in the middle of.
//!
//! ```
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let dir = tempfile::tempdir_in("/dev/shm")?;
//! # let path = dir.path().join("app.shmemo");
//! // Every process that opens the same path shares what is in it.
//! let cache = shmemo::Cache::open(&path)?;
//! cache.set("user:17", b"Ada")?;
//! assert_eq!(cache.get("user:17").as_deref(), Some(&b"Ada"[..]));
//! # Ok(())
//! # }
//! ```
//!
//! [`Cache`] has the operations, [`Builder`] the options, [`OpenError`] and [`SetError`] what can go wrong. How it
//! works, and why it may be trusted, is in `docs/design.md`.
#![cfg_attr(docsrs, feature(doc_cfg))]

/// Some items where a condition holds, others where it does not. (By this name `rustfmt` finds the modules in it.)
macro_rules! cfg_if {
    (if #[cfg($condition:meta)] { $($here:item)* } else { $($elsewhere:item)* }) => {
        $(#[cfg($condition)] $here)*
        $(#[cfg(not($condition))] $elsewhere)*
    };
}

cfg_if! {
    if #[cfg(all(target_os = "linux", target_pointer_width = "64", target_endian = "little"))] {
        mod cache;
        #[cfg(not(shmemo_model))]
        mod error;
        #[cfg(not(shmemo_fault))]
        mod fault;
        mod hash;
        mod header;
        #[cfg(not(shmemo_model))]
        mod layout;
        mod memory;
        mod os;
        #[cfg(not(shmemo_model))]
        mod protocol;

        // The model checker runs the protocol itself.
        #[cfg(shmemo_model)]
        #[doc(hidden)]
        #[allow(missing_docs)]
        pub mod error;
        #[cfg(shmemo_fault)]
        #[doc(hidden)]
        pub mod fault;
        #[cfg(shmemo_model)]
        #[doc(hidden)]
        #[allow(missing_docs)]
        pub mod layout;
        #[cfg(shmemo_model)]
        #[doc(hidden)]
        pub mod protocol;

        pub use cache::{
            Action, Builder, Cache, Corruption, Iter, Keys, OnMismatch, Problem, Report, Stats, TimeToLive, UpTo, Updated,
            Version,
        };
        pub use error::{IncrementError, NotAttached, OpenError, SetError};
    } else {
        compile_error!(
            "shmemo runs on 64-bit little-endian Linux only: it rests on Linux file locks, memfds and WIPEONFORK pages, and its file format is little-endian"
        );
    }
}

/// The snippets of the README, each run by a test.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;

/// Those of the guide.
#[cfg(doctest)]
#[doc = include_str!("../docs/rust.md")]
struct Guide;
