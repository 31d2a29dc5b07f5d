//! Several processes compute an expensive function of numbers that repeat. What one of them has computed, none computes
//! again: all keep their results in one cache.
//!
//! ```console
//! $ cargo run --example memoize
//! ```

use std::error::Error;
use std::path::Path;
use std::process::Command;

use shmemo::Cache;

const WORKERS: u64 = 4;
/// So many numbers are asked for, over and over.
const NUMBERS: u64 = 50;
const QUESTIONS: u64 = 1000;

/// How many steps the Collatz sequence takes down to 1, summed up over a range: stands for what takes long.
fn expensive(number: u64) -> u64 {
    let steps = |start: u64| std::iter::successors(Some(start), |&n| (n > 1).then(|| if n % 2 == 0 { n / 2 } else { 3 * n + 1 }));
    (number * 100 + 1..number * 100 + 101).map(|start| steps(start).count() as u64 - 1).sum()
}

/// The same, from the cache if any process has stored it there.
fn memoized(cache: &Cache, number: u64) -> Result<u64, Box<dyn Error>> {
    let key = format!("collatz:{number}");
    if let Some(known) = cache.get(&key) {
        return Ok(u64::from_le_bytes(known.as_slice().try_into()?));
    }
    let result = expensive(number);
    // Two processes that begin at the same moment may both compute it; the results are the same.
    cache.set(&key, result.to_le_bytes())?;
    cache.increment("runs", 1, 0, None)?;
    Ok(result)
}

/// What each worker process does.
fn work(path: &Path) -> Result<(), Box<dyn Error>> {
    // All processes that open the same path share what is in it. A file that is there is taken as it is.
    let cache = Cache::open(path)?;
    for question in 0..QUESTIONS {
        // Looks random, and hits every number again and again.
        let number = question * question % 7919 % NUMBERS;
        memoized(&cache, number)?;
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
        return work(Path::new(path));
    }
    // /dev/shm is memory. The file stays, warm, until somebody removes it; this program is to leave nothing behind.
    let path = format!("/dev/shm/shmemo-memoize-{}", std::process::id());
    let cache = Cache::builder().capacity(16 << 20).create_new(&path)?;
    let done = run_workers(Path::new(&path));
    std::fs::remove_file(&path)?;
    done?;

    // Those who have it open still see everything.
    let runs = cache.increment("runs", 0, 0, None)?;
    println!("{WORKERS} processes asked {} questions; the function ran {runs} times", WORKERS * QUESTIONS);
    println!("hit rate {:.1} %", cache.stats().hit_ratio() * 100.0);
    Ok(())
}
