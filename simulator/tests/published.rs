//! Against the published figures, where they are at hand: `SHMEMO_TRACES`, or `../shared/traces` beside the repository.

use std::path::PathBuf;

use shmemo_simulator::baselines::Baselines;
use shmemo_simulator::policies;
use shmemo_simulator::replay::{self, Charge};
use shmemo_simulator::trace::Trace;

/// The smallest traces: the long form has all.
const QUICK: [&str; 2] = ["web12", "mooncake_conv"];

fn directory() -> Option<PathBuf> {
    let beside = || PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../shared/traces");
    let directory = std::env::var_os("SHMEMO_TRACES").map_or_else(beside, PathBuf::from);
    directory.join("baselines.csv").exists().then_some(directory)
}

fn compare(is_wanted: impl Fn(&str) -> bool) {
    let Some(directory) = directory() else { return };
    let baselines = Baselines::read(&directory.join("baselines.csv")).expect("figures");
    let mut compared = 0;
    for path in Trace::list(&directory).expect("a directory") {
        if !is_wanted(path.file_name().and_then(|name| name.to_str()).expect("a name")) {
            continue;
        }
        let trace = Trace::read(&path).expect("a trace");
        for divisor in [1000, 100, 10] {
            let size = trace.objects() as u64 / divisor;
            for (name, published) in [
                ("LRU", "LRU"),
                ("FIFO", "FIFO"),
                ("CLOCK-1bit", "CLOCK-1bit"),
                ("CLOCK-2bit", "CLOCK-2bit"),
                ("CAR", "CAR"),
                ("S3-FIFO", "S3-FIFO"),
                ("SIEVE", "SIEVE"),
                ("GDSF", "LFUDA(GDSF-unit)"),
                ("BELADY", "BELADY"),
            ] {
                let mut policy = policies::by_name(name, size, &trace).expect("a policy");
                let ratio = replay::policy(&trace, policy.as_mut(), size, Charge::Objects).hit_ratio();
                let expected = baselines.get(&trace.name, size, published).expect("a figure");
                assert!((ratio - expected).abs() < 1.1e-6, "{name}, {} at {size}: {ratio}, not {expected}", trace.name);
                compared += 1;
            }
        }
    }
    assert!(compared >= 9, "no trace in {}", directory.display());
}

/// Those traces that take little time; with `SHMEMO_LONG=1` all of them, which takes two minutes.
#[test]
fn policies_have_the_published_hit_ratios() {
    let is_long = std::env::var_os("SHMEMO_LONG").is_some();
    compare(|name| is_long || QUICK.iter().any(|quick| name.starts_with(quick)));
}
