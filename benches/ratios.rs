//! One table of ratios: how long each contender takes, as a multiple of what `quick_cache` takes in the same round.
//!
//! `cargo bench --bench ratios` runs all works, `-- a d` some of them. On a machine that others use, times drift by a third; so the contenders take
//! turns, many short ones, and what is printed is the median of the ratios round by round (and in brackets the first and ninth decile).

use std::time::{Duration, Instant};

use contenders::{Contender, Run, Work};

mod contenders;

/// Rounds of each work.
const ROUNDS: usize = 40;
/// Operations of a turn that are not timed, since the contender before left the processor's caches full of its own.
const WARM_UP: usize = 30_000;
/// Operations of a turn that are timed.
const TIMED: usize = 40_000;
/// Operations in a sequence; turns begin at different places in it.
const SEQUENCE: usize = 1 << 20;

/// What is measured of a contender.
type Select = for<'c, 'a> fn(&'c Contender<'a>) -> &'c Run<'a>;

struct Line {
    name: &'static str,
    times: Vec<Duration>,
    hits: usize,
}

fn measure(contenders: &[Contender<'_>], order: &[u32], select: Select, rounds: usize) -> Vec<Line> {
    let mut lines: Vec<Line> =
        contenders.iter().map(|contender| Line { name: contender.name, times: Vec::new(), hits: 0 }).collect();
    for round in 0..rounds {
        let start = round * (WARM_UP + TIMED) % (order.len() - WARM_UP - TIMED);
        let (warm_up, timed) = order[start..start + WARM_UP + TIMED].split_at(WARM_UP);
        for turn in 0..contenders.len() {
            let which = (turn + round) % contenders.len();
            let run = select(&contenders[which]);
            run(warm_up);
            let begin = Instant::now();
            let hits = run(timed);
            lines[which].times.push(begin.elapsed());
            lines[which].hits += hits;
        }
    }
    lines
}

fn quantile(mut values: Vec<f64>, part: f64) -> f64 {
    values.sort_by(f64::total_cmp);
    values[((values.len() - 1) as f64 * part) as usize]
}

fn print(title: &str, lines: &[Line], base: &str, gets_in_100: usize) {
    let Some(base) = lines.iter().find(|line| line.name == base) else { return };
    println!("\n{title}\n{:<24}{:>8}  {:<16}{:>8}{:>8}", "", "ratio", "(10 %..90 %)", "ns", "hits");
    for line in lines {
        let ratios = || line.times.iter().zip(&base.times).map(|(time, base)| time.as_secs_f64() / base.as_secs_f64()).collect();
        let ns = quantile(line.times.iter().map(|time| time.as_nanos() as f64 / TIMED as f64).collect(), 0.5);
        let spread = format!("({:.2}..{:.2})", quantile(ratios(), 0.1), quantile(ratios(), 0.9));
        let gets = line.times.len() * TIMED * gets_in_100 / 100;
        let hits = if gets == 0 { String::new() } else { format!("{:.3}", line.hits as f64 / gets as f64) };
        println!("{:<24}{:>8.2}  {spread:<16}{ns:>8.0}{hits:>8}", line.name, quantile(ratios(), 0.5));
    }
}

fn hits(title: &str, value_len: usize, base: &str) {
    let directory = tempfile::tempdir_in("/dev/shm").expect("a directory in /dev/shm");
    let work = Work::new(100_000, value_len, SEQUENCE);
    let contenders = contenders::with_room(&work, &directory);
    let lines = measure(&contenders, &work.order, |contender| &contender.gets, ROUNDS);
    print(title, &lines, base, 100);
}

/// In which order keys are asked for or stored.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Order {
    Zipf,
    /// Each key again only after all others: none is there any more when it is stored.
    InTurn,
}

fn evicting(title: &str, select: Select, gets_in_100: usize, order: Order) {
    let directory = tempfile::tempdir_in("/dev/shm").expect("a directory in /dev/shm");
    let mut work = Work::new(1_000_000, 128, SEQUENCE);
    if order == Order::InTurn {
        work.order = (0..SEQUENCE as u32).map(|number| number % 1_000_000).collect();
    }
    let mut contenders = contenders::full(&work, &directory);
    // One of each is enough where what is read makes no difference.
    contenders.retain(|contender| {
        gets_in_100 > 0 || !["shmemo, get", "quick_cache, copy", "dashmap + ahash, copy"].contains(&contender.name)
    });
    let lines = measure(&contenders, &work.order, select, ROUNDS);
    let count = contenders.iter().find_map(|contender| (contender.count)()).unwrap_or(0);
    let title = format!("{title}, 128 bytes, a million keys, room for 100,000 (shmemo: {count} entries at the end)");
    print(&title, &lines, "quick_cache, Arc", gets_in_100);
}

fn main() {
    let asked: Vec<String> = std::env::args().skip(1).filter(|argument| !argument.starts_with('-')).collect();
    let wants = |work: &str| asked.is_empty() || asked.iter().any(|argument| argument == work);
    println!("One worker. 16-byte keys, Zipf 0.99. shmemo: a prefaulted file in /dev/shm, opened by its path.");
    if wants("a") {
        hits("a: hit, 128 bytes, 100,000 entries", 128, "quick_cache, Arc");
    }
    if wants("b") {
        hits("b: hit, 4 KiB, 100,000 entries", 4096, "quick_cache, copy");
    }
    if wants("c") {
        evicting("c: 95 % get, 5 % set", |contender| &contender.mixed, 95, Order::Zipf);
    }
    if wants("d") {
        evicting("d: set of a key that is not there, one of which goes for each", |contender| &contender.sets, 0, Order::InTurn);
    }
    if wants("e") {
        evicting("e: set, Zipf: three of four replace a value", |contender| &contender.sets, 0, Order::Zipf);
    }
}
