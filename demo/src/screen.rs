//! What is shown while a run goes on: a line for each worker, drawn over in place on a terminal; else a line now and
//! then.

use std::io::{self, IsTerminal, Write};
use std::time::{Duration, Instant};

use crate::memo::Mode;
use crate::table::grouped;

/// How often a terminal is drawn over.
const REDRAW: Duration = Duration::from_millis(400);
/// How often a plain line is printed.
const PLAIN: Duration = Duration::from_secs(3);
/// Characters of the bar.
const BAR: usize = 8;

/// What is known of a worker.
#[derive(Clone, Copy, Debug)]
pub struct Progress {
    /// Its process.
    pub pid: u32,
    /// Lines reported.
    pub lines: usize,
    /// Lines that are its own in all.
    pub total: usize,
    /// How often the model ran.
    pub runs: u64,
}

/// The display of one run.
pub struct Screen {
    mode: Mode,
    terminal: bool,
    silent: bool,
    begin: Instant,
    last: Instant,
    /// Lines and runs of each worker when last drawn.
    seen: Vec<(usize, u64)>,
    /// Lines of the terminal that the last drawing takes.
    drawn: usize,
}

impl Screen {
    /// Begins a run. A silent one shows nothing.
    pub fn new(mode: Mode, workers: usize, silent: bool) -> Self {
        let terminal = io::stdout().is_terminal() && std::env::var_os("TERM").is_none_or(|term| term != "dumb");
        let now = Instant::now();
        if !silent {
            println!("\n{mode}");
        }
        Self { mode, terminal, silent, begin: now, last: now, seen: vec![(0, 0); workers], drawn: 0 }
    }

    /// How long to wait before the next drawing is due.
    pub fn due_in(&self) -> Duration {
        let interval = if self.terminal { REDRAW } else { PLAIN };
        interval.saturating_sub(self.last.elapsed())
    }

    /// Draws the workers with their rates since the last time.
    pub fn draw(&mut self, workers: &[Progress]) {
        let window = self.last.elapsed().as_secs_f64().max(1e-3);
        self.last = Instant::now();
        let rates: Vec<(f64, f64)> = workers
            .iter()
            .zip(&self.seen)
            .map(|(worker, &(lines, runs))| {
                let lines = worker.lines.saturating_sub(lines);
                (lines as f64 / window, hit_rate(lines, worker.runs.saturating_sub(runs)))
            })
            .collect();
        self.seen = workers.iter().map(|worker| (worker.lines, worker.runs)).collect();
        self.show(workers, &rates);
    }

    /// Draws the workers one last time, with their rates over the whole run.
    pub fn finish(&mut self, workers: &[Progress]) {
        let time = self.begin.elapsed().as_secs_f64().max(1e-3);
        let rates: Vec<_> =
            workers.iter().map(|worker| (worker.lines as f64 / time, hit_rate(worker.lines, worker.runs))).collect();
        self.show(workers, &rates);
    }

    /// Says something that stays on the screen.
    pub fn say(&mut self, sentence: &str) {
        if !self.silent {
            self.erase();
            println!("  {sentence}");
        }
    }

    /// Sets the clock of the rates to now.
    pub fn start(&mut self) {
        self.begin = Instant::now();
        self.last = self.begin;
    }

    fn erase(&mut self) {
        if self.drawn > 0 {
            print!("\x1b[{}A\x1b[J", self.drawn);
            self.drawn = 0;
        }
    }

    fn show(&mut self, workers: &[Progress], rates: &[(f64, f64)]) {
        if self.silent {
            return;
        }
        self.erase();
        if self.terminal {
            for (index, (worker, rate)) in workers.iter().zip(rates).enumerate() {
                println!("{}", self.row(index, worker, *rate));
            }
            self.drawn = workers.len();
        } else {
            println!("{}", self.plain(workers, rates));
        }
        // A terminal that has gone away is no reason to stop.
        let _ = io::stdout().flush();
    }

    fn row(&self, index: usize, worker: &Progress, (rate, hits): (f64, f64)) -> String {
        let filled = (worker.lines * BAR).checked_div(worker.total).unwrap_or(BAR).min(BAR);
        let bar = "#".repeat(filled) + &".".repeat(BAR - filled);
        format!(
            "  worker {} [{bar}] {:>7} lines/s  hits {}  runs {:>7}  pid {}",
            index + 1,
            grouped(rate as u64),
            self.percent(hits),
            grouped(worker.runs),
            worker.pid
        )
    }

    fn plain(&self, workers: &[Progress], rates: &[(f64, f64)]) -> String {
        let (done, total) = workers.iter().fold((0, 0), |sum, worker| (sum.0 + worker.lines, sum.1 + worker.total));
        let mut text = format!("  {:>3} %", (done * 100).checked_div(total).unwrap_or(100));
        for (index, (rate, hits)) in rates.iter().enumerate() {
            text += &format!("  [{}] {} lines/s, hits {}", index + 1, grouped(*rate as u64), self.percent(*hits).trim_start());
        }
        text
    }

    fn percent(&self, hits: f64) -> String {
        if self.mode == Mode::Without { "     -".into() } else { format!("{:>4.1} %", hits * 100.0) }
    }
}

/// The part of the lines that the model did not have to look at.
pub fn hit_rate(lines: usize, runs: u64) -> f64 {
    if lines == 0 { 0.0 } else { 1.0 - runs as f64 / lines as f64 }
}
