//! Small workloads with known answers: what is dead is to go before what is alive.

mod bench;
mod cleaner;

use std::time::Duration;

use anyhow::Result;
use bench::Bench;
pub use bench::Bound;
use cleaner::{Cleaner, Least};

use crate::generate::{Random, Zipf};

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
    /// ... and on average over all that went.
    pub dead_on_average: f64,
    /// Bytes moved for each one stored.
    pub moved: f64,
    /// The part of reads that found something, if there were any.
    pub hits: Option<f64>,
    /// What it comes to at the least.
    pub least: Option<Least>,
}

/// What a workload is done to: shmemo, or a log that knows all.
trait Store {
    /// Entries that the log has room for.
    fn room(&self) -> u64;
    /// Stores an entry.
    fn set(&mut self, key: u64, ttl: Option<Duration>) -> Result<()>;
    /// Raises a counter.
    fn raise(&mut self, key: u64) -> Result<()>;
    /// Removes an entry.
    fn remove(&mut self, key: u64);
    /// Lets time pass.
    fn pass(&mut self, time: Duration);
    /// From here on, evictions count.
    fn begin(&mut self);
    /// Looks whether something alive has gone.
    fn look(&mut self);

    /// Stores new entries for ever.
    fn fill(&mut self, keys: std::ops::Range<u64>) -> Result<()> {
        keys.into_iter().try_for_each(|key| self.set(key, None))
    }
}

/// A workload of writes.
type Writes = Box<dyn Fn(&mut dyn Store) -> Result<()>>;

fn part(whole: u64, part: f64) -> u64 {
    (whole as f64 * part) as u64
}

/// One counter is raised again and again in a cache that is filled so far.
pub fn counter(filled: f64, times: u64) -> Result<Finding> {
    let workload = move |store: &mut dyn Store| {
        let room = part(store.room(), filled);
        store.fill(1..room)?;
        store.begin();
        for time in 0..times {
            store.raise(0)?;
            if time % 64 == 0 {
                store.look();
            }
        }
        Ok(())
    };
    run(format!("a counter raised {times} times, {:.0} % full", filled * 100.0), &(Box::new(workload) as Writes), Bound::Log)
}

/// Random entries are overwritten in a cache that is filled so far.
pub fn overwrites(filled: f64) -> Result<Finding> {
    let workload = move |store: &mut dyn Store| {
        let (room, mut random) = (store.room(), Random::new(1));
        let keys = part(room, filled);
        store.fill(0..keys)?;
        store.begin();
        for time in 0..room * 5 {
            store.set(random.below(keys), None)?;
            if time % 16 == 0 {
                store.look();
            }
        }
        Ok(())
    };
    run(format!("random overwrites, {:.0} % full", filled * 100.0), &(Box::new(workload) as Writes), Bound::Log)
}

/// A full cache; part of it is deleted at random; half as many new ones come.
pub fn deletes(deleted: f64) -> Result<Finding> {
    let workload = move |store: &mut dyn Store| {
        let (room, mut random) = (store.room(), Random::new(2));
        let filled = room * 95 / 100;
        store.fill(0..filled)?;
        for key in 0..filled {
            if random.unit() < deleted {
                store.remove(key);
            }
        }
        store.begin();
        for key in 0..part(filled, deleted / 2.0) {
            store.set(filled + key, None)?;
            store.look();
        }
        Ok(())
    };
    run(format!("{:.0} % deleted at random, half as many stored", deleted * 100.0), &(Box::new(workload) as Writes), Bound::Log)
}

/// A full cache; part of it has expired, at random; half as many new ones come.
pub fn expiries(expired: f64, bound: Bound) -> Result<Finding> {
    let workload = move |store: &mut dyn Store| {
        let (room, mut random) = (store.room(), Random::new(3));
        let filled = room * 92 / 100;
        let mut expiring = 0;
        for key in 0..filled {
            let expires = random.unit() < expired;
            expiring += u64::from(expires);
            store.set(key, expires.then_some(TTL))?;
        }
        store.pass(TTL + Duration::from_millis(20));
        store.begin();
        for key in 0..expiring / 2 {
            store.set(filled + key, None)?;
            store.look();
        }
        Ok(())
    };
    run(format!("{:.0} % expired, half as many stored", expired * 100.0), &(Box::new(workload) as Writes), bound)
}

/// Entries that live for ever take 55 % of the log. Between them come others, whose times to live are drawn so that at most
/// 25 % more are alive at a time; five times the room in all.
fn mixed(bound: Bound, name: &str, draw: fn(&mut Random) -> Duration) -> Result<Finding> {
    let workload = move |store: &mut dyn Store| {
        let (room, mut random) = (store.room(), Random::new(4));
        let (kept, mut next) = (part(room, 0.55), 1 << 40);
        let mut short = |store: &mut dyn Store, random: &mut Random| {
            next += 1;
            store.set(next, Some(draw(random)))
        };
        for key in 0..kept {
            store.set(key, None)?;
            if key % 3 == 0 {
                short(store, &mut random)?;
            }
        }
        store.begin();
        for _ in 0..100 {
            // A twentieth of the room in 40 ms: with 200 ms to live, a quarter is alive.
            for time in 0..room / 20 {
                short(store, &mut random)?;
                if time % 16 == 0 {
                    store.look();
                }
            }
            store.pass(Duration::from_millis(40));
        }
        Ok(())
    };
    run(format!("55 % live for ever, others {name}"), &(Box::new(workload) as Writes), bound)
}

/// Others live 160 ms.
pub fn short_and_for_ever(bound: Bound) -> Result<Finding> {
    mixed(bound, "160 ms", |_| Duration::from_millis(160))
}

/// Others live for a time that is drawn from an exponential distribution.
pub fn exponential(bound: Bound) -> Result<Finding> {
    mixed(bound, "160 ms on average, drawn from an exponential", |random| {
        Duration::from_micros(1000 + (-160_000.0 * (1.0 - random.unit()).ln()) as u64)
    })
}

/// A full cache whose every entry was used three times, and newcomers that nobody asks for again: as many as it holds.
pub fn hot(used_again: bool) -> Result<Finding> {
    let mut bench = Bench::new(Bound::Log)?;
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
        bench.look();
    }
    let name = if used_again { "a full cache that stays hot, and as many newcomers" } else { "... that was hot once" };
    Ok(bench.end(name.into()))
}

/// Twice as many objects as there is room for are asked for by Zipf's law, and stored if they are not there; so many of the
/// requests overwrite instead, and so many of the entries live for 300 ms only.
pub fn busy(overwritten: f64, expiring: f64, bound: Bound) -> Result<Finding> {
    let mut bench = Bench::new(bound)?;
    let (room, mut random, mut value) = (bench.room(), Random::new(5), Vec::new());
    let zipf = Zipf::new(room as usize * 2, 0.8);
    let (mut hits, mut reads) = (0u64, 0u64);
    for time in 0..room * 20 {
        if time == room * 4 {
            bench.begin();
        }
        let key = crate::generate::mix(zipf.draw(&mut random));
        let overwrites = random.unit() < overwritten;
        let is_hit = !overwrites && bench.cache.get_into(key.to_le_bytes(), &mut value);
        if !overwrites && time >= room * 4 {
            reads += 1;
            hits += u64::from(is_hit);
        }
        if !is_hit {
            let ttl = ((key % 1000) as f64) < expiring * 1000.0;
            bench.set(key, ttl.then_some(Duration::from_millis(300)))?;
        }
        if time % 16 == 0 {
            bench.look();
        }
        if expiring > 0.0 && time % (room / 20) == 0 {
            bench.pass(Duration::from_millis(10));
        }
    }
    let name = format!("Zipf over twice the room, {:.0} % overwrites, {:.0} % expire", overwritten * 100.0, expiring * 100.0);
    let mut finding = bench.end(name);
    finding.hits = Some(hits as f64 / reads.max(1) as f64);
    Ok(finding)
}

/// A workload of writes, done to shmemo and, where the log is the bound, to what moves the least.
fn run(name: String, workload: &Writes, bound: Bound) -> Result<Finding> {
    let mut bench = Bench::new(bound)?;
    workload(&mut bench)?;
    let geometry = bench.segments();
    let mut finding = bench.end(name);
    if bound == Bound::Log {
        let mut least = [false, true].map(|is_bounded| Cleaner::new(geometry, is_bounded));
        for cleaner in &mut least {
            workload(cleaner)?;
        }
        finding.least = Some(Least { moved: least[0].end().0, evicted: least[1].end().1 });
    }
    Ok(finding)
}

/// All workloads.
///
/// # Errors
/// The cache must work; this goes for each of them.
pub fn all() -> Result<Vec<Finding>> {
    let mut findings = Vec::new();
    for filled in [0.5, 0.8, 0.9] {
        findings.push(counter(filled, 1_000_000)?);
    }
    for filled in [0.5, 0.7, 0.75, 0.8, 0.85, 0.9] {
        findings.push(overwrites(filled)?);
    }
    for part in [0.12, 0.15, 0.2, 0.3, 0.5, 0.7] {
        findings.push(deletes(part)?);
    }
    for part in [0.12, 0.2, 0.3, 0.5, 1.0] {
        findings.push(expiries(part, Bound::Log)?);
    }
    for part in [0.2, 0.5, 1.0] {
        findings.push(expiries(part, Bound::Entries)?);
    }
    for bound in [Bound::Log, Bound::Entries] {
        findings.push(short_and_for_ever(bound)?);
        findings.push(exponential(bound)?);
    }
    findings.push(hot(true)?);
    findings.push(hot(false)?);
    for (overwritten, expiring) in [(0.0, 0.0), (0.1, 0.0), (0.3, 0.0), (0.6, 0.0), (0.0, 0.3), (0.3, 0.3)] {
        findings.push(busy(overwritten, expiring, Bound::Log)?);
    }
    findings.push(busy(0.0, 0.0, Bound::LogAndMany)?);
    findings.push(busy(0.3, 0.0, Bound::LogAndMany)?);
    findings.push(busy(0.0, 0.3, Bound::Entries)?);
    Ok(findings)
}

/// The findings as a Markdown table.
pub fn table(findings: &[Finding]) -> String {
    let mut text = String::from(
        "| workload | evicted | full bucket | % dead at the first | on average | moved per stored | hits, % | least moved | least evicted |\n",
    );
    text.push_str("| --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: |\n");
    for finding in findings {
        let least = finding.least.map_or(" | ".to_owned(), |least| format!("{:.2} | {}", least.moved, least.evicted));
        text.push_str(&format!(
            "| {} | {} | {} | {:.0} | {:.0} | {:.2} | {} | {least} |\n",
            finding.name,
            finding.evicted,
            finding.full_bucket,
            finding.dead_at_first * 100.0,
            finding.dead_on_average * 100.0,
            finding.moved,
            finding.hits.map_or(String::new(), |hits| format!("{:.2}", hits * 100.0)),
        ));
    }
    text
}
