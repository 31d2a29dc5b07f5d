//! A rate limiter for several processes: each user may do so much in a window of time, whichever process serves the
//! request. `increment` is one atomic step, so nothing is lost and nothing is let through twice.
//!
//! ```console
//! $ cargo run --example counters
//! ```

use std::error::Error;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use shmemo::{Cache, IncrementError, TimeToLive};

const WORKERS: usize = 4;
/// Each worker gets so many requests from each user.
const REQUESTS: usize = 50;
const USERS: [&str; 3] = ["ada", "grace", "katherine"];
/// A user may do so much ...
const LIMIT: i64 = 100;
/// ... in this time.
const WINDOW: Duration = Duration::from_secs(60);

/// Whether a user's request is within the limit.
fn allow(cache: &Cache, user: &str) -> Result<bool, IncrementError> {
    // The first request of a window makes the counter, which goes away by itself when the window ends: a counter that
    // is there keeps its expiry.
    let count = cache.increment(format!("requests:{user}"), 1, 0, Some(WINDOW))?;
    Ok(count <= LIMIT)
}

/// What each worker process does.
fn serve(path: &Path) -> Result<(), Box<dyn Error>> {
    let cache = Cache::open(path)?;
    for _ in 0..REQUESTS {
        for user in USERS {
            let outcome = if allow(&cache, user)? { "allowed" } else { "refused" };
            // A counter without an end, for what is to be known at the end.
            cache.increment(format!("{outcome}:{user}"), 1, 0, None)?;
        }
    }
    Ok(())
}

/// Starts this program again for each worker, and waits for them all.
fn run_workers(path: &Path) -> Result<(), Box<dyn Error>> {
    let program = std::env::current_exe()?;
    let start = |_| Command::new(&program).arg("worker").arg(path).spawn();
    let workers = (0..WORKERS).map(start).collect::<Result<Vec<_>, _>>()?;
    for mut worker in workers {
        let status = worker.wait()?;
        if !status.success() {
            return Err(format!("a worker failed: {status}").into());
        }
    }
    Ok(())
}

fn main() -> Result<(), Box<dyn Error>> {
    let args: Vec<String> = std::env::args().collect();
    if let [_, role, path] = args.as_slice()
        && role == "worker"
    {
        return serve(Path::new(path));
    }
    // /dev/shm is memory. The file stays until somebody removes it; this program is to leave nothing behind.
    let path = format!("/dev/shm/shmemo-counters-{}", std::process::id());
    let cache = Cache::builder().capacity(1 << 20).create_new(&path)?;
    let done = run_workers(Path::new(&path));
    std::fs::remove_file(&path)?;
    done?;

    for user in USERS {
        // An increment by nothing reads a counter.
        let [allowed, refused] = ["allowed", "refused"].map(|outcome| cache.increment(format!("{outcome}:{user}"), 0, 0, None));
        let left = match cache.time_to_live(format!("requests:{user}")) {
            Some(TimeToLive::Left(left)) => left,
            _ => Duration::ZERO,
        };
        println!("{user}: {} allowed, {} refused; the window ends in {} s", allowed?, refused?, left.as_secs());
    }
    Ok(())
}
