//! The protocol of shmemo under loom: the very code that runs in the mapped file, on words of the model checker.
//!
//! Everything here is compiled only with `--cfg shmemo_model`; `make model` does that. The list of all models, with the
//! faults (mutants) that each must catch, is in `models`. Constants shrink under that cfg: three slots in a bucket, one
//! bit of generation in a slot word, segments of a few entries.
//!
//! What is explored: every interleaving of shared accesses with at most `explore::PREEMPTIONS` preemptions (more switches
//! happen where a participant ends or yields), and for each load every store that the C11 memory model lets it see.
#![cfg(shmemo_model)]

pub mod explore;
pub mod memory;
pub mod models;
pub mod participant;
