//! Prints the hit ratios of shmemo, of the model of its policy, and of known policies, on given traces.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use anyhow::{Context, Result};
use shmemo_simulator::baselines::Baselines;
use shmemo_simulator::options::{Options, USAGE};
use shmemo_simulator::real::{self, Limit, Plan, charge_by_size};
use shmemo_simulator::replay::{self, Charge, Outcome};
use shmemo_simulator::table::{self, Cell};
use shmemo_simulator::trace::Trace;
use shmemo_simulator::{generate, policies, processes, svg, workloads};

/// Policies that the published table has and that are shown beside.
const PUBLISHED: [&str; 6] = ["LRU", "CLOCK-1bit", "CAR", "S3-FIFO", "W-TinyLFU-w20", "BELADY"];

fn main() -> Result<()> {
    let mut arguments = std::env::args().skip(1).peekable();
    if arguments.next_if(|first| first == processes::WORKER).is_some() {
        let cache = arguments.next().context("a path")?;
        let mut length = || -> Result<u32> { Ok(arguments.next().context("a length")?.parse()?) };
        let (key_len, max_value_len) = (length()?, length()?);
        return processes::work(Path::new(&cache), key_len as usize, max_value_len);
    }
    let Some(options) = Options::parse(arguments)? else {
        print!("{USAGE}");
        return Ok(());
    };
    if options.workloads {
        println!("{}", workloads::table(&workloads::all()?));
        return Ok(());
    }
    let baselines = options.baselines.as_deref().map(Baselines::read).transpose()?;
    let mut cells = Vec::new();
    let mut paths = options.traces.clone();
    for directory in &options.directories {
        paths.extend(Trace::list(directory)?);
    }
    for path in &paths {
        run(&options, Trace::read(path)?, baselines.as_ref(), &mut cells)?;
    }
    if options.synthetic {
        for generate in [generate::zipf099, generate::zipf080_scan, generate::shift] {
            run(&options, generate(generate::Scale::FULL), baselines.as_ref(), &mut cells)?;
        }
    }
    if options.mixed {
        run(&options, generate::mixed(generate::Scale::MIXED)?, baselines.as_ref(), &mut cells)?;
    }
    print_all(&options, &cells);
    let shown = shown(&cells);
    if let Some(path) = &options.csv {
        fs::write(path, table::csv(&cells)).with_context(|| path.display().to_string())?;
    }
    if let Some(path) = &options.svg {
        let names: Vec<&str> = shown.iter().map(String::as_str).filter(|name| !name.starts_with("published")).collect();
        fs::write(path, svg::curves(&cells, &names)).with_context(|| path.display().to_string())?;
    }
    Ok(())
}

/// The columns: shmemo first, then the policies in their order, then what was published.
fn shown(cells: &[Cell]) -> Vec<String> {
    let all: std::collections::BTreeSet<&String> = cells.iter().flat_map(|cell| cell.outcomes.keys()).collect();
    let place = |name: &str| match policies::NAMES.iter().position(|&known| known == name) {
        _ if name.starts_with("shmemo") => 0,
        Some(place) => 1 + place,
        None => 100,
    };
    let mut names: Vec<String> = all.into_iter().cloned().collect();
    names.sort_by_key(|name| (place(name), name.clone()));
    names
}

fn run(options: &Options, mut trace: Trace, baselines: Option<&Baselines>, cells: &mut Vec<Cell>) -> Result<()> {
    if let Some(values) = options.values {
        let sizes = values.sizes(&trace);
        trace = trace.with_sizes(sizes)?;
    }
    let all = if options.by_size { trace.footprint(charge_by_size) } else { trace.objects() as u64 };
    for size in &options.sizes {
        let mut size = size.of(all);
        if let Limit::FileBytes(least) = Plan::bytes(size, &trace).limit
            && options.by_size
        {
            size = least; // files have a least capacity
        }
        if size == 0 || cells.last().is_some_and(|last| last.trace == trace.name && last.size == size) {
            continue;
        }
        let mut cell = Cell { trace: trace.name.clone(), size, outcomes: BTreeMap::new() };
        run_shmemo(options, &trace, &mut cell)?;
        run_policies(options, &trace, &mut cell)?;
        for name in PUBLISHED {
            let published = baselines.and_then(|baselines| baselines.get(&trace.name, size, name)).filter(|_| !options.by_size);
            if let Some(ratio) = published {
                let requests = trace.ids.len() as u64;
                let hits = (ratio * requests as f64).round() as u64;
                cell.outcomes.insert(format!("published {name}"), Outcome { requests, hits, ..Outcome::default() });
            }
        }
        eprintln!("{} at {size}: done", trace.name);
        cells.push(cell);
    }
    Ok(())
}

fn run_shmemo(options: &Options, trace: &Trace, cell: &mut Cell) -> Result<()> {
    for mode in &options.modes {
        let plan = match mode.as_str() {
            "none" => continue,
            _ if options.by_size => Plan::bytes(cell.size, trace),
            // The smallest file has more room than that.
            "bytes" if cell.size < 100 => continue,
            "bytes" => Plan::room(cell.size)?,
            _ => Plan::entries(cell.size),
        };
        let name = if mode == "entries" || options.by_size { "shmemo".to_owned() } else { format!("shmemo/{mode}") };
        let (outcome, stats) = real::replay(trace, &plan)?;
        eprintln!(
            "{} at {}, {mode}: {} segments of {} bytes, entries of {} bytes, room for {}, on average {:.0} of {:.0} bytes, \
             {} gone by full buckets",
            trace.name,
            cell.size,
            stats.segments,
            stats.log_bytes / stats.segments,
            plan.mean_entry,
            plan.room_of(&stats),
            outcome.resident,
            outcome.resident_bytes,
            outcome.full_bucket
        );
        if options.by_size {
            // What is in use of the file: the model with the very bytes that there are.
            let used = (outcome.resident_bytes + outcome.resident * f64::from(real::INDEX_BYTES)) as u64;
            if used > 0 {
                run_policy(trace, "model", used, Charge::Bytes(charge_by_size), "model/same bytes", cell);
            }
        }
        if mode == "bytes" && !options.by_size {
            // Log and segments come in steps: the model with the very room that there is.
            let room = plan.room_of(&stats);
            run_policy(trace, "model", room, Charge::Objects, "model/same room", cell);
            let resident = outcome.resident.round() as u64;
            if resident > 0 {
                run_policy(trace, "model", resident, Charge::Objects, "model/same residents", cell);
            }
        }
        cell.outcomes.insert(name.clone(), outcome);
        if let Some(count) = options.processes {
            let outcome = processes::replay(trace, &plan, count, &std::env::current_exe()?)?;
            cell.outcomes.insert(format!("{name} by {count}"), outcome);
        }
    }
    Ok(())
}

fn run_policy(trace: &Trace, policy: &str, size: u64, charge: Charge, name: &str, cell: &mut Cell) {
    if let Some(mut policy) = policies::by_name(policy, size, trace) {
        cell.outcomes.insert(name.to_owned(), replay::policy(trace, policy.as_mut(), size, charge));
    }
}

fn run_policies(options: &Options, trace: &Trace, cell: &mut Cell) -> Result<()> {
    let all: Vec<&str> = if options.by_size { policies::of_sizes().collect() } else { policies::NAMES.to_vec() };
    let names = options.policies.clone().unwrap_or_else(|| all.into_iter().map(str::to_owned).collect());
    let charge = if options.by_size { Charge::Bytes(charge_by_size) } else { Charge::Objects };
    for name in names.iter().filter(|name| *name != "none") {
        anyhow::ensure!(policies::by_name(name, 1, &Trace::default()).is_some(), "{name} is no policy that is known here");
        run_policy(trace, name, cell.size, charge, name, cell);
    }
    Ok(())
}

fn print_all(options: &Options, cells: &[Cell]) {
    let shown = shown(cells);
    let names: Vec<&str> = shown.iter().map(String::as_str).collect();
    if options.by_size {
        println!("Hit ratio of objects / of bytes, %\n\n{}", table::both_ratios(cells, &names));
    } else {
        println!("Hit ratio, %\n\n{}", table::ratios(cells, &names, Outcome::hit_ratio));
    }
    let moving: Vec<&str> = names
        .iter()
        .copied()
        .filter(|name| cells.iter().any(|cell| cell.outcomes.get(*name).is_some_and(|o| o.moved > 0.0)))
        .collect();
    println!("Moved for each hundred stored\n\n{}", table::ratios(cells, &moving, |outcome| outcome.moved));
    println!(
        "... at worst, over a stretch that stores the capacity once\n\n{}",
        table::ratios(cells, &moving, |outcome| outcome.moved_at_worst)
    );
    for base in ["CLOCK-1bit", "model"] {
        if options.by_size {
            println!("{}", table::both_differences(cells, &names, base));
        } else {
            println!("{}", table::differences(cells, &names, base));
        }
    }
}
