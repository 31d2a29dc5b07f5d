//! Several worker processes run a real language detector over real text, three times over the same lines: without a
//! cache, with a cache in each process, and with one cache that all of them share.
//!
//! The parent deals the lines, gathers the answers, replaces workers that die (it kills one itself, in the run with
//! the shared cache), and checks that the answers of all three runs are the same. `--help` lists the options.

use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

mod corpus;
mod memo;
mod memory;
mod model;
mod options;
mod pool;
mod screen;
mod table;
mod wire;
mod worker;

use memo::Mode;
use options::Options;
use pool::{Job, Outcome};

/// How long the calibration runs once its workers are ready.
const CALIBRATION: Duration = Duration::from_millis(2500);
/// How many lines the calibration has at its disposal.
const CALIBRATION_LINES: usize = 100_000;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let result = if arguments.first().is_some_and(|first| first == worker::COMMAND) {
        worker::main(&arguments[1..])
    } else {
        parent(&arguments)
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// The process that the user starts.
fn parent(arguments: &[String]) -> Result<()> {
    let Some(options) = Options::parse(arguments)? else {
        print!("{}", options::HELP);
        return Ok(());
    };
    let begin = Instant::now();
    let interrupted = Arc::new(AtomicBool::new(false));
    for signal in [signal_hook::consts::SIGINT, signal_hook::consts::SIGTERM] {
        signal_hook::flag::register(signal, Arc::clone(&interrupted)).context("cannot watch for signals")?;
    }

    let mut text = corpus::gather()?;
    println!("text: {}", text.origin);
    let directory = tempfile::Builder::new().prefix("shmemo-demo-").tempdir().context("cannot make a directory for the text")?;
    let lines = match options.lines {
        Some(lines) => lines,
        None => calibrate(&options, &text.lines, directory.path(), &interrupted)?,
    };
    text.lines.truncate(lines);
    let plan = corpus::Plan::new(&text.lines);
    println!(
        "job: {} lines of it, {} of them different, dealt to {} workers in turn; shared cache of {} MiB",
        table::grouped(plan.lines as u64),
        table::grouped(plan.distinct as u64),
        options.workers,
        plan.cache_bytes >> 20,
    );
    let path = directory.path().join("lines.txt");
    corpus::write(&path, text.lines.iter())?;
    drop(text);

    let mut outcomes = Vec::new();
    for mode in Mode::ALL {
        let job =
            Job { mode, workers: options.workers, lines: plan.lines, text: &path, cache_bytes: plan.cache_bytes, limit: None };
        outcomes.push(pool::run(&job, &interrupted).with_context(|| format!("the run with {mode} failed"))?);
    }
    table::print(&outcomes, begin.elapsed());
    check(&outcomes)
}

/// Measures how fast the model is here, on lines from all over the text, and says how many lines the job shall have.
fn calibrate(options: &Options, lines: &[String], directory: &std::path::Path, interrupted: &AtomicBool) -> Result<usize> {
    let path = directory.join("sample.txt");
    let step = lines.len().div_ceil(CALIBRATION_LINES);
    corpus::write(&path, lines.iter().step_by(step))?;
    let job = Job {
        mode: Mode::Without,
        workers: options.workers,
        lines: lines.len().div_ceil(step),
        text: &path,
        cache_bytes: 0,
        limit: Some(CALIBRATION),
    };
    let outcome = pool::run(&job, interrupted).context("the calibration failed")?;
    let rate = outcome.reported as f64 / outcome.time.as_secs_f64();
    println!("calibration: {} workers run the model on {rate:.0} lines a second", options.workers);
    let wanted = (rate * options.seconds as f64) as usize;
    Ok(wanted.max(options.workers).min(lines.len()))
}

/// The answers of all runs must be the same, line by line.
fn check(outcomes: &[Outcome]) -> Result<()> {
    let Some((first, others)) = outcomes.split_first() else { return Ok(()) };
    for other in others {
        let differ = first.answers.iter().zip(&other.answers).filter(|(a, b)| a != b).count();
        if first.answers.len() != other.answers.len() || differ > 0 {
            bail!("WRONG: with {}, {differ} answers differ from those with {}", other.mode, first.mode);
        }
    }
    println!("all three runs gave the same answers, line by line (digest {:016x})", model::digest(&first.answers));
    Ok(())
}

/// Whether the user asked to stop.
fn stopped(interrupted: &AtomicBool) -> bool {
    interrupted.load(Ordering::Relaxed)
}
