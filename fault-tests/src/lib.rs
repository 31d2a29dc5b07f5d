//! Deaths and stops at every step. A step is a fault point of `src/fault.rs`: one stands before each store, exchange or copy to the
//! shared file and before each call that changes a lock or the name of a file, so that a new step cannot be forgotten;
//! `tests/sites.rs` holds the steps that the scenarios reach against those that the code has.
//!
//! Everything here is compiled only with `--cfg shmemo_fault`; `make fault` does that.
#![cfg(shmemo_fault)]

#[path = "../../tests/common/mod.rs"]
#[allow(clippy::new_without_default, clippy::should_implement_trait, reason = "a module of tests, and not a library's")]
pub mod common;
pub mod fixture;
pub mod harness;
pub mod scenario;
