//! Replays request traces through shmemo, through a plain model of its policy, and through known policies.

pub mod baselines;
pub mod generate;
pub mod links;
pub mod options;
pub mod policies;
pub mod processes;
pub mod real;
pub mod replay;
pub mod svg;
pub mod table;
pub mod trace;
pub mod workloads;
