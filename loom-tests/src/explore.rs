//! How a model is explored, and for how long.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use loom::model::Builder;

/// Preemptions in one execution: switches beside those where a participant ends, waits or yields. First all executions
/// with one are explored, then those with two, then those with three, as far as the time goes. Every load may read any
/// store that the memory model lets it see, whatever the switches.
pub const PREEMPTIONS: std::ops::RangeInclusive<usize> = 1..=3;

/// A model is explored for at most so many seconds. `SHMEMO_MODEL_SECONDS` says otherwise.
pub const SECONDS: u64 = 8;
/// How long that is now. A fault that must be caught ends its model, so the search for one may take long on a busy
/// machine.
pub static PATIENCE: AtomicU64 = AtomicU64::new(SECONDS);

/// Executions between two looks at the clock.
const INTERVAL: usize = 200;

pub(crate) fn explore(model: impl Fn() + Sync + Send + 'static) {
    let seconds = std::env::var("SHMEMO_MODEL_SECONDS").ok().and_then(|seconds| seconds.parse().ok());
    let deadline = Instant::now() + Duration::from_secs(seconds.unwrap_or(PATIENCE.load(Ordering::Relaxed)));
    let model = std::sync::Arc::new(model);
    for preemptions in PREEMPTIONS {
        let mut builder = Builder::new();
        builder.preemption_bound = Some(preemptions);
        builder.max_branches = 200_000;
        builder.checkpoint_interval = INTERVAL;
        builder.max_duration = Some(deadline.saturating_duration_since(Instant::now()));
        let model = model.clone();
        builder.check(move || model());
        if Instant::now() >= deadline {
            println!("with {preemptions} preemptions not explored to the end");
            return;
        }
    }
}

/// Explores every execution with one preemption.
pub(crate) fn explore_once(model: impl Fn() + Sync + Send + 'static) {
    let mut builder = Builder::new();
    builder.preemption_bound = Some(*PREEMPTIONS.start());
    builder.max_branches = 200_000;
    builder.check(model);
}
