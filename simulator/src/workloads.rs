//! Small workloads with known answers: what is dead is to go before what is alive.

use std::thread::sleep;
use std::time::Duration;

use anyhow::{Context, Result};
use shmemo::{Cache, Stats};

use crate::generate::Random;
use crate::real::entry_bytes;

/// Bytes of the file.
const CAPACITY: u64 = 4 << 20;
/// Length of a value; an entry takes 224 bytes.
const VALUE_LEN: u32 = 200;
/// How long entries live that expire.
const TTL: Duration = Duration::from_millis(400);

/// What a workload came to.
#[derive(Clone, Debug)]
pub struct Finding {
    /// What was done.
    pub name: String,
    /// Live entries evicted.
    pub evicted: u64,
    /// ... of which because a bucket of the index was full.
    pub full_bucket: u64,
    /// Which part of the log was dead (or expired) when the first went.
    pub dead_at_first: f64,
    /// Bytes moved for each one stored.
    pub moved: f64,
}

fn evicted(stats: &Stats) -> u64 {
    stats.evicted_unused + stats.evicted_used + stats.evicted_by_full_bucket
}

/// A cache under test, with what it had when the workload proper began.
struct Bench {
    cache: Cache,
    begin: Stats,
    dead_at_first: f64,
    value: Vec<u8>,
}

impl Bench {
    fn new() -> Result<Self> {
        let builder = Cache::builder().capacity(CAPACITY).max_value_len(VALUE_LEN as usize).max_processes(16);
        // The index is so large that no bucket fills up: that is not what is looked at here.
        let cache = builder.expected_entry_size(96).anonymous()?;
        Ok(Self { cache, begin: Stats::default(), dead_at_first: 0.0, value: vec![7; VALUE_LEN as usize] })
    }

    /// Entries that the log has room for.
    fn room(&self) -> u64 {
        self.cache.stats().log_bytes / u64::from(entry_bytes(VALUE_LEN))
    }

    fn set(&mut self, key: u64, ttl: Option<Duration>) -> Result<()> {
        match ttl {
            Some(ttl) => self.cache.set_with_ttl(key.to_le_bytes(), &self.value, ttl)?,
            None => self.cache.set(key.to_le_bytes(), &self.value)?,
        }
        Ok(())
    }

    fn fill(&mut self, keys: std::ops::Range<u64>) -> Result<()> {
        keys.into_iter().try_for_each(|key| self.set(key, None))
    }

    /// From here on, evictions count.
    fn begin(&mut self) {
        self.begin = self.cache.stats();
    }

    /// Looks whether something alive has gone; `dead` is the part of the log that is dead now, if the caller knows better
    /// than the cache.
    fn look(&mut self, dead: Option<f64>) {
        if self.dead_at_first > 0.0 {
            return;
        }
        let stats = self.cache.stats();
        if evicted(&stats) > evicted(&self.begin) {
            let counted = (stats.filled_bytes - stats.live_bytes) as f64 / stats.log_bytes as f64;
            self.dead_at_first = dead.unwrap_or(counted).max(f64::MIN_POSITIVE);
        }
    }

    fn end(self, name: String) -> Finding {
        let (begin, end) = (self.begin, self.cache.stats());
        Finding {
            name,
            evicted: evicted(&end) - evicted(&begin),
            full_bucket: end.evicted_by_full_bucket - begin.evicted_by_full_bucket,
            dead_at_first: self.dead_at_first,
            moved: (end.moved_bytes - begin.moved_bytes) as f64 / ((end.appended_bytes - begin.appended_bytes) as f64).max(1.0),
        }
    }
}

/// One counter is raised again and again in a cache that is filled so far.
///
/// # Errors
/// The cache must work; this goes for all workloads.
pub fn counter(filled: f64, times: u64) -> Result<Finding> {
    let mut bench = Bench::new()?;
    let room = (bench.room() as f64 * filled) as u64;
    bench.fill(1..room)?;
    bench.begin();
    for time in 0..times {
        bench.cache.increment(0u64.to_le_bytes(), 1, 0, None).context("increment")?;
        if time % 64 == 0 {
            bench.look(None);
        }
    }
    Ok(bench.end(format!("a counter raised {times} times, {:.0} % full", filled * 100.0)))
}

/// Random entries are overwritten in a cache that is filled so far.
pub fn overwrites(filled: f64) -> Result<Finding> {
    let mut bench = Bench::new()?;
    let (room, mut random) = (bench.room(), Random::new(1));
    let keys = (room as f64 * filled) as u64;
    bench.fill(0..keys)?;
    bench.begin();
    for time in 0..room * 5 {
        bench.set(random.below(keys), None)?;
        if time % 16 == 0 {
            bench.look(None);
        }
    }
    Ok(bench.end(format!("random overwrites, {:.0} % full", filled * 100.0)))
}

/// A full cache; part of it is deleted at random; half as many new ones come.
pub fn deletes(part: f64) -> Result<Finding> {
    let mut bench = Bench::new()?;
    let (room, mut random) = (bench.room(), Random::new(2));
    let filled = room * 95 / 100;
    bench.fill(0..filled)?;
    for key in 0..filled {
        if random.unit() < part {
            bench.cache.remove(key.to_le_bytes());
        }
    }
    bench.begin();
    for key in 0..(filled as f64 * part / 2.0) as u64 {
        bench.set(filled + key, None)?;
        bench.look(None);
    }
    Ok(bench.end(format!("{:.0} % deleted at random, half as many stored", part * 100.0)))
}

/// A full cache; part of it has expired, at random; half as many new ones come.
pub fn expiries(part: f64) -> Result<Finding> {
    let mut bench = Bench::new()?;
    let (room, mut random) = (bench.room(), Random::new(3));
    let filled = room * 92 / 100;
    let mut expiring = 0;
    for key in 0..filled {
        let expires = random.unit() < part;
        expiring += u64::from(expires);
        bench.set(key, expires.then_some(TTL))?;
    }
    sleep(TTL + Duration::from_millis(20));
    bench.begin();
    for key in 0..expiring / 2 {
        bench.set(filled + key, None)?;
        let gone = bench.cache.stats().expired - bench.begin.expired;
        bench.look(Some((expiring.saturating_sub(gone)) as f64 / room as f64));
    }
    Ok(bench.end(format!("{:.0} % expired, half as many stored", part * 100.0)))
}

/// A full cache whose every entry was used three times, and newcomers that nobody asks for again: as many as it holds.
pub fn hot(used_again: bool) -> Result<Finding> {
    let mut bench = Bench::new()?;
    let keys = bench.room() * 96 / 100;
    let mut value = Vec::new();
    bench.fill(0..keys)?;
    let mut read_all = |bench: &mut Bench| {
        for key in 0..keys {
            bench.cache.get_into(key.to_le_bytes(), &mut value);
        }
    };
    (0..3).for_each(|_| read_all(&mut bench));
    bench.begin();
    for key in 0..keys {
        bench.set(1 << 40 | key, None)?;
        if used_again && key % (keys / 16) == 0 {
            read_all(&mut bench);
        }
        bench.look(None);
    }
    let name = if used_again { "a full cache that stays hot, and as many newcomers" } else { "... that was hot once" };
    Ok(bench.end(name.into()))
}

/// All workloads.
pub fn all() -> Result<Vec<Finding>> {
    let mut findings = Vec::new();
    for filled in [0.5, 0.8, 0.9] {
        findings.push(counter(filled, 1_000_000)?);
    }
    for filled in [0.5, 0.7, 0.8, 0.85] {
        findings.push(overwrites(filled)?);
    }
    for part in [0.2, 0.3, 0.5, 0.7] {
        findings.push(deletes(part)?);
    }
    for part in [0.2, 0.3, 0.5, 1.0] {
        findings.push(expiries(part)?);
    }
    findings.push(hot(true)?);
    findings.push(hot(false)?);
    Ok(findings)
}

/// The findings as a Markdown table.
pub fn table(findings: &[Finding]) -> String {
    let mut text = String::from("| workload | evicted | full bucket | % dead at the first | moved per stored |\n");
    text.push_str("| --- | ---: | ---: | ---: | ---: |\n");
    for finding in findings {
        text.push_str(&format!(
            "| {} | {} | {} | {:.0} | {:.2} |\n",
            finding.name,
            finding.evicted,
            finding.full_bucket,
            finding.dead_at_first * 100.0,
            finding.moved
        ));
    }
    text
}
