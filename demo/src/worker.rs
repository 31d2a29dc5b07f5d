//! A worker process: of n workers, each does every n-th line of the text.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Read, Stdout};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};

use crate::memo::{Memo, Mode};
use crate::model::Model;
use crate::wire::{BATCH, Frame};

/// The first argument of a worker.
pub const COMMAND: &str = "worker";

/// A report is sent at least this often.
const REPORT_EVERY: Duration = Duration::from_millis(50);

/// What a worker is told on its command line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Task {
    /// Where answers are kept.
    pub mode: Mode,
    /// Which of the workers this is, from 0.
    pub index: usize,
    /// How many there are: line n belongs to worker n modulo this.
    pub workers: usize,
    /// How many lines the text has.
    pub lines: usize,
    /// How many of its own lines a worker before it has reported.
    pub skip: usize,
    /// The file with the lines.
    pub text: PathBuf,
    /// The file of the shared cache.
    pub cache: PathBuf,
    /// The size of the shared cache.
    pub cache_bytes: u64,
}

impl Task {
    /// The numbers of the lines that are this worker's and still to do.
    pub fn own_lines(&self) -> impl Iterator<Item = usize> + use<> {
        (self.index..self.lines).step_by(self.workers).skip(self.skip)
    }

    /// Puts the task on a command line.
    pub fn command(&self, program: &Path) -> Command {
        let mut command = Command::new(program);
        command.args([COMMAND, self.mode.word()]);
        command.args([self.index, self.workers, self.lines, self.skip].map(|number| number.to_string()));
        command.arg(&self.text).arg(&self.cache).arg(self.cache_bytes.to_string());
        command
    }

    fn parse(arguments: &[String]) -> Result<Self> {
        let [mode, index, workers, lines, skip, text, cache, cache_bytes] = arguments else {
            anyhow::bail!("a worker is started by the demo itself, with eight arguments");
        };
        Ok(Self {
            mode: Mode::from_word(mode)?,
            index: index.parse()?,
            workers: workers.parse::<std::num::NonZeroUsize>()?.get(),
            lines: lines.parse()?,
            skip: skip.parse()?,
            text: text.into(),
            cache: cache.into(),
            cache_bytes: cache_bytes.parse()?,
        })
    }
}

/// The answers not yet reported.
struct Report {
    out: Stdout,
    frame: Frame,
    since: Instant,
}

impl Report {
    fn new() -> Self {
        Self { out: io::stdout(), frame: Frame::Answers { answers: Vec::new(), runs: 0 }, since: Instant::now() }
    }

    fn add(&mut self, answer: crate::model::Answer, ran: bool) -> io::Result<()> {
        if let Frame::Answers { answers, runs } = &mut self.frame {
            answers.push(answer);
            *runs += u32::from(ran);
            if answers.len() < BATCH && self.since.elapsed() < REPORT_EVERY {
                return Ok(());
            }
        }
        self.send()
    }

    fn send(&mut self) -> io::Result<()> {
        self.frame.write(&mut self.out)?;
        self.frame = Frame::Answers { answers: Vec::new(), runs: 0 };
        self.since = Instant::now();
        Ok(())
    }
}

/// Loads the model, waits for the word to begin, does the lines, and stays until the parent closes its end, so that its
/// memory can be looked at.
pub fn main(arguments: &[String]) -> Result<()> {
    let task = Task::parse(arguments).context("a worker's command line")?;
    let model = Model::load();
    let mut memo = Memo::open(task.mode, &task.cache, task.cache_bytes)?;
    let mut out = io::stdout();
    Frame::Ready.write(&mut out)?;
    let mut go = [0];
    if io::stdin().read(&mut go)? == 0 {
        return Ok(());
    }
    work(&task, &model, &mut memo)?;
    Frame::Done.write(&mut out)?;
    while io::stdin().read(&mut go)? > 0 {}
    Ok(())
}

fn work(task: &Task, model: &Model, memo: &mut Memo) -> Result<()> {
    let file = File::open(&task.text).with_context(|| format!("cannot read {}", task.text.display()))?;
    let mut text = BufReader::new(file);
    let mut report = Report::new();
    let mut line = String::new();
    let mut next = 0;
    for own in task.own_lines() {
        while next <= own {
            line.clear();
            text.read_line(&mut line)?;
            next += 1;
        }
        let (answer, ran) = memo.answer(line.trim_end_matches('\n'), model)?;
        report.add(answer, ran)?;
    }
    Ok(report.send()?)
}
